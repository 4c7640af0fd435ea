"""What the pictures of a patient show, and of which patients there are some."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hemexp.grid_scan import GridScan
from hemexp.reporting.reader import Reader
from hemexp.reporting.slices import View, choose_view, outline, show_ct, write_foot
from hemexp.reporting.style import IPH, IVH


@dataclass(frozen=True)
class Picture:
    """What is shown of one scan or drawn follow-up on the grid.

    Attributes:
        ct_hu: CT in HU (x, y, z).
        iph: IPH mask (x, y, z).
        ivh: IVH mask (x, y, z).
        iph_ml: IPH volume in native space.
    """

    ct_hu: NDArray
    iph: NDArray[np.bool_]
    ivh: NDArray[np.bool_]
    iph_ml: float

    @property
    def blood(self) -> NDArray[np.bool_]:
        """IPH or IVH."""
        return self.iph | self.ivh


@dataclass(frozen=True)
class PatientPictures:
    """What the pictures of one patient show.

    Attributes:
        patient_id: Of the patient.
        baseline: The first scan.
        followup: The second; None where it is unknown.
        expansion: Share of the samples with blood where the baseline had none, (x, y, z).
        view: The slice with the most expected blood: chosen without looking at the truth.
    """

    patient_id: str
    baseline: Picture
    followup: Picture | None
    expansion: NDArray
    view: View

    @property
    def new_blood(self) -> NDArray[np.bool_] | None:
        """Blood of the true follow-up where the baseline had none; None without a follow-up."""
        return None if self.followup is None else self.followup.blood & ~self.baseline.blood


def of_scan(scan: GridScan, iph_ml: float) -> Picture:
    """What is shown of a true scan."""
    return Picture(scan.ct.data, scan.iph, scan.ivh, iph_ml)


def choose_patients(outcomes: pd.DataFrame, count: int) -> list[str]:
    """Patients whose pictures are shown, by rule: spread over growth, the unknown represented.

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


def chosen_outcomes(reader: Reader, count: int) -> pd.DataFrame:
    """Outcomes of at most `count` patients whose pictures are shown, indexed by patient."""
    outcomes = reader.outcomes()
    forecast = reader.forecast_volumes(outcomes.index)
    return outcomes.loc[choose_patients(outcomes.loc[list(forecast)], count)]


def read_pictures(reader: Reader, outcome: pd.Series) -> PatientPictures:
    """Reads what is shown of one patient, but for the samples.

    Args:
        reader: Of the results.
        outcome: Row of `outcomes.tsv`.
    """
    name = str(outcome.name)
    scan = reader.scan(name, "baseline")
    expansion = reader.image(reader.layout.sample_map(name, "expansion"))
    followup = None
    if pd.notna(outcome["followup_iph_ml"]):
        followup = of_scan(reader.scan(name, "followup"), outcome["followup_iph_ml"])
    return PatientPictures(
        name,
        of_scan(scan, outcome["baseline_iph_ml"]),
        followup,
        expansion,
        choose_view(scan, scan.blood + expansion),
    )


def kept_iph_ml(reader: Reader, patient_id: str) -> pd.Series:
    """IPH volumes in mL of the samples that stayed on disk, by number."""
    volumes = reader.table(reader.layout.sample_volumes(patient_id)).set_index("sample")
    return volumes.loc[volumes["kept"] == 1, "iph_ml"]


def nearest_sample(iph_ml: pd.Series, percentile: float) -> int:
    """Number of the sample nearest to a percentile of the volume.

    Args:
        iph_ml: Volumes, indexed by sample number.
        percentile: 0 to 100.
    """
    return int((iph_ml - np.percentile(iph_ml, percentile)).abs().idxmin())


def read_sample(reader: Reader, patient_id: str, k: int, iph_ml: float) -> Picture:
    """Reads what is shown of a drawn follow-up."""
    ct, labels = (reader.image(path) for path in reader.layout.sample(patient_id, k))
    return Picture(ct, labels == 1, labels == 2, iph_ml)


def show_picture(axes: Axes, picture: Picture, view: View) -> None:
    """Draws a slice of a CT with the contours of its blood and its volume."""
    show_ct(axes, picture.ct_hu, view)
    outline(axes, picture.iph, view, IPH)
    outline(axes, picture.ivh, view, IVH)
    write_foot(axes, f"IPH {picture.iph_ml:.1f} mL")
