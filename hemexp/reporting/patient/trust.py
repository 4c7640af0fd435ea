"""How far a patient's forecast may be trusted: sentences and rows for people."""

from typing import Any, NamedTuple

from hemexp.columns import CLINICAL
from hemexp.made_masks import GIVEN
from hemexp.reporting.patient.facts import Drawn, number, of_hundred
from hemexp.reporting.patient.inputs import Patient
from hemexp.reporting.patient.texts import Texts
from hemexp.reporting.patient.what_if import value_text

DRIFT_ML = 2.0
"""More than twice the error of the measured change of ventricles (0.8 mL, RMS:
`anatomy.ventricles.ventricle_change_ml`) where nothing grew comes from the drawn images."""

EDGE = 0.95
"""A patient farther out than this share of training patients lies at their edge."""

TOLD = (*CLINICAL, "baseline_iph_ml", "baseline_ivh_ml")
"""Shown value by value; of what is measured on the image beyond them, only what is unusual."""


class Remark(NamedTuple):
    """One point of the list.

    Attributes:
        title: What it is about.
        text: What is said.
        doubt: Whether it should make a reader careful.
    """

    title: str
    text: str
    doubt: bool = False


def value_rows(answers: dict[str, Any], texts: Texts) -> list[dict[str, Any]]:
    """What was told of the patient beside the training patients' range."""
    trained = answers["training"] or {"ranges": {}, "beyond": []}
    ranges = trained["ranges"]
    rows = []
    for name in TOLD:
        value, known = answers["values"][name], ranges.get(name)
        rows.append(
            {
                "name": texts[f"variable_{name}"],
                "value": value_text(texts, name, value),
                "range": range_text(texts, name, known),
                "outside": name in trained["beyond"],
            }
        )
    return rows


def range_text(texts: Texts, name: str, known: dict[str, float | None] | None) -> str:
    """Lowest to highest of the training patients, and the median."""
    if known is None:
        return texts["not_recorded"]
    if known["lowest"] is None:
        return texts["unknown_for_all"]
    if name in ("anticoagulant", "antiplatelet"):
        low, high = (value_text(texts, name, known[end]) for end in ("lowest", "highest"))
        return low if low == high else texts("range_of_kinds", low=low, high=high)
    numbers = {k: f"{known[k]:.3g}" for k in ("lowest", "median", "highest")}
    return texts("range_of_training", unit=texts[f"unit_{name}"], **numbers).strip()


def remarks(patient: Patient, drawn: Drawn | None, texts: Texts) -> list[Remark]:
    """All points of the list, in the order of the page."""
    found = [
        _cohort(patient.answers, texts),
        _likeness(patient.answers, texts),
        _unknown(patient.answers, texts),
        _masks(patient, texts),
        _scan(patient, texts),
    ]
    if patient.registration is not None:
        found.append(_registration(patient, texts))
    if drawn is not None:
        found.append(_volumes(drawn, texts))
    return [*found, Remark(texts["trust_limits"], texts["limits"])]


def _cohort(answers: dict[str, Any], texts: Texts) -> Remark:
    title, trained = texts["trust_cohort"], answers["training"]
    if trained is None:
        count = answers["patients"]
        text = texts("cohort_only", patients=texts["unknown"] if count is None else count)
    else:
        text = texts("cohort", **{k: trained[k] for k in ("patients", "expanders")})
        if trained["phantoms"]:
            kind = "all" if trained["phantoms"] == trained["patients"] else "some"
            text += " " + texts(f"cohort_phantoms_{kind}", phantoms=trained["phantoms"])
    if answers["recalibrated"]:
        text += " " + texts("recalibrated", centers=", ".join(answers["recalibrated"]))
    return Remark(title, text, trained is None)


def _likeness(answers: dict[str, Any], texts: Texts) -> Remark:
    title, trained = texts["trust_likeness"], answers["training"]
    if trained is None or trained["likeness"] is None:
        return Remark(title, texts["likeness_unknown"], doubt=True)
    likeness = trained["likeness"]
    share = likeness["share_nearer"]
    verdict = "inside" if share < EDGE else "edge" if share < 1 else "outside"
    numbers = {"share": of_hundred(share), "measures": likeness["measures"]}
    text = texts(f"likeness_{verdict}", **numbers, patients=trained["patients"])
    beyond = trained["beyond"]
    if beyond:
        names = ", ".join(texts[f"variable_{name}"] for name in beyond)
        text += " " + texts("likeness_beyond", names=names)
    return Remark(title, text, verdict != "inside" or bool(beyond))


def _unknown(answers: dict[str, Any], texts: Texts) -> Remark:
    unknown = [name for name in TOLD if answers["values"][name] is None]
    names = ", ".join(texts[f"variable_{name}"] for name in unknown)
    text = texts("unknown_values", names=names) if unknown else texts["all_known"]
    if answers["outside_probability"] is not None:
        text += " " + texts("outside_told", p=of_hundred(answers["outside_probability"]))
    return Remark(texts["trust_unknown"], text, bool(unknown))


def _masks(patient: Patient, texts: Texts) -> Remark:
    title, doubt = texts["trust_masks"], patient.doubt
    if doubt.source == GIVEN:
        return Remark(title, texts["masks_given"])
    numbers = {"iph": number(patient.baseline.iph_ml), "error": number(doubt.iph_error_ml)}
    return Remark(title, texts(f"masks_{doubt.source}", **numbers), doubt=True)


def _scan(patient: Patient, texts: Texts) -> Remark:
    parts = [
        texts("scan_doubtful", warnings=patient.warnings) if patient.warnings else texts["scan_ok"]
    ]
    if patient.notes:
        parts.append(texts("scan_notes", notes=patient.notes))
    return Remark(texts["trust_scan"], " ".join(parts), bool(patient.warnings))


def _registration(patient: Patient, texts: Texts) -> Remark:
    row = patient.registration
    numbers = {
        "rotation": number(row["rotation_deg"]),
        "translation": number(row["translation_mm"]),
        "overlap": f"{100 * row['overlap']:.0f}",
    }
    return Remark(texts["trust_registration"], texts("registration", **numbers))


def _volumes(drawn: Drawn, texts: Texts) -> Remark:
    told = drawn.condition == "growth"
    numbers = {
        "off": number(drawn.off_ml),
        "low": number(drawn.raw.low90),
        "high": number(drawn.raw.high90),
        "disagreeing": drawn.disagreeing,
        "count": drawn.count,
    }
    kind = "one" if drawn.count == 1 else "matched" if told else "own"
    text = texts(f"volumes_{kind}", **numbers)
    drifting = drawn.drift_ml is not None and abs(drawn.drift_ml) > DRIFT_ML
    if drifting:
        text += " " + texts("ventricles_drift", drift=number(drawn.drift_ml, signed=True))
    return Remark(texts["trust_volumes"], text, drifting or drawn.disagreeing > 0)
