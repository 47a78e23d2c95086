"""Clips to greyscale: composite, files and folders, long clips and live frames.

Enter with `translation.translator.Translator`; above models, weights and runtimes. Never loads losses or optimisers."""
