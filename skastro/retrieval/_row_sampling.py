"""Objects each by itself: what is found of one does not depend on the others."""

import hashlib
from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np
from joblib import Parallel, delayed

from ..utils.warn import warn
from ._problem import Outcome
from ._sampling import solve
from ._scale_sampler import ScaleSampler, integrable_scale
from ._structure import has_tables, read_structure
from ._table_sampler import TableSampler, can_sample, demands_of

#: Objects that one task samples.
_BLOCK = 64
#: How many times the tables of the fit may be halved in what they call faint.
_MOST_HALVINGS = 20
#: Sets of finer tables to keep.
_MOST_KEPT = 3


@dataclass(frozen=True)
class Summary:
    """What is kept of a posterior that is summarised at once."""

    values: np.ndarray
    effective_sample_size: float


class RowSampler:
    """Sampling of objects one by one, with tables that are kept between calls.

    An object is sampled by tables that are as fine as its own data ask for, whatever
    those beside it ask for; and with a seed that its data make.

    Parameters
    ----------
    solver : Solver
        What the objects have in common, for nothing integrated.
    problems : list of Problem
        Objects that are like those to come: their tables are made at once.
    seed : int
        Of all draws.
    use_structure : bool
        Whether what the model states of its structure is used.
    verbose : int, default=0
        Whether to show how many models tables take.
    """

    def __init__(self, solver, problems, seed, use_structure, verbose=0):
        self._solver, self._seed, self._verbose = solver, seed, verbose
        self._structure = None
        if use_structure:
            self._structure = read_structure(solver.forward, solver.prior)
        self._has_tables = has_tables(self._structure, solver.prior)
        self._kept, self._errors = {}, {}
        tabled = [p for p in problems if self._has_tables and can_sample([p])]
        self._has_tables = bool(tabled)
        if tabled:
            demands = demands_of(tabled, len(solver.X))
            # lines that no object has are made as fine as the finest
            demands.faint[np.isinf(demands.faint)] = demands.faint.min()
            self._demands = demands
        for problem in problems:
            self.prepared(self.way(problem))

    @property
    def integrated(self):
        """Columns of the prior that are integrated, of some objects at least."""
        columns = []
        for solver, _ in self._kept.values():
            if solver.tables is not None:
                columns += self._structure.integrated
            elif solver.scale is not None:
                columns.append(solver.scale.column)
        return list(dict.fromkeys(columns))

    # -- how an object is sampled

    def way(self, problem):
        """Return what tells how an object is sampled: by which tables, if by any."""
        solver = self._solver
        if self._has_tables and can_sample([problem]):
            own, given = demands_of([problem], len(solver.X)), self._demands
            rows = problem.rows
            with np.errstate(divide="ignore"):
                fainter = np.max(given.faint[rows] / own.faint[rows])
            way = (
                "tables",
                _halvings(given.tolerance / own.tolerance),
                _halvings(fainter),
                max(given.n_bands, own.n_bands),
            )
            if way not in self._errors:
                self._errors[way] = self.prepared(way)[0].tables.made.error
            if own.allow(self._errors[way]):
                return way
        column = integrable_scale(
            self._structure, solver.prior, [problem], solver.with_std
        )
        return ("plain",) if column is None else ("scale", column)

    def prepared(self, way):
        """Return the solver of such objects, and draws that they begin with or None."""
        if way not in self._kept:
            finer = [
                kept
                for kept in self._kept
                if kept[0] == "tables" and kept[1:3] != (0, 0)
            ]
            if len(finer) >= _MOST_KEPT:
                self._kept.pop(finer[0], None)
            self._kept[way] = self._prepare(*way)
        return self._kept[way]

    def _prepare(self, kind, *how):
        solver = self._solver
        forward, prior, X = solver.forward, solver.prior, solver.X
        if kind == "tables":
            tables = TableSampler(
                forward,
                prior,
                self._structure,
                X,
                self._demands.halved(*how),
                solver.with_std,
                self._seed,
                self._verbose,
            )
            return replace(solver, tables=tables), None
        if kind == "scale":
            solver = replace(solver, scale=ScaleSampler(forward, prior, *how, X))
        return solver, solver.sampler().bank(self._seed)

    def seed_of(self, problem):
        """Return the seed of an object, which depends on its data alone."""
        likelihood = problem.likelihood
        digest = hashlib.blake2b(digest_size=8)
        for values in (
            problem.rows.astype(np.int64),
            likelihood.y + 0.0,  # not -0.0
            likelihood.variance,
            likelihood.upper_limit,
        ):
            digest.update(np.ascontiguousarray(values).tobytes())
        entropy = [self._seed, int.from_bytes(digest.digest(), "little")]
        return int(np.random.SeedSequence(entropy).generate_state(1)[0] % (2**31 - 1))

    # -- sampling

    def sample(
        self, problems, *, sampler, n_samples, n_jobs, share, step, summarise=None
    ):
        """Sample objects.

        Parameters
        ----------
        problems : list of Problem or None
            The objects; None for one without data.
        sampler : str
            ``"importance"``, or nested sampling.
        n_samples : int
            Samples to keep of each.
        n_jobs : int or None
            Tasks at a time, through joblib.
        share : bool
            Whether objects share draws where there are no tables.
        step : callable
            Counts an object as done.
        summarise : callable, default=None
            From a posterior to the numbers that are kept of it; all by default.

        Returns
        -------
        outcomes : list of Outcome or None
        """
        outcomes, ways = [None] * len(problems), {}
        for i, problem in enumerate(problems):
            if problem is not None:
                ways.setdefault(self.way(problem), []).append(i)
        coarse = [
            problems[i]
            for way, objects in ways.items()
            for i in objects
            if self._has_tables and way[0] != "tables" and can_sample([problems[i]])
        ]
        if coarse:
            warn(
                f"{len(coarse)} object(s) have lines whose errors are so small that"
                " tables of `forward_model` are too coarse for them: separable"
                " parameters are sampled with the rest, which takes longer."
            )
        for way, objects in ways.items():
            solver, bank = self.prepared(way)
            own = [problems[i] for i in objects]
            if share and solver.tables is None and sampler == "importance":
                found = solve(
                    solver,
                    own,
                    sampler=sampler,
                    seed=self._seed,
                    n_samples=n_samples,
                    n_jobs=n_jobs,
                    log_dir=None,
                    step=step,
                )
                for i, outcome in zip(objects, found, strict=True):
                    outcomes[i] = _summarised(outcome, summarise)
                continue
            tasks = (
                delayed(_sample_block)(
                    solver,
                    bank,
                    start,
                    own[start : start + _BLOCK],
                    [self.seed_of(p) for p in own[start : start + _BLOCK]],
                    sampler,
                    n_samples,
                    summarise,
                )
                for start in range(0, len(own), _BLOCK)
            )
            parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
            for start, found in parallel(tasks):
                for k, outcome in enumerate(found):
                    outcomes[objects[start + k]] = outcome
                    step()
        return outcomes


def _halvings(ratio):
    """Return how often to halve, so that it is by so much at least."""
    if not ratio > 1 + 1e-9:
        return 0
    if np.isinf(ratio):
        return _MOST_HALVINGS
    return min(ceil(log2(ratio) - 1e-9), _MOST_HALVINGS)


def _sample_block(solver, bank, start, problems, seeds, sampler, n_samples, summarise):
    """Sample some objects, each by itself."""
    found = [
        _summarised(_one(solver, bank, *own, sampler, n_samples), summarise)
        for own in zip(problems, seeds, strict=True)
    ]
    return start, found


def _one(solver, bank, problem, seed, sampler, n_samples):
    """Sample an object; by nested sampling what importance sampling cannot."""
    if sampler == "importance":
        if solver.tables is None:
            outcome = solver.together([problem], bank, seed, n_samples)[0]
        else:
            outcome = solver.by_tables([problem], [seed], n_samples)[0]
        posterior = outcome.posterior
        if posterior is not None and posterior.effective_sample_size >= solver.min_ess:
            return outcome
    return solver.one(problem, seed, n_samples=n_samples)


def _summarised(outcome: Outcome, summarise):
    posterior = outcome.posterior
    if summarise is None or posterior is None:
        return outcome
    kept = Summary(summarise(posterior), posterior.effective_sample_size)
    return replace(outcome, posterior=kept)
