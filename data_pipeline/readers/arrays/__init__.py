"""Grids of numbers from research: NumPy, NIfTI and Analyze, MetaImage, NRRD, zea's HDF5; one file a format.

Entered through `readers.open_clip` alone. Each checks sizes before it reads, and shows a clip on one scale (`levels`).
"""
