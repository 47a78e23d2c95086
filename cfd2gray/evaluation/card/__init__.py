"""The protocol by which shipped weights are judged: fixed clips, a score for every method, one page.

Enter with `card.judge.judge`; the highest room of evaluation. Never trains, never chooses weights."""
