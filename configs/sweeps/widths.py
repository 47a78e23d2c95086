"""How large the networks should be: widths that grow together, each with a rate that fits it.

    cfd2gray sweep widths --workdir sweeps/widths --slurm --config.data.dir=records

Four runs of ``echo_128``. Reached: not run yet.
"""

from cfd2gray.configs.sweeps.space import Run, zipped

CONFIG = "echo_128"


def get_runs() -> list[Run]:
    return zipped(
        {
            "model.width": (32, 64, 128, 192),
            "model.denoise_width": (32, 64, 96, 128),
            "discriminator.width": (32, 64, 64, 96),
            "train.learning_rate": (2e-4, 1.4e-4, 1e-4, 8e-5),
        }
    )
