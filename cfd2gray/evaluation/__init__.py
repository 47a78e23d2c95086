"""Scores of translated clips against truth: steps, results, baselines and the best that can be had.

Enter with `evaluation.run`; above translation and metrics. Never changes weights."""
