"""The page of a patient at full size: its bytes, what it costs to make, and how fast it opens.

python benchmarks/patient_page.py [--samples 50] [--out FOLDER]

A phantom patient scanned at 0.45 mm, on the grid of preset `full`. The follow-ups are made up: the
bleed grows evenly by 50 volumes, with a scanner's noise. Seconds to the first picture are those of
a headless Chromium that opens the file three times, each time anew. Needs `playwright` and
`chromium`; without them the page is made alone.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from hemexp.columns import CLINICAL, SESSIONS
from hemexp.config import load_settings
from hemexp.layout import Layout
from hemexp.phantom.centers import Center
from hemexp.phantom.draw import draw_scans
from hemexp.preprocess.grid import lay_grid
from hemexp.preprocess.resample import resample_scan
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.transforms import write_transform
from hemexp.provenance import write_json
from hemexp.reporting.patient.page import run_write_patient_page
from hemexp.settings import Settings
from hemexp.volumes import Volume, volume_ml, write_volume

PATIENT, OPENS = "F01", 3
CENTER = Center("F", 0.45, 5.0, (1, 1, 1), 0.0, (0.0, 0.0, 0.0), 3.5, 2.0)
"""The phantom's centre A with the pixels of a head CT of 512 x 512."""

NOISE_HU, NOISE_VOXELS, NEW_HU = 3.0, 0.8, 62.0
"""Of a made-up follow-up: SD of the noise, its width in the plane, and fresh blood."""

GROWTH_MM = (1.2, 2.5)
"""Shape and scale (mm) of the gamma law of how far the bleed's surface moves."""


class OnGrid(NamedTuple):
    """The baseline on the grid: HU and masks (x, y, z)."""

    space: Volume
    ct: NDArray
    iph: NDArray
    ivh: NDArray
    brain: NDArray


def write_scans(layout: Layout, settings: Settings) -> OnGrid:
    """Both native scans, their volumes, how the second is laid on the first; and the grid's."""
    scans, affine, truth = draw_scans(PATIENT, CENTER, settings.phantom)
    for session in SESSIONS:
        scan, files = scans[session], layout.native(PATIENT, session)
        images = {name: getattr(scan, name) for name in ("ct", "iph", "ivh", "brain")}
        for name, data in images.items():
            write_volume(getattr(files, name), data, affine, data.dtype)
        row = {f"{m}_ml": volume_ml(Volume(images[m], affine)) for m in ("iph", "ivh")}
        save(row, files.volumes)
    motion = np.array(truth["baseline_to_followup"])
    write_transform(layout.pair(PATIENT).transform, motion, np.zeros(3))
    moved = {name: truth[name] for name in ("rotation_deg", "translation_mm")}
    save(moved | {"overlap": 1.0}, layout.pair(PATIENT).qc)
    first = scans["baseline"]
    ct, iph, ivh, brain = (
        Volume(np.asarray(getattr(first, name), np.float32), affine)
        for name in ("ct", "iph", "ivh", "brain")
    )
    space = lay_grid(brain.with_data(brain.data > 0), settings.preprocess.grid)
    found = resample_scan(NativeScan(ct, iph, ivh), brain.data > 0, space, np.eye(4))
    for name, data in found.items():
        kind = "int16" if name == "ct" else "uint8"
        write_volume(getattr(layout.grid(PATIENT, "baseline"), name), data, space.affine, kind)
    return OnGrid(space, **found)


def save(row: dict[str, object], path: Path) -> None:
    """Writes a table of one row."""
    pd.DataFrame([{"patient_id": PATIENT} | row]).to_csv(path, sep="\t", index=False)


def write_samples(layout: Layout, scan: OnGrid, count: int, rng: Generator) -> None:
    """Made-up follow-ups, their table, and the map of their new blood."""
    space, width = scan.space, (NOISE_VOXELS, NOISE_VOXELS, 0)
    noise = ndimage.gaussian_filter(rng.standard_normal(scan.ct.shape, np.float32), width)
    noise *= NOISE_HU / noise.std()
    even_hu = ndimage.gaussian_filter(scan.ct, width)
    away_mm = ndimage.distance_transform_edt(~scan.iph, sampling=space.spacing_mm)
    share, rows = np.zeros(scan.ct.shape, np.float32), []
    for k in range(count):
        iph = (away_mm <= rng.gamma(*GROWTH_MM)) & scan.brain & ~scan.ivh
        new = iph & ~scan.iph
        hu = np.where(new, NEW_HU, even_hu) + np.roll(noise, 7 * k, axis=0)
        files = layout.sample(PATIENT, k)
        write_volume(files.ct, np.where(scan.brain, hu, 0), space.affine, "int16")
        write_volume(files.labels, iph + 2 * scan.ivh, space.affine, "uint8")
        share += new / count
        rows.append((k, *(volume_ml(space.with_data(mask)) for mask in (iph, scan.ivh))))
    write_volume(layout.sample_map(PATIENT, "expansion"), share, space.affine, "float32")
    table = pd.DataFrame(rows, columns=["sample", "iph_ml", "ivh_ml"])
    told = {"draws": "independent", "condition": "growth", "indicator": "predicted"}
    table = table.assign(
        iph_raw_ml=table["iph_ml"], midline_shift_mm=0.0, disagrees=0, kept=1, **told
    )
    table.to_csv(layout.sample_volumes(PATIENT), sep="\t", index=False)


def write_answers(layout: Layout) -> None:
    """What a model of growth might say of the patient."""
    case = {"p_expansion": 0.3, "p_growth_6ml": 0.2, "growth_ml": [-1.0, 0.0, 2.0, 5.0, 12.0]}
    ivh = {"p_growth_33pct": 0.3, "p_ivh_growth": 0.1, "ivh_growth_ml": [0.0, 0.0, 0.0, 0.0, 1.0]}
    answers = {
        "model": "four_variable",
        "outside_probability": None,
        "values": dict.fromkeys([*CLINICAL, "baseline_iph_ml", "baseline_ivh_ml"]),
        "forecast": case | ivh,
        "cases": [{"variable": "as_is", "value": None, **case}],
        "over_time": None,
        "patients": None,
        "recalibrated": [],
        "training": None,
    }
    write_json(layout.patient_answers(PATIENT), answers)


def first_picture_s(page: Path, opens: int) -> list[float]:
    """Seconds from opening to the first picture, of a browser started anew each time."""
    from playwright.sync_api import sync_playwright

    found, program = [], shutil.which("chromium")
    with sync_playwright() as started:
        for _ in range(opens):
            browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
            shown = browser.new_page(viewport={"width": 1400, "height": 900})
            shown.goto(page.as_uri(), wait_until="commit")
            shown.wait_for_selector("#viewer[data-ready=yes]")
            mark = "performance.getEntriesByName('hemexp:first-picture')[0].startTime"
            found.append(shown.evaluate(mark) / 1000)
            browser.close()
    return found


def main(out: Path, samples: int) -> None:
    """Makes the patient and the page, and prints a table."""
    layout, settings = Layout(out), load_settings({"preset": "full"})
    scan = write_scans(layout, settings)
    write_samples(layout, scan, samples, np.random.default_rng(1))
    write_answers(layout)
    row = pd.Series({"patient_id": PATIENT, "center": "F", "split": "test", "baseline_ct": ""})
    started_s = time.process_time()
    page = run_write_patient_page(layout, row, ("", ""), seed=1)
    made_s = time.process_time() - started_s
    print(f"follow-ups          {samples}")
    print(f"page, MB            {page.stat().st_size / 1e6:.1f}")
    print(f"making it, CPU s    {made_s:.0f}")
    try:
        opened = ", ".join(f"{s:.1f}" for s in first_picture_s(page, OPENS))
    except ImportError:
        opened = "Playwright is not installed"
    print(f"first picture, s    {opened}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--out", type=Path, help="folder to keep; else a temporary one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        main((asked.out or Path(temporary)).absolute(), asked.samples)
