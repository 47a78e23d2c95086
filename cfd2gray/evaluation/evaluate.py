"""Score a translator on a set of clips and write down everything needed to read the numbers honestly.

`evaluate` is the one way in: it runs the jitted step and the do-nothing baselines over the batches, keeps one row per
clip, and summarises the rows (in `results`) into the evaluation JSON.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.experimental import multihost_utils

from cfd2gray.evaluation.baselines import BASELINES, luma, redrawn_speckle
from cfd2gray.evaluation.report.gallery import Gallery
from cfd2gray.evaluation.results import GROUP_FACTS, YARDSTICKS, assemble
from cfd2gray.evaluation.step import Predict, as_uint8, identity_scores, make_eval_step, score, without_colour
from cfd2gray.evaluation.yardstick import Redraw
from cfd2gray.metrics.accumulate import Bootstrap
from cfd2gray.metrics.confidence import reliability, sparsification
from cfd2gray.metrics.perceptual import PerceptualNet
from cfd2gray.runtimes.confidence import TOLERANCE
from data_pipeline.schema import BATCH_KEYS, BOX, DOMAINS, VIEWS

Ids = Callable[[int], tuple]
"""``index -> (clip_id, patient_id)`` or ``(clip_id, patient_id, facts)`` with a mapping of further facts: ``kind``,
``vendor``, ``map`` (grouped by in the tables), ``fps`` (for playback)."""


class Observer(Protocol):
    """Something that looks at clips as they are scored."""

    def offer(self, row: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """``row`` is the clip's row of the result; ``arrays`` its batch arrays and, uint8 ``[T, H, W]`` each, the
        predictions ``output_*`` and the baselines and yardsticks ``control_*``."""


_FACTS = ("colour_fraction", "synthesised_fraction", "identity_error")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """What to run beside the model, and how intervals are drawn."""

    baselines: tuple[str, ...] = tuple(BASELINES)
    bootstrap: Bootstrap = dataclasses.field(default_factory=Bootstrap)
    expected_clips: int | None = None
    """Number of clips that must be scored; fewer or more is an error, so that nothing is lost silently."""
    redraw: Redraw | None = None
    """Adds the redrawn speckle for those clips whose truth can be drawn again (`yardstick.redraw_from`)."""
    feather: int = 0
    """px over which it is blended into the input, as the model's results are."""
    net: PerceptualNet | None = None
    """Given, feature distances are scored as well: ``vgg_distance``, and ``lpips`` with its linear weights."""
    net_frames: int = 1
    """Frames per clip that go through ``net``."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Written into the result's ``settings``: checkpoint, weights digest, data set, command line."""
    on_batch: Callable[[int], None] | None = None
    """Called with the number of clips scored after every batch (for a progress bar)."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.baselines) - set(BASELINES))
        if unknown:
            raise ValueError(f"unknown baselines {unknown}; known are {sorted(BASELINES)}")


def evaluate(
    predict: Predict,
    batches: Iterable[Mapping[str, Any]],
    ids: Ids,
    *,
    options: EvaluateOptions | None = None,
    gallery: Gallery | None = None,
    observers: Sequence[Observer] = (),
) -> dict[str, Any]:
    """Score ``predict`` over ``batches``.

    Args:
      predict: see `step.Predict`.
      batches: dicts of `data_pipeline.schema.BATCH_KEYS`, on the host or on devices; clips whose ``mask`` is 0 are
        padding.
      ids: looks up the ids of a clip by its ``index``; ids must be hashes, they are written as they are.
      options: see `EvaluateOptions`.
      gallery: given, it keeps frames of the worst, median and best clips for the report.
      observers: each is offered every scored clip, so that downstream tasks need no second translation.

    Returns:
      The evaluation JSON (contract C4) with a row per clip under ``per_clip``. Every missing value is ``None``.

    Raises:
      ValueError: no clips, a clip seen twice, another number of clips than expected, or a malformed batch.
    """
    options = options or EvaluateOptions()
    step = make_eval_step(predict, net=options.net, net_frames=options.net_frames)
    trust: dict[str, np.ndarray] = {}
    rows: dict[int, dict[str, Any]] = {}
    sizes: set[tuple[int, ...]] = set()
    watching = [*observers, *([gallery] if gallery is not None else [])]
    started = time.perf_counter()
    for batch in batches:
        _check_batch(batch)
        arrays = jax.device_put({key: batch[key] for key in BATCH_KEYS})
        host = to_host({key: batch[key] for key in BATCH_KEYS})
        scored = _score(step, arrays, host, options)  # checks what was predicted
        if not rows:
            unpainted = _unpainted(predict, arrays)
        for name, values in scored.counts.items():
            trust[name] = trust.get(name, 0) + values[host["mask"] > 0].sum(axis=0, dtype=np.float64)
        pictures = scored.prediction if watching else {}
        shown = to_host({f"output_{key}": as_uint8(value) for key, value in pictures.items()})
        beside = {f"control_{name}": frames for name, frames in scored.controls.items()}
        sizes.add(tuple(host["grey"].shape[1:4]))
        for position in np.flatnonzero(host["mask"] > 0):
            known = {n: s for n, s in scored.scores.items() if n not in YARDSTICKS or position not in scored.unknown}
            row = _row(host, known, scored.facts, int(position), ids)
            if row["index"] in rows:
                raise ValueError(f"clip {row['clip_id']} (index {row['index']}) came twice; evaluate each clip once")
            rows[row["index"]] = row
            for observer in watching:
                observer.offer(row, {key: value[position] for key, value in (host | shown | beside).items()})
        if options.on_batch:
            options.on_batch(len(rows))
    _check_count(len(rows), options.expected_clips)
    settings = {
        **options.settings,
        "frame_sizes": [list(size) for size in sorted(sizes)],
        "seconds": round(time.perf_counter() - started, 3),
    }
    result = assemble([rows[index] for index in sorted(rows)], bootstrap=options.bootstrap, settings=settings)
    result["identity"]["without_colour"] = unpainted
    return result | _confidence(trust)


def _confidence(trust: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the counts over all clips say of the confidence map; nothing where the model gives none."""
    if not trust or not trust["pixels"].sum():
        return {}
    found = {"reliability": reliability(trust), "sparsification": sparsification(trust)}
    return {"confidence": {"tolerance": TOLERANCE, "pixels": "synthesised", **found}}


class _Scored(NamedTuple):
    """One batch: all but ``controls`` (uint8 ``[N, T, H, W]`` by name) and ``prediction`` as NumPy arrays ``[N, ...]``."""

    scores: dict[str, Any]
    facts: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    """Behind the calibration of confidence; empty where the model gives none."""
    controls: dict[str, np.ndarray]
    unknown: set[int]
    """Places in the batch that have no yardstick."""
    prediction: Mapping[str, jax.Array]


def _score(
    step: Callable[[Any], dict],
    arrays: Mapping[str, jax.Array],
    host: Mapping[str, np.ndarray],
    options: EvaluateOptions,
) -> _Scored:
    """The model's outputs, the baselines and the yardsticks, all scored alike."""
    out = step(arrays)
    scores = dict(out["scores"])
    yardsticks, unknown = _yardsticks(host, options.redraw, options.feather)
    controls = _baselines(host, options.baselines) | yardsticks
    for name, frames in controls.items():
        placed = jax.device_put(frames.astype(np.float32)[..., None] / 255, arrays["grey"].sharding)
        scores[name] = score(placed, out["prepared"], options.net, net_frames=options.net_frames)
    scores, facts, counts = to_host((scores, {key: out[key] for key in _FACTS}, out.get("confidence", {})))
    return _Scored(scores, facts, counts, controls, unknown, out["prediction"])


def _unpainted(predict: Predict, arrays: Mapping[str, jax.Array]) -> dict[str, Any]:
    """The identity control on the clips of one batch with their colour taken away: they should come back unchanged."""
    plain = without_colour(arrays)
    found = to_host(identity_scores(predict(plain)["composited"], arrays["grey"]) | {"mask": arrays["mask"]})
    real = found["mask"] > 0
    return {
        "n_clips": int(real.sum()),
        "ssim": float(found["ssim"][real].mean()),
        "max_change": int(found["change"][real].max()),
    }


def to_host(tree: Any) -> Any:
    """Arrays of a tree as NumPy; with several processes every process gets the whole of each array."""
    if jax.process_count() > 1:
        return multihost_utils.process_allgather(tree, tiled=True)
    return jax.device_get(tree)


def _check_batch(batch: Mapping[str, Any]) -> None:
    missing = [key for key in BATCH_KEYS if key not in batch]
    if missing:
        raise ValueError(f"the evaluation batch lacks {missing}; it must have the keys {list(BATCH_KEYS)}")
    if batch["grey"].shape[:4] != batch["cfd"].shape[:4]:
        raise ValueError(
            f"cfd and grey must agree in clips, frames and size, got {list(batch['cfd'].shape)} "
            f"and {list(batch['grey'].shape)}"
        )


def _check_count(n: int, expected: int | None) -> None:
    if n == 0:
        raise ValueError("there is nothing to evaluate: the batches held no clip; check the split's name and the data")
    if expected is not None and n != expected:
        raise ValueError(f"{expected} clips were given but {n} were scored; no score is reported on a part of a set")


def _baselines(host: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """uint8 ``[N, T, H, W]`` per baseline."""
    return {name: np.stack([BASELINES[name](c, h) for c, h in zip(host["cfd"], host["hidden"])]) for name in names}


def _yardsticks(
    host: Mapping[str, np.ndarray], redraw: Redraw | None, feather: int
) -> tuple[dict[str, np.ndarray], set[int]]:
    """uint8 ``[N, T, H, W]`` per yardstick, and the places in the batch whose truth cannot be drawn again."""
    truth, n = host["grey"][..., 0], len(host["grey"])
    # Padding repeats clips that were drawn already, and is not scored.
    drawn = [redraw(int(host["index"][i])) if redraw and host["mask"][i] > 0 else None for i in range(n)]
    unknown = {i for i in range(n) if drawn[i] is None}
    if len(unknown) == n:
        return {}, unknown
    found = [
        redrawn_speckle(
            luma(host["cfd"][i], host["hidden"][i]), truth[i][None] if i in unknown else drawn[i], host["hidden"][i],
            host["strata"][i] & BOX, feather=feather,
        )
        for i in range(n)
    ]  # fmt: skip
    return {name: np.stack([clip[name] for clip in found]) for name in YARDSTICKS}, unknown


def _row(host: Mapping[str, np.ndarray], scores: Any, facts: Any, position: int, ids: Ids) -> dict[str, Any]:
    """Everything known of one clip, JSON-ready but for NaNs."""
    index = int(host["index"][position])
    clip_id, patient_id, *more = ids(index)
    if not clip_id or not patient_id:
        raise ValueError(f"clip {index} has no clip id or patient id; patient-level intervals need both")
    known = {key: str(more[0][key]) for key in GROUP_FACTS if more and more[0].get(key)}
    return {
        "clip_id": str(clip_id),
        "patient_id": str(patient_id),
        "index": index,
        "view": VIEWS[int(host["view"][position])],
        "domain": DOMAINS[int(host["domain"][position])],
        "shared": bool(host["shared"][position]),
        "fps": float(more[0].get("fps", 0)) if more else 0.0,
        **known,
        **{key: float(value[position]) for key, value in facts.items()},
        "scores": jax.tree.map(lambda value: float(value[position]), scores),
    }
