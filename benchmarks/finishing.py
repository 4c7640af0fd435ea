"""CPU seconds of one sample beside the networks: references, finish and writing, by part.

    python benchmarks/finishing.py --results results --patient A10 --full-size

A patient's baseline of a finished run stands for a sample: what a decoder would say of its
reference is made of the reference itself. With `--full-size` it is enlarged to 384 x 384 x 36 and
given noise.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from hemexp.anatomy.noise import Noise
from hemexp.anatomy.prepared import prepare
from hemexp.anatomy.reference import ReferenceScan, Told, limit_push, make_reference
from hemexp.grid_scan import GridScan, read_grid_scan
from hemexp.layout import Layout
from hemexp.sampling.finish import Finish, finish_sample, relate, ventricle_reach
from hemexp.sampling.patient import Baseline
from hemexp.sampling.sample import DecodedScan
from hemexp.settings import Reference
from hemexp.volumes import Volume, write_volume

SHAPE, SPACING_MM = (384, 384, 36), np.array([0.55, 0.55, 5.0])
TOLD = Told(8.0, np.array([0.5, -1.0, 0.8]), 6.0, 2.0)
SINK_PER_MM2, KEPT_TEXTURE, RUNS = 3e-3, 0.4, 3
"""Of a fitted push and of training pairs of the demo; the least of three runs is printed."""


def enlarge(scan: GridScan) -> GridScan:
    """The same head on the grid of `full`, with noise of about 4 HU."""
    middles = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(SHAPE, SPACING_MM, strict=True)]
    at = np.meshgrid(
        *(
            middle / mm + (n - 1) / 2
            for middle, mm, n in zip(middles, scan.ct.spacing_mm, scan.brain.shape, strict=True)
        ),
        indexing="ij",
    )
    ct, *masks = (
        ndimage.map_coordinates(image.astype(np.float32), at, np.float32, order=1)
        for image in (scan.ct.data, scan.iph, scan.ivh, scan.brain)
    )
    iph, ivh, brain = (mask > 0.5 for mask in masks)
    noise = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    ct += 9 * ndimage.gaussian_filter(noise, (0.8, 0.8, 0))
    ct = np.where(brain, np.rint(ct), 0).astype(np.float32)
    return GridScan(Volume(ct, np.diag([*SPACING_MM, 1])), iph & brain, ivh & brain, brain)


def decode(reference: ReferenceScan, more: float) -> DecodedScan:
    """What a decoder might say of a sample near its reference: logits a little higher."""
    iph, ivh = (
        8 * (ndimage.gaussian_filter(mask, (1, 1, 0.5)) - 0.5)
        for mask in (reference.iph, reference.ivh)
    )
    ct_hu = ndimage.gaussian_filter(reference.ct_hu, (0.8, 0.8, 0))
    return DecodedScan(ct_hu, iph + np.float32(more), ivh)


def timed(part: str, work: Callable[[], object]) -> object:
    """Prints the CPU seconds of a part."""
    seconds = []
    for _ in range(RUNS):
        started = time.process_time()
        made = work()
        seconds.append(time.process_time() - started)
    print(f"| {part} | {min(seconds):.3f} |", flush=True)
    return made


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--patient", required=True)
    parser.add_argument("--full-size", action="store_true")
    args = parser.parse_args()
    whole = read_grid_scan(Layout(args.results), args.patient, "baseline")
    whole = enlarge(whole) if args.full_size else whole
    scan, frame, kind = (
        whole.cut(whole.frame),
        whole.frame,
        Reference.model_validate({"shell": "tilted", "warp": True, "ivh": True}),
    )
    print(f"| part, {' x '.join(map(str, whole.brain.shape))} | CPU s |\n|---|---|")
    prepared = timed("once a patient: levels, push", lambda: prepare(scan, kind, SINK_PER_MM2))
    noise = timed(
        "once a patient: noise", lambda: Noise.of(scan, prepared.ventricles, KEPT_TEXTURE)
    )
    told = limit_push(prepared, TOLD)
    made = timed("reference: warp and shell", lambda: make_reference(prepared, told))
    more = told._replace(growth_ml=told.growth_ml + 1)
    timed("reference again, with more blood", lambda: make_reference(prepared, more, made.seen))
    decoded, beside = decode(made, 0.3), decode(made, 0.0)
    related = timed("beside the reference", lambda: relate(decoded, beside, made, scan.brain))
    volumes = (float(mask.sum()) * scan.ct.voxel_ml for mask in (scan.iph, scan.ivh))
    reach = ventricle_reach(scan, prepared.room > 0)
    finish = Finish(Baseline(scan, *volumes), prepared.hu, reach, True, noise)
    raw, rng = related.labels(scan.brain), np.random.default_rng(1)
    sample = timed("finish", lambda: finish_sample(related, raw, told, finish, rng))

    def write() -> None:
        ct_hu, path = np.rint(sample.ct_hu).astype(np.int16), Path(folder) / "image.nii.gz"
        write_volume(path, frame.spread(ct_hu), whole.ct.affine, np.int16)
        write_volume(path, frame.spread(sample.labels), whole.ct.affine, np.uint8)

    with tempfile.TemporaryDirectory() as folder:
        timed("writing both files", write)


if __name__ == "__main__":
    main()
