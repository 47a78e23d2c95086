"""What `gpu_check` runs and writes."""
