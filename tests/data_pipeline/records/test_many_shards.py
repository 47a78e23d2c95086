"""A split of 100,000 shards, sparse files but for one record in each of a few."""

import dataclasses
import json
import os
import time

import numpy as np
import pytest

from data_pipeline.records import manifest as manifests
from data_pipeline.records import pack, tfrecord
from data_pipeline.records.manifest import Shard
from data_pipeline.records.tfds import shard_name
from tests.data_pipeline.tiny_pairs import assert_equal_pairs, make_pair

SHARDS = 100_100


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A packing of one shard, which is there again under every number: links, so that there is something to read."""
    folder = tmp_path_factory.mktemp("many")
    pair = make_pair(0)
    pack.pack([pair], folder / "one", fractions=[("train", 1.0)])
    one = manifests.load(folder / "one")
    source, out = folder / "one" / one.shards[0].file, folder / "many"
    out.mkdir()
    shards = []
    for number in range(SHARDS):
        if number % 50_000 == 0:  # a file takes 65,000 links
            copy = folder / f"copy-{number}"
            copy.write_bytes(source.read_bytes())
        name = shard_name("pairs", "train", number)
        os.link(copy, out / name)
        shards.append(
            Shard(file=name, split="train", n_clips=1, n_bytes=one.shards[0].n_bytes, sha256=one.shards[0].sha256)
        )
    counts = {"train": {**one.counts["train"], "clips": SHARDS}}
    manifest = dataclasses.replace(one, shards=tuple(shards), counts=counts)
    manifests.save(manifest, out)
    place = np.load(folder / "one" / "pairs-train.index.npy")
    np.save(out / "pairs-train.index.npy", np.repeat(place, SHARDS, axis=0))
    row = json.loads((folder / "one" / "clips.jsonl").read_text())
    lines = (json.dumps({**row, "shard": number}) for number in range(SHARDS))
    (out / "clips.jsonl").write_text("\n".join(lines) + "\n")
    return out, pair


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_many_shards_open_fast_and_take_few_descriptors(many):
    folder, pair = many
    before, start = descriptors(), time.process_time()
    source = tfrecord.ShardSource(folder)
    took = time.process_time() - start
    assert len(source) == SHARDS
    most = before
    for index in range(0, SHARDS, SHARDS // 700):
        assert_equal_pairs(source[index], pair)
        most = max(most, descriptors())
    assert most - before <= 256 < 700
    assert source.ids(SHARDS - 1).shard == SHARDS - 1  # 100,099 comes after 99,999
    assert took <= 4, f"{took:.1f} s"  # 2 s on a machine with nothing else to do
