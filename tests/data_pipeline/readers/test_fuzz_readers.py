"""At least 2,000 damaged files: typed errors only, no crash, no hang, bounded memory."""

import collections
import itertools
import pathlib
import subprocess
import sys

import cv2
import gdcm
import h5py
import nibabel
import nrrd
import numpy as np
import pytest
from pydicom import uid as uids

from data_pipeline.readers import read_clip
from data_pipeline.readers.dicom.terms import ENCAPSULATED_UNCOMPRESSED
from tests.data_pipeline import dicom_samples as samples
from tests.data_pipeline.readers.test_video import encode
from tests.data_pipeline.readers.variants import variants

FIRST_SEED, MUTANTS = 20_000, 2_100
"""Kept: a seed that once failed stays in the run."""
REGRESSIONS: tuple[int, ...] = ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    return write_samples(tmp_path_factory.mktemp("fuzz"))


def write_samples(folder: pathlib.Path) -> pathlib.Path:
    """A small file of every kind the readers know, ``sample_*``."""
    truth = samples.picture(3)
    native = samples.save(samples.header(truth), folder / "sample_native.dcm")
    samples.save(samples.header(truth), folder / "sample_implicit.dcm", uids.ImplicitVRLittleEndian)
    samples.save(samples.header(truth), folder / "sample_big.dcm", uids.ExplicitVRBigEndian)
    samples.save(samples.header(truth), folder / "sample_deflated.dcm", uids.DeflatedExplicitVRLittleEndian)
    streams = samples.jpeg_frames(truth)
    ds = samples.encapsulated(samples.header(truth, PhotometricInterpretation="YBR_FULL"), streams)
    samples.save(ds, folder / "sample_jpeg.dcm", uids.JPEGBaseline8Bit)
    for name, syntax in (
        ("rle", gdcm.TransferSyntax.RLELossless),
        ("ljpeg", gdcm.TransferSyntax.JPEGLosslessProcess14_1),
        ("jpegls", gdcm.TransferSyntax.JPEGLSLossless),
        ("j2k", gdcm.TransferSyntax.JPEG2000Lossless),
    ):
        samples.transcode(native, folder / f"sample_{name}.dcm", syntax)
    picture = samples.htj2k_picture()[None]
    ds = samples.encapsulated(samples.header(picture, PhotometricInterpretation="YBR_RCT"), [samples.HTJ2K_48x40])
    samples.save(ds, folder / "sample_htj2k.dcm", uids.HTJ2KLossless)
    index = (truth[..., 0] // 4).astype(np.uint8)
    ds = samples.header(index, PhotometricInterpretation="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [64, 0, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", (np.arange(64) * 1000).astype(np.uint16).tobytes())
    samples.save(ds, folder / "sample_palette.dcm")
    deep = samples.header(truth[..., 0], BitsAllocated=16, BitsStored=12, HighBit=11, WindowCenter="1", WindowWidth="9")
    deep.PixelData = (truth[..., 0].astype(np.uint16) * 16).tobytes()
    samples.save(deep, folder / "sample_deep.dcm")
    encode(str(folder / "x.h264"), truth, codec="libx264", pixels="yuv420p", format="h264")
    ds = samples.encapsulated(
        samples.header(truth, PhotometricInterpretation="YBR_PARTIAL_420"), [(folder / "x.h264").read_bytes()]
    )
    samples.save(ds, folder / "sample_h264.dcm", uids.MPEG4HP41)
    encode(str(folder / "sample_a.avi"), truth, codec="mjpeg", pixels="yuvj444p")
    encode(str(folder / "sample_a.mp4"), truth, codec="libx264", pixels="yuv420p")
    encode(str(folder / "sample_a.mkv"), truth, codec="ffv1", pixels="bgr0")
    encode(str(folder / "sample_a.gif"), truth, codec="gif", pixels="rgb8")
    cv2.imwrite(str(folder / "sample_a.png"), truth[0])
    cv2.imwrite(str(folder / "sample_a.tif"), truth[0])
    np.save(folder / "sample_a.npy", truth)
    np.savez_compressed(folder / "sample_a.npz", cfd=truth)
    nibabel.save(nibabel.Nifti1Image(truth[..., 0].transpose(2, 1, 0), np.eye(4)), folder / "sample_a.nii.gz")
    nrrd.write(str(folder / "sample_a.nrrd"), truth, index_order="C")
    with h5py.File(folder / "sample_a.h5", "w") as file:
        file["data/image_sc/values"] = truth[..., 0]
        file["data/color_doppler/values"] = (truth[..., 0] - truth[..., 2]) / np.float32(200)
    encode(str(folder / "sample_a.wmv"), truth, codec="wmv2", pixels="yuv420p")
    encode(str(folder / "sample_a.ts"), truth, codec="mpeg2video", pixels="yuv420p")
    cv2.imwrite(str(folder / "sample_deep.png"), truth[0].astype(np.uint16) * 16)
    cv2.imwrite(str(folder / "sample_deep.tif"), truth[0].astype(np.uint16) * 16)
    head = "ObjectType = Image\nNDims = 3\nDimSize = 64 48 3\nElementNumberOfChannels = 3\nElementType = MET_UCHAR\n"
    (folder / "sample_a.mha").write_bytes(head.encode() + b"ElementDataFile = LOCAL\n" + truth.tobytes())
    np.save(folder / "sample_float.npy", truth / np.float32(255))
    ds = samples.encapsulated(samples.header(truth), [frame.tobytes() for frame in truth])
    samples.save(ds, folder / "sample_whole.dcm", ENCAPSULATED_UNCOMPRESSED)
    return folder


def run(folder: pathlib.Path, first: int, count: int) -> list[tuple[str, str, str, float]]:
    command = [sys.executable, "-m", "tests.data_pipeline.readers.mutants", str(folder), str(first), str(count)]
    root = pathlib.Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"brought down by {lines[-1] if lines else 'the samples'}\n{done.stderr[-2000:]}"
    rows = [line.split(" ", 2) for line in lines if not line.endswith("...")]
    return [(seed, name, *rest.rsplit(" ", 1)) for seed, name, rest in rows]


def test_damaged_files_end_in_typed_errors(folder):
    rows = run(folder, FIRST_SEED, MUTANTS)
    for seed in REGRESSIONS:
        rows += run(folder, seed, 1)
    assert len(rows) == MUTANTS + len(REGRESSIONS)
    stray = [row for row in rows if row[2].startswith("STRAY")]
    assert not stray, stray[:5]
    slow = [row for row in rows if float(row[3]) > 10]
    assert not slow, slow[:5]
    outcomes = collections.Counter(row[2].split(":")[0] for row in rows)
    assert outcomes["read"] > 100 and outcomes["corrupt"] > 100 and outcomes["truncated"] > 50, outcomes


def test_legal_variants_are_read_exactly(tmp_path):
    count = 0
    for name, path, truth in itertools.islice(variants(tmp_path), 0, None, 7):
        np.testing.assert_array_equal(read_clip(path).frames, truth, err_msg=name)
        count += 1
    assert count >= 40
