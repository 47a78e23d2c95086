"""From a DICOM full of names to what training sees: header, pixels, ids, errors; none of the planted secrets is left."""

import dataclasses
import json
import logging
import warnings

import cv2
import numpy as np
import pytest

from data_pipeline.readers import IngestError, read_clip
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.burned_text import find_burned_text
from data_pipeline.screen.crop import SectorCrop
from data_pipeline.screen.deidentify import KeyedHasher, sector_only
from tests.data_pipeline import dicom_samples as samples
from tests.data_pipeline.screen.test_analysis import duplex
from tests.data_pipeline.screen.test_deidentify import plant

SECRET = "ZACHARIAS"
SECRETS = (SECRET, SECRET.lower(), "19330707", "JOHN", "1.2.840.99", "111213")


def planted_file(tmp_path):
    clip, _, _ = duplex(6)
    banner = np.zeros_like(clip[0])
    cv2.putText(banner, f"{SECRET} 07/07/1933", (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    cv2.putText(banner, SECRET, (4, 295), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 220, 90), 1)
    frames = np.maximum(clip, banner)
    ds = samples.header(frames, PatientID=f"{SECRET}-1", StudyInstanceUID="1.2.840.99.1", SOPInstanceUID="1.2.840.99.2")
    for keyword in ("Manufacturer", "ImageType", "SeriesInstanceUID"):
        delattr(ds, keyword)
    plant(ds, SECRET)
    ds.ImageType = ["ORIGINAL", "PRIMARY", SECRET, "0011"]
    return samples.save(ds, tmp_path / f"{SECRET}_19330707.dcm"), banner


def test_no_secret_in_anything_that_is_kept(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    path, banner = planted_file(tmp_path)
    caplog.clear(), capfd.readouterr()  # what pydicom said while the test wrote the file
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom's warnings quote header values: none may come out
        clip = read_clip(path)
    found = analyse(clip.frames, regions=clip.info.regions, image_type=clip.info.image_type)
    assert found.is_cfd
    hasher = KeyedHasher(b"s" * 32)
    pixels = sector_only(clip.frames, found.sector)
    crop = SectorCrop.from_geometry(found.geometry, found.sector, size=112)
    facts = {
        "patient": hasher.patient(clip.info.identity.patient),
        "study": hasher.study(clip.info.identity.study),
        "clip": hasher.clip(clip.info.identity.instance),
        "uid": hasher.uid(clip.info.identity.instance),
        "info": {**dataclasses.asdict(clip.info), "identity": None},
        "geometry": crop.geometry.fields(),
        "kind": found.kind,
        "reason": found.reason,
    }
    said = json.dumps(facts) + caplog.text + "".join(capfd.readouterr())
    for secret in SECRETS:
        assert secret not in said
    written = banner.max(axis=2) > 60
    assert written.any() and not (written & found.sector).any()
    assert not pixels[:, written].any()
    assert crop.apply(clip.frames).any()


def test_a_name_inside_the_sector_is_flagged(tmp_path):
    clip, _, _ = duplex(8)
    for frame in clip:
        cv2.putText(frame, SECRET, (170, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    found = analyse(clip)
    text = find_burned_text(clip, found.sector)
    assert text[62:70, 175:235].mean() > 0.7
    assert not find_burned_text(duplex(8)[0], found.sector).any()


def test_the_part_of_an_error_that_may_be_logged_names_nobody(tmp_path):
    path, _ = planted_file(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(IngestError) as caught:
        read_clip(path)
    assert SECRET in str(caught.value)  # the person who asked sees which file it was
    assert not any(secret in caught.value.detail for secret in SECRETS)
