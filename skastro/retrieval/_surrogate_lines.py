"""A surrogate of a dear forward model: any regressor, taught the calls so far."""

import copy
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils import get_tags

#: Highest scaled line that a surrogate is believed to predict: exp(40) noise units.
_HIGHEST = 40.0
#: Neighbours that say whether a model has a solution, and the least chance of it.
_N_NEIGHBORS, _LEAST_CHANCE = 8, 0.02
#: Steps of the default network, and members of a batch.
_N_STEPS, _BATCH_SIZE = 1000, 512
#: Largest error of a scaled line that counts.
_WORST = 3.0


def _default(n_calls, seed):
    """Return the surrogate of who names none, to be taught so many calls."""
    from ..emulation import EmulatorRegressor

    epochs = max(1, round(_N_STEPS / np.ceil(n_calls / _BATCH_SIZE)))
    return EmulatorRegressor(
        batch_size=_BATCH_SIZE,
        max_epochs=int(epochs),
        extrapolation="ignore",
        random_state=seed,
    )


def _seeded(regressor, seed):
    """Return a clone that is reproducible where it was left to chance."""
    regressor = clone(regressor)
    loose = {
        name: seed
        for name, value in regressor.get_params().items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return regressor.set_params(**loose)


class SurrogateLines:
    """Predicts lines from parameters, and how wrong it is.

    It learns ``arcsinh(line / scale)``, the scale being the line's error: logarithmic
    where a line is seen, linear where it is lost in noise. Its inputs are standardised
    parameters, in decimal logarithms where their prior is.

    Parameters
    ----------
    regressor : estimator or None
        Any regressor; None for a small `EmulatorRegressor`.
    prior : ParameterSpace
        The prior.
    scale : ndarray of shape (n_lines,)
        Of the lines.
    seed : int
        Seed of a regressor that has none.
    """

    def __init__(self, regressor, prior, scale, seed):
        self._regressor, self._prior = regressor, prior
        self._scale, self._seed = scale, seed
        self._error = np.zeros(len(scale))

    def taught(self, theta, predictions):
        """Return a surrogate that has learned other calls, with the error of this.

        Parameters
        ----------
        theta : ndarray of shape (n_calls, n_parameters)
            Their parameters.
        predictions : Predictions
            What the model said.

        Returns
        -------
        surrogate : SurrogateLines
        """
        surrogate = copy.copy(self)
        surrogate._learn(theta, predictions)
        return surrogate

    def with_error(self, error):
        """Return this surrogate with another error.

        Parameters
        ----------
        error : ndarray of shape (n_lines,)
            Of scaled lines.

        Returns
        -------
        surrogate : SurrogateLines
        """
        surrogate = copy.copy(self)
        surrogate._error = error
        return surrogate

    def _learn(self, theta, predictions):
        """Learn calls, from the start."""
        shown = self._shown(theta)
        self._shift, self._width = shown.mean(axis=0), shown.std(axis=0)
        self._width = np.where(self._width > 0, self._width, 1.0)
        solved = np.isfinite(predictions.mean).all(axis=1)
        features, targets = self._features(theta), self._targets(predictions)
        if self._regressor is None:
            regressor = _default(solved.sum(), self._seed)
        else:
            regressor = _seeded(self._regressor, self._seed)
        if targets.shape[1] == 1:
            targets = targets[:, 0]
        elif not get_tags(regressor).target_tags.multi_output:
            regressor = MultiOutputRegressor(regressor)
        with warnings.catch_warnings():
            # what it says of its convergence, its error says better
            warnings.simplefilter("ignore")
            self._fitted = regressor.fit(features[solved], targets[solved])
        self._neighbors = None
        if not solved.all():
            n_neighbors = min(_N_NEIGHBORS, len(solved))
            self._neighbors = KNeighborsClassifier(n_neighbors).fit(features, solved)

    def predict(self, theta):
        """Predict lines.

        Parameters
        ----------
        theta : ndarray of shape (n_draws, n_parameters)
            Parameters.

        Returns
        -------
        mean : ndarray of shape (n_draws, n_lines)
            Lines.
        error : ndarray of shape (n_draws, n_lines)
            The surrogate's error of them.
        stated : ndarray of shape (n_draws, n_lines) or float
            The error that the model states of itself, or 0.
        """
        n_lines = len(self._scale)
        scaled = self._predict(theta)
        line = self._scale * np.sinh(scaled[:, :n_lines])
        error = np.hypot(self._scale, line) * self._error
        stated = 0.0
        if scaled.shape[1] > n_lines:
            stated = self._scale * np.sinh(scaled[:, n_lines:])
        return line, error, stated

    def log_chance(self, theta):
        """Return the logarithm of the chance that the model has a solution.

        Parameters
        ----------
        theta : ndarray of shape (n_draws, n_parameters)
            Parameters.

        Returns
        -------
        log_chance : ndarray of shape (n_draws,) or float
        """
        if self._neighbors is None:
            return 0.0
        chance = self._neighbors.predict_proba(self._features(theta))[:, -1]
        return np.log(np.maximum(chance, _LEAST_CHANCE))

    def residuals(self, theta, predictions):
        """Return how far the model is from what the surrogate says, scaled.

        Parameters
        ----------
        theta : ndarray of shape (n_calls, n_parameters)
            Parameters of calls that it has not learned.
        predictions : Predictions
            What the model said.

        Returns
        -------
        residuals : ndarray of shape (n_calls, n_lines)
            NaN where the model has no solution.
        """
        n_lines = len(self._scale)
        difference = self._targets(predictions) - self._predict(theta)
        return np.clip(difference[:, :n_lines], -_WORST, _WORST)

    def _predict(self, theta):
        """Return scaled lines, within bounds."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scaled = self._fitted.predict(self._features(theta))
        return np.clip(np.reshape(scaled, (len(theta), -1)), -_HIGHEST, _HIGHEST)

    def _targets(self, predictions):
        """Return scaled lines, and behind them the model's own errors."""
        parts = [p for p in (predictions.mean, predictions.std) if p is not None]
        return np.hstack([np.arcsinh(part / self._scale) for part in parts])

    def _shown(self, theta):
        """Return parameters, in decimal logarithms where their prior is."""
        log = self._prior.log
        shown = theta.copy()
        shown[:, log] = np.log10(np.maximum(theta[:, log], 1e-300))
        return shown

    def _features(self, theta):
        """Return standardised parameters."""
        return (self._shown(theta) - self._shift) / self._width
