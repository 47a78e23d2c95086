"""The same rates as in `rates`, but each run learns from those before it: Optuna's search for the best SSIM under colour.

    cfd2gray sweep search --workdir sweeps/search --slurm --jobs 4 --config.data.dir=/shared/records

24 runs of ``echo_128``, a tenth as long. Needs the extra ``[sweep]``. Reached: not run yet.
"""

from typing import Any

CONFIG = "echo_128"
TRIALS = 24


def suggest(trial: Any) -> dict[str, Any]:
    """Settings of one run; ``trial`` is an `optuna.Trial`."""
    return {
        "train.steps": 6_000,
        "train.warmup_anatomy": 2_000,
        "eval.every": 2_000,
        "train.learning_rate": trial.suggest_float("train.learning_rate", 3e-5, 1e-3, log=True),
        "train.discriminator_rate": trial.suggest_float("train.discriminator_rate", 3e-5, 1e-3, log=True),
        "loss.adversarial": trial.suggest_float("loss.adversarial", 3e-3, 1e-1, log=True),
    }
