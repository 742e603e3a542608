"""The course of a fit of probabilistic PCA: where it begins and when it ends."""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from . import _ppca_missing, _ppca_weighted

#: Further columns of the basis in which a pass looks for better axes.
OVERSAMPLES = 10
#: Up to so many features, the basis is all of space.
SMALL = 128


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
    verbose : int
        Whether to show a progress bar.

    Attributes
    ----------
    n_iter : int
        Passes over all rows.
    """

    def __init__(self, data, n_components, tol, max_iter, verbose):
        self.data = data
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.verbose = verbose
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
        with tqdm(
            total=self.max_iter, desc="ProbabilisticPCA", disable=not self.verbose
        ) as bar:
            model = self._with_equal_noise(mean, rng, bar)
            if self.data.sigma is not None:
                model = self._with_errors(model, bar)
        noise = model.noise_variance
        if self.data.sigma is None:
            V, variance = model.basis, model.variance[: self.n_components]
            return V[:, : self.n_components], variance, noise, model.mean
        V, s, _ = np.linalg.svd(model.loadings, full_matrices=False)
        return V, s**2 + noise, noise, model.mean

    def _with_equal_noise(self, mean, rng, bar):
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
        threshold = self.tol * n_features
        if sample is not data:
            for _ in range(min(10, self.max_iter)):
                model, gain = _ppca_missing.em_pass(
                    sample.blocks(), sample.n_observed, model
                )
                if gain < 10 * threshold:
                    break
        if data.sigma is not None:
            threshold *= 100
        for _ in range(self.max_iter):
            model, gain = _ppca_missing.em_pass(data.blocks(), data.n_observed, model)
            self._report(bar, gain / n_features)
            if gain < threshold:
                return model
        if data.sigma is None:
            self._warn(gain / n_features)
        return model

    def _with_errors(self, model, bar):
        """Fit the model with errors of the entries, from the one without."""
        V = model.basis[:, : self.n_components].astype(np.float64)
        noise = model.noise_variance
        signal = model.variance[: self.n_components] - noise
        model = _ppca_weighted.WeightedModel(
            mean=model.mean,
            loadings=V * np.sqrt(np.maximum(signal, 1e-6 * model.variance[0])),
            noise_variance=max(noise - self.data.typical_variance(), 0.1 * noise),
        )
        n_entries = self.data.n_observed.sum()
        previous, before, step = model, -np.inf, 1.0
        for _ in range(max(1, self.max_iter - self.n_iter)):
            new, log_likelihood = _ppca_weighted.em_pass(
                self.data.blocks(), model, step
            )
            gain = (log_likelihood - before) / n_entries
            self._report(bar, gain)
            if gain < -self.tol:
                # only the step of the noise variance can be too long
                step /= 4
                model = replace(model, noise_variance=previous.noise_variance)
                continue
            previous, before, model = model, log_likelihood, new
            if gain < self.tol:
                return model
        self._warn(gain)
        return model

    def _report(self, bar, gain):
        self.n_iter += 1
        bar.update()
        bar.set_postfix(gain=f"{gain:.1e}")

    def _warn(self, gain):
        warnings.warn(
            f"EM did not converge in max_iter={self.max_iter} passes: the last one"
            f" raised the log-likelihood by {gain:.1e} per entry, tol={self.tol:.1e}.",
            ConvergenceWarning,
            stacklevel=6,
        )
