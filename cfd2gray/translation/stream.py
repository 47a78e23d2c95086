"""Frame in, frame out: translation of a live stream with a causal network, at the cost of one frame per frame."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import numpy as np

from cfd2gray.runtimes.network import Advance, Network
from cfd2gray.translation.areas import Area, areas_of
from cfd2gray.translation.composite import blend_weights, composite
from cfd2gray.translation.detail import add_detail
from cfd2gray.translation.motion import Follower, Sight
from cfd2gray.translation.view import COLOURED, View
from data_pipeline.schema import BOX
from data_pipeline.screen.analysis import LiveMasks
from data_pipeline.screen.hidden import hidden_mask

REVIEW = 24
"""Frames after which the first decisions about sector and box are made again, and again while no colour is seen."""
LAG = 12
"""Frames after which such decisions hold: another thread makes them and readies the network while frames go on."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Sector:
    """One sector with colour: its network, which remembers, and its hidden pixels followed, where its result is enlarged."""

    area: Area
    advance: Advance
    follower: Follower | None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Decision:
    """What a stream was taken for, and its sectors with colour; without any nothing is translated."""

    masks: LiveMasks
    sectors: tuple[_Sector, ...] = ()


class Stream:
    """One live clip. ``stream.push(frame)`` returns the translation of that very frame: the delay is one frame.

    Sector, box and tint are decided on ``example`` (a few seconds of the same view, if there are any), else on the first
    frame and once more on the first `REVIEW` frames; a view without colour is looked at again every `REVIEW` frames. The
    box is taken to stand still in between. Frames without colour pass through as luma.

    Args:
      network: A causal one.
      size: Height and width of the frames to come: the network is made ready for them before the first one.
      example: uint8 ``[T, H, W, 3]`` RGB.
      texture, detail: See `translator.Translator`.

    Raises:
      ValueError: For weights of a network that sees the future.
    """

    def __init__(
        self,
        network: Network,
        *,
        size: tuple[int, int] | None = None,
        example: np.ndarray | None = None,
        texture: float | None = None,
        detail: bool = True,
    ):
        weights = network.weights
        if not weights.spec.causal:
            raise ValueError(
                f"{weights.name}: this network looks at later frames, so it cannot stream; train one with "
                "--config.model.causal=True (--config.init=RUN starts it from these weights)"
            )
        self._network, self._texture, self._detail = network, texture, detail
        self._decision: _Decision | None = None
        self._number = -1
        """Of the last frame."""
        self._recent: list[np.ndarray] = []
        self._reviewed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="review")
        self._coming: tuple[int, Future[_Decision]] | None = None
        """Frames until the next decision holds, and the decision."""
        if size is not None:
            self._prepare(*size)
        if example is not None:
            self._decision = self._decided(np.asarray(example), None)
            self._reviewed = True

    @property
    def kind(self) -> str:
        """What the stream was last taken for; see `data_pipeline.screen.analysis.FlowAnalysis`."""
        return "unknown" if self._decision is None else self._decision.masks.kind

    def push(self, frame: np.ndarray) -> np.ndarray:
        """uint8 ``[H, W, 3]`` RGB -> uint8 ``[H, W]``; every frame of a stream has the same size."""
        frame = np.ascontiguousarray(frame)
        self._number += 1
        if self._decision is None:
            self._decision = self._decided(frame[None], None)
        strata = self._decision.masks.strata(frame)  # before the review: it says so if the size is another one
        if self._review(frame):
            strata = self._decision.masks.strata(frame)
        untouched = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        masks, result = self._decision.masks, untouched.copy()
        hidden = hidden_mask(strata[None], frame[None], tint=masks.tint) if self._decision.sectors else None
        for sector in self._decision.sectors:
            area, view, mine = sector.area, sector.area.view, hidden * sector.area.sector
            grey = sector.advance(*view.shrink(frame[None], mine, sector=area.sector))
            y, x = view.rows, view.columns
            feather = max(1, round(self._network.weights.settings["feather"] / view.scale))
            weights = blend_weights(mine[:, y, x], strata[None, y, x] & BOX, feather=feather)
            merged = composite(untouched[None, y, x].astype(np.float32), 255.0 * view.enlarge(grey), weights)
            if sector.follower is not None:
                past = Sight(*(found[None] for found in sector.follower.push(untouched[y, x], mine[0, y, x])))
                add_detail(merged, mine[:, y, x], past, past.none(), runtime=self._network.runtime)
            if (speckle := area.speckle()) is not None:
                speckle.draw(merged, weights, view, self._number)
            np.copyto(result[y, x], np.rint(np.clip(merged[0], 0, 255)).astype(np.uint8), where=area.sector[y, x])
        return result

    def _prepare(self, height: int, width: int) -> None:
        """Make the network ready for a box over the middle half of either axis; other sizes are quicker afterwards too."""
        box = np.zeros((height, width), bool)
        box[height // 4 : -(-3 * height // 4), width // 4 : -(-3 * width // 4)] = True
        view = View.around(box, np.ones_like(box), self._network.weights)
        self._network.live(view.height, view.width)

    def _review(self, frame: np.ndarray) -> bool:
        """Collect frames and have them looked at; True where another decision holds from this frame on."""
        if self._coming is not None:
            left, decision = self._coming
            self._coming = (left - 1, decision) if left > 1 else None
            if self._coming is None:
                self._decision = decision.result()
                return True
        elif not self._reviewed or not self._decision.sectors:
            self._recent.append(frame.copy())  # callers use one buffer for all frames
            if len(self._recent) == REVIEW:
                self._coming = LAG, self._thread.submit(self._decided, np.stack(self._recent), self._decision)
                self._recent, self._reviewed = [], True
        return False

    def _decided(self, frames: np.ndarray, before: _Decision | None) -> _Decision:
        masks = LiveMasks(frames)
        if masks.kind not in COLOURED or not masks.box.any():
            return _Decision(masks=masks)
        areas = areas_of(
            masks.box,
            masks.sector,
            self._network.weights,
            geometry=masks.geometry,
            frames=frames,
            texture=self._texture,
        )
        known = before.sectors if before is not None else ()
        if [area.view for area in areas] == [sector.area.view for sector in known]:
            same = (dataclasses.replace(sector, area=area) for area, sector in zip(areas, known))
            return _Decision(masks=masks, sectors=tuple(same))
        # What was remembered lies elsewhere.
        sectors = tuple(
            _Sector(
                area=area,
                advance=self._network.live(area.view.height, area.view.width),
                follower=Follower() if self._detail and area.view.scale < 1.0 else None,
            )
            for area in areas
        )
        return _Decision(masks=masks, sectors=sectors)
