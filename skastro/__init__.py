"""skastro: scikit-learn compatible estimators for astronomical spectra.

Importing skastro imports none of its dependencies: estimators and subpackages come
when they are first named.
"""

import importlib

__version__ = "0.1.0.dev0"

_ESTIMATORS = {
    "BayesianRetrieval": "retrieval",
    "EmulatorRegressor": "emulation",
}
_SUBPACKAGES = [
    "datasets",
    "emulation",
    "io",
    "metrics",
    "molecular",
    "parameter_space",
    "plotting",
    "retrieval",
    "testing",
]

__all__ = ["BayesianRetrieval", "EmulatorRegressor", "__version__"]  # noqa: F822


def __getattr__(name):
    if name in _ESTIMATORS:
        module = importlib.import_module(f"skastro.{_ESTIMATORS[name]}")
        return getattr(module, name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"skastro.{name}")
    raise AttributeError(f"module 'skastro' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_ESTIMATORS, *_SUBPACKAGES])
