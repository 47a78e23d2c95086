"""The paper's amount of data, 54,975 clips (Tomic et al., arXiv 2511.03255), at 256 px on a TPU pod slice.

    cfd2gray train --config paper_scale --config.data.dir=gs://BUCKET/records --workdir gs://BUCKET/runs/paper

Hardware: TPU v5e-256 (topology 16x16, 64 hosts with four chips each). `docs/launch.md` says how to get and start one.
Reached: not run yet. `python -m launch.aot --config paper_scale --topology v5e:16x16` compiles its steps for that
slice on any computer; the table in `docs/launch.md` has what it printed.
"""

import ml_collections
from cfd2gray.configs import echo_256

CLIPS = 54_975


def get_config() -> ml_collections.ConfigDict:
    config = echo_256.get_config()
    config.data.batch_size = 512  # two clips per chip
    epoch = CLIPS // config.data.batch_size
    config.train.steps = 200 * epoch
    config.train.warmup_anatomy = 20 * epoch
    config.train.warmup = 5 * epoch
    # Square root of the batch: 4 times the default's rate for 16 times its batch.
    config.train.learning_rate, config.train.discriminator_rate = 8e-4, 8e-4
    config.train.ema = 0.998
    config.mesh.data, config.mesh.fsdp = -1, 4  # a host's four chips share the optimizer state
    config.log.every, config.log.images_every = 20, 500
    # By time: an epoch is half a minute on 256 chips and an hour on four.
    config.checkpoint.every, config.checkpoint.minutes = 0, 5.0
    config.eval.every, config.eval.minutes = 0, 10.0
    config.eval.clips, config.eval.batch_size = 512, 256
    return config
