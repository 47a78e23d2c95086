"""What the scanner's console does to a scene: box, colour estimation and maps, settings, screen furniture, compression.

Enter with `console.acquisition`; above geometry and fields, below painter and simulator. Never knows what tissue it shows."""
