"""Spectra made ready for the estimators."""

from ._conditions import append_conditions
from ._continuum import ContinuumNormalizer
from ._interstellar import InterstellarMasker
from ._pixels import censor_pixels

__all__ = [
    "ContinuumNormalizer",
    "InterstellarMasker",
    "append_conditions",
    "censor_pixels",
]
