"""NIfTI files that nobody thought of: each is read right, or refused in sentences, soon."""

import gzip
import warnings
from collections import Counter

import nibabel as nib
import numpy as np
import pytest
from fuzz import FUZZ, assert_told
from hypothesis import given, settings
from hypothesis import strategies as st
from mini import CONFIG
from tiny_head import AFFINE, SHAPE, head, places

from hemexp import HemexpError
from hemexp.config import load_section
from hemexp.preprocess.raw import read_raw_scan

pytestmark = pytest.mark.slow

CODES = [0, 1, 2, 4, 8, 16, 32, 64, 128, 255, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304, 7]
"""All types that NIfTI knows, and one that it does not."""

ODD = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, 3e38, np.nan, np.inf, -np.inf]),
    st.floats(width=32),
)
SIZES = st.one_of(st.just(1.0), st.sampled_from([1e-6, 0.01, 0.1, 10.0, 1000.0, 0.0, -1.0]))
TURNS = st.sampled_from([np.eye(3), np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 1, 0]], np.ones((3, 3))])


@st.composite
def affines(draw):
    """Turned, flipped, scaled, sheared or singular; sometimes far away."""
    matrix = draw(TURNS) @ AFFINE[:3, :3] @ np.diag(draw(st.tuples(SIZES, SIZES, SIZES)))
    matrix = matrix + np.eye(3)[[1, 2, 0]] * draw(st.sampled_from([0, 0, 0, 1e-4, 0.01, 1, 100]))
    origin = AFFINE[:3, 3] * draw(st.sampled_from([1, 1, 1, 0, -1, 1e5, 1e30]))
    return {f"srow_{axis}": (*matrix[k], origin[k]) for k, axis in enumerate("xyz")}


HEADERS = st.one_of(
    affines(),
    affines().map(lambda rows: rows | {"qform_code": 0}),
    st.fixed_dictionaries({"qform_code": st.integers(-2, 6), "sform_code": st.integers(-2, 6)}),
    st.fixed_dictionaries(
        {"sform_code": st.just(0), **dict.fromkeys(("quatern_b", "quatern_c", "quatern_d"), ODD)}
    ),
    st.fixed_dictionaries({"pixdim": st.lists(ODD, min_size=8, max_size=8)}),
    st.fixed_dictionaries(
        {"sform_code": st.just(0), "pixdim": st.lists(ODD, min_size=8, max_size=8)}
    ),
    st.fixed_dictionaries({"qoffset_x": ODD}),
    st.fixed_dictionaries({"scl_slope": ODD, "scl_inter": ODD}),
    st.fixed_dictionaries({"datatype": st.sampled_from(CODES)}),
    st.fixed_dictionaries({"datatype": st.integers(-(2**15), 2**15 - 1), "bitpix": st.just(16)}),
    st.fixed_dictionaries(
        {"dim": st.lists(st.integers(-(2**15), 2**15 - 1), min_size=8, max_size=8)}
    ),
    st.fixed_dictionaries({"dim": st.permutations([3, *SHAPE, 1, 1, 1, 1])}),
    st.fixed_dictionaries({"vox_offset": ODD}),
    st.fixed_dictionaries({"xyzt_units": st.integers(0, 255)}),
    st.fixed_dictionaries({"sizeof_hdr": st.integers(0, 1000)}),
    st.fixed_dictionaries({"magic": st.sampled_from([b"ni1", b"n+2", b"", b"n+1"])}),
)
TYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "f4", "f8", "c8", ">i2", ">f4"]


@st.composite
def files(draw):
    """Which of a scan's three files, its name, and its bytes."""
    image = draw(st.sampled_from(["ct", "ct", "iph", "ivh"]))
    data = HEAD[image].astype(draw(st.sampled_from([*TYPES, "i2", "i2"])))
    for value in draw(st.lists(ODD, max_size=1)):
        if data.dtype.kind == "f":
            data[draw(st.integers(0, 39)), 22, 10] = value
    record = nib.Nifti1Image(data, AFFINE, dtype=data.dtype).header
    record.set_qform(AFFINE, code=1)
    record["vox_offset"] = 352
    raw = bytearray(record.binaryblock + b"\0\0\0\0" + data.tobytes(order="F"))
    fields = nib.Nifti1Header(bytes(raw[:348]), endianness=record.endianness, check=False)
    for name, value in draw(st.one_of(st.just({}), HEADERS, HEADERS)).items():
        fields[name] = value
    raw[:348] = fields.binaryblock
    packed = draw(st.booleans())
    content = gzip.compress(bytes(raw), 1, mtime=0) if packed else bytes(raw)
    return image, f"{image}.nii{'.gz' if packed else ''}", draw(DAMAGE)(content)


def cut(share):
    return lambda content: content[: int(share * len(content))]


def add(more):
    return lambda content: content + more


def flip(places):
    """Changes some bytes, at shares of the length."""

    def change(content):
        changed = bytearray(content)
        for share, bits in places:
            changed[int(share * (len(changed) - 1))] ^= bits
        return bytes(changed)

    return change


SHARES = st.floats(0, 1)
DAMAGE = st.one_of(
    st.just(bytes),
    st.just(bytes),
    st.just(bytes),
    SHARES.map(cut),
    st.binary(max_size=400).map(add),
    st.binary(max_size=400).map(lambda other: lambda content: other),
    st.lists(st.tuples(SHARES, st.integers(1, 255)), min_size=1, max_size=4).map(flip),
)
LIMITS = load_section("preprocess.raw", str(CONFIG))
HEAD = dict(zip(("ct", "iph", "ivh"), head(places()), strict=True))


def test_a_nifti_file_is_read_right_or_refused_in_sentences(tmp_path):
    whole, outcomes = {}, Counter()
    for name, data in HEAD.items():
        whole[name] = tmp_path / f"whole_{name}.nii"
        image = nib.Nifti1Image(np.rint(data).astype(np.int16), AFFINE)
        image.set_qform(AFFINE, code=1)
        image.to_filename(whole[name])

    @settings(FUZZ, max_examples=400)
    @given(files())
    def check(file):
        image, name, content = file
        path = tmp_path / name
        path.write_bytes(content)
        before = sorted(tmp_path.iterdir())
        with warnings.catch_warnings():
            warnings.filterwarnings("error", category=RuntimeWarning, module="hemexp")
            try:
                scan = read_raw_scan("P7", "baseline", **(whole | {image: path}), limits=LIMITS)
            except HemexpError as error:
                outcomes["refused"] += 1
                assert_told(error)
            else:
                outcomes["read"] += 1
                assert_right(scan, whole | {image: path})
        assert sorted(tmp_path.iterdir()) == before

    check()
    assert min(outcomes["read"], outcomes["refused"]) > 50


def assert_right(scan, paths):
    """HU and volumes as nibabel alone reads them, unless it is said what was mended."""
    ct, iph, ivh = (nib.load(paths[name]) for name in ("ct", "iph", "ivh"))
    if not scan.remarks:
        expected = np.maximum(np.asanyarray(ct.dataobj).astype(np.float64), -1024)
        np.testing.assert_allclose(scan.scan.ct.data, expected, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(scan.scan.ct.affine, ct.affine)
    assert np.isfinite(scan.scan.ct.data).all() and scan.scan.ct.data.min() >= -1024
    voxel_ml = abs(np.linalg.det(ivh.affine[:3, :3])) / 1000
    assert scan.ivh_ml == pytest.approx(np.count_nonzero(ivh.get_fdata()) * voxel_ml)
    if np.allclose(iph.affine, ivh.affine) and iph.shape == ivh.shape:
        alone = (iph.get_fdata() != 0) & (ivh.get_fdata() == 0)
        assert scan.iph_ml == pytest.approx(alone.sum() * voxel_ml)
    for name in ("iph", "ivh"):
        on_ct = getattr(scan.scan, name).data.sum() * scan.scan.ct.voxel_ml
        assert on_ct == pytest.approx(getattr(scan, f"{name}_ml"), rel=0.02, abs=0.2)
