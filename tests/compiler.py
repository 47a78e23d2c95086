"""XLA's flags in the tests and in processes that they start."""

COMPILE_LESS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""Compiling takes a half to a third of the time, and tiny networks are no slower."""
EIGHT_DEVICES = "--xla_force_host_platform_device_count=8"
