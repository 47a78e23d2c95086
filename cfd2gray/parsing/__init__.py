"""The screen parser's network: trained here on simulated screens, exported for `data_pipeline.screen.parser` to run.

Enter with `parsing.train`; above data_pipeline and nothing of cfd2gray. Never sees a real clip."""
