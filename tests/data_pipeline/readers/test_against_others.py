"""What we read is what independent readers read: a sample of the differential bench."""

import shutil

import numpy as np
import pytest

from data_pipeline.readers import IngestError, read_clip
from tests.data_pipeline.readers import other_readers as others
from tests.data_pipeline.readers.made_files import pictures, videos
from tests.data_pipeline.readers.variants import variants

EVERY = 11
NOT_READ = {"JPEG-LL.dcm", "JPEG-lossy.dcm", "JPGExtended.dcm"}
"""Named in docs/readers_compared.md: no decoder here reads them right, so they are refused."""


SITING = "libx264-yuv420p10le.mp4"
"""FFmpeg's program heeds where chroma samples lie: explained in the same place."""


def test_pydicoms_own_files():
    files = [path for path in others.dicom_files()[::EVERY] if path.name not in NOT_READ]
    verdicts = {path.name: others.compare(path, others.by_pydicom) for path in files}
    assert not {name: said for name, said in verdicts.items() if said[0] in ("differs", "only they")}
    assert sum(verdict == "equal" for verdict, _ in verdicts.values()) >= 7


def test_legal_variants_in_gdcm(tmp_path):
    gdcm = others.Gdcm()
    made = [made for made in variants(tmp_path) if not made[0].startswith("12 bits at 15")][
        :: 3 * EVERY
    ]  # GDCM's fault
    verdicts = {name: others.compare(path, gdcm) for name, path, _ in made}
    gdcm.close()
    assert not {name: said for name, said in verdicts.items() if said[0] in ("differs", "only they")}
    assert sum(verdict == "equal" for verdict, _ in verdicts.values()) >= 6


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg's program is not here")
def test_videos_in_ffmpegs_program(tmp_path):
    verdicts = {
        path.name: others.compare(path, others.by_ffmpeg) for path in list(videos(tmp_path)) if path.name != SITING
    }
    assert {verdict for verdict, _ in verdicts.values()} == {"equal"}, verdicts


def test_pictures_in_pillow(tmp_path):
    verdicts = {path.name: others.compare(path, others.by_pillow) for path in pictures(tmp_path)}
    assert {verdict for verdict, _ in verdicts.values()} == {"equal"}, verdicts


@pytest.mark.parametrize("name", sorted(NOT_READ))
def test_what_no_decoder_reads_right_is_refused_by_name(name):
    path = next(path for path in others.dicom_files() if path.name == name)
    with pytest.raises(IngestError, match="JPEG .*no decoder here") as caught:
        read_clip(path, any_modality=True)
    assert caught.value.code == "unsupported_codec"


@pytest.mark.parametrize("name", ["liver_1frame.dcm", "liver_expb_1frame.dcm"])
def test_single_bits_are_black_and_white(name):
    path = next(path for path in others.dicom_files() if path.name == name)
    assert set(np.unique(read_clip(path, any_modality=True).frames)) == {0, 255}
