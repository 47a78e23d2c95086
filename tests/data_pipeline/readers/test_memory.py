"""Frames come one at a time whatever holds them: memory does not grow with the clip."""

import resource
import subprocess
import sys
import tracemalloc

import h5py
import nibabel
import nrrd
import numpy as np
import pytest
from pydicom import uid as uids

from data_pipeline.readers import IngestError, Limits, open_clip
from data_pipeline.readers.dicom.terms import ENCAPSULATED_UNCOMPRESSED
from tests.data_pipeline import dicom_samples as samples
from tests.data_pipeline.readers.test_video import encode

FRAMES, HEIGHT, WIDTH = 40, 240, 320


def write(path, kind):
    truth = samples.picture(FRAMES, HEIGHT, WIDTH)
    if kind == "native":
        samples.save(samples.header(truth), path)
    elif kind == "deflated":
        samples.save(samples.header(truth), path, uids.DeflatedExplicitVRLittleEndian)
    elif kind == "fragments":
        ds = samples.encapsulated(samples.header(truth), [frame.tobytes() for frame in truth])
        samples.save(ds, path, ENCAPSULATED_UNCOMPRESSED)
    elif kind == "jpeg":
        samples.save(
            samples.encapsulated(samples.header(truth), samples.jpeg_frames(truth)), path, uids.JPEGBaseline8Bit
        )
    elif kind == "npy":
        np.save(path, truth)
    elif kind == "npz":
        np.savez_compressed(path, cfd=truth)
    elif kind == "mkv":
        encode(str(path), truth, codec="ffv1", pixels="bgr0")
    elif kind == "nrrd":
        nrrd.write(str(path), truth, index_order="C")
    elif kind == "nii.gz":
        nibabel.save(nibabel.Nifti1Image(truth[..., 0].transpose(2, 1, 0), np.eye(4)), path)
    else:
        with h5py.File(path, "w") as file:
            file["data/image_sc/values"] = truth[..., 0]
    return path


@pytest.mark.parametrize(
    "kind", ["native", "deflated", "fragments", "jpeg", "npy", "npz", "mkv", "nrrd", "nii.gz", "hdf5"]
)
def test_a_clip_is_never_held_as_a_whole(tmp_path, kind):
    path = write(tmp_path / f"a.{'dcm' if kind in ('native', 'deflated', 'fragments', 'jpeg') else kind}", kind)
    with open_clip(path) as stream:
        next(iter(stream))  # what is loaded once
    tracemalloc.start()
    with open_clip(path) as stream:
        assert sum(1 for _ in stream) == FRAMES
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    frame = HEIGHT * WIDTH * 3
    assert peak < 4 << 20 and peak < 0.5 * FRAMES * frame, f"{peak / frame:.1f} frames were held"


def test_what_unpacks_to_too_much_and_a_full_disk_are_named(tmp_path):
    path = write(tmp_path / "a.dcm", "deflated")
    with pytest.raises(IngestError, match="too_large: inflates to more than 4 MiB"):
        open_clip(path, limits=Limits(max_decoded_bytes=4 << 20))
    program = f"import sys; from data_pipeline.readers import open_clip; open_clip({str(path)!r})"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )  # fmt: skip
    assert found.returncode == 1 and "too_large: no room in" in found.stderr
