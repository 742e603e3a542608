"""Retrieval: from observed lines to the posterior of physical parameters."""

from ._posterior import Posterior, Posteriors
from ._retrieval import BayesianRetrieval

__all__ = ["BayesianRetrieval", "Posterior", "Posteriors"]
