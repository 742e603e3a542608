"""Representations of spectra that are independent of known labels."""

from ._factor import FactorDisentangler
from ._factor_analysis import ConditionalFactorAnalysis
from ._fader import FaderDisentangler
from ._network_published import PUBLISHED_FACTOR_PARAMETERS, PUBLISHED_FADER_PARAMETERS
from ._poly import PolyDisentangler

__all__ = [
    "PUBLISHED_FACTOR_PARAMETERS",
    "PUBLISHED_FADER_PARAMETERS",
    "ConditionalFactorAnalysis",
    "FactorDisentangler",
    "FaderDisentangler",
    "PolyDisentangler",
]
