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

from cfd2gray.translation.batch import translate_files
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
    """Identifiers in tags of every kind, private groups, UIDs, overlays, sequences, names of files and folders,
    container metadata, text chunks, comments of archives, names of members, headers of research formats, broken files."""
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
        zipped.writestr(f"{SECRET}/IM_{SECRET}.npy", packed.getvalue()[:-1] + b"\x01")
    nifti = nibabel.Nifti1Image(clip[..., 0].transpose(2, 1, 0), np.eye(4))
    nifti.header["descrip"] = nifti.header["db_name"] = SECRET.encode()
    nibabel.save(nifti, top / f"{SECRET}.nii")
    nrrd.write(str(top / "a.nrrd"), clip[:3], {"content": SECRET, SECRET: SECRET}, index_order="C")
    with h5py.File(top / "a.h5", "w") as file:
        file["data/image_sc"] = clip[..., 0]
        file.attrs["patient"] = SECRET
    (top / f"{SECRET} broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + SECRET.encode() * 9)
    (top / f"{SECRET}.mha").write_text(f"ObjectType = Image\nComment = {SECRET}\nDimSize = {SECRET}\n")
    return top


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
    found = translate_files(make_translator(causal=False), [archive], out, format=format, confidence=format == ".npy")
    assert len(found["translated"]) + len(found["copied"]) >= 8, found["refused"]
    assert len(found["refused"]) == 2  # the two broken ones, which say nothing of their names below OUT
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
