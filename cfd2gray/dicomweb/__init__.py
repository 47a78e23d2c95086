"""``cfd2gray serve --dicomweb``: DICOM comes in over HTTP (STOW-RS, PS3.18), its translation goes back or on to an archive.

Owns the protocol, the token and the log of what was done; never translates or reads pictures by itself.
"""
