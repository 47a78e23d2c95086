"""A name is planted wherever a source can carry one, and looked for in everything that a translation writes."""

import io
import json
import pathlib
import zipfile

import av
import cv2
import h5py
import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
from PIL import Image, PngImagePlugin

from cfd2gray import cli
from cfd2gray.translation.folders import batch as batches
from cfd2gray.translation.folders.batch import translate_files
from data_pipeline.readers import read_clip
from data_pipeline.simulation.simulator import SimulationOptions, simulate_pair
from tests.cfd2gray.translation.test_stream import make_translator
from tests.data_pipeline import dicom_samples as samples
from tests.data_pipeline.screen.test_deidentify import plant

SECRET = "ZACHARIAS"
NEEDLES = (b"zacharias", b"19330707", b"1.2.19330707.5", b"111213")


@pytest.fixture(scope="module")
def clip():
    """A screen with the name drawn outside the sector (top left) and inside it."""
    options = SimulationOptions(ui_share=0.0, video_share=0.0)
    frames = simulate_pair("A4C", 3, height=240, width=320, frames=4, options=options).cfd.copy()
    for frame in frames:
        cv2.putText(frame, "ZACHARIAS 1933", (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255,) * 3, 1)
        cv2.putText(frame, "ZACHARIAS", (115, 200), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255,) * 3, 1)
    return frames


@pytest.fixture(scope="module")
def archive(tmp_path_factory, clip):
    """Names in 40 places beside a header's tags (of every kind, some two thousand): private creator and values, sequences,
    UIDs, overlay, preamble, AE title; names of folders and files; title, comment, artist, location and description of a
    container and handler of a stream; title and language of AVI, Matroska and QuickTime streams; text chunks, EXIF, comments
    of stills; comments of an archive and of a member, its extra field and name; headers of research formats and what they
    extend; a structured report; broken files; and pixels inside and outside the sector.
    """
    top = tmp_path_factory.mktemp("in") / f"{SECRET} archive"
    (top / f"study {SECRET}").mkdir(parents=True)
    ds = samples.header(clip)
    for keyword in ("Manufacturer", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        delattr(ds, keyword)
    plant(ds, SECRET)
    item = pydicom.Dataset()
    item.CodeMeaning = item.CodeValue = item.LongCodeValue = SECRET
    ds.ViewCodeSequence, ds.file_meta.SourceApplicationEntityTitle = [item], SECRET
    ds.preamble = SECRET.encode().ljust(128, b"\0")
    samples.save(ds, top / f"study {SECRET}" / f"{SECRET}.dcm")
    with av.open(str(top / "phone.mp4"), "w") as container:
        for key in ("title", "comment", "artist", "location", "description"):
            container.metadata[key] = SECRET
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.metadata["handler_name"] = SECRET
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    note = PngImagePlugin.PngInfo()
    note.add_text("Author", SECRET)
    note.add_itxt("Title", SECRET)
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = SECRET
    Image.fromarray(clip[0]).save(top / "still.png", pnginfo=note, exif=exif)
    Image.fromarray(clip[0]).save(top / "still.jpg", comment=SECRET.encode(), exif=exif)
    Image.fromarray(clip[0]).save(
        top / "film.gif", save_all=True, append_images=[Image.fromarray(f) for f in clip[1:]], comment=SECRET.encode()
    )
    packed = io.BytesIO()
    np.save(packed, clip)
    with zipfile.ZipFile(top / f"{SECRET}.zip", "w") as zipped:
        zipped.comment = SECRET.encode()
        member = zipfile.ZipInfo(f"{SECRET}/IM_{SECRET}.npy")
        member.comment, member.extra = SECRET.encode(), b"\xfe\xca\x09\x00" + SECRET.encode()
        zipped.writestr(member, packed.getvalue()[:-1] + b"\x01")
    nifti = nibabel.Nifti1Image(clip[..., 0].transpose(2, 1, 0), np.eye(4))
    nifti.header["descrip"] = nifti.header["db_name"] = SECRET.encode()
    nifti.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", SECRET.encode()))
    nibabel.save(nifti, top / f"{SECRET}.nii")
    nrrd.write(str(top / "a.nrrd"), clip[:3], {"content": SECRET, SECRET: SECRET}, index_order="C")
    with h5py.File(top / "a.h5", "w") as file:
        file["data/image_sc"] = clip[..., 0]
        file.attrs["patient"] = SECRET
    for name, codec in (("disc.avi", "ffv1"), ("export.mkv", "ffv1"), ("camera.mov", "mjpeg")):
        with av.open(str(top / name), "w") as container:
            container.metadata["title"] = container.metadata["comment"] = SECRET
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = 320, 240
            stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuvj444p"
            stream.metadata["title"] = stream.metadata["language"] = SECRET
            for frame in clip:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            container.mux(stream.encode(None))
    Image.fromarray(clip[0]).save(top / "scan.tif", description=SECRET, software=SECRET, artist=SECRET, exif=exif)
    clip[:3].tofile(top / f"{SECRET}.raw")
    (top / "itk.mhd").write_text(
        f"ObjectType = Image\nNDims = 3\nDimSize = 320 240 3\nElementNumberOfChannels = 3\nElementType = MET_UCHAR\n"
        f"Comment = {SECRET}\nName = {SECRET}\nElementDataFile = {SECRET}.raw\n"
    )
    samples.save(_report(), top / "report.dcm")
    (top / f"{SECRET} broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + SECRET.encode() * 9)
    (top / f"{SECRET}.mha").write_text(f"ObjectType = Image\nComment = {SECRET}\nDimSize = {SECRET}\n")
    return top


def _report() -> pydicom.Dataset:
    """A structured report: names in its content, and no picture."""
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = pydicom.uid.ComprehensiveSRStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.19330707.5"
    ds.Modality, ds.PatientName, ds.PatientID, ds.PatientBirthDate = "SR", SECRET, SECRET, "19330707"
    item = pydicom.Dataset()
    item.RelationshipType, item.ValueType, item.TextValue = "CONTAINS", "TEXT", SECRET
    person = pydicom.Dataset()
    person.RelationshipType, person.ValueType, person.PersonName = "CONTAINS", "PNAME", f"{SECRET}^JOHN"
    ds.ContentSequence = [item, person]
    return ds


def everything(out: pathlib.Path) -> bytes:
    parts = []
    for path in out.rglob("*"):
        parts.append(str(path.relative_to(out)).encode())
        if path.is_file():
            parts.append(path.read_bytes())
    return b"\n".join(parts).lower()


@pytest.mark.parametrize("format", [".dcm", ".mp4", ".npy", ".gif"])
def test_nothing_planted_is_found_anywhere(archive, clip, tmp_path, format):
    out = tmp_path / "out"
    (tmp_path / "out.key").write_bytes(
        bytes(range(32))
    )  # by chance the digits of a new identifier may be those of the time
    found = translate_files(make_translator(causal=False), [archive], out, format=format, confidence=format == ".npy")
    assert len(found["translated"]) + len(found["copied"]) + found["there"] >= 12, found["refused"]
    assert len(found["refused"]) <= 4  # the broken ones and the report, which say nothing of their names below OUT
    data = everything(out)
    for needle in NEEDLES:
        assert needle not in data, needle
    facts = json.dumps([found["translated"], found["copied"]]).encode().lower()
    assert not [needle for needle in NEEDLES if needle in facts]
    results = [path for path in out.rglob(f"*{format}") if not path.name.startswith(".")]
    for path in results:
        if "confidence" in path.name:
            continue
        grey = np.load(path) if format == ".npy" else read_clip(path).frames[..., 0]
        assert grey[:, :16, :100].max() < 16, "the name outside the sector"
        assert np.mean(grey[:, 189:201, 116:205] > 200) < 0.02, "the name inside the sector"
    for path in (out / ".thumbnails").rglob("*.jpg"):
        assert cv2.imread(str(path))[:10, :60].max() < 40


def test_archives_read_for_training_name_nobody(archive, tmp_path, capsys):
    census, records = tmp_path / "census", tmp_path / "records"
    common = [str(archive), "--workers", "0"]
    assert cli.main(["census", *common, "-o", str(census), "--json", str(tmp_path / "census.json")]) in (0, 1)
    assert cli.main(["pack", *common, "--paint", "1", "-o", str(records), "--json", str(tmp_path / "pack.json")]) in (
        0,
        1,
    )
    cli.main(["pair", *common, "--paint", "1", "--contact-sheet", str(tmp_path / "sheet.png")])
    data = everything(tmp_path) + "".join(capsys.readouterr()).encode().lower().replace(
        str(archive).encode().lower(), b""
    )
    assert not [needle for needle in NEEDLES if needle in data]
    assert len(list(records.rglob("*.tfrecord*"))) >= 1


def test_a_defect_leaves_no_trace_in_the_results(archive, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError(f"a library quotes {SECRET}")

    monkeypatch.setattr(batches, "translate_file", broken)
    found = translate_files(make_translator(causal=False), [archive], tmp_path / "out")
    assert not found["translated"] and {row["code"] for row in found["refused"]} >= {"defect"}
    assert b"zacharias" not in everything(tmp_path / "out")


def test_the_whole_screen_only_where_it_is_asked_for(archive, clip, tmp_path, capsys):
    source = archive / f"study {SECRET}" / f"{SECRET}.dcm"
    translate_files(make_translator(causal=False), [source], tmp_path / "a.dcm", clean=False)
    assert "the whole screen" in capsys.readouterr().out
    ds = pydicom.dcmread(tmp_path / "a.dcm")
    assert ds.BurnedInAnnotation == "YES" and ds.pixel_array[:, :16, :100].max() > 200
    assert [item.CodeValue for item in ds.DeidentificationMethodCodeSequence] == ["113100"]
    translate_files(make_translator(causal=False), [source], tmp_path / "b.dcm")
    ds = pydicom.dcmread(tmp_path / "b.dcm")
    assert ds.BurnedInAnnotation == "NO" and len(ds.DeidentificationMethodCodeSequence) == 2
