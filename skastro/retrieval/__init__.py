"""Retrieval: from observed lines to the posterior of physical parameters."""

from ._posterior import Posterior
from ._posterior_collection import Posteriors
from ._retrieval import BayesianRetrieval
from ._transformer import RetrievalTransformer

__all__ = ["BayesianRetrieval", "Posterior", "Posteriors", "RetrievalTransformer"]
