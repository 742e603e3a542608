"""The emulators of the thesis, to compare with."""

#: Architecture and recipe of the thesis; see :class:`EmulatorRegressor`.
PUBLISHED_PARAMETERS = {
    "hidden_layer_sizes": (200, 100, 50),
    "activation": "relu",
    "loss": "squared_error",
    "optimizer": "adam",
    "lr": 1e-3,
    "lr_schedule": "constant",
    "batch_size": 500,
    "max_epochs": 20,
    "clip_gradient_norm": None,
    "feature_scaling": "minmax",
    "target_scaling": "minmax",
    "separate_outputs": True,
}
