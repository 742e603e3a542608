"""Posteriors of many objects at once, by adaptive importance sampling.

Emulated models are shared: a bank of them, drawn from the prior, gives every object its
first seeds; objects of similar posteriors then share the draws of mixtures fitted to
them all (population Monte Carlo: Cappé, Douc, Guillin, Marin & Robert 2008, Statistics
and Computing 18, 447), weighted by the density of all mixtures together (deterministic
mixture: Owen & Zhou 2000, JASA 95, 135).

Everything happens in probits of the unit cube, where the prior is a standard normal.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.stats import qmc

from . import _mixture
from ._forward_model import Predictions

#: Models of the bank, a power of 2.
BANK_SIZE = 2**14
#: Seeds that an object takes from the bank, and the effective number they must have.
_N_SEEDS, _SEED_ESS = 256, 64
#: Objects that share draws.
CLUSTER_SIZE = 64
#: Draws of a round that adapts and of one that counts, and most rounds of either kind.
_N_ADAPT, _N_DRAWS, _MAX_ADAPT, _MAX_ROUNDS = 8192, 8192, 30, 12
#: Effective sample size to keep while adapting.
_ADAPT_ESS = 100
#: Points that a mixture is fitted to, and its components at most.
_N_FIT, _N_COMPONENTS = 2048, 12


@dataclass(frozen=True)
class WeightedDraws:
    """What importance sampling found for one object."""

    theta: np.ndarray
    lines: np.ndarray
    weights: np.ndarray
    log_likelihoods: np.ndarray
    log_evidence: float
    log_evidence_err: float
    effective_sample_size: float


@dataclass(frozen=True)
class Bank:
    """Draws from the prior with their predictions."""

    z: np.ndarray
    predictions: Predictions


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
        try:
            sobol = qmc.Sobol(self.n_parameters, rng=np.random.default_rng(seed))
        except TypeError:  # scipy < 1.15
            sobol = qmc.Sobol(self.n_parameters, seed=np.random.default_rng(seed))
        u = np.clip(sobol.random(size), 1e-9, 1 - 1e-9)
        z = special.ndtri(u)
        return Bank(z, self.evaluate(z))

    def seeds(self, bank, log_likelihood, seed):
        """Draw seeds of an object from the bank.

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
        weights, _ = _temper(log_likelihood, _SEED_ESS)
        rng = np.random.default_rng(seed)
        return rng.choice(len(bank.z), _N_SEEDS, p=weights)

    def sample(self, likelihoods, seeds, seed, min_ess):
        """Sample the posteriors of objects that share their draws.

        Parameters
        ----------
        likelihoods : callable
            From predictions to log-likelihoods of each object, of shape (n_objects,
            n), minus infinity where there is none. ``len(likelihoods)`` is the number
            of objects, ``likelihoods.of(i)`` the same of one of them.
        seeds : ndarray of shape (n_seeds, n_parameters)
            Probits near the objects' posteriors.
        seed : int
            Seed.
        min_ess : float
            Effective sample size that each object should reach.

        Returns
        -------
        draws : list of WeightedDraws
            Of each object; those below ``min_ess`` are the caller's to mind.
        """
        rng = np.random.default_rng(seed)
        proposal = Mixture.fit(seeds, rng)
        for _ in range(_MAX_ADAPT):
            z = proposal.sample(_N_ADAPT, rng)
            log_ratio = _log_prior(z) - proposal.log_density(z)
            values = likelihoods(self.evaluate(z))
            weights, powers = zip(
                *(_temper(v, _ADAPT_ESS, log_ratio) for v in values), strict=True
            )
            proposal = Mixture.fit(z[_pool(weights, rng)], rng)
            if min(powers) == 1.0:
                break
        draws, again = self._gather(likelihoods, proposal, rng, min_ess)
        if len(likelihoods) > 1:
            # whom the others' draws do not suit is sampled alone
            for i, own_seeds in again.items():
                own = self.sample(likelihoods.of(i), own_seeds, seed + i + 1, min_ess)
                if own[0].effective_sample_size > draws[i].effective_sample_size:
                    draws[i] = own[0]
        return draws

    def _gather(self, likelihoods, proposal, rng, min_ess):
        """Draw, with the proposal refitted each round, until all objects have enough.

        All draws count: their density is that of all rounds' proposals together.
        Return them, and seeds for the objects that still have too few.
        """
        n_objects, d = len(likelihoods), self.n_parameters
        proposals, z, lines = [], np.empty((0, d)), []
        values, log_sum = np.empty((n_objects, 0)), np.empty(0)
        for i in range(_MAX_ROUNDS):
            new = proposal.sample(_N_DRAWS, rng)
            predictions = self.evaluate(new)
            lines.append(predictions.mean)
            values = np.hstack([values, likelihoods(predictions)])
            own = np.full(len(new), -np.inf)
            for old in proposals:
                own = np.logaddexp(own, old.log_density(new))
            proposals.append(proposal)
            z = np.concatenate([z, new])
            log_sum = np.concatenate([log_sum, own])
            log_sum = np.logaddexp(log_sum, proposal.log_density(z))
            log_ratio = _log_prior(z) - (log_sum - np.log(len(proposals)))
            log_weight = values + log_ratio
            highest = log_weight.max(axis=1, keepdims=True)
            with np.errstate(invalid="ignore"):
                weights = np.exp(log_weight - highest)
            weights[~np.isfinite(weights)] = 0.0
            total = weights.sum(axis=1)
            square = np.sum(weights**2, axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                ess = np.where(square > 0, total**2 / square, 0.0)
            enough = ess >= min_ess
            if enough.all() or i == _MAX_ROUNDS - 1:
                break
            # what is still to be found decides where to look; tempered, so that the
            # mixture is not fitted to a few points
            wanting = [_temper(v, _ADAPT_ESS, log_ratio)[0] for v in values[~enough]]
            proposal = Mixture.fit(z[_pool(wanting, rng)], rng)
        theta, lines = self.theta(z), np.concatenate(lines)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_evidence = np.log(total / len(z)) + highest[:, 0]
            error = np.sqrt(np.maximum(1.0 / ess - 1.0 / len(z), 0.0))
        again = {
            i: z[rng.choice(len(z), _N_SEEDS, p=_temper(v, _ADAPT_ESS, log_ratio)[0])]
            for i, v in enumerate(values)
            if not enough[i]
        }
        draws = [
            WeightedDraws(
                theta,
                lines,
                weights[i] / total[i] if total[i] > 0 else weights[i],
                values[i],
                float(log_evidence[i]),
                float(error[i]),
                float(ess[i]),
            )
            for i in range(n_objects)
        ]
        return draws, again


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
    def fit(cls, z, rng):
        """Fit a mixture to points of equal weight.

        Parameters
        ----------
        z : ndarray of shape (n_points, n_parameters)
            The points.
        rng : numpy Generator
            Source of random numbers.

        Returns
        -------
        mixture : Mixture
        """
        _mixture.seed_generator(int(rng.integers(2**31)))
        return cls(*_mixture.fit_mixture(np.ascontiguousarray(z), _N_COMPONENTS))

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
    n_each = max(_N_FIT // len(weights), 64)
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
    power : float
        In (0, 1].
    """
    weights = np.empty(len(log_likelihood))
    log_ratio = np.broadcast_to(np.asarray(log_ratio, dtype=float), weights.shape)
    power = _mixture.temper(
        np.ascontiguousarray(log_likelihood),
        np.ascontiguousarray(log_ratio),
        float(min_ess),
        weights,
    )
    return weights / weights.sum(), power
