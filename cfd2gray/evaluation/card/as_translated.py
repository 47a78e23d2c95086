"""A `Translator` as `evaluate` wants it: what a user gets at any size, reduction and pasting included."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from cfd2gray.evaluation.step import Batch, Predict
from cfd2gray.translation.translator import Translator
from data_pipeline.schema import SECTOR
from data_pipeline.screen.analysis import FlowAnalysis


def as_translated(translator: Translator) -> Predict:
    """``predict(batch)`` by `Translator.translate`, clip by clip on the host; strata come from the batch, not from pixels."""

    def predict(batch: Batch) -> Mapping[str, jax.Array]:
        found = [_translated(translator, *clip) for clip in zip(np.asarray(batch["cfd"]), np.asarray(batch["strata"]))]
        grey, confidence = (jnp.asarray(np.stack(part))[..., None] for part in zip(*found, strict=True))
        return {"grey": grey, "composited": grey, "confidence": confidence}

    return predict


def _translated(translator: Translator, cfd: np.ndarray, strata: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    analysis = FlowAnalysis(sector=((strata & SECTOR) > 0).any(axis=0), strata=strata)
    result = translator.translate(cfd, analysis=analysis)
    return result.grey.astype(np.float32) / 255.0, result.confidence
