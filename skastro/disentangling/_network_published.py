"""The networks of the thesis, to compare with."""

#: What both have in common: every bin, SELU, Adam at a constant, low learning rate.
_BOTH = {
    "n_components": 20,
    "variational": False,
    "input_scaling": (4.0, -3.5),
    "noise": 0.0,
    "encoder_layer_sizes": (2048, 512, 128, 32),
    "decoder_layer_sizes": (512, 2048, 8192),
    "activation": "selu",
    "lr": 1e-5,
    "adversary_lr": 1e-5,
    "lr_schedule": "constant",
    "weight_decay": 0.0,
    "clip_gradient_norm": None,
    "batch_size": 256,
    "max_epochs": 20_000,
}

#: Architecture and recipe of the thesis; see :class:`FaderDisentangler`.
PUBLISHED_FADER_PARAMETERS = {
    **_BOTH,
    "disentangle_weight": 1e-5,
    "auxiliary_layer_sizes": (512, 256),
    "auxiliary_sees_labels": False,
    "n_label_bins": 30,
    "label_binning": "uniform",
}

#: Architecture and recipe of the thesis; see :class:`FactorDisentangler`.
PUBLISHED_FACTOR_PARAMETERS = {
    **_BOTH,
    "disentangle_weight": 1e-4,
    "critic_layer_sizes": (4096, 1024, 512, 128, 32),
    "n_critic": 10,
    "gradient_penalty": 10.0,
    "recast_residuals": False,
}
