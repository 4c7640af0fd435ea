"""Images as text in a page: CT as lossy pictures, masks and maps exactly, in one box of the head.

Every layer fills the box edge to edge, with as many columns and rows as it has detail; slices are
the same for all. So the page needs one geometry alone.
"""

import base64
import gzip
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hemexp.volumes import Volume

STORED_HU = (-20, 180)
"""What 8 bits hold: the widest window of the page. A step is 0.8 HU, a fifth of a scan's noise."""

OUTSIDE = 0
"""Stored where there is nothing to show, such as beside the brain of a drawn CT: always black."""

BLOCK = 16
"""Pixels of WebP's largest block: tiles that start on one do not bleed into each other."""

EXACT = 100
"""Of WebP's quality: nothing is lost."""

EXACT_EFFORT = 40
"""WebP's 0-100; at 100 a picture takes three times as long for 2 % fewer bytes."""


def finest(box: Volume, spacing_mm: float) -> Volume:
    """The same box in voxels that are at least so wide in the slice, never finer than it was.

    Args:
        box: Whose shape and affine count.
        spacing_mm: Least distance of columns and of rows.

    Returns:
        An empty volume: shape and affine.
    """
    shape = np.array(box.data.shape)
    wide = np.maximum(spacing_mm / box.spacing_mm, 1)
    wide[2] = 1
    fewer = np.maximum(np.rint(shape / wide), 1).astype(int)
    factor = shape / fewer
    affine = box.affine @ np.diag([*factor, 1.0])
    affine[:3, 3] = (box.affine @ [*(factor - 1) / 2, 1.0])[:3]
    return Volume(np.zeros(fewer, dtype=bool), affine)


def to_bytes(hu: NDArray, inside: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """HU as 8 bits over `STORED_HU`; 0 outside.

    Args:
        hu: (x, y, z).
        inside: What is to be seen; everything where it is None.
    """
    low, high = STORED_HU
    stored = np.clip(np.rint((hu - low) / (high - low) * 255), 1, 255).astype(np.uint8)
    return stored if inside is None else np.where(inside, stored, np.uint8(OUTSIDE))


def lay_tiles(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """All slices of a volume side by side in one picture.

    Args:
        values: (x, y, z).

    Returns:
        Rows and columns of the picture: tiles of whole blocks, row by row, x along the columns.
    """
    x, y, z = values.shape
    across, high, wide = math.ceil(math.sqrt(z)), _whole(y), _whole(x)
    picture = np.zeros((math.ceil(z / across) * high, across * wide), dtype=np.uint8)
    for k in range(z):
        top, left = k // across * high, k % across * wide
        picture[top : top + y, left : left + x] = values[:, :, k].T
    return picture


def _whole(length: int) -> int:
    return math.ceil(length / BLOCK) * BLOCK


def pack_ct(values: NDArray[np.uint8], quality: int) -> dict[str, Any]:
    """A CT of 8 bits as one picture.

    Args:
        values: (x, y, z), from `to_bytes`.
        quality: Of WebP, 0-99, or `EXACT`.
    """
    buffer, exact = io.BytesIO(), quality == EXACT
    picture = Image.fromarray(lay_tiles(values))
    effort = EXACT_EFFORT if exact else quality
    picture.save(buffer, "webp", quality=effort, lossless=exact)
    return {"shape": list(values.shape), "webp": _text(buffer.getvalue())}


def pack_values(values: NDArray[np.uint8]) -> dict[str, Any]:
    """Numbers of 8 bits (x, y, z) without loss, x running fastest."""
    return {"shape": list(values.shape), "gzip": _zip(values.ravel(order="F").tobytes())}


def pack_probability(probability: NDArray) -> dict[str, Any]:
    """A map of probabilities (x, y, z) in steps of 1/255."""
    return pack_values(np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8))


def pack_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask (x, y, z), eight voxels a byte, x running fastest."""
    bits = np.packbits(mask.ravel(order="F"), bitorder="little")
    return {"shape": list(mask.shape), "bits": _zip(bits.tobytes())}


def unpack_mask(packed: dict[str, Any]) -> NDArray[np.bool_]:
    """What `pack_mask` was given: what the page's script does, for whoever checks it."""
    raw = gzip.decompress(base64.b64decode(packed["bits"]))
    bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), bitorder="little")
    shape = packed["shape"]
    return bits[: math.prod(shape)].astype(bool).reshape(shape, order="F")


def _zip(data: bytes) -> str:
    # Without the time of day equal data give equal bytes.
    return _text(gzip.compress(data, mtime=0))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
