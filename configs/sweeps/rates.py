"""Learning rates of both players and the weight of their game, drawn at random: the first thing to look at on new data.

    cfd2gray sweep rates --workdir sweeps/rates --jobs 4 --gpus 0,1,2,3 --config.data.dir=records

24 runs of ``echo_128``, a tenth as long. Reached: not run yet.
"""

from cfd2gray.configs.sweeps.space import Run, log_uniform, product, sample

CONFIG = "echo_128"


def get_runs() -> list[Run]:
    short: list[Run] = [{"train.steps": 6_000, "train.warmup_anatomy": 2_000, "eval.every": 2_000}]
    draws = {
        "train.learning_rate": log_uniform(3e-5, 1e-3),
        "train.discriminator_rate": log_uniform(3e-5, 1e-3),
        "loss.adversarial": log_uniform(3e-3, 1e-1),
    }
    return product(short, sample(24, draws, seed=0))
