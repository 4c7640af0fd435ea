"""The figure of drawn follow-ups beside the true one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from hemexp.provenance import patient_file
from hemexp.reporting.slices import (
    View,
    caption,
    choose_view,
    mark_sides,
    outline,
    picture_grid,
    show_ct,
    show_map,
)
from hemexp.reporting.style import IPH, IVH, message_figure, strip_axes
from hemexp.volumes import Volume, read_ras

PERCENTILES = (10, 50, 90)
"""The samples shown: those whose IPH volume lies nearest to these percentiles."""

PICTURE_MM = 25.5
"""Width of one picture: six, a label and a colour bar fill the page."""


@dataclass(frozen=True)
class Scan:
    """CT (HU) and masks of one scan on the grid, each (x, y, z) in RAS, and its IPH volume."""

    ct_hu: NDArray
    iph: NDArray
    ivh: NDArray
    iph_ml: float


@dataclass(frozen=True)
class PanelRow:
    """What one row of the panel figure shows; `followup` is None where it is unknown."""

    patient_id: str
    brain: Volume
    baseline: Scan
    followup: Scan | None
    samples: list[Scan]
    expansion: NDArray


def choose_panel_patients(outcomes: pd.DataFrame, count: int) -> list[str]:
    """Patients shown in the panels, by rule: spread over growth, the unknown represented.

    Args:
        outcomes: `outcomes.tsv` of the sampled patients, indexed by patient.
        count: Number of rows.

    Returns:
        Test patients at equal steps of observed growth, the greatest first; if there are `predict`
        patients, the first of them takes the last row.
    """
    known = outcomes[outcomes["growth_ml"].notna()].sort_values("growth_ml", ascending=False)
    unknown = list(outcomes.index[outcomes["growth_ml"].isna()])
    seats = count - 1 if unknown and count > 1 else count
    places = np.linspace(0, len(known) - 1, min(seats, len(known))).round().astype(int)
    chosen = list(known.index[places])
    return chosen + unknown[: count - len(chosen)]


def draw_panels(rows: list[PanelRow]) -> Figure:
    """Rows of patients: baseline, true follow-up, three samples, expansion probability."""
    if not rows:
        return message_figure("No patient was sampled.")
    titles = [
        "Baseline",
        "True follow-up",
        *(f"Sample, P{p}" for p in PERCENTILES),
        "P(expansion)",
    ]
    views = [find_view(row) for row in rows]
    figure, grid = picture_grid(views, titles, PICTURE_MM)
    for axes, row, view in zip(grid, rows, views, strict=True):
        image = _draw_panel_row(axes, row, view)
    figure.colorbar(
        image,
        ax=grid[:, -1],
        shrink=0.6 if len(rows) > 1 else 0.9,
        aspect=25,
        label="Share of samples with new blood",
    )
    return figure


def find_view(row: PanelRow) -> View:
    """The slice with the most expected blood: chosen without looking at the truth."""
    return choose_view(row.brain, blood(row.baseline) + row.expansion)


def blood(scan: Scan) -> NDArray[np.bool_]:
    """IPH or IVH."""
    return (scan.iph > 0.5) | (scan.ivh > 0.5)


def _draw_panel_row(axes: NDArray, row: PanelRow, view: View) -> AxesImage:
    _show_scan(axes[0], row.baseline, view)
    mark_sides(axes[0])
    axes[0].set_ylabel(row.patient_id)
    if row.followup is None:
        strip_axes(axes[1])
        axes[1].text(
            0.5,
            0.5,
            "no follow-up",
            transform=axes[1].transAxes,
            ha="center",
            va="center",
            color="0.4",
        )
    else:
        _show_scan(axes[1], row.followup, view)
    for axis, sample in zip(axes[2:-1], row.samples, strict=True):
        _show_scan(axis, sample, view)
    show_ct(axes[-1], row.baseline.ct_hu, view)
    outline(axes[-1], blood(row.baseline), view, "white", width=0.5)
    return show_map(axes[-1], row.expansion, view)


def _show_scan(axes: Axes, scan: Scan, view: View) -> None:
    show_ct(axes, scan.ct_hu, view)
    outline(axes, scan.iph, view, IPH)
    outline(axes, scan.ivh, view, IVH)
    caption(axes, f"IPH {scan.iph_ml:.1f} mL")


def choose_samples(iph_ml: pd.Series) -> list[int]:
    """Numbers of the samples nearest to the percentiles of the volume.

    Args:
        iph_ml: Volumes, indexed by sample number.
    """
    targets = np.percentile(iph_ml, PERCENTILES)
    return [int((iph_ml - target).abs().idxmin()) for target in targets]


def read_panel_row(
    patient: pd.Series, volumes: pd.DataFrame, preprocess: Path, samples: Path
) -> tuple[PanelRow, list[Path]]:
    """Reads one row of the panels.

    Args:
        patient: Row of `outcomes.tsv`.
        volumes: The patient's `volumes.tsv`.
        preprocess: `results/preprocess`.
        samples: `results/samples`.

    Returns:
        The row and the files it came from.
    """
    name = str(patient.name)
    chosen = choose_samples(volumes.set_index("sample")["iph_ml"])
    iph_ml = volumes.set_index("sample")["iph_ml"]
    known = pd.notna(patient["followup_iph_ml"])
    baseline = grid_files(preprocess, name, "baseline")
    followup = grid_files(preprocess, name, "followup") if known else []
    drawn = [
        [patient_file(samples, name, f"sample-{k}_{end}.nii.gz") for end in ("ct", "dseg")]
        for k in chosen
    ]
    probability = patient_file(samples, name, "desc-expansion_probseg.nii.gz")
    row = PanelRow(
        name,
        read_ras(baseline[3]),
        read_grid(baseline, patient["baseline_iph_ml"]),
        read_grid(followup, patient["followup_iph_ml"]) if known else None,
        [_read_sample(*files, iph_ml[k]) for files, k in zip(drawn, chosen, strict=True)],
        read_ras(probability).data,
    )
    return row, [*baseline, *followup, *(path for pair in drawn for path in pair), probability]


def grid_files(preprocess: Path, patient_id: str, session: str) -> list[Path]:
    """CT, IPH, IVH and brain of one scan on the grid."""
    endings = ("ct", "desc-iph_mask", "desc-ivh_mask", "desc-brain_mask")
    return [
        patient_file(preprocess, patient_id, f"ses-{session}_space-grid_{ending}.nii.gz")
        for ending in endings
    ]


def read_grid(files: list[Path], iph_ml: float) -> Scan:
    """Reads the scan of `grid_files`."""
    return Scan(*(read_ras(path).data for path in files[:3]), iph_ml)


def _read_sample(ct: Path, labels: Path, iph_ml: float) -> Scan:
    label = read_ras(labels).data
    return Scan(read_ras(ct).data, label == 1, label == 2, iph_ml)
