"""A head of ellipsoids on very coarse voxels, as NIfTI or as DICOM: all checks pass on it."""

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

SHAPE = (40, 45, 21)
AFFINE = np.array([[-4.5, 0, 0, 88.0], [0, 4.4, 0, -97.0], [0, 0, 7.0, -70.0], [0, 0, 0, 1]])


def places(shape=SHAPE, affine=AFFINE):
    """RAS mm of every voxel's centre (x, y, z, 3)."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def ball(where, centre, radii):
    return np.sum(((where - centre) / radii) ** 2, axis=-1) < 1


def head(where, seed=1):
    """CT in HU with noise, IPH and IVH at places (..., 3) in RAS mm."""
    ct = np.full(where.shape[:-1], -1000.0)
    ct[ball(where, (0, 0, 0), (76, 92, 66))] = 45
    ct[ball(where, (0, 0, 0), (72, 88, 62))] = 950
    ct[ball(where, (0, 0, 0), (62, 78, 52))] = 33
    ct[ball(where, (11, 8, 6), (7, 26, 12)) | ball(where, (-11, 8, 6), (7, 26, 12))] = 8
    iph, ivh = ball(where, (34, -8, 4), (16, 20, 17)), ball(where, (11, -6, 6), (6, 10, 9))
    iph &= ~ivh
    ct[iph | ivh] = 62
    return ct + np.random.default_rng(seed).normal(0, 4, ct.shape), iph, ivh


def save(path, data, affine=AFFINE, dtype=np.float32):
    image = nib.Nifti1Image(np.asarray(data, dtype=dtype), affine)
    image.set_qform(affine, code=1)
    nib.save(image, path)


def write_head(folder):
    """The head's three files; returns their paths by name."""
    files = {name: folder / f"{name}.nii.gz" for name in ("ct", "iph", "ivh")}
    ct, iph, ivh = head(places())
    save(files["ct"], np.rint(ct), dtype=np.int16)
    save(files["iph"], iph, dtype=np.uint8)
    save(files["ivh"], ivh, dtype=np.uint8)
    return files


def write_series(folder, hu, positions, of_slice=None, **facts):
    """Writes a CT series.

    `hu` is (column, row, slice), `positions` (slice, 3) the first voxel of each in LPS mm; facts
    are DICOM attributes that replace the ones here, None leaves one out; `of_slice` holds further
    ones of single slices, and `shift`, by which a slice's HU are too high.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = facts.get("SeriesNumber", 3)
    for k, position in enumerate(positions):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
        series = f"1.2.3.{number or 0}"
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{series}.{k + 1}"
        described = {
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": series,
            "Modality": "CT",
            "FrameOfReferenceUID": "1.2.9",
            "PatientID": "P7",
            "PatientName": "Doe",
            "StudyDate": "20200101",
            "StudyTime": "120000",
            "Manufacturer": "GE MEDICAL SYSTEMS",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "SeriesNumber": number,
            "SeriesDescription": "HEAD",
            "InstanceNumber": k + 1,
            "AcquisitionNumber": 1,
            "Rows": hu.shape[1],
            "Columns": hu.shape[0],
            "PixelSpacing": [4.4, 4.5],
            "SliceThickness": 7,
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PatientPosition": "HFS",
            "SamplesPerPixel": 1,
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 0,
            "PhotometricInterpretation": "MONOCHROME2",
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "ImagePositionPatient": [float(x) for x in position],
        }
        described |= facts | (of_slice or {}).get(k, {})
        shift = described.pop("shift", 0)
        for name, value in described.items():
            if value is not None:
                setattr(image, name, value)
        slope, intercept = described["RescaleSlope"] or 1, described["RescaleIntercept"] or 0
        stored = np.rint((hu[:, :, k].T + shift - intercept) / slope)
        image.PixelData = np.ascontiguousarray(stored.astype("<u2")).tobytes()
        image.save_as(folder / f"{number}_{k:03d}.dcm", enforce_file_format=True)


def series_places(shape, positions, tilt_deg=0.0):
    """RAS mm of every pixel of a series of `write_series`, (column, row, slice, 3)."""
    turn = np.deg2rad(tilt_deg)
    columns = np.arange(shape[0])[:, None, None, None] * np.array([4.5, 0, 0])
    rows = np.arange(shape[1])[:, None, None] * np.array([0, np.cos(turn), np.sin(turn)]) * 4.4
    return (columns + rows + np.asarray(positions)) * (-1, -1, 1)
