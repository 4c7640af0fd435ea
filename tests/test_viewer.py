"""One patient's pictures: what is packed comes out again, and what is marked is where it lies."""

import base64
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from mini import REPOSITORY
from PIL import Image
from viewed_patient import (
    BLEED_MM,
    BRIGHT_MM,
    ORDER,
    PATIENT,
    RADII_MM,
    iph_ml,
    lattice,
    write_patient,
)

from hemexp.layout import Layout
from hemexp.preprocess.transforms import write_transform
from hemexp.provenance import sidecar_path, write_json
from hemexp.reporting.patient import FOLDER, layers
from hemexp.reporting.patient.dots import BINS, NAME, dot_figure, place_names, stack_dots
from hemexp.reporting.patient.layers import Layers, lay_mask, on_slider, pack_samples
from hemexp.reporting.patient.pack import (
    EXACT,
    finest,
    lay_tiles,
    pack_ct,
    pack_mask,
    pack_probability,
    to_bytes,
    unpack_mask,
)
from hemexp.reporting.patient.texts import read_texts
from hemexp.reporting.patient.viewer import SCRIPTS, viewer_pieces
from hemexp.volumes import Volume

PAGE = "<!doctype html><html lang='en'><meta charset='utf-8'><title>t</title>{}<main>{}</main>{}"


def picture_of(packed):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(packed["webp"]))).convert("L"))


def payload_of(pieces):
    text = re.search(r'id="viewer-payload">(.*?)</script>', pieces.scripts, re.DOTALL)[1]
    return json.loads(text)


@pytest.mark.parametrize("shape", [(5, 3, 7), (8, 8, 2), (1, 1, 1)])
def test_a_mask_comes_out_as_it_went_in(shape):
    mask = np.random.default_rng(1).random(shape) > 0.6
    assert np.array_equal(unpack_mask(pack_mask(mask)), mask)


def test_equal_masks_give_equal_text():
    mask = np.ones((4, 5, 6), dtype=bool)
    assert pack_mask(mask) == pack_mask(mask.copy())


def test_every_slice_has_a_tile_of_whole_blocks():
    values = np.random.default_rng(2).integers(0, 256, (20, 10, 5), dtype=np.uint8)
    picture = lay_tiles(values)
    assert picture.shape == (2 * 16, 3 * 32)
    assert np.array_equal(picture[16:26, 32:52], values[:, :, 4].T)
    assert picture[10:16].max() == 0


def test_a_scan_is_packed_without_loss_and_a_drawn_ct_within_its_noise():
    rng = np.random.default_rng(3)
    values = np.clip(rng.normal(100, 4, (40, 48, 6)), 1, 255).astype(np.uint8)
    assert np.array_equal(picture_of(pack_ct(values, EXACT)), lay_tiles(values))
    tiles = lay_tiles(values).astype(float)
    inside = tiles > 0
    errors = [np.abs(picture_of(pack_ct(values, q)) - tiles)[inside].mean() for q in (90, 40)]
    assert 0 < errors[0] < errors[1] < 4


def test_hu_become_bytes_and_what_is_outside_is_black():
    hu = np.array([[[-1000.0, -20.0, 80.0, 180.0, 900.0]]])
    assert to_bytes(hu).ravel().tolist() == [1, 1, 128, 255, 255]
    assert to_bytes(hu, hu < 100).ravel().tolist() == [1, 1, 128, 0, 0]


def test_coarser_voxels_fill_the_same_box():
    box = Volume(np.zeros((31, 40, 9)), np.diag([-0.5, 0.5, 5.0, 1.0]))
    coarse = finest(box, 1.2)
    assert coarse.data.shape == (13, 17, 9)
    for corner in ((-0.5, -0.5, -0.5), (1, 1, 1)):
        ends = [
            v.affine @ [*(np.where(np.array(corner) < 0, -0.5, np.array(v.data.shape) - 0.5)), 1]
            for v in (box, coarse)
        ]
        assert np.allclose(*ends)
    assert finest(box, 0.2).data.shape == box.data.shape


def test_a_voxel_lies_in_the_box_where_it_lies_in_the_head():
    angle = np.deg2rad(12)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    box = lattice((30, 34, 20), (2.0, 2.0, 3.0), 1)
    box = Volume(box.data, tilt @ box.affine)
    mask = lattice((24, 26, 14), (2.5, 2.5, 4.0), -1)
    mask.data[4:8, 10:13, 6:9] = 1
    laid = lay_mask(mask, box, np.eye(4))
    middle = box.affine @ [*np.argwhere(laid).mean(0), 1]
    assert np.allclose(middle, mask.affine @ [5.5, 11, 7, 1], atol=0.7)
    ml = laid.sum() * box.voxel_ml / (mask.data.sum() * mask.voxel_ml)
    assert ml == pytest.approx(1, abs=0.1)


def test_a_mask_beside_the_box_is_nowhere_in_it():
    box = lattice((6, 6, 6), (1.0, 1.0, 1.0), 1)
    assert not lay_mask(box.with_data(np.zeros((6, 6, 6))), box, np.eye(4)).any()


def test_of_many_samples_the_slider_takes_some_with_both_ends():
    table = pd.DataFrame({"sample": range(120), "iph_ml": np.arange(120.0)})
    kept = on_slider(table, 50)
    assert len(kept) == 50 and kept["iph_ml"].iloc[[0, -1]].tolist() == [0, 119]
    assert kept["iph_ml"].diff().dropna().between(2, 3).all()
    assert on_slider(table.head(7), 50)["sample"].tolist() == [*range(7)]


def test_dots_of_equal_volumes_lie_on_one_another():
    assert stack_dots(np.array([0.0, 0.1, 100.0, 50.0]), (0, 100)) == [
        (0, 0),
        (0, 1),
        (BINS - 1, 0),
        (BINS // 2, 0),
    ]


def test_the_figure_marks_thresholds_and_the_true_volume():
    figure = dot_figure([8.0, 12.0, 30.0], 12.0, 20.0)
    places = {line["name"]: line["x"] for line in figure["lines"]}
    at = {float(label): x for x, label in figure["ticks"]}
    (low, left), (high, right) = min(at.items()), max(at.items())
    wanted = {"baseline": 12, "relative": 15.96, "absolute": 18, "true": 20}
    for name, volume_ml in wanted.items():
        assert places[name] == pytest.approx(
            left + (right - left) * (volume_ml - low) / (high - low), abs=0.2
        )
    assert figure["expands_from"] == places["relative"]
    assert [x for x, _ in figure["dots"]] == sorted(x for x, _ in figure["dots"])


def test_names_of_near_lines_do_not_touch():
    placed = place_names({"a": 100, "b": 100 + NAME / 2, "c": 100 + NAME, "d": 400})
    rows = [line["y"] for line in placed]
    assert rows[0] == rows[2] == rows[3] != rows[1]


def test_less_room_lowers_the_quality(tmp_path, monkeypatch):
    read = Layers(write_patient(tmp_path), PATIENT, "baseline")
    most = len(pack_ct(read.sample_ct(ORDER[-1]), 70)["webp"]) * len(ORDER)
    assert pack_samples(read, ORDER)[1] == 90
    monkeypatch.setattr(layers, "SAMPLE_BYTES", most)
    assert pack_samples(read, ORDER)[1] == 70
    monkeypatch.setattr(layers, "SAMPLE_BYTES", 10)
    assert pack_samples(read, ORDER)[1] == 40


def test_the_payload_has_samples_by_volume_and_masks_where_they_lie(tmp_path):
    payload = payload_of(viewer_pieces(write_patient(tmp_path), PATIENT, read_texts()))
    assert [one["sample"] for one in payload["samples"]] == ORDER
    assert [one["iph_ml"] for one in payload["samples"]] == [iph_ml(RADII_MM[k]) for k in ORDER]
    box = Volume(np.zeros(payload["box"]["shape"]), np.array(payload["box"]["affine"]))
    assert np.all(np.diag(box.affine) > 0)
    for masks in (payload["scans"]["baseline"], *payload["samples"]):
        mask = unpack_mask(masks["iph"])
        assert mask.shape == box.data.shape
        middle = (box.affine @ [*np.argwhere(mask).mean(0), 1])[:3]
        assert np.allclose(middle, BLEED_MM, atol=3)
    sizes = [unpack_mask(one["iph"]).sum() for one in payload["samples"]]
    assert sizes == sorted(sizes) and sizes[-1] > 5 * sizes[0]
    assert payload["samples"][0]["ct"]["shape"] == [*finest(box, 6.0).data.shape]


def test_what_lies_on_the_followups_axes_is_brought_back(tmp_path):
    layout = write_patient(tmp_path)
    moved = np.eye(4)
    moved[:3, 3] = [8, 0, 0]
    write_transform(layout.pair(PATIENT).transform, moved, np.zeros(3))
    read = Layers(layout, PATIENT, "followup")
    mask = unpack_mask(read.sample_masks(ORDER[0])["iph"])
    middle = (read.box.affine @ [*np.argwhere(mask).mean(0), 1])[:3]
    assert np.allclose(middle, np.array(BLEED_MM) - [8, 0, 0], atol=3)


def test_without_samples_there_are_scans_and_a_sentence(tmp_path):
    layout = write_patient(tmp_path, followup=False, samples=False)
    pieces = viewer_pieces(layout, PATIENT, read_texts())
    assert "No follow-up was drawn of this patient" in pieces.body
    assert "viewer-slider" not in pieces.body and pieces.body.count("<select") == 1


def test_a_single_sample_has_a_slider_of_one(tmp_path):
    layout = write_patient(tmp_path)
    path = layout.sample_volumes(PATIENT)
    pd.read_csv(path, sep="\t").head(1).to_csv(path, sep="\t", index=False)
    body = viewer_pieces(layout, PATIENT, read_texts()).body
    assert body.count("<circle") == 1 and 'max="0"' in body


def test_texts_stay_texts(tmp_path):
    texts = dict.fromkeys(read_texts(), "</script><b>'\"")
    pieces = viewer_pieces(write_patient(tmp_path), PATIENT, texts)
    assert "<b>" not in pieces.body and pieces.scripts.count("</script>") == 2


def test_equal_results_give_equal_pieces(tmp_path):
    layout = write_patient(tmp_path)
    one, two = (viewer_pieces(layout, PATIENT, read_texts())[:3] for _ in range(2))
    assert one == two


def test_the_script_names_nothing_that_is_not_there(tmp_path):
    joined = tmp_path / "viewer.js"
    script = "\n".join((FOLDER / name).read_text() for name in SCRIPTS)
    assert set(re.findall(r"texts\.(viewer_\w+)", script)) <= set(read_texts())
    joined.write_text(script)
    rules = ["--deny=no-undef", "--deny=no-unused-vars", "--deny-warnings"]
    command = ["oxlint", f"--config={REPOSITORY}/.oxlintrc.json", *rules, str(joined)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.fixture(scope="module")
def chromium():
    """A started browser, for all tests of this file."""
    program = shutil.which("chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if program is None:
        pytest.skip("no Chromium to open a page with: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page with the viewer, and what it said and asked for."""

    def __init__(self, browser, folder, pieces):
        """Writes the page and opens it from its file."""
        path = folder / "page.html"
        path.write_text(PAGE.format(pieces.head, pieces.body, pieces.scripts), encoding="utf-8")
        self.payload, self.asked, self.said = payload_of(pieces), [], []
        self.page = browser.new_page(viewport={"width": 1200, "height": 900})
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#viewer[data-ready=yes]")
        self.shows(len(self.payload["samples"]) // 2)

    def shows(self, place):
        """Waits until the sample at a place of the slider is shown."""
        if self.payload["samples"]:
            self.page.wait_for_selector(f"#viewer[data-sample='{place}']")

    def pixels(self, column, axis=2):
        """Colours of a picture, (rows, columns, 3)."""
        canvas = f".viewer-column:nth-child({column + 1}) canvas[data-axis='{axis}']"
        url = self.page.eval_on_selector(canvas, "canvas => canvas.toDataURL()")
        data = base64.b64decode(url.split(",")[1])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)

    def pixel_of(self, place_mm, picture, axis=2):
        """Row and column of a place of the head in a picture of all of it."""
        box = self.payload["box"]
        index = (np.linalg.inv(box["affine"]) @ [*place_mm, 1])[:3]
        share = (index + 0.5) / box["shape"]
        across, down = ((1, 2), (0, 2), (0, 1))[axis]
        rows, columns = picture.shape[:2]
        return round((1 - share[down]) * rows), round((1 - share[across]) * columns)

    def toggle(self, name, on):
        """Ticks or clears a box of what is shown."""
        self.page.set_checked(f"[name=viewer-show][value={name}]", on)

    def large(self, column=0):
        """The large picture of a column."""
        return self.page.locator(f".viewer-column:nth-child({column + 1}) canvas.large")

    def where(self):
        """What is said of the crosshair."""
        return self.page.inner_text("#viewer-where")


def orange(picture):
    """Which pixels have the colour of the IPH outline."""
    return np.abs(picture - [230, 159, 0]).sum(-1) < 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("viewed")
    write_patient(root)
    return root


@pytest.fixture(scope="module")
def pieces(folder):
    return viewer_pieces(Layout(folder), PATIENT, read_texts())


@pytest.fixture
def opened(chromium, folder, pieces):
    found = Opened(chromium, folder, pieces)
    yield found
    assert [url for url in found.asked if url != found.page.url] == []
    assert found.said == []
    found.page.close()


@pytest.mark.browser
def test_what_lies_on_the_patients_right_is_on_the_left_of_the_picture(opened):
    for name in ("cross", "iph", "ivh", "outline"):
        opened.toggle(name, False)
    for axis in (2, 1, 0):
        picture = opened.pixels(0, axis)
        row, column = opened.pixel_of(BLEED_MM, picture, axis)
        assert picture[row, column].tolist() == pytest.approx([223, 223, 223], abs=4)
    picture = opened.pixels(0)
    row, column = opened.pixel_of(BRIGHT_MM, picture)
    assert column < picture.shape[1] / 2 and row > picture.shape[0] / 2
    assert picture[row, column].min() > 225
    assert picture[row, -column].max() < 130
    _, bleed = opened.pixel_of(BLEED_MM, picture)
    assert bleed > picture.shape[1] / 2


@pytest.mark.browser
def test_dragging_the_slider_changes_picture_and_volume_together(opened):
    opened.page.evaluate(
        "() => { window.told = []; document.addEventListener('hemexp:sample',"
        " (event) => window.told.push(event.detail)); }"
    )
    opened.toggle("outline", False)
    opened.toggle("cross", False)
    box = opened.page.locator("#viewer-slider").bounding_box()
    y, areas = box["y"] + box["height"] / 2, []
    opened.page.mouse.move(box["x"] + box["width"] / 2, y)
    opened.page.mouse.down()
    for place, k in [(0, 3), (4, 2), (1, 0)]:
        opened.page.mouse.move(box["x"] + 10 + place / 4 * (box["width"] - 20), y, steps=3)
        opened.shows(place)
        assert opened.page.inner_text("[data-fact=iph] span") == f"{iph_ml(RADII_MM[k]):.1f} mL"
        assert opened.page.locator(".viewer-dots circle.now").count() == 1
        told = opened.page.evaluate("() => window.told.at(-1)")
        assert (told["sample"], told["rank"], told["count"]) == (k, place + 1, 5)
        _, columns = np.nonzero(orange(opened.pixels(1)))
        areas.append(np.ptp(columns))
    opened.page.mouse.up()
    wide = np.array(areas) / opened.pixels(1).shape[1]
    assert wide[0] < wide[2] < wide[1]
    sides_mm = (
        np.array(opened.payload["box"]["shape"]) * np.diag(opened.payload["box"]["affine"])[:3]
    )
    assert wide[1] * sides_mm[0] == pytest.approx(2 * RADII_MM[2], abs=7)


@pytest.mark.browser
def test_layers_are_switched_on_and_off(opened):
    assert orange(opened.pixels(0)).sum() > 50
    opened.toggle("iph", False)
    assert orange(opened.pixels(0)).sum() == 0
    plain = opened.pixels(0)
    opened.page.locator(".viewer-column select").nth(0).select_option("map_drawn")
    opened.page.wait_for_function(
        "() => document.querySelector('.viewer-note').textContent.startsWith('Share')"
    )
    colour = np.ptp(opened.pixels(0), axis=-1)
    assert np.ptp(plain, axis=-1).max() < 250 < 50 * (colour > 60).sum()
    opened.page.check("[value=blood]")
    assert not np.array_equal(opened.pixels(0), plain)


@pytest.mark.browser
def test_keys_alone_do_all(opened):
    opened.large().focus()
    start = opened.where()
    opened.page.keyboard.press("PageUp")
    up = opened.where()
    number = int(re.search(r"slice (\d+)", start)[1])
    assert f"slice {number + 1} of" in up and "18.0 mm" in up and "6.0 mm" in start
    opened.page.keyboard.press("ArrowRight")
    assert float(re.search(r"L ([\d.]+)", opened.where())[1]) > 36
    opened.page.keyboard.press(".")
    opened.shows(3)
    opened.page.keyboard.press("s")
    assert opened.large().get_attribute("data-axis") == "0"
    assert "Sagittal" in opened.where()
    assert opened.page.evaluate("() => document.activeElement.dataset.axis") == "0"
    whole = opened.pixels(0, 0)
    opened.page.keyboard.press("+")
    assert not np.array_equal(opened.pixels(0, 0), whole)
    opened.page.keyboard.press("0")
    assert np.array_equal(opened.pixels(0, 0), whole)
    opened.page.keyboard.press("w")
    assert opened.page.is_checked("[value=blood]")
    opened.page.locator("#viewer-slider").focus()
    opened.page.keyboard.press("Home")
    opened.shows(0)
    assert "1 of 5" in opened.page.get_attribute("#viewer-slider", "aria-valuetext")


@pytest.mark.browser
def test_the_wheel_turns_slices_and_a_click_moves_the_crosshair(opened):
    opened.large().hover()
    opened.page.mouse.wheel(0, 100)
    opened.page.wait_for_function(
        "() => document.getElementById('viewer-where').textContent.includes('I 6.0')"
    )
    opened.page.mouse.wheel(0, -100)
    opened.page.wait_for_function(
        "() => document.getElementById('viewer-where').textContent.includes('S 6.0')"
    )
    picture = opened.pixels(0)
    row, column = opened.pixel_of(BRIGHT_MM, picture)
    opened.large().click(position={"x": column, "y": row})
    said = opened.where()
    x, y, z = (float(text) for text in re.findall(r"[RLAPSI] ([\d.]+)", said)[-3:])
    assert (x, y, z) == pytest.approx((42, 38, 6), abs=1.5)
    assert (" R " in said and " P " in said) or "· R " in said
    assert int(re.search(r"(\d+) HU", said)[1]) == pytest.approx(100, abs=1)


@pytest.mark.browser
def test_the_script_unpacks_what_was_packed(chromium):
    rng = np.random.default_rng(5)
    mask = rng.random((7, 5, 3)) > 0.5
    values = rng.integers(1, 256, (21, 18, 5), dtype=np.uint8)
    share = rng.random((4, 3, 2))
    packed = [pack_mask(mask), pack_ct(values, EXACT), pack_probability(share)]
    page = chromium.new_page()
    page.add_script_tag(path=FOLDER / "volumes.js")
    bits, tiles, steps = page.evaluate(
        "async (all) => (await Promise.all(all.map(unpack)))"
        ".map((volume) => [...(volume.bits ?? volume.values)])",
        packed,
    )
    page.close()
    flags = np.unpackbits(np.array(bits, dtype=np.uint8), bitorder="little")[: mask.size]
    assert np.array_equal(flags.astype(bool), mask.ravel(order="F"))
    assert tiles == values.ravel(order="F").tolist()
    assert np.allclose(np.array(steps) / 255, share.ravel(order="F"), atol=0.002)


@pytest.mark.browser
def test_the_outline_of_a_mask_runs_between_its_voxels(chromium):
    page = chromium.new_page()
    for name in ("volumes.js", "planes.js"):
        page.add_script_tag(path=FOLDER / name)
    plane = [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    steps = page.evaluate(
        "(plane) => [...outlineSteps({ wide: 4, high: 3, plane: Uint8Array.from(plane) })]", plane
    )
    page.close()
    following = dict(steps)
    point, loop = steps[0][0], []
    while point not in loop:
        loop.append(point)
        point = following[point]
    assert len(loop) == len(steps) == 6
    assert {tuple(map(int, p.split(","))) for p in loop} == {
        *[(3, 2), (5, 2), (3, 4), (5, 4), (2, 3), (6, 3)]
    }


@pytest.mark.browser
def test_masks_that_were_found_are_dashed(chromium, opened, tmp_path):
    layout = write_patient(tmp_path, followup=False, samples=False)
    record = {"verb": "segment-scan", "settings": {"method": "network"}}
    write_json(sidecar_path(layout.native(PATIENT, "baseline").iph), record)
    opened.toggle("cross", False)
    found = Opened(chromium, tmp_path, viewer_pieces(layout, PATIENT, read_texts()))
    found.toggle("cross", False)
    assert found.page.inner_text(".viewer-note").endswith("dashed")
    lengths = [orange(one.pixels(0)).sum() / len(one.pixels(0)) for one in (found, opened)]
    found.page.close()
    assert 0.3 < lengths[0] / lengths[1] < 0.8


@pytest.mark.browser
def test_a_page_without_samples_shows_the_scan(chromium, tmp_path):
    layout = write_patient(tmp_path, followup=False, samples=False)
    found = Opened(chromium, tmp_path, viewer_pieces(layout, PATIENT, read_texts()))
    assert orange(found.pixels(0)).sum() > 50
    assert found.said == []
    found.page.close()
