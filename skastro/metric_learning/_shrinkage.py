"""How far the covariance within clusters goes to its diagonal, told by other clusters.

Two weights make the estimate: one takes the covariance to a diagonal in the columns of
X, the other takes that diagonal's variances to one common share of the population's,
which is the metric of scaled columns. Each pair on a grid of weights is judged by
clusters that the covariance was not learned from, and the weights are the mean of all,
each as likely as it makes what was left out. Strangers are every n-th star of the
field, so that the order of rows matters a little.
"""

import numpy as np

#: Weights of the diagonal that are tried.
WEIGHTS = (0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
#: Weights of a common share of the population's variance within the diagonal.
EVENNESS = (0.0, 0.1, 0.3, 1.0)
#: The common share is no more than this: siblings are not as unlike as strangers.
MOST_COMMON = 0.9
#: Clusters are left out in so many parts, at most.
FOLDS = 10
#: Clusters, and members of one, that judge at most.
JUDGES, MEMBERS = 200, 10


def diagonal(own, evenness, population):
    """Return the target of shrinkage.

    Parameters
    ----------
    own : ndarray of shape (n_values,)
        Variances within clusters of the columns of X.
    evenness : float
        Weight of a common share of the population's variances, from 0 to 1.
    population : Population

    Returns
    -------
    target : ndarray of shape (n_dimensions, n_dimensions)
        Diagonal in the columns of X, in coordinates in which the population is a
        sphere.
    """
    of_all = population.variance
    varies = of_all > 0
    common = min(np.mean(own[varies] / of_all[varies]), MOST_COMMON)
    variance = (1 - evenness) * own + evenness * common * of_all
    return (population.whitening.T * variance) @ population.whitening


def own_variances(scatter, n_free, population):
    """Return the variances of X's columns of a scatter matrix within clusters."""
    back = population.back
    return np.einsum("ij,ik,kj->j", back, scatter, back) / n_free


def choose_weights(z, groups, population):
    """Return the weights that left-out clusters make likely.

    A pair of left-out siblings i, j has the log likelihood
    ``ln P(a stranger is nearer to i than j is)``, negative: the doppelganger rate of
    the pair. Pairs of a cluster are averaged, clusters add up. Ranks do not depend on
    the scale of the covariance, of which a Gaussian likelihood would make too much.

    Parameters
    ----------
    z : ndarray of shape (n, n_dimensions)
        Members of clusters, in coordinates in which the population is a sphere.
    groups : ndarray of int of shape (n,)
        Their clusters, from 0. One cluster is judged by its own pairs of stars.
    population : Population
        With strangers.

    Returns
    -------
    weight, evenness : float
        See `diagonal`.
    """
    if groups.max() == 0:
        groups = np.arange(len(z)) % max(len(z) // 2, 1)
    n_groups = groups.max() + 1
    grid = np.array([(w, e) for w in WEIGHTS for e in EVENNESS if w or not e])
    loss = np.zeros(len(grid))
    n_folds = min(FOLDS, n_groups) if n_groups > 1 else 0
    step = -(-n_groups // JUDGES)
    for fold in range(n_folds):
        out = groups % n_folds == fold
        residual = residuals(z[~out], groups[~out])
        scatter = residual.T @ residual
        n_free = len(residual) - len(np.unique(groups[~out]))
        maps = _maps(scatter, n_free, grid, population)
        strangers = population.strangers @ maps
        judges = np.unique(groups[out])[::step]
        for judge in judges:
            members = z[groups == judge][:MEMBERS] @ maps
            loss += step * _log_shares(members, strangers)
        if n_free < z.shape[1]:
            loss[grid[:, 0] == 0] = np.inf
    likelihood = np.exp(loss.min() - loss)
    likelihood /= likelihood.sum()
    weight = likelihood @ grid[:, 0]
    return float(weight), float(likelihood @ grid.prod(axis=1) / max(weight, 1e-300))


def residuals(z, groups):
    """Return vectors less the mean of their group."""
    groups = np.unique(groups, return_inverse=True)[1]
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    sums = np.add.reduceat(z[order], np.cumsum(counts) - counts)
    return z - (sums / counts[:, None])[groups]


def _maps(scatter, n_free, grid, population):
    """Return the linear map of each pair of weights."""
    own = own_variances(scatter, n_free, population)
    targets = {e: diagonal(own, e, population) for e in EVENNESS}
    covariances = [(1 - w) * scatter / n_free + w * targets[e] for w, e in grid]
    variance, rotation = np.linalg.eigh(np.array(covariances))
    variance = np.maximum(variance, 1e-9)
    return rotation * np.sqrt(np.maximum(1 / variance - 1, 0))[:, None]


def _log_shares(members, strangers):
    """Return the mean log share of strangers that are nearer than a sibling."""
    n_maps, n, _ = members.shape
    square = (members**2).sum(axis=2)
    far = square[:, :, None] + (strangers**2).sum(axis=2)[:, None]
    far -= 2 * members @ strangers.transpose(0, 2, 1)
    near = square[:, :, None] + square[:, None]
    near -= 2 * members @ members.transpose(0, 2, 1)
    total = np.zeros(n_maps)
    for j in range(n):
        nearer = (far <= near[:, :, j, None]).sum(axis=2)
        share = np.log((1 + nearer) / (1 + far.shape[2]))
        total += share.sum(axis=1) - share[:, j]
    return total / (n * (n - 1))
