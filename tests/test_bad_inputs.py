"""What people hand in by mistake: each fault in one sentence, told by name, nothing written."""

import errno
import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from tiny_head import (
    AFFINE,
    SHAPE,
    ball,
    head,
    places,
    save,
    series_places,
    write_head,
    write_series,
)

from hemexp import HemexpError
from hemexp.columns import FILES, IMAGES, REQUIRED
from hemexp.desk.check import run_check
from hemexp.layout import Layout
from hemexp.preprocess.strip import run_strip_skull
from hemexp.provenance import StorageError, write_atomically
from hemexp.sheet import SheetError

LOW = np.array([[-88.0, -97.0, -70.0 + 7 * k] for k in range(SHAPE[2])])
"""First voxels of the head's slices as DICOM has them, in LPS mm."""


def values(path):
    return nib.load(path).get_fdata()


def edit(change):
    """Damages the values: `change` takes the array and returns another."""
    return lambda path: save(path, change(values(path)))


def put(where, value):
    def change(data):
        data[where] = value
        return data

    return edit(change)


def place(affine):
    return lambda path: save(path, values(path), np.array(affine))


def write(content):
    return lambda path: path.write_bytes(content)


def header(**fields):
    """Damages fields of the header of an uncompressed copy, packed again afterwards."""

    def damage(path):
        raw = bytearray(gzip.decompress(path.read_bytes()))
        record = nib.Nifti1Header(bytes(raw[:348]), check=False)
        for name, value in fields.items():
            record[name] = value
        path.write_bytes(gzip.compress(record.binaryblock + bytes(raw[348:])))

    return damage


def huge(path):
    """A finite number that single precision does not hold."""
    data = values(path)
    data[CORNER] = 1e200
    save(path, data, dtype=np.float64)


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def link_to(target):
    def damage(path):
        path.unlink()
        path.symlink_to(path.name if target == "itself" else target)

    return damage


def folder_of(*names):
    def damage(path):
        path.unlink()
        path.mkdir()
        for name in names:
            (path / name).write_text("no image")

    return damage


def series(*counts, spoil=lambda file: None, **facts):
    """Puts DICOM in the file's place: a series for each number of slices."""

    def damage(path):
        path.unlink()
        hu = np.rint(head(series_places(SHAPE, LOW))[0])
        for number, count in enumerate(counts, 1):
            write_series(path, hu, LOW[:count], SeriesNumber=number, **facts)
        for file in path.iterdir():
            spoil(file)

    return damage


def lock(path):
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything; the next case stands in")


def coloured(path):
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, AFFINE), path)


def as_mgh(path):
    image = nib.MGHImage(values(path).astype(np.float32), AFFINE)
    nib.save(image, path.with_name("other.mgz"))
    path.write_bytes(gzip.decompress(path.with_name("other.mgz").read_bytes()))


def mr(data):
    """Bright scalp, grey brain, dark bone and air."""
    return np.interp(data, [-1000, -900, 0, 33, 62, 900], [5, 10, 700, 500, 450, 20]).round()


def with_contrast(data):
    """Vessels of 230 HU through the head, a few mL in all."""
    data[12:29, 22, 8], data[20, 12:34, 9] = 230, 230
    return data


def warm_air(data):
    """As without its intercept, but air is not where it would be then."""
    return data + np.where(data < -500, 1164, 1024)


def bright(data):
    return np.where(abs(data - 33) < 20, data + 20, data)


def padded(data):
    return np.pad(data, [(0, 0), (0, 0), (0, 30)], constant_values=-1000)


def one_slice(data):
    return data * (np.arange(SHAPE[2]) == 10)


def draw(centre, radii):
    return lambda path: save(path, ball(places(), centre, radii))


def swapped(path):
    shutil.copy(path.with_name("ivh.nii.gz"), path)


def header_only(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:352]))


def bomb(path):
    """Some kB that claim to be, and unpack to, more than a memory holds."""
    empty = gzip.compress(bytes(2**24), compresslevel=9)
    record = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), AFFINE).header
    record["dim"][:4] = (3, 2000, 2000, 2000)
    path.write_bytes(gzip.compress(record.binaryblock + b"\0\0\0\0") + empty * 4)


SHEARED, SHIFTED, METRES = AFFINE.copy(), AFFINE.copy(), np.diag([0.0045, 0.0044, 0.007, 1])
SHEARED[1, 2] = 1.0
SHIFTED[0, 3] += 150
MICRONS = np.diag([4500.0, 4400, 7000, 1])
CORNER = (0, 0, 0)
UNREADABLE, MASK = "a file that cannot be read", "a mask with the values 0 and"
NO_TISSUE = "% of the voxels between -20 and 100 HU"


class Case(NamedTuple):
    image: str
    damage: object
    told: str


BAD = {
    # files
    "no image": Case("ct", write(b"\x00\x01nonsense" * 99), UNREADABLE),
    "text named nii.gz": Case("iph", write(b"patient_id\tcenter\nP7\tA\n"), UNREADABLE),
    "zero bytes": Case("ct", write(b""), "a file of 0 bytes"),
    "truncated": Case("ct", cut_short, UNREADABLE),
    "mask truncated": Case("ivh", cut_short, UNREADABLE),
    "missing": Case("ivh", lambda path: path.unlink(), "(No such file or directory)"),
    "link loop": Case("ct", link_to("itself"), "(Too many levels of symbolic links)"),
    "dangling link": Case("ct", link_to("nowhere.nii.gz"), "(No such file or directory)"),
    "locked": Case("ct", lock, "(Permission denied)"),
    "header only": Case("ct", header_only, UNREADABLE),
    "another format": Case("ct", as_mgh, UNREADABLE),
    "mask is a folder": Case("iph", folder_of(), UNREADABLE),
    # header and shape
    "4D": Case("ct", edit(lambda d: d[..., None].repeat(2, 3)), "shape (40, 45, 21, 2)"),
    "2D": Case("ct", edit(lambda d: d[:, :, 10]), "shape (40, 45)"),
    "one slice": Case("ct", edit(lambda d: d[:, :, 10:11]), "shape (40, 45, 1)"),
    "mask 4D": Case("iph", edit(lambda d: np.stack([d, d], 3)), "shape (40, 45, 21, 2)"),
    "colours": Case("ct", coloured, "values of type [('R'"),
    "claims 16 GB": Case("ct", header(dim=(3, 2000, 2000, 2000, 1, 1, 1, 1)), "shape (2000, 2000"),
    "gzip bomb": Case("ct", bomb, "shape (2000, 2000, 2000)"),
    "claims more than it has": Case("ct", header(dim=(3, 300, 300, 300, 1, 1, 1, 1)), UNREADABLE),
    "voxels in the header": Case("ct", header(vox_offset=0), "voxels that begin at byte 0"),
    "qform of NaN": Case("ct", header(qoffset_x=np.nan), "a qform that holds NaN"),
    "no such data type": Case("ct", header(datatype=7), UNREADABLE),
    "bad quaternion": Case("ct", header(quatern_b=3, sform_code=0), UNREADABLE),
    "flat voxel": Case("ct", header(srow_x=0, srow_y=0, srow_z=0), "voxel sizes of [0.0, 0.0"),
    "voxels in metres": Case("ct", place(METRES), "voxel sizes of [0.0045, 0.0044, 0.007] mm"),
    "voxels in microns": Case("ct", place(MICRONS), "voxel sizes of [4500.0, 4400.0, 7000.0] mm"),
    "unit metre": Case("ct", header(xyzt_units=1), "the unit 'metre'"),
    "mask in microns": Case("iph", header(xyzt_units=3), "the unit 'micron'"),
    "sheared": Case("ct", place(SHEARED), "a sheared affine"),
    "two placements": Case("ct", header(qoffset_x=100), "qform and sform that differ by 12 mm"),
    "qform turned": Case("ct", header(quatern_c=0.5, quatern_d=0.5), "axes 120 deg"),
    "no placement": Case("ct", header(qform_code=0, sform_code=0), "no placement"),
    # values of the CT
    "NaN": Case("ct", put(CORNER, np.nan), "1 voxels that are NaN"),
    "1e200": Case("ct", huge, "1 voxels that are NaN or infinite"),
    "Inf": Case("ct", put(CORNER, np.inf), "1 voxels that are NaN or infinite"),
    "picture 0-255": Case("ct", edit(lambda d: d.clip(0, 80) * 255 / 80), "not HU"),
    "picture 0-1": Case("ct", edit(lambda d: d.clip(0, 80) / 80), "grey values from 0 to 1, not"),
    "clipped at 0": Case("ct", edit(lambda d: d.clip(0)), "air (the darkest 1 %) at 0 HU"),
    "clipped to a window": Case("ct", edit(lambda d: d.clip(-160, 240)), "1 %) at -160 HU"),
    "skull-stripped": Case("ct", edit(lambda d: d * (d > -50) * (d < 100)), "1 %) at 0 HU"),
    "intercept of 1000 missing": Case("ct", edit(lambda d: d + 1000), "(the darkest 1 %) at"),
    "intercept unclear": Case("ct", edit(warm_air), "air (the darkest 1 %) at 1"),
    "intercept twice": Case("ct", edit(lambda d: d - 1024), NO_TISSUE),
    "slope missing": Case("ct", edit(lambda d: (d + 1000) / 2 - 1000), NO_TISSUE),
    "air too high": Case("ct", edit(lambda d: np.where(d < -500, d + 200, d)), "air at -80"),
    "wrapped, unclear": Case("ct", edit(lambda d: np.where(d < 0, d + 5e4, d)), "values up to 49"),
    "MR": Case("ct", edit(mr), "air (the darkest 1 %)"),
    "bright brain": Case("ct", edit(bright), "a median of 53 HU; expected 20 to 45 HU"),
    "contrast": Case("ct", edit(with_contrast), "as vessels with contrast, streaks"),
    "no skull": Case("ct", edit(lambda d: d.clip(-1000, 60)), "no soft tissue enclosed by bone"),
    # coverage
    "two slices": Case("ct", edit(lambda d: d[:, :, 9:11]), "a head over 14 mm (2 slices)"),
    "a slab": Case("ct", edit(lambda d: d[:, :, 8:15]), "a head over 49 mm (7 slices)"),
    "mostly empty": Case("ct", edit(padded), "no head in 32 of 51 slices"),
    # masks
    "not binary": Case("iph", put(CORNER, 2), f"{MASK} 1, 2"),
    "probabilities": Case("ivh", edit(lambda d: d * 0.7), f"{MASK} 0.7"),
    "empty": Case("iph", edit(np.zeros_like), "an empty mask"),
    "swapped with IVH": Case("iph", swapped, "an empty mask"),
    "outside the CT": Case("iph", place(SHIFTED), "100% of the mask outside its CT"),
    "lost its header": Case("iph", place(np.diag([1.0, 1, 1, 1])), "a median of"),
    "mirrored": Case("iph", edit(lambda d: d[::-1]), "it looks mirrored left-right"),
    "of another scan": Case("iph", edit(lambda d: np.roll(d, 12, axis=1)), "a median of 34 HU"),
    "drawn on CSF": Case("iph", draw((-11, 14, 6), (5, 16, 8)), "a median of 8 HU"),
    "the whole brain": Case("iph", draw((0, 0, 0), (62, 78, 52)), "a median of 33 HU"),
    "one slice drawn": Case("iph", edit(one_slice), "all of the mask in one slice, 32 mm wide"),
    "brain empty": Case("brain", edit(np.zeros_like), "an empty mask"),
    "brain not binary": Case("brain", put(CORNER, 3), f"{MASK} 1, 3"),
    "brain elsewhere": Case("brain", place(SHIFTED), "of the mask outside its CT"),
    # DICOM
    "empty folder": Case("ct", folder_of(), "no DICOM picture among 0 files"),
    "folder of other files": Case(
        "ct", folder_of("a.txt", "b.nii"), "no DICOM picture among 2 fi"
    ),
    "several series": Case("ct", series(21, 15), "2 series in this DICOM folder: series 1 'HE"),
    "only a localiser": Case("ct", series(2), "no head CT in this DICOM folder: series 1"),
    "DICOM of an MR": Case("ct", series(21, Modality="MR"), "no head CT in this DICOM folder"),
    "DICOM cut short": Case("ct", series(21, spoil=cut_short), "dcm2niix cannot convert"),
    "DICOM of huge pixels": Case("ct", series(21, PixelSpacing=[44, 45]), "voxel sizes of [45"),
    "DICOM in stored values": Case("ct", series(21, RescaleIntercept=-500, shift=524), "air"),
}


@pytest.fixture
def files(tmp_path):
    """The undamaged scan, with a brain mask that the study gives."""
    folder = tmp_path / "study"
    folder.mkdir()
    files = write_head(folder) | {"brain": folder / "brain.nii.gz"}
    save(files["brain"], ball(places(), (0, 0, 0), (62, 78, 52)), dtype=np.uint8)
    return files


def strip(files, settings, out, brain=False):
    raw = {image: path for image, path in files.items() if brain or image != "brain"}
    room, layout = settings.preprocess, Layout(out)
    run_strip_skull(layout, "P7", "followup", raw, room.skull_strip, room.raw)
    return layout.native("P7", "followup")


def ct_file(out):
    return Layout(out).native("P7", "followup").ct


def tell(error):
    """The one fault of an error, each part of it said."""
    assert len(error.value.faults) == 1
    fault = error.value.faults[0]
    assert all(len(part) > 3 for part in fault)
    assert fault.cure[0].isupper() and fault.cure.endswith(".")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_by_name_and_nothing_is_written(case, files, tmp_path, settings):
    image, damage, told = BAD[case]
    damage(files[image])
    with pytest.raises(HemexpError) as error:
        strip(files, settings, tmp_path / "out", brain=image == "brain")
    message = tell(error)
    assert f"patient P7, followup {image}, " in message
    assert str(files[image]) in message
    assert told in message.split(": found ", 1)[1]
    assert not (tmp_path / "out").exists()


def test_the_table_is_long_and_the_undamaged_scan_passes(files, tmp_path, settings):
    assert len(BAD) >= 40
    for brain in (False, True):
        outputs = strip(files, settings, tmp_path / f"out{brain}", brain)
        told = outputs.volumes.read_text().splitlines()[1].split("\t")[-2:]
        assert told == ["", ""]
        assert values(outputs.iph).sum() == values(files["iph"]).sum()


def test_a_file_that_may_not_be_read_is_told(files, tmp_path, settings, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(nib, "load", refuse)
    monkeypatch.setattr(nib.filebasedimages.FileBasedImage, "from_filename", refuse)
    with pytest.raises(HemexpError) as error:
        strip({**files, "iph": files["ct"], "ivh": files["ct"]}, settings, tmp_path / "out")
    assert all("(Permission denied)" in fault.found for fault in error.value.faults)


def test_a_bomb_whose_header_claims_little_is_read_no_further(tmp_path):
    code = (
        "import resource, sys; from hemexp.volumes import read_volume\n"
        "room = 2**20 * 1024 + int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (room, room))\n"
        "print(read_volume(sys.argv[1]).data.sum())"
    )
    path = tmp_path / "bomb.nii.gz"
    save(path, np.ones(SHAPE))
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(2**26), compresslevel=9) * 64)
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == np.prod(SHAPE)


FULL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import test_bad_inputs as here
from pathlib import Path
from hemexp import HemexpError
from hemexp.config import load_settings
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
files = {image: Path(sys.argv[2]) / f"{image}.nii.gz" for image in here.IMAGES}
try:
    here.strip(files, load_settings({"preset": "demo"}), Path(sys.argv[3]))
except HemexpError as error:
    print(type(error).__name__, error)
"""


def test_a_disk_that_is_full_is_told_and_leaves_no_half_file(files, tmp_path):
    paths = [Path(__file__).parent, files["ct"].parent, tmp_path / "out"]
    command = [sys.executable, "-c", FULL, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("StorageError ")
    assert f"{ct_file(tmp_path / 'out')}: found a file that cannot be written" in done.stdout
    assert "(File too large)" in done.stdout and "Make room (disk, quota" in done.stdout
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_whatever_keeps_a_file_from_being_written_is_told(
    code, files, tmp_path, settings, monkeypatch
):
    def fail(image, path):
        Path(path).write_bytes(b"half")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(nib, "save", fail)
    with pytest.raises(StorageError) as error:
        strip(files, settings, tmp_path / "out")
    assert f"{ct_file(tmp_path / 'out')}: found a file that cannot be written" in tell(error)
    assert os.strerror(code) in tell(error)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_an_error_of_another_file_is_not_the_disks(tmp_path):
    with pytest.raises(PermissionError), write_atomically(tmp_path / "out" / "a.txt"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "input"))


def write_sheet(path, files):
    known = {"patient_id": "P7", "center": "A", "split": "predict", "onset_to_ct_h": "2"}
    known |= {f"baseline_{image}": str(files[image]) for image in IMAGES}
    trained = known | {"patient_id": "P1", "split": "train"}
    trained |= {column: f"results/phantom/{column}" for column in FILES}
    rows = [[row.get(name, "") for name in REQUIRED] for row in (known, trained)]
    path.write_text("\n".join("\t".join(row) for row in [list(REQUIRED), *rows]) + "\n")


SHEET = {
    "link loop": ("ct", link_to("itself"), False, "expected an existing file"),
    "missing": ("iph", lambda path: path.unlink(), False, "expected an existing file"),
    "zero bytes": ("ct", write(b""), True, "found a file of 0 bytes"),
    "mirrored": ("iph", edit(lambda d: d[::-1]), True, "it looks mirrored left-right"),
    "picture": ("ct", edit(lambda d: d.clip(0, 255)), True, "not HU"),
}


@pytest.mark.parametrize("case", SHEET)
def test_the_check_of_the_sheet_tells_the_same(case, files, tmp_path, settings, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image, damage, images, told = SHEET[case]
    sheet = tmp_path / "samples.tsv"
    write_sheet(sheet, files)
    what = "samples.tsv: 2 patients (1 train, 1 predict), centres A"
    assert run_check(sheet, None).endswith(f"{what}, ok")
    assert run_check(sheet, settings.preprocess).endswith(f"{what}, 1 scans read, ok")
    damage(files[image])
    with pytest.raises(SheetError) as error:
        run_check(sheet, settings.preprocess if images else None)
    assert len(error.value.faults) == 1
    assert "P7" in str(error.value) and str(files[image].relative_to(tmp_path)) in str(error.value)
    assert told in str(error.value)
