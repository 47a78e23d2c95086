"""The paper's ablation, term by term, at the demo's size: where losses, networks and neighbouring frames earn their place.

    cfd2gray simulate --clips 600 --painted 0.25 --size 128 --frames 32 -o records
    python -m launch.sweep paper --workdir sweeps/paper --jobs 1 --evaluate --config.data.dir=records

Every run is given about the same computation: one with critics (VGG and discriminator) takes fewer steps, by the cost of a
step on two CPU cores. The last setting, everything, is run with three seeds. Reached: not run to its end yet.
"""

from cfd2gray.configs.sweeps.space import Run

CONFIG = "tiny"
STEPS = 600
"""Of a run without critics; some two minutes on two CPU cores."""

OURS = ("structure", "temporal", "texture", "shimmer")
PIXEL_ONLY: Run = {f"loss.{term}": 0.0 for term in (*OURS, "perceptual", "adversarial")}


def _run(changes: Run, *, steps: float, critics: bool) -> Run:
    whole = round(STEPS * steps)
    return changes | {"train.steps": whole, "train.warmup_anatomy": 0 if critics else whole}


def get_runs() -> list[Run]:
    without = {key: value for key, value in PIXEL_ONLY.items() if key != "loss.perceptual"}
    neither = {key: value for key, value in without.items() if key != "loss.adversarial"}
    no_critics: Run = {"loss.perceptual": 0.0, "loss.adversarial": 0.0}
    return [
        _run(PIXEL_ONLY, steps=1.0, critics=False),
        _run(without, steps=0.5, critics=True),
        _run(neither, steps=0.4, critics=True),
        _run(no_critics, steps=1.0, critics=False),
        _run(no_critics | {"model.denoise_blocks": 0}, steps=1.2, critics=False),
        _run(no_critics | {"model.temporal": False}, steps=1.1, critics=False),
        _run(no_critics | {"model.fill_radius": 2}, steps=1.0, critics=False),
        *({"seed": seed, "train.steps": 380, "train.warmup_anatomy": 240} for seed in (0, 1, 2)),
    ]
