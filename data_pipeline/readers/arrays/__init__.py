"""Grids of numbers from research: NumPy, NIfTI and Analyze, MetaImage, NRRD, zea's HDF5; one file a format.

Entered through `readers.open_clip` alone; each ends in `clip.array_clip`. None reads before it has checked sizes.
"""
