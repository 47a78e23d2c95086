"""Simulated pairs as training records, or as clips to look at and to test other software with."""

from __future__ import annotations

import dataclasses
import fractions
import hashlib
import io
import itertools
import pathlib
from collections.abc import Sequence

import av
import numpy as np
import pydicom
import pydicom.uid
from pydicom.dataset import Dataset, FileMetaDataset

from data_pipeline.files import atomic_path, write_json
from data_pipeline.parallel import progress_bar, run_ordered
from data_pipeline.records.pack import pack
from data_pipeline.records.splits import split_of
from data_pipeline.schema import FLOW, SPLITS, VIEWS, PairRecord
from data_pipeline.screen.analysis import analyse
from data_pipeline.screen.parser.network import WEIGHTS
from data_pipeline.simulation.on_the_fly import PaintedSource
from data_pipeline.simulation.plan import digest_of
from data_pipeline.simulation.screens.record import screen_record
from data_pipeline.simulation.simulator import SIMULATOR_VERSION, SimulationOptions, simulate_pair

KINDS = ("records", "dicom", "mp4")


@dataclasses.dataclass(frozen=True)
class SimulationJob:
    """One simulated clip: picklable, and the same bytes whenever and wherever it runs (but for ``found``).

    ``painted``: the simulator makes the greyscale clip only, and the painter the colour over it.
    ``drawn``: a whole screen in any style that is not held out (`screens.record`).
    ``found``: its masks are those that the screen parser finds in its pixels, mistakes included, instead of the true ones.
    """

    view: str
    seed: int
    size: int
    frames: int
    split: str
    screen: bool = False
    painted: bool = False
    drawn: bool = False
    found: bool = False

    def __call__(self) -> PairRecord:
        shape = {"height": self.size, "width": self.size, "frames": self.frames, "split": self.split}
        if self.drawn:
            record = screen_record(self.seed, size=self.size, frames=self.frames, split=self.split)
        elif self.painted:
            record = PaintedSource(views=(self.view,), length=self.seed + 1, **shape)[self.seed]
        else:
            record = simulate_pair(self.view, self.seed, options=SimulationOptions(screen=self.screen), **shape)
        record = dataclasses.replace(record, params=record.params | {"split": self.split})
        return with_found_masks(record) if self.found else record


def with_found_masks(record: PairRecord) -> PairRecord:
    """A record with the masks that a user's clip would have, under an id of its own; as it is where no colour is found.

    They depend on the parser, which stands in ``params``, and in single pixels on what computes it.
    """
    analysis = analyse(record.cfd)
    if not (analysis.strata & FLOW).any():
        return record
    parser = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:16]
    return dataclasses.replace(
        record, strata=analysis.strata, params=record.params | {"masks": "found", "screen_parser": parser},
        clip_id=digest_of(f"found/{parser}/{record.clip_id}")[:32],
    )  # fmt: skip


def simulation_jobs(
    *,
    views: Sequence[str],
    clips: dict[str, int],
    size: int,
    frames: int,
    seed: int = 0,
    screen: bool = False,
    painted: float = 0.0,
    screens: float = 0.0,
    found: float = 0.0,
) -> list[SimulationJob]:
    """Jobs for ``clips[split]`` clips per split, views in turn, every clip another patient; shares of them are drawn as
    ``screens`` (whose view the seed decides), of the others ``painted``, and of all have masks as ``found`` (`SimulationJob`).

    Raises:
      ValueError: For unknown views or splits, or numbers out of range.
    """
    unknown = [view for view in views if view not in VIEWS[1:]]
    if unknown or not views:
        raise ValueError(f"view must be among {', '.join(VIEWS[1:])}; got {', '.join(unknown) or 'none'}")
    if set(clips) - set(SPLITS) or min(clips.values(), default=0) < 0 or sum(clips.values()) < 1:
        raise ValueError(f"clips must be positive numbers for splits among {SPLITS}, got {clips}")
    if not 32 <= size <= 2048 or not 1 <= frames <= 4096 or seed < 0:
        raise ValueError(f"size must be 32..2048 px, frames 1..4096 and seed >= 0, got {size}, {frames} and {seed}")
    if screens and set(views) != set(VIEWS[1:]):
        raise ValueError(f"screens are of every view; leave them out, or ask for all views, not {', '.join(views)}")
    for name, share in (("painted", painted), ("screens", screens), ("found", found)):
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"{name} is a share of the clips, 0 .. 1, got {share}")

    def chosen(number: int, salt: int, share: float) -> bool:
        return bool(np.random.default_rng([number, salt]).random() < share)

    return [
        SimulationJob(
            view,
            seed + number,
            size,
            frames,
            split,
            screen,
            painted=chosen(seed + number, 7, painted),
            drawn=chosen(seed + number, 10, screens),
            found=chosen(seed + number, 8, found),
        )  # fmt: skip
        for split, count in clips.items()
        for number, view in zip(range(count), itertools.cycle(views))
    ]


def simulate(
    out: pathlib.Path,
    *,
    views: Sequence[str],
    clips: int,
    size: int,
    frames: int,
    seed: int = 0,
    kind: str = "records",
    painted: float = 0.0,
    screens: float = 0.0,
    found: float = 0.0,
    workers: int = 0,
) -> int:
    """Make ``clips`` simulated clips and write them into the folder ``out``.

    Args:
      out: A folder that does not exist, is empty, or holds this very simulation, unfinished.
      views, size, frames, seed, painted, screens, found: See `simulation_jobs`; the last three are for records only.
      kind: ``records``: shards for training, split 80/10/10. ``dicom``, ``mp4``: per clip the colour-flow screen, the
        greyscale target beside it (``.grey``), and the facts as JSON.
      workers: Processes.

    Returns:
      Number of clips in the folder.

    Raises:
      ValueError: For numbers out of range, or a folder that holds something else.
    """
    if kind not in KINDS:
        raise ValueError(f"format must be one of {KINDS}, got {kind!r}")
    if clips < 1:
        raise ValueError(f"clips must be at least 1, got {clips}")
    if (painted or screens or found) and kind != "records":
        raise ValueError(
            f"painted clips, screens and found masks are made as records only, got format {kind!r}; see `cfd2gray paint` for "
            "clips"
        )
    if kind == "records":
        counts = dict.fromkeys(SPLITS, 0)
        for number in range(clips):
            counts[split_of(f"simulated {seed + number}")] += 1
        jobs = simulation_jobs(
            views=views,
            clips=counts,
            size=size,
            frames=frames,
            seed=seed,
            painted=painted,
            screens=screens,
            found=found,
        )
        return sum(shard.n_clips for shard in pack(jobs, out, workers=workers, encoding="zstd").shards)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is not empty; nothing there is touched, name another folder")
    out.mkdir(parents=True, exist_ok=True)
    jobs = simulation_jobs(views=views, clips={"train": clips}, size=size, frames=frames, seed=seed, screen=True)
    with progress_bar("clips") as bar:
        task = bar.add_task("simulating", total=len(jobs))
        for job, outcome in run_ordered(SimulationJob.__call__, jobs, workers=workers):
            if outcome.error is not None:
                raise outcome.error
            _write_clip(out, job, outcome.result, kind)
            bar.advance(task)
    return len(jobs)


def _write_clip(folder: pathlib.Path, job: SimulationJob, record: PairRecord, kind: str) -> None:
    stem = folder / f"{job.view.lower()}-{job.seed:06d}"
    suffix = ".dcm" if kind == "dicom" else ".mp4"
    for path, frames in ((f"{stem}{suffix}", record.cfd), (f"{stem}.grey{suffix}", record.grey[..., 0])):
        with atomic_path(path) as partial:
            (_write_dicom if kind == "dicom" else _write_mp4)(partial, frames, record)
    facts = {"view": record.view, "fps": record.fps, "shared": record.shared, "params": record.params}
    write_json(f"{stem}.json", facts)


def _write_mp4(path: pathlib.Path, frames: np.ndarray, record: PairRecord) -> None:
    colour = frames.ndim == 4
    with av.open(str(path), "w") as container:
        rate = fractions.Fraction(record.fps).limit_denominator(1001)
        stream = container.add_stream("libx264", rate=rate, options={"crf": "14"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p" if frames.shape[1] % 2 or frames.shape[2] % 2 else "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24" if colour else "gray")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _write_dicom(path: pathlib.Path, frames: np.ndarray, record: PairRecord) -> None:
    """A US multi-frame instance (PS3.3 A.7) that says that it is synthetic."""
    colour = frames.ndim == 4
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.UltrasoundMultiFrameImageStorage
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ids = [record.clip_id, "colour" if colour else "grey", SIMULATOR_VERSION]
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=ids)
    ds = Dataset()
    ds.file_meta = meta
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[record.clip_id, "study"])
    ds.SeriesInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[*ids, "series"])
    ds.Modality, ds.PatientName, ds.PatientID = "US", "SIMULATED", record.patient_id[:16]
    ds.PatientBirthDate = ds.PatientSex = ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.StudyID = ""
    ds.ReferringPhysicianName, ds.SeriesNumber, ds.InstanceNumber = "", 1, 1
    ds.Manufacturer, ds.SyntheticData = "cfd2gray simulator", "YES"
    ds.ImageType = ["DERIVED", "SECONDARY", "", "0011" if colour else "0001"]
    ds.SeriesDescription = f"SYNTHETIC {record.view}"
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames.shape[:3]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.FrameTime, ds.FrameIncrementPointer = f"{1000.0 / record.fps:.4f}", 0x00181063
    ds.LossyImageCompression = "01"  # the simulated acquisition went through a codec
    data = np.ascontiguousarray(frames).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    whole = io.BytesIO()  # pydicom's own errors while writing to a full disk are pages long
    ds.save_as(whole, enforce_file_format=True)
    path.write_bytes(whole.getbuffer())
