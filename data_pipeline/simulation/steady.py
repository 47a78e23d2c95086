"""Elementary functions that round alike on every processor.

NumPy's float32 versions use the widest instructions they find, and these differ in the last bit. In double and rounded
once, the results agree (but for a tie in 1e8), so that a seed gives the same bytes everywhere. Input of other types than
float32 keeps its type.
"""

from __future__ import annotations

import numpy as np


def _once_rounded(function: np.ufunc):
    def apply(*arrays):
        wide = function(*arrays, dtype=np.float64)
        kind = np.result_type(*arrays)
        return wide.astype(kind) if kind == np.float32 else wide

    apply.__name__ = function.__name__
    apply.__doc__ = f"``np.{function.__name__}``, rounded once."
    return apply


exp, log, log10 = _once_rounded(np.exp), _once_rounded(np.log), _once_rounded(np.log10)
sin, cos, tanh = _once_rounded(np.sin), _once_rounded(np.cos), _once_rounded(np.tanh)
arctan2, power = _once_rounded(np.arctan2), _once_rounded(np.power)


def hypot(x, y):
    """``np.hypot``, rounded once."""
    wide = np.sqrt(np.square(x, dtype=np.float64) + np.square(y, dtype=np.float64))
    kind = np.result_type(x, y)
    return wide.astype(kind) if kind == np.float32 else wide
