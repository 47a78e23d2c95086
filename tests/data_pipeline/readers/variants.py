"""Legal DICOM files that differ in how the same picture is stored, with the picture that must come out."""

from __future__ import annotations

import itertools
import pathlib
import zlib
from collections.abc import Iterator

import gdcm
import numpy as np
from pydicom import uid as uids

from data_pipeline.readers.dicom.terms import DEFLATED_FRAME, ENCAPSULATED_UNCOMPRESSED
from tests.data_pipeline import dicom_samples as samples

_SIZES = ((48, 64), (33, 35), (40, 50))
_NATIVE = (
    uids.ExplicitVRLittleEndian, uids.ImplicitVRLittleEndian, uids.ExplicitVRBigEndian, uids.DeflatedExplicitVRLittleEndian,
)  # fmt: skip
_GDCM = {
    "ljpeg": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "jpegls": gdcm.TransferSyntax.JPEGLSLossless,
    "j2k": gdcm.TransferSyntax.JPEG2000Lossless,
}


def variants(folder: pathlib.Path) -> Iterator[tuple[str, pathlib.Path, np.ndarray]]:
    """``(name, file, frames uint8 [T, H, W, 3])``; about 300, always the same."""
    folder.mkdir(parents=True, exist_ok=True)
    count = itertools.count()

    def file() -> pathlib.Path:
        return folder / f"{next(count):03d}.dcm"

    for (height, width), frames in itertools.product(_SIZES, (1, 2, 5)):
        colour = samples.picture(frames, height, width)
        grey = colour[..., 0]
        shown = np.repeat(grey[..., None], 3, axis=3)
        tag = f"{height}x{width}x{frames}"
        for syntax in _NATIVE:
            big = syntax == uids.ExplicitVRBigEndian
            yield f"rgb {syntax.name} {tag}", samples.save(_ob(samples.header(colour)), file(), syntax), colour
            planar = samples.header(colour, PlanarConfiguration=1)
            planar.PixelData = samples.pad(np.ascontiguousarray(colour.transpose(0, 3, 1, 2)).tobytes())
            yield f"planar {syntax.name} {tag}", samples.save(_ob(planar), file(), syntax), colour
            yield f"grey {syntax.name} {tag}", samples.save(_ob(samples.header(grey)), file(), syntax), shown
            flipped = samples.header(255 - grey, PhotometricInterpretation="MONOCHROME1")
            yield f"inverted {syntax.name} {tag}", samples.save(_ob(flipped), file(), syntax), shown
            for bits, high in ((12, 11), (10, 9), (12, 15), (16, 15)):
                deep = samples.header(grey, BitsAllocated=16, BitsStored=bits, HighBit=high)
                levels = grey.astype(np.uint16) << (high - 7)
                deep.PixelData = levels.astype(">u2" if big else "<u2").tobytes()
                deep["PixelData"].VR = "OW"
                scaled = np.rint((levels >> (high + 1 - bits)) * (255.0 / ((1 << bits) - 1))).astype(np.uint8)
                yield f"{bits} bits at {high} {syntax.name} {tag}", samples.save(deep, file(), syntax), _three(scaled)
        native = samples.save(samples.header(colour), file())
        for name, syntax in _GDCM.items() if height * width % 2 == 0 else ():  # GDCM cannot write odd ones
            yield f"{name} {tag}", samples.transcode(native, file(), syntax), colour
        rle = samples.header(colour)
        rle.compress(
            uids.RLELossless, encoding_plugin="pydicom", generate_instance_uid=False
        )  # GDCM's aborts on odd sizes
        yield f"rle {tag}", samples.save(rle, file(), uids.RLELossless), colour
        whole = samples.encapsulated(samples.header(colour), [frame.tobytes() for frame in colour])
        yield f"whole {tag}", samples.save(whole, file(), ENCAPSULATED_UNCOMPRESSED), colour

        packed = []
        for frame in colour:
            deflater = zlib.compressobj(wbits=-15)
            packed.append(deflater.compress(frame.tobytes()) + deflater.flush())
        path = samples.save(samples.encapsulated(samples.header(colour), packed), file(), ENCAPSULATED_UNCOMPRESSED)
        label = str(DEFLATED_FRAME).encode().ljust(len(ENCAPSULATED_UNCOMPRESSED), b"\0")  # pydicom cannot write it
        path.write_bytes(path.read_bytes().replace(str(ENCAPSULATED_UNCOMPRESSED).encode(), label))
        yield f"deflated {tag}", path, colour


def _ob(ds):
    ds["PixelData"].VR = "OB"
    return ds


def _three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=3)
