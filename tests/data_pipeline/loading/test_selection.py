"""A source cut to some views and to one kind of target."""

import dataclasses

import pytest

from cfd2gray.training.data import build_source
from data_pipeline.loading.sources import Selection
from tests.cfd2gray.tiny import tiny_config


@dataclasses.dataclass
class Row:
    view: str
    shared: bool


class Source:
    """Views take turns, and the second half has restored targets."""

    digest = "d"

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return index * 10

    def ids(self, index):
        return Row(("A4C", "KIDNEY")[index % 2], shared=index < 2)


def test_a_source_can_be_cut_to_some_views():
    kidneys = Selection(Source(), views=["KIDNEY"])
    assert [kidneys[i] for i in range(len(kidneys))] == [10, 30]
    assert kidneys.ids(1).view == "KIDNEY"
    assert kidneys.digest != Source.digest


def test_a_source_can_be_cut_to_one_kind_of_target():
    shared, restored = (Selection(Source(), targets=targets) for targets in ("shared", "restored"))
    assert [shared[i] for i in range(len(shared))] == [0, 10]
    assert [restored[i] for i in range(len(restored))] == [20, 30]
    assert len({shared.digest, restored.digest, Selection(Source()).digest}) == 3
    both = Selection(Source(), views=["KIDNEY"], targets="restored")
    assert [both[i] for i in range(len(both))] == [30]


def test_a_selection_of_nothing_and_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no clip with views LIVER"):
        Selection(Source(), views=["LIVER"])
    with pytest.raises(ValueError, match="must be among"):
        Selection(Source(), views=["LIVRE"])
    with pytest.raises(ValueError, match="must be one of any, shared, restored"):
        Selection(Source(), targets="duplex")


@pytest.mark.parametrize("kind", ["simulation", "painted"])
def test_clips_made_while_training_have_the_wanted_target(kind):
    for targets, wanted in (("shared", {True}), ("restored", {False}), ("any", {True, False})):
        config = tiny_config(f"data.mixture=(('{kind}', 1.0),)", "data.simulated_clips=40", f"data.targets={targets}")
        source = build_source(config, "train")
        assert {source.ids(i).shared for i in range(len(source))} == wanted


def test_a_config_mixes_its_sources():
    parts = "data.mixture=(('simulation', 0.75), ('painted', 0.25))"
    source = build_source(tiny_config(parts, "data.simulated_clips=8"), "train")
    kinds = [source.ids(i).kind for i in range(len(source))]
    assert set(kinds) == {"simulated", "painted"}
    assert kinds.count("simulated") == pytest.approx(0.75 * len(kinds), abs=1)
