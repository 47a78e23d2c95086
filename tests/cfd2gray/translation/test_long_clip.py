"""Long clips piece by piece."""

import tracemalloc

import numpy as np
import pytest

from cfd2gray.translation import files, long_clip
from cfd2gray.translation.output.video import write_video
from data_pipeline.pixels import luma
from data_pipeline.readers import open_clip, read_clip
from data_pipeline.schema import ClipInfo
from data_pipeline.screen.deidentify import KeyedHasher
from data_pipeline.simulation.simulator import simulate_pair
from tests.cfd2gray.translation.test_stream import make_translator


@pytest.fixture(scope="module")
def clip():
    loop = simulate_pair("A4C", 3, height=97, width=113, frames=16, split="test").cfd
    return loop[np.arange(45) % 16]


@pytest.fixture
def source(clip, tmp_path):
    np.save(tmp_path / "clip.npy", clip)
    return tmp_path / "clip.npy"


@pytest.mark.parametrize("piece", [7, 20, 45, 100])
def test_pieces_are_what_they_are_all_at_once(source, clip, monkeypatch, piece):
    translator = make_translator(causal=False)

    def pieces(frames):
        monkeypatch.setattr(long_clip, "PIECE", frames)
        with open_clip(source) as stream:
            return np.concatenate([part.grey for part in long_clip.translate_pieces(translator, stream)])

    found, whole = pieces(piece), pieces(1000)
    assert found.shape == clip.shape[:3] and (found != luma(clip)).any()
    assert np.abs(found.astype(int) - whole.astype(int)).max() <= 1


def test_samples_are_spread_over_a_clip_of_any_length(source, clip):
    with open_clip(source) as stream:
        np.testing.assert_array_equal(long_clip.sampled(stream, count=100), clip)
        np.testing.assert_array_equal(long_clip.sampled(stream, count=12), clip[::4])
        np.testing.assert_array_equal(long_clip.sampled(stream, count=10), clip[::8])


def test_a_long_video_is_written_as_it_comes(tmp_path, clip, monkeypatch):
    write_video(tmp_path / "in.mkv", clip, fps=25.0)
    monkeypatch.setattr(files, "HELD_BYTES", 30 * clip[0].size)
    monkeypatch.setattr(long_clip, "PIECE", 10)
    output = files.Output(format=".mkv", hasher=KeyedHasher(b"k" * 16))
    facts = files.translate_file(make_translator(causal=False), tmp_path / "in.mkv", tmp_path / "out.mkv", output)
    monkeypatch.undo()
    files.translate_file(make_translator(causal=False), tmp_path / "in.mkv", tmp_path / "held.mkv", output)
    assert facts["frames"] == 45 == len(facts["synthesised_share_per_frame"]) and facts["synthesised_share"] > 0
    long, held = (read_clip(tmp_path / name).frames[..., 0] for name in ("out.mkv", "held.mkv"))
    assert (tmp_path / "out.mkv.json").is_file() and long.shape == held.shape
    # The long way cuts at the box, the other at the colour: a random network shows that, a trained one hardly.
    assert np.mean(np.abs(long.astype(int) - held.astype(int)) > 25) < 0.05


def test_memory_does_not_grow_with_the_clip(clip, monkeypatch):
    monkeypatch.setattr(long_clip, "PIECE", 16)
    translator = make_translator(causal=False)

    class Endless:
        def __init__(self, length):
            self.length = length
            self.info = ClipInfo(format="avi", height=97, width=113, n_frames=length, fps=25.0, fps_source="container")

        def __iter__(self):
            return (clip[i % 16].copy() for i in range(self.length))

    # Python's own count of what NumPy holds: the process's size also counts what XLA and malloc keep for later.
    peaks = []
    for length in (64, 640):
        tracemalloc.start()
        frames = sum(len(part.grey) for part in long_clip.translate_pieces(translator, Endless(length)))
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
        assert frames == length
    assert peaks[1] < 1.2 * peaks[0], f"640 frames are 20 MiB of input and 32 MiB of results: {peaks} MiB"
