"""Metrics of chemical likeness, learned from stars born together."""

from ._nuisance import NuisanceProjection
from ._rsca import RSCA

__all__ = ["RSCA", "NuisanceProjection"]
