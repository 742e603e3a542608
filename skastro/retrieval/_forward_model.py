"""Forward models of every kind, asked in one way."""

import copy
import warnings
from functools import partial

import numpy as np

from ..utils.predictive_spread import has_spread
from ..utils.suggestions import closest


class ForwardModel:
    """A forward model and its prior, matched to each other.

    Parameters
    ----------
    model : callable or estimator
        As for :class:`BayesianRetrieval`.
    prior : ParameterSpace
        The prior.

    Raises
    ------
    ValueError
        If names, units or ranges of model and prior do not agree.
    """

    def __init__(self, model, prior):
        policy = getattr(model, "extrapolation", "ignore")
        minds_domain = hasattr(model, "in_domain") and policy != "ignore"
        if minds_domain:
            # an emulator that may not extrapolate says NaN where it knows nothing
            model = copy.copy(model)
            model.extrapolation = "nan"
        self._model = model
        self._prior = prior
        self._order = self._match_prior()
        if minds_domain:
            self._check_domain()

    @property
    def nonnegative(self):
        """Whether the model's predictions cannot be negative."""
        return getattr(self._model, "nonnegative_output", False)

    def __call__(self, theta, X):
        """Predict rows of ``X``.

        Parameters
        ----------
        theta : ndarray of shape (n_draws, n_parameters)
            Parameters, in the prior's order.
        X : ndarray of shape (n_rows, n_features)
            Lines or channels.

        Returns
        -------
        predictions : ndarray of shape (n_draws, n_rows)

        Raises
        ------
        ValueError
            If the model returns another shape.
        """
        return self.predict(theta, X)[0]

    @property
    def has_spread(self):
        """Whether the model states its own error."""
        return hasattr(self._model, "predict") and has_spread(self._model)

    def predict(self, theta, X, return_std=False):
        """Predict rows of ``X`` and, if asked, the model's own error of them.

        Parameters
        ----------
        theta : ndarray of shape (n_draws, n_parameters)
            Parameters, in the prior's order.
        X : ndarray of shape (n_rows, n_features)
            Lines or channels.
        return_std : bool, default=False
            Whether to ask for the error.

        Returns
        -------
        predictions : ndarray of shape (n_draws, n_rows)
        std : ndarray of shape (n_draws, n_rows) or None
        """
        std = None
        if hasattr(self._model, "predict"):
            columns = X[:, 0].astype(int)
            if return_std:
                predicted, std = self._outputs(theta, return_std=True)
                std = std[:, columns]
            else:
                predicted = self._outputs(theta)
            predicted = predicted[:, columns]
        else:
            predicted = np.asarray(self._model(theta, X), dtype=float)
        if predicted.shape != (len(theta), len(X)):
            raise ValueError(
                f"`forward_model` must return shape ({len(theta)}, {len(X)}),"
                f" (n_draws, n_rows); it returned {predicted.shape}."
            )
        return predicted, std

    def row_names(self, X):
        """Name the rows of ``X`` in messages."""
        names = getattr(self._model, "output_names", None)
        if names is None:
            return [f"row {i}" for i in range(len(X))]
        return [names[int(i)] for i in X[:, 0]]

    def _outputs(self, theta, return_std=False):
        """Return all outputs of a model with ``predict``, (n_draws, n_outputs)."""
        shape = len(theta), -1
        if not return_std:
            return np.asarray(self._ask(self._model.predict, theta)).reshape(shape)
        pair = self._ask(partial(self._model.predict, return_std=True), theta)
        return tuple(np.asarray(part).reshape(shape) for part in pair)

    def _ask(self, method, theta):
        """Call a method of the model with the parameters in its own order."""
        if self._order is not None:
            theta = theta[:, self._order]
        if not hasattr(self._model, "feature_names_in_"):
            return method(theta)
        with warnings.catch_warnings():
            # the columns were matched by name, once
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            return method(theta)

    def check_rows(self, X):
        """Check that ``X`` picks outputs that the model has."""
        if not hasattr(self._model, "predict"):
            return
        probe = self._prior.transform(np.full((1, len(self._prior)), 0.5))
        n_outputs = self._outputs(probe).shape[1]
        if X.shape[1] != 1:
            raise ValueError(
                "With a forward model that has `predict`, `X` must have one column, the"
                f" positions of the observed outputs; got {X.shape[1]} columns. Use"
                " `forward_model.encode_lines([...])` where it has that."
            )
        positions = X[:, 0]
        wrong = (positions != np.round(positions)) | (positions < 0)
        wrong |= positions >= n_outputs
        if wrong.any():
            raise ValueError(
                f"`X` must hold positions among the {n_outputs} outputs of"
                f" `forward_model`, 0 to {n_outputs - 1}; got"
                f" {positions[wrong][0]:g}."
            )

    def _match_prior(self):
        """Match the prior to the model's parameters; return their order."""
        model, prior = self._model, self._prior
        names = getattr(model, "parameter_names", None)
        if names is None:
            names = getattr(model, "feature_names_in_", None)
        if names is None:
            return None
        names = list(names)
        for name in names:
            if name not in prior.names:
                raise ValueError(
                    f"`prior` lacks {name!r}, a parameter of `forward_model`, which"
                    f" takes {names}." + closest(name, prior.names)
                )
        extra = [name for name in prior.names if name not in names]
        if extra:
            raise ValueError(
                f"`prior` has {extra}, which `forward_model` does not take; it takes"
                f" {names}."
            )
        self._check_units(names, getattr(model, "parameter_units", None))
        return [prior.names.index(name) for name in names]

    def _check_units(self, names, units):
        """Compare the units of prior and forward model."""
        if units is None:
            return
        from astropy import units as u

        for name, unit in zip(names, units, strict=True):
            own = self._prior[name].unit
            try:
                u.Unit(own)
            except ValueError as error:
                raise ValueError(
                    f"`prior` gives {name!r} in {own!r}, which is no unit that astropy"
                    f" knows; `forward_model` takes it in {unit!r}."
                ) from error
            if u.Unit(own) != u.Unit(unit):
                raise ValueError(
                    f"`prior` gives {name!r} in {own or 'no unit'}, but `forward_model`"
                    f" takes it in {unit or 'no unit'}; give its bounds in that unit."
                )

    def _check_domain(self):
        """Check that the prior stays where an emulator has learned."""
        theta = self._prior.sample_latin_hypercube(2048, random_state=0)
        inside = self._ask(self._model.in_domain, theta)
        outside = 1 - np.mean(inside)
        if outside > 0.01:
            raise ValueError(
                "`prior` reaches outside the range that `forward_model` has learned, by"
                f" {100 * outside:.0f} % of its volume{self._who(theta, inside)}. An"
                " emulator only interpolates: narrow the prior, or train the emulator"
                " on a design of this prior."
            )

    def _who(self, theta, inside):
        """Name the parameters whose values near an end are all outside."""
        if not inside.any():
            return ""
        u = self._prior.inverse_transform(theta)
        lowest, highest = u[inside].min(axis=0), u[inside].max(axis=0)
        words = []
        for i, name in enumerate(self._prior.names):
            values, unit = theta[inside, i], self._prior[name].unit
            unit = f" {unit}" if unit else ""
            if lowest[i] > 0.01:
                words.append(f"{name} below {values.min():.4g}{unit}")
            if highest[i] < 0.99:
                words.append(f"{name} above {values.max():.4g}{unit}")
        return f" ({', '.join(words)})" if words else ""
