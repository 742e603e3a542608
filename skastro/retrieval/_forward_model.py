"""Forward models of every kind, asked in one way."""

import contextlib
import copy
import warnings
from functools import partial
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from ..molecular import OverlapWarning
from ..utils.emulator_range import ExtrapolationWarning
from ..utils.predictive_spread import has_spread
from ..utils.suggestions import closest
from ..utils.warn import warn


class Predictions(NamedTuple):
    """What a forward model says of a batch of parameters."""

    #: of shape (n_draws, n_rows); NaN where there is no solution
    mean: np.ndarray
    #: the model's own error of it, or None
    std: np.ndarray | None
    #: of shape (n_draws,): NaN because an emulator has not learned these parameters
    outside: np.ndarray


@contextlib.contextmanager
def _no_word_of_each_batch():
    """Silence what models say of a batch, of which a retrieval has thousands.

    It counts them itself, and tells once.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", ExtrapolationWarning)
        warnings.simplefilter("ignore", OverlapWarning)
        # the columns were matched by name, once
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        yield


def _says_of_batches(model):
    """Tell models of radiative transfer, alone or in others, that warn of batches."""
    inside = model.get_params().values() if hasattr(model, "get_params") else ()
    return any(getattr(part, "may_warn", False) for part in (model, *inside))


class ForwardModel:
    """A forward model and its prior, matched to each other.

    Parameters
    ----------
    model : callable or estimator
        As for :class:`BayesianRetrieval`.
    prior : ParameterSpace
        The prior.
    dear : bool, default=False
        Whether each call of the model counts, so that none is spent on checks.

    Attributes
    ----------
    model : callable or estimator
        The model; an emulator says NaN of what it has not learned.
    minds_domain : bool
        Whether it is one that does so.

    Raises
    ------
    ValueError
        If names, units or ranges of model and prior do not agree.
    """

    def __init__(self, model, prior, dear=False):
        if isinstance(model, FrozenEstimator):  # a grid's; it would hide the policy
            model = model.estimator
        policy = getattr(model, "extrapolation", "ignore")
        self.minds_domain = hasattr(model, "in_domain") and policy != "ignore"
        if self.minds_domain:
            # an emulator that may not extrapolate says NaN where it knows nothing
            model = copy.copy(model)
            model.extrapolation = "nan"
        self.model = model
        self._prior = prior
        self._dear = dear
        self._order = self._match_prior()
        if self.minds_domain:
            self._check_domain()
        if not dear and (hasattr(model, "steps") or _says_of_batches(model)):
            self._warn_of_a_design()

    @property
    def nonnegative(self):
        """Whether the model's predictions cannot be negative."""
        return getattr(self.model, "nonnegative_output", False)

    @property
    def unit(self):
        """Unit of the model's predictions, or None."""
        return getattr(self.model, "output_unit", None)

    def __call__(self, theta, X):
        """Predict rows of ``X``; `predict` says more of them.

        Returns
        -------
        predictions : ndarray of shape (n_draws, n_rows)
        """
        return self.predict(theta, X).mean

    @property
    def has_spread(self):
        """Whether the model states its own error."""
        return hasattr(self.model, "predict") and has_spread(self.model)

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
        predictions : Predictions

        Raises
        ------
        ValueError
            If the model returns another shape.
        """
        std = None
        if hasattr(self.model, "predict"):
            columns = X[:, 0].astype(int)
            if return_std:
                predicted, std = self.outputs(theta, return_std=True)
                std = std[:, columns]
            else:
                predicted = self.outputs(theta)
            predicted = predicted[:, columns]
        else:
            with _no_word_of_each_batch():
                predicted = np.asarray(self.model(theta, X), dtype=float)
        if predicted.shape != (len(theta), len(X)):
            raise ValueError(
                f"`forward_model` must return shape ({len(theta)}, {len(X)}),"
                f" (n_draws, n_rows); it returned {predicted.shape}."
            )
        return Predictions(predicted, std, self.outside(theta, predicted))

    def outside(self, theta, predicted):
        """Tell which predictions are NaN because the emulator has not learned them.

        Parameters
        ----------
        theta : ndarray of shape (n_draws, n_parameters)
            Parameters, in the prior's order.
        predicted : ndarray of shape (n_draws, n_rows)
            What the model says of them.

        Returns
        -------
        outside : ndarray of shape (n_draws,), dtype bool
        """
        outside = np.zeros(len(theta), dtype=bool)
        if self.minds_domain:
            unsolved = np.isnan(predicted).any(axis=1)
            if unsolved.any():
                outside[unsolved] = ~self._ask(self.model.in_domain, theta[unsolved])
        return outside

    def row_names(self, X):
        """Name the rows of ``X`` in messages."""
        names = getattr(self.model, "output_names", None)
        if names is None:
            return [f"row {i}" for i in range(len(X))]
        return [names[int(i)] for i in X[:, 0]]

    def outputs(self, theta, return_std=False, silent=True):
        """Predict all outputs of a model that has ``predict``.

        Parameters
        ----------
        theta : ndarray of shape (n_draws, n_parameters)
            Parameters, in the prior's order.
        return_std : bool, default=False
            Whether to return the model's own error too.
        silent : bool, default=True
            Whether what the model says of a batch is kept back.

        Returns
        -------
        predicted : ndarray of shape (n_draws, n_outputs), or pair of such
        """
        shape = len(theta), -1
        if not return_std:
            predicted = self._ask(self.model.predict, theta, silent)
            return np.asarray(predicted).reshape(shape)
        pair = self._ask(partial(self.model.predict, return_std=True), theta)
        return tuple(np.asarray(part).reshape(shape) for part in pair)

    def _ask(self, method, theta, silent=True):
        """Call a method of the model with the parameters in its own order."""
        if self._order is not None:
            theta = theta[:, self._order]
        with _no_word_of_each_batch() if silent else contextlib.nullcontext():
            return method(theta)

    def check_rows(self, X):
        """Check that ``X`` picks outputs that the model has."""
        if not hasattr(self.model, "predict"):
            return
        if X.shape[1] != 1:
            raise ValueError(
                "With a forward model that has `predict`, `X` must have one column, the"
                f" positions of the observed outputs; got {X.shape[1]} columns. Use"
                " `forward_model.encode_lines([...])` where it has that."
            )
        n_outputs = self.n_outputs()
        positions = X[:, 0]
        wrong = (positions != np.round(positions)) | (positions < 0)
        wrong |= positions >= n_outputs
        if wrong.any():
            raise ValueError(
                f"`X` must hold positions among the {n_outputs} outputs of"
                f" `forward_model`, 0 to {n_outputs - 1}; got"
                f" {positions[wrong][0]:g}."
            )

    def n_outputs(self):
        """Count the outputs of a model with ``predict``; unknown of a dear one.

        It is asked for one prediction, unless that is dear.

        Returns
        -------
        n_outputs : int or float
            Infinity where it is not known.
        """
        if not self._dear:
            probe = self._prior.transform(np.full((1, len(self._prior)), 0.5))
            return self.outputs(probe).shape[1]
        names = getattr(self.model, "output_names", None)
        return np.inf if names is None else len(names)

    def _match_prior(self):
        """Match the prior to the model's parameters; return their order."""
        model, prior = self.model, self._prior
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
        outside, who = self.reach()
        if outside > 0.01:
            raise ValueError(
                "`prior` reaches outside the range that `forward_model` has learned, by"
                f" {100 * outside:.0f} % of its volume{f' ({who})' if who else ''}. An"
                " emulator only interpolates: narrow the prior, or train the emulator"
                " on a design of this prior."
            )

    def _warn_of_a_design(self):
        """Warn once of what a model, or an emulator in a pipeline, would say later."""
        theta = self._prior.sample_latin_hypercube(512, random_state=0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.outputs(theta, silent=False)
        said = {}
        for warning in caught:
            said.setdefault(warning.category, warning.message)
        in_pipeline = hasattr(self.model, "steps")
        for category in (ExtrapolationWarning, OverlapWarning):
            if category not in said:
                continue
            reach = (
                "`prior` reaches outside the range that the emulator in `forward_model`"
                " has learned, and a pipeline cannot call that impossible. "
                if in_pipeline and category is ExtrapolationWarning
                else ""
            )
            warn(f"{reach}Of a design of the prior, {said[category]}", category)

    def reach(self):
        """Measure how far the prior reaches out of what an emulator has learned.

        Returns
        -------
        share : float
            Of the prior.
        who : str
            The parameters that do, and from where on; empty if no single one does.
        """
        theta = self._prior.sample_latin_hypercube(2048, random_state=0)
        inside = self._ask(self.model.in_domain, theta)
        return 1 - np.mean(inside), self._who(theta, inside)

    def _who(self, theta, inside):
        """Name the parameters whose values near an end are all outside."""
        if not inside.any():
            return ""
        # a design has points at every end: by chance, few of them are all outside
        edge = 0.01 if np.mean(inside) < 0.99 else 4 / len(theta)
        u = self._prior.inverse_transform(theta)
        lowest, highest = u[inside].min(axis=0), u[inside].max(axis=0)
        words = []
        for i, name in enumerate(self._prior.names):
            values, unit = theta[inside, i], self._prior[name].unit
            unit = f" {unit}" if unit else ""
            if lowest[i] > edge:
                words.append(f"{name} below {values.min():.4g}{unit}")
            if highest[i] < 1 - edge:
                words.append(f"{name} above {values.max():.4g}{unit}")
        return ", ".join(words)
