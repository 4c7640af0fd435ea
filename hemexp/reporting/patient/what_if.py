"""What the model of growth says with one value changed, or at other hours: rows for people."""

from typing import Any

from hemexp.reporting.patient.facts import number, of_hundred
from hemexp.reporting.patient.texts import Texts
from hemexp.what_if_cases import AS_IS


def value_text(texts: Texts, variable: str, value: float | None) -> str:
    """A value of the sheet as people say it; None is unknown."""
    if value is None:
        return texts["unknown"]
    if variable in ("anticoagulant", "antiplatelet"):
        return texts["yes" if value == 1 else "no"]
    return texts("value", value=f"{value:.3g}", unit=texts[f"unit_{variable}"]).strip()


def what_if_rows(answers: dict[str, Any], texts: Texts) -> list[dict[str, str]]:
    """A row a case, as is first.

    Args:
        answers: From `Layout.patient_answers`.
        texts: Of the page.

    Returns:
        variable, value, p_expansion, p_growth_6ml, median and range as text.
    """
    rows = []
    for case in answers["cases"]:
        low, _, median, _, high = case["growth_ml"]
        ends = [number(end, signed=True) for end in (low, high)]
        as_is = case["variable"] == AS_IS
        rows.append(
            {
                "variable": texts["as_is" if as_is else f"variable_{case['variable']}"],
                "value": "" if as_is else value_text(texts, case["variable"], case["value"]),
                "p_expansion": texts("percent", p=of_hundred(case["p_expansion"])),
                "p_growth_6ml": texts("percent", p=of_hundred(case["p_growth_6ml"])),
                "median": number(median, signed=True),
                "range": texts("range", low=ends[0], high=ends[1]),
            }
        )
    return rows


def over_time_rows(answers: dict[str, Any], texts: Texts) -> list[dict[str, Any]]:
    """A row an hour of the follow-up; none where the model knows no time.

    Args:
        answers: From `Layout.patient_answers`.
        texts: Of the page.

    Returns:
        hours, p_expansion, median, half and ninety as text; as_is, whether all other answers are
        for these hours.
    """
    found = answers["over_time"]
    if found is None:
        return []
    rows = []
    for one in found["answers"]:
        low90, low50, median, high50, high90 = (number(x, signed=True) for x in one["growth_ml"])
        rows.append(
            {
                "hours": texts("value", value=f"{one['at_h']:.3g}", unit=texts["unit_interval"]),
                "p_expansion": texts("percent", p=of_hundred(one["p_expansion"])),
                "median": median,
                "half": texts("range", low=low50, high=high50),
                "ninety": texts("range", low=low90, high=high90),
                "as_is": one["at_h"] == found["as_is_h"],
            }
        )
    return rows


def over_time_note(answers: dict[str, Any], texts: Texts) -> str:
    """For which hours all other answers are; or that the model does not know them."""
    found = answers["over_time"]
    if found is None:
        return texts["over_time_unknown"]
    return texts(
        f"over_time_{'told' if found['told'] else 'assumed'}", hours=f"{found['as_is_h']:.3g}"
    )
