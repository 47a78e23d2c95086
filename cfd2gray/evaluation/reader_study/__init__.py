"""Can people tell translated clips from real ones? A blinded page, its key, scores and simulated readers.

Enter with `reader_study.build` and `reader_study.score`. Never shows a reader which clip is which."""
