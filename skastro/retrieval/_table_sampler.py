"""Objects whose lines are in tables: from data to posteriors of all parameters."""

from dataclasses import replace
from math import ceil
from typing import NamedTuple

import numpy as np
from scipy import special

from ._mixture import probits_of_prior, seed_generator
from ._posterior import Posterior, pick
from ._problem import Outcome
from ._sampling_tables import BANK_SIZE, Bank, sample_weighted
from ._table_integrals import Data
from ._table_likelihood import (
    amplitudes_of,
    draw_separable,
    lines_at,
    log_likelihoods,
    thinned,
)
from ._tables import make_tables

#: Bands whose calibration errors are sampled with the rest, at most.
_MOST_BANDS = 3
#: Relative error of the tables, in units of the smallest of the lines, and its bounds.
_SHARE, _FINEST, _COARSEST = 0.08, 5e-4, 1e-2
#: Share of that smallest error from which on they are too coarse.
_TOO_COARSE = 0.3
#: Nodes of a separable parameter that a first look has at least.
_LOOK_NODES = 17
#: Draws that are looked up in tables together.
_BLOCK = 1024


def can_sample(problems):
    """Tell whether the errors of objects are such as the tables' likelihood knows."""
    for problem in problems:
        likelihood = problem.likelihood
        limits = likelihood.upper_limit.any()
        if likelihood.degrees_of_freedom is not None and limits:
            return False
        if likelihood.calibration_error and likelihood.n_bands > _MOST_BANDS:
            return False
    return True


def _smallest_error(problems):
    """Return the smallest relative error of a detection."""
    smallest = np.inf
    for problem in problems:
        likelihood = problem.likelihood
        found = ~likelihood.upper_limit
        size = np.abs(likelihood.y[found])
        with np.errstate(divide="ignore"):
            relative = np.sqrt(likelihood.variance[found]) / size
        smallest = min(smallest, relative.min(initial=np.inf))
    return float(smallest)


class Demands(NamedTuple):
    """How fine the tables of objects must be, and what else depends on their data."""

    #: smallest relative error of a detection
    smallest_error: float
    #: of shape (n_lines,): intensities below which relative errors do not matter,
    #: infinite where no object was observed
    faint: np.ndarray
    #: receiver bands whose calibration errors are sampled
    n_bands: int

    @property
    def tolerance(self):
        """Relative error that tables are made to have."""
        return float(np.clip(_SHARE * self.smallest_error, _FINEST, _COARSEST))

    def allow(self, error):
        """Whether an error of the tables matters little beside those of the lines."""
        return error <= _TOO_COARSE * self.smallest_error

    def halved(self, n, n_faint, n_bands):
        """Return demands whose tolerance, and whose faint lines, are so often halved.

        Parameters
        ----------
        n, n_faint : int
            How often.
        n_bands : int
            Receiver bands.

        Returns
        -------
        demands : Demands
        """
        error = self.tolerance / _SHARE / 2**n if n else self.smallest_error
        return Demands(error, self.faint / 2**n_faint, n_bands)


def demands_of(problems, n_lines):
    """Return what objects demand of tables.

    Parameters
    ----------
    problems : list of Problem
        The objects.
    n_lines : int
        Number of all lines.

    Returns
    -------
    demands : Demands
    """
    faint = np.full(n_lines, np.inf)
    n_bands = 0
    for problem in problems:
        likelihood = problem.likelihood
        sigma = np.sqrt(likelihood.variance)
        sigma = np.where(sigma > 0, sigma, np.abs(likelihood.y))
        np.minimum.at(faint, problem.rows, sigma)
        if likelihood.calibration_error:
            n_bands = max(n_bands, likelihood.n_bands)
    return Demands(_smallest_error(problems), faint, n_bands)


def _own_arrays(values):
    """Return a named tuple with copies of its arrays."""
    arrays = {
        name: np.array(value)
        for name, value in values._asdict().items()
        if isinstance(value, np.ndarray)
    }
    return values._replace(**arrays)


class TableSampler:
    """Sampling of objects that share tables.

    Parameters
    ----------
    forward : ForwardModel
        The forward model.
    prior : ParameterSpace
        The prior.
    structure : Structure
        What its parameters do.
    X : ndarray of shape (n_lines, 1)
        All lines.
    demands : Demands
        What the objects demand of the tables.
    with_std : bool
        Whether the model states its own error.
    seed : int
        Of the draws that all objects begin with.
    verbose : int, default=0
        1 shows how many models the tables take.
    """

    def __init__(
        self, forward, prior, structure, X, demands, with_std, seed, verbose=0
    ):
        self.prior, self.structure = prior, structure
        self.made = make_tables(
            forward,
            prior,
            structure,
            X,
            demands.faint,
            demands.tolerance,
            with_std,
            verbose,
        )
        self.outside = forward.minds_domain
        self.n_dimensions = (
            len(structure.shared) + (self.made.amplitude is not None) + demands.n_bands
        )
        least = _LOOK_NODES
        if self.made.unsolved:  # who looks must not miss where there are solutions
            least = int(self.made.tables.n_nodes.max())
        rng = np.random.default_rng(seed)
        z = probits_of_prior(BANK_SIZE, self.n_dimensions, rng)
        self.bank = Bank.at(z, thinned(self.made.tables, least))

    def __setstate__(self, state):
        """Take arrays that joblib maps read-only as they were.

        Compiled for others, the same sums would be rounded otherwise.
        """
        made, bank = state["made"], state["bank"]
        tables = _own_arrays(bank.tables)
        state["bank"] = _own_arrays(bank)._replace(tables=tables)
        state["made"] = replace(made, tables=_own_arrays(made.tables))
        self.__dict__.update(state)

    @property
    def names(self):
        """Names of what is sampled."""
        shared = [self.prior.names[i] for i in self.structure.shared]
        n_more = self.n_dimensions - len(shared)
        return [*shared, *(f"amplitude_{i}" for i in range(n_more))]

    def _read(self, z):
        """Return the lines, and the model's own errors, at probits."""
        return lines_at(self.made.tables, z)

    def data(self, problem):
        """Return the lines of an object in the order of the tables."""
        likelihood, order = problem.likelihood, self.made.order
        n_lines = len(order)
        y, sigma = np.zeros(n_lines), np.ones(n_lines)
        seen, limit = np.zeros(n_lines, dtype=bool), np.zeros(n_lines, dtype=bool)
        band = np.full(n_lines, -1)
        rows = problem.rows
        seen[rows], y[rows] = True, likelihood.y
        sigma[rows], limit[rows] = np.sqrt(likelihood.variance), likelihood.upper_limit
        if likelihood.calibration_error:
            band[rows] = likelihood.band
        seen, limit, unit = seen[order], limit[order], self.made.unit
        return Data(
            seen,
            y[order] / unit,
            sigma[order] / unit,
            limit,
            band[order],
            float(likelihood.calibration_error or 0.0),
            float(likelihood.degrees_of_freedom or 0.0),
            -float(np.log(unit[seen & ~limit]).sum()),
        )

    def one(self, problem, seed, min_ess, n_samples=None):
        """Sample one object by importance sampling.

        Parameters
        ----------
        problem : Problem
            The object.
        seed : int
            Seed.
        min_ess : float
            Effective sample size to reach.
        n_samples : int, default=None
            Samples of equal weight to draw; all draws with their weights by default.

        Returns
        -------
        outcome : Outcome
        """
        z, weights, log_z, ess, n_calls, n_impossible = sample_weighted(
            self.made.tables, self.data(problem), self.bank, float(min_ess), seed
        )
        # where there is no solution, an emulator may know none
        counts = (0, n_impossible) if self.outside else (n_impossible, 0)
        posterior = None
        if ess > 0:
            found = log_z, np.sqrt(max(1 / ess - 1 / len(z), 0.0))
            if n_samples is None:
                posterior = self.posterior(problem, z, weights, *found, seed)
            else:
                # more than are independent say no more, but for what is drawn again
                n = min(n_samples, 2 * ceil(ess))
                theta, values = self._picked(problem, z, weights, n, seed)
                own = np.full(n, 1 / n), values, *found, ess
                posterior = Posterior(self.prior, theta, theta, *own)
        return Outcome(posterior, "importance", n_calls, *counts)

    def _picked(self, problem, z, weights, n, seed):
        """Return samples of equal weight, in no order, and their log-likelihoods."""
        rng = np.random.default_rng(seed)
        # of a draw that is picked several times the lines are looked up once
        distinct, counts = np.unique(pick(weights, n, rng), return_counts=True)
        theta, values = self._draw(problem, z[distinct], counts, seed)
        order = rng.permutation(n)
        return theta[order], values[order]

    def posterior(self, problem, z, weights, log_evidence, log_evidence_err, seed):
        """Return the posterior of all parameters, given that of what was sampled.

        Parameters
        ----------
        problem : Problem
            The object.
        z : ndarray of shape (n, d)
            Probits of what was sampled.
        weights : ndarray of shape (n,)
            Their weights.
        log_evidence, log_evidence_err : float
            The evidence.
        seed : int
            Seed.

        Returns
        -------
        posterior : Posterior
        """
        kept = weights > 0
        z, weights = z[kept], weights[kept] / weights[kept].sum()
        once = np.ones(len(z), dtype=np.int64)
        theta, values = self._draw(problem, z, once, seed)
        return Posterior(
            self.prior, None, theta, weights, values, log_evidence, log_evidence_err
        ).thin(None, seed, samples_only=True)

    def _draw(self, problem, z, counts, seed):
        """Draw what was integrated; return all parameters and log-likelihoods.

        Parameters
        ----------
        problem : Problem
            The object.
        z : ndarray of shape (n, d)
            Probits of what was sampled.
        counts : ndarray of int of shape (n,)
            How often to draw for each.
        seed : int
            Seed.

        Returns
        -------
        theta : ndarray of shape (counts.sum(), n_parameters)
            Parameters.
        values : ndarray of shape (counts.sum(),)
            Log-likelihoods there.
        """
        data, tables = self.data(problem), self.made.tables
        ends = np.cumsum([0, *counts])
        u, values = np.empty((ends[-1], len(tables.starts) - 1)), np.empty(ends[-1])
        seed_generator(seed)
        for start in range(0, len(z), _BLOCK):
            part = slice(start, start + _BLOCK)
            rows = slice(ends[start], ends[min(start + _BLOCK, len(z))])
            own, lines = z[part], self._read(z[part])
            draw_separable(
                tables, data, own, counts[part], *lines, u[rows], values[rows]
            )
        z = np.repeat(z, counts, axis=0)
        return self._theta(z, u, seed), self._values(problem, z, u, values)

    def _values(self, problem, z, u, values):
        """Return log-likelihoods of samples, given those at their factors of bands.

        Parameters
        ----------
        problem : Problem
            The object.
        z : ndarray of shape (n, d)
            Probits of what was sampled.
        u : ndarray of shape (n, n_groups)
            Quantiles of the separable parameters.
        values : ndarray of shape (n,)
            Log-likelihoods, the calibration being what was sampled.

        Returns
        -------
        log_likelihoods : ndarray of shape (n,)
            Integrated over calibrations.
        """
        if not problem.likelihood.calibration_error:
            return values
        tables, values = self.made.tables, np.empty(len(z))
        group = np.repeat(np.arange(u.shape[1]), np.diff(tables.starts))
        position = np.argsort(self.made.order)[problem.rows]
        for start in range(0, len(z), _BLOCK):
            part = slice(start, start + _BLOCK)
            place = u[part][:, group] * (tables.n_nodes - 1)
            i = np.minimum(place.astype(int), np.maximum(tables.n_nodes - 2, 0))
            after = np.minimum(i + 1, tables.n_nodes - 1)
            factor = self.made.unit * np.ones((len(place), 1))
            if self.made.amplitude is not None:
                own = z[part, len(self.structure.shared)]
                factor = (
                    factor * amplitudes_of(tables, np.ascontiguousarray(own))[:, None]
                )
            lines = []
            for curves in self._read(z[part]):
                if not curves.shape[1]:
                    lines.append(None)
                    continue
                low, high = (
                    np.take_along_axis(curves, tables.places + k, axis=1)
                    for k in (i, after)
                )
                own = factor * (low + (place - i) * (high - low))
                lines.append(own[:, position])
            values[part] = problem.likelihood(*lines)
        return values

    def target(self, problem, counts, impossible):
        """Return names, transform and likelihood of an object for nested sampling.

        Parameters
        ----------
        problem : Problem
            The object.
        counts : Counts
            Of evaluations.
        impossible : float
            Log-likelihood where there is no solution.

        Returns
        -------
        names : list of str
        transform, log_likelihood : callable
            To, and of, probits.
        """
        data, tables = self.data(problem), self.made.tables

        def log_likelihood(z):
            values = np.empty(len(z))
            log_likelihoods(tables, data, z, *self._read(z), values)
            none = np.isneginf(values)
            outside = np.full(len(z), self.outside)
            counts.add(np.where(none, np.nan, values), outside)
            return np.maximum(values, impossible)

        def transform(u):
            return special.ndtri(np.clip(u, 1e-15, 1 - 1e-15))

        return self.names, transform, log_likelihood

    def _theta(self, z, u, seed):
        """Return all parameters: sampled, drawn again, or as the prior has them."""
        rng = np.random.default_rng(seed)
        prior, structure, made = self.prior, self.structure, self.made
        theta = np.empty((len(z), len(prior)))
        names = prior.names
        for i, column in enumerate(structure.shared):
            theta[:, column] = prior[names[column]].quantile(special.ndtr(z[:, i]))
        for column in structure.separable:
            if column in made.columns:
                own = u[:, made.columns.index(column)]
            else:  # none of its lines was observed
                own = rng.random(len(z))
            theta[:, column] = prior[names[column]].quantile(own)
        if made.amplitude is not None:
            values = amplitudes_of(made.tables, z[:, len(structure.shared)])
            theta[:, list(structure.scales)] = made.amplitude.draw(values, rng)
        return theta
