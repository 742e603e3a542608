"""Spectra made ready for the estimators."""

from ._interstellar import InterstellarMasker
from ._pixels import censor_pixels

__all__ = ["InterstellarMasker", "censor_pixels"]
