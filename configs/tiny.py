"""The demo: the real architecture at a size that two CPU cores train in minutes.

cfd2gray train --config configs/tiny.py --config.data.dir=demo/records --workdir demo/run
"""

import ml_collections
from cfd2gray.configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.data.frames, config.data.size, config.data.batch_size = 24, 96, 2
    config.train.margin = 8
    config.model.width, config.model.levels, config.model.blocks = 32, 2, 1
    config.model.denoise_width, config.model.denoise_blocks = 32, 2
    config.discriminator.width, config.discriminator.levels = 32, 2
    config.augment.max_dilation = 1
    config.loss.perceptual_frames = 1
    config.train.steps, config.train.warmup_anatomy, config.train.warmup = 400, 250, 20
    config.train.learning_rate, config.train.discriminator_rate = 1e-3, 4e-4
    config.train.ema = 0.98
    config.log.every, config.log.images_every = 20, 200
    config.checkpoint.every, config.checkpoint.keep = 200, 2
    config.eval.every, config.eval.batch_size, config.eval.frames = 0, 4, 8
    config.translate.size = 128
    return config
