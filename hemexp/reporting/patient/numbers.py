"""The numbers of a forecast as rows for people."""

from typing import Any

from hemexp.reporting.patient.facts import (
    EVENTS,
    Baseline,
    Drawn,
    Spread,
    events,
    number,
    of_hundred,
)
from hemexp.reporting.patient.inputs import Patient
from hemexp.reporting.patient.texts import Texts

MODEL_EVENTS = {
    "he": "p_expansion",
    "he_6ml": "p_growth_6ml",
    "he_33pct": "p_growth_33pct",
    "ivh_growth": "p_ivh_growth",
}
"""What the models of growth call them."""


def lead(patient: Patient, drawn: Drawn | None, texts: Texts) -> str:
    """The one sentence: of 100 patients like this, and where the volumes lie."""
    forecast = patient.answers["forecast"]
    if drawn is None:
        low, high = (max(patient.baseline.iph_ml + forecast["growth_ml"][n], 0) for n in (0, -1))
        p = of_hundred(forecast["p_expansion"])
        return texts("lead_without", p=p, low=number(low), high=number(high))
    if drawn.count == 1:
        p = of_hundred(forecast["p_expansion"])
        return texts("lead_one", p=p, ml=number(drawn.spreads["iph_ml"].median))
    return texts("lead", p=expanding(patient, drawn), **_ends(drawn.spreads["iph_ml"]))


def expanding(patient: Patient, drawn: Drawn) -> str:
    """Of 100 patients like this, how many expand.

    Where growth is drawn from the tabular model, its probability says it more finely than so many
    draws can. Else it is their share, of which none and all are known to one in K.
    """
    if drawn.condition == "growth" and drawn.indicator == "predicted":
        return of_hundred(patient.answers["forecast"]["p_expansion"])
    count, one = drawn.counts["he"], 100 / drawn.count
    if count == 0:
        return f"<{number(one, 0)}"
    return f">{number(100 - one, 0)}" if count == drawn.count else of_hundred(count / drawn.count)


def _ends(spread: Spread) -> dict[str, str]:
    names = ("low90", "low50", "median", "high50", "high90")
    return {name: number(getattr(spread, name)) for name in names}


def quantity_rows(patient: Patient, drawn: Drawn, texts: Texts) -> list[dict[str, str]]:
    """Baseline, median, and the ranges of every quantity of the drawn follow-ups.

    The tabular model's volumes stand below those of the drawn follow-ups.
    """
    happened = patient.happened
    return [
        _row(
            texts,
            "iph_ml",
            drawn.spreads["iph_ml"],
            patient.baseline.iph_ml,
            happened and happened.iph_ml,
        ),
        _tabular_row(patient, "iph_ml", patient.baseline.iph_ml, "growth_ml", texts),
        _row(
            texts,
            "ivh_ml",
            drawn.spreads["ivh_ml"],
            patient.baseline.ivh_ml,
            happened and happened.ivh_ml,
        ),
        _tabular_row(patient, "ivh_ml", patient.baseline.ivh_ml, "ivh_growth_ml", texts),
        _midline_row(texts, drawn.spreads["midline_shift_mm"]),
        _row(texts, "ventricle_change_ml", drawn.spreads["ventricle_change_ml"]),
    ]


def _midline_row(texts: Texts, shift: Spread | None) -> dict[str, str]:
    """The shift towards the side that most follow-ups move to."""
    if shift is None or shift.median >= 0:
        return _row(texts, "midline_right_mm", shift)
    return _row(texts, "midline_left_mm", shift.mirrored)


def _row(
    texts: Texts,
    name: str,
    spread: Spread | None,
    baseline: float | None = None,
    happened: float | None = None,
) -> dict[str, str]:
    nothing = texts["none"]
    if spread is None:
        cells = dict.fromkeys(("median", "half", "ninety"), texts["not_measured"])
    else:
        ends = _ends(spread)
        alone = spread.count == 1
        cells = {
            "median": ends["median"],
            "half": nothing if alone else texts("range", low=ends["low50"], high=ends["high50"]),
            "ninety": nothing if alone else texts("range", low=ends["low90"], high=ends["high90"]),
        }
    return {
        "name": texts[f"quantity_{name}"],
        "kind": "drawn",
        "baseline": nothing if baseline is None else number(baseline),
        **cells,
        "happened": nothing if happened is None else number(happened),
    }


def _tabular_row(
    patient: Patient, name: str, baseline_ml: float, growth: str, texts: Texts
) -> dict[str, str]:
    """Volumes of the models of growth alone, at the same five levels."""
    volumes = [max(baseline_ml + one, 0.0) for one in patient.answers["forecast"][growth]]
    row = _row(texts, name, Spread(*volumes, count=len(volumes), whole=True))
    return row | {"name": texts["tabular_alone"], "kind": "tabular"}


def event_rows(patient: Patient, drawn: Drawn | None, texts: Texts) -> list[dict[str, Any]]:
    """Probabilities of the events: of the drawn follow-ups and of the models of growth alone."""
    forecast = patient.answers["forecast"]
    shown = _happened(patient.happened, patient.baseline, texts)
    rows = []
    for event in EVENTS:
        count = drawn.counts[event] if drawn else None
        share = count / drawn.count if drawn else forecast[MODEL_EVENTS[event]]
        rows.append(
            {
                "name": texts[f"event_{event}"],
                "share": f"{100 * share:.0f}",
                "drawn": texts("count_of", count=count, of=drawn.count, p=of_hundred(share))
                if drawn
                else texts["none"],
                "tabular": texts("percent", p=of_hundred(forecast[MODEL_EVENTS[event]])),
                "happened": shown[event],
            }
        )
    return rows


def _happened(happened: Baseline | None, baseline: Baseline, texts: Texts) -> dict[str, str]:
    if happened is None:
        return dict.fromkeys(EVENTS, texts["none"])
    shown = events(happened.iph_ml, happened.ivh_ml, baseline)
    return {name: texts["yes" if flag else "no"] for name, flag in shown.items()}


def notices(patient: Patient, drawn: Drawn | None, texts: Texts) -> list[str]:
    """What has to be known before any number is read."""
    found = []
    if patient.warnings:
        found.append(texts("notice_scan", warnings=patient.warnings))
    if patient.doubt.source != "given":
        found.append(texts["notice_masks"])
    if drawn is None:
        found.append(texts["notice_none"])
    elif drawn.indicator == "oracle":
        found.append(texts["notice_oracle"])
    elif drawn.count == 1:
        found.append(texts["notice_one"])
    elif not drawn.spreads["iph_ml"].whole:
        found.append(texts("notice_few", count=drawn.count))
    return found
