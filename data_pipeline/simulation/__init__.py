"""Colour and greyscale of one scene, made from nothing: views, speckle, flow, the console; and colour painted on real clips.

Enter with `simulation.simulator` and `simulation.painter`; above screen. Never reads an archive."""
