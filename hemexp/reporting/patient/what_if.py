"""What the model of growth says with one value changed: rows for people."""

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
