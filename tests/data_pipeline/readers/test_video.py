"""Video containers, and video streams inside DICOM."""

import io

import av
import numpy as np
import pytest
from pydicom import uid as uids

from data_pipeline.readers import IngestError, open_clip, read_clip
from tests.data_pipeline import dicom_samples as samples


def encode(
    target, frames: np.ndarray, *, codec: str, pixels: str, format: str | None = None, rate: int = 25, **options
):
    """Write uint8 [T, H, W, 3] to a path or file object."""
    with av.open(target, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        stream.options = {key: str(value) for key, value in options.items()}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return target


def clip(frames: int = 6) -> np.ndarray:
    return samples.picture(frames, 96, 128)


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "worst"),
    [
        ("a.avi", "ffv1", "bgr0", 0.0),
        ("a.mkv", "ffv1", "bgr0", 0.0),
        ("b.avi", "mjpeg", "yuvj444p", 6.0),
        ("a.mp4", "libx264", "yuv444p", 6.0),
        ("a.mov", "mpeg4", "yuv420p", 8.0),
        ("a.mpg", "mpeg2video", "yuv420p", 8.0),
    ],
)
def test_containers(tmp_path, name, codec, pixels, worst):
    truth = clip()
    path = encode(str(tmp_path / name), truth, codec=codec, pixels=pixels)
    found = read_clip(path)
    assert found.frames.shape == truth.shape
    assert np.abs(found.frames.astype(int) - truth).mean() <= worst
    assert found.info.fps == 25.0 and found.info.fps_source == "container"
    assert found.info.lossy == (codec != "ffv1")


def test_gif(tmp_path):
    truth = clip()
    path = encode(str(tmp_path / "a.gif"), truth, codec="gif", pixels="rgb8")
    found = read_clip(path)
    assert found.frames.shape == truth.shape and found.info.fps == 25.0
    assert np.abs(found.frames.astype(int) - truth).mean() < 25  # 256 fixed colours


def test_content_counts_not_the_name(tmp_path):
    encode(str(tmp_path / "a.avi"), clip(), codec="ffv1", pixels="bgr0")
    (tmp_path / "a.avi").rename(tmp_path / "b.mp4")
    assert read_clip(tmp_path / "b.mp4").info.format == "avi"


def test_half_an_avi_gives_what_is_there_and_says_so(tmp_path):
    path = tmp_path / "a.avi"
    encode(str(path), clip(30), codec="mjpeg", pixels="yuvj444p")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    try:
        found = read_clip(path)
    except IngestError as error:  # the last packet may be cut
        assert error.code == "corrupt"
        found = read_clip(path, salvage=True)
    assert 8 <= len(found.frames) < 30 and found.info.n_frames == len(found.frames)
    assert {"frame_count_mismatch", "truncated"} & set(found.info.flags)


def test_half_an_mp4_is_corrupt(tmp_path):
    path = tmp_path / "a.mp4"
    encode(str(path), clip(30), codec="libx264", pixels="yuv420p")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(IngestError, match="corrupt"):
        read_clip(path)


def test_sound_without_picture(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(IngestError, match="no_frames"):
        open_clip(path)


@pytest.mark.parametrize(
    ("codec", "container", "syntax"),
    [
        ("libx264", "h264", uids.MPEG4HP41),
        ("libx264", "mp4", uids.MPEG4HP42STEREO),
        ("mpeg2video", "mpeg2video", uids.MPEG2MPML),
        ("mpeg2video", "mpeg", uids.MPEG2MPHL),
        ("libx265", "hevc", uids.HEVCMP51),
    ],
)
@pytest.mark.parametrize("fragments", [1, 3])
def test_video_inside_dicom(tmp_path, codec, container, syntax, fragments):
    truth = clip(10)
    buffer = io.BytesIO()
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    encode(buffer, truth, codec=codec, pixels="yuv420p", format=container, **quiet)
    data = buffer.getvalue()
    size = -(-len(data) // fragments) // 2 * 2 + 2
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    ds = samples.encapsulated(samples.header(truth, PhotometricInterpretation="YBR_PARTIAL_420"), parts)
    found = read_clip(samples.save(ds, tmp_path / "a.dcm", syntax))
    assert found.frames.shape == truth.shape
    assert np.abs(found.frames.astype(int) - truth).mean() < 10
    assert (found.info.fps, found.info.fps_source, found.info.lossy) == (25.0, "FrameTime", True)
    red = found.frames[0, 50:54, 58:62].reshape(-1, 3).mean(axis=0)
    assert red[0] > 120 and red[2] < 90  # not swapped, not green
