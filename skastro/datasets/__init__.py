"""Real and synthetic data."""

from ._apogee import fetch_apogee
from ._chemistry import load_uclchem_grid
from ._clusters import make_open_clusters
from ._galaxies import load_ngc1068, load_synthetic_galaxy
from ._line_formation import LineFormation
from ._line_maps import make_line_maps
from ._priors import chemical_prior, gas_prior
from ._twins import make_twin_spectra

__all__ = [
    "LineFormation",
    "chemical_prior",
    "fetch_apogee",
    "gas_prior",
    "load_ngc1068",
    "load_synthetic_galaxy",
    "load_uclchem_grid",
    "make_line_maps",
    "make_open_clusters",
    "make_twin_spectra",
]
