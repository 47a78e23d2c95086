"""Who belongs together: colour and greyscale of the same moment, found on dual screens, in streams, or painted; each checked.

Enter with `pairs.jobs` (archives) and `pairs.pairing` (one clip); above screen. Never writes a record."""
