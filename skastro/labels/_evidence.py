"""What spectra say of the model's components, whatever pixels they have."""

from dataclasses import dataclass

import numpy as np

from ..decomposition._ppca_weighted import pairs
from ..utils.uncertain import symmetric

#: Components up to which products of their spectra are made once for all stars.
_MOST_PAIRS = 80


@dataclass
class Evidence:
    r"""The likelihood of the labels of some stars.

    It is :math:`\exp(-\chi^2(f) / 2)` for components f that the labels predict, with
    :math:`\chi^2(f) = c - 2 h^T f + f^T \Lambda f`.

    Parameters
    ----------
    constant : ndarray of shape (n,)
    linear : ndarray of shape (n, n_components)
    precision : ndarray of shape (n, n_components, n_components)
        Or of shape (1, n_components, n_components), if all are the same.
    mean : ndarray of shape (n, n_components)
        Components that the population and the spectrum tell of, to begin with.
    n_observed : ndarray of int, of shape (n,)
        Pixels of each star.
    """

    constant: np.ndarray
    linear: np.ndarray
    precision: np.ndarray
    mean: np.ndarray
    n_observed: np.ndarray

    def take(self, rows):
        """Return some of the stars."""
        one = len(self.precision) == 1
        return Evidence(
            self.constant[rows],
            self.linear[rows],
            self.precision if one else self.precision[rows],
            self.mean[rows],
            self.n_observed[rows],
        )


class Components:
    """Spectra of components, in which predicted spectra lie, and their noise.

    Parameters
    ----------
    spectra : ndarray of shape (n_pixels, n_components)
        Orthonormal, of spectra divided by the typical noise of each pixel.
    mean : ndarray of shape (n_pixels,)
        Mean spectrum.
    noise : Noise
    signal : ndarray of shape (n_components,)
        Variance of each component in the population.
    """

    def __init__(self, spectra, mean, noise, signal):
        self.spectra = spectra
        self.mean = mean
        self.noise = noise
        self.signal = signal
        #: square root of the covariance of what labels do not tell of the components
        self.misfit = np.zeros((spectra.shape[1], 0))
        self._products = {}

    def set_misfit(self, covariance):
        """Take the covariance of what labels do not tell of the components."""
        variance, axes = np.linalg.eigh(covariance)
        kept = variance > 1e-3
        self.misfit = axes[:, kept] * np.sqrt(variance[kept])

    def project(self, block, missing, variance):
        """Return sums over the pixels of some spectra.

        Returns
        -------
        information : ndarray of shape (n or 1, n_components, n_components)
        linear : ndarray of shape (n, n_components)
        square : ndarray of shape (n,)
            Of spectra less the mean, over their noise.
        """
        dtype = block.dtype
        k = self.spectra.shape[1]
        left = (block - self.mean.astype(dtype)) / self._unit(dtype)
        np.copyto(left, 0, where=missing)
        spectra = self.spectra.astype(dtype)
        if variance is None and not missing.any():
            square = np.einsum("ij,ij->i", left, left, dtype=np.float64)
            return np.eye(k)[None], (left @ spectra).astype(float), square
        if variance is None:
            weight = (~missing).astype(dtype)
        else:
            weight = self.noise.typical.astype(dtype) / (
                variance + self.noise.scatter.astype(dtype)
            )
            np.copyto(weight, 0, where=missing)
        square = np.einsum("ij,ij,ij->i", weight, left, left, dtype=np.float64)
        linear = ((weight * left) @ spectra).astype(float)
        if variance is None:
            return _of_gaps(missing, spectra), linear, square
        if k <= _MOST_PAIRS:
            products = weight @ self._pairs(dtype)
            return symmetric(products.astype(float), k), linear, square
        information = np.empty((len(block), k, k))
        for own, row in zip(information, weight, strict=True):
            own[:] = spectra.T @ (row[:, None] * spectra)
        return information, linear, square

    def _pairs(self, dtype):
        """Return products of spectra, made once."""
        if dtype not in self._products:
            self._products[dtype] = pairs(self.spectra.astype(dtype))
        return self._products[dtype]

    def __getstate__(self):
        return self.__dict__ | {"_products": {}}

    def _unit(self, dtype):
        return np.sqrt(self.noise.typical).astype(dtype)

    def evidence(self, block, missing, variance):
        """Return what some spectra say of components that labels predict."""
        A, b, square = self.project(block, missing, variance)
        E = self.misfit
        AE = A @ E
        inner = np.linalg.inv(np.eye(E.shape[1]) + E.T @ AE)
        gain = AE @ inner  # (n or 1, K, r)
        along = b @ E
        linear = b - _times(gain, along)
        constant = square - np.einsum("nr,nr->n", along, _times(inner, along))
        precision = A - gain @ AE.transpose(0, 2, 1)
        wide = A + np.diag(1 / np.maximum(self.signal, 1e-12))
        mean = _solve(wide, b)
        n_observed = np.count_nonzero(~missing, axis=1)
        return Evidence(constant, linear, precision, mean, n_observed)


def _of_gaps(missing, spectra):
    """Return the information of entries of unit weight, of those that are there."""
    k = spectra.shape[1]
    information = np.empty((len(missing), k, k))
    for own, gaps in zip(information, missing, strict=True):
        if 2 * np.count_nonzero(gaps) < len(gaps):  # what the gaps take away
            lost = spectra[gaps]
            own[:] = np.eye(k) - lost.T @ lost
        else:
            seen = spectra[~gaps]
            own[:] = seen.T @ seen
    return information


def _times(matrices, rows):
    """Multiply each row by its own matrix, or by one for all."""
    if len(matrices) == 1:
        return rows @ matrices[0].T
    return np.einsum("nij,nj->ni", matrices, rows)


def _solve(matrices, rows):
    """Solve for each row, with its own matrix or one for all."""
    if len(matrices) == 1:
        return np.linalg.solve(matrices[0], rows.T).T
    return np.linalg.solve(matrices, rows[..., None])[..., 0]
