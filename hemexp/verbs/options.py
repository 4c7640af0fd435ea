"""What the verbs read of their options: settings, and rows of the sheet."""

import argparse
from typing import Any

import pandas as pd

from hemexp.cohort import read_excluded, read_samples
from hemexp.config import load_section

Arguments = argparse.Namespace


def section(args: Arguments, name: str) -> Any:  # noqa: ANN401 - the class that `name` says
    """One room's settings, or a part of them."""
    return load_section(name, args.settings)


def sheet(args: Arguments) -> pd.DataFrame:
    """The whole sheet; whether it has to hold training patients was asked before any job."""
    return read_samples(args.samples, need_training=False)


def kept(args: Arguments) -> pd.DataFrame:
    """The sheet without the patients whom preprocessing excluded."""
    excluded = read_excluded(args.results / "preprocess" / "excluded.tsv")
    return sheet(args).drop(index=excluded, errors="ignore")


def training(args: Arguments) -> pd.DataFrame:
    """Rows of the training patients who were kept."""
    samples = kept(args)
    return samples[samples["split"] == "train"]
