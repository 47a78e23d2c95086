"""EchoXFlow (Ahus-AIM, CC BY-NC-SA 4.0): B-mode, colour velocity and colour power as separate streams: true pairs.

Every recording is a Zarr group (a folder, a zip, or inside the tar of its examination) with ``data/2d_brightness_mode``
(uint8 ``[T, depth, beam]``), ``data/2d_color_doppler_velocity`` (m/s), ``data/2d_color_doppler_power`` (0..1) and
``timestamps/...`` in seconds. Where the beams lie and the Nyquist velocity stand in ``recording_manifest.sectors`` of the
root attributes. An examination is not a patient: several may show one person, so splits by examination can leak.

Needs the extra ``zarr``. Layout as in the authors' reader; never run on the data itself.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from data_pipeline.readers.datasets.base import Item
from data_pipeline.readers.errors import Guard, IngestError
from data_pipeline.readers.limits import Limits

TREE = "croissant.json, exams/exam_<16 hex>.tar (or unpacked) of Zarr recordings, *.csv with exam_id,five_fold_split"
BMODE, VELOCITY, POWER = "2d_brightness_mode", "2d_color_doppler_velocity", "2d_color_doppler_power"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sector:
    """Where the samples of a stream lie: row 0 at ``depth_start``, column 0 at ``angle_start`` (cm; rad, 0 = down)."""

    depth_start: float
    depth_end: float
    angle_start: float
    angle_end: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StreamRecording:
    """One recording with colour. Arrays are ``[T, depth, beam]``; times are seconds from the recording's own start."""

    exam: str
    name: str
    fold: int | None
    """Of the authors' five, where the table is there."""
    bmode: np.ndarray
    """uint8."""
    bmode_times: np.ndarray
    bmode_sector: Sector
    velocity: np.ndarray
    """float32, m/s, towards the probe positive, wrapped at Nyquist."""
    power: np.ndarray
    """float32, 0..1."""
    colour_times: np.ndarray
    colour_sector: Sector
    nyquist: float
    """m/s."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordingRef:
    """Where a recording with both streams may be; `load` finds out whether it has them."""

    exam: str
    store: str
    """Path of the Zarr folder or zip, or of a tar archive."""
    member: str = ""
    """Folder of the group inside a tar."""
    fold: int | None = None


def find_recordings(root: str | os.PathLike[str]) -> list[RecordingRef]:
    """Every Zarr group below ``root``: in folders, zips and tars, in the order of their names."""
    root = pathlib.Path(root)
    folds = _folds(root)
    found: list[RecordingRef] = []
    with Guard(root, doing="looking for recordings"):
        for tar in sorted(root.rglob("exam_*.tar")):
            exam = tar.stem
            found += [
                RecordingRef(exam=exam, store=str(tar), member=member, fold=folds.get(exam)) for member in _groups(tar)
            ]
        for marker in sorted([*root.rglob("zarr.json"), *root.rglob(".zgroup")]):
            group = marker.parent
            outer = group.parent
            if _is_group(outer):  # data/ and timestamps/ inside a recording
                continue
            exam = next((part for part in group.parts[::-1] if part.startswith("exam_")), outer.name)
            found.append(RecordingRef(exam=exam, store=str(group), fold=folds.get(exam)))
        for store in sorted(root.rglob("*.zarr.zip")):
            exam = next((part for part in store.parts[::-1] if part.startswith("exam_")), store.parent.name)
            found.append(RecordingRef(exam=exam, store=str(store), fold=folds.get(exam)))
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamItem(Item):
    """A recording of separate streams, which has no screen to be read."""

    recording: RecordingRef

    @property
    def place(self) -> str:
        return f"{self.path}\0{self.recording.member}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `shapes`."""
        return shapes(self.recording)

    def load(self) -> StreamRecording | None:
        """See `load`."""
        return load(self.recording)


def items(root: str | os.PathLike[str]) -> Iterator[StreamItem]:
    """One item a recording.

    An exam is the nearest thing to a patient that the set names; one patient may have several. Of the authors' five
    folds 3 is val and 4 is test.
    """
    for ref in find_recordings(root):
        yield StreamItem(
            dataset="echoxflow",
            path=ref.store,
            patient=f"echoxflow/{ref.exam}",
            split="" if ref.fold is None else {3: "val", 4: "test"}.get(ref.fold, "train"),
            labels={"fold": ref.fold},
            recording=ref,
        )


def shapes(ref: RecordingRef, *, limits: Limits | None = None) -> dict[str, tuple[int, ...]]:
    """Stream -> shape of a recording's arrays, none of them read. Raises `IngestError`."""
    with Guard(ref.store, doing="opening the Zarr recording"), _opened(ref, limits or Limits()) as group:
        streams = (BMODE, VELOCITY, POWER)
        return {name: tuple(group[f"data/{name}"].shape) for name in streams if f"data/{name}" in group}


def load(ref: RecordingRef, *, limits: Limits | None = None) -> StreamRecording | None:
    """Read one recording; ``None`` when it lacks one of the three streams. Raises `IngestError`."""
    limits = limits or Limits()
    with Guard(ref.store, doing="reading the Zarr recording"), _opened(ref, limits) as group:
        if any(f"data/{name}" not in group for name in (BMODE, VELOCITY, POWER)):
            return None
        sectors = _sectors(group)
        colour = _first(sectors, VELOCITY, "2d_color_doppler", "color_doppler")
        bmode = _array(ref, group, BMODE, limits)
        if bmode.dtype != np.uint8:
            raise IngestError("unsupported_pixels", ref.store, f"B-mode must be uint8, got {bmode.dtype}")
        velocity = _array(ref, group, VELOCITY, limits).astype(np.float32)
        power = np.clip(_array(ref, group, POWER, limits).astype(np.float32), 0, 1)
        if velocity.shape != power.shape:
            raise IngestError("corrupt", ref.store, f"velocity {velocity.shape} and power {power.shape} must agree")
        nyquist = colour.get("velocity_limit_mps") or colour.get("velocity_scale_mps")
        if not nyquist or not 0 < float(nyquist) < 10:
            raise IngestError("corrupt", ref.store, f"needs the Nyquist velocity in m/s, got {nyquist!r}")
        return StreamRecording(
            exam=ref.exam,
            name=pathlib.PurePath(ref.member or ref.store).name.split(".")[0],
            fold=ref.fold,
            bmode=bmode,
            bmode_times=_times(ref, group, (BMODE,), len(bmode)),
            bmode_sector=_sector(ref, _first(sectors, "bmode", BMODE)),
            velocity=velocity,
            power=power,
            colour_times=_times(ref, group, ("2d_color_doppler", VELOCITY), len(velocity)),
            colour_sector=_sector(ref, colour),
            nyquist=float(nyquist),
        )


@contextmanager
def _opened(ref: RecordingRef, limits: Limits) -> Iterator[Any]:
    try:
        import zarr
        from zarr.storage import ZipStore
    except ImportError as error:
        raise IngestError(
            "missing_dependency", ref.store, "EchoXFlow needs zarr; pip install 'cfd2gray[zarr]'"
        ) from error
    if ref.member:
        with tempfile.TemporaryDirectory() as folder:
            _extract(ref, pathlib.Path(folder), limits)
            yield zarr.open_group(str(pathlib.Path(folder, ref.member)), mode="r")
    elif os.path.isfile(ref.store):
        store = ZipStore(ref.store, mode="r")
        try:
            yield zarr.open_group(store=store, mode="r")
        finally:
            store.close()
    else:
        yield zarr.open_group(ref.store, mode="r")


def _groups(tar: pathlib.Path) -> list[str]:
    """Folders of the tar that are root groups: those with a marker and none above them."""
    with tarfile.open(tar) as archive:
        names = [member.name.removeprefix("./") for member in archive if member.isfile()]
    marked = {str(pathlib.PurePosixPath(name).parent) for name in names if name.endswith(("zarr.json", ".zgroup"))}
    return sorted(name for name in marked if str(pathlib.PurePosixPath(name).parent) not in marked)


def _extract(ref: RecordingRef, folder: pathlib.Path, limits: Limits) -> None:
    """Unpack the members of one recording; the ``data`` filter refuses links and names that leave the folder."""
    with tarfile.open(ref.store) as archive:
        members = [m for m in archive if m.name.removeprefix("./").startswith(f"{ref.member}/")]
        if sum(member.size for member in members) > limits.max_file_bytes:
            raise IngestError(
                "too_large",
                ref.store,
                f"a recording above {limits.max_file_bytes >> 20} MiB; leave it out (in Python: limits=)",
            )
        archive.extractall(folder, members=members, filter="data")


def _is_group(path: pathlib.Path) -> bool:
    return (path / "zarr.json").exists() or (path / ".zgroup").exists()


def _folds(root: pathlib.Path) -> dict[str, int]:
    """``exam_id -> five_fold_split`` from whatever table has these columns."""
    out: dict[str, int] = {}
    for path in sorted(root.glob("*.csv")):
        with Guard(path, doing="reading the folds"), path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if {"exam_id", "five_fold_split"} <= set(reader.fieldnames or ()):
                out |= {row["exam_id"].strip(): int(row["five_fold_split"]) for row in reader}
    return out


def _sectors(group: Any) -> list[Mapping[str, Any]]:
    manifest = dict(group.attrs).get("recording_manifest")
    sectors = manifest.get("sectors") if isinstance(manifest, Mapping) else None
    return [sector for sector in sectors or () if isinstance(sector, Mapping)]


def _first(sectors: list[Mapping[str, Any]], *roles: str) -> Mapping[str, Any]:
    for sector in sectors:
        if any(sector.get(key) in roles for key in ("semantic_id", "sector_role_id", "track_role_id")):
            return sector
    return {}


def _sector(ref: RecordingRef, sector: Mapping[str, Any]) -> Sector:
    """Depths in metres and angles in radians, as ends or as tilt and width, in either spelling, to `Sector`."""
    place = sector.get("geometry")
    if not isinstance(place, Mapping):
        raise IngestError("corrupt", ref.store, "recording_manifest says not where the beams of a stream lie")

    def value(*names: str) -> float | None:
        return next((float(place[name]) for name in names if place.get(name) not in (None, "")), None)

    near, far = value("depth_start_m", "DepthStart"), value("depth_end_m", "DepthEnd")
    start, end = value("angle_start_rad", "AngleStart"), value("angle_end_rad", "AngleEnd")
    if start is None or end is None:
        tilt, width = value("tilt_rad", "Tilt", "Angle") or 0.0, value("width_rad", "Width")
        start, end = (None, None) if width is None else (tilt - width / 2, tilt + width / 2)
    if None in (near, far, start, end) or not (0 <= near < far < 1 and -1.6 < start < end < 1.6):
        raise IngestError("corrupt", ref.store, f"a sector of {near}..{far} m, {start}..{end} rad makes no sense")
    return Sector(depth_start=100 * near, depth_end=100 * far, angle_start=start, angle_end=end)


def _array(ref: RecordingRef, group: Any, name: str, limits: Limits) -> np.ndarray:
    array = group[f"data/{name}"]
    if array.ndim != 3 or 0 in array.shape:
        raise IngestError("unsupported_layout", ref.store, f"{name} must be [T, depth, beam], got {array.shape}")
    if array.size * max(array.dtype.itemsize, 4) > limits.max_decoded_bytes or array.shape[0] > limits.max_frames:
        raise IngestError(
            "bad_dimensions", ref.store, f"{name} of shape {array.shape} is beyond the limits; raise them"
        )
    return np.asarray(array[:])


def _times(ref: RecordingRef, group: Any, names: tuple[str, ...], count: int) -> np.ndarray:
    for name in names:
        if f"timestamps/{name}" in group:
            times = np.asarray(group[f"timestamps/{name}"][:], np.float64).reshape(-1)
            if len(times) != count or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
                raise IngestError(
                    "corrupt", ref.store, f"timestamps/{name} must rise and number {count}, got {len(times)}"
                )
            return times
    raise IngestError("corrupt", ref.store, f"needs timestamps/{names[0]}")
