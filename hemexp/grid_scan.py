"""One scan on the common grid, as `resample-scan` leaves it: the only reader of these files."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hemexp.anatomy.boxes import Frame
from hemexp.layout import Layout
from hemexp.volumes import Volume, read_volume


@dataclass(frozen=True)
class GridScan:
    """A skull-stripped scan and its masks, all on one grid whose axes run right, front and up.

    Attributes:
        ct: CT in HU, 0 outside the brain.
        iph: IPH mask (x, y, z).
        ivh: IVH mask (x, y, z).
        brain: Brain mask (x, y, z).
    """

    ct: Volume
    iph: NDArray[np.bool_]
    ivh: NDArray[np.bool_]
    brain: NDArray[np.bool_]

    @classmethod
    def of_volumes(cls, ct: Volume, iph: Volume, ivh: Volume, brain: Volume) -> Self:
        """A scan from its four images, masks 0 or 1."""
        return cls(ct, *(mask.data > 0 for mask in (iph, ivh, brain)))

    @property
    def blood(self) -> NDArray[np.bool_]:
        """IPH or IVH (x, y, z)."""
        return self.iph | self.ivh

    @property
    def frame(self) -> Frame:
        """The part of the grid that holds brain and blood."""
        return Frame.of(self.brain | self.blood)

    def cut(self, frame: Frame) -> Self:
        """The scan within a frame."""
        affine = self.ct.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ [side.start for side in frame.box]
        masks = (frame.cut(mask) for mask in (self.iph, self.ivh, self.brain))
        return GridScan(Volume(frame.cut(self.ct.data), affine), *masks)


def read_grid_scan(layout: Layout, patient_id: str, session: str) -> GridScan:
    """Reads one scan of a patient.

    Args:
        layout: Of the run.
        patient_id: Patient of the sheet.
        session: `baseline` or `followup`.

    Raises:
        ImageError: A file cannot be read.
    """
    images = layout.grid(patient_id, session).images
    return GridScan.of_volumes(*(read_volume(path) for path in images))
