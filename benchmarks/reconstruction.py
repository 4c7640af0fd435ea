"""What the autoencoder gives back of held-out scans, for some changes of its settings.

    python benchmarks/reconstruction.py --results RESULTS --samples SHEET
        [--rows feature_channels=8 "feature_channels=64;steps=1000"] [--also RESULTS2 SHEET2]

`RESULTS/preprocess` holds grid scans of a run of the workflow; patients of the sheet's split
`train` are learned from, `test` and `predict` are scored. `--also` scores scans of another run on
the same voxels. *Noise* is the PSNR that a decoder would have that gives back everything but the
scan's noise, whose SD is estimated from second differences inside the brain (Immerkaer 1996):
more is only reached by encoding noise.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from coherence import as_markdown
from scipy.ndimage import binary_erosion, convolve
from torch import Tensor

from hemexp.autoencoder.network import MultiHeadVae
from hemexp.autoencoder.slices import SliceSet, StoredSlices, slices_of, store_slices
from hemexp.autoencoder.train import train
from hemexp.cohort import read_sheet
from hemexp.config import load_settings
from hemexp.grid_scan import read_grid_scan
from hemexp.latents.encode import encode_images, reconstruction_scores
from hemexp.layout import Layout
from hemexp.settings import Autoencoder
from hemexp.training import Checkpoint

SECOND_DIFFERENCE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6
BATCH = 48
WINDOW_HU = 100.0

Scans = list[tuple[str, str]]


def scans_of(sheet: Path, splits: tuple[str, ...]) -> Scans:
    """Patient and session of every scan of these splits."""
    table = read_sheet(sheet)
    return [
        (patient_id, session)
        for patient_id, row in table[table["split"].isin(splits)].iterrows()
        for session in (("baseline",) if row["split"] == "predict" else ("baseline", "followup"))
    ]


def noise_psnr_db(scan: SliceSet) -> float:
    """PSNR of the scan against itself without its noise."""
    found = []
    for image in scan.ct_hu.numpy().astype(float):
        inside = binary_erosion(image > 0, iterations=3)
        found.append(convolve(image, SECOND_DIFFERENCE)[inside])
    return float(20 * np.log10(WINDOW_HU / np.concatenate(found).std()))


def score(vae: MultiHeadVae, folder: Path, scans: Scans) -> dict[str, float]:
    """Means over scans; Dice over those that show such blood."""
    rows = []
    for patient_id, session in scans:
        scan = slices_of(read_grid_scan(Layout(folder), patient_id, session))
        latents: Tensor = encode_images(vae, scan.images(), BATCH)
        rows.append(
            reconstruction_scores(vae, scan, latents, BATCH) | {"noise_db": noise_psnr_db(scan)}
        )
    table = pd.DataFrame(rows).astype(float)
    return {
        "IPH Dice": table["iph_dice"].mean(),
        "IVH Dice": table["ivh_dice"].mean(),
        "PSNR dB": table["psnr_db"].mean(),
        "noise dB": table["noise_db"].mean(),
    }


def fit(slices: StoredSlices, settings: Autoencoder) -> MultiHeadVae:
    """An autoencoder trained from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        vae, _ = train(slices, settings, 1, Checkpoint(Path(folder) / "last.ckpt", {}))
    return vae.eval()


def main() -> None:
    """Trains one autoencoder a width and prints one row for each and each set of scans."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--also", type=Path, nargs=2, default=None, metavar=("RESULTS", "SHEET"))
    widths = [f"feature_channels={n}" for n in (8, 64, 256)]
    meaning = "changes of the demo's `autoencoder`, a row each: key=value;key=value"
    parser.add_argument("--rows", nargs="+", default=widths, help=meaning)
    args = parser.parse_args()
    torch.set_num_threads(1)
    base = load_settings({"preset": "demo"}).autoencoder
    slices = store_slices(
        Layout(args.results), scans_of(args.samples, ("train",)), Path(tempfile.gettempdir())
    )
    sets = [("held-out", args.results, scans_of(args.samples, ("test", "predict")))]
    if args.also:
        sets.append(
            ("other", args.also[0], scans_of(args.also[1], ("train", "val", "test", "predict")))
        )
    for changes in args.rows:
        update = {k: json.loads(v) for k, v in (one.split("=") for one in changes.split(";"))}
        vae = fit(slices, base.model_copy(update=update))
        for name, folder, scans in sets:
            row = {"changes": changes, "scans": name} | score(vae, folder, scans)
            print(as_markdown(pd.DataFrame([row])), flush=True)


if __name__ == "__main__":
    main()
