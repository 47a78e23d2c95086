"""Archives and records in memory, behind a web server, and in a bucket of an S3 server that runs here."""

import base64
import concurrent.futures
import contextlib
import functools
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid

import cv2
import fsspec
import numpy as np
import pytest

from cfd2gray import cli
from data_pipeline import storage
from data_pipeline.census.run import census
from data_pipeline.loading import loader
from data_pipeline.pairs.jobs import archive_jobs
from data_pipeline.readers import IngestError, open_clip, read_clip
from data_pipeline.readers.archive import list_archive
from data_pipeline.records import lease, pack, tfrecord
from data_pipeline.records import manifest as manifests
from tests.data_pipeline.readers.test_video import encode
from tests.data_pipeline.tiny_archive import make_archive, simulated
from tests.data_pipeline.tiny_pairs import Job, assert_equal_pairs, make_pair, make_pairs

KEY = b"a secret of the hospital"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """DICOM, a video, and a folder of numbered frames."""
    folder = make_archive(tmp_path_factory.mktemp("storage") / "archive")
    encode(str(folder / "video.avi"), simulated().cfd, codec="ffv1", pixels="bgr0")
    (folder / "frames").mkdir()
    for number, frame in enumerate(simulated().cfd):
        cv2.imwrite(str(folder / "frames" / f"f{number:02d}.png"), frame[..., ::-1])
    (folder / "README.txt").write_text("not a clip")
    return folder


@pytest.fixture
def memory():
    place = f"memory://{uuid.uuid4().hex}"
    yield place
    with contextlib.suppress(FileNotFoundError):
        fsspec.filesystem("memory").rm(place.removeprefix("memory:/"), recursive=True)


@contextlib.contextmanager
def served(command, environment):
    """A server of this machine on a free port, for `{port}` in ``command``; workers find it by their environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"no_proxy": "127.0.0.1", **{name: value.format(port=port) for name, value in environment.items()}}
    server = subprocess.Popen(
        [word.format(port=port) for word in command], env={**os.environ, **told}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in told.items():
                patch.setenv(name, value)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            yield
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def bucket():
    """An S3 server of this machine."""
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"]
    told = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    with served(command, told):
        fsspec.filesystem("s3").mkdir("hospital")
        yield "s3://hospital"


@pytest.fixture(scope="module")
def google():
    """A server that speaks as Google Cloud Storage does, generations of objects included."""
    pytest.importorskip("gcsfs")
    from tests.launch.bucket import server

    with server() as place:
        yield place


@pytest.fixture(scope="module")
def azure():
    """Azurite, Microsoft's own server for tests (npm install azurite)."""
    adlfs = pytest.importorskip("adlfs")
    program = shutil.which("azurite-blob") or pytest.skip("azurite-blob is not installed")
    key = base64.b64encode(b"a key of this test only, of no use").decode()
    command = [program, "--blobPort", "{port}", "--silent", "--skipApiVersionCheck", "--inMemoryPersistence"]
    told = {
        "AZURITE_ACCOUNTS": f"lab:{key}",
        "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;AccountName=lab;AccountKey={key};"
        "BlobEndpoint=http://127.0.0.1:{port}/lab;",
    }
    with served(command, told):
        adlfs.AzureBlobFileSystem().mkdir("hospital")
        yield "az://hospital"


def upload(folder, place):
    fs, name = storage.file_system(place)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            target = f"{name}/{path.relative_to(folder).as_posix()}"
            fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(target, path.read_bytes())


def seen(found):
    return sorted((row.modality, row.code, row.view, row.n_frames, row.patient_known) for row in found.rows)


@pytest.mark.parametrize("kind", ["memory", "bucket"])
def test_an_archive_is_the_same_wherever_it_lies(archive, tmp_path, kind, request):
    place = f"{request.getfixturevalue(kind)}/archive"
    upload(archive, place)
    listed = list_archive(place)
    assert sorted(item.path.removeprefix(place) for item in listed.items) == sorted(
        item.path.removeprefix(str(archive)) for item in list_archive(archive).items
    )
    workers = 2 if kind == "bucket" else 0  # memory is a process's own
    assert seen(census(place, key=KEY, workers=workers)) == seen(census(archive, key=KEY))
    for name in ("a/IM1.dcm", "video.avi", "frames"):
        here, there = (read_clip(f"{top}/{name}") for top in (archive, place))
        np.testing.assert_array_equal(here.frames, there.frames)
        assert here.info == there.info
    with pytest.raises(IngestError, match="not_found"):
        open_clip(f"{place}/nothing.dcm")
    jobs = [archive_jobs(list_archive(top).items, key=KEY, paint_seeds=[1]) for top in (archive, place)]
    packed = [pack.pack(own, tmp_path / str(n), key=KEY, workers=workers * n) for n, own in enumerate(jobs)]
    assert packed[0].counts == packed[1].counts and packed[0].errors == packed[1].errors


def test_of_a_dicom_in_a_bucket_only_what_is_read_is_fetched(archive, memory, monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (200, 200, 200, 3), np.uint8)
    from tests.data_pipeline.tiny_archive import write_dicom

    path = archive.parent / "long" / "long.dcm"
    write_dicom(path, frames, patient="A")
    upload(path.parent, memory)
    fetched = []

    def counting(place, mode="rb", **options):
        file = fsspec.implementations.memory.MemoryFileSystem.open(storage.file_system(place)[0], place)
        read = file.read

        def counted(n=-1):
            data = read(n)
            fetched.append(len(data))
            return data

        file.read = counted
        return file

    monkeypatch.setattr("data_pipeline.readers.dicom.file.open_binary", counting)
    with open_clip(f"{memory}/long.dcm", digest=False) as stream:
        first = next(iter(stream))
    np.testing.assert_array_equal(first, frames[0])
    assert sum(fetched) < 0.05 * path.stat().st_size


@pytest.mark.parametrize("kind", ["memory", "bucket", "google", "azure"])
@pytest.mark.parametrize("encoding", ["raw", "zstd"])
def test_records_in_a_bucket_are_those_on_disk(tmp_path, kind, encoding, request):
    place, options = f"{request.getfixturevalue(kind)}/records-{encoding}", {"shard_mb": 0.02, "encoding": encoding}
    jobs = [*(Job(n) for n in range(9)), Job(3), Job(3, frames=4)]
    here = pack.pack(jobs, tmp_path / "here", **options)
    for k in (1, 2):
        assert pack.pack(jobs, place, part=(k, 2), **options) is None
    there = pack.finish(place)
    assert there == here == pack.pack(jobs, place, **options)  # once more changes nothing
    fs, name = storage.file_system(place)
    for path in (tmp_path / "here").iterdir():
        if path.is_file():
            assert fs.cat_file(f"{name}/{path.name}") == path.read_bytes(), path.name
    left = [entry.rpartition("/")[2] for entry in fs.ls(f"{name}/batches", detail=False)]
    assert sum("-train-" in entry for entry in left) == 1  # the one that was written again without a clip
    for split in there.splits:
        ours, theirs = tfrecord.ShardSource(here, split), tfrecord.ShardSource(place, split)
        for index in range(len(ours)):
            assert_equal_pairs(ours[index], theirs[index])
            assert ours.ids(index) == theirs.ids(index)
    grown = pack.pack([*jobs, Job(20)], place, **options)
    assert sum(shard.n_clips for shard in grown.shards) == sum(shard.n_clips for shard in here.shards) + 1


def test_a_flipped_bit_in_a_bucket_is_named(memory):
    pack.pack(make_pairs(4), f"{memory}/records", encoding="raw", fractions=[("train", 1.0)])
    fs, name = storage.file_system(f"{memory}/records")
    file = f"{name}/{manifests.load(f'{memory}/records').shards[0].file}"
    data = bytearray(fs.cat_file(file))
    data[200] ^= 4
    fs.pipe_file(file, bytes(data))
    with pytest.raises(tfrecord.CorruptRecordError, match=r"memory://.*-00000, record 0: the checksum of its data"):
        tfrecord.ShardSource(f"{memory}/records")[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_grain_reads_records_of_a_bucket(bucket, workers):
    place = f"{bucket}/grain-{workers}"
    pack.pack([make_pair(n, height=32, width=32, frames=6) for n in range(8)], place, fractions=[("train", 1.0)])
    told = dict(batch_size=2, frames=4, size=16, seed=1, training=True, num_epochs=1, num_workers=workers)
    batches = list(loader.make_loader(tfrecord.ShardSource(place), **told))
    assert len(batches) == 4 and batches[0]["cfd"].shape == (2, 4, 16, 16, 3)


@contextlib.contextmanager
def web_server(folder):
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_clips_of_a_web_server(archive, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with web_server(archive) as place:
        for name in ("a/IM1.dcm", "video.avi"):
            for digest in (False, True):  # this server gives no ranges of bytes
                there = read_clip(f"{place}/{name}", digest=digest)
                np.testing.assert_array_equal(there.frames, read_clip(archive / name).frames)


def test_what_cannot_be_reached_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    for name in ("gs", "gcs"):  # loaded by a test before this one
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, name, raising=False)
    with pytest.raises(ValueError, match=r"gs:// needs another package; pip install 'cfd2gray\[gcs\]'"):
        list_archive("gs://bucket/archive")
    assert cli.main(["census", "nosuch://bucket"]) != 0
    assert "cannot be reached" in capsys.readouterr().err


def test_commands_take_places(archive, bucket, tmp_path):
    place = f"{bucket}/commands"
    upload(archive, f"{place}/archive")
    key = tmp_path / "key"
    out = ["-o", str(tmp_path / "census"), "--key-file", str(key), "--workers", "0"]
    assert cli.main(["census", f"{place}/archive/", *out, "--private-list", str(tmp_path / "list.csv")]) in (0, 1)
    assert f"{place}/archive/a/IM1.dcm,".encode() in (tmp_path / "list.csv").read_bytes()
    told = ["--paint", "1", "--key-file", str(key), "--workers", "0", "-o", f"{place}/records"]
    assert cli.main(["pack", f"{place}/archive", *told]) in (0, 1)
    assert len(tfrecord.ShardSource(f"{place}/records", manifests.load(f"{place}/records").splits[0]))


@pytest.mark.parametrize("kind", ["memory", "bucket", "google", "azure"])
def test_two_runs_on_one_bucket_exclude_each_other(kind, request):
    place = f"{request.getfixturevalue(kind)}/held/batches"
    busy = pytest.raises(ValueError, match=r"another run is packing into .*held; .*or remove .*/batches/lock-.*-\d now")
    with lease.held(place, None):
        for part in (None, (1, 2)):
            with busy, lease.held(place, part):
                pass
    with lease.held(place, (1, 2)), lease.held(place, (2, 2)):  # parts beside parts
        for part in (None, (1, 2)):
            with busy, lease.held(place, part):
                pass
    fs, top = storage.file_system(place)
    fs.invalidate_cache()
    assert not fs.exists(top) or not fs.ls(top)  # nothing is left behind
    fs.pipe_file(f"{top}/lock-all-1", b"1700000000 of a run that was killed\n")
    with lease.held(place, (1, 2)):
        pass
    with lease.held(place, None), busy, lease.held(place, None):
        pass
    assert not fs.exists(top) or not fs.ls(top, refresh=True)


@pytest.mark.parametrize("kind", ["memory", "bucket", "google", "azure"])
def test_of_many_that_come_at_once_at_most_one_goes_on(kind, request):
    place, begin, inside, most = f"{request.getfixturevalue(kind)}/rush/batches", threading.Barrier(8), [], []

    def come(_):
        begin.wait()
        with contextlib.suppress(ValueError), lease.held(place, None):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.2)
            inside.pop()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(come, range(8)))
    assert most == [1]


def test_a_lease_is_renewed(memory, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    fs, top = storage.file_system(f"{memory}/batches")
    with lease.held(f"{memory}/batches", None):
        before = fs.cat_file(f"{top}/lock-all-1")
        monkeypatch.setattr(lease, "LEASE", 9000.0)
        deadline = time.monotonic() + 20
        while fs.cat_file(f"{top}/lock-all-1") == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert fs.cat_file(f"{top}/lock-all-1") != before


def test_the_second_packing_of_a_bucket_is_refused(memory):
    pack.pack(make_pairs(2), f"{memory}/records")
    with lease.held(f"{memory}/records/batches", None), pytest.raises(ValueError, match="another run is packing"):
        pack.pack(make_pairs(3), f"{memory}/records")
    fs, top = storage.file_system(f"{memory}/records")
    assert not [name for name in fs.ls(f"{top}/batches", detail=False) if "lock-" in name]
