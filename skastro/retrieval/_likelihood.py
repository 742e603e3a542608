"""Likelihoods of the lines of one object, for whole batches of predictions."""

import numpy as np
from scipy import special, stats

#: Nodes of the integral over a calibration factor that limits depend on.
_NODES = 24
#: Log-likelihood of what exact limits exclude, at most: lower than of any fit.
EXCLUDED = -1e90
#: Nodes where exact limits cut that integral off.
_CUT_NODES = 48


class Likelihood:
    r"""Probability of the observed lines of one object, given predictions of them.

    Gaussian or Student's t with the lines' own errors, to which the model's variance
    adds. A line that was not detected contributes the probability of being below its
    limit; where neither the limit nor the model has an error, that is 1 or 0. Lines of
    one band share a factor :math:`1 + c`,
    :math:`c \sim \mathcal{N}(0, s^2)`, over which is integrated: exactly, and with
    limits by Gauss-Hermite quadrature around what the detections say of it.

    Parameters
    ----------
    y : ndarray of shape (n_lines,)
        Intensities, or upper limits.
    sigma : ndarray of shape (n_lines,)
        1-sigma errors, positive; 0 for a limit that is exact.
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
        values, self.band = np.unique(band, return_inverse=True)
        self.n_bands = len(values)
        self._bands = [self.band == i for i in range(self.n_bands)]
        self.plain = (
            degrees_of_freedom is None
            and not calibration_error
            and not self.upper_limit.any()
        )
        if self.plain:
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
        if self.plain and std is None:
            residual = predicted - self.y
            return self._constant - 0.5 * (residual**2 @ (1.0 / self.variance))
        variance = np.broadcast_to(self.variance, predicted.shape)
        if std is not None:
            variance = variance + std**2
        if self.calibration_error:
            return sum(self._of_band(predicted, variance, b) for b in self._bands)
        error = np.sqrt(variance)
        residual = self.y - predicted
        found, limit = ~self.upper_limit, self.upper_limit
        if self.degrees_of_freedom is None:
            density, below = _log_normal, special.log_ndtr
        else:
            family = stats.t(self.degrees_of_freedom)
            density, below = family.logpdf, family.logcdf
        seen = density(residual[:, found] / error[:, found]) - np.log(error[:, found])
        unseen = _log_below(residual[:, limit], error[:, limit], below)
        return np.sum(seen, axis=1) + np.sum(unseen, axis=1)

    def excluded(self, predicted):
        """Return log-likelihoods that climb to where exact limits begin to allow.

        Nested sampling follows them there, and they weigh nothing; where all that is
        excluded is alike, it stops.

        Parameters
        ----------
        predicted : ndarray of shape (n_draws, n_lines)
            Predicted intensities that exact limits exclude.

        Returns
        -------
        log_likelihood : ndarray of shape (n_draws,)
            Between 2 and 1 times `EXCLUDED`.
        """
        exact = self.upper_limit & (self.variance == 0)
        above = np.maximum(predicted[:, exact] - self.y[exact], 0.0).sum(axis=1)
        # whatever the unit is
        return EXCLUDED * (1.5 + np.log10(np.clip(above, 1e-300, 1e300)) / 700)

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
            mean, width = 1.0 + score / precision, precision**-0.5
            f, error = predicted[:, limit], np.sqrt(variance[:, limit])
            value += _log_limits(self.y[limit], f, error, mean, width)
        return value


def _log_normal(x):
    """Logarithm of the standard normal density."""
    return -0.5 * (x**2 + np.log(2 * np.pi))


def _log_below(reach, error, below):
    """Return log-probabilities of being below limits.

    Parameters
    ----------
    reach : ndarray
        How far the prediction is below its limit; NaN without a solution.
    error : ndarray of a shape that broadcasts
        1-sigma errors, 0 for exact limits.
    below : callable
        Logarithm of the distribution function of errors of unit scale.

    Returns
    -------
    log_probability : ndarray of the shape of ``reach``
    """
    exact = np.broadcast_to(error == 0, reach.shape)
    value = below(reach / np.where(error == 0, 1.0, error))
    return np.where(exact & ~np.isnan(reach), np.where(reach >= 0, 0, -np.inf), value)


def _log_limits(y, f, error, mean, width):
    """Return log-probabilities that lines times a Gaussian factor are below limits.

    Parameters
    ----------
    y : ndarray of shape (n_limits,)
        The limits.
    f : ndarray of shape (n_draws, n_limits)
        Predictions, before the factor.
    error : ndarray of shape (n_draws, n_limits)
        1-sigma errors, 0 for exact limits.
    mean, width : ndarray of shape (n_draws,)
        Of the factor.

    Returns
    -------
    log_probability : ndarray of shape (n_draws,)
    """
    exact = error == 0
    if not exact.any():
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        log_weight = np.log(weights / weights.sum())
        deviate = np.broadcast_to(nodes, (len(f), _NODES))
    else:
        # exact limits say between which factors the rest is to be integrated
        with np.errstate(divide="ignore", invalid="ignore"):
            end = (y / f - mean[:, None]) / width[:, None]
        high = np.min(np.where(exact & (f > 0), end, np.inf), axis=1)
        low = np.max(np.where(exact & (f < 0), end, -np.inf), axis=1)
        impossible = (exact & (f == 0) & (y < 0)).any(axis=1) | ~(low < high)
        low, high = np.where(impossible, -1.0, low), np.where(impossible, 1.0, high)
        # all but exp(-36) of what lies between them, from the nearest end on
        near = np.clip(0.0, low, high)
        tail = 72 / (np.sqrt(near**2 + 72) + np.abs(near))
        start, end = np.maximum(low, near - tail), np.minimum(high, near + tail)
        # far out, numbers are too sparse for the difference of the ends
        length = np.where(near == 0, end - start, np.minimum(high - low, tail))
        half = 0.5 * length[:, None]
        nodes, weights = np.polynomial.legendre.leggauss(_CUT_NODES)
        deviate = start[:, None] + half * (nodes + 1)
        with np.errstate(over="ignore"):
            log_weight = np.log(half * weights) + _log_normal(deviate)
        log_weight[impossible] = -np.inf
    factor = mean[:, None] + width[:, None] * deviate
    distance = y - f[:, None, :] * factor[:, :, None]
    scale = np.where(exact, 1.0, error)[:, None, :]
    below = np.where(exact[:, None, :], 0.0, special.log_ndtr(distance / scale))
    value = special.logsumexp(below.sum(axis=2) + log_weight, axis=1)
    return np.where(np.isnan(f).any(axis=1), np.nan, value)
