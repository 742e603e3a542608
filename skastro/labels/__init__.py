"""Labels of stars, such as temperature and abundances, from their spectra."""

from ._label_regressor import LabelRegressor
from ._published import PUBLISHED_CANNON_PARAMETERS

__all__ = ["PUBLISHED_CANNON_PARAMETERS", "LabelRegressor"]
