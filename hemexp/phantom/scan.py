"""One scan of a phantom patient: HU and noise at the voxel centres of a scanner."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hemexp.phantom.bleed import Extent, Shape, ball_radius_mm
from hemexp.phantom.head import (
    AIR_HU,
    CAVITY_BOTTOM_MM,
    Field,
    Head,
    Points,
    blend,
    brain_hu,
    shell_hu,
)
from hemexp.phantom.tissue import DURA_MM, Blood, Filled, ScannerGrid, Session, Tissue, fill_head

UNEVEN_HU, UNEVEN_MM = 14, 3.5
"""Uneven blood is darker by up to 14 HU, in waves of 2 pi times 3.5 mm."""

SOFT_KERNEL = 0.6
"""Correlation of noise in the plane, in pixels."""

BLOOD_HU, BLOOD_FALL_HU, IVH_HU, POCKET_HU, OEDEMA_HU = 69, 9, 54, 40, 21
"""Fresh blood in the middle, its fall to the margin, blood in CSF, hypodense pocket, oedema."""


def paint(
    head: Head, bleed: Shape, tissue: Tissue, blood: Blood, volume_ml: float, oedema_mm: float
) -> Field:
    """HU inside the skull: tissue, oedema around the bleed, blood, pockets, blood in CSF."""
    values = brain_hu(head, tissue.material, tissue.cavity, tissue.ventricle)
    outside_mm = (blood.radius - 1) * ball_radius_mm(volume_ml)
    parenchyma = blend(-tissue.ventricle) * blend(tissue.cavity + np.float32(DURA_MM))
    oedema = 0.8 * blend(outside_mm - np.float32(oedema_mm), 3.0) * parenchyma * tissue.free
    values = (1 - oedema) * values + oedema * OEDEMA_HU
    clot_hu = BLOOD_HU - BLOOD_FALL_HU * np.clip(blood.radius, 0, 1) ** 2
    if bleed.unevenness:
        clot_hu = clot_hu - bleed.unevenness * _uneven_hu(tissue.points - bleed.center_mm[:, None])
    for pocket in bleed.pockets_mm:
        away = np.linalg.norm(tissue.points - (bleed.center_mm + pocket)[:, None], axis=0)
        share = blend(away - np.float32(bleed.pocket_radius_mm), 2.0)
        clot_hu = (1 - share) * clot_hu + share * POCKET_HU
    clot = blend(outside_mm) * tissue.free
    values = (1 - clot) * values + clot * clot_hu
    return np.where(blood.ivh, blend(tissue.ventricle) * (IVH_HU - values) + values, values)


def _uneven_hu(away_mm: Points) -> Field:
    """How much darker blood is at points (3, n) from the centre of the bleed, 0 to `UNEVEN_HU`."""
    x, y, z = away_mm / np.float32(UNEVEN_MM)
    wave = np.sin(x + 1.3 * np.sin(y)) * np.sin(y + 1.7 * np.sin(z))
    return np.float32(UNEVEN_HU) * np.clip(wave, 0, 1)


@dataclass(frozen=True)
class PhantomScan:
    """What a scanner gives, and the truth on its grid.

    Attributes:
        ct: HU, int16.
        iph: Mask, uint8.
        ivh: Mask, uint8.
        brain: Mask of the cavity above the foramen magnum, uint8.
        extent: How far the bleed reaches.
    """

    ct: NDArray[np.int16]
    iph: NDArray[np.uint8]
    ivh: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    extent: Extent


def take_scan(
    head: Head,
    bleed: Shape,
    session: Session,
    grid: ScannerGrid,
    noise_hu: float,
    rng: Generator,
    kernel: float = SOFT_KERNEL,
) -> PhantomScan:
    """Scans a patient: every tissue is evaluated at the voxel centres of the grid."""
    shape, _ = grid
    filled = fill_head(head, bleed, session, grid)
    inside, tissue, blood = filled.inside, filled.tissue, filled.blood
    values = np.empty(inside.size, np.float32)
    values[~inside] = shell_hu(head, filled.points[:, ~inside], filled.cavity[~inside])
    values[inside] = paint(head, bleed, tissue, blood, session.volume_ml, session.oedema_mm)
    ct = np.full(shape, AIR_HU, np.float32)
    ct.ravel()[filled.index] = values
    ct += draw_noise(shape, noise_hu, rng, kernel)
    return keep_scan(ct, filled)


def keep_scan(ct_hu: Field, filled: Filled) -> PhantomScan:
    """What a scanner stores of HU on a grid (x, y, z), and the truth there."""
    shape, blood = ct_hu.shape, filled.blood
    return PhantomScan(
        ct=np.clip(np.rint(ct_hu), -1024, 3071).astype(np.int16),
        iph=filled.mask(shape, blood.iph),
        ivh=filled.mask(shape, blood.ivh),
        brain=filled.mask(shape, filled.tissue.points[2] > CAVITY_BOTTOM_MM),
        extent=blood.extent,
    )


def draw_noise(
    shape: tuple[int, int, int], noise_hu: float, rng: Generator, kernel: float = SOFT_KERNEL
) -> Field:
    """Noise with the in-plane correlation of a reconstruction kernel.

    Args:
        shape: Of the scan.
        noise_hu: Its SD.
        rng: Random numbers.
        kernel: SD of the correlation in pixels; less is sharper.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = gaussian_filter(white, (kernel, kernel, 0), truncate=3)
    return smooth * np.float32(noise_hu / smooth.std())
