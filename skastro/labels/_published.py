"""The Cannon as it was published, to compare with."""

#: The quadratic model of Ness et al. 2015; see :class:`LabelRegressor`.
PUBLISHED_CANNON_PARAMETERS = {
    "degree": 2,
    "shrinkage": False,
    "n_components": None,
    "residual_components": 0,
    "prior": None,
    "calibrate": False,
}
