"""The cohort's index: a row a patient, each with the way to that patient's page."""

from pathlib import Path

import pandas as pd
from markupsafe import Markup

from hemexp.html import html_table, render
from hemexp.layout import Layout
from hemexp.reporting.cells import UNKNOWN, number
from hemexp.reporting.page import address
from hemexp.reporting.report.glossary import term_links

HEADER = [
    "Patient",
    "Centre",
    "Split",
    "Baseline IPH, mL",
    "p(HE)",
    "Forecast IPH, mL",
    "90 % range, mL",
    "Follow-up IPH, mL",
    "Masks",
    "Quality control",
]
CAPTION = (
    "p(HE): of the tabular model that samples draw from. Forecast: median and central 90 % range "
    "of the drawn IPH volumes at follow-up. A dash: there is none."
)
STATUS = ("ok", "warning", "failed")
"""Of a scan, the worst last."""


def html_patients(table: pd.DataFrame, layout: Layout) -> Markup:
    """The body of the page.

    Args:
        table: `patients.csv`, indexed by patient.
        layout: Of the run: a patient whose page is there gets a link to it.
    """
    rows = [index_row(name, row, layout) for name, row in table.iterrows()]
    out = int(table["excluded"].sum())
    paged = sum(isinstance(row[0], Markup) for row in rows)
    return render(
        Path(__file__).with_name("patients.html"),
        counts=f"{len(table)} patients, {out} of them excluded.",
        remark="A name opens the page of the patient." if paged else "",
        qc_page=address(layout.qc_page, layout),
        table=html_table(HEADER, rows, CAPTION, named=True, terms=term_links(HEADER)),
    )


def index_row(name: str, row: pd.Series, layout: Layout) -> list[str]:
    """The cells of one patient."""
    page = layout.patient_page(name)
    link = Markup("<a href='{}'>{}</a>").format(address(page, layout), name)
    low, high = (number(row[f"forecast_iph_{end}_ml"], 1) for end in ("q05", "q95"))
    return [
        link if page.is_file() else name,
        *(_text(row[column]) for column in ("center", "split")),
        number(row["baseline_iph_ml"], 1),
        number(row["p_he_tabular"], 2),
        number(row["forecast_iph_q50_ml"], 1),
        UNKNOWN if low == UNKNOWN else f"{low} to {high}",
        number(row["followup_iph_ml"], 1),
        mask_sources(row),
        quality_words(row),
    ]


def mask_sources(row: pd.Series) -> str:
    """Where a patient's masks come from: `given`, `network`, or both where the scans differ."""
    found = [row["baseline_mask"], row["followup_mask"]]
    return ", ".join(dict.fromkeys(one for one in found if not pd.isna(one) and one)) or UNKNOWN


def quality_words(row: pd.Series) -> str:
    """The worse mark of a patient's scans, with the reason; exclusion is the worst."""
    if row["excluded"]:
        return f"excluded: {_text(row['excluded_reason'])}"
    marks = [row[f"{session}_qc"] for session in ("baseline", "followup")]
    worst = max((one for one in marks if not pd.isna(one)), key=STATUS.index)
    return worst if pd.isna(row["qc_reason"]) else f"{worst}: {row['qc_reason']}"


def _text(value: object) -> str:
    return UNKNOWN if pd.isna(value) or value == "" else str(value)
