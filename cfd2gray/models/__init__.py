"""Networks and what goes into them, as pure functions of parameters.

Enter with `models.generator` and `models.pure`; lowest room of the package. Never knows losses, files or training."""
