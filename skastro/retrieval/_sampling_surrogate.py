"""Posteriors by few calls of a dear forward model, placed by a surrogate of its lines.

Calls of a design of the prior teach a surrogate; each round places calls near the
posterior that it sees, and learns of them. All calls count, weighted by the intensity
of all rounds together (deterministic mixture: Owen & Zhou 2000, JASA 95, 135; adaptive:
Cornuet, Marin, Mira & Robert 2012, Scandinavian Journal of Statistics 39, 798): the
surrogate decides how many calls are needed, and not what comes out.
"""

import json
from pathlib import Path

import numpy as np
from scipy import special

from ._mixture import probits_of_prior
from ._posterior import Posterior
from ._sampling import Counts, Outcome
from ._sampling_importance import _log_prior, _temper
from ._surrogate_calls import Calls
from ._surrogate_lines import SurrogateLines
from ._surrogate_proposal import Proposal

#: Calls of the design, and of a round, for each parameter; of a round also this share
#: of all calls so far, so that there are not many.
_PER_PARAMETER, _GROWTH = 64, 0.25
#: Largest part of `max_calls` that the design takes.
_DESIGN_SHARE = 0.25
#: Part of the design that tells the first error of the surrogate.
_HELD_OUT = 0.2
#: Efficiency of a round's draws from which on the surrogate is left as it is, and the
#: growth of the number of calls that makes it worth while to teach it again.
_GOOD, _NEWS = 0.5, 0.1
#: Efficiency from which on a round is as large as what is wanting; what it adds to it;
#: its largest part of all calls so far where the surrogate has just been taught again.
_FORESEEABLE, _MARGIN, _TRIED = 0.2, 1.1, 0.4
#: Weight of one call from which on the next round is wider.
_DOMINANT = 0.1
#: Effective number of the calls that tell the error of the surrogate.
_ERROR_ESS = 32
#: By how much the error of the surrogate is wider in a share of the draws.
_WIDE = 3.0
#: Calls of the posterior so far that the next mixture is to cover.
_N_LIKELY = 256


class SurrogateSampler:
    """Importance sampling of some objects that share the calls of a dear model.

    Parameters
    ----------
    prior : ParameterSpace
        The prior.
    problems : list of Problem
        The objects.
    calls : Calls
        Makes and keeps calls.
    surrogate : SurrogateLines
        Not taught yet.
    max_calls : int
        Calls, of all objects together, at most.
    min_ess : float
        Effective sample size that each object should reach.
    seed : int
        Seed.
    """

    def __init__(self, prior, problems, calls, surrogate, max_calls, min_ess, seed):
        self._prior, self._problems, self._calls = prior, problems, calls
        self._max_calls, self._min_ess = max_calls, min_ess
        self._rng = np.random.default_rng(seed)
        self._surrogate = surrogate
        self._layers, self._n_learned = [], 0
        self._proposals, self._efficiency = {}, np.zeros(len(problems))
        self._z = np.empty((0, len(prior)))
        self._log_likelihoods = np.empty((len(problems), 0))

    def sample(self, n_samples=None):
        """Sample the objects.

        Parameters
        ----------
        n_samples : int, default=None
            Samples to keep of each object.

        Returns
        -------
        outcomes : list of Outcome
        """
        if self._design():
            while len(self._calls) < self._max_calls:
                ess = self._effective_sizes()
                if (ess >= self._min_ess).all():
                    break
                self._round(int(np.argmin(ess)), ess.min())
        return self._outcomes(n_samples)

    def _design(self):
        """Call the model over the prior; tell whether there is something to learn."""
        n = int(min(_PER_PARAMETER * len(self._prior), _DESIGN_SHARE * self._max_calls))
        n = self._calls.begun or max(n, min(2, self._max_calls))
        rng = np.random.default_rng(self._rng.integers(2**63))
        z = probits_of_prior(n, len(self._prior), rng)
        self._log_density = np.log(n) + _log_prior(z)
        self._call(z)
        self._n_design = n
        solved = np.isfinite(self._calls.predictions().mean).all(axis=1)
        failure = self._calls.first_failure
        if not solved.any() and failure is not None:
            raise ValueError(
                f"`forward_model` failed in all of its first {n} calls over the prior."
                f" At {failure.parameters.tolist()}: {failure.error}. Mend it, and name"
                " another `log_dir` if there is one: that has them on record."
            )
        return solved.sum() >= 2

    def _round(self, k, ess):
        """Place calls for an object."""
        self._learn(k)
        proposal = self._proposals.get(k)
        if proposal is None:
            proposal = self._proposals[k] = self._propose(k)
        z, layer = proposal.draw(self._size(k, ess), self._rng)
        self._log_density = np.logaddexp(
            self._log_density, layer.log_intensity(self._z)
        )
        own = layer.log_intensity(z)
        before = [np.log(self._n_design) + _log_prior(z)]
        before += [earlier.log_intensity(z) for earlier in self._layers]
        log_density = np.logaddexp.reduce([*before, own])
        self._log_density = np.concatenate([self._log_density, log_density])
        self._layers.append(layer)
        self._call(z)
        new = self._log_likelihoods[k, -len(z) :] + _log_prior(z) - own
        self._efficiency[k] = _effective_size(new) / len(z)
        self._mind_error(z, new, self._calls.predictions(len(self._calls) - len(z)))

    def _size(self, k, ess):
        """Return how many calls the next round makes, or a killed run made in it."""
        if self._calls.begun:
            return self._calls.begun
        n = max(_PER_PARAMETER * len(self._prior), _GROWTH * len(self._calls))
        if self._efficiency[k] >= _FORESEEABLE:
            wanting = _MARGIN * (self._min_ess - ess) / self._efficiency[k]
            # one that has just been taught again may be far better than it was
            most = len(self._calls) * (1 if self._efficiency[k] >= _GOOD else _TRIED)
            n = max(min(wanting, most), _PER_PARAMETER)
        return int(min(np.ceil(n), self._max_calls - len(self._calls)))

    def _learn(self, k):
        """Teach the surrogate what it does not know, if that would help an object."""
        if self._dominated(k):
            self._proposals.pop(k, None)
        known = len(self._calls) < (1 + _NEWS) * self._n_learned
        if self._n_learned and (known or self._efficiency[k] >= _GOOD):
            return
        theta, predictions = self._calls.grid().parameters, self._calls.predictions()
        if not self._n_learned:
            self._first_error(k, theta, predictions)
        self._surrogate = self._surrogate.taught(theta, predictions)
        self._n_learned = len(theta)
        self._proposals = {}

    def _first_error(self, k, theta, predictions):
        """Measure the error of the surrogate on calls of the design held out of it."""
        solved = np.flatnonzero(np.isfinite(predictions.mean).all(axis=1))
        n = max(1, round((1 - _HELD_OUT) * len(solved)))
        taught, held = solved[:n], solved[n:]
        if not len(held):
            held = taught
        self._surrogate = self._surrogate.taught(
            theta[taught], _rows(predictions, taught)
        )
        values = self._log_likelihoods[k, held]
        self._mind_error(self._z[held], values, _rows(predictions, held))

    def _mind_error(self, z, log_weight, predictions):
        """Take the error of the surrogate from calls that it has not learned."""
        residuals = self._surrogate.residuals(self._theta(z), predictions)
        solved = np.isfinite(residuals).all(axis=1)
        if not solved.any():
            return
        # where the object's likelihood is, as far as enough calls are there
        weights = _temper(log_weight[solved], min(_ERROR_ESS, 0.5 * solved.sum()))
        error = np.sqrt(weights @ residuals[solved] ** 2)
        self._surrogate = self._surrogate.with_error(error)

    def _propose(self, k):
        """Return where to call next for an object."""
        surrogate, problem = self._surrogate, self._problems[k]

        def log_likelihoods(z):
            mean, error, stated = surrogate.predict(self._theta(z))
            mean, rows = mean[:, problem.rows], problem.rows
            return np.stack(
                [
                    problem.likelihood(mean, np.hypot(factor * error, stated)[:, rows])
                    for factor in (_WIDE, 1.0)
                ]
            )

        weights = _temper(
            self._log_likelihoods[k],
            _ERROR_ESS,
            _log_prior(self._z) - self._log_density,
        )
        likely = self._z[self._rng.choice(len(self._z), _N_LIKELY, p=weights)]
        return Proposal(
            log_likelihoods,
            lambda z: surrogate.log_chance(self._theta(z)),
            likely,
            self._dominated(k),
            self._rng,
        )

    def _dominated(self, k):
        """Tell whether one call outweighs the others, after the design."""
        weights = self._weights(k)[0]
        return bool(self._layers) and weights.max() > _DOMINANT * weights.sum()

    def _theta(self, z):
        """Return the parameters of probits."""
        return self._prior.transform(np.clip(special.ndtr(z), 1e-15, 1 - 1e-15))

    def _call(self, z):
        """Call the model; keep what the objects' likelihoods are."""
        first = len(self._calls)
        self._calls.make(self._theta(z))
        predictions = self._calls.predictions(first)
        values = [_log_likelihood(problem, predictions) for problem in self._problems]
        self._z = np.concatenate([self._z, z])
        self._log_likelihoods = np.hstack([self._log_likelihoods, np.stack(values)])

    def _weights(self, k):
        """Return weights of all calls for an object, and their logarithmic unit."""
        log_weight = self._log_likelihoods[k] + _log_prior(self._z) - self._log_density
        highest = log_weight.max()
        if not np.isfinite(highest):
            return np.zeros(len(log_weight)), 0.0
        return np.exp(log_weight - highest), highest

    def _effective_sizes(self):
        """Return the effective sample size of each object."""
        n = range(len(self._problems))
        return np.array([_kish(self._weights(k)[0]) for k in n])

    def _outcomes(self, n_samples):
        """Return what was found for each object."""
        predictions = self._calls.predictions()
        theta = self._calls.grid().parameters
        counts, outcomes = Counts(), []
        unsolved = np.isnan(predictions.mean).any(axis=1)
        counts.add(np.where(unsolved, np.nan, 0.0), predictions.outside)
        for k in range(len(self._problems)):
            weights, highest = self._weights(k)
            kept, ess, posterior = weights > 0, _kish(weights), None
            if kept.any():
                total = weights.sum()
                posterior = Posterior(
                    self._prior,
                    None,
                    theta[kept],
                    weights[kept] / total,
                    self._log_likelihoods[k, kept],
                    float(np.log(total) + highest),
                    # their number is random too: no more is known of the sum
                    float(ess**-0.5),
                ).thin(n_samples, k, samples_only=n_samples is None)
            complete = ess >= self._min_ess
            outcomes.append(
                Outcome(posterior, "importance", *counts, complete=bool(complete))
            )
            # all objects share the calls, which count once
            counts = Counts()
        return outcomes


def _rows(predictions, picked):
    """Return some predictions."""
    return type(predictions)(*(None if p is None else p[picked] for p in predictions))


def _log_likelihood(problem, predictions):
    """Return an object's log-likelihoods, minus infinity without a solution."""
    mean, std, _ = predictions
    std = None if std is None else std[:, problem.rows]
    values = problem.likelihood(mean[:, problem.rows], std)
    return np.where(np.isnan(values), -np.inf, values)


def _kish(weights):
    """Return the effective number of weights."""
    square = np.sum(weights**2)
    return weights.sum() ** 2 / square if square > 0 else 0.0


def _effective_size(log_weight):
    """Return the effective number of weights, given as logarithms."""
    highest = log_weight.max()
    return _kish(np.exp(log_weight - highest)) if np.isfinite(highest) else 0.0


def _scale(problems, n_lines):
    """Return the error of each line, the smallest of all objects."""
    scale = np.full(n_lines, np.inf)
    for problem in problems:
        likelihood, rows = problem.likelihood, problem.rows
        error = np.sqrt(likelihood.variance)
        # a limit without an error has the scale of the limit
        error = np.where(error > 0, error, np.abs(likelihood.y))
        scale[rows] = np.fmin(scale[rows], np.where(error > 0, error, np.inf))
    return np.where(np.isfinite(scale), scale, 1.0)


def _same_seed(folder, seed):
    """Return the seed that a run in a folder was begun with, or begin it with this."""
    if folder is None:
        return seed
    path = Path(folder) / "seed.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(seed), encoding="utf-8")
    return seed


def sample_by_calls(
    solver, problems, *, regressor, max_calls, seed, n_samples, n_jobs, log_dir, step
):
    """Sample objects by few calls of a dear model.

    Parameters
    ----------
    solver : Solver
        What the objects have in common.
    problems : list of Problem or None
        The objects; None for one without data.
    regressor : estimator or None
        The surrogate.
    max_calls : int
        Calls of the model at most.
    seed : int
        Seed.
    n_samples : int or None
        Samples to keep of each object.
    n_jobs : int or None
        Calls at a time, through joblib.
    log_dir : path-like or None
        Folder of the calls.
    step : callable
        Counts a call as done.

    Returns
    -------
    outcomes : list of Outcome or None
        Of each object.
    calls : SimulationGrid
        All calls.
    """
    folder = None if log_dir is None else Path(log_dir) / "calls"
    seed = _same_seed(folder, seed)
    calls = Calls(solver.forward, solver.X, solver.with_std, n_jobs, folder, step)
    observed = [problem for problem in problems if problem is not None]
    sampler = SurrogateSampler(
        solver.prior,
        observed,
        calls,
        SurrogateLines(regressor, solver.prior, _scale(observed, len(solver.X)), seed),
        max_calls,
        solver.min_ess,
        seed,
    )
    found = iter(sampler.sample(n_samples))
    outcomes = [None if problem is None else next(found) for problem in problems]
    return outcomes, calls.grid()
