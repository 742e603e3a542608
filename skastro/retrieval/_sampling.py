"""The posteriors of one object or of many: sampled, in parallel, and kept on disk."""

import shutil
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from ._forward_model import ForwardModel
from ._likelihood import EXCLUDED, Likelihood
from ._posterior import Posterior
from ._posterior_files import read_posteriors, write_posteriors
from ._sampling_importance import CLUSTER_SIZE, Sampler
from ._sampling_nested import nested_sampling

#: Log-likelihood where the forward model has no solution: lower than any other.
IMPOSSIBLE = -1e100


@dataclass(frozen=True)
class Problem:
    """One object: which lines were observed, and the likelihood of them."""

    rows: np.ndarray
    likelihood: Likelihood


@dataclass(frozen=True)
class Outcome:
    """What was found for one object, and how it went."""

    posterior: Posterior | None
    sampler: str
    n_calls: int = 0
    n_unsolved: int = 0
    n_outside: int = 0
    well_mixed: bool = True
    complete: bool = True


class Counts:
    """Of evaluations, those without a solution, and those outside an emulator's range.

    Unpacks into these three numbers.
    """

    def __init__(self):
        self.n_calls = self.n_unsolved = self.n_outside = 0

    def add(self, log_likelihoods, outside):
        """Count a batch, whose log-likelihoods are NaN where there is no solution."""
        unsolved = np.isnan(log_likelihoods)
        self.n_calls += len(unsolved)
        self.n_outside += int((unsolved & outside).sum())
        self.n_unsolved += int((unsolved & ~outside).sum())

    def __iter__(self):
        return iter((self.n_calls, self.n_unsolved, self.n_outside))


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
    """

    forward: ForwardModel
    prior: object
    X: np.ndarray
    with_std: bool
    nested: dict
    min_ess: float

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
        X, counts = self.X[problem.rows], Counts()

        def log_likelihood(theta):
            predictions = self.forward.predict(theta, X, self.with_std)
            values = problem.likelihood(predictions.mean, predictions.std)
            counts.add(values, predictions.outside)
            unsolved, excluded = np.isnan(values), np.isneginf(values)
            values[unsolved] = IMPOSSIBLE
            values[excluded] = problem.likelihood.excluded(predictions.mean[excluded])
            return np.maximum(values, IMPOSSIBLE)

        run = nested_sampling(
            self.prior.names,
            self.prior.transform,
            log_likelihood,
            log_dir=log_dir,
            seed=seed,
            step=step,
            **self.nested,
        )
        max_calls = self.nested["max_calls"]
        if not run.log_likelihoods.max() > EXCLUDED:
            return Outcome(None, "nested", *counts)
        posterior = Posterior(
            self.prior,
            run.samples,
            run.weighted_samples,
            run.weights,
            run.log_likelihoods,
            run.log_evidence,
            run.log_evidence_err,
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

    def sampler(self):
        """Return importance sampling of this forward model and prior."""
        return Sampler(
            self.prior.transform,
            lambda theta: self.forward.predict(theta, self.X, self.with_std),
            len(self.prior),
        )

    def _of_all_lines(self, problem, counts):
        """Return an object's likelihood as a function of predictions of all lines."""

        def log_likelihood(predictions):
            mean, std, outside = predictions
            std = None if std is None else std[:, problem.rows]
            values = problem.likelihood(mean[:, problem.rows], std)
            counts.add(values, outside)
            return np.where(np.isnan(values), -np.inf, values)

        return log_likelihood

    def seeds(self, bank, problem, seed):
        """Return probits near an object's posterior, from the bank."""
        values = self._of_all_lines(problem, Counts())(bank.predictions)
        return bank.z[self.sampler().seeds(bank, values, seed)]

    def together(self, problems, seeds, seed, n_samples=None):
        """Sample objects by importance sampling with shared draws.

        Parameters
        ----------
        problems : list of Problem
            The objects.
        seeds : list of ndarray
            Probits near the posterior of each.
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
            [self._of_all_lines(p, c) for p, c in zip(problems, counts, strict=True)],
            np.concatenate(seeds),
            seed,
            self.min_ess,
        )
        outcomes = []
        for found, count in zip(draws, counts, strict=True):
            posterior = None
            if found.effective_sample_size > 0:
                kept = found.weights > 0
                posterior = Posterior(
                    self.prior,
                    None,
                    found.theta[kept],
                    found.weights[kept],
                    found.log_likelihoods[kept],
                    found.log_evidence,
                    found.log_evidence_err,
                ).thin(n_samples, seed, samples_only=n_samples is None)
            outcomes.append(Outcome(posterior, "importance", *count))
        return outcomes


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
        waiting = []
        for name, objects, function, arguments in tasks:
            path = None if folder is None else folder / f"{name}.npz"
            if path is not None and path.exists():
                yield objects, _read(path, solver.prior)
            else:
                waiting.append(delayed(_kept)(path, objects, function, arguments))
        results = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(waiting)
        yield from results

    def nested_task(i):
        own = None if folder is None else folder / f"nested-{i:07d}"
        arguments = (solver, problems[i], object_seeds[i], own, n_samples)
        return f"object-{i:07d}", [i], _nested, arguments

    left = observed
    if sampler == "importance":
        bank = solver.sampler().bank(seed)
        seeds = {i: solver.seeds(bank, problems[i], object_seeds[i]) for i in observed}
        tasks = [
            (
                f"cluster-{k:07d}",
                cluster,
                solver.together,
                (
                    [problems[i] for i in cluster],
                    [seeds[i] for i in cluster],
                    object_seeds[cluster[0]],
                    n_samples,
                ),
            )
            for k, cluster in enumerate(_alike(observed, seeds))
        ]
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
    """Do a task, and write what it finds before it counts as done."""
    found = function(*arguments)
    if path is not None:
        runs = [
            {k: v for k, v in vars(outcome).items() if k != "posterior"}
            for outcome in found
        ]
        write_posteriors(path, [outcome.posterior for outcome in found], runs=runs)
    return objects, found


def _read(path, space):
    """Return the outcomes that a finished task has written."""
    posteriors, _, header = read_posteriors(path)
    return [
        Outcome(None if p is None else Posterior(space, **p), **run)
        for p, run in zip(posteriors, header["runs"], strict=True)
    ]


def _nested(solver, problem, seed, log_dir, n_samples):
    """Sample one of many objects by nested sampling; tidy up after it."""
    outcome = solver.one(problem, seed, log_dir, n_samples=n_samples)
    if log_dir is not None:
        shutil.rmtree(log_dir, ignore_errors=True)
    return [outcome]


def _alike(objects, seeds):
    """Split objects into groups of similar seeds, halving at medians."""
    if not objects:
        return []
    features = np.array(
        [np.concatenate([seeds[i].mean(axis=0), seeds[i].std(axis=0)]) for i in objects]
    )

    def split(members):
        if len(members) <= CLUSTER_SIZE:
            return [members]
        own = features[members] - features[members].mean(axis=0)
        axis = np.linalg.svd(own, full_matrices=False)[2][0]
        order = members[np.argsort(own @ axis, kind="stable")]
        n_groups = ceil(len(members) / CLUSTER_SIZE)
        middle = ceil(len(members) * (n_groups // 2) / n_groups)
        return split(order[:middle]) + split(order[middle:])

    groups = split(np.arange(len(objects)))
    return [[objects[i] for i in np.sort(group)] for group in groups]
