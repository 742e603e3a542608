"""Real and synthetic data."""

from ._apogee import fetch_apogee
from ._clusters import make_open_clusters
from ._galaxies import (
    chemical_prior,
    gas_prior,
    load_ngc1068,
    load_synthetic_galaxy,
)

__all__ = [
    "chemical_prior",
    "fetch_apogee",
    "gas_prior",
    "load_ngc1068",
    "load_synthetic_galaxy",
    "make_open_clusters",
]
