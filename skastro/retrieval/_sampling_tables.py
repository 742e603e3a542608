"""Posteriors of many objects whose lines are in tables: a few milliseconds each.

What all lines share is sampled by adaptive importance sampling, compiled, an object at
a time: draws of the prior that objects have in common, and then of mixtures fitted to
the object's own weights (population Monte Carlo: Cappé, Douc, Guillin, Marin & Robert
2008, Statistics and Computing 18, 447), weighted by the density of all of these
together (deterministic mixture: Owen & Zhou 2000, JASA 95, 135). The draws that objects
have in common only tell where to look, on tables with fewer nodes. Separable parameters
are integrated, and drawn again for the posterior.
"""

from math import exp, inf, log
from typing import NamedTuple

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
from ._table_likelihood import (
    Tables,
    lines_at,
    log_likelihoods,
    read_lines,
)

#: Draws of the prior that all objects begin with, a power of 2.
BANK_SIZE = 2048
#: Draws of a round, and rounds at most.
_N_DRAWS, _MAX_ROUNDS = 512, 32
#: Points that a mixture is fitted to, its components at most, and the effective number
#: of points to keep while the likelihood is tempered.
_N_FIT, _N_COMPONENTS, _TEMPER_ESS = 384, 3, 60.0


class Bank(NamedTuple):
    """Draws of the prior that all objects begin with."""

    #: those with fewer nodes; without values
    tables: Tables
    #: (n_bank, d): probits
    z: np.ndarray
    #: lines there, as `read_lines` gives them
    curves: np.ndarray
    spreads: np.ndarray

    @classmethod
    def at(cls, z, tables):
        """Return the bank of probits ``z``, by tables with fewer nodes."""
        curves, spreads = lines_at(tables, z)
        bare = tables._replace(values=tables.values[:1], stds=tables.stds[:1])
        return cls(bare, z, curves, spreads)


@njit(nogil=True, cache=True)
def sample_weighted(tables, data, bank, min_ess, seed):
    """Sample one object.

    Parameters
    ----------
    tables : Tables
        The lines.
    data : Data
        The object.
    bank : Bank
        Draws of the prior.
    min_ess : float
        Effective sample size to reach.
    seed : int
        Seed of numba's generator.

    Returns
    -------
    z : ndarray of shape (n_draws, d)
        Probits of what is sampled.
    weights : ndarray of shape (n_draws,)
        Their weights, which sum to 1.
    log_evidence, ess : float
        Minus infinity and 0 where nothing is possible.
    n_calls, n_impossible : int
        Evaluations, the bank's among them, and those without a solution.
    """
    seed_generator(seed)
    n_bank, d = bank.z.shape
    most = n_bank + _MAX_ROUNDS * _N_DRAWS
    z, values = np.empty((most, d)), np.empty(most)
    # logarithm of the sum of the densities of rounds, times draws of each, and that
    # of all proposals, the bank's among them
    prior, density, own = np.empty(most), np.full(most, -inf), np.empty(most)
    log_ratio, weights = np.empty(most), np.empty(most)
    z[:n_bank] = bank.z
    log_likelihoods(
        bank.tables, data, bank.z, bank.curves, bank.spreads, values[:n_bank]
    )
    n_entries, with_std = tables.values.shape[1], len(tables.stds) > 0
    curves = np.empty((_N_DRAWS, n_entries), dtype=np.float32)
    spreads = np.empty(
        (_N_DRAWS if with_std else 1, n_entries if with_std else 0), dtype=np.float32
    )
    impossible = 0
    for m in range(n_bank):
        prior[m] = log_normal(bank.z[m])
        impossible += 1 if values[m] == -inf else 0
    if impossible == n_bank:
        return z[:0], weights[:0], -inf, 0.0, n_bank, impossible
    n, log_evidence, ess = n_bank, -inf, 0.0
    all_weights, all_means = [np.empty(0)], [np.empty((0, 0))]
    all_inverses = [np.empty((0, 0, 0))]
    for _ in range(_MAX_ROUNDS):
        for m in range(n):  # the bank is even: that of the prior is its density
            log_ratio[m] = -_log_sum(density[m] - prior[m], log(n_bank))
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
            impossible += 1 if values[m] == -inf else 0
        for j in range(1, len(all_weights)):
            mixture_log_density(
                new, all_weights[j], all_means[j], all_inverses[j], own[n:end]
            )
            _add(density[n:end], own[n:end])
        all_weights.append(shares)
        all_means.append(means)
        all_inverses.append(inverses)
        mixture_log_density(z[n_bank:end], shares, means, inverses, own[n_bank:end])
        _add(density[n_bank:end], own[n_bank:end])
        n = end
        # what counts are the draws of rounds
        highest, total, square = -inf, 0.0, 0.0
        for m in range(n_bank, n):
            weights[m] = values[m] + prior[m] - density[m]
            highest = max(highest, weights[m])
        if highest > -inf:
            for m in range(n_bank, n):
                weights[m] = exp(weights[m] - highest)
                total += weights[m]
                square += weights[m] * weights[m]
            log_evidence, ess = log(total) + highest, total * total / square
            for m in range(n_bank, n):
                weights[m] /= total
        if ess >= min_ess:
            break
        # the next round is fitted to the bank too
        mixture_log_density(bank.z, shares, means, inverses, own[:n_bank])
        _add(density[:n_bank], own[:n_bank])
    return (
        z[n_bank:n].copy(),
        weights[n_bank:n].copy(),
        log_evidence,
        ess,
        n,
        impossible,
    )


@njit(nogil=True, cache=True)
def _log_sum(a, b):
    """Return the logarithm of the sum of two exponentials."""
    high, low = max(a, b), min(a, b)
    return high + log(1.0 + exp(low - high)) if low > -inf else high


@njit(nogil=True, cache=True)
def _add(density, own):
    """Add the density of a round's proposal, times its draws."""
    for m in range(len(density)):
        density[m] = _log_sum(density[m], own[m] + log(_N_DRAWS))
