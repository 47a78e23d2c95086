"""Grain reads absl flags when it starts worker processes; outside of absl.app nobody parses them."""

from absl import flags

flags.FLAGS.mark_as_parsed()
