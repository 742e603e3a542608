"""Spectra made ready for the estimators."""

from ._air import air_to_vacuum, vacuum_to_air
from ._conditions import append_conditions
from ._continuum import ContinuumNormalizer
from ._interstellar import InterstellarMasker
from ._pixels import censor_pixels
from ._resampling import SpectrumResampler
from ._resolution import ResolutionMatcher
from ._sigma_unpacker import SigmaUnpacker
from ._velocity import VelocityShifter

__all__ = [
    "ContinuumNormalizer",
    "InterstellarMasker",
    "ResolutionMatcher",
    "SigmaUnpacker",
    "SpectrumResampler",
    "VelocityShifter",
    "air_to_vacuum",
    "append_conditions",
    "censor_pixels",
    "vacuum_to_air",
]
