"""What the first page says: what was done, and how good it is."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from hemexp.html import html_table, render
from hemexp.reporting.flow import Flow
from hemexp.reporting.headline_table import LINES, SEEN_LINES, Tables, headline_table, of_test
from hemexp.reporting.page import nav_links
from hemexp.reporting.report.glossary import link_terms, term_link

NOT_SCORED = "No patient of split `test` was scored: this run cannot say how good it is."
ORACLE = "The samples were told what happened: they are no forecast, and have no score here."
MODEL_TERMS = {
    "hemexp": "forecast",
    "raw (before matching)": "raw",
    "shell alone (no network)": "shell alone",
    "best tabular": "best tabular",
    "climatology": "climatology",
    "copied baseline": "copy (of baseline)",
    "true distribution": "true distribution",
}
"""What explains the columns of the headline table."""


def say_done(flow: Flow, samples: pd.Series, preset: str, seed: int) -> dict[str, str]:
    """What was done, in a few facts.

    Args:
        flow: Of the patients.
        samples: How many follow-ups were drawn as a forecast, by patient; NaN: none.
        preset: Name of the run's preset.
        seed: Run seed.
    """
    splits = ", ".join(f"{split.kept} {name}" for name, split in flow.splits.items())
    gone = sum(flow.excluded.values())
    drawn = samples.dropna()
    return {
        "Run": f"preset {preset}, seed {seed}",
        "Patients": f"{flow.kept} of {flow.centers} centres: {splits}. "
        + (f"{gone} of {flow.screened} excluded." if gone else "Nobody excluded."),
        "Forecasts": f"{drawn.max():.0f} follow-ups of each of {len(drawn)} patients; "
        f"{flow.scored} of them scored against what happened."
        if len(drawn)
        else "No follow-up was drawn as a forecast.",
    }


def html_scores(tables: Tables) -> Markup:
    """The headline table of the run; a sentence where nothing was scored.

    A phantom's forecasts are held against everything that might have happened, for it says more
    than the one follow-up of each patient.

    Args:
        tables: `contents.HEADLINE_TABLES`, by name.
    """
    scored = of_test(tables["forecasts"])
    ours = scored.query("model == 'hemexp' and target == 'iph_ml'")
    if ours.empty:
        return Markup("<p>{}</p>").format(NOT_SCORED if scored.empty else ORACLE)
    known = not of_test(tables["expected"]).empty
    shown = headline_table([tables], LINES if known else SEEN_LINES)
    against = "everything that might have happened to these phantoms" if known else "what happened"
    caption = (
        f"Scores of {ours['n'].iloc[0]} test patients against {against}, K = {ours['k'].iloc[0]}. "
        "Intervals of 95 % are over patients."
    )
    rows = zip(link_terms([*shown.index]), shown.to_numpy().tolist(), strict=True)
    return html_table(
        ["Score", *shown.columns],
        [[name, *cells] for name, cells in rows],
        caption,
        named=True,
        terms={words: term_link(term) for words, term in MODEL_TERMS.items()},
    )


def html_overview(facts: Mapping[str, str], scores: Markup) -> Markup:
    """The body of the page."""
    links = [link for link in nav_links("index") if not link.here]
    template = Path(__file__).with_name("index.html")
    return render(template, facts=facts, scores=scores, links=links)
