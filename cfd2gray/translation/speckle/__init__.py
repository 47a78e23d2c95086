"""The play of speckle that the network leaves out: how strong by octave and grey level, of what grain, drawn."""
