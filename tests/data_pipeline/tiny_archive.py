"""Small ultrasound clips and a DICOM archive made of them."""

import functools
from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage

from data_pipeline.schema import PairRecord
from data_pipeline.simulation.simulator import SimulationOptions, simulate_pair

SAME_ACQUISITION = SimulationOptions(shared=True, ui_share=0.0, video_share=0.0, mode="velocity")


@functools.cache
def simulated(view="A4C", seed=1, frames=5, size=200) -> PairRecord:
    return simulate_pair(view, seed, height=size, width=size, frames=frames, options=SAME_ACQUISITION)


def grey_screen(pair: PairRecord) -> np.ndarray:
    return np.repeat(pair.grey, 3, axis=3)


def dual_screen(pair: PairRecord, *, axis=1, gap=6, grey=None, quality=95, swap=False) -> np.ndarray:
    """Colour beside (``axis`` 1) or above B-mode on one screen, with a banner, through a JPEG codec."""
    panes = [pair.cfd, np.repeat(pair.grey if grey is None else grey, 3, axis=3)]
    frames, height, width, _ = pair.cfd.shape
    top = 20
    shape = (height + 2 * top, 2 * width + gap + 20) if axis else (2 * height + gap + 20, width + 2 * top)
    screen = np.zeros((frames, *shape, 3), np.uint8)
    for place, pane in enumerate(panes[::-1] if swap else panes):
        y, x = (top, 5 + place * (width + gap)) if axis else (5 + place * (height + gap), top)
        screen[:, y : y + height, x : x + width] = pane
    for number, frame in enumerate(screen):
        cv2.putText(frame, "DOE^JANE", (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (200, 200, 200), 1)
        if quality:
            screen[number] = cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
    return screen


def write_dicom(path: Path, frames: np.ndarray, *, patient: str, view: str = "", study: str = "1.2.3", **tags) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[str(path.name)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.PatientID, ds.PatientName = "US", patient, "Doe^Jane"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Manufacturer = study, study + ".1", "Philips Medical Systems"
    ds.ViewName = view
    ds.Rows, ds.Columns, ds.NumberOfFrames = frames.shape[1], frames.shape[2], len(frames)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.FrameTime, ds.PixelData = 50.0, frames.tobytes()
    for name, value in tags.items():
        setattr(ds, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def make_archive(folder: Path) -> Path:
    """Three patients: A has a greyscale and a colour A4C, B a colour A4C and PLAX, C a dual A4C; and some bad files."""
    a4c, plax, second = simulated(), simulated("PLAX", 1), simulated("A4C", 2)
    write_dicom(folder / "a" / "IM1.dcm", grey_screen(a4c), patient="SECRET-A", view="Apical 4 Chamber")
    write_dicom(folder / "a" / "IM2.dcm", a4c.cfd, patient="SECRET-A", view="A4C")
    write_dicom(folder / "b" / "IM1.dcm", second.cfd, patient="SECRET-B", view="A4C", study="1.2.4")
    write_dicom(folder / "b" / "IM2.dcm", plax.cfd, patient="SECRET-B", view="PLAX", study="1.2.4")
    write_dicom(folder / "c" / "IM1.dcm", dual_screen(a4c), patient="SECRET-C", view="A4C", study="1.2.5")
    write_dicom(folder / "c" / "IM2.dcm", grey_screen(plax)[:1], patient="SECRET-C", view="PLAX", study="1.2.5")
    write_dicom(folder / "c" / "CT.dcm", grey_screen(plax), patient="SECRET-C", Modality="CT")
    data = (folder / "a" / "IM1.dcm").read_bytes()
    (folder / "c" / "cut SECRET-D.dcm").write_bytes(data[: len(data) // 2])
    (folder / "notes SECRET-E.dat").write_text("not a clip")
    return folder
