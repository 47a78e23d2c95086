"""What storage does to a clip: subsampled chroma, JPEG, H.264, HEVC and MPEG-4, encoded and decoded in memory."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import av
import cv2
import numpy as np

CODECS = ("none", "ybr", "jpeg", "h264", "hevc", "mpeg4")
CHROMAS = ("444", "422", "420")
_JPEG_SAMPLING = {"444": 0x111111, "422": 0x211111, "420": 0x221111}
_VIDEO = {"h264": ("libx264", "h264", 0, 51), "hevc": ("libx265", "hevc", 0, 51), "mpeg4": ("mpeg4", "mpeg4", 1, 31)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Codec:
    """How frames are stored.

    Attributes:
      name: one of ``CODECS``; ``ybr`` is uncompressed YCbCr whose coarse chroma is repeated, as DICOM's YBR_FULL_422.
      quality: JPEG quality 1..100; for H.264 and HEVC the constant rate factor 0..51; for MPEG-4 the quantiser 1..31.
      chroma: one of ``CHROMAS``; the video codecs always use 4:2:0.
      upscale: frames are enlarged by this whole factor before coding and averaged back after, which is what a clip
        stored at its native size and shrunk for training has been through.
    """

    name: str = "jpeg"
    quality: int = 92
    chroma: str = "422"
    upscale: int = 1

    def __post_init__(self) -> None:
        if self.name not in CODECS:
            raise ValueError(f"codec must be one of {CODECS}, got {self.name!r}")
        if self.chroma not in CHROMAS:
            raise ValueError(f"chroma must be one of {CHROMAS}, got {self.chroma!r}")
        low, high = _VIDEO[self.name][2:] if self.name in _VIDEO else (1, 100)
        if not low <= self.quality <= high:
            raise ValueError(f"quality of {self.name} must lie in {low}..{high}, got {self.quality}")
        if not 1 <= self.upscale <= 4:
            raise ValueError(f"upscale must lie in 1..4, got {self.upscale}")


def draw_codec(rng: np.random.Generator, *, video_share: float = 0.1) -> Codec:
    """Draw a codec: chroma 4:2:2 60 %, 4:2:0 30 %, 4:4:4 10 %; JPEG 70..98, or for 20 % uncompressed YCbCr.

    ``video_share`` of the clips are H.264 or MPEG-4 instead.
    """
    chroma = CHROMAS[int(np.searchsorted((0.1, 0.7), rng.random(), side="right"))]
    quality, crf, quantiser = int(rng.integers(70, 99)), int(rng.integers(14, 27)), int(rng.integers(2, 7))
    upscale = 2 if rng.random() < 0.2 else 1
    kind, pick = rng.random(), rng.random()
    if kind < video_share:
        name = "h264" if pick < 0.6 else "mpeg4"
        return Codec(name=name, quality=crf if name == "h264" else quantiser, chroma="420", upscale=upscale)
    name = "ybr" if kind > 0.8 else "jpeg"
    return Codec(name=name, quality=quality, chroma=chroma, upscale=1 if name == "ybr" else upscale)


def transcode(frames: np.ndarray, codec: Codec) -> np.ndarray:
    """Encode and decode.

    Args:
      frames: uint8 ``[T, H, W, 3]`` RGB or ``[T, H, W, 1]`` grey.
    Returns: uint8 of the same shape.
    """
    if codec.name == "none":
        return frames
    height, width = frames.shape[1:3]
    if codec.upscale > 1:
        frames = frames.repeat(codec.upscale, 1).repeat(codec.upscale, 2)
    coded = (_video if codec.name in _VIDEO else _jpeg if codec.name == "jpeg" else _subsample)(frames, codec)
    if codec.upscale > 1:
        small = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in coded]
        coded = np.stack(small).reshape(len(small), height, width, coded.shape[3])
    return coded


def _subsample(frames: np.ndarray, codec: Codec) -> np.ndarray:
    if frames.shape[3] == 1 or codec.chroma == "444":
        return frames
    height, width = frames.shape[1:3]
    rows, out = 2 if codec.chroma == "420" else 1, np.empty_like(frames)
    small = (-(-width // 2), -(-height // rows))
    for k, frame in enumerate(frames):
        planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb)
        padded = cv2.copyMakeBorder(planes[..., 1:], 0, height % rows, 0, width % 2, cv2.BORDER_REPLICATE)
        coarse = cv2.resize(padded, small, interpolation=cv2.INTER_AREA)
        planes[..., 1:] = coarse.repeat(rows, 0).repeat(2, 1)[:height, :width]
        cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB, dst=out[k])
    return out


def _jpeg(frames: np.ndarray, codec: Codec) -> np.ndarray:
    flags = [cv2.IMWRITE_JPEG_QUALITY, codec.quality]
    colour = frames.shape[3] == 3
    if colour:
        flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _JPEG_SAMPLING[codec.chroma]]
    out = np.empty_like(frames)
    for k, frame in enumerate(frames):
        _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) if colour else frame, flags)
        if colour:
            cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB, dst=out[k])
        else:
            out[k, ..., 0] = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    return out


def _video(frames: np.ndarray, codec: Codec) -> np.ndarray:
    """Through the encoder's and the decoder's own contexts: no container, one thread, so the same bytes every time."""
    encoder_name, decoder_name, _, _ = _VIDEO[codec.name]
    count, height, width, channels = frames.shape
    # 4:2:0 needs even sides, and whole macroblocks behave better with a replicated than with a black margin. x265 writes past
    # its memory unless sides are whole blocks, and on pictures below two of its largest blocks gives other bytes every time.
    unit, least = (32, 128) if codec.name == "hevc" else (2, 0)
    margins = [(0, max(-side % unit, least - side)) for side in (height, width)]
    padded = np.pad(frames, ((0, 0), *margins, (0, 0)), mode="edge")
    if channels == 1:
        padded = padded.repeat(3, 3)
    encoder = av.CodecContext.create(encoder_name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = padded.shape[2], padded.shape[1], "yuv420p"
    encoder.time_base, encoder.framerate, encoder.thread_count = Fraction(1, 25), 25, 1
    if codec.name == "h264":
        encoder.options = {"crf": str(codec.quality), "preset": "veryfast", "x264-params": "log-level=none"}
    elif codec.name == "hevc":
        alone = "log-level=none:pools=none:frame-threads=1"  # threads would make the bytes depend on the machine
        encoder.options = {"crf": str(codec.quality), "preset": "veryfast", "x265-params": alone}
    else:
        encoder.options = {"qmin": str(codec.quality), "qmax": str(codec.quality)}
        encoder.bit_rate = 50_000_000
    packets = []
    for k, rgb in enumerate(padded):
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts = k
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create(decoder_name, "r")
    decoder.thread_count = 1
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    decoded = [frame for packet in packets for frame in decoder.decode(packet)] + list(decoder.decode(None))
    decoded.sort(key=lambda frame: frame.pts)
    out = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])[:, :height, :width]
    if len(out) != count:
        raise RuntimeError(f"{codec.name} gave back {len(out)} of {count} frames")
    return np.ascontiguousarray(out) if channels == 3 else out[..., 1:2].copy()
