"""Posteriors of many objects at once, by adaptive importance sampling.

Emulated models are shared: a bank of them, drawn from the prior, gives every object its
first seeds; objects of similar posteriors then share the draws of mixtures fitted to
them all (population Monte Carlo: Cappé, Douc, Guillin, Marin & Robert 2008, Statistics
and Computing 18, 447), weighted by the density of all mixtures together (deterministic
mixture: Owen & Zhou 2000, JASA 95, 135).

Everything happens in probits of the unit cube, where the prior is a standard normal.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from . import _mixture
from ._forward_model import Predictions

#: Models of the bank, a power of 2.
BANK_SIZE = 2**13
#: Seeds that an object takes from the bank, and the effective number they must have.
_N_SEEDS, _SEED_ESS = 256, 64
#: Objects that share draws.
CLUSTER_SIZE = 64
#: Draws of a round, and rounds at most.
_N_DRAWS, _MAX_ROUNDS = 4096, 40
#: Rounds after which objects are parted, if few of them had enough.
_PATIENCE = 4
#: Rounds in a row that count, and the effective sample size at which to begin with it.
_MAX_COUNTS, _LOOK_ESS = 8, 64
#: Effective sample size to keep while the likelihood is tempered.
_TEMPER_ESS = 100
#: Points that a mixture is fitted to, and its components at most.
_N_FIT, _N_COMPONENTS = 2048, 12


@dataclass(frozen=True)
class WeightedDraws:
    """What importance sampling found for one object."""

    theta: np.ndarray
    lines: np.ndarray
    log_likelihoods: np.ndarray
    weights: np.ndarray
    effective_sample_size: float
    log_evidence: float
    log_evidence_err: float


@dataclass(frozen=True)
class Bank:
    """Draws from the prior with their predictions."""

    z: np.ndarray
    predictions: Predictions

    def first(self, n):
        """Return the first ``n`` draws, which are even if that is a power of 2."""
        parts = (None if p is None else p[:n] for p in self.predictions)
        return Bank(self.z[:n], Predictions(*parts))


class Sampler:
    """Importance sampling of objects that share a forward model and a prior.

    Parameters
    ----------
    transform : callable
        From points of the unit cube, (n, d), to parameters.
    predict : callable
        From parameters to predictions of all lines.
    n_parameters : int
        Number of parameters.
    """

    def __init__(self, transform, predict, n_parameters):
        self.transform = transform
        self.predict = predict
        self.n_parameters = n_parameters

    def theta(self, z):
        """Return the parameters of probits."""
        return self.transform(np.clip(special.ndtr(z), 1e-15, 1 - 1e-15))

    def evaluate(self, z):
        """Return predictions of probits, in blocks."""
        blocks = [
            self.predict(self.theta(z[start : start + 4096]))
            for start in range(0, len(z), 4096)
        ]
        return Predictions(
            *(
                None if parts[0] is None else np.concatenate(parts)
                for parts in zip(*blocks, strict=True)
            )
        )

    def bank(self, seed, size=BANK_SIZE):
        """Draw and evaluate the bank.

        Parameters
        ----------
        seed : int
            Seed.
        size : int
            Number of models, a power of 2.

        Returns
        -------
        bank : Bank
        """
        rng = np.random.default_rng(seed)
        z = _mixture.probits_of_prior(size, self.n_parameters, rng)
        return Bank(z, self.evaluate(z))

    def seeds(self, bank, log_likelihood, seed):
        """Draw seeds of an object from the bank, which tell whom it is like.

        Its likelihood is tempered until enough models count.

        Parameters
        ----------
        bank : Bank
            Draws from the prior.
        log_likelihood : ndarray of shape (n_bank,)
            The object's, of the bank.
        seed : int
            Seed.

        Returns
        -------
        seeds : ndarray of int of shape (256,)
            Positions in the bank.
        """
        weights = _temper(log_likelihood, _SEED_ESS)
        rng = np.random.default_rng(seed)
        return rng.choice(len(bank.z), _N_SEEDS, p=weights)

    def sample(self, likelihoods, bank, seed, min_ess):
        """Sample the posteriors of objects that share their draws.

        Looking, all draws count, those of the bank and of every round: their density is
        that of all proposals together. A round's proposal is fitted to what the objects
        that still have too few have found, tempered so that it is not fitted to a few
        points.

        Parameters
        ----------
        likelihoods : callable
            From predictions to log-likelihoods of each object, of shape (n_objects,
            n), minus infinity where there is none. ``len(likelihoods)`` is the number
            of objects, ``likelihoods.of(objects)`` the same of some of them.
        bank : Bank
            Draws from the prior.
        seed : int
            Seed.
        min_ess : float
            Effective sample size that each object should reach.

        Returns
        -------
        draws : list of WeightedDraws
            Of each object; those below ``min_ess`` are the caller's to mind.
        """
        z = bank.z
        run = _Run(
            z,
            bank.predictions.mean,
            likelihoods(bank.predictions),
            _log_prior(z) + np.log(len(z)),
            np.log(len(z)),
            [],
            [],
        )
        return self._go_on(likelihoods, run, np.random.default_rng(seed), min_ess)

    def _go_on(self, likelihoods, run, rng, min_ess):
        """Look for objects that share a run, then count; part whom it does not suit.

        Proposals are fitted to draws that they then lower the weights of, so that
        evidences of all draws together are too low. What counts are new draws of a
        proposal that does not change any more.
        """
        n_before = len(likelihoods)
        for i in range(_MAX_ROUNDS):
            log_ratio = run.log_ratio()
            found = [_weighted(v, log_ratio)[1] for v in run.values]
            wanting = np.flatnonzero(np.array(found) < _LOOK_ESS)
            if not len(wanting):
                break
            if i and i % _PATIENCE == 0:
                if 1 < len(wanting) and len(wanting) > 0.75 * n_before:
                    return self._part(likelihoods, run, rng, min_ess)
                n_before = len(wanting)
            run = self._look(likelihoods, run, wanting, rng)
        return self._count(likelihoods, run, rng, min_ess)

    def _look(self, likelihoods, run, wanting, rng):
        """Return the run with draws of a proposal for some objects."""
        log_ratio = run.log_ratio()
        weights = [_temper(run.values[j], _TEMPER_ESS, log_ratio) for j in wanting]
        proposal = Mixture.fit(run.z[_pool(weights, rng)], rng)
        new = proposal.sample(_N_DRAWS, rng)
        predictions = self.evaluate(new)
        return run.add(proposal, new, predictions.mean, likelihoods(predictions))

    def _part(self, likelihoods, run, rng, min_ess):
        """Go on with two halves of the objects, each by itself."""
        log_ratio, draws = run.log_ratio(), [None] * len(likelihoods)
        weights = [_temper(v, _TEMPER_ESS, log_ratio) for v in run.values]
        for part in _halves(weights, run.z):
            own = self._go_on(likelihoods.of(part), run.of(part), rng, min_ess)
            for j, found in zip(part, own, strict=True):
                draws[j] = found
        return draws

    def _count(self, likelihoods, run, rng, min_ess):
        """Draw from one proposal until all objects have enough."""
        log_ratio, n_objects = run.log_ratio(), len(likelihoods)
        weights = [_temper(v, _TEMPER_ESS, log_ratio) for v in run.values]
        proposal = Mixture.fit(run.z[_pool(weights, rng)], rng).join(run.proposals[-1:])
        z, lines = np.empty((0, self.n_parameters)), []
        values, left = np.empty((n_objects, 0)), np.arange(n_objects)
        draws, log_q = [None] * n_objects, np.empty(0)
        for i in range(_MAX_COUNTS):
            new = proposal.sample(_N_DRAWS, rng)
            predictions = self.evaluate(new)
            own = likelihoods if len(left) == n_objects else likelihoods.of(left)
            values = np.hstack([values, own(predictions)])
            lines.append(predictions.mean)
            z = np.concatenate([z, new])
            log_q = np.concatenate([log_q, proposal.log_density(new)])
            log_ratio = _log_prior(z) - (log_q + np.log(len(z)))
            found = [_weighted(v, log_ratio) for v in values]
            enough = np.array([f[1] >= min_ess for f in found])
            # who has none at all will not have any
            last = i == _MAX_COUNTS - 1
            settled = enough | (last & (len(run.proposals) >= _MAX_ROUNDS))
            if settled.any():
                theta, every = self.theta(z), np.concatenate(lines)
                for j in np.flatnonzero(settled):
                    own = theta, every, values[j]
                    draws[left[j]] = WeightedDraws(*own, *found[j])
                left, values = left[~settled], values[~settled]
            if not len(left):
                return draws
        # what is left goes on, with these draws among those that it looks at
        run = run.of(left).add(proposal, z, np.concatenate(lines), values)
        of_left = likelihoods.of(left)
        if 1 < len(left) and len(left) > 0.75 * n_objects:
            rest = self._part(of_left, run, rng, min_ess)
        else:
            run = self._look(of_left, run, np.arange(len(left)), rng)
            rest = self._go_on(of_left, run, rng, min_ess)
        for j, found in zip(left, rest, strict=True):
            draws[j] = found
        return draws


@dataclass(frozen=True)
class _Run:
    """Draws of all proposals so far, and what objects say of them."""

    z: np.ndarray
    #: (n, n_lines)
    lines: np.ndarray
    #: (n_objects, n)
    values: np.ndarray
    #: logarithm of the sum of the densities of all proposals, times draws of each
    log_sum: np.ndarray
    #: logarithm of the draws of the prior
    log_n_prior: float
    proposals: list
    #: logarithm of the draws of each
    log_n: list

    def log_ratio(self):
        """Return the logarithm of the prior over the density of the draws."""
        return _log_prior(self.z) - self.log_sum

    def of(self, objects):
        """Return the run of some objects."""
        return replace(self, values=self.values[objects])

    def add(self, proposal, z, lines, values):
        """Return the run with draws of one more proposal."""
        log_n, old_n = np.log(len(z)), self.log_n
        own = _log_prior(z) + self.log_n_prior
        for old, n in zip(self.proposals, old_n, strict=True):
            own = np.logaddexp(own, old.log_density(z) + n)
        every = np.concatenate([self.z, z])
        log_sum = np.concatenate([self.log_sum, own])
        return replace(
            self,
            z=every,
            lines=np.concatenate([self.lines, lines]),
            values=np.hstack([self.values, values]),
            log_sum=np.logaddexp(log_sum, proposal.log_density(every) + log_n),
            proposals=[*self.proposals, proposal],
            log_n=[*old_n, log_n],
        )


def _halves(weights, z):
    """Part objects in two at the median of where they differ most."""
    means = np.array([w @ z for w in weights])
    own = means - means.mean(axis=0)
    order = np.argsort(own @ np.linalg.svd(own, full_matrices=False)[2][0])
    middle = len(order) // 2
    return np.sort(order[:middle]), np.sort(order[middle:])


def _weighted(log_likelihood, log_ratio):
    """Return weights, effective sample size, evidence and its error."""
    log_weight = log_likelihood + log_ratio
    highest = log_weight.max()
    if highest == -np.inf:
        return np.zeros(len(log_weight)), 0.0, -np.inf, np.inf
    weights = np.exp(log_weight - highest)
    total = weights.sum()
    ess = total**2 / np.sum(weights**2)
    error = np.sqrt(max(1.0 / ess - 1.0 / len(weights), 0.0))
    # the sum of the densities of the proposals has the draws of each as a factor
    return weights / total, float(ess), float(np.log(total) + highest), float(error)


class Mixture:
    """Student's t distributions, and a share of the prior, as a proposal.

    Parameters
    ----------
    weights, means, factors, inverses : ndarray
        As `_mixture.fit_mixture` gives them.
    """

    def __init__(self, weights, means, factors, inverses):
        self.weights, self.means = weights, means
        self.factors, self.inverses = factors, inverses

    @classmethod
    def fit(cls, z, rng, n_components=_N_COMPONENTS):
        """Fit a mixture to points of equal weight.

        Parameters
        ----------
        z : ndarray of shape (n_points, n_parameters)
            The points.
        rng : numpy Generator
            Source of random numbers.
        n_components : int
            Its components, at most.

        Returns
        -------
        mixture : Mixture
        """
        _mixture.seed_generator(int(rng.integers(2**31)))
        return cls(*_mixture.fit_mixture(np.ascontiguousarray(z), n_components))

    def join(self, others):
        """Return the mixture of this one and others, in equal shares."""
        every = [self, *others]
        return Mixture(
            np.concatenate([m.weights for m in every]) / len(every),
            *(
                np.concatenate([getattr(m, name) for m in every])
                for name in ("means", "factors", "inverses")
            ),
        )

    def sample(self, n, rng):
        """Draw ``n`` points."""
        _mixture.seed_generator(int(rng.integers(2**31)))
        return _mixture.draw_mixture(n, self.weights, self.means, self.factors)

    def log_density(self, z):
        """Return the logarithm of the density, of shape (n,)."""
        out = np.empty(len(z))
        _mixture.mixture_log_density(z, self.weights, self.means, self.inverses, out)
        return out


def _log_prior(z):
    """Logarithm of the prior density of probits: standard normal."""
    return -0.5 * np.einsum("ij,ij->i", z, z) - 0.5 * z.shape[1] * np.log(2 * np.pi)


def _pool(weights, rng):
    """Draw points for a fit, as many from each object."""
    n_each = max(_N_FIT // len(weights), 32)
    return np.concatenate([rng.choice(len(w), n_each, p=w) for w in weights])


def _temper(log_likelihood, min_ess, log_ratio=0.0):
    """Return weights under the largest power of the likelihood that many share.

    Parameters
    ----------
    log_likelihood : ndarray of shape (n,)
        Of the draws; minus infinity where there is none.
    min_ess : float
        Effective sample size to keep.
    log_ratio : ndarray of shape (n,), default=0.0
        Logarithm of the prior over the density of the draws.

    Returns
    -------
    weights : ndarray of shape (n,)
        They sum to 1.
    """
    weights = np.empty(len(log_likelihood))
    log_ratio = np.broadcast_to(np.asarray(log_ratio, dtype=float), weights.shape)
    _mixture.temper(
        np.ascontiguousarray(log_likelihood),
        np.ascontiguousarray(log_ratio),
        float(min_ess),
        weights,
    )
    return weights / weights.sum()
