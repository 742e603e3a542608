"""Representations of spectra that are independent of known labels."""

from ._factor_analysis import ConditionalFactorAnalysis
from ._poly import PolyDisentangler

__all__ = ["ConditionalFactorAnalysis", "PolyDisentangler"]
