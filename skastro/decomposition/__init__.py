"""Matrix factorisations of spectra and line maps."""

from ._line_map_nmf import LineMapNMF
from ._line_map_nmf_ensemble import LineMapNMFEnsemble
from ._probabilistic_pca import ProbabilisticPCA

__all__ = ["LineMapNMF", "LineMapNMFEnsemble", "ProbabilisticPCA"]
