"""Labels of stars, such as temperature and abundances, from spectra or latents."""

from ._label_regressor import LabelRegressor
from ._latent_regressor import LatentRegressor
from ._published import PUBLISHED_CANNON_PARAMETERS

__all__ = ["PUBLISHED_CANNON_PARAMETERS", "LabelRegressor", "LatentRegressor"]
