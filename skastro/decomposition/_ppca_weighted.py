"""EM for probabilistic PCA with an error for each entry.

Entry j of row n has variance ``sigma[n, j]**2 + noise_variance``, or infinite where it
is missing. The normal matrices of both steps are products of large matrices: those of
the scores are ``weights @ pairs(W)``, those of the columns ``weights.T @ moments``,
where ``pairs`` lists the products of the entries of a row of the loadings W.
"""

from dataclasses import dataclass

import numpy as np

from ..utils.uncertain import lower_triangle, symmetric


@dataclass(frozen=True)
class WeightedModel:
    """Parameters in the course of a fit."""

    mean: np.ndarray  # (n_features,), float64
    loadings: np.ndarray  # (n_features, n_components), float64
    noise_variance: float


def pairs(W):
    """Return the products of the columns of W, lower triangle only."""
    i, j = np.tril_indices(W.shape[1])
    return W[:, i] * W[:, j]


def em_pass(blocks, model, step=1.0):
    """Take one step of EM.

    The loadings and means are maximised with their scale free (parameter expansion,
    Liu, Rubin & Wu 1998); the noise variance takes a step of Fisher scoring on the
    marginal likelihood.

    Parameters
    ----------
    blocks : iterable
        From `row_blocks`, with variances.
    model : WeightedModel
        Current parameters.
    step : float, default=1.0
        Length of the step of the noise variance.

    Returns
    -------
    model : WeightedModel
        New parameters.
    log_likelihood : float
        Log-likelihood of the observed entries under the *current* parameters.
    """
    W, k = model.loadings, model.loadings.shape[1]
    n_features = len(W)
    n_pairs = k * (k + 1) // 2
    normal = np.zeros((n_features, n_pairs + k + 1))
    target = np.zeros((n_features, k + 1))
    second_moment = np.zeros((k, k))
    n_rows, log_likelihood, slope, information = 0, 0.0, 0.0, 0.0
    lower = np.tril_indices(k)
    loadings = None
    for _, block, missing, variance in blocks:
        dtype = block.dtype
        if loadings is None:
            loadings = W.astype(dtype)
            products = pairs(loadings)
        residual = block - model.mean.astype(dtype)
        np.copyto(residual, 0, where=missing)
        variance = variance + dtype.type(model.noise_variance)
        weights = 1 / variance
        np.copyto(weights, 0, where=missing)
        weighted = weights * residual
        precision = symmetric((weights @ products).astype(np.float64), k)
        precision[:, np.arange(k), np.arange(k)] += 1
        covariance = np.linalg.inv(precision)
        linear = (weighted @ loadings).astype(np.float64)
        scores = np.einsum("nij,nj->ni", covariance, linear)
        # the likelihood of what is observed
        quadratic = np.einsum("ij,ij->i", weighted, residual).astype(np.float64)
        quadratic -= np.einsum("ni,ni->n", scores, linear)
        np.copyto(variance, 1, where=missing)
        log_likelihood -= 0.5 * (
            quadratic.sum()
            + np.linalg.slogdet(precision)[1].sum()
            + np.log(variance).sum(dtype=np.float64)
            + np.count_nonzero(~missing) * np.log(2 * np.pi)
        )
        # sums for the loadings and the mean
        moment = covariance + scores[:, :, None] * scores[:, None, :]
        second_moment += moment.sum(axis=0)
        moments = np.ones((len(block), n_pairs + k + 1), dtype)
        moments[:, :n_pairs] = lower_triangle(moment)
        moments[:, n_pairs:-1] = scores
        normal += weights.T @ moments
        target += weighted.T @ moments[:, n_pairs:]
        n_rows += len(block)
        # slope and information of the noise variance
        left = weighted - weights * (scores.astype(dtype) @ loadings.T)
        slope += np.einsum("ij,ij->i", left, left).sum(dtype=np.float64)
        slope -= weights.sum(dtype=np.float64)
        np.square(weights, out=weights)
        information += weights.sum(dtype=np.float64)
        slope += np.einsum("nij,nij->", covariance, symmetric(weights @ products, k))
    # each column's own regression on [scores, 1]
    matrices = np.zeros((n_features, k + 1, k + 1))
    matrices[:, lower[0], lower[1]] = normal[:, :n_pairs]
    matrices[:, lower[1], lower[0]] = normal[:, :n_pairs]
    matrices[:, k, :] = normal[:, n_pairs:]
    matrices[:, :, k] = normal[:, n_pairs:]
    solution = np.linalg.solve(matrices, target[..., None])[..., 0]
    scale = np.linalg.cholesky(second_moment / n_rows)
    noise = model.noise_variance + step * slope / information
    new = WeightedModel(
        mean=model.mean + solution[:, k],
        loadings=solution[:, :k] @ scale,
        noise_variance=max(noise, model.noise_variance / 4),
    )
    return new, log_likelihood
