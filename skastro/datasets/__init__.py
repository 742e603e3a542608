"""Real and synthetic data."""

from ._galaxies import gas_prior, load_ngc1068, load_synthetic_galaxy

__all__ = ["gas_prior", "load_ngc1068", "load_synthetic_galaxy"]
