"""DICOM: the file and its frames (`file`), what the header says, its quirks and terms, pixels decoded and repaired.

Entered through `clip.open_dicom`, which `readers.open_clip` calls; `translation` reads terms and header fields. Never guesses
from a file's name, and never writes.
"""
