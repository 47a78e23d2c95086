import contextlib
import dataclasses

import numpy as np
import pytest

from data_pipeline.records import example as records
from data_pipeline.records import proto as example_proto
from tests.data_pipeline.tiny_pairs import assert_equal_pairs, make_pair


@pytest.mark.parametrize("encoding", records.ENCODINGS)
def test_round_trip(encoding):
    pair = make_pair(3)
    data = records.encode(pair, encoding=encoding)
    assert_equal_pairs(records.decode(data), pair)
    assert records.encode(records.decode(memoryview(data)), encoding=encoding) == data


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


def test_damage_is_a_value_error():
    data = records.encode(make_pair(1))
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
