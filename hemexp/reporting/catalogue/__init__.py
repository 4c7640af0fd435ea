"""Every table and figure for people: its name, section and caption, and what makes it from what.

The order is that of the pages. A table is added by its entry in `tables` and the function that the
entry names, a figure by its entry in `figures` and a module of its name with a function `draw`:
files, LaTeX, pages and `snakemake --report` follow. Nothing else of the package is imported here:
the workflow reads this at every start.
"""

from hemexp.reporting.catalogue.entries import Figure, Table
from hemexp.reporting.catalogue.figures import FIGURES
from hemexp.reporting.catalogue.tables import TABLES

__all__ = ["FIGURES", "TABLES", "Figure", "Table", "figure_modules", "table_modules"]


def table_modules() -> list[str]:
    """Modules that make the tables, such as `reporting.forecast_tables`."""
    return sorted({f"reporting.{table.made_by.split(':')[0]}" for table in TABLES})


def figure_modules() -> list[str]:
    """Modules that draw the figures. Captions are in none of them: no figure shows its own."""
    return [f"reporting.figures.{name}" for name in FIGURES]
