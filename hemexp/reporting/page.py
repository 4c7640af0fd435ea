"""One static page with everything a reader of the run wants to see."""

import csv
import time
from html import escape
from pathlib import Path

import pandas as pd

from hemexp.provenance import git_id, versions, write_sidecars, write_text
from hemexp.reporting.captions import FIGURES, OPTIONAL, TABLES
from hemexp.settings import Reporting
from hemexp.tables import read_table

NOTICE = (
    "Research software, not a medical device. The images and numbers on this page are drawn by a "
    "statistical model; they must not be used for the care of a patient."
)

QUALITY_LINK = (
    "<p>Every patient with pictures, worst first: <a href='../preprocess/qc.html'>qc.html</a>.</p>"
)

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;"
    "color:#1a1a1a}table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums}"
    "th,td{border-bottom:1px solid #ddd;padding:.25rem .5rem;text-align:left;vertical-align:top}"
    "thead th{border-bottom:2px solid #555}.wide{overflow-x:auto}img{max-width:100%;height:auto}"
    ".notice{border:2px solid #d55e00;padding:.5rem 1rem}figure{margin:1.5rem 0}"
    "figcaption,caption{color:#444;font-size:13px;text-align:left}caption{padding-bottom:.4rem}"
)


def html_table(header: list[str], rows: list[list[str]], caption: str) -> str:
    """A table with escaped cells; says so when it is empty."""
    if not rows:
        return f"<p>{escape(caption)} <em>No rows.</em></p>"
    head = "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f"<div class='wide'><table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def html_figure(name: str, folder: str, caption: str) -> str:
    """A figure by relative link, with its caption and a link to the vector file."""
    source = f"{escape(folder)}/{name}"
    return (
        f"<figure id='figure-{name}'><img src='{source}.png' alt='{escape(caption, quote=True)}'>"
        f"<figcaption>{escape(caption)} <a href='{source}.svg'>SVG</a></figcaption></figure>"
    )


def html_remarks(qc: pd.DataFrame) -> str:
    """The scans that quality control marked, with the reason.

    Args:
        qc: `qc.tsv`: one row a scan, with patient_id, session, status, reason.
    """
    marked = qc[qc["status"] != "ok"]
    counts = f"{len(qc)} scans checked, {len(marked)} marked."
    columns = ["patient_id", "session", "status", "reason"]
    rows = marked[columns].fillna("").astype(str).to_numpy().tolist()
    return html_table(["Patient", "Scan", "Status", "Reason"], rows, counts)


def html_excluded(excluded: pd.DataFrame) -> str:
    """The patients whom preprocessing could not use; nothing when there are none.

    Args:
        excluded: `excluded.tsv`: one row a patient, with patient_id, session, step, reason.
    """
    if excluded.empty:
        return ""
    rows = excluded.fillna("").astype(str).to_numpy().tolist()
    caption = f"{len(excluded)} patients excluded: no result on this page counts them."
    return html_table(["Patient", "Scan", "Step", "Reason"], rows, caption)


def html_page(title: str, sections: dict[str, str]) -> str:
    """The whole page: notice, contents, sections."""
    links = " · ".join(f"<a href='#{name.lower()}'>{escape(name)}</a>" for name in sections)
    body = "\n".join(
        f"<section id='{name.lower()}'><h2>{escape(name)}</h2>\n{content}</section>"
        for name, content in sections.items()
    )
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><h1>{escape(title)}</h1>"
        f"<p class='notice' role='note'>{escape(NOTICE)}</p>\n<nav>{links}</nav>\n{body}\n"
        "</body></html>\n"
    )


def run_write_report(
    tables: Path,
    figures: Path,
    preprocess: Path,
    out: Path,
    settings: Reporting,
    preset: str,
    seed: int,
) -> Path:
    """Writes `index.html`, which links to the figures beside its folder.

    Args:
        tables: `results/tables`.
        figures: `results/figures`; must lie beside the folder of `out`.
        preprocess: `results/preprocess`, with `qc.tsv`, `excluded.tsv` and the page `qc.html`.
        out: `results/report/index.html`.
        settings: Kept in the sidecar.
        preset: Name of the run's preset.
        seed: Run seed.

    Returns:
        The page.
    """
    started = time.perf_counter()
    sources = _tables(tables)
    folder = f"../{figures.name}"
    qc, excluded = preprocess / "qc.tsv", preprocess / "excluded.tsv"
    shown = {name: html_table(*_read_csv(path), TABLES[name]) for name, path in sources.items()}
    facts = {"Preset": preset, "Seed": str(seed), "Commit": git_id()} | versions()
    sections = {
        "Cohort": shown.pop("cohort"),
        "Figures": "\n".join(html_figure(name, folder, text) for name, text in FIGURES.items()),
        "Results": "\n".join(shown.values()),
        "Quality": "\n".join(
            [QUALITY_LINK, html_excluded(read_table(excluded)), html_remarks(read_table(qc))]
        ),
        "Run": html_table(["What", "Value"], list(map(list, facts.items())), "Made with:"),
    }
    write_text(out, html_page("hemexp: drawn follow-ups of brain haemorrhage", sections))
    inputs = [*sources.values(), *_pictures(figures), qc, excluded]
    write_sidecars(
        [out],
        verb="write-report",
        settings=settings.as_json(),
        started=started,
        inputs=inputs,
        seed=seed,
    )
    return out


def _tables(folder: Path) -> dict[str, Path]:
    """The tables of the page; of the optional ones those that there are."""
    files = {name: folder / f"{name}.csv" for name in TABLES}
    return {name: path for name, path in files.items() if name not in OPTIONAL or path.exists()}


def _pictures(figures: Path) -> list[Path]:
    return [figures / f"{name}.png" for name in FIGURES]


def _read_csv(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8", newline="") as handle:
        header, *rows = list(csv.reader(handle)) or [[]]
    return header, rows
