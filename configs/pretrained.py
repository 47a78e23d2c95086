"""The recipe of the weights that ship with the package: CPU-sized network, simulated and painted clips of all views.

    cfd2gray simulate --clips 7500 --painted 0.25 --size 192 --frames 56 -o records
    cfd2gray train --config pretrained --config.data.dir=records --workdir runs/first
    cfd2gray train --config pretrained:further --config.init=runs/first --config.data.dir=records --workdir runs/second
    cfd2gray train --config pretrained:longer --config.init=runs/second --config.data.dir=records --workdir runs/longer
    cfd2gray export --checkpoint runs/longer -o longer.safetensors
    cfd2gray export --checkpoint runs/second --mean longer.safetensors -o mean.safetensors
    cfd2gray simulate --clips 400 --painted 0.4 --found-masks 0.75 --seed 900000 --size 160 --frames 40 -o found
    cfd2gray train --config pretrained:mistakes --config.init=mean.safetensors --config.data.dir=found --workdir runs/mistakes
    cfd2gray export --checkpoint runs/mistakes --mean mean.safetensors --dtype bfloat16 --graphs -o new.safetensors
    cfd2gray train --config pretrained:streaming --config.init=new.safetensors --config.data.dir=found --workdir runs/streaming

The second leg starts the learning rate anew (warm restart; Loshchilov & Hutter 2017). The longer one, on a GPU, takes larger
windows and batches with both critics all along and was stopped after 1,804 steps; the mean of those before and after it was
taken. From there the fourth meets masks as the screen parser finds them; the default weights are the mean of before and after.
The last teaches the network to do without later frames. ``MODEL_CARD.md`` says on what the legs were trained, how long,
and what they reached.
"""

import ml_collections
from cfd2gray.configs import default

LEGS = ("first", "further", "longer", "mistakes", "streaming")


def get_config(leg: str = "first") -> ml_collections.ConfigDict:
    if leg not in LEGS:
        raise ValueError(f"--config pretrained:LEG, with LEG one of {', '.join(LEGS)}; got {leg!r}")
    config = default.get_config()
    config.data.frames, config.data.size, config.data.batch_size = 36, 96, 2
    config.train.margin = 15
    config.data.num_workers = 1
    # Crops of a fifth to the whole of a sector: speckle at every grain that sectors of 96 to 512 px show.
    config.augment.crop_probability, config.augment.min_scale = 0.85, 0.2
    config.augment.smooth_probability, config.augment.max_smooth = 0.3, 1.2
    config.augment.gain, config.augment.gamma, config.augment.contrast = 0.25, 0.25, 0.2
    config.augment.max_dilation = 2
    config.model.width, config.model.levels, config.model.blocks = 32, 3, 1
    config.model.denoise_width, config.model.denoise_blocks = 32, 3
    config.discriminator.width, config.discriminator.levels = 32, 3
    config.loss.structure = 0.5
    config.loss.temporal = 0.05  # compares moment by moment and so asks for the mean of all speckle, which is still
    config.loss.texture, config.loss.shimmer = 1.0, 2.0
    config.loss.adversarial = 0.03
    config.loss.perceptual_frames = 1
    config.train.final_rate = 0.02
    config.train.ema = 0.998
    config.log.every, config.log.images_every = 100, 2_000
    config.checkpoint.every, config.checkpoint.keep = 500, 2
    config.eval.every, config.eval.clips, config.eval.batch_size, config.eval.frames = 1_000, 20, 4, 16
    config.eval.patience = 4  # the cosine's last thousands of steps gain most, so a run is not given up lightly
    config.eval.speckle_draws = 0
    if leg == "first":
        config.train.steps, config.train.warmup_anatomy, config.train.warmup = 13_000, 12_300, 100
        config.train.learning_rate, config.train.discriminator_rate = 1e-3, 4e-4
    elif leg == "further":
        config.init = "pretrained"
        config.train.steps, config.train.warmup_anatomy, config.train.warmup = 7_500, 6_900, 200
        config.train.learning_rate, config.train.discriminator_rate = 7e-4, 4e-4
    elif leg == "longer":
        config.init = "pretrained"
        config.data.frames, config.data.size, config.data.batch_size = 42, 128, 16
        config.train.steps, config.train.warmup_anatomy, config.train.warmup = 3_200, 0, 100
        config.train.learning_rate, config.train.discriminator_rate = 6e-4, 4e-4
    elif leg == "mistakes":
        config.init = "pretrained"
        config.train.steps, config.train.warmup_anatomy, config.train.warmup = 1_600, 1_600, 50
        config.train.learning_rate = 3e-4
        config.augment.flip_probability = 0.5
    else:
        config.init = "pretrained"
        config.model.causal = True
        config.train.steps, config.train.warmup_anatomy, config.train.warmup = 600, 600, 50
        config.train.learning_rate = 3e-4
    return config
