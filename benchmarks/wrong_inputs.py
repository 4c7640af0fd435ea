"""What becomes of wrong masks, cut brains and noise: refused, warned of, or passed in silence.

    python benchmarks/wrong_inputs.py [DATA] [--heads 8]

Without DATA phantom heads with IVH are drawn, as the demo has them. DATA is a folder with a
`samples.tsv`; its baselines are used. Each head is made wrong in one way at a time, written, and
read by the checks of `strip-skull` and the limits of the quality control.
"""

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from hemexp.cohort import read_sheet
from hemexp.config import load_settings
from hemexp.phantom.centers import find_center
from hemexp.phantom.draw import draw_scans
from hemexp.preprocess.coarse import crop
from hemexp.preprocess.quality import scan_warnings
from hemexp.preprocess.scans import NativeScan
from hemexp.preprocess.slices import head_axis, slice_areas
from hemexp.preprocess.strip import read_scan
from hemexp.settings import Preprocess
from hemexp.sheet import scan_files
from hemexp.volumes import ImageError, Volume, write_volume

PATIENTS = ("A04", "B03", "C03", "D07", "A05", "B10", "C09", "D08")
"""Of the demo, two a centre, with IVH at baseline."""

SLICES, VOXELS = 2, 30
"""How far a mask is moved: through the slices, and within them."""

CUT_PARTS = (0.10, 0.25, 0.50)
"""Of the brain's volume, in whole slices."""

NOISE_HU = (10, 20, 40, 60)
"""SD of white noise added to the scan."""

OUTCOMES = ("refused", "warned", "silent")
PAIR_MEASURES = ("rotation_deg", "translation_mm", "iph_grid_ml", "ivh_grid_ml")
"""What the quality control knows of a scan later, and is not asked here."""


class Case(NamedTuple):
    """One head, made wrong in one way.

    Attributes:
        kind: How, a row of the table.
        scan: The result.
    """

    kind: str
    scan: NativeScan


def phantom_heads(count: int) -> Iterator[tuple[str, NativeScan]]:
    """Names and baselines of the demo's phantom."""
    settings = load_settings({"preset": "demo"}).phantom
    for patient_id in PATIENTS[:count]:
        scans, affine, _ = draw_scans(patient_id, find_center(patient_id[0]), settings)
        drawn = scans["baseline"]
        ct = Volume(drawn.ct.astype(np.float32), affine)
        yield patient_id, NativeScan(ct, ct.with_data(drawn.iph > 0), ct.with_data(drawn.ivh > 0))


def raw_heads(data: Path, count: int, settings: Preprocess) -> Iterator[tuple[str, NativeScan]]:
    """Names and baselines of a folder with a sample sheet."""
    for row in read_sheet(data / "samples.tsv").iloc[:count].to_dict("records"):
        name, files = row["patient_id"], scan_files(row, "baseline")
        yield name, read_scan(name, "baseline", files, settings.skull_strip, settings.raw)[0]


def shifted(mask: NDArray[np.bool_], steps: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask moved by whole voxels; what leaves the image is lost."""
    return ndimage.shift(mask, steps, order=0)


def moved(mask: NDArray[np.bool_], axes: tuple[int, ...], voxels: int) -> list[NDArray[np.bool_]]:
    """A mask moved to and fro along each of some axes."""
    ways = itertools.product(axes, (voxels, -voxels))
    return [shifted(mask, tuple(np.eye(3, dtype=int)[axis] * step)) for axis, step in ways]


def wrong_masks(mask: Volume) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Ways to get one mask wrong, in words that follow `IPH` or `IVH`."""
    through, _ = head_axis(mask.affine)
    within = tuple({0, 1, 2} - {through})
    disc = np.moveaxis(ndimage.generate_binary_structure(2, 1)[None], 0, through)
    yield "flipped head-foot", np.flip(mask.data, through)
    yield from ((f"moved by {SLICES} slices", m) for m in moved(mask.data, (through,), SLICES))
    yield from ((f"moved by {VOXELS} voxels", m) for m in moved(mask.data, within, VOXELS))
    yield "one voxel too large", ndimage.binary_dilation(mask.data, disc)
    yield "one voxel too small", ndimage.binary_erosion(mask.data, disc)


def mask_cases(scan: NativeScan) -> Iterator[Case]:
    """Heads with a wrong IPH or a wrong IVH mask."""
    iph, ivh = scan.iph, scan.ivh
    for kind, mask in wrong_masks(iph):
        yield Case(f"IPH {kind}", replace(scan, iph=iph.with_data(mask)))
    if not ivh.data.any():
        return
    for kind, mask in wrong_masks(ivh):
        if mask.any():  # a thin one may be gone
            yield Case(f"IVH {kind}", replace(scan, ivh=ivh.with_data(mask)))
    to_iph = np.subtract(*(ndimage.center_of_mass(mask.data) for mask in (iph, ivh)))
    on_iph = shifted(ivh.data, tuple(np.rint(to_iph).astype(int)))
    yield Case("IVH moved onto the IPH", replace(scan, ivh=ivh.with_data(on_iph)))
    yield Case("IPH and IVH swapped", replace(scan, iph=ivh, ivh=iph))


def cut_cases(scan: NativeScan, brain: Volume) -> Iterator[Case]:
    """Heads that the scan cuts off, where a part of the IPH is left."""
    through, direction = head_axis(brain.affine)
    areas, count = slice_areas(brain), brain.data.shape[through]
    for part, end in itertools.product(CUT_PARTS, ("lower", "upper")):
        along = areas if end == "lower" else areas[::-1]
        lost = int(np.searchsorted(np.cumsum(along), part * areas.sum())) + 1
        first = (end == "lower") == (direction > 0)
        kept = slice(lost, count) if first else slice(0, count - lost)
        box = tuple(kept if axis == through else slice(0, None) for axis in range(3))
        images = (crop(image, box) for image in (scan.ct, scan.iph, scan.ivh))
        if (left := NativeScan(*images)).iph.data.any():
            yield Case(f"brain cut by {part:.0%}, {end} end", left)


def noise_cases(scan: NativeScan, seed: int) -> Iterator[Case]:
    """Heads with more noise."""
    white = np.random.default_rng(seed).standard_normal(scan.ct.data.shape, dtype=np.float32)
    for noise_hu in NOISE_HU:
        hu = np.clip(scan.ct.data + noise_hu * white, -1024, 3071)
        yield Case(f"noise of SD {noise_hu} HU", replace(scan, ct=scan.ct.with_data(hu)))


def write_scan(scan: NativeScan, folder: Path) -> dict[str, Path]:
    """Writes a scan as a study gives it: files by image, no `ivh` where there is none."""
    files = {name: folder / f"{name}.nii" for name in ("ct", "iph", "ivh")}
    for name, path in files.items():
        kind = np.int16 if name == "ct" else np.uint8
        image = getattr(scan, name)
        write_volume(path, np.rint(image.data) if name == "ct" else image.data, image.affine, kind)
    if not scan.ivh.data.any():
        del files["ivh"]
    return files


def judge(scan: NativeScan, folder: Path, settings: Preprocess) -> str:
    """What becomes of a scan, one of `OUTCOMES`."""
    files = write_scan(scan, folder)
    try:
        *_, row = read_scan("X", "baseline", files, settings.skull_strip, settings.raw)
    except ImageError:
        return "refused"
    unknown = dict.fromkeys(PAIR_MEASURES, float("nan"))
    return "warned" if scan_warnings(row | unknown, None, settings.quality) else "silent"


def judge_head(scan: NativeScan, seed: int, settings: Preprocess) -> list[tuple[str, str]]:
    """Kind and outcome of every wrong copy of a head, and of the right one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_scan(scan, folder)
        _, brain, _ = read_scan("X", "baseline", files, settings.skull_strip, settings.raw)
        cases = itertools.chain(
            [Case("right", scan)],
            mask_cases(scan),
            cut_cases(scan, brain),
            noise_cases(scan, seed),
        )
        return [(case.kind, judge(case.scan, folder, settings)) for case in cases]


def tabulate(found: list[tuple[str, str]]) -> pd.DataFrame:
    """A row a kind: kind, n, and how many were refused, warned of and silent."""
    table = pd.DataFrame(found, columns=["kind", "outcome"])
    counts = table.groupby("kind", sort=False)["outcome"].value_counts().unstack(fill_value=0)
    counts = counts.reindex(columns=[*OUTCOMES], fill_value=0)
    counts.insert(0, "n", counts.sum(axis=1))
    return counts.reset_index()


def main() -> None:
    """Prints the table; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="a folder with a samples.tsv")
    parser.add_argument("--heads", type=int, default=100, help="at most so many")
    args = parser.parse_args()
    settings = load_settings({"preset": "full"}).preprocess
    heads = phantom_heads(args.heads)
    if args.data:
        heads = raw_heads(args.data, args.heads, settings)
    found = []
    for seed, (name, scan) in enumerate(heads):
        found += judge_head(scan, seed, settings)
        print(f"{name}: {len(found)} scans judged", file=sys.stderr, flush=True)
    print(tabulate(found).to_string(index=False))


if __name__ == "__main__":
    main()
