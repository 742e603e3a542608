"""How spectra enter networks, and leave them."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches

from ..decomposition import ProbabilisticPCA
from ..utils import uncertain
from ._incomplete import observed_scores, regress
from ._polynomials import OrthonormalPolynomials


class ScaledBins:
    """Every bin of the spectrum, scaled to ``slope * x + offset``.

    Parameters
    ----------
    slope, offset : float
        Of the scaling.
    """

    scatter = None
    n_polynomials = 0

    def __init__(self, slope, offset):
        self.slope, self.offset = slope, offset

    def fit(self, S, U, random_state, noise, sigma=None):
        """Note what is needed of training spectra."""
        self.fresh = 0.0 if noise == "auto" else abs(self.slope) * noise
        return self

    def encode(self, S, U, sigma=None):
        """Return what a network sees of spectra S at scaled labels U."""
        if sigma is not None or np.isnan(S).any():
            what = "errors" if sigma is not None else "spectra with NaN"
            raise ValueError(
                f"`input_scaling`={(self.slope, self.offset)} shows a network every"
                f" bin, which leaves no place for {what};"
                ' input_scaling="components" knows what to do with them, and'
                " ProbabilisticPCA can fill gaps."
            )
        return self.slope * S + self.offset

    def decode(self, Y, U):
        """Return spectra."""
        return (Y - self.offset) / self.slope


class ResidualComponents:
    """Principal components of what a polynomial of the labels leaves of each bin.

    They are in units of the noise of a bin, which is estimated from what the components
    leave. Where there is next to none the unit is the scatter of all else, and
    `fresh` is the noise that makes up the difference.

    Parameters
    ----------
    n_inputs : int
        Number of components, at most: those that noise alone would not give. Not more
        than a third of the stars, so that what they leave tells the noise.
    degree : int
        Highest degree of the polynomial.
    least : int, default=1
        Number of components that a small sample gives, at least; of any other, twice as
        many are kept.
    scale : float, default=1.0
        A power of two that spectra are divided by, lest their squares be too small or
        too large.
    """

    def __init__(self, n_inputs, degree, least=1, scale=1.0):
        self.n_inputs, self.degree, self.least = n_inputs, degree, least
        self.scale = scale

    def fit(self, S, U, random_state, noise, sigma=None):
        """Find polynomials, components and noise.

        Parameters
        ----------
        S : ndarray of shape (n_samples, n_bins)
            Spectra.
        U : ndarray of shape (n_samples, n_conditions)
            Labels, scaled to [-1, 1].
        random_state : int
            For randomised PCA.
        noise : float or "auto"
            Standard deviation of the fresh noise, in units of S.
        sigma : ndarray of shape (n_samples, n_bins), default=None
            Errors of the spectra.

        Returns
        -------
        self : ResidualComponents
        """
        n_samples, n_bins = S.shape
        S = S / S.dtype.type(self.scale)
        self.polynomials = OrthonormalPolynomials(self.degree).fit(U)
        phi = self.polynomials(U).astype(S.dtype)
        if sigma is None and not np.isnan(S).any():
            found, total, variance = self._complete(S, phi, random_state)
        else:
            if sigma is not None:
                sigma = sigma / S.dtype.type(self.scale)
            found, total, variance = self._incomplete(S, phi, sigma, random_state)
        if noise != "auto":
            noise = noise / self.scale
        rows = max(n_samples - phi.shape[1], 1)
        # the largest variance along a component of noise (Marchenko & Pastur)
        edge = variance * (1 + np.sqrt(n_bins / rows)) ** 2
        # some of what is weaker than noise still tells of abundances
        kept = max(np.count_nonzero(found > edge), 2 * self.least)
        self.components, found = self.components[:kept], found[:kept]
        self.prior = uncertain.WIDE * np.maximum(found, variance).astype(np.float64)
        signal = max(total / rows / n_bins - variance, 0.0)
        if noise == "auto":
            self.unit = np.sqrt(max(variance, signal))
            fresh = max(signal - variance, 0.0)
        else:
            self.unit = np.sqrt(max(variance + noise**2, signal))
            fresh = noise**2
        # spectra that do not differ, beside their labels, have no unit
        tiny = 10 * np.finfo(S.dtype).eps * max(np.nanmax(S), -np.nanmin(S), 1e-30)
        self.unit = float(max(self.unit, tiny))
        self.fresh = float(np.sqrt(fresh) / self.unit)
        deviations = np.sqrt(np.maximum(found, 0)) / self.unit
        self.scatter = np.maximum(deviations, 1e-3)
        return self

    @property
    def n_polynomials(self):
        """Number of polynomials of each bin."""
        return len(self.coef)

    def _complete(self, S, phi, random_state):
        """Find components of complete spectra; return variances, total and noise."""
        n_samples, n_bins = S.shape
        self.coef = phi.T @ S / n_samples
        residuals = S - phi @ self.coef
        n_inputs = min(self.n_inputs, max(n_samples // 3, self.least), n_bins)
        pca = PCA(n_inputs, random_state=random_state).fit(residuals)
        # contiguous as in a copy from a file, to give the same to the last bit
        self.mean, self.components = pca.mean_, np.ascontiguousarray(pca.components_)
        found = pca.explained_variance_
        held = found.sum(dtype=np.float64)
        total = sum(
            np.square(residuals[rows]).sum(dtype=np.float64)
            for rows in gen_batches(n_samples, 1024)
        )
        # what is fitted to noise does not count as free
        free = (n_samples - n_inputs - phi.shape[1]) * (n_bins - n_inputs)
        variance = max(total - n_samples * held, 0.0) / free if free > 0 else 0.0
        self.noise_variance = variance
        return found, total, variance

    def _incomplete(self, S, phi, sigma, random_state):
        """Do the same of what was observed, by its errors if they are known."""
        n_samples, n_bins = S.shape
        self.coef = regress(phi, S, sigma).astype(S.dtype)
        residuals = S - phi @ self.coef
        n_inputs = min(self.n_inputs, max(n_samples // 3, self.least), n_bins - 1)
        pca = ProbabilisticPCA(n_inputs, random_state=random_state)
        pca.fit(residuals, sigma=sigma)
        self.mean, self.components = pca.mean_, np.ascontiguousarray(pca.components_)
        self.noise_variance = variance = pca.noise_variance_
        found = pca.explained_variance_
        if sigma is not None:  # of a typical bin
            typical = float(np.median(sigma[~np.isnan(S)].astype(np.float64) ** 2))
            found, variance = found + typical, variance + typical
        rows = max(n_samples - phi.shape[1], 1)
        total = rows * (found.sum() + (n_bins - n_inputs) * variance)
        return found, total, variance

    def _mean(self, U, dtype):
        return self.polynomials(U).astype(dtype) @ self.coef + self.mean

    def encode(self, S, U, sigma=None):
        """Return what a network sees of spectra S at scaled labels U.

        Of spectra with gaps or errors, scores are those of highest likelihood.
        """
        residuals = S / S.dtype.type(self.scale) - self._mean(U, S.dtype)
        if sigma is None and not np.isnan(residuals).any():
            scores = residuals @ self.components.T
        else:
            if sigma is not None:
                sigma = sigma / S.dtype.type(self.scale)
            # of as many components as bins there is none, and weights need some
            noise = max(self.noise_variance, 1e-9 * self.prior.max() / uncertain.WIDE)
            scores = observed_scores(
                residuals, self.components, noise, self.prior, sigma
            )
        return (scores / self.unit).astype(S.dtype, copy=False)

    def decode(self, Y, U):
        """Return spectra."""
        spectra = self.unit * Y @ self.components + self._mean(U, Y.dtype)
        return (spectra * Y.dtype.type(self.scale)).astype(Y.dtype, copy=False)
