import contextlib
import dataclasses
import json
import os
import pickle

import numpy as np
import pytest

from data_pipeline.records import example as records
from data_pipeline.records import manifest as manifests
from data_pipeline.records import pack, tfrecord
from tests.data_pipeline.tiny_pairs import assert_equal_pairs, make_pairs

EVERY = [("train", 1.0)]


@pytest.fixture
def packed(tmp_path):
    pairs = make_pairs(7)
    manifest = pack.pack(pairs, tmp_path / "packed", shard_mb=0.02, encoding="raw", fractions=EVERY)
    assert len(manifest.shards) > 1
    return tmp_path / "packed", pairs


def test_writer_matches_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    rows = [b"", b"a", bytes(range(256)) * 5]
    with tfrecord.ShardWriter(tmp_path / "own") as writer:
        places = [writer.write(row) for row in rows]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as theirs:
        for row in rows:
            theirs.write(row)
    assert (tmp_path / "own").read_bytes() == (tmp_path / "theirs").read_bytes()
    np.testing.assert_array_equal(tfrecord.scan_index(tmp_path / "own"), places)
    np.testing.assert_array_equal(tfrecord.scan_index(tmp_path / "theirs"), places)


def test_writer_never_overwrites_and_leaves_nothing_half(tmp_path):
    path = tmp_path / "shard"
    with pytest.raises(RuntimeError), tfrecord.ShardWriter(path) as writer:
        writer.write(b"x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"mine")
    with pytest.raises(ValueError, match="not overwritten"):
        tfrecord.ShardWriter(path)
    assert path.read_bytes() == b"mine"


def test_source_reads_every_record_and_pickles(packed):
    directory, pairs = packed
    source = tfrecord.ShardSource(directory, "train")
    source[0]  # has an open map, which must not travel
    copy = pickle.loads(pickle.dumps(source))
    for own in (source, copy, tfrecord.ShardSource(directory / "manifest.json", "train", verify_crc="never")):
        assert len(own) == 7
        for index, pair in enumerate(pairs):
            assert_equal_pairs(own[index], pair)
            assert own.ids(index).clip_id == pair.clip_id
            assert own.ids(index).patient_id == pair.patient_id
    assert copy.digest == source.digest
    with pytest.raises(IndexError):
        source[7]


def test_a_missing_or_wrong_index_is_no_trouble(packed):
    directory, pairs = packed
    (path,) = directory.glob("*.index.npy")
    for index in (np.load(path) + 1, np.load(path)[:-1], None):
        path.unlink() if index is None else np.save(path, index)
        source = tfrecord.ShardSource(directory)
        for number, pair in enumerate(pairs):
            assert_equal_pairs(source[number], pair)


def test_few_descriptors_for_many_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecord, "MAX_MAPS", 3)
    pack.pack(make_pairs(12), tmp_path / "packed", shard_mb=0.001, fractions=EVERY)
    source = tfrecord.ShardSource(tmp_path / "packed")

    def held():
        links = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # another thread's, closed meanwhile
                links.append(os.readlink(f"/proc/self/fd/{name}"))
        return sum(str(tmp_path) in link for link in links)

    assert len(source._files) == 12
    for index in (*range(12), 0, 5):
        assert source[index].clip_id == f"clip{index:04d}"
        assert held() <= 3


def test_shards_are_in_order_of_their_numbers_and_ids_are_the_records(packed):
    directory, _ = packed
    manifest = manifests.load(directory)
    one = manifest.shards[0]
    shards = tuple(dataclasses.replace(one, file=f"pairs-train.tfrecord-{n}") for n in (100000, 99999, 100001))
    numbers = [shard.number for shard in dataclasses.replace(manifest, shards=shards).shards_of("train")]
    assert numbers == [99999, 100000, 100001]
    path = directory / "clips.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0].replace("clip0000", "clip0009"), *lines[1:]]))
    source = tfrecord.ShardSource(directory)
    with pytest.raises(tfrecord.CorruptRecordError, match="do not hold the same clips in one order"):
        source.ids(0)


@pytest.mark.parametrize("place", ["data", "footer"])
def test_flipped_bit_is_named(packed, place):
    directory, pairs = packed
    manifest = manifests.load(directory)
    shard = manifest.shards[0]
    path = directory / shard.file
    offset, length = tfrecord.scan_index(path)[1]
    data = bytearray(path.read_bytes())
    data[offset + (length // 2 if place == "data" else length)] ^= 4
    path.write_bytes(bytes(data))
    source = tfrecord.ShardSource(directory)
    assert_equal_pairs(source[0], pairs[0])
    with pytest.raises(tfrecord.CorruptRecordError, match=r"tfrecord-00000, record 1: the checksum of its data.*again"):
        source[1]


def test_checksums_are_checked_when_asked_for(packed):
    directory, pairs = packed
    path = directory / manifests.load(directory).shards[0].file
    offset, length = tfrecord.scan_index(path)[0]
    sources = {when: tfrecord.ShardSource(directory, verify_crc=when) for when in tfrecord.VERIFY_CRC}
    for source in sources.values():
        assert_equal_pairs(source[0], pairs[0])
    with path.open("r+b") as file:  # the mapped file changes under the readers
        file.seek(offset + length)
        file.write(b"\0\0\0\0")
    for when in ("once", "never"):
        assert_equal_pairs(sources[when][0], pairs[0])
    copy = pickle.loads(pickle.dumps(sources["once"]))  # another process checks for itself
    for source in (sources["always"], copy):
        with pytest.raises(tfrecord.CorruptRecordError, match="checksum"):
            source[0]
    with pytest.raises(ValueError, match="verify_crc must be one of"):
        tfrecord.ShardSource(directory, verify_crc="sometimes")


def test_damaged_shards_are_named(packed):
    directory, _ = packed
    manifest = manifests.load(directory)
    first, second = (directory / shard.file for shard in manifest.shards[:2])
    data = first.read_bytes()
    first.write_bytes(data[:-5])
    with pytest.raises(tfrecord.CorruptRecordError, match="tfrecord-00000: the shard has .* the manifest says"):
        tfrecord.ShardSource(directory)
    with pytest.raises(tfrecord.CorruptRecordError, match="ends inside this record"):
        tfrecord.scan_index(first)
    first.write_bytes(b"\x01" + data[1:])
    with pytest.raises(tfrecord.CorruptRecordError, match="record 0: the checksum of its length"):
        tfrecord.scan_index(first)
    first.write_bytes(data)
    second.unlink()
    with pytest.raises(tfrecord.CorruptRecordError, match="tfrecord-00001: the shard is missing"):
        tfrecord.ShardSource(directory)


def test_no_data_set(packed, tmp_path):
    directory, _ = packed
    with pytest.raises(ValueError, match="not a packed data set"):
        tfrecord.ShardSource(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"split 'test' .* holds no clip; splits with clips: train \(7 clips\)"):
        tfrecord.ShardSource(directory, "test")
    path = directory / "manifest.json"
    text = path.read_text()
    path.write_text(text.replace('"n_clips": 3', '"n_clips": 4', 1))
    with pytest.raises(ValueError, match="was edited"):
        manifests.load(directory)
    path.write_text(text[:100])
    with pytest.raises(ValueError, match="is damaged"):
        manifests.load(directory)


def test_tensorflow_reads_the_shards(packed):
    tf = pytest.importorskip("tensorflow")
    directory, pairs = packed
    files = [str(directory / shard.file) for shard in manifests.load(directory).shards]
    spec = {
        "cfd/value": tf.io.FixedLenFeature([], tf.string),
        "cfd/shape": tf.io.FixedLenFeature([4], tf.int64),
        "clip_id": tf.io.FixedLenFeature([], tf.string),
        "fps": tf.io.FixedLenFeature([], tf.float32),
    }
    seen = 0
    for pair, data in zip(pairs, tf.data.TFRecordDataset(files)):
        row = tf.io.parse_single_example(data, spec)
        frames = tf.reshape(tf.io.decode_raw(row["cfd/value"], tf.uint8), row["cfd/shape"])
        np.testing.assert_array_equal(frames.numpy(), pair.cfd)
        assert row["clip_id"].numpy().decode() == pair.clip_id
        assert float(row["fps"]) == pair.fps
        seen += 1
    assert seen == len(pairs)


@pytest.mark.parametrize("encoding", ["raw", "zstd"])
def test_tfds_reads_the_directory(tmp_path, encoding):
    pytest.importorskip("tensorflow")
    import tensorflow_datasets as tfds
    import zstandard

    pairs = make_pairs(5, frames=20)
    pack.pack(pairs, tmp_path / "packed", shard_mb=0.02, encoding=encoding, fractions=EVERY)
    builder = tfds.builder_from_directory(str(tmp_path / "packed"))
    assert builder.info.splits["train"].num_examples == 5
    rows = list(tfds.as_numpy(builder.as_dataset(split="train", shuffle_files=False)))
    assert sorted(row["clip_id"].decode() for row in rows) == [pair.clip_id for pair in pairs]
    by_id = {pair.clip_id: pair for pair in pairs}
    for row in rows:
        pair = by_id[row["clip_id"].decode()]
        if encoding == "raw":
            for name in ("cfd", "grey", "strata", "labels"):
                np.testing.assert_array_equal(row[name], getattr(pair, name))
        else:
            data = b"".join(zstandard.decompress(piece) for piece in row["cfd"]["value"])
            frames = np.frombuffer(data, np.uint8).reshape(row["cfd"]["shape"])
            np.testing.assert_array_equal(frames, pair.cfd)
        assert row["view"].decode() == pair.view and bool(row["shared"]) == pair.shared


@pytest.mark.parametrize("encoding", ["raw", "zstd"])
def test_tfds_serialises_alike(tmp_path, encoding):
    """Our bytes, and the description of them, hold what TFDS itself would write (the order of the features may differ)."""
    tfds = pytest.importorskip("tensorflow_datasets.public_api")
    from tensorflow_datasets.proto import tf_example_pb2

    pair = make_pairs(1, frames=20)[0]
    pack.pack([pair], tmp_path / "packed", encoding=encoding, fractions=EVERY)
    features = tfds.features.FeaturesDict.from_config(str(tmp_path / "packed"))
    (tmp_path / "theirs").mkdir()
    features.save_config(str(tmp_path / "theirs"))
    ours, theirs = (json.loads((tmp_path / name / "features.json").read_text()) for name in ("packed", "theirs"))
    assert ours == theirs
    data = records.encode(pair, encoding=encoding)
    again = features.serialize_example(features.deserialize_example_np(data))
    assert tf_example_pb2.Example.FromString(again) == tf_example_pb2.Example.FromString(data)
