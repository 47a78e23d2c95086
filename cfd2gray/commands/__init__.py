"""What each sub-command takes and does: a file per topic. No logic of its own: every function calls the library and prints.

Libraries are imported where they are used: `cfd2gray --help` and small commands should not wait for JAX.
"""
