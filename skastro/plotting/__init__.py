"""Pictures, as scikit-learn's Display classes; matplotlib is imported when drawing."""

from ._emulation import EmulatorErrorDisplay
from ._likeness import DimensionalityDisplay, DoppelgangerDisplay, RelevanceDisplay
from ._retrieval import CornerDisplay, PosteriorPredictiveDisplay
from ._twins import RecastDisplay, TwinDistanceDisplay, TwinRecoveryDisplay

__all__ = [
    "CornerDisplay",
    "DimensionalityDisplay",
    "DoppelgangerDisplay",
    "EmulatorErrorDisplay",
    "PosteriorPredictiveDisplay",
    "RecastDisplay",
    "RelevanceDisplay",
    "TwinDistanceDisplay",
    "TwinRecoveryDisplay",
]
