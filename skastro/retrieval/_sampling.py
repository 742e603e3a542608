"""The posteriors of one object or of many: sampled, in parallel, and kept on disk."""

import shutil
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from ._forward_model import ForwardModel
from ._likelihood import EXCLUDED
from ._posterior import Posterior, pick
from ._posterior_files import read_stored, write_posteriors
from ._problem import IMPOSSIBLE, Counts, Outcome
from ._sampling_importance import CLUSTER_SIZE, Sampler
from ._sampling_nested import nested_sampling
from ._scale_sampler import ManyLikelihoods, ScaleSampler
from ._table_sampler import TableSampler

#: Draws of the prior that tell which objects are alike, a power of 2.
_FEW = 4096
#: Objects that one task samples by tables.
_BLOCK = 64
#: How much more room than one posterior as many as share draws may take up: a group
#: that takes up twice the room needs ten times the draws, and more.
_MORE_ROOM = 1.0


@dataclass(frozen=True)
class Solver:
    """Everything that the objects have in common.

    Parameters
    ----------
    forward : ForwardModel
        The forward model.
    prior : ParameterSpace
        The prior.
    X : ndarray of shape (n_lines, n_features)
        All lines.
    with_std : bool
        Whether the model states its own error.
    nested : dict
        Settings of nested sampling.
    min_ess : float
        Effective sample size below which importance sampling does not count.
    tables : TableSampler or None
        Of a model whose separable parameters are integrated.
    scale : ScaleSampler or None
        Of a model of which one scale is integrated.
    """

    forward: ForwardModel
    prior: object
    X: np.ndarray
    with_std: bool
    nested: dict
    min_ess: float
    tables: TableSampler | None = None
    scale: ScaleSampler | None = None

    @property
    def integrated(self):
        """What integrates, if anything is."""
        return self.scale if self.tables is None else self.tables

    def one(self, problem, seed, log_dir=None, step=None, n_samples=None):
        """Sample one object by nested sampling.

        Parameters
        ----------
        problem : Problem
            The object.
        seed : int
            Seed.
        log_dir : path-like, default=None
            UltraNest's folder.
        step : callable, default=None
            Counts a thousand evaluations.
        n_samples : int, default=None
            Samples to keep; all of the run by default.

        Returns
        -------
        outcome : Outcome
            Without a posterior, if no model had a solution.
        """
        counts, integrated = Counts(), self.integrated
        if integrated is None:
            target = self._target(problem, counts)
        else:
            target = integrated.target(problem, counts, IMPOSSIBLE)
        run = nested_sampling(
            *target,
            log_dir=log_dir,
            seed=seed,
            step=step,
            cheap=self.tables is not None,
            **self.nested,
        )
        max_calls = self.nested["max_calls"]
        if not run.log_likelihoods.max() > EXCLUDED:
            return Outcome(None, "nested", *counts)
        if integrated is None:
            posterior = Posterior(
                self.prior,
                run.samples,
                run.weighted_samples,
                run.weights,
                run.log_likelihoods,
                run.log_evidence,
                run.log_evidence_err,
            )
        else:
            possible = run.log_likelihoods > EXCLUDED
            posterior = integrated.posterior(
                problem,
                run.weighted_samples[possible],
                run.weights[possible],
                run.log_evidence,
                run.log_evidence_err,
                seed,
            )
        return Outcome(
            posterior if n_samples is None else posterior.thin(n_samples, seed),
            "nested",
            # what a run that is read back has evaluated is only in its own count
            max(run.n_calls, counts.n_calls),
            counts.n_unsolved,
            counts.n_outside,
            run.well_mixed,
            max_calls is None or run.n_calls < max_calls,
        )

    def _target(self, problem, counts):
        """Return names, transform and likelihood of all parameters of an object."""
        X = self.X[problem.rows]

        def log_likelihood(theta):
            predictions = self.forward.predict(theta, X, self.with_std)
            values = problem.likelihood(predictions.mean, predictions.std)
            counts.add(values, predictions.outside)
            unsolved, excluded = np.isnan(values), np.isneginf(values)
            values[unsolved] = IMPOSSIBLE
            values[excluded] = problem.likelihood.excluded(predictions.mean[excluded])
            return np.maximum(values, IMPOSSIBLE)

        return self.prior.names, self.prior.transform, log_likelihood

    def by_tables(self, problems, seeds, n_samples=None):
        """Sample objects by importance sampling, each by itself.

        Parameters
        ----------
        problems : list of Problem
            The objects.
        seeds : list of int
            A seed of each.
        n_samples : int, default=None
            Samples to keep of each object.

        Returns
        -------
        outcomes : list of Outcome
        """
        return [
            self.tables.one(problem, seed, self.min_ess, n_samples)
            for problem, seed in zip(problems, seeds, strict=True)
        ]

    def sampler(self):
        """Return importance sampling of this forward model and prior."""
        if self.scale is not None:
            n_parameters = len(self.prior) - 1
            return Sampler(self.scale.transform, self.scale.predict, n_parameters)
        return Sampler(
            self.prior.transform,
            lambda theta: self.forward.predict(theta, self.X, self.with_std),
            len(self.prior),
        )

    def _likelihoods(self, problems, counts):
        """Return the likelihoods of objects that share predictions."""
        bounds = None if self.scale is None else self.scale.bounds
        return ManyLikelihoods(problems, counts, len(self.X), bounds)

    def seeds(self, bank, problem, seed):
        """Return probits near an object's posterior, from the bank."""
        values = self._likelihoods([problem], [Counts()])(bank.predictions)[0]
        return bank.z[self.sampler().seeds(bank, values, seed)]

    def together(self, problems, bank, seed, n_samples=None):
        """Sample objects by importance sampling with shared draws.

        Parameters
        ----------
        problems : list of Problem
            The objects.
        bank : Bank
            Draws from the prior.
        seed : int
            Seed.
        n_samples : int, default=None
            Samples to keep of each object.

        Returns
        -------
        outcomes : list of Outcome
        """
        counts = [Counts() for _ in problems]
        draws = self.sampler().sample(
            self._likelihoods(problems, counts),
            bank,
            seed,
            self.min_ess,
        )
        outcomes = []
        for problem, found, count in zip(problems, draws, counts, strict=True):
            posterior = None
            if found.effective_sample_size > 0:
                posterior = self._posterior(problem, found, seed, n_samples)
            outcomes.append(Outcome(posterior, "importance", *count))
        return outcomes

    def _posterior(self, problem, found, seed, n_samples):
        """Return the posterior of an object, given its weighted draws."""
        weights, ess = found.weights, found.effective_sample_size
        if n_samples is None:
            rows = np.flatnonzero(weights > 0)
            weights = weights[rows]
        else:
            n = min(int(np.ceil(ess)), n_samples)
            rows = pick(weights, n, np.random.default_rng(seed))
            weights = np.full(n, 1.0 / n)
        theta, values = found.theta[rows], found.log_likelihoods[rows]
        if self.scale is not None:
            theta, values = self.scale.with_scale(
                problem, theta, found.lines[rows], seed
            )
        posterior = Posterior(
            self.prior,
            None if n_samples is None else theta,
            theta,
            weights,
            values,
            found.log_evidence,
            found.log_evidence_err,
            ess,
        )
        if n_samples is None:
            posterior = posterior.thin(None, seed, samples_only=True)
        return posterior


def solve(solver, problems, *, sampler, seed, n_samples, n_jobs, log_dir, step):
    """Sample many objects.

    Parameters
    ----------
    solver : Solver
        What they have in common.
    problems : list of Problem or None
        The objects; None for one without data.
    sampler : str
        ``"importance"``, or nested sampling.
    seed : int
        Seed.
    n_samples : int
        Samples to keep of each.
    n_jobs : int or None
        Objects at a time, through joblib.
    log_dir : path-like or None
        Folder of what is finished.
    step : callable
        Counts an object as done.

    Returns
    -------
    outcomes : list of Outcome or None
    """
    outcomes = [None] * len(problems)
    observed = [i for i, problem in enumerate(problems) if problem is not None]
    object_seeds = np.random.SeedSequence(seed).generate_state(len(observed))
    # the first is that of an object alone; objects without data do not count
    object_seeds = [seed, *(int(s) % (2**31 - 1) for s in object_seeds[1:])]
    object_seeds = dict(zip(observed, object_seeds, strict=True))
    folder = None if log_dir is None else Path(log_dir) / "objects"
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)

    def run(tasks):
        """Do tasks of (name, objects, function, arguments); keep what they find."""
        done = []

        def waiting():
            for name, objects, function, arguments in tasks:
                path = None if folder is None else folder / f"{name}.npz"
                if path is not None and path.exists():
                    done.append((objects, path))
                else:
                    yield delayed(_kept)(path, objects, function, arguments)

        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        for objects, found in parallel(waiting()):
            while done:
                yield done[0][0], _read(done.pop(0)[1], solver.prior)
            # what is on the disk need not be in memory
            yield objects, found if folder is None else _read(found, solver.prior)
        for objects, path in done:
            yield objects, _read(path, solver.prior)

    def nested_task(i):
        name = f"object-{i:07d}"
        own = None if folder is None else _points_of(folder / f"{name}.npz")
        arguments = (solver, problems[i], object_seeds[i], own, n_samples)
        return name, [i], _nested, arguments

    def blocks():
        """Tasks of objects that are sampled by tables."""
        for k, start in enumerate(range(0, len(observed), _BLOCK)):
            block = observed[start : start + _BLOCK]
            arguments = (
                [problems[i] for i in block],
                [object_seeds[i] for i in block],
                n_samples,
            )
            yield f"block-{k:07d}", block, solver.by_tables, arguments

    def clusters():
        """Tasks of objects that share draws."""
        bank = solver.sampler().bank(seed)
        few = bank.first(_FEW)
        seeds = {i: solver.seeds(few, problems[i], object_seeds[i]) for i in observed}
        for k, cluster in enumerate(_alike(observed, seeds)):
            arguments = (
                [problems[i] for i in cluster],
                bank,
                object_seeds[cluster[0]],
                n_samples,
            )
            yield f"cluster-{k:07d}", cluster, solver.together, arguments

    left = observed
    if sampler == "importance":
        tasks = clusters() if solver.tables is None else blocks()
        left = []
        for objects, found in run(tasks):
            for i, outcome in zip(objects, found, strict=True):
                outcomes[i] = outcome
                p = outcome.posterior
                if p is None or p.effective_sample_size < solver.min_ess:
                    left.append(i)
                else:
                    step()
    by_nested = {"by nested sampling": len(left)} if sampler == "importance" else {}
    for objects, found in run([nested_task(i) for i in sorted(left)]):
        for i, outcome in zip(objects, found, strict=True):
            outcomes[i] = outcome
            step(**by_nested)
    return outcomes


def _kept(path, objects, function, arguments):
    """Do a task, and write what it finds before it counts as done.

    The points of a nested run go after that: a kill must not leave half of them.
    """
    found = function(*arguments)
    if path is not None:
        runs = [
            {k: v for k, v in vars(outcome).items() if k != "posterior"}
            for outcome in found
        ]
        write_posteriors(path, [outcome.posterior for outcome in found], runs=runs)
        if function is _nested:
            shutil.rmtree(_points_of(path), ignore_errors=True)
        return objects, path
    return objects, found


def _read(path, space):
    """Return the outcomes that a finished task has written."""
    posteriors, header = read_stored(path, space)
    return [
        Outcome(p, **run) for p, run in zip(posteriors, header["runs"], strict=True)
    ]


def _points_of(path):
    """Return the folder of the points of a nested run whose result is at a path."""
    return path.with_name(path.stem.replace("object", "nested"))


def _nested(solver, problem, seed, log_dir, n_samples):
    """Sample one of many objects by nested sampling."""
    return [solver.one(problem, seed, log_dir, n_samples=n_samples)]


def _alike(objects, seeds):
    """Split objects into groups of similar seeds, halving at medians.

    Objects share draws as long as their posteriors together take up little more room
    than one of them, for their number.
    """
    if not objects:
        return []
    means = np.array([seeds[i].mean(axis=0) for i in objects])
    deviations = np.array([seeds[i].std(axis=0) for i in objects])
    features = np.hstack([means, deviations])

    def room(members):
        """Return the volume of all, over that of one."""
        within = np.maximum((deviations[members] ** 2).mean(axis=0), 1e-12)
        return np.sqrt(np.prod(1 + means[members].var(axis=0) / within))

    def split(members):
        more = _MORE_ROOM * len(members) / CLUSTER_SIZE
        if len(members) == 1 or (more <= _MORE_ROOM and room(members) - 1 < more):
            return [members]
        own = features[members] - features[members].mean(axis=0)
        axis = np.linalg.svd(own, full_matrices=False)[2][0]
        order = members[np.argsort(own @ axis, kind="stable")]
        n_groups = max(ceil(len(members) / CLUSTER_SIZE), 2)
        middle = ceil(len(members) * (n_groups // 2) / n_groups)
        return split(order[:middle]) + split(order[middle:])

    groups = split(np.arange(len(objects)))
    return [[objects[i] for i in np.sort(group)] for group in groups]
