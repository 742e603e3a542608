"""skastro: scikit-learn compatible estimators for astronomical spectra.

Importing skastro imports none of its dependencies: estimators and subpackages come
when they are first named.
"""

import importlib

__version__ = "0.1.0.dev0"

_ESTIMATORS = {
    "BayesianRetrieval": "retrieval",
    "ConditionalFactorAnalysis": "disentangling",
    "EmulatorRegressor": "emulation",
    "FactorDisentangler": "disentangling",
    "FaderDisentangler": "disentangling",
    "LabelRegressor": "labels",
    "LatentRegressor": "labels",
    "LineMapNMF": "decomposition",
    "LineMapNMFEnsemble": "decomposition",
    "PolyDisentangler": "disentangling",
    "ProbabilisticPCA": "decomposition",
    "RSCA": "metric_learning",
    "RetrievalTransformer": "retrieval",
}
_SUBPACKAGES = [
    "datasets",
    "decomposition",
    "disentangling",
    "emulation",
    "io",
    "labels",
    "metric_learning",
    "metrics",
    "model_selection",
    "molecular",
    "parameter_space",
    "plotting",
    "preprocessing",
    "retrieval",
    "testing",
]

__all__ = [  # noqa: F822
    "RSCA",
    "BayesianRetrieval",
    "ConditionalFactorAnalysis",
    "EmulatorRegressor",
    "FactorDisentangler",
    "FaderDisentangler",
    "LabelRegressor",
    "LatentRegressor",
    "LineMapNMF",
    "LineMapNMFEnsemble",
    "PolyDisentangler",
    "ProbabilisticPCA",
    "RetrievalTransformer",
    "__version__",
]


def __getattr__(name):
    if name in _ESTIMATORS:
        module = importlib.import_module(f"skastro.{_ESTIMATORS[name]}")
        return getattr(module, name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"skastro.{name}")
    raise AttributeError(f"module 'skastro' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_ESTIMATORS, *_SUBPACKAGES])
