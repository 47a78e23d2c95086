"""Runs whose records and work folder are in a bucket: the losses of a run on disk, killed or not."""

import os
import signal
import threading
import time

import pytest
import tensorstore

from cfd2gray.run_folder import run_folder
from cfd2gray.training.writer import read_history
from cfd2gray.weights.find import checkpoint_weights, find_checkpoint
from data_pipeline.mistakes import Mistake
from tests.launch import bucket, runs

pytestmark = pytest.mark.skipif(bool(bucket.MISSING), reason=f"{bucket.MISSING} not installed: extra [gcs]")


@pytest.fixture(scope="module")
def place():
    with bucket.server() as found:
        yield found


@pytest.fixture(scope="module")
def remote(place, data):
    return bucket.upload(data, f"{place}/records")


def steps(workdir):
    return sorted(int(folder.name) for folder in (run_folder(workdir) / "checkpoints").iterdir())


def test_what_others_write_and_remove_is_seen(place):
    """TensorStore and the other processes write past gcsfs, which would remember its listing of a folder."""
    folder, here = run_folder(f"{place}/listed"), lambda: sorted(path.name for path in folder.iterdir())
    (folder / "1").write_text("mine")
    assert here() == ["1"]
    other = tensorstore.KvStore.open(f"{place}/listed/").result()
    other.write("2", b"theirs").result()
    assert here() == ["1", "2"] and (folder / "2").exists()
    other.delete_range(tensorstore.KvStore.KeyRange("1", "2")).result()
    assert here() == ["2"] and not (folder / "1").exists()
    folder.rmtree()
    assert not other.list().result()


def test_two_processes_train_in_a_bucket_as_one_does_on_disk(machine, remote, place, plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = f"{place}/runs/two"
    code, output = runs.run(remote, workdir, "eval.every=2", processes=2)
    assert code == 0, output
    assert "validation on" in output
    runs.assert_same_losses(workdir, plain)
    assert checkpoint_weights(workdir).digest and find_checkpoint(workdir).name == "6"
    assert not list(tmp_path.iterdir()), "a folder gs: here"
    # Once more there is nothing to do, and with other settings the folder is refused.
    assert runs.run(remote, workdir, "eval.every=2")[0] == 0
    code, output = runs.run(remote, workdir, "model.width=16")
    assert code == 2 and "other settings" in output, output


def test_a_killed_run_goes_on_from_the_bucket_and_passes_over_a_checkpoint_that_lost_an_object(
    machine, remote, place, plain
):
    workdir = f"{place}/runs/killed"

    def kill_after_the_second_checkpoint(children):
        def wait_and_kill():
            while children[0].poll() is None:
                if any("commit_success" in str(p) for p in (run_folder(workdir) / "checkpoints").glob("4/*")):
                    children[0].send_signal(signal.SIGKILL)
                    return
                time.sleep(0.05)

        threading.Thread(target=wait_and_kill, daemon=True).start()

    code, output = runs.run(remote, workdir, started=kill_after_the_second_checkpoint)
    if code:  # it may have been quicker than the kill
        assert max(steps(workdir)) >= 4
    newest = max(steps(workdir))
    lost = [path for path in (run_folder(workdir) / "checkpoints" / str(newest) / "state" / "d").iterdir()]
    assert lost
    for path in lost:
        path.unlink()
    code, output = runs.run(remote, workdir, "train.steps=6")
    assert code == 0, output
    assert f"checkpoint {newest} cannot be read and is removed; going on from {newest - 2}" in output
    runs.assert_same_losses(workdir, plain)
    assert steps(workdir)[-1] == 6 and len(read_history(workdir)) == 6


def test_other_stores_are_refused_for_runs_with_a_remedy(monkeypatch):
    for place in ("s3://bucket/run", "az://container/run"):
        with pytest.raises(Mistake, match="records can be read from there.*give gs://"):
            run_folder(place)
    assert os.fspath(run_folder("gs:/bucket/run/")) == "gs://bucket/run"
    monkeypatch.setattr("cfd2gray.run_folder._installed", lambda name: name != "gcsfs")
    with pytest.raises(Mistake, match=r"needs gcsfs; pip install 'cfd2gray\[gcs\]'"):
        run_folder("gs://bucket/run")
