"""The decoder of conditional factor analysis, and what spectra tell through it."""

from functools import cached_property

import numpy as np

from ._scores import Scores

#: Rows at once where entries have weights of their own.
ROWS = 128


class Decoder:
    r"""Spectra :math:`x = A^T \phi(u) + L(u)^T z` with noise in each bin.

    With :math:`L(u) = \sum_b \varphi_b(u) L_b`.

    Parameters
    ----------
    mean : ndarray of shape (n_mean_terms, n_bins)
        The coefficients A.
    loadings : ndarray of shape (n_loading_terms, n_components, n_bins)
        The :math:`L_b`.
    noise : ndarray of shape (n_bins,)
        Variance of the noise in each bin, beside that of the entries.
    """

    def __init__(self, mean, loadings, noise):
        self.mean, self.loadings, self.noise = mean, loadings, noise
        self.n_components = loadings.shape[1]

    @property
    def coefficients(self):
        """All coefficients in one table, of the terms as `terms` orders them."""
        return np.vstack([self.mean, self.loadings.reshape(-1, self.mean.shape[1])])

    @staticmethod
    def terms(phi_mean, phi, z):
        """Return the terms whose coefficients are `coefficients`."""
        products = phi[:, :, None] * z[:, None, :]
        return np.hstack([phi_mean, products.reshape(len(z), -1)])

    def decode(self, phi_mean, phi, z):
        """Return spectra without noise."""
        return self.terms(phi_mean, phi, z) @ self.coefficients

    @cached_property
    def _weighted(self):
        """Loadings over the noise variance, and their products of two terms."""
        n_terms, k, n_bins = self.loadings.shape
        flat = self.loadings.reshape(n_terms * k, n_bins)
        weighted = flat / self.noise
        products = (flat @ weighted.T).reshape(n_terms, k, n_terms, k)
        products = products.transpose(0, 2, 1, 3).reshape(n_terms**2, k * k)
        return weighted, products.astype(np.float64)

    def likelihood(self, residual, phi, variance=None, missing=None):
        """Return what spectra tell of their latent variables.

        Parameters
        ----------
        residual : ndarray of shape (n_rows, n_bins)
            Spectra less the mean at their labels; 0 where missing.
        phi : ndarray of shape (n_rows, n_loading_terms)
            Terms of the loadings.
        variance : ndarray of shape (n_rows, n_bins), default=None
            Variances of the entries, beside `noise`.
        missing : ndarray of bool of shape (n_rows, n_bins), default=None
            Entries without data.

        Returns
        -------
        information : ndarray of float64, of shape (n_rows, k, k)
            Inverse covariance of the latent variables of highest likelihood.
        linear : ndarray of float64, of shape (n_rows, k)
            Information times these.
        """
        n_terms, k, _ = self.loadings.shape
        single = np.zeros(len(residual), dtype=bool)
        if variance is not None:
            single[:] = True
        elif missing is not None:
            single = missing.any(axis=1)
        information = np.empty((len(residual), k, k))
        linear = np.empty((len(residual), k))
        shared = ~single
        if shared.any():
            weighted, products = self._weighted
            each = (residual[shared] @ weighted.T).reshape(-1, n_terms, k)
            p = phi[shared]
            linear[shared] = np.einsum("nb,nbk->nk", p, each)
            pairs = (p[:, :, None] * p[:, None, :]).reshape(len(p), -1)
            information[shared] = (pairs @ products).reshape(-1, k, k)
        if single.any():
            information[single], linear[single] = self._entrywise(
                residual[single],
                phi[single],
                None if variance is None else variance[single],
                None if missing is None else missing[single],
            )
        return information, linear

    def log_density(self, residual, phi, variance=None, missing=None):
        """Return the log density of spectra, with latent variables integrated out.

        Parameters
        ----------
        residual, phi, variance, missing : ndarray
            As of `likelihood`, in double precision.

        Returns
        -------
        scores : Scores
        """
        information, linear = self.likelihood(residual, phi, variance, missing)
        z, covariance = combine(information, linear)
        weights = self.weights(residual.shape, variance, missing)
        n_seen = np.count_nonzero(weights, axis=1)
        log_weights = np.log(np.where(weights > 0, weights, 1)).sum(axis=1)
        chi_square = np.einsum("np,np,np->n", weights, residual, residual)
        chi_square -= (linear * z).sum(axis=1)
        log_det = np.linalg.slogdet(covariance)[1] + log_weights
        density = (log_det - chi_square - n_seen * np.log(2 * np.pi)) / 2
        return Scores(density, chi_square, n_seen)

    def weights(self, shape, variance, missing):
        """Return inverse variances of entries, 0 where missing."""
        total = self.noise if variance is None else self.noise + variance
        weights = np.broadcast_to(1 / total, shape)
        if missing is not None and missing.any():
            weights = np.where(missing, 0, weights)
        return weights

    def _entrywise(self, residual, phi, variance, missing):
        """Return the likelihood where entries have weights of their own."""
        n_terms, k, n_bins = self.loadings.shape
        root = np.sqrt(self.weights(residual.shape, variance, missing))
        response = phi @ self.loadings.reshape(n_terms, k * n_bins)
        response = response.reshape(len(phi), k, n_bins)
        response *= root[:, None]
        linear = np.matmul(response, (root * residual)[..., None])[..., 0]
        return np.matmul(response, response.transpose(0, 2, 1)), linear


def combine(information, linear, precision=1.0):
    """Return means and covariances with a prior ``N(0, I / precision)``."""
    k = information.shape[1]
    covariance = np.linalg.inv(information + precision * np.eye(k))
    covariance = (covariance + covariance.transpose(0, 2, 1)) / 2
    return np.matmul(covariance, linear[..., None])[..., 0], covariance
