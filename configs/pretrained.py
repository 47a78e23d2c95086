"""The recipe of the weights that ship with the package: CPU-sized network, simulated and painted clips of all views.

    cfd2gray train --config pretrained --workdir runs/pretrained

Trained on two CPU cores; on one GPU the same command takes minutes. ``MODEL_CARD.md`` has what it reached.
"""

import ml_collections
from cfd2gray.configs import default


def get_config() -> ml_collections.ConfigDict:
    config = default.get_config()
    config.data.mixture = (("simulation", 0.75), ("painted", 0.25))
    config.data.frames, config.data.size, config.data.batch_size = 28, 96, 1
    config.train.margin = 10
    config.data.num_workers = 1
    # Crops of half to the whole of a 176 px sector, so that speckle comes at every grain from 96 to 192 px sectors.
    config.augment.crop_probability, config.augment.min_scale = 0.8, 0.5
    config.augment.max_dilation = 2
    config.model.width, config.model.levels, config.model.blocks = 32, 3, 1
    config.model.denoise_width, config.model.denoise_blocks = 32, 3
    config.discriminator.width, config.discriminator.levels = 32, 3
    config.loss.structure = 0.5
    config.loss.adversarial = 0.03
    config.loss.perceptual_frames = 1
    config.train.steps, config.train.warmup_anatomy, config.train.warmup = 6_000, 4_000, 50
    config.train.learning_rate, config.train.discriminator_rate = 1e-3, 4e-4
    config.train.ema = 0.998
    config.log.every, config.log.images_every = 50, 1_000
    config.checkpoint.every, config.checkpoint.keep = 500, 2
    config.eval.every, config.eval.batch_size, config.eval.frames = 0, 4, 16
    return config
