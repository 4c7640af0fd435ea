"""The quality control page: its pictures by their geometry, its text, and a real browser."""

import base64
import io
import re
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from hemexp.config import load_settings
from hemexp.layout import Layout
from hemexp.preprocess.page import html_picture, judge, rank, read_text_table, run_write_qc
from hemexp.preprocess.thumbnails import (
    COLOURS,
    FIELD_MM,
    PIXEL_MM,
    choose_planes,
    draw_pair,
    draw_scan,
    sample,
    write_png,
)
from hemexp.volumes import Volume

LIMITS = load_settings({"preset": "demo"}).preprocess.quality
SHAPE, SPACING = (41, 47, 23), (4.1, 4.3, 7.0)
PANELS = {"low": 0, "bloody": 1, "high": 2, "coronal": 3, "sagittal": 4}


def scanner(spacing=SPACING, shape=SHAPE):
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing + (5.0, -9.0, 12.0)
    return affine


def places(affine, shape=SHAPE):
    return np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]


def ball(where, centre, radii):
    return np.sum(((where - centre) / radii) ** 2, axis=-1) <= 1


def head(affine=None, shape=SHAPE):
    """CT and masks: IPH on the left, in front and high; IVH behind it on the right."""
    affine = scanner() if affine is None else affine
    where = places(affine, shape) - (5.0, -9.0, 12.0)
    ct = np.full(shape, -1000.0, dtype=np.float32)
    ct[ball(where, 0, (72, 88, 62))], ct[ball(where, 0, (64, 80, 54))] = 900, 32
    ct[ball(where, (0, 0, 6), (10, 30, 12))] = 5
    iph, ivh = ball(where, (-34, 30, 21), (15, 18, 16)), ball(where, (20, -30, 7), (8, 12, 8))
    ct[iph | ivh] = 62
    masks = {"brain": ball(where, 0, (64, 80, 54)), "iph": iph, "ivh": ivh}
    return Volume(ct, affine), masks


def panel(picture, name):
    """One of the five panels, without the white lines between them."""
    widths = [112, 112, 112, 112, 140]
    start = sum(width + 2 for width in widths[: PANELS[name]])
    return picture[:, start : start + widths[PANELS[name]]]


def where_colour(picture, mask):
    """Rows and columns of a contour."""
    return np.nonzero((picture == COLOURS[mask]).all(axis=-1))


def test_the_patients_right_is_on_the_left_the_front_on_top_and_high_is_high():
    picture = draw_scan(*head())
    rows, columns = where_colour(panel(picture, "bloody"), "iph")
    assert rows.max() < 70 and columns.min() > 56, "axial: front above, patient's left on right"
    rows, columns = where_colour(panel(picture, "coronal"), "iph")
    assert rows.mean() < 62 and columns.min() > 56, "coronal: up above, patient's left on right"
    scan, masks = head()
    masks["iph"] = np.roll(masks["iph"], round(34 / SPACING[0]), axis=0)
    rows, columns = where_colour(panel(draw_scan(scan, masks), "sagittal"), "iph")
    assert rows.mean() < 62 and columns.max() < 70, "sagittal: up above, front on the left"


def test_the_axial_planes_go_from_low_to_high_at_quarters_of_the_brain():
    scan, masks = head()
    heights = [plane.affine[:3] @ [69.5, 55.5, 0, 1] for plane in choose_planes(scan, masks)[:3]]
    low, bloody, high = (height[2] - 12 for height in heights)
    assert (low, high) == pytest.approx((-24.5, 24.5), abs=4)
    assert bloody == pytest.approx(21, abs=0.1)


ORIENTATIONS = [
    nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    for codes in ("RAS", "LPS", "LAI", "PIR", "SLA", "ASR", "IPL")
]


@pytest.mark.parametrize("change", ORIENTATIONS)
def test_the_order_of_the_voxels_does_not_change_a_picture(change):
    scan, masks = head()
    turned = nib.orientations.apply_orientation
    affine = scan.affine @ nib.orientations.inv_ornt_aff(change, SHAPE)
    other = Volume(turned(scan.data, change), affine)
    got = draw_scan(other, {name: turned(mask, change) for name, mask in masks.items()})
    different = np.any(got != draw_scan(scan, masks), axis=-1).mean()
    assert different < 0.002


def test_a_tilted_scan_is_shown_as_it_was_acquired():
    scan, masks = head()
    turn = np.deg2rad(18)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    tilted = Volume(scan.data, tilt @ scan.affine)
    assert np.mean(draw_scan(tilted, masks) != draw_scan(scan, masks)) < 0.002


def test_a_contour_encloses_its_mask_at_the_scale_of_the_picture():
    scan, masks = head()
    picture = panel(draw_scan(scan, masks, ("brain",)), "bloody")
    rows, columns = where_colour(picture, "brain")
    plane = choose_planes(scan, masks)[1]
    inside = sample(Volume(masks["brain"], scan.affine), plane, np.eye(4), 0) >= 0.5
    assert not inside[rows, columns].any(), "just outside, so that what is inside stays visible"
    height_mm = (np.ptp(rows) - 1) * PIXEL_MM
    z = round(23 / 2 + 21 / 7.0)
    rows_of_mask = np.flatnonzero(masks["brain"][:, :, z].any(axis=0))
    assert height_mm == pytest.approx(np.ptp(rows_of_mask) * SPACING[1] + SPACING[1], abs=6)
    assert not where_colour(picture, "iph")[0].size


def test_without_blood_the_planes_go_through_the_brains_middle():
    scan, masks = head()
    bare = masks | {name: np.zeros(SHAPE, dtype=bool) for name in ("iph", "ivh")}
    plane = choose_planes(scan, bare)[1]
    centre = plane.affine @ [69.5, 55.5, 0, 1]
    assert centre[:3] == pytest.approx([5, -9, 12], abs=0.01)


def test_a_mask_that_leaks_is_seen_whole():
    shape = (41, 47, 45)
    scan, masks = head(scanner(shape=shape), shape)
    masks["brain"][18:22, 20:24, :] = True
    planes = choose_planes(scan, masks)
    pixel_mm = np.linalg.norm(planes[3].affine[:3, 0])
    assert pixel_mm * FIELD_MM[2] / PIXEL_MM > 45 * 7.0, "taller than the leak"
    rows, _ = where_colour(panel(draw_scan(scan, masks), "sagittal"), "brain")
    assert rows.min() > 0 and rows.max() < 139


def rigid(turn_deg, shift_mm):
    turn = np.deg2rad(turn_deg)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix[:3, 3] = shift_mm
    return matrix


def test_the_checkerboard_fits_with_the_right_matrix_only():
    scan, masks = head()
    matrix = rigid(9.0, (6.0, -8.0, 11.0))
    moving = Volume(scan.data, matrix @ scan.affine)
    same = draw_pair(scan, masks, scan, np.eye(4)).astype(float)
    assert np.abs(draw_pair(scan, masks, moving, matrix) - same).mean() < 0.01
    for wrong in (np.eye(4), np.linalg.inv(matrix)):
        assert np.abs(draw_pair(scan, masks, moving, wrong) - same).mean() > 3


def test_the_checkerboard_takes_its_fields_in_turn_from_either_scan():
    scan, masks = head()
    both = draw_pair(scan, masks, Volume(np.full_like(scan.data, -1000), scan.affine), np.eye(4))
    brain = panel(both, "bloody")[40:100, 30:82]
    assert np.mean(brain.max(axis=-1) > 0) == pytest.approx(0.5, abs=0.1)
    assert brain[46 - 40, 34 - 30].max() == 0 and brain[46 - 40, 46 - 30].max() > 0


def test_a_picture_file_is_small_exact_and_always_the_same(tmp_path):
    picture = draw_scan(*head())
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        write_png(path, picture)
    assert np.array_equal(np.asarray(Image.open(paths[0]).convert("RGB")), picture)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size < 15_000 and picture.shape == (140, 596, 3)


def scan_row(name, session, **changed):
    row = {
        "patient_id": name,
        "session": session,
        "iph_ml": 10.0,
        "ivh_ml": 0.0,
        "iph_grid_ml": 10.2,
        "ivh_grid_ml": 0.0,
        "brain_ml": 1550.0,
        "lowest_share": 0.05,
        "highest_share": 0.05,
        "compactness": 0.75,
        "rotation_deg": np.nan,
        "translation_mm": np.nan,
        "registration_metric": np.nan,
        "status": "ok",
        "reason": "",
        "notes": "",
    }
    if session == "followup":
        row |= {"rotation_deg": 3.0, "translation_mm": 4.0, "registration_metric": -1.5}
    return row | changed


def cohort():
    """Rows of `qc.tsv`: good, better, doubtful, failed, and a patient without follow-up."""
    warned = {"status": "warning", "rotation_deg": 36.0, "reason": "turned by 36.0 deg (limit 30)"}
    gone = dict.fromkeys(("iph_grid_ml", "ivh_grid_ml", "rotation_deg", "translation_mm"), np.nan)
    failed = {
        "status": "failed",
        "reason": "no <b>head</b>",
        "registration_metric": np.nan,
        **gone,
    }
    return [
        scan_row("007", "baseline"),
        scan_row("007", "followup"),
        scan_row("good", "baseline"),
        scan_row("good", "followup", rotation_deg=15.0),
        scan_row("NA", "baseline"),
        scan_row("NA", "followup", **warned),
        scan_row("solo", "baseline", notes="converted from DICOM"),
        scan_row("lost", "baseline", **failed),
        scan_row("lost", "followup", **failed),
    ]


def write_cohort(layout, rows):
    """The tables and the pictures as the verbs leave them; the failed patient's are empty."""
    lines = ["\t".join("" if row[c] != row[c] else str(row[c]) for c in rows[0]) for row in rows]
    layout.qc.parent.mkdir(parents=True, exist_ok=True)
    layout.qc.write_text("\n".join(["\t".join(rows[0]), *lines]) + "\n")
    layout.excluded.write_text(
        "patient_id\tsession\tstep\treason\nlost\tbaseline\tstrip-skull\tno <b>head</b>\n"
    )
    scan, masks = head()
    native, grid = draw_scan(scan, masks), draw_scan(scan, masks, ("ivh", "iph"))
    pair = draw_pair(scan, masks, scan, np.eye(4))
    for row in rows:
        name = row["patient_id"]
        for files, picture in ((layout.native, native), (layout.grid, grid)):
            path = files(name, row["session"]).picture
            write_png(path, picture)
            if name == "lost":
                path.write_bytes(b"")
        if row["session"] == "followup" and name != "lost":
            write_png(layout.pair(name).picture, pair)


def write_page(layout):
    run_write_qc(layout, LIMITS, layout.root / "accepted_masks.tsv")
    return layout.qc_page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("run"))
    write_cohort(layout, cohort())
    write_page(layout)
    return layout.qc.parent


def card(text, name):
    return text.split(f"id='sub-{name}'>")[1].split("</section>")[0]


def pictures(text):
    return re.findall(r"data:image/png;base64,([\w+/=]+)", text)


def test_ratios_are_distances_from_the_limits():
    pair = [scan_row("a", "baseline"), scan_row("a", "followup", brain_ml=1395.0)]
    before, after = judge(pair, LIMITS)
    assert before["brain_ml"] == pytest.approx((1550 / 1395 - 1) / LIMITS.brain_change)
    assert after["rotation_deg"] == pytest.approx(3.0 / LIMITS.rotation_deg)
    assert before["iph_grid_ml"] == pytest.approx(0.2 / 10 / LIMITS.grid_volume_error)
    assert "rotation_deg" not in before and "registration_metric" not in after


def test_patients_are_ranked_by_status_then_by_worst_number_then_by_name():
    near = [scan_row("a", "baseline", brain_ml=2150.0)]
    far = [scan_row("b", "baseline", brain_ml=1600.0)]
    twin = [scan_row("c", "baseline", brain_ml=1600.0)]
    doubtful = [scan_row("z", "baseline", status="warning")]
    failed = [scan_row("y", "baseline", status="failed"), scan_row("y", "followup")]
    order = sorted([twin, far, near, doubtful, failed], key=lambda scans: rank(scans, LIMITS))
    assert order == [failed, doubtful, near, far, twin]


def test_the_page_lists_every_patient_worst_first(results):
    text = (results / "qc.html").read_text(encoding="utf-8")
    assert re.findall(r"id='sub-(\w+)'", text) == ["lost", "NA", "good", "007", "solo"]
    assert "5 patients, 9 scans: 6 ok, 1 warning, 2 failed. Patients excluded: 1." in text
    assert "Research software, not a medical device." in text


def test_a_number_beyond_its_limit_has_a_sign_and_a_reason(results):
    text = (results / "qc.html").read_text(encoding="utf-8")
    assert re.findall(r"<td class='doubtful'[^>]*>([^<]*)</td>", text) == ["36.0 !"]
    assert "Follow-up: turned by 36.0 deg (limit 30)" in card(text, "NA")
    assert ">15.0 ✓</td>" in card(text, "good") and "<td>-1.500</td>" in card(text, "good")
    assert "Baseline: converted from DICOM" in card(text, "solo")


def test_an_excluded_patient_is_told_with_the_step_and_without_broken_pictures(results):
    lost = card((results / "qc.html").read_text(encoding="utf-8"), "lost")
    assert "excluded: strip-skull failed" in lost and "no &lt;b&gt;head&lt;/b&gt;" in lost
    assert lost.count("No picture") == 5 and "<img" not in lost and "nan" not in lost


def test_a_patient_without_followup_has_the_baseline_only(results):
    solo = card((results / "qc.html").read_text(encoding="utf-8"), "solo")
    assert len(pictures(solo)) == 2 and "Follow-up" not in solo and "No picture" not in solo


def test_the_page_holds_its_pictures_and_links_to_nothing(results):
    text = (results / "qc.html").read_text(encoding="utf-8")
    found = pictures(text)
    assert len(found) == text.count("<img") == 3 * 5 + 2
    for data in found:
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (596, 140)
    assert not re.search(r"(src|href)='(?!data:)|<script|url\(", text)


def test_equal_runs_write_equal_pages_and_keep_the_tables_sidecar(results):
    before = (results / "qc.html").read_bytes()
    (results / "qc.json").write_text("of qc.tsv")
    write_page(Layout(results.parent))
    assert (results / "qc.html").read_bytes() == before
    assert (results / "qc.json").read_text() == "of qc.tsv"
    assert '"verb": "write-qc"' in (results / "qc.html.json").read_text()


def test_tables_are_read_as_text_with_numbers(results):
    table = read_text_table(results / "qc.tsv")
    assert {"007", "NA"} <= set(table["patient_id"]) and table["rotation_deg"].dtype == float
    assert html_picture(results / "absent.png", "x").count("No picture") == 1


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def browse(page, folder, *options):
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
        *options,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH")
def test_a_browser_shows_every_patient_and_the_pictures(results, tmp_path):
    page, shot = results / "qc.html", tmp_path / "page.png"
    options = "--dump-dom", f"--screenshot={shot}", "--window-size=1366,2400"
    dom = browse(page, tmp_path, *options)
    shown = re.sub(r"<style.*?</style>|<[^>]+>", " ", dom, flags=re.DOTALL)
    for row in cohort():
        assert f" {row['patient_id']} " in shown
    pixels = np.asarray(Image.open(shot).convert("RGB"))
    assert pixels.shape == (2400, 1366, 3)
    counts = np.unique(pixels.astype(int) @ (65536, 256, 1), return_counts=True)[1]
    assert len(counts) > 500 and counts.max() < 0.75 * counts.sum(), "not blank"
    # White frames of broken pictures have neither the black round a head nor its contours.
    dark = np.mean(pixels.max(axis=-1) < 8)
    orange = np.sum(np.abs(pixels.astype(int) - COLOURS["iph"]).sum(axis=-1) < 60)
    assert dark > 0.15 and orange > 2000
