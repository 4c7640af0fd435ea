"""Tables for people, as CSV and as LaTeX: headers with units, intervals beside their numbers."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hemexp.provenance import patient_file, write_sidecars, write_text
from hemexp.reporting.captions import TABLES
from hemexp.reporting.cohort_table import describe_cohort, describe_reconstruction
from hemexp.reporting.expansion_tables import (
    describe_expansion,
    describe_predictors,
    describe_what_if,
)
from hemexp.reporting.forecast_tables import (
    describe_ablations,
    describe_comparisons,
    describe_coverage,
    describe_expected,
    describe_forecasts,
    describe_obedience,
    describe_oracle,
)
from hemexp.reporting.image_tables import describe_coherence, describe_images, describe_maps
from hemexp.reporting.latex import latex_table
from hemexp.settings import Reporting
from hemexp.tables import read_table

EVALUATED = {
    "forecasts": ("forecasts", describe_forecasts),
    "comparisons": ("comparisons", describe_comparisons),
    "expected": ("expected", describe_expected),
    "coverage": ("conformal", describe_coverage),
    "expansion": ("expansion", describe_expansion),
    "maps": ("maps", describe_maps),
    "coherence": ("coherence", describe_coherence),
    "images": ("images", describe_images),
    "obedience": ("obedience", describe_obedience),
    "oracle": ("forecasts", describe_oracle),
}
"""Tables that follow from one table of the room `evaluation`: its name, and how."""


@dataclass(frozen=True)
class Reader:
    """Reads tables below a folder and remembers which.

    Attributes:
        folder: `results`.
        seen: The files read so far.
    """

    folder: Path
    seen: list[Path] = field(default_factory=list)

    def read(self, *parts: str) -> pd.DataFrame:
        """The table `folder/.../name.tsv`."""
        path = self.folder.joinpath(*parts)
        self.seen.append(path)
        return read_table(path)


def make_tables(samples: pd.DataFrame, reader: Reader) -> dict[str, pd.DataFrame]:
    """All tables of a run, in the order of `captions.TABLES`.

    Args:
        samples: The sheet as `cohort.read_sheet` gives it, without excluded patients.
        reader: Of the results.
    """
    outcomes = reader.read("cohort", "outcomes.tsv").set_index("patient_id")
    tables = {
        "cohort": describe_cohort(samples, outcomes),
        "reconstruction": describe_reconstruction(_reconstruction(reader, outcomes)),
        "predictors": describe_predictors(
            reader.read("expansion", "comparison.tsv"),
            reader.read("expansion", "predictions.tsv"),
            reader.read("evaluation", "expansion.tsv"),
            reader.read("evaluation", "forecasts.tsv"),
        ),
        "what_if": describe_what_if(reader.read("expansion", "what_if_summary.tsv")),
    }
    for name, (source, describe) in EVALUATED.items():
        tables[name] = describe(reader.read("evaluation", f"{source}.tsv"))
    ablations = sorted((reader.folder / "ablations").glob("*.tsv"))
    if ablations:
        read = {path.stem: reader.read("ablations", path.name) for path in ablations}
        tables["ablations"] = describe_ablations(read)
    return {name: tables[name] for name in TABLES if name in tables}


def _reconstruction(reader: Reader, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Every patient's scores of the autoencoder, with centre and split."""
    files = [patient_file("latents", name, "reconstruction.tsv") for name in outcomes.index]
    read = pd.concat([reader.read(*path.parts) for path in files], ignore_index=True)
    return read.join(outcomes[["center", "split"]], on="patient_id")


def run_write_tables(
    samples: pd.DataFrame, results: Path, out: Path, settings: Reporting
) -> list[Path]:
    """Writes the tables of `captions.TABLES` as CSV and LaTeX.

    Args:
        samples: The sheet as `cohort.read_sheet` gives it, without excluded patients.
        results: Folder of all results: cohort, latents, expansion, evaluation and, where they
            were run, ablations.
        out: `results/tables`.
        settings: Kept in the sidecars.

    Returns:
        The files.
    """
    started = time.perf_counter()
    reader, products = Reader(results), []
    for name, table in make_tables(samples, reader).items():
        texts = {
            "csv": table.to_csv(index=False, lineterminator="\n"),
            "tex": latex_table(table, TABLES[name], f"tab:{name}"),
        }
        for ending, text in texts.items():
            write_text(out / f"{name}.{ending}", text)
            products.append(out / f"{name}.{ending}")
    # One sidecar serves both files: they differ in their suffix alone.
    write_sidecars(
        products[::2],
        verb="write-tables",
        settings=settings.as_json(),
        started=started,
        inputs=sorted(set(reader.seen)),
    )
    return products
