"""The protocol by which shipped weights are judged, run from end to end: `cfd2gray card`.

Every number of a model card comes from here: strata beside do-nothing baselines and the redrawn speckle, texture and
flicker, confidence, masses and chambers under colour, other sizes.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import scipy.stats
from jax.sharding import Mesh

from cfd2gray.evaluation.baselines import BASELINES
from cfd2gray.evaluation.card import sets as card_sets
from cfd2gray.evaluation.card.as_translated import as_translated
from cfd2gray.evaluation.card.no_reference import no_reference
from cfd2gray.evaluation.card.real_colour import real_colour
from cfd2gray.evaluation.evaluate import EvaluateOptions, evaluate
from cfd2gray.evaluation.report.gallery import Gallery, ReportClip
from cfd2gray.evaluation.run import predictor
from cfd2gray.evaluation.step import Predict, as_uint8
from cfd2gray.evaluation.tasks.lumen import lumen_errors
from cfd2gray.evaluation.tasks.mass_recall import mass_recall
from cfd2gray.evaluation.yardstick import redraws
from cfd2gray.mesh import make_mesh
from cfd2gray.metrics.accumulate import Bootstrap
from cfd2gray.training.data import to_mesh
from cfd2gray.translation.translator import Translator
from cfd2gray.weights.pretrained import GeneratorWeights
from data_pipeline.parallel import progress_bar
from data_pipeline.schema import FLOW

REDRAWS = 5
"""Draws of speckle for the yardstick, as in the protocol."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardOptions:
    """How many clips; fewer make a quick look, not a card."""

    simulated: int = 40
    paintings: int = 8
    masses: int = 24
    real_colour: pathlib.Path | None = None
    """Folder of colour clips: their flow is laid over the real echo (`real_colour`), and they are translated as they are
    (`no_reference`)."""
    bootstrap: Bootstrap = dataclasses.field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        for name in ("simulated", "paintings", "masses"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


class _TrustInFlow:
    """Rank correlation of claimed doubt and found error over pixels of the flow stratum, pooled over clips."""

    def __init__(self) -> None:
        self._doubt: list[np.ndarray] = []
        self._error: list[np.ndarray] = []

    def offer(self, row: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        flow = (arrays["strata"] & FLOW) > 0
        if not flow.any() or "output_confidence" not in arrays:
            return
        truth = arrays["grey"].reshape(flow.shape).astype(np.float32)
        error = np.abs(arrays["output_composited"].reshape(flow.shape).astype(np.float32) - truth)[flow]
        doubt = 255.0 - arrays["output_confidence"].reshape(flow.shape).astype(np.float32)[flow]
        keep = slice(None, None, max(1, len(error) // 2_000))  # the same weight for every clip
        self._doubt.append(doubt[keep])
        self._error.append(error[keep])

    def spearman(self) -> float | None:
        if not self._doubt:
            return None
        return float(scipy.stats.spearmanr(np.concatenate(self._doubt), np.concatenate(self._error)).statistic)


@dataclasses.dataclass(frozen=True)
class Card:
    """``results``: evaluation JSON per set; ``clips``: chosen ones per set; ``no_truth``: of `no_reference`, empty where no
    colour clips were given; the rest as its name says."""

    results: dict[str, dict[str, Any]]
    clips: dict[str, list[ReportClip]]
    masses: dict[str, Any]
    lumens: dict[str, Any]
    sizes: dict[int, dict[str, Any]]
    no_truth: dict[str, Any]
    facts: dict[str, Any]


def judge(weights: GeneratorWeights, *, options: CardOptions | None = None) -> Card:
    """Run the whole protocol; minutes on two cores.

    Raises:
      ValueError: When the real echo is not installed.
    """
    options = options or CardOptions()
    mesh = make_mesh(devices=jax.local_devices())
    predict = predictor(weights, mesh)
    sets: list[Callable[[], card_sets.CardSet]] = [
        *(functools.partial(card_sets.simulated, size, clips=options.simulated) for size in card_sets.SIZES),
        *(
            functools.partial(card_sets.painted_echo, size, paintings=options.paintings, shared=shared)
            for size in card_sets.SIZES
            for shared in (True, False)
        ),
    ]
    if options.real_colour is not None:
        sets += [functools.partial(real_colour, options.real_colour, size=size) for size in card_sets.SIZES]
    as_users_see = as_translated(Translator(weights, texture=0.0))  # the expectation: SSIM is no judge of samples
    results, clips, sizes, feather = {}, {}, {}, weights.settings["feather"]
    with progress_bar("parts") as bar:
        task = bar.add_task("judge", total=len(sets) + len(card_sets.OTHER_SIZES) + 3)
        for make in sets:
            results_of, clips_of, name = _score(predict, make(), options, mesh, feather)
            results[name], clips[name] = results_of, clips_of
            bar.advance(task)
        for size in card_sets.OTHER_SIZES:
            small = card_sets.painted_echo(size, paintings=max(1, options.paintings // 4), shared=True)
            sizes[size], _, _ = _score(
                as_users_see, small, options, make_mesh(devices=jax.local_devices()[:1]), feather
            )
            bar.advance(task)
        masses = _by_method(predict, card_sets.with_masses(card_sets.SIZES[0], clips=options.masses), mass_recall, mesh)
        bar.advance(task)
        lumens = _by_method(
            predict, card_sets.simulated(card_sets.SIZES[0], clips=options.simulated), lumen_errors, mesh
        )
        bar.advance(task)
        no_truth = no_reference(Translator(weights), options.real_colour) if options.real_colour is not None else {}
        bar.advance(task)
    facts = {
        "model": weights.name, "digest": weights.digest, "real_echo": card_sets.real_echo()[2],
        "parameters": int(sum(np.size(x) for x in jax.tree.leaves(weights.params))),
        "spec": dataclasses.asdict(weights.spec),
    }  # fmt: skip
    return Card(results=results, clips=clips, masses=masses, lumens=lumens, sizes=sizes, no_truth=no_truth, facts=facts)


def _score(
    predict: Predict, clips: card_sets.CardSet, options: CardOptions, mesh: Mesh, feather: int
) -> tuple[dict, list[ReportClip], str]:
    gallery, trust = Gallery(per_group=1), _TrustInFlow()

    def redraw(index: int) -> np.ndarray | None:
        return redraws(clips.pairs[index], count=REDRAWS, frames=card_sets.FRAMES, size=clips.size)

    result = evaluate(
        predict,
        (to_mesh(batch, mesh) for batch in clips.batches(mesh.size)),
        clips.ids,
        options=EvaluateOptions(
            bootstrap=options.bootstrap,
            expected_clips=len(clips.pairs),
            redraw=redraw,
            feather=feather,
            settings={"set": clips.about},
        ),
        gallery=gallery,
        observers=[trust],
    )
    result["confidence_spearman_flow"] = trust.spearman()
    return result, gallery.clips(), clips.name


def _by_method(
    predict: Predict, clips: card_sets.CardSet, judge_pairs: Callable[[Any], Any], mesh: Mesh
) -> dict[str, Any]:
    """What ``judge_pairs`` says of (example, greyscale) pairs, per method; ``truth`` is the view without colour."""
    examples = clips.examples
    found = {"truth": [example["grey"][..., 0] for example in examples]}
    outputs = [np.asarray(as_uint8(predict(to_mesh(batch, mesh))["composited"])) for batch in clips.batches(mesh.size)]
    found["model"] = [clip.reshape(e["hidden"].shape) for clip, e in zip(np.concatenate(outputs), examples)]
    for name in ("inpaint", "temporal_median"):
        found[name] = [BASELINES[name](example["cfd"], example["hidden"]) for example in examples]
    return {name: dataclasses.asdict(judge_pairs(zip(examples, grey))) for name, grey in found.items()}
