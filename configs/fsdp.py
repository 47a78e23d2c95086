"""A generator four times as wide, its parameters and optimizer state split over the devices of one machine.

    cfd2gray train --config fsdp --config.data.dir=records --workdir runs/fsdp

Hardware: eight devices with 16 GB or more (`--config.mesh.fsdp=4` for four): what each holds of the state is an eighth.
Reached: not run yet; `docs/launch.md` has the memory and the predicted speed that the compiler gives for it.
"""

import ml_collections
from cfd2gray.configs import echo_128


def get_config() -> ml_collections.ConfigDict:
    config = echo_128.get_config()
    config.model.width, config.model.blocks = 256, 3
    config.model.denoise_width = 128
    config.discriminator.width = 128
    config.mesh.data, config.mesh.fsdp = -1, 8
    # Wide networks take smaller steps.
    config.train.learning_rate, config.train.discriminator_rate = 7e-5, 7e-5
    return config
