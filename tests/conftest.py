"""Eight fake devices for the tests of sharding; one folder of compiled programs; Grain's flags, which nobody parses here."""

import os
import pathlib

from tests.compiler import COMPILE_LESS, EIGHT_DEVICES

os.environ["XLA_FLAGS"] = f"{EIGHT_DEVICES} {COMPILE_LESS} {os.environ.get('XLA_FLAGS', '')}".strip()
os.environ["JAX_PLATFORMS"] = "cpu"

# What a test, another worker or a process that a test starts has compiled is not compiled again. An entry's key is the whole
# program with its options, flags and compiler's version: a changed program is a new one, so that nothing can be hidden by this.
PROGRAMS = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "programs"
os.environ["CFD2GRAY_CACHE"] = str(PROGRAMS)
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(PROGRAMS / "xla")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"

from absl import flags  # noqa: E402 - the lines above must come before anything imports JAX

from cfd2gray.cache_folder import cache_folder, keep_newest  # noqa: E402

flags.FLAGS.mark_as_parsed()
if "PYTEST_XDIST_WORKER" not in os.environ and (folder := cache_folder("xla")):
    keep_newest(folder, most_bytes=2**30)
