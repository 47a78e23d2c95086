"""Parameters on disk: shipped files, what a run left behind, how they are found, exported and proved.

Enter with `weights.find`; above models. Never trains, never reads a checkpoint that a run is writing."""
