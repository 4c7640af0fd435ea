"""The page of one patient: its numbers, its doubts, and that no text becomes markup."""

import json
import re
import shutil
import string

import numpy as np
import pandas as pd
import pytest
from patient_folder import answers, make_patient
from results_folder import read_samples
from test_expansion_timed import draw_table

from hemexp import HemexpError
from hemexp.expansion.fit_timed import FOUR_IN_TIME, fit_timed
from hemexp.expansion.patient_answers import answer_over_time
from hemexp.layout import Layout
from hemexp.mask_error import MaskDoubt
from hemexp.provenance import write_json
from hemexp.reporting.patient import page_files
from hemexp.reporting.patient.facts import (
    Baseline,
    drawn_facts,
    events,
    number,
    of_hundred,
    spread,
)
from hemexp.reporting.patient.inputs import Patient
from hemexp.reporting.patient.numbers import event_rows, expanding, lead, notices, quantity_rows
from hemexp.reporting.patient.page import run_write_excluded_page, run_write_patient_page
from hemexp.reporting.patient.texts import read_texts
from hemexp.reporting.patient.trust import remarks, value_rows
from hemexp.reporting.patient.what_if import over_time_note, over_time_rows, what_if_rows
from hemexp.tables import read_table, write_table

SERIOUS = ("serious", "critical")
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def texts():
    return read_texts()


def samples(iph_ml, **columns):
    """`volumes.tsv` of drawn follow-ups."""
    count = len(iph_ml)
    table = pd.DataFrame({"sample": range(count), "iph_ml": iph_ml})
    columns = {
        "ivh_ml": 0.0,
        "iph_raw_ml": table["iph_ml"] - 0.5,
        "midline_shift_mm": -2.0,
        "ventricle_change_ml": -1.0,
        "draws": "even",
        "condition": "growth",
        "indicator": "predicted",
        "disagrees": 0,
    } | columns
    return table.assign(**columns)


def patient(**changes):
    known = {
        "patient_id": "T1",
        "center": "A",
        "split": "test",
        "phantom": False,
        "baseline": Baseline(10.0, 1.0),
        "happened": None,
        "answers": answers(),
        "volumes": None,
        "doubt": MaskDoubt(),
        "registration": None,
        "warnings": "",
        "notes": "",
    }
    return Patient(**(known | changes))


LONG = "; ".join(5 * ["brain 400 mL outside 850-1900 mL"])

TWENTY = np.r_[np.full(13, 10.0), np.arange(14.0, 21.0)]
"""Of 20 follow-ups of a bleed of 10 mL, 13 stand still and 7 expand."""


@pytest.fixture(scope="module")
def drawn():
    return drawn_facts(samples(TWENTY), Baseline(10.0, 1.0))


def test_ranges_are_the_evaluations_own():
    even = spread(np.arange(1, 11), "even")
    assert (even.low90, even.median, even.high90) == pytest.approx((1.0, 5.5, 10.0))
    assert even.low50 == 3.0 and even.whole  # hazen: the k-th of 10 lies at (k - 1/2) / 10
    independent = spread(np.arange(1, 20), "independent")
    assert (independent.low90, independent.low50, independent.high90) == (1.0, 5.0, 19.0)
    assert independent.whole and not spread(np.arange(5), "even").whole
    assert spread([np.nan, 2.0], "even").count == 1 and spread([np.nan], "even") is None


def test_events_count_from_their_thresholds_on():
    shown = events([13.29, 13.3, 15.99, 16.0], [0.29, 0.3, 0.0, 0.0], Baseline(10.0, 0.0))
    assert shown["he"].tolist() == shown["he_33pct"].tolist() == [False, True, True, True]
    assert shown["he_6ml"].tolist() == [False, False, False, True]
    assert shown["ivh_growth"].tolist() == [False, True, False, False]


def test_the_sentence(texts, drawn):
    said = lead(patient(), drawn, texts)
    assert "Of 100 patients like this, about 34 expand" in said  # the tabular model's own
    assert "between 10.0 and 15.5 mL, nine of ten between 10.0 and 19.5 mL" in said


def test_how_many_expand_where_growth_was_not_drawn_from_the_tabular_model():
    def of(iph_ml):
        table = samples(iph_ml, condition="flag", draws="independent")
        return expanding(patient(), drawn_facts(table, Baseline(10.0, 1.0)))

    assert of(TWENTY) == "35" and of(np.full(20, 10.0)) == "<5" and of(np.full(20, 17.0)) == ">95"


def test_rows_of_quantities_and_events(texts, drawn):
    known = patient(happened=Baseline(12.0, 1.5))
    rows = {row["name"]: row for row in quantity_rows(known, drawn, texts)}
    assert rows["IPH, mL"]["baseline"] == "10.0" and rows["IPH, mL"]["happened"] == "12.0"
    assert rows["IPH, mL"]["ninety"] == "10.0 to 19.5"
    # Draws of a shift of -2 mm: all to the left.
    (shift,) = (row for name, row in rows.items() if "Midline" in name)
    assert shift["name"].endswith("left") and shift["median"] == "2.0"
    assert rows["Change of the ventricles, mL"]["half"] == "−1.0 to −1.0"
    first, six, _, ivh = event_rows(known, drawn, texts)
    assert first["drawn"] == "7 of 20 (35 %)" and first["tabular"] == "34 %"
    assert first["happened"] == "no" and six["drawn"] == "5 of 20 (25 %)"
    assert ivh["happened"] == "yes" and ivh["tabular"] == "<1 %"


def test_the_tabular_model_adds_growth_to_the_baseline_and_never_below_nothing(texts, drawn):
    small = patient(baseline=Baseline(0.6, 0.0))
    tabular = [row for row in quantity_rows(small, drawn, texts) if row["kind"] == "tabular"]
    assert tabular[0]["ninety"] == "0.0 to 14.6" and tabular[0]["median"] == "2.6"


def test_numbers_for_people():
    assert number(-0.04) == "0.0" and number(-1.25, 2) == "−1.25"
    assert number(0.0, signed=True) == "+0.0"
    assert [of_hundred(p) for p in (0, 0.004, 0.345, 0.996, 1)] == ["0", "<1", "34", ">99", "100"]
    with pytest.raises(ValueError, match="not a number"):
        of_hundred(float("nan"))


def test_one_follow_up_tells_no_range(texts):
    one = drawn_facts(samples([12.0]), Baseline(10.0, 1.0))
    assert "The one drawn follow-up has 12.0 mL" in lead(patient(), one, texts)
    assert notices(patient(), one, texts) == [texts["notice_one"]]
    assert "gave 11.5 mL; 0.5 mL" in said_of(patient(), one, texts)["Images"].text
    assert quantity_rows(patient(), one, texts)[0]["half"] == texts["none"]


def test_few_follow_ups_and_those_that_knew_the_outcome_are_told(texts):
    few = drawn_facts(samples([10.0, 12.0, 14.0]), Baseline(10.0, 1.0))
    assert "3 follow-ups were drawn" in notices(patient(), few, texts)[0]
    told = drawn_facts(samples(TWENTY, indicator="oracle"), Baseline(10.0, 1.0))
    assert notices(patient(), told, texts) == [texts["notice_oracle"]]


def test_without_follow_ups_the_numbers_are_the_tabular_models(texts):
    assert notices(patient(), None, texts) == [texts["notice_none"]]
    said = lead(patient(), None, texts)
    assert "about 34 expand" in said and "between 9.0 and 24.0 mL" in said
    assert event_rows(patient(), None, texts)[1]["tabular"] == "28 %"


def test_what_if_rows(texts):
    rows = what_if_rows(answers(), texts)
    assert [row["value"] for row in rows] == ["", "1 h", "no", "unknown"]
    assert rows[1]["p_expansion"] == "50 %" and rows[0]["variable"] == "As is"
    assert rows[0]["median"] == "+2.0" and rows[0]["range"] == "−1.0 to +14.0"


@pytest.fixture(scope="module")
def over_time():
    """Of a patient whose follow-up came after 24 h, by a model fitted on 60."""
    model = fit_timed("timed_four_variable", FOUR_IN_TIME, draw_table(60), 1.0, [10.0], [])
    new = draw_table(1, seed=3).assign(onset_to_ct_h=2.0, followup_interval_h=24.0)
    return answer_over_time(model, new)


def test_rows_of_the_hours_to_the_follow_up(texts, over_time):
    known = answers(over_time=over_time)
    rows = over_time_rows(known, texts)
    assert [row["hours"] for row in rows] == ["6 h", "12 h", "24 h", "48 h"]
    assert [row["as_is"] for row in rows] == [False, False, True, False]
    median_ml = [float(row["median"]) for row in rows]
    assert median_ml == sorted(median_ml) and median_ml[0] < median_ml[3]
    low, *_, high = over_time["answers"][0]["growth_ml"]
    assert rows[0]["ninety"] == f"{number(low, signed=True)} to {number(high, signed=True)}"
    assert over_time_note(known, texts).endswith("for 24 h, as the sheet says.")
    untold = answers(over_time=over_time | {"told": False})
    assert over_time_note(untold, texts).endswith("names no hours.")


def test_a_model_that_knows_no_time_says_so_without_an_empty_table(texts):
    assert over_time_rows(answers(), texts) == []
    assert over_time_note(answers(), texts) == texts["over_time_unknown"]


def said_of(known, drawn, texts):
    return {remark.title: remark for remark in remarks(known, drawn, texts)}


def test_trust_names_what_is_unusual_and_unknown(texts, drawn):
    said = said_of(patient(), drawn, texts)
    assert "20 patients, 6 of whom expanded" in said["Learned from"].text
    assert said["Like them?"].text.startswith("Yes: 60 %") and said["Like them?"].doubt
    assert said["Like them?"].text.endswith("Beyond all of them: Age.")
    assert said["Unknown"].text.startswith("Onset to CT.")
    assert "0.5 mL on average" in said["Images"].text and not said["Images"].doubt
    outside = {row["name"]: row["outside"] for row in value_rows(answers(), texts)}
    assert outside == {name: name == "Age" for name in outside}


def test_ventricles_that_change_without_a_reason_are_doubted(texts):
    def said(change_ml):
        table = samples(TWENTY, ivh_ml=1.0, ventricle_change_ml=change_ml)
        return said_of(patient(), drawn_facts(table, Baseline(10.0, 1.0)), texts)["Images"]

    assert "by −3.0 mL even where" in said(-3.0).text and said(-3.0).doubt
    # Those that grow have a reason.
    assert not said(np.where(TWENTY > 10, -9.0, -1.9)).doubt
    assert drawn_facts(samples([20.0, 22.0]), Baseline(10.0, 1.0)).drift_ml is None


@pytest.mark.parametrize(("share", "verdict"), [(0.94, "Yes"), (0.95, "At the edge"), (1.0, "No")])
def test_how_far_out_a_patient_lies(texts, share, verdict):
    trained = answers()["training"]
    trained["likeness"]["share_nearer"] = share
    known = patient(answers=answers(training=trained))
    assert said_of(known, None, texts)["Like them?"].text.startswith(f"{verdict}:")


def test_who_lies_nearer_than_one_training_patient_is_not_beyond_all(texts):
    trained = answers()["training"]
    trained["likeness"]["share_nearer"] = 0.997
    known = patient(answers=answers(training=trained))
    assert ">99 % of the" in said_of(known, None, texts)["Like them?"].text


def test_models_without_a_record_of_their_patients_say_so(texts):
    said = said_of(patient(answers=answers(training=None)), None, texts)
    assert said["Learned from"].text.startswith("Patients: 20. The models keep no record")
    assert said["Like them?"].text == texts["likeness_unknown"]
    rows = value_rows(answers(training=None), texts)
    assert {row["range"] for row in rows} == {"not recorded"}


def test_found_masks_and_a_doubtful_scan_come_first(texts, drawn):
    known = patient(doubt=MaskDoubt("network", 1.26), warnings="brain 400 mL", notes="mended")
    scan, masks = notices(known, drawn, texts)
    assert "brain 400 mL" in scan and masks == texts["notice_masks"]
    said = said_of(known, drawn, texts)
    assert "IPH of 10.0 mL is expected to be off by 1.3 mL" in said["Masks"].text
    assert said["Masks"].doubt and "mended" in said["Scan"].text


def test_every_text_is_used_and_fills(texts):
    """A key that nothing asks for would be translated for nothing."""
    code = "".join(p.read_text() for p in page_files() if p.suffix in (".html", ".js"))
    folder = page_files()[0].parent
    code += "".join(path.read_text() for path in folder.glob("*.py"))
    asked = set(re.findall(r"[a-z][a-z0-9_]+", code))
    prefixes = ("variable_", "unit_", "quantity_", "event_", "split_", "likeness_", "masks_")
    prefixes += ("excluded_", "viewer_", "adds_", "print_picture", "picture_drawn", "volumes_")
    prefixes += ("over_time_",)
    unused = [k for k in texts if k not in asked and not k.startswith((*prefixes, "cohort_"))]
    assert unused == []
    for text in texts.values():
        list(string.Formatter().parse(text))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("patient")
    make_patient(root)
    return root


def write_page(root, name, seen=("", ""), **changes):
    row = read_samples(root).loc[name]
    for column, value in changes.items():
        row[column] = value
    return run_write_patient_page(Layout(root), row, seen, seed=1).read_text()


def test_the_page_of_a_followed_patient(folder):
    page = write_page(folder, "T1")
    table = pd.read_csv(Layout(folder).sample_volumes("T1"), sep="\t")
    assert f"<strong>{table['iph_ml'].median():.1f}</strong>" in page
    assert "not a medical device" in page and "What happened" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page)
    payload = json.loads(re.search(r'id="viewer-payload">(.*?)</script>', page, re.DOTALL)[1])
    # A brain without ventricles; `predict` has no other table to read it from.
    assert len(payload["samples"]) == 5 and "midline_shift_mm" in payload["samples"][0]
    sidecar = json.loads((folder / "report/sub-T1.json").read_text())
    assert "sub-T1/volumes.tsv" in sidecar["inputs"]


def test_the_hours_to_the_follow_up_stand_on_the_page(folder, texts, over_time):
    path = Layout(folder).patient_answers("P0")
    assert texts["over_time_unknown"] in write_page(folder, "P0")
    assert texts["over_time"] not in write_page(folder, "P0")
    write_json(path, answers(over_time=over_time))
    page = write_page(folder, "P0")
    write_json(path, answers())
    assert texts["over_time"] in page and texts["over_time_unknown"] not in page
    assert len(re.findall(r'<th scope="row">(?:6|12|24|48) h</th>', page)) == 4
    assert '<tr class="as-is"><th scope="row">24 h</th>' in page


def test_the_page_shows_the_images_that_were_kept_and_counts_all(tmp_path):
    make_patient(tmp_path)
    layout = Layout(tmp_path)
    volumes = read_table(layout.sample_volumes("P0")).assign(kept=[1, 1, 0, 0, 0])
    write_table(layout.sample_volumes("P0"), volumes)
    for k in volumes["sample"][2:]:
        for path in layout.sample("P0", k):
            path.unlink()
    page = write_page(tmp_path, "P0")
    payload = json.loads(re.search(r'id="viewer-payload">(.*?)</script>', page, re.DOTALL)[1])
    assert [one["sample"] for one in payload["samples"]] == (
        volumes[:2].sort_values("iph_ml")["sample"].tolist()
    )
    assert "2 of 5 drawn follow-ups are on the slider" in page
    assert f"<strong>{volumes['iph_ml'].median():.1f}</strong>" in page


def test_the_page_of_a_patient_without_a_follow_up_shows_none(folder):
    page = write_page(folder, "P0")
    assert "What happened" not in page and "No follow-up scan" in page


def test_markup_in_free_text_stays_text(folder):
    quoted = f"\"{SCRIPT}'"
    page = write_page(folder, "P0", (quoted, quoted), center=quoted)
    assert "alert(1)" in page and SCRIPT not in page
    assert "&#34;&lt;script&gt;" in page


def test_an_excluded_patient_has_a_page_with_the_reason(tmp_path):
    failure = {"patient_id": "X9", "session": "baseline", "step": "strip-skull", "reason": SCRIPT}
    layout = Layout(tmp_path)
    layout.excluded.parent.mkdir(parents=True)
    layout.excluded.write_text("patient_id\n")
    page = run_write_excluded_page(layout, pd.Series(failure), 1, "patients.html").read_text()
    assert '<a class="on-screen" href="patients.html">' in page and page.count("<h1>") == 1
    assert "there is no forecast" in page and "strip-skull" in page
    assert SCRIPT not in page and "&lt;script&gt;alert(1)" in page
    assert layout.patient_answers("X9").read_text() == ""


def test_a_picture_that_cannot_be_made_stops_with_its_file(folder, tmp_path):
    layout = Layout(folder)
    image = layout.native("P0", "baseline").ct
    away = image.rename(tmp_path / "away.nii.gz")
    try:
        with pytest.raises((HemexpError, FileNotFoundError), match=image.name):
            write_page(folder, "P0")
    finally:
        away.rename(image)


def test_nobody_drawn_has_a_page_that_says_so(tmp_path):
    make_patient(tmp_path)
    for path in (tmp_path / "samples/sub-P0").iterdir():
        path.unlink()
    page = write_page(tmp_path, "P0")
    assert "No follow-up was drawn of this patient" in page and "Of the drawn" not in page


@pytest.fixture(scope="module")
def opened(folder, over_time):
    """The page of the followed patient in Chromium, and what it asked for beyond itself."""
    chromium = shutil.which("chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if chromium is None:
        pytest.skip("no chromium: apt-get install chromium")
    write_json(Layout(folder).patient_answers("T1"), answers(over_time=over_time))
    write_page(folder, "T1", (LONG, LONG))
    asked = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.goto(Layout(folder).patient_page("T1").as_uri())
        page.wait_for_selector("#viewer[data-ready=yes]")
        yield page, asked
        browser.close()


@pytest.mark.browser
def test_nothing_beside_the_file_is_asked_for(opened):
    page, asked = opened
    others = [url for url in asked[1:] if not url.startswith(("data:", "blob:"))]
    assert asked[0] == page.url and others == []


@pytest.mark.browser
def test_axe_finds_no_serious_fault(opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(opened[0]).response["violations"]
    serious = {one["id"]: one["nodes"][0]["html"] for one in found if one["impact"] in SERIOUS}
    assert serious == {}


@pytest.mark.browser
def test_it_prints_on_one_page_with_its_notice(opened):
    page, _ = opened
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    assert re.findall(rb"/Type /Pages\n/Count (\d+)", pdf) == [b"1"]
    page.emulate_media(media="print")
    assert page.locator(".research").is_visible() and page.locator(".still").is_visible()
    assert not page.locator("#viewer").is_visible()
    page.emulate_media(media="screen")
    assert page.locator("#viewer").is_visible() and not page.locator(".still").is_visible()


@pytest.mark.browser
def test_a_narrow_screen_needs_no_scrolling_sideways(opened):
    page, _ = opened
    page.set_viewport_size({"width": 420, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == 420
    page.set_viewport_size({"width": 1280, "height": 900})
