"""Matrix factorisations of spectra and line maps."""

from ._probabilistic_pca import ProbabilisticPCA

__all__ = ["ProbabilisticPCA"]
