"""One run: state, step, checkpoints, log, loop, on any mesh.

Enter with `training.loop.train`; above losses, translation and weights. Never reads an archive, never writes a page."""
