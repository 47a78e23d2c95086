"""What is painted on a screen, measured: the colour mask, the drawn box, the legend.

Enter from `screen.analysis`; beneath everything else of the screen. Never judges what kind of picture it is."""
