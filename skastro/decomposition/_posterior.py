"""What a fitted probabilistic PCA knows of a row from its observed entries."""

from dataclasses import dataclass

import numpy as np

from .._covariance import symmetric
from ._ppca_missing import Listed
from ._ppca_weighted import pairs


@dataclass(frozen=True)
class Likelihood:
    """Gaussian likelihood of the scores of some rows, before their prior.

    Parameters
    ----------
    information : ndarray of shape (n_rows, n_components, n_components), float64
        Inverse covariance of the scores; of shape (1, ...) if equal for all.
    linear : ndarray of shape (n_rows, n_components), float64
        Information times the scores of highest likelihood.
    residual : ndarray of shape (n_rows, n_features)
        Distance from the mean, 0 where missing.
    noise : ndarray of shape (n_rows, n_features), or float
        Variances of the entries.
    """

    information: np.ndarray
    linear: np.ndarray
    residual: np.ndarray
    noise: np.ndarray | float

    def combine(self, precision):
        """Return scores and covariances with a prior of given precisions."""
        matrix = self.information.copy()
        k = np.arange(matrix.shape[1])
        matrix[:, k, k] += precision
        covariance = np.linalg.inv(matrix)
        return np.matmul(covariance, self.linear[..., None])[..., 0], covariance

    def log_density(self, components, signal, missing):
        """Return the log-likelihood of the observed entries, scores integrated out.

        Parameters
        ----------
        components : ndarray of shape (n_components, n_features)
            Orthonormal axes.
        signal : ndarray of shape (n_components,)
            Variances of the scores.
        missing : ndarray of bool of shape (n_rows, n_features)

        Returns
        -------
        log_density : ndarray of shape (n_rows,)
        """
        scores, _ = self.combine(1 / signal)
        matrix = self.information * signal
        k = np.arange(len(signal))
        matrix[:, k, k] += 1
        left = self.residual - scores.astype(components.dtype) @ components
        np.copyto(left, 0, where=missing)
        n_observed = missing.shape[1] - np.count_nonzero(missing, axis=1)
        if np.ndim(self.noise):
            log_noise = np.log(self.noise, dtype=np.float64).sum(axis=1, where=~missing)
        else:
            log_noise = n_observed * np.log(self.noise)
        np.square(left, out=left)
        left /= self.noise
        return -0.5 * (
            left.sum(axis=1, dtype=np.float64)
            + (scores**2 / signal).sum(axis=1)
            + np.linalg.slogdet(matrix)[1]
            + log_noise
            + n_observed * np.log(2 * np.pi)
        )


def likelihood(components, mean, noise_variance, block, missing, variance):
    """Return the likelihood of the scores of a block of rows.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Orthonormal axes.
    mean : ndarray of shape (n_features,)
        Mean.
    noise_variance : float
        Variance of the noise, beside that of `variance`.
    block, missing, variance : ndarray of shape (n_rows, n_features)
        From `row_blocks`; `variance` may be None.

    Returns
    -------
    likelihood : Likelihood
    """
    V = components.T
    residual = block - mean.astype(block.dtype)
    np.copyto(residual, 0, where=missing)
    if variance is not None:
        noise = variance + block.dtype.type(noise_variance)
        weights = 1 / noise
        np.copyto(weights, 0, where=missing)
        information = symmetric((weights @ pairs(V)).astype(np.float64), V.shape[1])
        linear = (weights * residual) @ V
        return Likelihood(information, linear.astype(np.float64), residual, noise)
    linear = (residual @ V).astype(np.float64) / noise_variance
    information = observed_gram(V, missing) / noise_variance
    return Likelihood(information, linear, residual, noise_variance)


def observed_gram(V, missing):
    """Return ``V_O.T @ V_O`` over the observed entries O of each row.

    In double precision, since it may be a small difference.
    """
    V = V.astype(np.float64)
    everything = V.T @ V
    listed = Listed(missing)
    if not len(listed.rows):
        return everything[None]
    k = len(everything)
    gram = np.broadcast_to(everything, (len(missing), k, k)).copy()
    padded = np.concatenate([V, np.zeros((1, k))])
    for rows, columns in listed.chunks():
        entries = padded[columns]
        G = np.matmul(entries.transpose(0, 2, 1), entries)
        gram[rows] = np.where(listed.observed[rows, None, None], G, everything - G)
    return gram
