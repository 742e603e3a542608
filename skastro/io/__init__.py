"""Files: spectra of surveys, and fitted estimators without pickle."""

from ._apogee import read_apogee
from ._estimators import load_estimator, save_estimator

__all__ = ["load_estimator", "read_apogee", "save_estimator"]
