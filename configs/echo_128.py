"""Echocardiograms at 128 px on one GPU: the usual size of public echo sets, and the first real run to make.

    cfd2gray pack ARCHIVE -o records --paint 2 --key-file key
    cfd2gray train --config echo_128 --config.data.dir=records --workdir runs/echo_128

Hardware: one GPU with 40 GB, or with 24 GB and ``--config.train.accumulate=2``: 16 clips need some 16 GiB, says the
compiler for TPUs, which is all that one v5e chip has. Reached: not run yet. What does not fit is refused before the first step.
"""

import ml_collections
from cfd2gray.configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.data.size, config.data.batch_size = 128, 16
    config.data.num_workers = 4
    config.model.dtype = "bfloat16"
    config.train.steps, config.train.warmup_anatomy = 60_000, 6_000
    # A batch half of the default's: the rates fall with its square root.
    config.train.learning_rate, config.train.discriminator_rate = 1.4e-4, 1.4e-4
    config.translate.size = 128
    return config
