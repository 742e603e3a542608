"""What a fitted probabilistic PCA knows of a row from its observed entries."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse.linalg import LinearOperator

from ..utils.uncertain import symmetric
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


class Observation:
    """What blocks of rows tell of their scores, by a fitted model.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Orthonormal axes, in the precision of the data.
    mean : ndarray of shape (n_features,)
        Mean.
    noise_variance : float
        Variance of the noise, beside that of the entries.
    """

    def __init__(self, components, mean, noise_variance):
        self.V = components.T
        self.mean = mean.astype(components.dtype)
        self.noise_variance = noise_variance

    @cached_property
    def _pairs(self):
        return pairs(self.V)

    @cached_property
    def _padded(self):
        """The basis in double precision, with a row of zeros."""
        return np.concatenate([self.V, np.zeros((1, self.V.shape[1]))])

    @cached_property
    def _gram(self):
        return self._padded.T @ self._padded

    def likelihood(self, block, missing, variance):
        """Return the likelihood of the scores of a block of rows.

        Parameters
        ----------
        block, missing, variance : ndarray of shape (n_rows, n_features)
            From `row_blocks`; `variance` may be None.

        Returns
        -------
        likelihood : Likelihood
        """
        V, noise = self.V, self.noise_variance
        residual = block - self.mean
        np.copyto(residual, 0, where=missing)
        if variance is not None:
            noise = variance + block.dtype.type(noise)
            weights = 1 / noise
            np.copyto(weights, 0, where=missing)
            information = (weights @ self._pairs).astype(np.float64)
            linear = ((weights * residual) @ V).astype(np.float64)
            return Likelihood(
                symmetric(information, V.shape[1]), linear, residual, noise
            )
        linear = (residual @ V).astype(np.float64) / noise
        return Likelihood(self._observed_gram(missing) / noise, linear, residual, noise)

    def _observed_gram(self, missing):
        """Return ``V_O.T @ V_O`` over the observed entries O of each row.

        In double precision, since it may be a small difference.
        """
        everything = self._gram
        listed = Listed(missing)
        if not len(listed.rows):
            return everything[None]
        gram = np.broadcast_to(everything, (len(missing), *everything.shape)).copy()
        for rows, columns in listed.chunks():
            entries = self._padded[columns]
            G = np.matmul(entries.transpose(0, 2, 1), entries)
            gram[rows] = np.where(listed.observed[rows, None, None], G, everything - G)
        return gram


def observed(blocks, components, mean, noise_variance, seen):
    """Yield what blocks of rows tell of their scores.

    Parameters
    ----------
    blocks : iterable
        From `row_blocks`, of all columns.
    components, mean, noise_variance :
        See `Observation`; also in columns that were never observed.
    seen : ndarray of bool of shape (n_features,)
        The columns that were, which alone count.

    Yields
    ------
    likelihood : Likelihood
    block, missing : ndarray of shape (n_rows, n_features)
    """
    if seen.all():
        seen = slice(None)
    model = Observation(components[:, seen], mean[seen], noise_variance)
    for _, block, missing, variance in blocks:
        variance = None if variance is None else variance[:, seen]
        yield (
            model.likelihood(block[:, seen], missing[:, seen], variance),
            block,
            missing,
        )


def covariance_operator(components, along, everywhere):
    """Return ``components.T @ diag(along) @ components + everywhere * I``, not formed.

    Parameters
    ----------
    components : ndarray of shape (n_components, n_features)
        Orthonormal axes.
    along : ndarray of shape (n_components,)
        Variances along them.
    everywhere : float
        Variance in all directions.

    Returns
    -------
    operator : LinearOperator of shape (n_features, n_features)
    """
    components = components.astype(np.float64)

    def product(x):
        low = components @ x
        return components.T @ (low.T * along).T + everywhere * x

    p = components.shape[1]
    return LinearOperator(
        (p, p), matvec=product, rmatvec=product, matmat=product, rmatmat=product
    )
