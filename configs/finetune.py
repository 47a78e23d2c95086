"""From the shipped weights on to one's own pairs: a small rate, no anatomy warm-up, some simulated clips kept in.

    cfd2gray pack ARCHIVE -o records --paint 2 --key-file key
    cfd2gray train --config finetune --config.data.dir=records --workdir runs/finetune

Hardware: one GPU, or a CPU with patience (see `configs/pretrained.py`, whose network this is). Reached: not run yet on
anybody's own pairs.
"""

import ml_collections
from cfd2gray.configs import pretrained


def get_config() -> ml_collections.ConfigDict:
    config = pretrained.get_config()
    config.init = "pretrained"
    # The simulated quarter keeps what the weights know of views that the archive does not hold.
    config.data.mixture = (("records", 0.75), ("simulation", 0.25))
    config.data.simulated_size = (
        2 * config.data.size
    )  # crops then enlarge speckle, codecs and outlines as records of 192 px do
    config.train.steps, config.train.warmup_anatomy, config.train.warmup = 4_000, 500, 100
    config.train.learning_rate, config.train.discriminator_rate = 2e-4, 2e-4
    config.eval.every, config.eval.clips = 500, 32
    return config
