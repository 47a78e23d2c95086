"""The paper's ablation: each loss and each network taken away alone, everything else as it is, three seeds each.

    cfd2gray sweep ablation --workdir sweeps/ablation --jobs 1 --evaluate --config.data.dir=records

The paper (Tomic et al., arXiv 2511.03255) trains two networks with pixel-wise, adversarial and perceptual losses. Ours
adds terms for structure, texture, shimmer, time and confidence, so those are taken away too. 36 runs of ``echo_128``.
Reached: not run yet.
"""

from cfd2gray.configs.sweeps.space import Run, grid, product

CONFIG = "echo_128"

WITHOUT: list[Run] = [
    {},  # the whole
    {"loss.pixel": 0.0, "loss.pixel_anatomy": 0.0},
    {"loss.adversarial": 0.0},
    {"loss.perceptual": 0.0},
    {"loss.structure": 0.0},
    {"loss.texture": 0.0},
    {"loss.shimmer": 0.0},
    {"loss.temporal": 0.0},
    {"loss.confidence": 0.0},
    {"model.denoise_blocks": 0},  # AnatomyNet alone
    {"model.width": 0},  # DenoiseNet alone, on the first guess
    {"model.temporal": False},
]


def get_runs() -> list[Run]:
    return product(WITHOUT, grid({"seed": (0, 1, 2)}))
