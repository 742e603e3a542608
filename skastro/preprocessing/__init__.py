"""Spectra made ready for the estimators."""

from ._conditions import append_conditions
from ._interstellar import InterstellarMasker
from ._pixels import censor_pixels

__all__ = ["InterstellarMasker", "append_conditions", "censor_pixels"]
