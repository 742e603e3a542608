"""Find every public estimator of the package."""

import importlib
import inspect
import pkgutil

from sklearn.base import BaseEstimator


def all_estimators():
    """List the public estimators of skastro.

    Returns
    -------
    estimators : list of (str, type)
        Name and class of everything that is named in a subpackage's ``__all__`` and
        has a ``fit``, by name.

    Examples
    --------
    >>> from skastro.testing import all_estimators
    >>> [name for name, _ in all_estimators()][:2]
    ['AbundanceEmulator', 'BayesianRetrieval']
    """
    import skastro

    found = {}
    for module in pkgutil.iter_modules(skastro.__path__, "skastro."):
        if module.name.rsplit(".", 1)[1].startswith("_"):
            continue
        package = importlib.import_module(module.name)
        for name in getattr(package, "__all__", ()):
            value = getattr(package, name)
            if (
                inspect.isclass(value)
                and issubclass(value, BaseEstimator)
                and hasattr(value, "fit")
                and not inspect.isabstract(value)
            ):
                found[name] = value
    return sorted(found.items())
