"""Files: fitted estimators without pickle."""

from ._estimators import load_estimator, save_estimator

__all__ = ["load_estimator", "save_estimator"]
