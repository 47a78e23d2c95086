"""What only the user can put right, told apart from trouble that another start may not meet.

A scheduler starts a failed run again, unless its exit code says that this changes nothing. That code is given for a
`Mistake` alone: a ``ValueError`` from inside a library, or a file server that does not answer, is none.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError, PermissionError)
"""What the system says of a path that was named wrongly; all other ``OSError``s are trouble with the storage itself."""


class Mistake(ValueError):
    """A setting, an argument or data that cannot work. The message says rule, value received and remedy."""


@contextlib.contextmanager
def named_mistakes() -> Iterator[None]:
    """Around what only reads arguments, settings and data: what is refused inside is the user's to mend.

    Raises:
      Mistake: With the message of the ``ValueError`` or of the path that is not there or too long.
    """
    try:
        yield
    except Mistake:
        raise
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, NOT_THERE) and error.errno != errno.ENAMETOOLONG:
            raise
        raise Mistake(str(error) or type(error).__name__) from error
