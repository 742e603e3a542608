"""Pictures, as scikit-learn's Display classes; matplotlib is imported when drawing."""

from ._emulation import EmulatorErrorDisplay
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
    "ParameterMapsDisplay",
    "PosteriorPredictiveDisplay",
    "RankDisplay",
    "RecastDisplay",
    "RelevanceDisplay",
    "TwinDistanceDisplay",
    "TwinRecoveryDisplay",
]
