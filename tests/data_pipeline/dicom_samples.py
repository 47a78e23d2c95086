"""DICOM ultrasound files for tests, built here in every encoding, with a picture that shows any mistake in colour."""

from __future__ import annotations

import base64
import io
import pathlib

import gdcm
import numpy as np
import pydicom
from PIL import Image
from pydicom import uid as uids
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate

US_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"

HTJ2K_48x40 = base64.b64decode(
    "/0//UQAvQAAAAAAwAAAAKAAAAAAAAAAAAAAAMAAAACgAAAAAAAAAAAADBwEBBwEBBwEB/1AACAACAAAAA/9SAAwAAgABAQUEBEAB/1wAEyBQ"
    "WFhYWFhYWFhYWFhYUFBQ/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAdsAAf+TwBUAAX0zTgDDNADAFQAChmTxAIc0AMAVIAAY"
    "p2z+AMc0AMAJIARg7StzAADjAMAJIARg9itzAADjAMAJYARgqgBLdAAKMwDACogBGLa1gA/gC3YAFBMAwAqIARh1rYAP4At2ABQTAMAKmAEo"
    "2237gI/gi3YArUp3VADACpgBVqqq+t8jp8J2ABBCCOH0DN/JvrcAwAqYAVa7u/vfI6fCdgAQQgjh9Azfyb63AMAKuAFarbXW/twCOnACdwC2"
    "bdu2/fQA3gABvrgAwArYAWiAJEmS5PP4p6enp0J5AAgAAADg/0wEnv2Se/ZJ7LwAwArYAWiAbdu27fP4p6enp0J5AAgAAADg/0wEnv2Se/ZJ"
    "7LwAwAroAWkAVVVVVVXz+Kenp6fCeQBaVVVVVVX/TBye/fJ798nsvADAFpwBagAAAAAAAP1/6enp6enp6enp4n4AAgAA/v99d+/f79/v3+/f"
    "79/ssAHAFpwBagBVVVVVVf1/6enp6enp6enp4n4AAgAA/v99d+/f79/v3+/f79/ssAHAFrwBb4BJkiRJkiRJ8v1/wKenp6enp6enp0J/ACpJ"
    "kiRJkiRJkv7/fXASe/ZJ79knv2Se/ZJ79knstQH/2Q=="
)
"""HTJ2K lossless code stream (made with OpenJPH) of `htj2k_picture`."""


def htj2k_picture() -> np.ndarray:
    """uint8 [40, 48, 3]."""
    y, x = np.mgrid[:40, :48]
    return np.stack([y * 6, x * 5, (x + y) * 2], axis=-1).astype(np.uint8)


def picture(frames: int = 3, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [T, H, W, 3]: grey fan-like gradient on black, a red and a blue patch that move."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    grey = np.where(np.abs(x - width / 2) < 0.45 * y + 4, 40 + 150 * y / height, 0)
    out = np.repeat(np.repeat(grey[None, ..., None], frames, axis=0), 3, axis=3)
    for t in range(frames):
        out[t, height // 2 : height // 2 + 8, width // 2 - 8 + t : width // 2 + t] = (200, 40, 10)
        out[t, height // 2 + 8 : height // 2 + 16, width // 2 - 8 + t : width // 2 + t] = (10, 40, 210)
    return out.astype(np.uint8)


def header(frames: np.ndarray, **tags) -> Dataset:
    """An ultrasound header that fits ``frames`` (uint8 [T, H, W] or [T, H, W, 3])."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = US_MULTIFRAME
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = uids.ExplicitVRLittleEndian
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = US_MULTIFRAME, "1.2.3.4"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.5"
    ds.PatientID, ds.Modality, ds.Manufacturer = "P1", "US", "Philips Medical Systems"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "CARDIOLOGY", "0011"]
    ds.Rows, ds.Columns = frames.shape[1:3]
    ds.NumberOfFrames = str(len(frames))
    ds.FrameTime = "40"
    ds.FrameIncrementPointer = pydicom.tag.Tag("FrameTime")
    ds.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    ds.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    if frames.ndim == 4:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = pad(frames.tobytes())
    ds["PixelData"].VR = "OB"
    for keyword, value in tags.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def pad(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def save(ds: Dataset, path: pathlib.Path, syntax: str = uids.ExplicitVRLittleEndian) -> pathlib.Path:
    """Write ``ds`` under ``syntax`` without any check, as bad files are written."""
    ds.file_meta.TransferSyntaxUID = syntax
    implicit, little = syntax == uids.ImplicitVRLittleEndian, syntax != uids.ExplicitVRBigEndian
    pydicom.dcmwrite(path, ds, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
    return path


def jpeg_frames(frames: np.ndarray, *, quality: int = 95, subsampling: int = 0) -> list[bytes]:
    """JPEG baseline code streams (YCbCr for colour) of uint8 [T, H, W(, 3)]."""
    out = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
        out.append(buffer.getvalue())
    return out


def encapsulated(ds: Dataset, streams: list[bytes], *, has_bot: bool = True) -> Dataset:
    """``ds`` with compressed frames as its pixel data."""
    ds.PixelData = encapsulate([pad(s) for s in streams], has_bot=has_bot)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


def transcode(source: pathlib.Path, target: pathlib.Path, syntax: int) -> pathlib.Path:
    """Rewrite ``source`` in one of GDCM's transfer syntaxes."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target
