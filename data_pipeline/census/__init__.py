"""What an archive holds: one row a clip, counts by patient, view and kind, a page that shows them.

Enter with `census.run.census`; above readers and screen, below nothing. Never writes pixels, never decides what is paired."""
