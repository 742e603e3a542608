"""Likelihoods of the lines of one object, for whole batches of predictions."""

import numpy as np
from scipy import special, stats

#: Nodes of the integral over a calibration factor that limits depend on.
_NODES = 24


class Likelihood:
    r"""Probability of the observed lines of one object, given predictions of them.

    Gaussian or Student's t with the lines' own errors, to which the model's variance
    adds. A line that was not detected contributes the probability of being below its
    limit. Lines of one band share a factor :math:`1 + c`,
    :math:`c \sim \mathcal{N}(0, s^2)`, over which is integrated: exactly, and with
    limits by Gauss-Hermite quadrature around what the detections say of it.

    Parameters
    ----------
    y : ndarray of shape (n_lines,)
        Intensities, or upper limits.
    sigma : ndarray of shape (n_lines,)
        1-sigma errors, positive.
    upper_limit : ndarray of shape (n_lines,), dtype bool, default=None
        Which are limits.
    degrees_of_freedom : float, default=None
        Of Student's t; None for a Gaussian.
    calibration_error : float, default=0.0
        The scatter :math:`s` of the factors of bands.
    band : ndarray of int of shape (n_lines,), default=None
        Bands, numbered. One for all by default.
    """

    def __init__(
        self,
        y,
        sigma,
        *,
        upper_limit=None,
        degrees_of_freedom=None,
        calibration_error=0.0,
        band=None,
    ):
        n_lines = len(y)
        self.y = y
        self.variance = sigma**2
        self.degrees_of_freedom = degrees_of_freedom
        self.calibration_error = calibration_error
        none = np.zeros(n_lines, dtype=bool)
        self.upper_limit = none if upper_limit is None else upper_limit
        band = np.zeros(n_lines, dtype=int) if band is None else band
        self._bands = [band == value for value in np.unique(band)]
        self._plain = (
            degrees_of_freedom is None
            and not calibration_error
            and not self.upper_limit.any()
        )
        self._constant = -0.5 * np.sum(np.log(2 * np.pi * self.variance))

    def __call__(self, predicted, std=None):
        """Return log-likelihoods.

        Parameters
        ----------
        predicted : ndarray of shape (n_draws, n_lines)
            Predicted intensities.
        std : ndarray of the same shape, default=None
            Their own 1-sigma errors.

        Returns
        -------
        log_likelihood : ndarray of shape (n_draws,)
            NaN where a prediction is.
        """
        if self._plain and std is None:
            residual = predicted - self.y
            return self._constant - 0.5 * (residual**2 @ (1.0 / self.variance))
        variance = np.broadcast_to(self.variance, predicted.shape)
        if std is not None:
            variance = variance + std**2
        if self.calibration_error:
            return sum(self._of_band(predicted, variance, b) for b in self._bands)
        error = np.sqrt(variance)
        deviate = (self.y - predicted) / error
        found, limit = ~self.upper_limit, self.upper_limit
        if self.degrees_of_freedom is None:
            density, below = _log_normal, special.log_ndtr
        else:
            family = stats.t(self.degrees_of_freedom)
            density, below = family.logpdf, family.logcdf
        return (
            np.sum(density(deviate[:, found]) - np.log(error[:, found]), axis=1)
            + np.sum(below(deviate[:, limit]), axis=1)
        )  # fmt: skip

    def _of_band(self, predicted, variance, band):
        """Return log-likelihoods of one band, integrated over its factor."""
        found, limit = band & ~self.upper_limit, band & self.upper_limit
        f, v = predicted[:, found], variance[:, found]
        residual = self.y[found] - f
        prior = 1.0 / self.calibration_error**2
        # given the detections, the factor is Gaussian too
        precision = prior + np.sum(f**2 / v, axis=1)
        score = np.sum(f * residual / v, axis=1)
        value = (
            -0.5 * np.sum(residual**2 / v + np.log(2 * np.pi * v), axis=1)
            + 0.5 * score**2 / precision
            - 0.5 * np.log(precision / prior)
        )
        if limit.any():
            nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
            factor = 1.0 + (
                (score / precision)[:, None] + nodes / np.sqrt(precision)[:, None]
            )
            reach = self.y[limit] - predicted[:, None, limit] * factor[:, :, None]
            below = special.log_ndtr(reach / np.sqrt(variance[:, None, limit]))
            log_weight = np.log(weights / weights.sum())
            value += special.logsumexp(below.sum(axis=2) + log_weight, axis=1)
        return value


def _log_normal(x):
    """Logarithm of the standard normal density."""
    return -0.5 * (x**2 + np.log(2 * np.pi))
