"""How results look: one page template, one style sheet, one player, one set of charts and number formats.

Evaluation, reader study, census and sweeps enter with values (`blocks`) and get a page that is one file. Knows nothing of
models and computes no score.
"""
