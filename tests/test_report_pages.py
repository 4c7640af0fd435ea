"""The pages of the cohort's report: what they show, where their links lead, what stays text."""

import csv
import os
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape
from PIL import Image
from reporting_folder import make_reportable, write_report, write_tables

from hemexp.evaluation.cohort.paired_differences import BEST
from hemexp.html import html_page, html_table
from hemexp.layout import Layout
from hemexp.provenance import write_text
from hemexp.reporting import forecast_tables, run_facts
from hemexp.reporting.catalogue import FIGURES, TABLES, Table
from hemexp.reporting.headline_table import LINES, SEEN_LINES, find_estimate, headline_table
from hemexp.reporting.reader import Reader
from hemexp.reporting.report.contents import ALL_PAGES, MADE_WITH, METHODS, PAGES
from hemexp.reporting.report.glossary import anchor, linked_terms, read_glossary, term_of
from hemexp.reporting.report.patients import HEADER, index_row, quality_words
from hemexp.reporting.review import run_write_review
from hemexp.tables import read_table

NASTY = "<script>alert('x')</script> \"quoted\""


class Links(HTMLParser):
    """Addresses, anchors and pictures without words of a page."""

    def __init__(self, text):
        super().__init__()
        self.found, self.anchors, self.speechless = [], set(), 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.found += [known[name] for name in ("href", "src") if name in known]
        self.anchors |= {known["id"]} if "id" in known else set()
        self.speechless += tag == "img" and not known.get("alt")


def draw_dots(layout):
    """Figures of one dot: what pages do with them is the same."""
    dot = BytesIO()
    Image.new("RGB", (1, 1)).save(dot, "png")
    for name in FIGURES:
        layout.figure(name).parent.mkdir(parents=True, exist_ok=True)
        layout.figure(name).write_bytes(dot.getvalue())
        write_text(layout.figure(name, "svg"), "<svg/>")


@pytest.fixture(scope="module")
def reported(tmp_path_factory, settings):
    """The report and the reviewer's page of a small run, whose patient T1 has a page."""
    root = tmp_path_factory.mktemp("reported")
    make_reportable(root, settings)
    layout = Layout(root)
    write_tables(root, settings)
    draw_dots(layout)
    for path in (layout.qc_page, layout.patient_page("T1")):
        write_text(path, "<p>elsewhere</p>")
    models = [layout.network(room).model for room in ("autoencoder", "diffusion")]
    for path in (*models, layout.growth_models):
        write_text(path, '{"verb": "train", "git": "abc", "seed": 7, "device": "cpu"}')
    with pytest.MonkeyPatch.context() as patch:
        write_report(root, settings, patch, NASTY)
        parts = (
            "autoencoder",
            "growth",
            "diffusion",
            "sampling",
            "patients",
            "images",
            "software",
        )
        said = {part.title(): f"<{part}>" for part in parts}
        patch.setattr(run_facts, "make_paragraphs", lambda layout: said)
        run_write_review(layout, settings.reporting, NASTY, 7)
    return layout


def text_of(layout, name):
    return layout.report.with_name(f"{name}.html").read_text()


def test_no_link_or_picture_leads_nowhere(reported):
    pages = sorted(reported.report.parent.glob("*.html"))
    assert {path.stem for path in pages} == {*ALL_PAGES, "sub-T1"}
    known = {path: Links(path.read_text()) for path in pages}
    for path, page in known.items():
        assert not page.speechless, path
        for link in page.found:
            if link.startswith("data:image/png;base64,"):
                continue
            parts = urlsplit(link)
            assert not parts.scheme and not parts.netloc, link
            where = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert where.is_file(), f"{path.name}: {link}"
            assert not parts.fragment or parts.fragment in known[where].anchors, link


def test_every_table_and_figure_stands_on_one_page_in_order(reported):
    texts = {name: text_of(reported, name) for name in PAGES}
    shown = [(one.section, one.caption) for one in FIGURES.values()]
    shown += [(table.section, table.caption) for table in TABLES if not table.optional]
    for section, caption in shown:
        (page,) = [name for name, text in texts.items() if escape(caption) in text]
        assert section in PAGES[page].sections
    places = [
        texts["forecasts"].index(f"<h2>{section}")
        for section in PAGES["forecasts"].sections
        if any(section == one for one, _ in shown)
    ]
    assert places == sorted(places) and len(places) > 4
    alts = [f"alt='{escape(one.alt)}'" for one in FIGURES.values()]
    assert all(sum(alt in text for text in texts.values()) == 1 for alt in alts)
    assert all(one.alt not in one.caption for one in FIGURES.values())


def test_every_section_is_on_one_page():
    sections = [section for page in PAGES.values() for section in page.sections]
    assert len(sections) == len(set(sections))
    assert {one.section for one in (*FIGURES.values(), *TABLES)} <= set(sections)
    assert {METHODS, MADE_WITH} <= set(sections)


def test_text_with_markup_stays_text_on_every_page(reported):
    for name in ALL_PAGES:
        text = text_of(reported, name)
        assert text.count("<script") == 1 and "not a medical device" in text
        assert "<air>" not in text and "<that>" not in text
    assert str(escape(NASTY)) in text_of(reported, "index")
    assert "found &lt;air&gt;; expected a head" in text_of(reported, "quality")
    assert "<code>a_model</code> &amp; &lt;that&gt;" in text_of(reported, "making")


def test_cells_captions_and_titles_are_escaped():
    pieces = (html_table([NASTY], [[NASTY]], NASTY), html_page(NASTY, "", NASTY, ""))
    for text in pieces:
        assert "<script" not in text and text.count("&lt;script&gt;") == 3
    assert 'alt="' not in pieces[0] and "No rows." in html_table(["a"], [], "Nobody.")


def test_a_table_is_added_in_one_place(reported, settings, tmp_path, monkeypatch):
    def describe_toy(outcomes, expansion):
        return pd.DataFrame({"Patients": [len(outcomes)], "Rows": [len(expansion)]})

    root = shutil.copytree(reported.root, tmp_path / "r")
    monkeypatch.setattr(forecast_tables, "describe_toy", describe_toy, raising=False)
    made_by, sources = "forecast_tables:describe_toy", ("outcomes", "evaluation:expansion")
    toy = Table("toy", "Volumes", "Toys & trains.", made_by, sources)
    write_tables(root, settings, (*TABLES, toy))
    header, row = Layout(root).table("toy").read_text().splitlines()
    assert (header, row.split(",")[0]) == ("Patients,Rows", "10")
    assert r"\caption{Toys \& trains.}" in Layout(root).table("toy", "tex").read_text()
    write_report(root, settings, monkeypatch, tables=(*TABLES, toy))
    text = text_of(Layout(root), "forecasts")
    assert "Toys &amp; trains." in text
    assert f"<td>10</td><td>{row.split(',')[1]}</td>" in text


def numeric_columns(path):
    with path.open(newline="") as handle:
        header, *rows = list(csv.reader(handle))
    return [
        name
        for place, name in enumerate(header)
        if any(re.match(r"[-−+]?\d", row[place]) for row in rows)
    ]


def test_every_column_of_numbers_leads_to_a_term_that_exists(reported):
    anchors = [entry.anchor for entry in read_glossary()]
    assert len(set(anchors)) == len(anchors) > 100
    assert {anchor(term) for term in linked_terms()} <= set(anchors)
    # Rows of patients have a dictionary of their own.
    tables = sorted({*reported.table("x").parent.glob("*.csv")} - {reported.patients})
    found = {name for path in [*tables, reported.failures] for name in numeric_columns(path)}
    named = {"Held", "Interval", "Group", "Patient"}  # names of rows, not results
    assert {name for name in {*found, *HEADER[3:8]} - named if not term_of(name)} == set()
    assert {line.words for line in (*LINES, *SEEN_LINES) if not term_of(line.words)} == set()
    assert f"<a href='glossary.html#{anchor('CRPS')}'>CRPS, mL [95 % CI]</a>" in text_of(
        reported, "forecasts"
    )
    assert "'glossary.html#term-dice'>IPH Dice, mean of samples</a>" in text_of(reported, "images")


def test_the_index_holds_every_patient_and_links_to_the_page_there_is(reported):
    text = text_of(reported, "patients")
    names = re.findall(r"<th scope='row'>(?:<a href='[^']*'>)?(\w+)", text)
    assert sorted(names) == sorted({*read_table(reported.qc)["patient_id"]})
    assert "<a href='sub-T1.html'>T1</a>" in text and "sub-T2" not in text
    assert "11 patients, 1 of them excluded." in text
    # The second column of a row is its centre.
    assert re.search(r"<th scope='row'>P0</th><td>\w</td><td>predict</td>", text)


def test_a_patient_of_the_index_has_forecast_and_marks(reported):
    table = Reader(reported).patients()
    volumes = read_table(reported.sample_volumes("T1"))["iph_ml"]
    row = dict(zip(HEADER, index_row("T1", table.loc["T1"], reported), strict=True))
    assert row["Forecast IPH, mL"] == f"{volumes.median():.1f}"
    # Five even draws: the outermost ones lie at a tenth and nine tenths.
    assert row["90 % range, mL"] == f"{volumes.min():.1f} to {volumes.max():.1f}"
    train = dict(zip(HEADER, index_row("R0", table.loc["R0"], reported), strict=True))
    assert train["Forecast IPH, mL"] == train["90 % range, mL"] == "–" != train["p(HE)"]
    assert (row["Masks"], row["Quality control"]) == ("given", "ok")
    out = dict(zip(HEADER, index_row("X9", table.loc["X9"], reported), strict=True))
    assert out["Quality control"].startswith("excluded: baseline, strip-skull: found <air>")
    assert {out[name] for name in HEADER[3:9]} == {"–"}


def test_the_worse_scan_marks_a_patient():
    marks = {"excluded": 0, "baseline_qc": "warning", "followup_qc": "ok", "qc_reason": NASTY}
    assert quality_words(pd.Series(marks)) == f"warning: {NASTY}"
    alone = marks | {"baseline_qc": "ok", "followup_qc": np.nan, "qc_reason": np.nan}
    assert quality_words(pd.Series(alone)) == "ok"


def test_the_first_page_says_what_was_done_and_how_good_it_is(reported):
    text = text_of(reported, "index")
    assert "10 of 2 centres: 6 train, 3 test, 1 predict. 1 of 11 excluded." in text
    assert "5 follow-ups of each of 4 patients; 3 of them scored" in text
    assert "Scores of 3 test patients against everything that might have happened" in text
    expected = read_table(reported.evaluation("expected"))
    crps = expected[
        (expected["model"] == "hemexp")
        & (expected["measure"] == "crps_ml")
        & (expected["center"] == "all")
    ]["value"].iloc[0]
    assert f"<td>{crps:.2f} [" in text
    assert "raw (before matching)" in text and "true distribution" in text


def test_patients_have_the_headline_against_what_happened(reported):
    names = {line.table for line in SEEN_LINES} | {"forecasts", "expected"}
    tables = {name: read_table(reported.evaluation(name)) for name in names}
    # The best tabular model is so by its CRPS and nothing else.
    tables["forecasts"]["mae_ml"] = -tables["forecasts"]["crps_ml"]
    shown = headline_table([tables], SEEN_LINES)
    forecasts = tables["forecasts"].query("target == 'iph_ml' and center == 'all'")
    crps = forecasts.set_index("model")["crps_ml"]
    assert shown.loc["CRPS of follow-up IPH, mL", "hemexp"].startswith(f"{crps['hemexp']:.2f} [")
    assert shown.loc["skill against climatology", "climatology"].startswith("0.00")
    best = crps[[name for name in crps.index if "tabular" in name]].min()
    assert find_estimate(SEEN_LINES[0], BEST, tables)[0] == best
    # The band round these bleeds holds no voxel: the whole brain stands for it.
    tables["maps"]["region"] = tables["maps"]["region"].replace({"brain": "band", "band": "brain"})
    maps = tables["maps"].query("region == 'band' and reference == 'outcome' and center == 'all'")
    skill = maps.set_index("model")["skill"]
    shown = headline_table([tables], SEEN_LINES).loc["skill of the map of new blood"]
    assert shown["hemexp"].startswith(f"{skill['hemexp']:.2f} [")


CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("there is no Chromium: `apt install chromium`")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser):
    """Opens a page; a fault of its script, or a request that leaves its folder, fails."""
    page, faults = browser.new_page(viewport={"width": 1280, "height": 900}), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda one: one.url.startswith("http") and faults.append(one.url))
    yield page
    page.close()
    assert not faults


def column(page, place):
    cells = page.locator(f"tbody tr:visible > :nth-child({place})")
    return [text.strip() for text in cells.all_inner_texts()]


@pytest.mark.browser
def test_the_index_is_sorted_and_searched(reported, opened):
    opened.goto(reported.report_page("patients").as_uri())
    place = HEADER.index("Forecast IPH, mL") + 1
    button = opened.get_by_role("button", name="Sort by Forecast IPH, mL")
    for sign, way in ((1, "ascending"), (-1, "descending")):
        button.press("Enter")
        cells = column(opened, place)
        known = [float(cell) for cell in cells if cell != "–"]
        assert known == sorted(known, reverse=sign < 0) and len(known) == 4
        # What is missing stays below, whichever way.
        assert set(cells[4:]) == {"–"}
        assert opened.locator(f"th[aria-sort={way}]").count() == 1
    opened.get_by_role("searchbox").fill("PREDICT")
    assert column(opened, 1) == ["P0"]
    assert opened.locator("output").inner_text() == "1 of 11 shown"


@pytest.mark.browser
def test_the_first_page_is_one_screen(reported, opened):
    opened.goto(reported.report.as_uri())
    assert opened.evaluate("document.documentElement.scrollHeight") <= 900
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1280
    assert not opened.locator(".scores button").count()


@pytest.mark.browser
@pytest.mark.parametrize("name", ALL_PAGES)
def test_everybody_can_read_a_page(reported, opened, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    opened.goto(reported.report.with_name(f"{name}.html").as_uri())
    faults = axe.Axe().run(opened).response["violations"]
    found = [(fault["id"], fault["nodes"][0]["html"]) for fault in faults]
    assert not [found for fault in faults if fault["impact"] in ("serious", "critical")]


@pytest.mark.browser
def test_a_page_inside_another_has_no_links_that_lead_nowhere(reported, opened, tmp_path):
    source = reported.report_page("forecasts")
    write_text(tmp_path / "frame.html", f"<iframe src='{source.as_uri()}'></iframe>")
    opened.goto((tmp_path / "frame.html").as_uri())
    inner = opened.frames[1]
    inner.wait_for_selector("th button")
    links = inner.eval_on_selector_all("a[href]", "all => all.map(a => a.getAttribute('href'))")
    assert links and all(link.startswith("#") for link in links)
