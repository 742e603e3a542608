"""Gaussian scatter behind measurements of which each has its own error covariance."""

import numpy as np
from scipy.linalg import eigh
from sklearn.exceptions import ConvergenceWarning

from ..utils.warn import warn


def typical_error(C):
    """Return the harmonic mean of covariances, which a few wide ones do not widen."""
    k = C.shape[1]
    ridge = 1e-6 * np.median(np.trace(C, axis1=1, axis2=2)) / k
    ridge = max(ridge, np.finfo(C.dtype).tiny)
    return np.linalg.inv(np.linalg.inv(C + ridge * np.eye(k)).mean(axis=0))


def intrinsic_covariance(x, C, groups, *, prior=None, tol=1e-2, max_iter=500):
    """Fit the covariance of groups of vectors beyond that of their errors.

    Vector i of group g is ``N(mean_g, S + C_i)``. S is of restricted maximum
    likelihood, the means being integrated out, by the minorise-maximise algorithm of
    Zhou et al. 2019, J. Comput. Graph. Stat. 28, 350: with the gradient
    ``(gain - loss) / 2``, the next S solves ``S' loss S' = S gain S``.

    Parameters
    ----------
    x : ndarray of shape (n, k)
        Vectors.
    C : ndarray of shape (n, k, k)
        Covariances of their errors.
    groups : ndarray of int of shape (n,)
        Numbers of the groups, from 0.
    prior : tuple of float and ndarray of shape (k, k), default=None
        So many further differences, without errors, that scatter with this covariance:
        a conjugate inverse-Wishart prior, of which the mode is taken. Needed where
        there are fewer differences than dimensions.
    tol : float, default=1e-2
        Ends when no variance of any combination changes by more than this fraction
        of itself and a tenth of its error.
    max_iter : int, default=500
        Steps at most.

    Returns
    -------
    S : ndarray of shape (k, k)
        Intrinsic covariance, positive definite.
    means : ndarray of shape (n_groups, k)
        Means of the groups, by generalised least squares.
    """
    order = np.argsort(groups, kind="stable")
    x, C, groups = x[order], C[order], groups[order]
    start = np.flatnonzero(np.diff(groups, prepend=-1))
    residual = x - (np.add.reduceat(x, start) / np.bincount(groups)[:, None])[groups]
    n_free = len(x) - len(start)
    n_prior, expected = (0.0, 0.0) if prior is None else prior
    S = (residual.T @ residual + n_prior * expected) / (n_free + n_prior)
    error = typical_error(C)
    for _ in range(max_iter):
        P = np.linalg.inv(S + C)
        Px = np.einsum("nij,nj->ni", P, x)
        of_means = np.linalg.inv(np.add.reduceat(P, start))
        means = np.einsum("gij,gj->gi", of_means, np.add.reduceat(Px, start))
        left = Px - np.einsum("nij,nj->ni", P, means[groups])
        gain = left.T @ left
        loss = P.sum(axis=0)
        loss -= np.tensordot(P @ of_means[groups], P, axes=([0, 2], [0, 1]))
        if n_prior:
            inverse = np.linalg.inv(S)
            gain += n_prior * inverse @ expected @ inverse
            loss += n_prior * inverse
        # S' by the Cholesky factor of loss
        L = np.linalg.cholesky((loss + loss.T) / 2)
        SL = S @ L
        square, V = np.linalg.eigh(SL.T @ gain @ SL)
        V = np.linalg.solve(L.T, V)
        new = (V * np.sqrt(np.maximum(square, 0))) @ V.T
        change = eigh(new - S, new + error / 10, eigvals_only=True)
        S = new
        if np.abs(change).max() < tol:
            break
    else:
        warn(
            f"The intrinsic covariance did not converge in {max_iter} steps.",
            ConvergenceWarning,
        )
    return S, means


def intrinsic_variances(x, variances, groups, *, tol=1e-2, max_iter=500):
    """Fit `intrinsic_covariance` to each column by itself.

    Parameters
    ----------
    x : ndarray of shape (n, k)
        Vectors.
    variances : ndarray of shape (n, k)
        Variances of their errors.
    groups : ndarray of int of shape (n,)
        Numbers of the groups, from 0.
    tol : float, default=1e-2
        Ends when no variance changes by more than this fraction of itself and a tenth
        of its error.
    max_iter : int, default=500
        Steps at most.

    Returns
    -------
    s : ndarray of shape (k,)
        Intrinsic variances, at least 0.
    """
    order = np.argsort(groups, kind="stable")
    x, variances, groups = x[order], variances[order], groups[order]
    start = np.flatnonzero(np.diff(groups, prepend=-1))
    means = np.add.reduceat(x, start) / np.bincount(groups)[:, None]
    s = ((x - means[groups]) ** 2).sum(axis=0) / (len(x) - len(start))
    tiny = np.finfo(float).tiny
    error = len(x) / (1 / np.maximum(variances, tiny)).sum(axis=0)
    for _ in range(max_iter):
        P = 1 / np.maximum(s + variances, tiny)
        of_means = 1 / np.add.reduceat(P, start)
        means = of_means * np.add.reduceat(P * x, start)
        gain = ((P * (x - means[groups])) ** 2).sum(axis=0)
        loss = P.sum(axis=0) - (P**2 * of_means[groups]).sum(axis=0)
        new = s * np.sqrt(gain / np.maximum(loss, tiny))
        change = np.abs(new - s) / np.maximum(new + error / 10, tiny)
        s = new
        if change.max() < tol:
            break
    return s


def pair_log_density(difference, C, extra):
    """Return log densities of differences of many pairs, up to a constant.

    ``-2 ln N(d; 0, C + extra) - k ln 2 pi`` by Cholesky elimination over all pairs at
    once, which suits many small matrices.

    Parameters
    ----------
    difference : ndarray of shape (k, n)
        Differences.
    C : ndarray of shape (k, k, n)
        Covariances, one for each pair.
    extra : ndarray of shape (k, k)
        Added to each.

    Returns
    -------
    value : ndarray of shape (n,)
        Squared distances plus log determinants.
    """
    k = len(C)
    L = C + extra.astype(C.dtype)[:, :, None]
    u = difference.copy()
    value = np.zeros(C.shape[2], C.dtype)
    for j in range(k):
        pivot = L[j, j]
        value += np.log(pivot)
        value += u[j] ** 2 / pivot
        ratio = L[j + 1 :, j] / pivot
        u[j + 1 :] -= ratio * u[j]
        for i in range(j + 1, k):
            L[i, j + 1 : i + 1] -= ratio[i - j - 1] * L[j + 1 : i + 1, j]
    return value
