"""Posteriors of many objects whose lines are in tables: a few milliseconds each.

What all lines share is sampled by adaptive importance sampling, compiled, an object at
a time: draws of the prior that objects have in common, and then of mixtures fitted to
the object's own weights (population Monte Carlo: Cappé, Douc, Guillin, Marin & Robert
2008, Statistics and Computing 18, 447), all weighted by the density of all proposals
together (deterministic mixture: Owen & Zhou 2000, JASA 95, 135). Separable parameters
are integrated, and drawn again for the posterior.
"""

from math import ceil, exp, inf, log, sqrt

import numpy as np
from numba import njit

from ._mixture import (
    draw_mixture,
    fit_mixture,
    log_normal,
    mixture_log_density,
    resample,
    seed_generator,
    temper,
)
from ._table_likelihood import draw_separable, log_likelihoods, read_lines

#: Draws of the prior that all objects begin with, a power of 2.
BANK_SIZE = 2048
#: Draws of a round, and rounds at most.
_N_DRAWS, _MAX_ROUNDS = 512, 32
#: Points that a mixture is fitted to, its components at most, and the effective number
#: of points to keep while the likelihood is tempered.
_N_FIT, _N_COMPONENTS, _TEMPER_ESS = 384, 3, 60.0


@njit(nogil=True, cache=True)
def sample_weighted(tables, data, bank, bank_curves, bank_spreads, min_ess, seed):
    """Sample one object; parameters are those of `sample_object`.

    Returns
    -------
    z : ndarray of shape (n_draws, d)
        Probits of what is sampled.
    weights : ndarray of shape (n_draws,)
        Their weights, which sum to 1.
    log_evidence, ess : float
        Minus infinity and 0 where nothing is possible.
    n_impossible : int
        Draws without a solution.
    """
    seed_generator(seed)
    n_bank, d = bank.shape
    most = n_bank + _MAX_ROUNDS * _N_DRAWS
    z, values = np.empty((most, d)), np.empty(most)
    # logarithm of the sum of the densities of all proposals, times draws of each
    prior, density, own = np.empty(most), np.empty(most), np.empty(most)
    log_ratio, weights = np.empty(most), np.empty(most)
    z[:n_bank] = bank
    log_likelihoods(tables, data, bank, bank_curves, bank_spreads, values[:n_bank])
    curves = np.empty((_N_DRAWS, *bank_curves.shape[1:]), dtype=np.float32)
    n_spreads = _N_DRAWS if len(tables.stds) else 1
    spreads = np.empty((n_spreads, *bank_spreads.shape[1:]), dtype=np.float32)
    for m in range(n_bank):
        prior[m] = log_normal(bank[m])
        density[m] = prior[m] + log(n_bank)
    n = n_bank
    all_weights, all_means = [np.empty(0)], [np.empty((0, 0))]
    all_inverses = [np.empty((0, 0, 0))]
    log_evidence, ess = -inf, 0.0
    for i in range(_MAX_ROUNDS + 1):
        highest, total, square = -inf, 0.0, 0.0
        for m in range(n):
            log_ratio[m] = prior[m] - density[m]
            weights[m] = values[m] + log_ratio[m]
            highest = max(highest, weights[m])
        if highest == -inf:
            return z[:n], weights[:n], -inf, 0.0, n
        for m in range(n):
            weights[m] = exp(weights[m] - highest)
            total += weights[m]
            square += weights[m] * weights[m]
        log_evidence, ess = log(total) + highest, total * total / square
        if ess >= min_ess or i == _MAX_ROUNDS:
            for m in range(n):
                weights[m] /= total
            break
        temper(values[:n], log_ratio[:n], _TEMPER_ESS, weights[:n])
        points = z[resample(weights[:n], _N_FIT)]
        shares, means, factors, inverses = fit_mixture(points, _N_COMPONENTS)
        new = draw_mixture(_N_DRAWS, shares, means, factors)
        end = n + _N_DRAWS
        z[n:end] = new
        read_lines(tables, new, curves, spreads)
        log_likelihoods(tables, data, new, curves, spreads, values[n:end])
        for m in range(n, end):
            prior[m] = log_normal(z[m])
            density[m] = prior[m] + log(n_bank)
        for j in range(1, len(all_weights)):
            mixture_log_density(
                new, all_weights[j], all_means[j], all_inverses[j], own[n:end]
            )
            _add(density[n:end], own[n:end])
        all_weights.append(shares)
        all_means.append(means)
        all_inverses.append(inverses)
        mixture_log_density(z[:end], shares, means, inverses, own[:end])
        _add(density[:end], own[:end])
        n = end
    impossible = 0
    for m in range(n):
        impossible += 1 if values[m] == -inf else 0
    return z[:n].copy(), weights[:n].copy(), log_evidence, ess, impossible


@njit(nogil=True, cache=True)
def _add(density, own):
    """Add the density of a round's proposal, times its draws."""
    for m in range(len(density)):
        other = own[m] + log(_N_DRAWS)
        high, low = max(density[m], other), min(density[m], other)
        density[m] = high + log(1.0 + exp(low - high))


@njit(nogil=True, cache=True)
def sample_object(
    tables, data, bank, bank_curves, bank_spreads, min_ess, n_samples, seed
):
    """Sample one object, and draw what was integrated.

    Parameters
    ----------
    tables : Tables
        The lines.
    data : Data
        The object.
    bank : ndarray of shape (n_bank, d)
        Probits drawn from the prior.
    bank_curves, bank_spreads : ndarray
        Lines there, as `read_lines` gives them.
    min_ess : float
        Effective sample size to reach.
    n_samples : int
        Samples to draw, of equal weight, at most.
    seed : int
        Seed of numba's generator.

    Returns
    -------
    z : ndarray of shape (n_samples, d)
        Probits of what was sampled.
    u : ndarray of shape (n_samples, n_groups)
        Quantiles of the separable parameters.
    log_likelihood : ndarray of shape (n_samples,)
        Of the lines.
    log_evidence, log_evidence_err, ess : float
        Of the draws behind the samples.
    n_calls, n_impossible : int
        Evaluations, and those without a solution.
    """
    draws, weights, log_evidence, ess, impossible = sample_weighted(
        tables, data, bank, bank_curves, bank_spreads, min_ess, seed
    )
    n, d = draws.shape
    n_groups = len(tables.starts) - 1
    # more than are independent say no more, but for what is drawn again
    n_samples = min(n_samples, 2 * int(ceil(ess)))
    z, u = np.empty((n_samples, d)), np.empty((n_samples, n_groups))
    values = np.empty(n_samples)
    if log_evidence == -inf:
        return z, u, values, log_evidence, inf, 0.0, n, impossible
    picked = resample(weights, n_samples)
    # of a draw that is picked several times the lines are looked up once
    distinct, counts = np.empty(n_samples, np.int64), np.zeros(n_samples, np.int64)
    k = -1
    for m in range(n_samples):
        if m == 0 or picked[m] != picked[m - 1]:
            k += 1
            distinct[k] = picked[m]
        counts[k] += 1
    unique = draws[distinct[: k + 1]]
    curves = np.empty((k + 1, *bank_curves.shape[1:]), dtype=np.float32)
    n_spreads = k + 1 if len(tables.stds) else 1
    spreads = np.empty((n_spreads, *bank_spreads.shape[1:]), dtype=np.float32)
    read_lines(tables, unique, curves, spreads)
    draw_separable(tables, data, unique, counts[: k + 1], curves, spreads, u, values)
    order = np.random.permutation(n_samples)
    z[:] = draws[picked[order]]
    u, values = u[order], values[order]
    error = sqrt(max(1.0 / ess - 1.0 / n, 0.0))
    return z, u, values, log_evidence, error, ess, n, impossible
