"""Our reader against independent ones: GDCM, pydicom with Pillow, and FFmpeg's program, over pydicom's own test files.

    python -m tests.benchmarks.bench_differential [--every N]

Prints a line per difference and the share of files that are equal.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pydicom
from pydicom.data import get_charset_files, get_testdata_files

from data_pipeline.readers import IngestError, Limits, read_clip
from data_pipeline.readers.dicom_file import read_header
from tests.data_pipeline.readers.test_video import encode
from tests.data_pipeline.readers.variants import variants

LIMITS = Limits(min_side=1, max_side=1 << 14)
LOSSY_STEP = 4
"""Grey levels that two decoders of a lossy stream may differ by in the mean: chroma is interpolated in several ways."""


def dicom_files() -> list[pathlib.Path]:
    charset = set(get_charset_files("*"))
    return sorted({pathlib.Path(p) for p in get_testdata_files("*.dcm") if p not in charset})


def by_gdcm(path: str) -> np.ndarray:
    """Frames as GDCM decodes them, RGB or grey, uint8 [T, H, W(, 3)]; run in a process of its own: it may abort."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(path)
    if not reader.Read():
        raise ValueError("GDCM cannot read it")
    image = reader.GetImage()
    kind = image.GetPhotometricInterpretation().GetString()
    pixel = image.GetPixelFormat()
    if pixel.GetBitsAllocated() != 8 or kind.startswith("PALETTE"):
        raise ValueError("not bytes")
    size = [int(n) for n in image.GetDimensions()]
    data = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), np.uint8)
    frames = size[2] if len(size) > 2 else 1
    samples = pixel.GetSamplesPerPixel()
    if samples == 3 and image.GetPlanarConfiguration() == 1:
        return data.reshape(frames, 3, size[1], size[0]).transpose(0, 2, 3, 1)
    return data.reshape(frames, size[1], size[0], *([3] if samples == 3 else []))


def by_pydicom(path: pathlib.Path) -> tuple[np.ndarray, pydicom.Dataset]:
    """Frames as pydicom decodes them with its default plug-ins, shown as a viewer does; a reader that is not ours."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

    ds = pydicom.dcmread(path, force=True)
    array = pixel_array(ds)
    kind = ds.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        array = apply_color_lut(array, ds)[..., :3]
        array = (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array
    elif ds.SamplesPerPixel == 1:
        windowed = "WindowWidth" in ds or "VOILUTSequence" in ds
        if not windowed and (array.dtype != np.uint8 or "RescaleSlope" in ds):
            raise ValueError("no window: the range that is shown is each reader's own choice")
        shown = apply_voi_lut(apply_modality_lut(array, ds), ds, index=0) if windowed else array
        if windowed:
            table = "VOILUTSequence" in ds
            bits = int(ds.VOILUTSequence[0].LUTDescriptor[2]) if table else ds.BitsStored
            signed = ds.PixelRepresentation == 1 and not table
            low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
            if "RescaleSlope" in ds and not table:
                low, high = (float(v) * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for v in (low, high))
            shown = np.rint((shown.astype(float) - low) * 255 / (high - low)).clip(0, 255).astype(np.uint8)
        array = 255 - shown if kind == "MONOCHROME1" else shown
    elif array.dtype == np.uint16:
        array = (array >> (ds.BitsStored - 8)).astype(np.uint8)
    frames = int(ds.get("NumberOfFrames", 1) or 1)
    return array.reshape(frames, ds.Rows, ds.Columns, *([3] if array.shape[-1] == 3 and array.ndim > 2 else [])), ds


def compare_dicom(path: pathlib.Path) -> tuple[str, str]:
    """``(verdict, detail)``: ``equal``, ``near`` (lossy), ``differs``, ``only we``, ``only they``, ``neither``."""
    try:
        ours = read_clip(path, limits=LIMITS, any_modality=True).frames
    except IngestError as error:
        ours = error
    try:
        theirs, ds = by_pydicom(path)
    except Exception as error:
        return (
            ("neither", "") if isinstance(ours, IngestError) else ("only we", f"{type(error).__name__}: {error}"[:120])
        )
    if isinstance(ours, IngestError):
        return (
            ("neither", ours.code)
            if ours.code in ("no_signal", "unsupported_layout")
            else ("only they", str(ours.detail)[:120])
        )
    if theirs.ndim == 3:
        theirs = np.repeat(theirs[..., None], 3, axis=3)
    if ours.shape != theirs.shape:
        return "differs", f"{ours.shape} for {theirs.shape}"
    off = np.abs(ours.astype(int) - theirs)
    if off.max() <= 1:
        return "equal", ""
    lossy = read_header(path, limits=LIMITS).transfer_syntax.is_compressed
    return ("near" if lossy and off.mean() < LOSSY_STEP else "differs"), f"mean {off.mean():.2f}, most {off.max()}"


def compare_video(path: pathlib.Path) -> tuple[str, str]:
    """Against FFmpeg's program, which turns, times and converts as a player does."""
    ours = read_clip(path).frames
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    if len(raw) != ours.size:
        return "differs", f"{len(raw)} bytes for {ours.size}"
    off = np.abs(ours.astype(int) - np.frombuffer(raw, np.uint8).reshape(ours.shape))
    return ("equal" if off.max() <= 2 else "near" if off.mean() < 1 else "differs"), f"most {off.max()}"


def _gdcm_job(path: str, queue) -> None:
    queue.put(by_gdcm(path))


def compare_gdcm(path: pathlib.Path, truth: np.ndarray) -> tuple[str, str]:
    """GDCM, in a process of its own, against what a generated variant must show."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    job = context.Process(target=_gdcm_job, args=(str(path), queue), daemon=True)
    job.start()
    try:
        theirs = queue.get(timeout=10)
    except Exception:
        return "only we", "GDCM gives up"
    finally:
        job.kill()
    theirs = np.repeat(theirs[..., None], 3, axis=3) if theirs.ndim == 3 else theirs
    ours = read_clip(path).frames
    return ("equal", "") if ours.shape == theirs.shape and np.array_equal(ours, theirs) else ("differs", "GDCM")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every n-th file")
    parser.add_argument("--gdcm", action="store_true", help="also compare the generated variants with GDCM")
    args = parser.parse_args()
    rows: list[tuple[str, str, str]] = []
    for path in dicom_files()[:: args.every]:
        rows.append((path.name, *compare_dicom(path)))
    with tempfile.TemporaryDirectory() as folder:
        for name, path, truth in list(variants(pathlib.Path(folder, "v")))[:: args.every]:
            verdict = "equal" if np.array_equal(read_clip(path).frames, truth) else "differs"
            rows.append((name, verdict, ""))
            if args.gdcm:
                rows.append((f"{name} (GDCM)", *compare_gdcm(path, truth)))
        if shutil.which("ffmpeg"):
            frames = np.random.default_rng(0).integers(0, 255, (6, 12, 16, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
            for suffix, codec, pixels in (
                ("mp4", "libx264", "yuv420p"), ("mp4", "libx264", "yuv444p"), ("mov", "mjpeg", "yuvj422p"),
                ("avi", "mjpeg", "yuvj420p"), ("mkv", "ffv1", "bgr0"), ("mkv", "ffv1", "yuv420p10le"),
                ("avi", "rawvideo", "bgr24"), ("gif", "gif", "rgb8"), ("webm", "libvpx", "yuv420p"),
            ):  # fmt: skip
                path = pathlib.Path(folder, f"{codec}-{pixels}.{suffix}")
                try:
                    encode(str(path), frames, codec=codec, pixels=pixels)
                except Exception as error:
                    print(f"{path.name}: cannot be made here ({error})", file=sys.stderr)
                    continue
                rows.append((path.name, *compare_video(path)))
    counts = collections.Counter(verdict for _, verdict, _ in rows)
    for name, verdict, detail in rows:
        if verdict not in ("equal", "neither"):
            print(f"{verdict:10s} {name}: {detail}")
    both = counts["equal"] + counts["near"] + counts["differs"]
    print(
        dict(counts),
        f"equal {100 * counts['equal'] / both:.2f} %, with lossy {100 * (both - counts['differs']) / both:.2f} %",
    )


if __name__ == "__main__":
    main()
