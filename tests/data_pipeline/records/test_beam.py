import base64
import bz2
import contextlib
import dataclasses
import functools
import os
import re
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.data_pipeline.tiny_pairs import FailingJob, Job, TypedError, make_pair

beam = pytest.importorskip("apache_beam")

from data_pipeline.records import pack  # noqa: E402
from data_pipeline.records.beam import pack_with_beam  # noqa: E402

KEY = b"a secret of the hospital"


def jobs_of(*jobs):
    """What `pack_with_beam` asks for; the key is read on the worker."""
    return functools.partial(_jobs, jobs)


def _jobs(jobs):
    return list(jobs), KEY


@pytest.mark.parametrize("encoding", ["raw", "zstd"])
def test_beam_packs_the_same_files(tmp_path, encoding):
    jobs = [*(Job(n) for n in range(24)), FailingJob(TypedError), Job(3), FailingJob(OSError)]
    options = dict(shard_mb=0.03, encoding=encoding)
    alone = pack.pack(jobs, tmp_path / "alone", key=KEY, **options)
    beam = pack_with_beam(jobs_of(*jobs), str(tmp_path / "beam"), **options)
    assert beam == alone and beam.duplicates == 1 and beam.errors == {"OSError": 1, "truncated": 1}
    ours, theirs = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.is_file()}
                    for name in ("alone", "beam"))  # fmt: skip
    assert ours == theirs and len(beam.shards) > len(beam.splits)
    assert not list((tmp_path / "beam").rglob("*.part"))


@contextlib.contextmanager
def portable_runner():
    """Beam's job server and a pool that starts a worker process for each share of the work, as beside a Flink cluster."""
    with contextlib.ExitStack() as started:
        ports = []
        for module, option in (
            ("apache_beam.runners.portability.local_job_service_main", "--port"),
            ("apache_beam.runners.worker.worker_pool_main", "--service_port"),
        ):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                ports.append(free.getsockname()[1])
            process = started.enter_context(
                subprocess.Popen([sys.executable, "-m", module, option, str(ports[-1])], stderr=subprocess.DEVNULL)
            )
            started.callback(process.terminate)
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ports[-1]), 1):
                    break
                time.sleep(0.2)
        yield [
            f"--job_endpoint=127.0.0.1:{ports[0]}", "--environment_type=EXTERNAL",
            f"--environment_config=127.0.0.1:{ports[1]}",
        ]  # fmt: skip


@contextlib.contextmanager
def direct_runner():
    yield ["--direct_num_workers=4", "--direct_running_mode=multi_processing"]


@pytest.mark.parametrize(("runner", "started"), [("DirectRunner", direct_runner), ("PortableRunner", portable_runner)])
def test_worker_processes_give_what_parts_and_one_run_give(tmp_path, monkeypatch, runner, started):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv(
        "PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )  # the pool starts `python`
    alike = [
        dataclasses.replace(make_pair(40 + n, height=64, width=64), grey=make_pair(0, height=64, width=64).grey)
        for n in range(9)
    ]
    jobs = [*(Job(n) for n in range(20)), Given(tuple(alike)), Job(3), FailingJob(TypedError), FailingJob(OSError)]
    options = {"shard_mb": 0.03}
    whole = pack.pack(jobs, tmp_path / "whole", key=KEY, **options)
    assert whole.near_duplicates and whole.duplicates == 1 and whole.errors == {"OSError": 1, "truncated": 1}
    for parts in (1, 3, 8):
        for k in range(1, parts + 1):
            pack.pack(jobs, tmp_path / str(parts), key=KEY, part=(k, parts), **options)
        assert pack.finish(tmp_path / str(parts)) == whole
    with started() as told:
        manifest = pack_with_beam(jobs_of(*jobs), str(tmp_path / "beam"), runner=runner, runner_options=told, **options)
    assert manifest == whole


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    records: tuple

    def __call__(self):
        return list(self.records)

    def __repr__(self):
        return f"Given({[record.clip_id for record in self.records]})"


class Dies(Job):
    def __call__(self):
        os._exit(11)


class Hangs(Job):
    def __call__(self):
        time.sleep(600)


class WantsMuch(Job):
    def __call__(self):
        return np.ones(8 << 30, np.uint8)


def test_a_poisoned_file_costs_itself_and_the_rest_is_resumed(tmp_path):
    poisoned = {2: Dies(2), 4: Hangs(4), 5: WantsMuch(5)}
    jobs = [poisoned.get(n) or Job(n) for n in range(9)]
    told = {"timeout": 20, "memory": 4 << 30, "on_error": functools.partial(note, tmp_path / "errors")}
    manifest = pack_with_beam(jobs_of(*jobs), str(tmp_path / "out"), **told)
    assert manifest.errors == {"worker_died": 1, "timeout": 1, "memory": 1}
    assert sum(table["clips"] for table in manifest.counts.values()) == 6
    assert sorted((tmp_path / "errors").read_text().split()) == ["memory", "timeout", "worker_died"]
    rows = sorted((tmp_path / "out" / "batches").glob("*.jsonl"))
    times = [path.stat().st_mtime_ns for path in rows]
    assert pack_with_beam(jobs_of(*jobs), str(tmp_path / "out"), **told) == manifest
    assert [path.stat().st_mtime_ns for path in rows] == times


def note(path, job, code, error):
    with open(path, "a") as file:
        file.write(f"{code}\n")


def test_neither_key_nor_path_is_in_the_pipeline(tmp_path, monkeypatch):
    seen = []
    run = beam.Pipeline.run

    def spy(pipeline, *args, **kwargs):
        seen.append(pipeline.to_runner_api().SerializeToString())
        return run(pipeline, *args, **kwargs)

    monkeypatch.setattr(beam.Pipeline, "run", spy)
    (tmp_path / "key").write_bytes(KEY)
    pack_with_beam(functools.partial(_listed, str(tmp_path)), str(tmp_path / "out"))
    graph = seen[0] + b"".join(_unpacked(seen[0]))
    assert str(tmp_path).encode() in graph  # it says where to look
    assert KEY not in graph and b"secret-file-name" not in graph and b"clip0003" not in graph


def _unpacked(graph):
    """Beam's pickles, which lie in the graph compressed."""
    for text in re.findall(rb"[A-Za-z0-9+/=]{64,}", graph):
        for skip in range(4):  # the length before a payload may look like a digit of it
            for decompress in (bz2.decompress, zlib.decompress):
                with contextlib.suppress(ValueError, OSError, zlib.error):
                    yield decompress(base64.b64decode(text[skip:]))


def _listed(folder):
    return [Named(n, f"secret-file-name-{n}") for n in range(5)], (Path(folder) / "key").read_bytes()


@dataclasses.dataclass(frozen=True)
class Named:
    number: int
    path: str

    def __call__(self):
        return make_pair(self.number)


def test_beam_refuses_what_pack_refuses(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        pack_with_beam(jobs_of(Job(0)), str(tmp_path))
    with pytest.raises(ValueError, match="no clip came out"):
        pack_with_beam(jobs_of(FailingJob()), str(tmp_path / "none"))
    with pytest.raises(ValueError, match="is in 'test' and in 'train'|is in 'train' and in 'test'"):
        pack_with_beam(jobs_of(Both()), str(tmp_path / "both"))


class Both(Job):
    def __init__(self):
        super().__init__(0)

    def __call__(self):
        return [make_pair(n, patient=1, params={"split": split}) for n, split in enumerate(("train", "test"))]
