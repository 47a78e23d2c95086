import dataclasses
import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_pipeline.parallel import FEW_DEFECTS, TooManyDefectsError
from data_pipeline.records import manifest as manifests
from data_pipeline.records import near_duplicates, pack, splits, tfrecord
from tests.data_pipeline.tiny_pairs import FailingJob, Job, TypedError, make_pair, make_pairs


def contents(directory: Path) -> dict[str, str]:
    """Digests of the data set's files; the rows it was made of lie in a folder beside them."""
    files = (path for path in sorted(directory.iterdir()) if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def all_ids(directory: Path) -> list[str]:
    manifest = manifests.load(directory)
    return sorted(
        source[i].clip_id
        for source in (tfrecord.ShardSource(directory, split) for split in manifest.splits)
        for i in range(len(source))
    )


def test_counts_and_splits(tmp_path):
    pairs = make_pairs(30)
    manifest = pack.pack(pairs, tmp_path / "out", shard_mb=0.03, encoding="raw")
    assert manifests.load(tmp_path / "out") == manifest
    assert all_ids(tmp_path / "out") == [pair.clip_id for pair in pairs]
    for pair in pairs:
        assert pair.patient_id in manifest.patients[splits.split_of(pair.patient_id)]
    total = {key: sum(table[key] for table in manifest.counts.values()) for key in ("clips", "patients", "frames")}
    assert total == {"clips": 30, "patients": 30, "frames": 150}
    train = manifest.counts["train"]
    assert train["view"]["A4C"] + train["view"]["KIDNEY"] == train["clips"] == sum(train["domain"].values())
    shard = manifest.shards[0]
    assert hashlib.sha256((tmp_path / "out" / shard.file).read_bytes()).hexdigest() == shard.sha256
    assert all(shard.n_bytes <= 30_000 for shard in manifest.shards)
    assert not list((tmp_path / "out").rglob("*.part")) and not list((tmp_path / "out" / "batches").glob("*-train-*"))


def test_workers_and_inline_give_the_same_bytes(tmp_path):
    jobs = [Job(n) for n in range(9)]
    pack.pack(jobs, tmp_path / "inline", shard_mb=0.02)
    pack.pack(jobs, tmp_path / "parallel", shard_mb=0.02, workers=2)
    assert contents(tmp_path / "inline") == contents(tmp_path / "parallel")


def test_bad_jobs_are_counted_without_their_messages(tmp_path):
    seen = []
    manifest = pack.pack(
        [Job(0), FailingJob(), FailingJob(TypedError), FailingJob(OSError), Job(1)],
        tmp_path / "out",
        on_error=lambda job, code, error: seen.append((job.error, code)),
    )
    assert manifest.errors == {"ValueError": 1, "truncated": 1, "OSError": 1}
    assert seen == [(ValueError, "ValueError"), (TypedError, "truncated"), (OSError, "OSError")]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 5 and b"secret-file-name" not in b"".join(path.read_bytes() for path in files)
    with pytest.raises(ValueError, match="no clip came out of the jobs.*2 x truncated"):
        pack.pack([FailingJob(TypedError)] * 2, tmp_path / "none")
    defect = pack.pack([Job(0), FailingJob(MemoryError), Job(1)], tmp_path / "defect", workers=1)
    assert defect.errors == {"memory": 1} and len(all_ids(tmp_path / "defect")) == 2
    with pytest.raises(TooManyDefectsError):
        pack.pack([Job(0), *[FailingJob(ZeroDivisionError)] * (FEW_DEFECTS + 1)], tmp_path / "defects")


def test_same_clip_twice_is_packed_once(tmp_path):
    manifest = pack.pack([Job(0), Job(1), Job(0)], tmp_path / "out")
    assert manifest.duplicates == 1
    assert all_ids(tmp_path / "out") == ["clip0000", "clip0001"]


def test_patient_in_two_splits_stops_packing(tmp_path):
    pairs = [
        make_pair(0, patient=7, params={"split": "train"}),
        make_pair(1, patient=7, params={"split": "test"}),
    ]
    with pytest.raises(ValueError, match="'patient0007' is in 'train' and in 'test'"):
        pack.pack(pairs, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_never_touches_what_it_did_not_make(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty and holds no packing of ours"):
        pack.pack([Job(0)], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match="is a file"):
        pack.pack([Job(0)], tmp_path / "out" / "thesis.txt")


def test_finished_packing_is_returned_or_refused(tmp_path):
    out = tmp_path / "out"
    first = pack.pack([Job(0), Job(1)], out)
    before = contents(out)
    assert pack.pack([Job(0), Job(1)], out) == first
    with pytest.raises(ValueError, match="pass resume"):
        pack.pack([Job(0), Job(1)], out, resume=False)
    with pytest.raises(ValueError, match="other settings.*encoding: 'zstd' there, 'raw' asked"):
        pack.pack([Job(0), Job(1)], out, encoding="raw")
    with pytest.raises(ValueError, match="other settings.*paint: None there, 2 asked"):
        pack.pack([Job(0), Job(1)], out, options={"paint": 2})
    assert contents(out) == before


def test_new_jobs_are_appended(tmp_path):
    out, fractions = tmp_path / "out", [("train", 0.6), ("val", 0.4)]
    first = pack.pack([Job(n) for n in range(1, 9)], out, fractions=fractions)
    grown = pack.pack([Job(n) for n in range(12)], out, fractions=fractions)  # in front of and behind the others
    assert all_ids(out) == [f"clip{n:04d}" for n in range(12)]
    assert set(first.shards) < set(grown.shards)
    source = tfrecord.ShardSource(out, "train")
    assert [source.ids(n).clip_id for n in range(len(source))] == [source[n].clip_id for n in range(len(source))]
    pack.pack([Job(n) for n in range(6)], out, fractions=fractions)  # files that are gone take nothing with them
    assert len(all_ids(out)) == 12


@pytest.mark.parametrize("parts", [1, 3, 8])
def test_parts_give_what_one_run_gives(tmp_path, parts):
    jobs = [*(Job(n) for n in range(30)), Job(3), FailingJob(TypedError), *(Job(n, frames=4) for n in (3, 20))]
    whole = pack.pack(jobs, tmp_path / "whole", shard_mb=0.02)
    for k in reversed(range(1, parts + 1)):
        with pytest.raises(ValueError, match="not packed yet|holds no packing"):
            pack.finish(tmp_path / "out")
        assert pack.pack(jobs, tmp_path / "out", shard_mb=0.02, part=(k, parts)) is None
    assert pack.finish(tmp_path / "out") == whole
    assert (whole.duplicates, whole.errors) == (3, {"truncated": 1})
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert pack.finish(tmp_path / "out") == whole  # once more changes nothing
    with pytest.raises(ValueError, match="1 <= k <= n"):
        pack.pack(jobs, tmp_path / "out", part=(0, 3))


class Moody(Job):
    """Fails for as long as a file is missing."""

    def __call__(self):
        if self.number == 2 and not os.path.exists(os.environ["MOODY"]):
            raise OSError(116, "Stale file handle")
        return super().__call__()


@pytest.mark.parametrize("code", ["OSError", "transient"])
def test_failures_are_tried_again_when_asked_for(tmp_path, monkeypatch, code):
    monkeypatch.setenv("MOODY", str(tmp_path / "there"))
    jobs, out = [Moody(n) for n in range(5)], tmp_path / "out"
    first = pack.pack(jobs, out)
    (tmp_path / "there").touch()
    assert pack.pack(jobs, out) == first and first.errors == {"OSError": 1}
    assert pack.pack(jobs, out, retry=["truncated"]) == first
    assert pack.pack(jobs, out, retry=[code]).errors == {}
    assert len(all_ids(out)) == 5


@pytest.mark.parametrize("option", [{"shard_mb": 0}, {"encoding": "png"}, {"name": "A b"}, {"fractions": [("a", 2)]}])
def test_bad_options(tmp_path, option):
    with pytest.raises(ValueError, match="must"):
        pack.pack([Job(0)], tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


class Stop(Exception):
    pass


def _interrupted(out, stop_after, pairs, **options):
    """Packs, but the process 'dies' after some writes: the exception leaves the files as a kill would."""

    def stream():
        for number, pair in enumerate(pairs):
            if number == stop_after:
                raise Stop
            yield pair

    with pytest.raises(Stop):
        pack.pack(stream(), out, **options)


@pytest.mark.parametrize("lost", ["nothing", "half a shard", "rows", "shards", "a shard's end"])
def test_resume_equals_an_uninterrupted_run(tmp_path, lost):
    """A kill leaves files that no rows know; a power cut may also take files whose rows are there."""
    pairs, options = make_pairs(12), dict(shard_mb=0.02, fractions=[("train", 0.6), ("val", 0.4)])
    pack.pack(iter(pairs), tmp_path / "whole", **options)
    out = tmp_path / "resumed"
    for stop_after in (5, 9):
        _interrupted(out, stop_after, pairs, **options)
        rows, shards = sorted((out / "batches").glob("*.jsonl")), sorted((out / "batches").glob("0000-*-*-*"))
        assert rows and shards
        if lost == "half a shard":
            (out / "batches" / "0000-000002-train-00.part").write_bytes(b"half a record")
            (out / "batches" / "0000-000002-train-01").write_bytes(shards[0].read_bytes())
        elif lost == "rows":
            rows[-1].unlink()
        elif lost == "shards":
            shards[-1].unlink()
        elif lost == "a shard's end":
            shards[0].write_bytes(shards[0].read_bytes()[:-7])
    pack.pack(iter(pairs), out, **options)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("moved", [0, 1, 3])
def test_an_end_that_was_cut_off_is_done_again(tmp_path, monkeypatch, moved):
    jobs = [*(Job(n) for n in range(12)), Job(1, frames=4)]
    pack.pack(jobs, tmp_path / "whole", shard_mb=0.02)
    count, replace = 0, os.replace

    def until_power_fails(source, target):
        nonlocal count
        if "tfrecord-" in str(target):
            count += 1
            if count > moved:
                raise Stop
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", until_power_fails)
        with pytest.raises(Stop):
            pack.pack(jobs, tmp_path / "out", shard_mb=0.02)
    assert not (tmp_path / "out" / "manifest.json").exists()
    pack.pack(jobs, tmp_path / "out", shard_mb=0.02)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


SCRIPT = """
import sys, time
from tests.data_pipeline.tiny_pairs import Job
from data_pipeline.records import pack
class Slow(Job):
    def __call__(self):
        time.sleep(0.05)
        return super().__call__()
    def __repr__(self):
        return f"Slow({self.number})"
if __name__ == "__main__":
    pack.pack([Slow(n) for n in range(20)], sys.argv[1], shard_mb=0.02, workers=int(sys.argv[2]))
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_kill_9_loses_and_doubles_nothing(tmp_path, workers):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(script), str(out), str(workers)]
    killed = 0
    for wanted in (1, 3):  # batches before the kill
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list((out / "batches").glob("*.jsonl"))) >= wanted:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.005)
        process.wait()
    assert killed == 2
    subprocess.run(command, env=environment, check=True)
    assert all_ids(out) == [f"clip{n:04d}" for n in range(20)]
    pack.pack([Job(n) for n in range(20)], tmp_path / "whole", shard_mb=0.02)
    assert contents(out) == contents(tmp_path / "whole")


def test_two_packers_do_not_mix(tmp_path):
    def stream():
        yield make_pair(0)
        with pytest.raises(ValueError, match="another process is packing"):
            pack.pack(iter([make_pair(1)]), tmp_path / "out")
        yield make_pair(2)

    pack.pack(stream(), tmp_path / "out")
    assert all_ids(tmp_path / "out") == ["clip0000", "clip0002"]


class Dies(Job):
    def __call__(self):
        if self.number == 2:
            os._exit(11)
        return super().__call__()


def test_a_worker_that_dies_costs_its_job_only(tmp_path):
    manifest = pack.pack([Dies(n) for n in range(5)], tmp_path / "out", workers=2)
    assert manifest.errors == {"worker_died": 1}
    assert all_ids(tmp_path / "out") == ["clip0000", "clip0001", "clip0003", "clip0004"]


def test_near_duplicates_across_splits(tmp_path):
    pairs = [make_pair(n, height=64, width=64, params={"split": "train" if n < 3 else "test"}) for n in range(6)]
    pairs[5] = dataclasses.replace(pairs[5], grey=pairs[1].grey // 2 + 40)
    manifest = pack.pack(pairs, tmp_path / "out")
    assert manifest.near_duplicates == (("clip0001", "clip0005"),)
    alike = np.frombuffer(near_duplicates.pixels(near_duplicates.thumbnail(pairs[1].grey)) * 3, np.uint8).reshape(3, -1)
    assert near_duplicates.find(alike, np.array(["train"] * 3)) == []
    assert "thumbnail" not in json.dumps(json.loads((tmp_path / "out" / "manifest.json").read_text()))


def test_near_duplicates_are_those_of_comparing_all(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(40, 216, (900, 32, 32)).astype(np.float32)
    images = np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in images])
    images = (images - images.min()) / (images.max() - images.min()) * 200
    copies = images[:60] * rng.uniform(0.8, 1.1, (60, 1, 1)) + rng.normal(0, 4, (60, 32, 32)) * rng.random((60, 1, 1))
    images = np.clip(np.rint(np.concatenate([images, copies])), 0, 255).astype(np.uint8)
    split = rng.choice(["train", "val", "test"], len(images), p=[0.8, 0.1, 0.1])
    flat = images.reshape(len(images), -1).astype(np.float32)
    alike = np.corrcoef(flat - flat.mean(axis=0)) > near_duplicates.THRESHOLD
    pairs = [(a, b) for a, b in np.argwhere(alike) if a < b and split[a] != split[b]]
    assert 3 < len(pairs) < 60
    assert near_duplicates.find(images.reshape(len(images), -1), split) == pairs
    order = rng.permutation(len(images))  # as they lie in a file, in another order
    images[order].tofile(tmp_path / "images")
    stored = near_duplicates.Stored(tmp_path / "images", np.argsort(order))
    assert near_duplicates.find(stored, split) == pairs


def test_whatever_counts_has_reached_the_disk(tmp_path, monkeypatch):
    """A power cut takes the bytes that no fsync named: a finished packing has none of them."""
    synced, fsync = set(), os.fsync

    def noted(handle):
        fsync(handle)
        synced.add(os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", noted)
    pack.pack([*(Job(n) for n in range(9)), Job(1, frames=4)], tmp_path / "out", shard_mb=0.02)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.stat().st_size]
    assert len(files) > 8 and not [path.name for path in files if path.stat().st_ino not in synced]


def test_what_attempts_left_behind_is_gone_at_the_end(tmp_path):
    out = tmp_path / "out"
    pack.pack([Job(n) for n in range(9)], out, part=(1, 1))
    (out / "batches" / "0000-000001-train-07").write_bytes(b"of an attempt that was cut off")
    (out / "batches" / "mine.txt").write_text("mine")
    pack.finish(out)
    assert not (out / "batches" / "0000-000001-train-07").exists() and (out / "batches" / "mine.txt").exists()


def test_jobs_are_let_go_of_before_the_end(tmp_path, monkeypatch):
    """A million of them take half a gigabyte, and the end has its own."""

    def jobs():
        made = [Job(number) for number in range(3)]
        first.append(weakref.ref(made[0]))
        return made

    def ended(*args, finish=pack.finishing.finish, **options):
        gc.collect()
        alive.append(first[0]() is not None)
        return finish(*args, **options)

    first, alive = [], []
    monkeypatch.setattr(pack.finishing, "finish", ended)
    pack.pack(jobs(), tmp_path / "out", fractions=[("train", 1.0)], progress=False)
    assert alive == [False]
