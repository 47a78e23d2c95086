"""Readers that are not ours, to compare with: pydicom, GDCM, the program FFmpeg, and Pillow."""

from __future__ import annotations

import multiprocessing
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError

import numpy as np
import pydicom
import pydicom.data
from pebble import ProcessExpired, ProcessPool
from PIL import Image, ImageSequence

from data_pipeline.readers import IngestError, Limits, open_clip
from tests.data_pipeline.readers.made_files import pictures, videos
from tests.data_pipeline.readers.variants import variants

Reader = Callable[[pathlib.Path], np.ndarray]
"""A file to uint8 [T, H, W, 3] RGB."""
LIMITS = Limits(min_side=1, max_side=1 << 14)
ROUNDING = 1
"""Grey levels that two exact readers may differ by: windows and YCbCr are rounded in several ways."""


def dicom_files() -> list[pathlib.Path]:
    """pydicom's own test files and those of pydicom-data, without the text samples; nothing is downloaded."""
    folders = [pathlib.Path(pydicom.data.__file__).parent / "test_files"]
    try:
        import data_store  # pydicom-data

        folders.append(pathlib.Path(data_store.__file__).parent)
    except ImportError:
        pass
    found = {path.name: path for folder in folders for path in folder.rglob("*.dcm")}
    return [found[name] for name in sorted(found)]


def shown(stored: np.ndarray, ds: pydicom.Dataset) -> np.ndarray:
    """Stored values as a viewer shows them, uint8 [T, H, W, 3]: look-up tables by pydicom, ranges by PS3.3 C.11.2.

    Without a window the whole range of the stored bits is shown.
    """
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

    kind = ds.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        picture = apply_color_lut(stored, ds)[..., :3]
        wide = picture.dtype.itemsize == 2 and picture.max() > 255
        picture = (picture >> 8 if wide else picture).astype(np.uint8)
    elif ds.SamplesPerPixel == 1:
        table = "VOILUTSequence" in ds
        windowed = table or "WindowWidth" in ds
        values = apply_modality_lut(stored, ds)
        values = apply_voi_lut(values, ds, index=0) if windowed else values
        bits = int(ds.VOILUTSequence[0].LUTDescriptor[2]) if table else ds.BitsStored
        signed = ds.PixelRepresentation == 1 and not table
        ends = np.array([-(1 << (bits - 1)), (1 << (bits - 1)) - 1] if signed else [0, (1 << bits) - 1])
        if "RescaleSlope" in ds and not table:
            ends = ends * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        elif "ModalityLUTSequence" in ds and not table:
            ends = apply_modality_lut(ends.astype(stored.dtype), ds)
        low, high = float(min(ends)), float(max(ends))
        grey = np.rint((values.astype(float) - low) * 255 / (high - low)).clip(0, 255).astype(np.uint8)
        picture = np.repeat((255 - grey if kind == "MONOCHROME1" else grey)[..., None], 3, axis=-1)
    else:
        picture = (stored >> (ds.BitsStored - 8)).astype(np.uint8)
    return picture.reshape(int(ds.get("NumberOfFrames", 1) or 1), ds.Rows, ds.Columns, 3)


def by_pydicom(path: pathlib.Path) -> np.ndarray:
    """pydicom with its default plug-ins."""
    from pydicom.pixels import pixel_array

    ds = pydicom.dcmread(path, force=True)
    return shown(pixel_array(ds), ds)


class Gdcm:
    """GDCM decodes, in a process of its own since it aborts on some files; the stored values are shown by `shown`."""

    def __init__(self) -> None:
        self._pool = ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn"))

    def __call__(self, path: pathlib.Path) -> np.ndarray:
        try:
            stored, kind = self._pool.schedule(gdcm_values, (str(path),), timeout=60).result()
        except (ProcessExpired, TimeoutError) as error:
            raise ValueError(f"GDCM gives up ({type(error).__name__})") from None
        ds = pydicom.dcmread(path, force=True)
        return shown(rgb_of(stored) if kind.startswith("YBR_FULL") else stored, ds)

    def close(self) -> None:
        self._pool.stop()
        self._pool.join()


def gdcm_values(path: str) -> tuple[np.ndarray, str]:
    """What GDCM decodes, [T, H, W] or [T, H, W, 3], and the photometric interpretation of it."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(path)
    if not reader.Read():
        raise ValueError("GDCM cannot read it")
    image = reader.GetImage()
    pixel, size = image.GetPixelFormat(), [int(n) for n in image.GetDimensions()]
    bits, samples = pixel.GetBitsAllocated(), pixel.GetSamplesPerPixel()
    if bits not in (8, 16, 32):
        raise ValueError(f"{bits} bits")
    kind = np.dtype(f"{'i' if pixel.GetPixelRepresentation() else 'u'}{bits // 8}")
    data = np.frombuffer(image.GetBuffer().encode("utf-8", "surrogateescape"), kind)
    frames = size[2] if len(size) > 2 else 1
    if samples == 1:
        data = data.reshape(frames, size[1], size[0])
    elif image.GetPlanarConfiguration() == 1:
        data = data.reshape(frames, 3, size[1], size[0]).transpose(0, 2, 3, 1)
    else:
        data = data.reshape(frames, size[1], size[0], 3)
    return data, image.GetPhotometricInterpretation().GetString()


def rgb_of(ycbcr: np.ndarray) -> np.ndarray:
    """Full-range BT.601 (PS3.3 C.7.6.3.1.2) in floating point, uint8 [..., 3]."""
    y, cb, cr = (ycbcr[..., i].astype(float) - (128 if i else 0) for i in range(3))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.rint(rgb).clip(0, 255).astype(np.uint8)


def by_ffmpeg(path: pathlib.Path) -> np.ndarray:
    """FFmpeg's program, which turns, times and converts as players do."""
    probe = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_entries",
        "stream=width,height",
        "-of",
        "csv=p=0",
    ]
    size = subprocess.run([*probe, str(path)], capture_output=True, check=True, text=True).stdout.strip().split(",")
    decode = [
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
    raw = subprocess.run(decode, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, int(size[1]), int(size[0]), 3)


def by_pillow(path: pathlib.Path) -> np.ndarray:
    """Pillow; transparency over black."""
    with Image.open(path) as image:
        frames = []
        for page in ImageSequence.Iterator(image):
            rgba = page.convert("RGBA")
            frames.append(np.array(Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba))[..., :3])
    return np.stack(frames)


def compare(path: pathlib.Path, reader: Reader) -> tuple[str, str]:
    """``(verdict, detail)``: ``equal``, ``differs``, ``only we``, ``only they`` or ``neither``."""
    ours, theirs = (_read(one, path) for one in (_ours, reader))
    if isinstance(ours, str) or isinstance(theirs, str):
        if isinstance(ours, str) and isinstance(theirs, str):
            return "neither", ours
        return ("only they", ours) if isinstance(ours, str) else ("only we", theirs)
    if ours.shape != theirs.shape:
        return "differs", f"{ours.shape} for {theirs.shape}"
    off = np.abs(ours.astype(np.int16) - theirs)
    if off.max() <= ROUNDING:
        return "equal", ""
    return "differs", f"mean {off.mean():.2f}, most {off.max()}, {100 * (off > ROUNDING).mean():.2f} % of samples"


def _ours(path: pathlib.Path) -> np.ndarray:
    with open_clip(path, limits=LIMITS, any_modality=True) as stream:
        return np.stack(list(stream))  # `read_clip` refuses black pictures


def _read(reader: Reader, path: pathlib.Path) -> np.ndarray | str:
    """Frames, or why there are none."""
    try:
        return reader(path)
    except IngestError as error:
        return f"{error.code}: {error.detail}"[:160]
    except Exception as error:  # whatever other readers raise
        return f"{type(error).__name__}: {error}".replace("\n", " ")[:160]


def comparisons(folder: pathlib.Path, *, every: int = 1) -> Iterator[tuple[str, str, str, str]]:
    """``(file, reader, verdict, detail)`` for the n-th of pydicom's files, of legal variants, of videos and of pictures.

    Args:
      folder: generated files go there.
    """
    gdcm = Gdcm()
    for path in dicom_files()[::every]:
        yield path.name, "pydicom", *compare(path, by_pydicom)
        yield path.name, "GDCM", *compare(path, gdcm)
    for name, path, truth in list(variants(folder / "variants"))[::every]:
        yield name, "as generated", *compare(path, lambda _, truth=truth: truth)
        yield name, "GDCM", *compare(path, gdcm)
    gdcm.close()
    for path in list(videos(folder))[::every] if shutil.which("ffmpeg") else ():
        yield path.name, "FFmpeg", *compare(path, by_ffmpeg)
    for path in list(pictures(folder))[::every]:
        yield path.name, "Pillow", *compare(path, by_pillow)
