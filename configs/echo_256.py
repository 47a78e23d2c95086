"""Echocardiograms at 256 px on one machine with eight GPUs: fine speckle is kept, a step costs four times that of 128 px.

    cfd2gray pack ARCHIVE -o records --paint 2 --size 256 --key-file key
    cfd2gray train --config echo_256 --config.data.dir=records --workdir runs/echo_256

Hardware: eight GPUs with 24 GB or more each, or a TPU v5e slice of eight chips. Reached: not run yet;
`docs/launch.md` has the memory and the predicted speed that the compiler gives for it.
"""

import ml_collections
from cfd2gray.configs import echo_128


def get_config() -> ml_collections.ConfigDict:
    config = echo_128.get_config()
    config.data.size, config.data.batch_size = 256, 16
    config.data.num_workers = 8
    # One level more, so that the network sees as much of the heart as it does at 128 px.
    config.model.levels = 4
    config.discriminator.levels = 4
    config.eval.batch_size = 8
    config.translate.size = 256
    return config
