"""The course of a fit of probabilistic PCA: where it begins and when it ends."""

from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..utils.warn import warn
from . import _ppca_missing, _ppca_weighted

#: Further columns of the basis in which a pass looks for better axes.
OVERSAMPLES = 10
#: Up to so many features, the basis is all of space.
SMALL = 128


def to_come(gain, before):
    """Return an estimate of what further passes gain, at least that of the last.

    Gains fall geometrically where much is missing.
    """
    if gain <= 0 or np.isinf(gain):
        return max(gain, 0.0)
    ratio = gain / before if before > 0 else 1.0
    return np.inf if ratio >= 1 else max(gain, gain * ratio / (1 - ratio))


class Fit:
    """Maximum likelihood by passes over the rows.

    Parameters
    ----------
    data : Rows
        The data.
    n_components : int
        Number of components.
    tol : float
        Least gain in log-likelihood of a pass, per entry.
    max_iter : int
        Passes at most.
    progress : Progress
        Counts passes over all rows, and may end the fit.

    Attributes
    ----------
    n_iter : int
        Passes over all rows.
    """

    def __init__(self, data, n_components, tol, max_iter, progress):
        self.data = data
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.progress = progress
        self._stop = False
        self.n_iter = 0

    def run(self, mean, rng):
        """Fit.

        Parameters
        ----------
        mean : ndarray of shape (n_columns,)
            Means of the observed entries.
        rng : numpy.random.RandomState
            Chooses rows and axes to begin with.

        Returns
        -------
        V : ndarray of shape (n_columns, n_components)
            Orthonormal axes.
        variance : ndarray of shape (n_components,)
            Variances along them, noise included.
        noise_variance : float
            Fitted variance of the noise.
        mean : ndarray of shape (n_columns,)
            Mean of the model.
        """
        model = self._with_equal_noise(mean, rng)
        if self.data.sigma is not None:
            model = self._with_errors(model)
        noise = model.noise_variance
        if self.data.sigma is None:
            V, variance = model.basis, model.variance[: self.n_components]
            return V[:, : self.n_components], variance, noise, model.mean
        V, s, _ = np.linalg.svd(model.loadings, full_matrices=False)
        return V, s**2 + noise, noise, model.mean

    def _with_equal_noise(self, mean, rng):
        """Fit the model with equal noise, for its own sake or as a start."""
        data, n_features = self.data, len(mean)
        size = n_features
        if n_features > SMALL:
            size = min(self.n_components + OVERSAMPLES, n_features)
        sample = data.sample(rng)
        model = _ppca_missing.start(
            list(sample.blocks()), self.n_components, size, mean, rng
        )
        if data.complete and sample is data:
            self.n_iter = 1  # in closed form
            return model
        n_entries = data.n_observed.sum() / data.n_rows
        threshold = self.tol * n_entries
        if sample is not data:
            for _ in range(min(10, self.max_iter)):
                model, gain = _ppca_missing.em_pass(
                    sample.blocks(), sample.n_observed, model
                )
                if gain < 10 * threshold:
                    break
        if data.sigma is not None:
            threshold *= 100
        before = np.inf
        for _ in range(self.max_iter):
            model, gain = _ppca_missing.em_pass(data.blocks(), data.n_observed, model)
            self._report(gain / n_entries)
            if self._stop:
                return model
            # gains are known to the rounding of the traces over the noise
            rounding = model.floor / model.noise_variance * n_entries
            if to_come(gain, before) < threshold or gain < rounding:
                self._look_at_noise(model)
                return model
            before = gain
        if data.sigma is None:
            self._warn(gain / n_entries)
        return model

    def _with_errors(self, model):
        """Fit the model with errors of the entries, from the one without."""
        k, n_columns = self.n_components, len(model.mean)
        noise, variance = model.noise_variance, model.variance[:k]
        # in units of the scatter of a pixel, so that no square is out of range
        unit = np.sqrt((variance.sum() + noise * (n_columns - k)) / n_columns)
        unit = float(unit) or 1.0
        loadings = model.basis[:, :k] * np.sqrt(
            np.maximum(variance - noise, 1e-6 * variance[0])
        )
        noise = max(noise - self.data.typical_variance(), 0.1 * noise)
        model = _ppca_weighted.WeightedModel(
            model.mean / unit, loadings / unit, noise / unit**2
        )
        n_entries = self.data.n_observed.sum()
        previous, log_likelihood, gain, step = model, -np.inf, np.inf, 1.0
        for _ in range(max(1, self.max_iter - self.n_iter)):
            new, found = _ppca_weighted.em_pass(self.data.blocks(unit), model, step)
            before, gain = gain, (found - log_likelihood) / n_entries
            self._report(gain)
            if gain < -self.tol:
                # only the step of the noise variance can be too long
                step /= 4
                model = replace(model, noise_variance=previous.noise_variance)
                continue
            previous, log_likelihood, model = model, found, new
            if self._stop or to_come(gain, before) < self.tol:
                break
        else:
            self._warn(gain)
        return replace(
            model,
            mean=model.mean * unit,
            loadings=model.loadings * unit,
            noise_variance=model.noise_variance * unit**2,
        )

    def _look_at_noise(self, model):
        single = model.basis.dtype == np.float32 and self.data.sigma is None
        if single and model.noise_variance <= model.floor:
            warn(
                "The noise of X is too small beside its variance to be told in single"
                " precision; give X in float64 for its likelihood.",
            )

    def _report(self, gain):
        self.n_iter += 1
        self._stop = self.progress.step(gain=f"{gain:.1e}")

    def _warn(self, gain):
        last = (
            f": the last one raised the log-likelihood by {gain:.1e} per entry,"
            f" tol={self.tol:.1e}"
        )
        warn(
            f"EM did not converge in max_iter={self.max_iter} passes"
            f"{last if np.isfinite(gain) else ''}. Allow for more, or a larger tol.",
            ConvergenceWarning,
        )
