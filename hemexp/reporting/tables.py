"""Tables for people, as CSV and as LaTeX: headers with units, intervals beside their numbers."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from pkgutil import resolve_name

import pandas as pd

from hemexp.layout import Layout
from hemexp.provenance import write_sidecars, write_text
from hemexp.reporting.catalogue import TABLES, Table
from hemexp.reporting.latex import latex_table
from hemexp.reporting.reader import Reader
from hemexp.settings import Reporting

Source = pd.DataFrame | dict[str, pd.DataFrame]


def read_source(name: str, reader: Reader, sheet: pd.DataFrame) -> Source:
    """What a table is made from.

    Args:
        name: `sheet`; `outcomes`, indexed by patient; `reconstruction`, the autoencoder's scores
            of every patient with centre and split; `ablations:NAME`, that table of
            every ablation by its name; `evaluation:NAME` or `growth:NAME`, one table of those
            rooms.
        reader: Of the results.
        sheet: The kept patients.

    Raises:
        ValueError: There is no such source.
    """
    room, _, table = name.partition(":")
    match room:
        case "sheet":
            return sheet
        case "outcomes":
            return reader.outcomes()
        case "reconstruction":
            return _reconstruction(reader)
        case "ablations":
            files = reader.layout.ablations(table)
            return {name: reader.table(path) for name, path in files.items()}
        case "evaluation":
            return reader.table(reader.layout.evaluation(table))
        case "growth":
            return reader.table(reader.layout.growth(table))
    raise ValueError(f"no source of tables is called {name}")


def _reconstruction(reader: Reader) -> pd.DataFrame:
    outcomes = reader.outcomes()
    scores = reader.tables({name: reader.layout.reconstruction(name) for name in outcomes.index})
    return scores.join(outcomes[["center", "split"]], on="patient_id")


def make_tables(
    tables: Iterable[Table], reader: Reader, sheet: pd.DataFrame
) -> Iterator[tuple[Table, pd.DataFrame]]:
    """Each table and its cells; an optional one whose sources are empty is left out.

    Args:
        tables: From the catalogue.
        reader: Of the results.
        sheet: The kept patients.
    """
    for table in tables:
        sources = [read_source(name, reader, sheet) for name in table.sources]
        if not table.optional or all(len(source) for source in sources):
            yield table, resolve_name(f"hemexp.reporting.{table.made_by}")(*sources)


def run_write_tables(
    layout: Layout, sheet: pd.DataFrame, settings: Reporting, tables: Iterable[Table] = TABLES
) -> list[Path]:
    """Writes every table as CSV and LaTeX.

    Args:
        layout: Of the run: cohort, latents, expansion, evaluation and, where there are any,
            ablations are read.
        sheet: The sheet as `cohort.read_sheet` gives it, without excluded patients.
        settings: Kept in the sidecars.
        tables: What to write.

    Returns:
        The files.
    """
    started = time.perf_counter()
    reader, products = Reader(layout), []
    for table, cells in make_tables(tables, reader, sheet):
        texts = {
            "csv": cells.to_csv(index=False, lineterminator="\n"),
            "tex": latex_table(cells, table.caption, f"tab:{table.name}"),
        }
        for ending, text in texts.items():
            products.append(layout.table(table.name, ending))
            write_text(products[-1], text)
    # One sidecar serves both files: they differ in their suffix alone.
    write_sidecars(
        products[::2],
        verb="write-tables",
        settings=settings.as_json(),
        started=started,
        inputs=sorted(set(reader.seen)),
    )
    return products
