"""How spectra enter networks, and leave them."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches

from ._polynomials import OrthonormalPolynomials


class ScaledBins:
    """Every bin of the spectrum, scaled to ``slope * x + offset``.

    Parameters
    ----------
    slope, offset : float
        Of the scaling.
    """

    scatter = None

    def __init__(self, slope, offset):
        self.slope, self.offset = slope, offset

    def fit(self, S, U, random_state, noise):
        """Note what is needed of training spectra."""
        self.fresh = 0.0 if noise == "auto" else abs(self.slope) * noise
        return self

    def encode(self, S, U):
        """Return what a network sees of spectra S at scaled labels U."""
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
    """

    def __init__(self, n_inputs, degree, least=1):
        self.n_inputs, self.degree, self.least = n_inputs, degree, least

    def fit(self, S, U, random_state, noise):
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

        Returns
        -------
        self : ResidualComponents
        """
        n_samples, n_bins = S.shape
        self.polynomials = OrthonormalPolynomials(self.degree).fit(U)
        phi = self.polynomials(U).astype(S.dtype)
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
        rows = max(n_samples - phi.shape[1], 1)
        # the largest variance along a component of noise (Marchenko & Pastur)
        edge = variance * (1 + np.sqrt(n_bins / rows)) ** 2
        # some of what is weaker than noise still tells of abundances
        kept = max(np.count_nonzero(found > edge), 2 * self.least)
        self.components, found = self.components[:kept], found[:kept]
        signal = max(total / rows / n_bins - variance, 0.0)
        if noise == "auto":
            self.unit = np.sqrt(max(variance, signal))
            fresh = max(signal - variance, 0.0)
        else:
            self.unit = np.sqrt(max(variance + noise**2, signal))
            fresh = noise**2
        # spectra that do not differ, beside their labels, have no unit
        tiny = 10 * np.finfo(S.dtype).eps * max(S.max(), -S.min(), 1e-30)
        self.unit = float(max(self.unit, tiny))
        self.fresh = float(np.sqrt(fresh) / self.unit)
        deviations = np.sqrt(np.maximum(found, 0)) / self.unit
        self.scatter = np.maximum(deviations, 1e-3)
        return self

    def _mean(self, U, dtype):
        return self.polynomials(U).astype(dtype) @ self.coef + self.mean

    def encode(self, S, U):
        """Return what a network sees of spectra S at scaled labels U."""
        scores = (S - self._mean(U, S.dtype)) @ self.components.T
        return (scores / self.unit).astype(S.dtype, copy=False)

    def decode(self, Y, U):
        """Return spectra."""
        spectra = self.unit * Y @ self.components + self._mean(U, Y.dtype)
        return spectra.astype(Y.dtype, copy=False)
