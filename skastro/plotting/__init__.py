"""Pictures, as scikit-learn's Display classes; matplotlib is imported when drawing."""

from ._emulation import EmulatorErrorDisplay
from ._label_errors import LabelErrorDisplay
from ._label_spectrum import LabelSpectrumDisplay
from ._likeness import DimensionalityDisplay, DoppelgangerDisplay, RelevanceDisplay
from ._line_maps import ComponentMapsDisplay, EnsembleDisplay
from ._many_objects import JointCoverageDisplay, ParameterMapsDisplay, RankDisplay
from ._retrieval import CornerDisplay, PosteriorPredictiveDisplay
from ._twins import RecastDisplay, TwinDistanceDisplay, TwinRecoveryDisplay

__all__ = [
    "ComponentMapsDisplay",
    "CornerDisplay",
    "DimensionalityDisplay",
    "DoppelgangerDisplay",
    "EmulatorErrorDisplay",
    "EnsembleDisplay",
    "JointCoverageDisplay",
    "LabelErrorDisplay",
    "LabelSpectrumDisplay",
    "ParameterMapsDisplay",
    "PosteriorPredictiveDisplay",
    "RankDisplay",
    "RecastDisplay",
    "RelevanceDisplay",
    "TwinDistanceDisplay",
    "TwinRecoveryDisplay",
]
