"""Random-access sources of pair records, and their deterministic mixture.

A source has ``len``, ``source[i] -> PairRecord``, ``source.ids(i)`` (the clip's manifest row, without decoding) and
``source.digest`` (names the data); where it can, also ``source.stored(i)``: a record that decompresses only the pictures
that are asked for. `tfrecord.ShardSource` is the usual one.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from data_pipeline.loading.transforms import Sample
from data_pipeline.records.example import StoredPair
from data_pipeline.records.manifest import ClipRow
from data_pipeline.schema import VIEWS, PairRecord

PERIOD = 1000
"""Places of a mixture's pattern: weights are honoured to 1/1000."""
TARGETS = ("any", "shared", "restored")
"""Kinds of target a selection can ask for."""


def check_targets(targets: str) -> None:
    if targets not in TARGETS:
        raise ValueError(f"targets must be one of {', '.join(TARGETS)}; got {targets!r}")


class RecordSource(Protocol):
    """What the loader reads from. Implementations are picklable and safe to read from several threads."""

    @property
    def digest(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> PairRecord: ...
    def ids(self, index: int) -> ClipRow: ...


class Selection:
    """Those clips of a source that show one of some views and have one kind of target.

    Args:
      source: Where the clips are.
      views: Views to keep; none given: all of them.
      targets: ``shared`` (the B-mode under the colour), ``restored`` (a dedicated one) or ``any``.

    Raises:
      ValueError: A view or kind of target that the schema does not know, or no clip is left.
    """

    def __init__(self, source: RecordSource, *, views: Sequence[str] = (), targets: str = "any") -> None:
        unknown = sorted(set(views) - set(VIEWS))
        if unknown:
            raise ValueError(f"views must be among {', '.join(VIEWS)}; got {', '.join(unknown)}")
        check_targets(targets)
        self._source, self._views, self._targets = source, tuple(views), targets
        rows = ((i, source.ids(i)) for i in range(len(source)))
        self._index = [
            i for i, row in rows
            if (not views or row.view in views) and (targets == "any" or row.shared == (targets == "shared"))
        ]  # fmt: skip
        if not self._index:
            raise ValueError(f"the data hold no clip with {self._asked}; pack some, or ask for others")

    @property
    def _asked(self) -> str:
        return f"views {', '.join(self._views) or 'any'} and targets {self._targets}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self._source.digest}\n{self._asked}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"Selection({self._source!r}, {self._asked})"

    def __getitem__(self, index: int) -> PairRecord:
        return self._source[self._index[index]]

    def stored(self, index: int) -> PairRecord | StoredPair:
        return stored(self._source, self._index[index])

    def ids(self, index: int) -> ClipRow:
        return self._source.ids(self._index[index])


def stored(source: RecordSource, index: int) -> PairRecord | StoredPair:
    """A record of a source, not yet decompressed where that can wait."""
    own = getattr(source, "stored", None)
    return source[index] if own is None else own(index)


class Mixture:
    """Sources mixed by weight: element ``i`` is a pure function of ``i``, so shuffling and resuming stay exact.

    A fixed pattern of `PERIOD` places, as even as the weights allow, says which source each place is drawn from. The
    length is such that every clip of every source appears at least once; shorter sources are repeated.

    Args:
        parts: ``(source, weight)``; weights are positive and need not sum to 1.
    """

    def __init__(self, parts: Sequence[tuple[RecordSource, float]]) -> None:
        self.sources = tuple(source for source, _ in parts)
        weights = np.array([weight for _, weight in parts], float)
        if not parts or not (weights > 0).all() or not np.isfinite(weights).all():
            raise ValueError(
                f"a mixture needs at least one source, each with a positive weight, got {weights.tolist()}"
            )
        if any(len(source) == 0 for source in self.sources):
            raise ValueError("a mixture's sources must not be empty; leave the empty one out")
        self.weights = weights / weights.sum()
        # At each place the source that lags furthest behind its weight.
        given = np.zeros(len(parts))
        pattern, before = np.empty(PERIOD, np.int64), np.empty(PERIOD, np.int64)
        for place in range(PERIOD):
            chosen = int(np.argmax(self.weights * (place + 1) - given))
            pattern[place], before[place] = chosen, given[chosen]
            given[chosen] += 1
        if (given == 0).any():
            raise ValueError(f"a weight must be at least 1/{PERIOD} of their sum, got {weights.tolist()}")
        self._pattern, self._before, self._given = pattern, before, given.astype(np.int64)
        self._length = max(self._places_for(number) for number in range(len(parts)))

    def _places_for(self, number: int) -> int:
        """Places until source ``number`` was drawn from as often as it has clips."""
        rounds, rest = divmod(len(self.sources[number]) - 1, int(self._given[number]))
        return rounds * PERIOD + int(np.flatnonzero(self._pattern == number)[rest]) + 1

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"Mixture({', '.join(f'{w:.3f} x {s!r}' for s, w in zip(self.sources, self.weights))})"

    def _locate(self, index: int) -> tuple[RecordSource, int]:
        if not 0 <= index < self._length:
            raise IndexError(f"clip {index} of {self._length}")
        rounds, place = divmod(index, PERIOD)
        number = int(self._pattern[place])
        source = self.sources[number]
        return source, (rounds * int(self._given[number]) + int(self._before[place])) % len(source)

    def __getitem__(self, index: int) -> PairRecord:
        source, own = self._locate(index)
        return source[own]

    def stored(self, index: int) -> PairRecord | StoredPair:
        return stored(*self._locate(index))

    def ids(self, index: int) -> ClipRow:
        source, own = self._locate(index)
        return source.ids(own)

    @property
    def digest(self) -> str:
        text = "\n".join(f"{weight:.9f} {source.digest}" for source, weight in zip(self.sources, self.weights))
        return hashlib.sha256(f"mixture\n{text}".encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Indexed:
    """A source of `transforms.Sample`: each record with its position, so that a batch can be traced to its clips.

    ``length`` may exceed the source's; what lies beyond repeats clips with ``mask`` 0 (padding for evaluation).
    """

    source: RecordSource
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        own = int(index) % len(self.source)
        return Sample(record=stored(self.source, own), index=own, mask=float(index < len(self.source)))
