"""Processes and machines: starting a run anywhere, planning it before it is paid for, sweeping over configs."""
