"""Mixtures of Student's t distributions in probits, compiled: proposals of sampling.

A probit is a standard normal deviate under the prior, of which every proposal has a
share, so that weights are bounded where a mixture is wrong.
"""

from math import ceil, exp, lgamma, log, log2, pi, sqrt

import numpy as np
from numba import njit
from scipy import special
from scipy.stats import qmc

from ._exponentials import exponentials

#: Share of the prior in every proposal.
PRIOR_SHARE = 0.05
#: Degrees of freedom of the components, and what widens their covariance.
FREEDOM, INFLATION = 6.0, 1.2
#: Passes of the fit, and different points per component and dimension that it needs.
_N_PASSES, _POINTS_PER_DIMENSION = 6, 10
#: Added to the covariance, in units of that of all points.
_REGULARISATION = 1e-3


def probits_of_prior(n, n_dimensions, rng):
    """Draw probits from the prior, evenly: the first points of Sobol's sequence.

    Parameters
    ----------
    n : int
        How many.
    n_dimensions : int
        Of how many dimensions.
    rng : numpy Generator
        Scrambles the sequence.

    Returns
    -------
    z : ndarray of shape (n, n_dimensions)
    """
    try:
        sobol = qmc.Sobol(n_dimensions, rng=rng)
    except TypeError:  # scipy < 1.15
        sobol = qmc.Sobol(n_dimensions, seed=rng)
    # a power of 2 of them is even
    u = sobol.random(2 ** ceil(log2(n)))[:n]
    return special.ndtri(np.clip(u, 1e-9, 1 - 1e-9))


@njit(nogil=True, cache=True)
def _cholesky(matrix, factor):
    """Write the lower factor of a symmetric matrix; return whether it has one."""
    d = len(matrix)
    for i in range(d):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i == j:
                if not total > 0.0:
                    return False
                factor[i, i] = sqrt(total)
            else:
                factor[i, j] = total / factor[j, j]
        for j in range(i + 1, d):
            factor[i, j] = 0.0
    return True


@njit(nogil=True, cache=True)
def _invert(factor, inverse):
    """Write the inverse of a lower triangular matrix."""
    d = len(factor)
    for j in range(d):
        for i in range(d):
            inverse[i, j] = 0.0
        inverse[j, j] = 1.0 / factor[j, j]
        for i in range(j + 1, d):
            total = 0.0
            for k in range(j, i):
                total -= factor[i, k] * inverse[k, j]
            inverse[i, j] = total / factor[i, i]


@njit(nogil=True, cache=True)
def _distance(point, mean, inverse):
    """Return the squared Mahalanobis distance."""
    d, total = len(point), 0.0
    for i in range(d):
        deviate = 0.0
        for j in range(i + 1):
            deviate += inverse[i, j] * (point[j] - mean[j])
        total += deviate * deviate
    return total


@njit(nogil=True, cache=True)
def log_normal(point):
    """Return the logarithm of the density of the prior at probits of shape (d,)."""
    total = 0.0
    for value in point:
        total += value * value
    return -0.5 * total - 0.5 * len(point) * log(2 * pi)


@njit(nogil=True, cache=True)
def _covariance(points, mean, covariance):
    """Write mean and covariance of points."""
    n, d = points.shape
    for i in range(d):
        mean[i] = 0.0
        for m in range(n):
            mean[i] += points[m, i] / n
    for i in range(d):
        for j in range(i + 1):
            total = 0.0
            for m in range(n):
                total += (points[m, i] - mean[i]) * (points[m, j] - mean[j])
            covariance[i, j] = covariance[j, i] = total / n


@njit(nogil=True, cache=True)
def fit_mixture(points, n_most):
    """Fit a mixture of normal distributions to points, and widen it.

    Random numbers are those of numba's generator.

    Parameters
    ----------
    points : ndarray of shape (n_points, d)
        Points of equal weight; they may repeat.
    n_most : int
        Components, at most.

    Returns
    -------
    weights : ndarray of shape (n_components,)
        Of the components.
    means : ndarray of shape (n_components, d)
        Their means.
    factors, inverses : ndarray of shape (n_components, d, d)
        Lower factors of their scale matrices, and the inverses of these.
    """
    n, d = points.shape
    overall, spread = np.empty(d), np.empty((d, d))
    _covariance(points, overall, spread)
    trace = 0.0
    for i in range(d):
        trace += spread[i, i] / d
    for i in range(d):
        spread[i, i] += 1e-6 * trace + 1e-12
    n_distinct = len(np.unique(points[:, 0]))
    k = min(n_most, max(1, n_distinct // (_POINTS_PER_DIMENSION * d)))
    weights, means = np.full(k, 1.0 / k), np.empty((k, d))
    covariances = np.empty((k, d, d))
    factors, inverses = np.empty((k, d, d)), np.empty((k, d, d))
    root, whitening = np.empty((d, d)), np.empty((d, d))
    _cholesky(spread, root)
    _invert(root, whitening)
    # means far from each other (k-means++), each as wide as its share of the whole
    far = np.full(n, np.inf)
    for c in range(k):
        if c == 0:
            chosen = np.random.randint(n)
        else:
            level, total, chosen = np.random.random() * far.sum(), 0.0, n - 1
            for m in range(n):
                total += far[m]
                if total >= level:
                    chosen = m
                    break
        means[c] = points[chosen]
        for m in range(n):
            far[m] = min(far[m], _distance(points[m], means[c], whitening))
        covariances[c] = spread / k ** (2.0 / d)
    share = np.empty((n, k))
    for _ in range(_N_PASSES):
        for c in range(k):
            if not _cholesky(covariances[c], factors[c]):
                covariances[c] = spread
                _cholesky(covariances[c], factors[c])
            _invert(factors[c], inverses[c])
            constant = log(weights[c] + 1e-300)
            for j in range(d):
                constant += log(inverses[c, j, j])
            for m in range(n):
                distance = _distance(points[m], means[c], inverses[c])
                share[m, c] = constant - 0.5 * distance
        for m in range(n):
            highest, total = share[m].max(), 0.0
            for c in range(k):
                share[m, c] = exp(share[m, c] - highest)
                total += share[m, c]
            for c in range(k):
                share[m, c] /= total
        for c in range(k):
            number = share[:, c].sum() + 1e-12
            weights[c] = number / n
            for a in range(d):
                total = 0.0
                for m in range(n):
                    total += share[m, c] * points[m, a]
                means[c, a] = total / number
            for a in range(d):
                for b in range(a + 1):
                    total = 0.0
                    for m in range(n):
                        total += (
                            share[m, c]
                            * (points[m, a] - means[c, a])
                            * (points[m, b] - means[c, b])
                        )
                    total = total / number + _REGULARISATION * spread[a, b]
                    covariances[c, a, b] = covariances[c, b, a] = total
    for c in range(k):
        if not _cholesky(INFLATION * covariances[c], factors[c]):
            _cholesky(INFLATION * spread, factors[c])
        _invert(factors[c], inverses[c])
    return weights, means, factors, inverses


@njit(nogil=True, cache=True)
def mixture_log_density(points, weights, means, inverses, out):
    """Write the logarithm of the density of a proposal, the prior's share included."""
    n, d = points.shape
    k = len(weights)
    norm = lgamma((FREEDOM + d) / 2) - lgamma(FREEDOM / 2)
    norm -= 0.5 * d * log(FREEDOM * pi)
    heights = np.empty(k)
    for c in range(k):
        heights[c] = norm + log((1 - PRIOR_SHARE) * weights[c] + 1e-300)
        for i in range(d):
            heights[c] += log(inverses[c, i, i])
        heights[c] = exp(heights[c])
    # a power that is half of an integer
    n_factors, odd = (int(FREEDOM) + d) // 2, (int(FREEDOM) + d) % 2
    for m in range(n):
        # no point is where this underflows
        total = PRIOR_SHARE * exp(log_normal(points[m]))
        for c in range(k):
            distance = _distance(points[m], means[c], inverses[c])
            share = 1.0 / (1.0 + distance / FREEDOM)
            power = sqrt(share) if odd else 1.0
            for _ in range(n_factors):
                power *= share
            total += heights[c] * power
        out[m] = log(total)


@njit(nogil=True, cache=True)
def draw_mixture(n, weights, means, factors):
    """Draw ``n`` points of a proposal, by numba's generator."""
    k, d = means.shape
    points, normal = np.empty((n, d)), np.empty(d)
    for m in range(n):
        for i in range(d):
            normal[i] = np.random.normal()
        if np.random.random() < PRIOR_SHARE:
            points[m] = normal
            continue
        level, chosen = np.random.random(), k - 1
        for c in range(k):
            level -= weights[c]
            if level <= 0.0:
                chosen = c
                break
        stretch = sqrt(FREEDOM / np.random.chisquare(FREEDOM))
        for i in range(d):
            total = 0.0
            for j in range(i + 1):
                total += factors[chosen, i, j] * normal[j]
            points[m, i] = means[chosen, i] + stretch * total
    return points


@njit(nogil=True, cache=True)
def seed_generator(seed):
    """Seed numba's generator of this thread, which is not numpy's."""
    np.random.seed(seed)


@njit(nogil=True, cache=True)
def temper(log_likelihood, log_ratio, wanted, weights):
    """Write weights under the largest power of a likelihood that enough points share.

    Parameters
    ----------
    log_likelihood : ndarray of shape (n,)
        Minus infinity where there is none.
    log_ratio : ndarray of shape (n,)
        Logarithm of the prior over the density of the points.
    wanted : float
        Effective number of points to keep.
    weights : ndarray of shape (n,)
        Written: they sum to 1.

    Returns
    -------
    power : float
        In (0, 1].
    """
    work, bits = np.empty(len(weights)), weights.view(np.int64)
    power = 1.0
    if _weigh(power, log_likelihood, log_ratio, work, weights, bits) < wanted:
        low, high = -40.0, 0.0  # of log2 of the power
        for _ in range(12):
            middle = 0.5 * (low + high)
            power = 2.0**middle
            if _weigh(power, log_likelihood, log_ratio, work, weights, bits) >= wanted:
                low = middle
            else:
                high = middle
        power = 2.0**low
        _weigh(power, log_likelihood, log_ratio, work, weights, bits)
    total = 0.0
    for m in range(len(weights)):
        total += weights[m]
    for m in range(len(weights)):
        weights[m] /= total
    return power


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def _weigh(power, log_likelihood, log_ratio, work, weights, bits):
    """Write weights, 1 at most; return their effective number."""
    highest = -1e300
    for m in range(len(weights)):
        own = max(log_likelihood[m], -1e200)
        work[m] = power * own + log_ratio[m]
        highest = max(highest, work[m])
    exponentials(len(work), work, 1.0, highest, weights, bits)
    total = square = 0.0
    for m in range(len(weights)):
        total += weights[m]
        square += weights[m] * weights[m]
    return total * total / square


@njit(nogil=True, cache=True)
def resample(weights, n):
    """Return positions of ``n`` points by their weights: systematic resampling."""
    picked = np.empty(n, dtype=np.int64)
    step, cumulative, position = weights.sum() / n, 0.0, -1
    level = np.random.random() * step
    for i in range(n):
        while cumulative <= level and position < len(weights) - 1:
            position += 1
            cumulative += weights[position]
        picked[i] = position
        level += step
    return picked
