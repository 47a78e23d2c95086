"""What flows through the house: clips, pairs, and the batches made of them.

Every array on the host is NumPy; frames are ``uint8``. Masks that belong together travel as bit flags in one ``uint8``
plane (``strata``), so that a record stays small and a new mask needs no new field.

=============  =======================  ======  =====================================================================
name           shape                    dtype   meaning
=============  =======================  ======  =====================================================================
``cfd``        ``[T, H, W, 3]``         uint8   colour-flow frames, RGB, 0..255
``grey``       ``[T, H, W, 1]``         uint8   the greyscale target, 0..255
``strata``     ``[T, H, W]``            uint8   bit flags ``SECTOR | BOX | FLOW | OUTLINE``
``labels``     ``[T, H, W]``            uint8   anatomy, an index into ``LABELS`` (0 where unknown)
=============  =======================  ======  =====================================================================
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from data_pipeline.geometry import Fan, Geometry

SCHEMA_VERSION = 1
"""Raised whenever a record written before can no longer be read as it was meant."""

SECTOR, BOX, FLOW, OUTLINE = 1, 2, 4, 8
"""Bit flags of ``strata``: insonified area; colour box; pixels painted with colour; what is drawn over the sector: the box
outline, text, an ECG trace."""

VIEWS = (
    "UNKNOWN", "A4C", "A2C", "A3C", "PLAX", "PSAX", "SUBCOSTAL", "FETAL_4CH", "CAROTID_LONG", "KIDNEY", "LIVER",
)  # fmt: skip
DOMAINS = ("unknown", "heart", "fetal", "vessel", "kidney", "liver")
VIEW_DOMAIN = {
    "UNKNOWN": "unknown", "A4C": "heart", "A2C": "heart", "A3C": "heart", "PLAX": "heart", "PSAX": "heart",
    "SUBCOSTAL": "heart", "FETAL_4CH": "fetal", "CAROTID_LONG": "vessel", "KIDNEY": "kidney", "LIVER": "liver",
}  # fmt: skip
LABELS = ("background", "lv", "la", "rv", "ra", "myocardium", "valve", "vessel", "organ", "other")
PAIR_KINDS = ("dual", "streams", "weak", "painted", "simulated")
"""How a pair came about: two panes of one screen; separate B-mode and colour streams; neighbours of one study;
colour painted over a greyscale clip; both simulated."""
SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Region:
    """One item of DICOM's Sequence of Ultrasound Regions (PS3.3 C.8.5.5), in pixels; ``x1``/``y1`` are exclusive."""

    x0: int
    y0: int
    x1: int
    y1: int
    spatial_format: int = 1
    """1 = 2-D, 2 = M-mode, 3 = spectral, 4 = wave form, 5 = graphics."""
    data_type: int = 1
    """1 = tissue, 2 = colour flow, 3/4 = PW/CW spectral, 0xA = ECG, 0xD = grey bar, 0xE = colour bar."""
    flags: int = 0
    cm_per_px_x: float | None = None
    cm_per_px_y: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity:
    """Raw identifiers of a clip. They live in memory only: whatever is written carries keyed hashes of them (C8)."""

    patient: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What a reader knows of a clip before its frames are decoded."""

    format: str
    """Short name of the reader: ``dicom``, ``avi``, ``mp4``, ``gif``, ``images``, ``numpy``, ``nifti``, ..."""
    height: int
    width: int
    n_frames: int | None
    """A hint: container headers lie. ``None`` when the container does not say."""
    fps: float
    """Frames per second, 1..400."""
    fps_source: str
    """Where ``fps`` comes from: a tag's keyword, ``container`` or ``assumed``."""
    cm_per_px: float | None = None
    """Of a pixel's width, where pixels are not square."""
    pixel_aspect: float = 1.0
    """Height of a pixel over its width: 1 = square."""
    frame_times: tuple[float, ...] = ()
    """When each frame is shown, seconds from the first, where the rate varies (flag ``variable_rate``); else empty."""
    regions: tuple[Region, ...] = ()
    view: str = "UNKNOWN"
    vendor: str = ""
    """Manufacturer as the header spells it; not an identifier."""
    lossy: bool = False
    image_type: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """Things a person may want to know: ``still``, ``no_regions``, ``frame_count_mismatch``, ``assumed_fps``, ..."""
    identity: Identity = dataclasses.field(default_factory=Identity, repr=False)
    source_digest: str = ""
    """SHA-256 of the file, hexadecimal."""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Clip:
    """A decoded clip: ``frames`` is ``uint8 [T, H, W, 3]`` RGB (grey clips have three equal channels)."""

    frames: np.ndarray
    info: ClipInfo
    header: Any = None
    """The DICOM data set without its pixels, as it was read; ``None`` for other formats. In memory only, as `Identity`."""

    def __repr__(self) -> str:
        frames, height, width = self.frames.shape[:3]
        named = f"{frames} frame{'' if frames == 1 else 's'} {width}x{height}, {self.info.fps:g} frames/s"
        return f"Clip({named}, {self.info.format})"

    def __post_init__(self) -> None:
        check_frames(self.frames, channels=3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairRecord:
    """A colour-flow clip and its greyscale target: the unit that is stored, shuffled and learned from.

    Shapes and dtypes of the arrays are those of the module's table. Identifiers are keyed hashes (hexadecimal), never
    raw. ``shared`` says that the target is the same acquisition as the input (a true dual-pane clip: untouched pixels
    agree); otherwise the target is a full-quality B-mode and untouched pixels differ as well.
    """

    cfd: np.ndarray
    grey: np.ndarray
    strata: np.ndarray
    labels: np.ndarray
    clip_id: str
    patient_id: str
    view: str
    kind: str
    shared: bool
    fps: float
    score: float = 1.0
    """Quality of the pair in 0..1 (1 = certain)."""
    vendor: str = ""
    """Vendor, or the name of the simulator's colour map."""
    source_digest: str = ""
    geometry: Geometry = dataclasses.field(default_factory=Fan)
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Free-form, JSON-serialisable: the simulator's draw, the painter's settings, the pairing's evidence."""

    def __post_init__(self) -> None:
        check_frames(self.cfd, channels=3)
        check_frames(self.grey, channels=1)
        shape = self.cfd.shape[:3]
        for name in ("grey", "strata", "labels"):
            array = getattr(self, name)
            if array.dtype != np.uint8 or array.shape[:3] != shape:
                raise ValueError(
                    f"PairRecord.{name} must be uint8 of shape {shape} like cfd, got {array.dtype} {array.shape}"
                )
        for name, allowed in (("view", VIEWS), ("kind", PAIR_KINDS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"PairRecord.{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if not self.clip_id or not self.patient_id:
            raise ValueError(
                "PairRecord needs a clip_id and a patient_id (keyed hashes); an empty one breaks the split"
            )

    @property
    def domain(self) -> str:
        return VIEW_DOMAIN[self.view]

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, height and width."""
        return self.strata.shape

    def at(self, time: slice | np.ndarray) -> PairRecord:
        """The pair with the frames at ``time`` alone."""
        arrays = {name: getattr(self, name)[time] for name in ("cfd", "grey", "strata", "labels")}
        return dataclasses.replace(self, **arrays)


BATCH_KEYS = ("cfd", "grey", "strata", "hidden", "labels", "view", "domain", "shared", "index", "mask")
"""Arrays of a batch, all with a leading batch axis N (see `data_pipeline.loading.transforms.to_example`):
``cfd [N,T,H,W,3]``, ``grey [N,T,H,W,1]``, ``strata``, ``hidden`` (1 where the model may not trust the input: colour,
outline and their bleed), ``labels [N,T,H,W]`` all uint8; ``view``, ``domain`` int32 [N] (indices into VIEWS, DOMAINS);
``shared`` uint8 [N]; ``index`` int32 [N] (position of the clip in its source, to look its ids up); ``mask`` float32 [N]
(0 for clips that only pad the last batch)."""


def check_frames(frames: np.ndarray, *, channels: int) -> None:
    """Raise ``ValueError`` unless ``frames`` is ``uint8 [T >= 1, H >= 1, W >= 1, channels]``."""
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
        raise ValueError(f"frames must be a uint8 array, got {getattr(frames, 'dtype', type(frames).__name__)}")
    if frames.ndim != 4 or frames.shape[3] != channels or 0 in frames.shape:
        raise ValueError(f"frames must have shape [T, H, W, {channels}] with no empty axis, got {list(frames.shape)}")
