"""What other models make of translated clips: classification, segmentation, data recovery, shortcut audit, masses, chambers.

Enter from `evaluation.extras`. Trains heads on copies in memory; never touches the generator."""
