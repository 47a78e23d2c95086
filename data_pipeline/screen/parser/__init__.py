"""A learned view of screens: per pixel sector, flow, outline and overlay, and what kind of picture it is.

Enter with `parser.network.parse_screen`; beneath the screen's analysis. Never starts JAX: worker processes use it."""
