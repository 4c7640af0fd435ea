"""The page of one patient: the forecast in a minute, and what not to believe."""

import base64
import time
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

import hemexp
from hemexp.columns import BASELINE
from hemexp.layout import Layout
from hemexp.made_masks import GIVEN
from hemexp.notice import NOTICE
from hemexp.provenance import git_id, versions, write_sidecars, write_text
from hemexp.reporting.model_names import model_name
from hemexp.reporting.patient import FOLDER
from hemexp.reporting.patient.facts import Drawn, drawn_facts, number
from hemexp.reporting.patient.inputs import Patient, read_patient
from hemexp.reporting.patient.layers import Layers
from hemexp.reporting.patient.numbers import event_rows, expanding, lead, notices, quantity_rows
from hemexp.reporting.patient.picture import still_picture
from hemexp.reporting.patient.texts import Texts, read_texts
from hemexp.reporting.patient.trust import remarks, value_rows
from hemexp.reporting.patient.viewer import environment, viewer_pieces
from hemexp.reporting.patient.what_if import over_time_note, over_time_rows, what_if_rows
from hemexp.reporting.reader import Reader


def render(template: str, **values: object) -> str:
    """A template of this folder filled in: text is escaped, and a value that lacks is a fault."""
    css = (FOLDER / "page.css").read_text(encoding="utf-8")
    return environment().get_template(template).render(css=Markup(css), notice=NOTICE, **values)


def made_by(texts: Texts, seed: int) -> str:
    """What made the page, for its foot."""
    found = {name: one for name, one in versions().items() if name != "hemexp"}
    listed = "; ".join(f"{name} {version}" for name, version in found.items())
    version, commit = hemexp.__version__, git_id()
    return texts("made", version=version, commit=commit, seed=seed, versions=listed)


def tags(patient: Patient, texts: Texts) -> list[str]:
    """Who the patient is, in a line."""
    found = [texts("center", center=patient.center)] if patient.center else []
    found.append(texts[f"split_{patient.split}"])
    return [*found, texts["phantom"]] if patient.phantom else found


def tiles(patient: Patient, drawn: Drawn | None, texts: Texts) -> list[dict[str, str]]:
    """The few large numbers."""
    baseline, ml = patient.baseline, texts["ml"]
    ivh = number(baseline.ivh_ml)
    found = [
        {"name": texts["now_iph"], "value": number(baseline.iph_ml), "unit": ml},
        {
            "name": texts["now_ivh"],
            "value": ivh if baseline.ivh_ml > 0 else texts["no_ivh"],
            "unit": ml if baseline.ivh_ml > 0 else "",
        },
    ]
    if drawn is None or drawn.count == 1 or drawn.indicator == "oracle":
        return found
    iph = drawn.spreads["iph_ml"]
    half = texts("range", low=number(iph.low50), high=number(iph.high50))
    ninety = texts("range", low=number(iph.low90), high=number(iph.high90))
    return [
        *found,
        {"name": texts["of_hundred"], "value": expanding(patient, drawn), "unit": ""},
        {"name": texts["half_between"], "value": half, "unit": ml},
        {"name": texts["ninety_between"], "value": ninety, "unit": ml},
    ]


def what_images_add(patient: Patient, drawn: Drawn, texts: Texts) -> str:
    """Whose the volumes are."""
    driven = "growth" if drawn.condition == "growth" else "flag"
    kind = "free" if drawn.indicator == "free" else driven
    model = model_name(f"tabular_{patient.answers['model']}").removeprefix("Tabular: ")
    return texts(f"adds_{kind}", model=model)


def page_values(patient: Patient, texts: Texts) -> dict[str, Any]:
    """What the template shows, apart from pictures and what made it."""
    drawn = None
    if patient.volumes is not None:
        drawn = drawn_facts(patient.volumes, patient.baseline)
    oracle = drawn is not None and drawn.indicator == "oracle"
    return {
        "t": texts,
        "title": texts("title", patient_id=patient.patient_id),
        "heading": texts("heading", patient_id=patient.patient_id),
        "tags": tags(patient, texts),
        "notices": notices(patient, drawn, texts),
        "lead": texts["lead_oracle"] if oracle else lead(patient, drawn, texts),
        "tiles": tiles(patient, drawn, texts),
        "followed": patient.happened is not None,
        "quantities": quantity_rows(patient, drawn, texts) if drawn else [],
        "adds": what_images_add(patient, drawn, texts) if drawn else "",
        "events": event_rows(patient, drawn, texts),
        "cases": what_if_rows(patient.answers, texts),
        "hours": over_time_rows(patient.answers, texts),
        "hours_note": over_time_note(patient.answers, texts),
        "outside": patient.answers["outside_probability"] is not None,
        "remarks": remarks(patient, drawn, texts),
        "values": value_rows(patient.answers, texts),
    }


def picture_of(layers: Layers, patient: Patient, texts: Texts) -> str:
    """The picture that is printed, as an address with its bytes."""
    contour = "solid" if patient.doubt.source == GIVEN else "dashed"
    iph_ml = None if patient.volumes is None else patient.volumes["iph_ml"].to_numpy()
    png = still_picture(layers, iph_ml, patient.baseline.iph_ml, contour, texts)
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def run_write_patient_page(
    layout: Layout,
    row: pd.Series,
    seen: tuple[str, str],
    seed: int,
    reference: str = BASELINE,
    index: str = "",
) -> Path:
    """Writes the page of one patient, one HTML file that needs no other.

    Args:
        layout: Holds the patient's scans, answers and, if any were drawn, samples.
        row: The patient's row of the sheet.
        seen: What is doubtful about the baseline scan, and what is to be noted.
        seed: Run seed.
        reference: Session on whose axes the grid lies.
        index: Where the list of all patients lies, from here; empty where there is none.

    Returns:
        The page.
    """
    started = time.perf_counter()
    reader, texts = Reader(layout), read_texts()
    patient = read_patient(reader, row, seen)
    viewer = viewer_pieces(layout, patient.patient_id, texts, reference, patient.volumes)
    layers = Layers(layout, patient.patient_id, reference)
    alone = "_alone" if patient.volumes is None else ""
    text = render(
        "page.html",
        **page_values(patient, texts),
        viewer={name: Markup(getattr(viewer, name)) for name in ("head", "body", "scripts")},
        picture=picture_of(layers, patient, texts),
        picture_alt=texts[f"print_picture{alone}"],
        made=made_by(texts, seed),
        index=index,
    )
    return save_page(layout, patient.patient_id, text, [*reader.seen, *viewer.seen], started, seed)


def run_write_excluded_page(
    layout: Layout, failure: pd.Series, seed: int, index: str = ""
) -> Path:
    """Writes the page of a patient whom preprocessing excluded: the reason. Answers are empty.

    Args:
        layout: Of the run.
        failure: The patient's row of `excluded.tsv`.
        seed: Run seed.
        index: As for `run_write_patient_page`.

    Returns:
        The page.
    """
    started, texts = time.perf_counter(), read_texts()
    name = str(failure["patient_id"])
    text = render(
        "excluded.html",
        t=texts,
        title=texts("title", patient_id=name),
        heading=texts("heading", patient_id=name),
        failure=failure,
        made=made_by(texts, seed),
        index=index,
    )
    write_text(layout.patient_answers(name), "")
    return save_page(layout, name, text, [layout.excluded], started, seed)


def save_page(
    layout: Layout, patient_id: str, text: str, seen: list[Path], started: float, seed: int
) -> Path:
    """Writes a page with its sidecar."""
    page = layout.patient_page(patient_id)
    write_text(page, text)
    record = {"settings": {}, "inputs": list(dict.fromkeys(seen)), "started": started}
    write_sidecars([page], verb="write-patient-page", seed=seed, **record)
    return page
