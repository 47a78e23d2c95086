"""From records to batches: sources, Grain transforms and the one chain that joins them.

Enter with `loading.loader.make_loader`; above records. Never reads an archive, never knows a
device (it is handed a sharding)."""
