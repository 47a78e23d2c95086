"""The paper's ablation, term by term, at the demo's size: where losses, networks and neighbouring frames earn their place.

    cfd2gray simulate --clips 600 --painted 0.25 --size 128 --frames 32 -o records
    cfd2gray sweep paper --workdir sweeps/paper --jobs 1 --evaluate --config.data.dir=records

Every run is given about the same computation: one with critics (VGG and discriminator) takes fewer steps, by the cost of a
step on two CPU cores. The whole, and the rows that differ little, are run with three seeds. Reached: ``docs/ablation.md``.
"""

from cfd2gray.configs.sweeps.space import Run

CONFIG = "tiny"
STEPS = 250
"""Of a run without critics; a minute and a half on two CPU cores."""

_PIXEL: Run = {
    f"loss.{term}": 0.0 for term in ("structure", "temporal", "texture", "shimmer", "perceptual", "adversarial")
}
_PERCEPTUAL: Run = {key: value for key, value in _PIXEL.items() if key != "loss.perceptual"}
_ADVERSARIAL: Run = {key: value for key, value in _PERCEPTUAL.items() if key != "loss.adversarial"}
_NO_CRITICS: Run = {"loss.perceptual": 0.0, "loss.adversarial": 0.0}
_HELD: Run = {"augment.hold_probability": 0.5, "augment.max_hold": 24}
SEEDS = (0, 1, 2)


def _run(changes: Run, *, steps: float, critics: float) -> Run:
    """``steps``: as a share of `STEPS`; ``critics``: the last share of them, in which VGG and discriminator take part."""
    whole = round(STEPS * steps)
    cheap = {"eval.speckle_draws": 0, "eval.perceptual_frames": 0}  # scores are compared with each other only
    return cheap | {"train.steps": whole, "train.warmup_anatomy": round(whole * (1.0 - critics))} | changes


_WHOLE = _run({}, steps=0.63, critics=0.37)
SETTINGS: dict[str, list[Run]] = {
    "pixel only": [_run(_PIXEL, steps=1.0, critics=0.0) | {"seed": seed} for seed in SEEDS],
    "pixel + perceptual": [_run(_PERCEPTUAL, steps=0.5, critics=1.0)],
    "pixel + perceptual + adversarial": [_run(_ADVERSARIAL, steps=0.4, critics=1.0)],
    "all terms but the critics'": [_run(_NO_CRITICS, steps=1.0, critics=0.0) | {"seed": seed} for seed in SEEDS],
    "the same, colour that stays": [
        _run(_NO_CRITICS | _HELD, steps=1.0, critics=0.0) | {"seed": seed} for seed in SEEDS
    ],
    "the same, AnatomyNet alone": [_run(_NO_CRITICS | {"model.denoise_blocks": 0}, steps=1.2, critics=0.0)],
    "the same, evidence of 2 frames either way": [_run(_NO_CRITICS | {"model.fill_radius": 2}, steps=1.0, critics=0.0)],
    "the same, every frame on its own": [_run(_NO_CRITICS | {"model.temporal": False}, steps=1.1, critics=0.0)],
    "the whole": [_WHOLE | {"seed": seed} for seed in SEEDS],
    "the whole, shared targets only": [_WHOLE | {"data.targets": "shared"}],
    "the whole, restored targets only": [_WHOLE | {"data.targets": "restored"}],
}


def get_runs() -> dict[str, list[Run]]:
    return SETTINGS
