"""Which networks an emulator is made of, and what each of them learns from."""

from numbers import Integral


class ModuleParameters:
    """Mixin: a parameter ``module__<name>`` reaches into ``module_params``."""

    def get_params(self, deep=True):
        """Get the parameters; ``deep`` lists ``module_params`` one by one too."""
        params = super().get_params(deep)
        if deep and isinstance(self.module_params, dict):
            params |= {f"module__{k}": v for k, v in self.module_params.items()}
        return params

    def set_params(self, **params):
        """Set parameters; ``module__<name>`` sets an entry of ``module_params``."""
        prefix = "module__"
        inner = {k: params.pop(k) for k in list(params) if k.startswith(prefix)}
        super().set_params(**params)
        if inner:
            inner = {k.removeprefix(prefix): v for k, v in inner.items()}
            self.module_params = (self.module_params or {}) | inner
        return self


def output_groups(emulator):
    """Return the outputs that each network of a member predicts, as slices."""
    if emulator.separate_outputs:
        return [slice(i, i + 1) for i in range(emulator.n_outputs_)]
    return [slice(0, emulator.n_outputs_)]


def architecture(emulator, group):
    """Return the class and the arguments of a network for a group of outputs.

    Parameters
    ----------
    emulator : EmulatorRegressor
        Whose numbers of features and outputs are known.
    group : slice
        Of outputs.

    Returns
    -------
    module : type of torch.nn.Module
    arguments : dict

    Raises
    ------
    ValueError
        If parameters of the architecture do not fit each other.
    """
    shape = {
        "n_features": emulator.n_features_in_,
        "n_outputs": group.stop - group.start,
    }
    if emulator.module is not None:
        return emulator.module, (emulator.module_params or {}) | shape
    if emulator.module_params:
        raise ValueError(
            f"`module_params` is {emulator.module_params!r}, but `module` is None; they"
            " are the arguments of a network class of your own."
        )
    sizes = tuple(emulator.hidden_layer_sizes)
    if not sizes or not all(isinstance(s, Integral) and s > 0 for s in sizes):
        raise ValueError(
            "`hidden_layer_sizes` must hold one or more positive integers, got"
            f" {emulator.hidden_layer_sizes!r}."
        )
    from ._networks import MultilayerPerceptron

    return MultilayerPerceptron, shape | {
        "hidden_layer_sizes": [int(size) for size in sizes],
        "activation": emulator.activation,
    }


def held_out(emulator, n_samples, rng):
    """Return row indices for training and, for early stopping, for validation."""
    if not emulator.early_stopping:
        return slice(None), None
    n_validation = max(1, round(emulator.validation_fraction * n_samples))
    if n_validation >= n_samples:
        raise ValueError(
            f"`validation_fraction`={emulator.validation_fraction} of {n_samples}"
            " samples leaves none to train on."
        )
    order = rng.permutation(n_samples)
    return order[n_validation:], order[:n_validation]
