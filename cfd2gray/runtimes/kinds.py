"""The two graphs of a network, and how what they hand on is named."""

CLIP, STREAM = "clip", "stream"
"""Whole clips, and frame after frame with a memory (causal networks alone)."""
MEMORY = "memory_"
"""Begins the names of what a stream graph hands on from frame to frame; its outputs are called ``next_memory_...``."""
