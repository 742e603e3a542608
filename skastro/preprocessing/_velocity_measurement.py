"""Velocities by cross-correlation with a template that knows the errors."""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from ._interpolation import interpolate

#: The speed of light [km/s].
_LIGHT = 299_792.458
#: Steps of the refinement, in pixels of the grid.
_STEPS = (0.5, 0.1)
#: Pixels that one line covers, in which what the template leaves is alike.
_BLOCK = 15


def measure(flux, sigma, log, joined, template, max_velocity):
    """Return velocities of the highest likelihood, and their errors.

    A spectrum is a + b t(v) and noise, with the template t at the velocity v. The
    likelihood with the best a and b follows from sums that are correlations of the
    template, its square, the weights, and the weighted spectrum.

    Parameters
    ----------
    flux : ndarray of shape (n_samples, n)
        Spectra, NaN where missing.
    sigma : ndarray of shape (n_samples, n) or None
        1-sigma errors.
    log : ndarray of shape (n,)
        Logarithms of the wavelengths.
    joined : ndarray of bool of shape (n,)
        Whether a pixel and the next have no gap between them.
    template : ndarray of shape (n,)
        The template, NaN where unknown.
    max_velocity : float
        [km/s].

    Returns
    -------
    velocity, velocity_sigma : ndarray of shape (n_samples,)
        [km/s]; NaN where there is no peak.
    """
    found = np.full((2, len(flux)), np.nan)
    n = len(log)
    if n < 3:
        return found
    peaks = _Peaks(log, joined, template, max_velocity)
    for row in range(len(flux)):
        f = flux[row].astype(np.float64)
        seen = ~np.isnan(f)
        if np.count_nonzero(seen) < 4:
            continue
        weight = np.zeros(n)
        if sigma is None:
            weight[seen] = 1.0
        else:
            weight[seen] = 1 / sigma[row, seen].astype(np.float64) ** 2
        found[:, row] = peaks.find(np.where(seen, f, 0.0), weight, sigma is None)
    return found


class _Peaks:
    """The template on a grid of equal steps in velocity, and what its peaks are."""

    def __init__(self, log, joined, template, max_velocity):
        self.log, self.joined = log, joined
        self.template, self.step = template, float(np.median(np.diff(log)))
        self.place = np.rint((log - log[0]) / self.step).astype(np.int64)
        self.reach = int(np.ceil(np.arctanh(max_velocity / _LIGHT) / self.step)) + 1
        self.size = next_fast_len(int(self.place[-1]) + 2 * self.reach + 2, real=True)
        self.level = float(np.nanmean(template))
        # what lies in a gap is unknown, and counts for nothing
        cells = log[0] + self.step * np.arange(self.place[-1] + 1)
        values = self._template_at(np.minimum(cells, log[-1]))
        known = ~np.isnan(values)
        values = np.where(known, values - self.level, 0.0)
        self.of = [rfft(v, self.size) for v in (known * 1.0, values, values**2)]

    def find(self, f, weight, estimate):
        """Return velocity and error of a spectrum, NaN if it has no peak."""
        level = np.average(f, weights=weight)
        gain, _ = self._correlated(f - level, weight)
        peak = int(np.argmax(gain))
        if peak in (0, len(gain) - 1) or not gain[peak] > 0:
            return np.nan, np.nan
        shift = (peak - self.reach) * self.step
        for h in _STEPS:
            at = [self._at(weight, shift + k * h * self.step) for k in (-1, 0, 1)]
            three = [float(_gain(*_sums(f, *one)[0])) for one in at]
            slope, bend = three[2] - three[0], three[0] - 2 * three[1] + three[2]
            if not bend < 0:
                return np.nan, np.nan
            move = -0.5 * slope / bend
            shift += np.clip(move, -2, 2) * h * self.step
        variance = -((h * self.step) ** 2) / bend
        if estimate:
            variance *= _left(f, *self._at(weight, shift))
        if not variance > 0:
            return np.nan, np.nan
        (_, below), (w, t), (_, above) = at
        slope = (above - below) / (2 * h * self.step)
        variance = max(variance, _of_mismatch(f, w, t, slope))
        return np.tanh(shift) * _LIGHT, _LIGHT / np.cosh(shift) ** 2 * np.sqrt(variance)

    def _correlated(self, f, weight):
        """Return the gain in log-likelihood at whole steps of the grid."""
        data = np.zeros((2, self.size))
        np.add.at(data[0], self.place, weight)
        np.add.at(data[1], self.place, weight * f)
        W, F = rfft(data)
        cover, t, t2 = self.of
        sums = irfft(
            np.array([W * np.conj(cover), F * np.conj(cover), W * np.conj(t),
                      W * np.conj(t2), F * np.conj(t)]),
            self.size,
        )  # fmt: skip
        lags = np.arange(-self.reach, self.reach + 1)
        return _gain(*sums[:, lags]), lags

    def _template_at(self, log):
        """Return the template at logarithms of wavelengths."""
        values, errors = np.empty_like(log), np.empty_like(log)
        one = np.ones_like(self.log)
        interpolate(
            *(self.template, one, self.log, self.joined),
            *(log, False, values, errors),
        )
        return values

    def _at(self, weight, shift):
        """Return weights and the template at a shift, zeros where it is unknown."""
        t = self._template_at(self.log - shift) - self.level
        known = ~np.isnan(t)
        return np.where(known, weight, 0.0), np.where(known, t, 0.0)


def _sums(f, w, t):
    f = f - np.average(f, weights=w) if w.any() else f
    return np.array([w.sum(), w @ f, w @ t, w @ t**2, w @ (f * t)]), w @ f**2


def _left(f, w, t):
    """Return the variance of what the template leaves, of weights of one."""
    sums, squares = _sums(f, w, t)
    rest = squares - sums[1] ** 2 / sums[0] - 2 * float(_gain(*sums))
    return max(rest / max(sums[0] - 3, 1), np.finfo(float).tiny)


def _of_mismatch(f, w, t, slope):
    """Return the variance of a shift that what the template leaves tells.

    What it leaves of a line moves the peak, of one line to the red and of the next to
    the blue. Blocks of pixels are taken for independent, and for whatever they are
    else.

    Parameters
    ----------
    f, w, t : ndarray of shape (n,)
        Spectrum, weights, and template.
    slope : ndarray of shape (n,)
        Of the template with the shift.
    """
    terms = np.column_stack([np.ones_like(t), t, slope])
    inverse = np.linalg.pinv(terms.T @ (w[:, None] * terms), hermitian=True)
    theta = inverse @ (terms.T @ (w * f))
    scores = (w * (f - terms @ theta))[:, None] * terms
    blocks = np.add.reduceat(scores, np.arange(0, len(f), _BLOCK), axis=0)
    moves = blocks @ inverse[2]
    return moves @ moves / max(theta[1] ** 2, np.finfo(float).tiny)


def _gain(w, f, t, t2, ft):
    """Return what a template with a free amplitude adds to the log-likelihood.

    From weighted sums of one, the data, the template, its square and the product.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        product, square = ft - f * t / w, t2 - t**2 / w
        gain = 0.5 * product**2 / square
    good = (w > 0) & (square > 1e-12 * np.abs(t2)) & (product > 0)
    return np.where(good, gain, 0.0)
