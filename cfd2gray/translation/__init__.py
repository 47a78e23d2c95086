"""Clips to greyscale: windows, composite, grain, files and folders, long clips and live frames.

Enter with `translation.translator.Translator`; above models and weights. Never loads losses or optimisers."""
