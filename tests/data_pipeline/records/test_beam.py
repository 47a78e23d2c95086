import pytest

from tests.data_pipeline.tiny_pairs import FailingJob, Job, TypedError, assert_equal_pairs, make_pair

pytest.importorskip("apache_beam")

from data_pipeline.records import manifest as manifests  # noqa: E402
from data_pipeline.records import pack  # noqa: E402
from data_pipeline.records.beam import pack_with_beam  # noqa: E402
from data_pipeline.records.tfrecord import ShardSource  # noqa: E402


def read_all(directory):
    manifest = manifests.load(directory)
    return {
        (split, clip.clip_id): clip
        for split in manifest.splits
        for source in [ShardSource(directory, split)]
        for clip in (source[i] for i in range(len(source)))
    }


@pytest.mark.parametrize("encoding", ["raw", "zstd"])
def test_beam_packs_the_same_records(tmp_path, encoding):
    jobs = [Job(n) for n in range(24)] + [FailingJob(TypedError), Job(3), FailingJob(OSError)]
    options = dict(shard_mb=0.03, encoding=encoding)
    alone = pack.pack(jobs, tmp_path / "alone", **options)
    beam = pack_with_beam(jobs, str(tmp_path / "beam"), **options)
    assert len(beam.shards) > len(beam.splits)
    assert (beam.counts, beam.patients, beam.errors, beam.duplicates, beam.settings) == (
        alone.counts, alone.patients, alone.errors, alone.duplicates, alone.settings,
    )  # fmt: skip
    ours, theirs = read_all(tmp_path / "alone"), read_all(tmp_path / "beam")
    assert ours.keys() == theirs.keys()
    for key, clip in ours.items():
        assert_equal_pairs(theirs[key], clip)
    source = ShardSource(tmp_path / "beam", "train")
    assert [source.ids(i).clip_id for i in range(len(source))] == [source[i].clip_id for i in range(len(source))]
    assert not list((tmp_path / "beam").glob("*.part"))


def test_beam_refuses_what_pack_refuses(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        pack_with_beam([Job(0)], str(tmp_path))
    with pytest.raises(Exception, match="no clip came out"):
        pack_with_beam([FailingJob()], str(tmp_path / "none"))
    with pytest.raises(Exception, match="is in 'test' and in 'train'|is in 'train' and in 'test'"):
        pack_with_beam([Both()], str(tmp_path / "both"))


class Both(Job):
    def __init__(self):
        super().__init__(0)

    def __call__(self):
        return [make_pair(n, patient=1, params={"split": split}) for n, split in enumerate(("train", "test"))]
