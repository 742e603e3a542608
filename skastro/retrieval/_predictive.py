"""Predictions of lines, from the prior and from posteriors."""

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import plain, validate
from ._forward_model import ForwardModel
from ._line_names import lines_of
from ._observations import Layout
from ._posterior import Posterior


class PredictiveMixin(RegressorMixin):
    """A regressor that predicts lines by its forward model."""

    def prior_predictive(self, X, n_samples, random_state=None):
        """Draw parameters from the prior and predict lines of them; needs no fit.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or names of lines
            Lines or channels, as for :meth:`fit`.
        n_samples : int
            Number of draws.
        random_state : int, RandomState instance or None, default=None
            Seed; that of the retrieval by default.

        Returns
        -------
        theta : ndarray of shape (n_samples, n_parameters)
            Parameters, in the prior's order and units.
        predictions : ndarray of shape (n_samples, n_rows)
            Without noise; NaN where the forward model has no solution.
        """
        X = plain(lines_of(X, self.forward_model), "X", allow_nan=False)
        X = check_array(X, dtype=np.float64, input_name="X")
        forward = ForwardModel(self.forward_model, self.prior)
        forward.check_rows(X)
        seed = self.random_state if random_state is None else random_state
        theta = self.prior.sample(n_samples, random_state=seed)
        return theta, forward(theta, X)

    def posterior_predictive(self, X):
        """Return the predictions of every posterior sample, without noise.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or names of lines
            Lines or channels, observed or not, as for :meth:`fit`.

        Returns
        -------
        predictions : ndarray of shape (n_samples, n_rows), or list of ndarray
            One row for each of ``posterior_.samples``. A list of such of each object
            after a fit to several; without data it has no rows.
        """
        check_is_fitted(self)
        X = self._rows(X)
        if isinstance(self.posterior_, Posterior):
            return self._forward(self.posterior_.samples, X)
        return [
            np.empty((0, len(X))) if p is None else self._forward(p.samples, X)
            for p in self.posterior_
        ]

    def predict(self, X, return_std=False):
        """Predict lines or channels, averaged over the posterior.

        The spread is that of the model's predictions; a new measurement has its own
        noise on top.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or names of lines
            Lines or channels, observed or not, as for :meth:`fit`.
        return_std : bool, default=False
            Whether to return the spread too.

        Returns
        -------
        y : ndarray of shape (n_rows,) or (n_rows, n_objects)
            Posterior mean; NaN for an object without data. Objects are columns,
            whichever way they were given.
        y_std : ndarray of the same shape
            Posterior standard deviation. Only with ``return_std=True``.
        """
        predictions = self.posterior_predictive(X)
        if isinstance(predictions, np.ndarray):
            mean, std = predictions.mean(axis=0), predictions.std(axis=0)
        else:
            missing = np.full((1, predictions[0].shape[1]), np.nan)
            each = [p if len(p) else missing for p in predictions]
            mean = np.stack([p.mean(axis=0) for p in each], axis=1)
            std = np.stack([p.std(axis=0) for p in each], axis=1)
        return (mean, std) if return_std else mean

    def score(self, X, y, sample_weight=None):
        """Return how much of the variance between lines is predicted.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or names of lines
            Lines or channels, as for :meth:`fit`.
        y : array-like of shape (n_rows,), (n_rows, n_objects) or (n_objects, n_rows)
            Their intensities, NaN where not observed.
        sample_weight : array-like of shape (n_rows,) or of the shape of y, \
default=None
            Weights of the squared residuals.

        Returns
        -------
        score : float
            R² of the lines that were observed, averaged over the objects that have
            two or more.

        Raises
        ------
        ValueError
            If no object has two, of which R² could be said.
        """
        check_is_fitted(self)
        predicted = np.atleast_2d(self.predict(X).T)
        layout = Layout(self._rows(X), y, self._forward.unit, self.objects)
        if layout.y.shape != predicted.shape:
            raise ValueError(
                f"`y` has {len(layout.y)} objects, but {len(predicted)} were fitted."
            )
        weight = 1.0 if sample_weight is None else plain(sample_weight, "sample_weight")
        weight = layout.spread(weight, "sample_weight")
        scores = []
        for y, own, w in zip(layout.y, predicted, weight, strict=True):
            seen = ~np.isnan(y) & ~np.isnan(own)
            if seen.sum() > 1:
                scores.append(r2_score(y[seen], own[seen], sample_weight=w[seen]))
        if not scores:
            raise ValueError(
                "R² needs two lines or more of an object. To score a single one, as"
                " LeaveOneOut does, compare `cross_val_predict` with the data."
            )
        return float(np.mean(scores))

    def _rows(self, X):
        """Return the rows of ``X`` as the forward model of the fit takes them."""
        X = lines_of(X, self.forward_model)
        X = validate(self, X, dtype=np.float64, reset=False)
        self._forward.check_rows(X)
        return X
