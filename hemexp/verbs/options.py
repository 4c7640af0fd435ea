"""What the verbs read of their options: settings, and rows of the sheet.

Tables come with pandas, which jobs of preprocess start without: it is imported where one is read.
"""

import argparse
from typing import TYPE_CHECKING, Any

from hemexp.config import load_section

if TYPE_CHECKING:
    import pandas as pd

Arguments = argparse.Namespace


def section(args: Arguments, name: str) -> Any:  # noqa: ANN401 - the class that `name` says
    """One room's settings, or a part of them."""
    return load_section(name, args.settings)


def sheet(args: Arguments) -> "pd.DataFrame":
    """The whole sheet; whether it has to hold training patients was asked before any job."""
    from hemexp.cohort import read_samples

    return read_samples(args.samples, need_training=False)


def kept(args: Arguments) -> "pd.DataFrame":
    """The sheet without the patients whom preprocessing excluded."""
    from hemexp.cohort import read_excluded

    excluded = read_excluded(args.results / "preprocess" / "excluded.tsv")
    return sheet(args).drop(index=excluded, errors="ignore")


def chosen_patients(args: Arguments) -> tuple["pd.DataFrame", "pd.Index"]:
    """Rows of the kept patients of `--splits` and `--patients`, and who of the splits is not kept.

    A rule names the products of whole splits: an excluded patient's are empty files.
    """
    everyone, left = sheet(args), kept(args)
    chosen = left[left["split"].isin(args.splits) | left.index.isin(args.patients)]
    gone = everyone[everyone["split"].isin(args.splits)].index.difference(left.index)
    return chosen, gone


def training(args: Arguments) -> "pd.DataFrame":
    """Rows of the training patients who were kept."""
    samples = kept(args)
    return samples[samples["split"] == "train"]
