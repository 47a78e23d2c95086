import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_pipeline.records import manifest as manifests
from data_pipeline.records import near_duplicates, pack, splits, tfrecord
from data_pipeline.records.journal import JOURNAL_NAME
from tests.data_pipeline.tiny_pairs import FailingJob, Job, TypedError, make_pair, make_pairs


def contents(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


def all_ids(directory: Path) -> list[str]:
    manifest = manifests.load(directory)
    return sorted(
        source[i].clip_id
        for source in (tfrecord.ShardSource(directory, split) for split in manifest.splits)
        for i in range(len(source))
    )


def test_counts_and_splits(tmp_path):
    pairs = make_pairs(30)
    manifest = pack.pack(pairs, tmp_path / "out", shard_mb=0.03)
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
    assert not list((tmp_path / "out").glob("*.part")) and not (tmp_path / "out" / JOURNAL_NAME).exists()


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
        on_error=lambda number, code, error: seen.append((number, code)),
    )
    assert manifest.errors == {"ValueError": 1, "truncated": 1, "OSError": 1}
    assert seen == [(1, "ValueError"), (2, "truncated"), (3, "OSError")]
    assert b"secret-file-name" not in b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    with pytest.raises(ValueError, match="no clip came out of the jobs.*2 x truncated"):
        pack.pack([FailingJob(TypedError)] * 2, tmp_path / "none")
    with pytest.raises(ZeroDivisionError):  # a defect, not bad input
        pack.pack([Job(0), FailingJob(ZeroDivisionError)], tmp_path / "defect")


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
    with pytest.raises(ValueError, match="other settings.*encoding: 'raw' there, 'zstd' asked"):
        pack.pack([Job(0), Job(1)], out, encoding="zstd")
    with pytest.raises(ValueError, match="other settings.*jobs"):
        pack.pack([Job(0), Job(2)], out)
    assert contents(out) == before


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


@pytest.mark.parametrize("tear", ["nothing", "journal", "shard", "both"])
def test_resume_equals_an_uninterrupted_run(tmp_path, tear):
    pairs, options = make_pairs(12), dict(shard_mb=0.02, fractions=[("train", 0.6), ("val", 0.4)])
    pack.pack(iter(pairs), tmp_path / "whole", **options)
    out = tmp_path / "resumed"
    for stop_after in (3, 8):
        _interrupted(out, stop_after, pairs, **options)
        if tear in ("journal", "both"):  # the last line was being written
            path = out / JOURNAL_NAME
            path.write_bytes(path.read_bytes()[:-20])
        if tear in ("shard", "both"):  # a record was being written, or never reached the disk
            for path in out.glob("*.part"):
                data = path.read_bytes()
                path.write_bytes(data + b"half a record" if path.name.startswith("pairs-train") else data[:-7])
    pack.pack(iter(pairs), out, **options)
    assert contents(out) == contents(tmp_path / "whole")


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
    for wanted in (3, 9):  # clips in the journal before the kill
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            journal = out / JOURNAL_NAME
            if journal.exists() and journal.read_bytes().count(b'"clip"') >= wanted:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.005)
        process.wait()
    assert killed == 2
    subprocess.run(command, env=environment, check=True)
    assert all_ids(out) == [f"clip{n:04d}" for n in range(20)]
    pack.pack([Job(n) for n in range(20)], tmp_path / "whole", shard_mb=0.02)
    mine, whole = contents(out), contents(tmp_path / "whole")
    differing = {name for name in mine | whole if mine.get(name) != whole.get(name)}
    assert differing == {"manifest.json"}  # its settings name other jobs
    assert manifests.load(out).digest == manifests.load(tmp_path / "whole").digest


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
    same_split = [(f"c{n}", "train", near_duplicates.thumbnail(pairs[1].grey)) for n in range(3)]
    assert near_duplicates.find(same_split) == ()
    assert "thumbnail" not in json.dumps(json.loads((tmp_path / "out" / "manifest.json").read_text()))
