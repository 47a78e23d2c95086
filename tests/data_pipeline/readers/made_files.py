"""Videos and pictures in the forms that people have, to be read by several readers."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.data_pipeline import dicom_samples as samples
from tests.data_pipeline.readers.test_video import encode

_VIDEOS = (
    ("mp4", "libx264", "yuv420p"), ("mp4", "libx264", "yuv444p"), ("mp4", "libx264", "yuv420p10le"),
    ("mp4", "mpeg4", "yuv420p"), ("mov", "mjpeg", "yuvj422p"), ("avi", "mjpeg", "yuvj420p"), ("avi", "mjpeg", "yuvj444p"),
    ("avi", "rawvideo", "bgr24"), ("avi", "rawvideo", "yuv420p"), ("avi", "huffyuv", "rgb24"), ("avi", "msmpeg4v3", "yuv420p"),
    ("avi", "ffv1", "bgr0"), ("mkv", "ffv1", "yuv420p"), ("mkv", "ffv1", "yuv422p"), ("mkv", "ffv1", "yuv411p"),
    ("mkv", "ffv1", "yuv420p10le"), ("mkv", "ffv1", "yuv422p10le"), ("mkv", "ffv1", "gray"), ("mkv", "ffv1", "gray16le"),
    ("mpg", "mpeg2video", "yuv420p"), ("mov", "qtrle", "rgb24"), ("mov", "png", "rgb24"), ("gif", "gif", "rgb8"),
    ("gif", "gif", "gray"), ("mkv", "libvpx-vp9", "yuv420p"), ("mp4", "libx265", "yuv420p"),
)  # fmt: skip


def videos(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Every codec, container and layout of samples that this machine's FFmpeg can write."""
    frames = samples.picture(6, 96, 128)
    for suffix, codec, pixels in _VIDEOS:
        path = folder / f"{codec}-{pixels}.{suffix}"
        try:
            encode(str(path), frames, codec=codec, pixels=pixels)
        except Exception:  # an encoder that is not built in
            continue
        yield path


def pictures(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Stills and pages as Pillow writes them."""
    frames = samples.picture(4, 64, 80)
    colour, grey = Image.fromarray(frames[0]), Image.fromarray(frames[0, ..., 0])
    alpha = colour.copy()
    alpha.putalpha(Image.fromarray(np.linspace(0, 255, 64 * 80).reshape(64, 80).astype(np.uint8)))
    few = colour.quantize(64)
    for name, image, options in (
        ("rgb.png", colour, {}), ("grey.png", grey, {}), ("alpha.png", alpha, {}), ("palette.png", few, {}),
        ("palette_clear.png", few, {"transparency": 3}), ("bits.png", grey.convert("1"), {}),
        ("fine.jpg", colour, {"quality": 95, "subsampling": 0}), ("coarse.jpg", colour, {"quality": 60, "subsampling": 2}),
        ("grey.jpg", grey, {}), ("progressive.jpg", colour, {"progressive": True}),
        ("rgb.bmp", colour, {}), ("grey.bmp", grey, {}), ("palette.bmp", few, {}),
        ("plain.tif", colour, {}), ("grey.tif", grey, {}), ("lzw.tif", colour, {"compression": "tiff_lzw"}),
        ("deflate.tif", colour, {"compression": "tiff_adobe_deflate"}), ("palette.tif", few, {}),
    ):  # fmt: skip
        image.save(folder / name, **options)
        yield folder / name
    pages = [Image.fromarray(frame) for frame in frames]
    pages[0].save(folder / "pages.tif", save_all=True, append_images=pages[1:])
    yield folder / "pages.tif"
    for disposal in (1, 2):
        path = folder / f"film{disposal}.gif"
        few = [page.quantize(200) for page in pages]
        few[0].save(path, save_all=True, append_images=few[1:], duration=40, disposal=disposal)
        yield path
