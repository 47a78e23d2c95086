"""On the path of test runs: all processes of a run find their programs in the cache that the first one wrote.

JAX's key of a program names the topology, and XLA's fingerprint of CPUs (not that of accelerators) differs from process to
process: without this every process but the first would compile at every start.
"""

from jax._src import cache_key

cache_key._hash_accelerator_config = cache_key._hash_devices
