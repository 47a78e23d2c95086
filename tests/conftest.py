"""Eight fake devices for the tests of sharding; Grain's flags, which nobody parses outside of absl.app."""

import os

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()
os.environ["JAX_PLATFORMS"] = "cpu"

from absl import flags  # noqa: E402 - the two lines above must come before anything imports JAX

flags.FLAGS.mark_as_parsed()
