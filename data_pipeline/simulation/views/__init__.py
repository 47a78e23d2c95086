"""The ten views of the simulator; `VIEWS` maps a view's name to its `ViewSpec`."""

from data_pipeline.simulation.views.abdomen import KIDNEY, LIVER
from data_pipeline.simulation.views.anatomy import Anatomy, Leaflet, Motion, ViewSpec
from data_pipeline.simulation.views.apical import A2C, A3C
from data_pipeline.simulation.views.four_chamber import A4C
from data_pipeline.simulation.views.parasternal import PLAX, PSAX
from data_pipeline.simulation.views.through_tissue import FETAL_4CH, SUBCOSTAL
from data_pipeline.simulation.views.vascular import CAROTID_LONG

VIEWS: dict[str, ViewSpec] = {
    spec.name: spec for spec in (A4C, A2C, A3C, PLAX, PSAX, SUBCOSTAL, FETAL_4CH, CAROTID_LONG, KIDNEY, LIVER)
}

__all__ = ["VIEWS", "Anatomy", "Leaflet", "Motion", "ViewSpec"]
