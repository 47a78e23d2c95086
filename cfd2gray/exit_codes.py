"""What the exit code of a command tells a shell or a scheduler."""

from __future__ import annotations

import os

from data_pipeline.mistakes import Mistake

EXIT_MISTAKE = 2
"""A mistake in arguments, settings or data: starting again changes nothing."""
EXIT_IO = 74
"""Storage or network did not answer, or a disk is full: starting again may help (EX_IOERR)."""
EXIT_STOPPED = 75
"""Asked to stop, and the state is saved: starting again goes on from there (EX_TEMPFAIL)."""
EXIT_UNHEARD = 141
"""Nobody reads on (``| head``): what a program that SIGPIPE ends gives."""
EXIT_INTERRUPTED = 130
"""A second Ctrl-C: ended at once."""

MISTAKE_FILE = "CFD2GRAY_MISTAKE_FILE"
"""Environment variable: a file that a command makes when it ends with `EXIT_MISTAKE`.

For schedulers that do not hand the code on: srun ends the other tasks and then reports the signal they got (143 or 137).
"""


def exit_code(error: BaseException) -> int:
    """What the command line makes of an exception; 1 is a defect of this program."""
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    if isinstance(error, Mistake):
        return EXIT_MISTAKE
    return EXIT_IO if isinstance(error, OSError) else 1


def leave_note(code: int) -> int:
    """Make `MISTAKE_FILE` if ``code`` says so and somebody asked for it. Returns ``code``."""
    note = os.environ.get(MISTAKE_FILE)
    if note and code == EXIT_MISTAKE:
        with open(note, "w") as file:
            file.write(f"{code}\n")
    return code
