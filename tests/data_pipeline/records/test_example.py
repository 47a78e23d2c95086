import contextlib
import dataclasses
import pathlib

import numpy as np
import pytest
import zstandard

from data_pipeline.records import example as records
from data_pipeline.records import proto as example_proto
from tests.data_pipeline.tiny_pairs import assert_equal_pairs, make_pair


@pytest.mark.parametrize("encoding", records.ENCODINGS)
def test_round_trip(encoding):
    pair = make_pair(3)
    data = records.encode(pair, encoding=encoding)
    assert_equal_pairs(records.decode(data), pair)
    assert records.encode(records.decode(memoryview(data)), encoding=encoding) == data


def smooth_pair():
    time, y, x = np.mgrid[:40, :12, :16]
    plane = (time * 5 + y * 3 + x).astype(np.uint8)
    cfd = np.stack([plane, plane + 7, plane * 2], axis=-1)
    return make_pair(3, frames=40, cfd=cfd, grey=plane[..., None], labels=plane % 10)


def test_records_of_releases_that_compressed_whole_clips():
    """`whole_clip.example` was written by such a release."""
    data = (pathlib.Path(__file__).parent / "whole_clip.example").read_bytes()
    assert len(example_proto.parse(data)["cfd/value"]) == 1
    assert_equal_pairs(records.decode(data), smooth_pair())
    assert_equal_pairs(records.StoredPair.parsed(data).at(slice(5, 9)), smooth_pair().at(slice(5, 9)))


@pytest.mark.parametrize("frames", [1, 16, 17, 40])
@pytest.mark.parametrize("encoding", records.ENCODINGS)
def test_a_window_is_that_of_the_whole(encoding, frames):
    pair = make_pair(3, frames=frames)
    stored = records.StoredPair.parsed(records.encode(pair, encoding=encoding))
    assert stored.shape == pair.shape == (frames, 12, 16)
    times = [slice(None), slice(0, 1), slice(15, 17), slice(frames - 1, frames + 9), slice(3, 30, 2), slice(16, 32)]
    for time in [*times, np.array([frames - 1, 0, 0]), np.arange(frames)[::-1]]:
        if len(np.arange(frames)[time]):
            assert_equal_pairs(stored.at(time), pair.at(time))


def test_only_the_pieces_of_a_window_are_decompressed():
    pair = make_pair(3, frames=40)
    features = example_proto.parse(records.encode(pair, encoding="zstd"))
    for name in records.ARRAYS:
        pieces = features[f"{name}/value"]
        data = b"".join(zstandard.decompress(piece) for piece in pieces)  # as the documentation tells others to
        np.testing.assert_array_equal(
            np.frombuffer(data, np.uint8).reshape(features[f"{name}/shape"]), getattr(pair, name)
        )
        assert [zstandard.frame_content_size(piece) for piece in pieces] == [16 * len(data) // 40] * 2 + [
            8 * len(data) // 40
        ]
        pieces[0] = bytes(pieces[0])[:12] + b"\xff" * (len(pieces[0]) - 12)  # the first is damaged behind its header
    stored = records.StoredPair(features, "zstd")
    assert_equal_pairs(stored.at(slice(16, 40)), pair.at(slice(16, 40)))
    with pytest.raises(ValueError):
        stored.at(slice(15, 40))


def test_non_contiguous_arrays_and_empty_params():
    pair = make_pair(1)
    pair = dataclasses.replace(pair, cfd=pair.cfd[:, :, ::-1], params={}, vendor="")
    assert_equal_pairs(records.decode(records.encode(pair)), pair)


def test_raw_is_zero_copy():
    data = records.encode(make_pair(1))
    decoded = records.decode(data)
    assert np.shares_memory(decoded.cfd, np.frombuffer(data, np.uint8))
    assert not decoded.cfd.flags.writeable


def test_parser_agrees_with_protobuf():
    from tensorflow_datasets.proto import tf_example_pb2

    features = {
        "empty text": [b""],
        "bytes": [b"a" * 300, b"", b"\x00\xff"],
        "ints": [0, 1, -1, 127, 128, 2**62, -(2**63)],
        "floats": [0.0, -1.5, 3.0e38],
    }
    data = example_proto.serialize(features)
    message = tf_example_pb2.Example.FromString(data)
    assert list(message.features.feature["bytes"].bytes_list.value) == features["bytes"]
    assert list(message.features.feature["ints"].int64_list.value) == features["ints"]
    np.testing.assert_array_equal(message.features.feature["floats"].float_list.value, np.float32(features["floats"]))
    for source in (data, message.SerializeToString()):
        parsed = example_proto.parse(source)
        assert [bytes(v) for v in parsed["bytes"]] == features["bytes"]
        assert parsed["ints"] == features["ints"]
        np.testing.assert_array_equal(np.float32(parsed["floats"]), np.float32(features["floats"]))


def test_unpacked_lists_of_older_writers():
    # Feature{int64_list{1: 5, 1: 300}}, every number with its own tag
    feature = b"\x1a\x05\x08\x05\x08\xac\x02"
    entry = b"\x0a\x01k\x12" + bytes([len(feature)]) + feature
    data = b"\x0a" + bytes([len(entry) + 2]) + b"\x0a" + bytes([len(entry)]) + entry
    assert example_proto.parse(data) == {"k": [5, 300]}


@pytest.mark.parametrize("encoding", records.ENCODINGS)
def test_damage_is_a_value_error(encoding):
    data = records.encode(make_pair(1), encoding=encoding)
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(data)
        for place in rng.integers(0, 700, 3):  # names, shapes, lengths
            broken[place] = rng.integers(256)
        with contextlib.suppress(ValueError):
            records.decode(bytes(broken))
    for cut in range(0, len(data), 97):
        with pytest.raises(ValueError):
            records.decode(data[:cut])


def test_messages():
    with pytest.raises(ValueError, match="encoding must be one of"):
        records.encode(make_pair(), encoding="png")
    with pytest.raises(ValueError, match="JSON-serialisable"):
        records.encode(make_pair(params={"a": np.zeros(2)}))
    with pytest.raises(ValueError, match="finite numbers"):
        records.encode(make_pair(params={"a": float("nan")}))
    with pytest.raises(ValueError, match="no tf.train.Example"):
        records.decode(b"\xff\xff garbage")
    with pytest.raises(ValueError, match="no pair record"):
        records.decode(example_proto.serialize({"schema_version": [1]}))
    version = example_proto.serialize({"schema_version": [99]})
    with pytest.raises(ValueError, match="got version 99"):
        records.decode(version)
