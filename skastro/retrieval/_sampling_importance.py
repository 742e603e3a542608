"""Posteriors of many objects at once, by adaptive importance sampling.

Emulated models are shared: a bank of them, drawn from the prior, gives every object its
first seeds; objects of similar posteriors then share the draws of mixtures fitted to
them all (population Monte Carlo: Cappé, Douc, Guillin, Marin & Robert 2008, Statistics
and Computing 18, 447), weighted by the density of all mixtures together (deterministic
mixture: Owen & Zhou 2000, JASA 95, 135).

Everything happens in probits of the unit cube, where the prior is a standard normal.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.stats import qmc
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ._forward_model import Predictions

#: Models of the bank, a power of 2.
BANK_SIZE = 2**16
#: Seeds that an object takes from the bank, and the effective number they must have.
_N_SEEDS, _SEED_ESS = 256, 64
#: Objects that share draws.
CLUSTER_SIZE = 32
#: Share of the prior in every proposal, which bounds the weights where it is wide.
_PRIOR_SHARE = 0.05
#: Degrees of freedom of the proposals, and what widens their covariance.
_FREEDOM, _INFLATION = 6.0, 1.2
#: Draws of a round that adapts and of one that counts, and most rounds of either kind.
_N_ADAPT, _N_DRAWS, _MAX_ADAPT, _MAX_ROUNDS = 8192, 16384, 30, 6
#: Effective sample size to keep while adapting.
_ADAPT_ESS = 100
#: Points that a mixture is fitted to, its components at most, and the different points
#: per component and dimension that they need.
_N_FIT, _N_COMPONENTS, _POINTS_PER_DIMENSION = 2048, 12, 10


@dataclass(frozen=True)
class WeightedDraws:
    """What importance sampling found for one object."""

    theta: np.ndarray
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
        likelihoods : list of callable
            Of each object: from predictions to log-likelihoods, minus infinity where
            there is none.
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
        powers = [2.0**-30] * len(likelihoods)
        for _ in range(_MAX_ADAPT):
            z = proposal.sample(_N_ADAPT, rng)
            log_ratio = _log_prior(z) - proposal.log_density(z)
            values = self._log_likelihoods(likelihoods, z)
            tempered = [
                _temper(v, _ADAPT_ESS, log_ratio, power)
                for v, power in zip(values, powers, strict=True)
            ]
            weights, powers = zip(*tempered, strict=True)
            proposal = Mixture.fit(z[_pool(weights, rng)], rng)
            if min(powers) == 1.0:
                break
        draws, again = self._gather(likelihoods, proposal, rng, min_ess)
        if len(likelihoods) > 1:
            # whom the others' draws do not suit is sampled alone
            for i, own_seeds in again.items():
                own = self.sample([likelihoods[i]], own_seeds, seed + i + 1, min_ess)[0]
                if own.effective_sample_size > draws[i].effective_sample_size:
                    draws[i] = own
        return draws

    def _log_likelihoods(self, likelihoods, z):
        """Return log-likelihoods of every object, (n_objects, n)."""
        predictions = self.evaluate(z)
        return np.stack([likelihood(predictions) for likelihood in likelihoods])

    def _gather(self, likelihoods, proposal, rng, min_ess):
        """Draw, with the proposal refitted each round, until all objects have enough.

        All draws count: their density is that of all rounds' proposals together.
        Return them, and seeds for the objects that still have too few.
        """
        n_objects, d = len(likelihoods), self.n_parameters
        proposals, z = [], np.empty((0, d))
        values, density = np.empty((n_objects, 0)), np.empty((0, 0))
        for i in range(_MAX_ROUNDS):
            new = proposal.sample(_N_DRAWS, rng)
            values = np.hstack([values, self._log_likelihoods(likelihoods, new)])
            old = [p.log_density(new) for p in proposals]
            density = np.hstack([density, np.reshape(old, (i, len(new)))])
            proposals.append(proposal)
            z = np.concatenate([z, new])
            density = np.vstack([density, proposal.log_density(z)])
            log_q = special.logsumexp(density, axis=0) - np.log(len(proposals))
            log_weight = values + _log_prior(z) - log_q
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
            wanting = [
                _temper(value, _ADAPT_ESS, _log_prior(z) - log_q)[0]
                for value in values[~enough]
            ]
            proposal = Mixture.fit(z[_pool(wanting, rng)], rng)
        theta = self.theta(z)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_evidence = np.log(total / len(z)) + highest[:, 0]
            error = np.sqrt(np.maximum(1.0 / ess - 1.0 / len(z), 0.0))
        again = {
            i: z[rng.choice(len(z), _N_SEEDS, p=_temper(values[i], _ADAPT_ESS, lw)[0])]
            for lw in [_log_prior(z) - log_q]
            for i in np.flatnonzero(~enough)
        }
        draws = [
            WeightedDraws(
                theta,
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
    weights : ndarray of shape (n_components,)
        Of the components, without the prior.
    means : ndarray of shape (n_components, n_parameters)
        Their means.
    factors : ndarray of shape (n_components, n_parameters, n_parameters)
        Cholesky factors of their scale matrices, lower.
    """

    def __init__(self, weights, means, factors):
        self.weights, self.means, self.factors = weights, means, factors
        self._inverses = np.linalg.inv(factors)

    @classmethod
    def fit(cls, z, rng, n_components=_N_COMPONENTS):
        """Fit a mixture to points.

        Parameters
        ----------
        z : ndarray of shape (n_points, n_parameters)
            Points of equal weight.
        rng : numpy Generator
            Source of random numbers.
        n_components : int
            Its components, at most.

        Returns
        -------
        mixture : Mixture
        """
        d = z.shape[1]
        mean = z.mean(axis=0)
        # in coordinates of unit covariance, so that regularisation has a scale
        covariance = np.cov(z.T).reshape(d, d)
        covariance += (1e-6 * np.trace(covariance) / d + 1e-12) * np.eye(d)
        root = np.linalg.cholesky(covariance)
        white = np.linalg.solve(root, (z - mean).T).T
        # as many components as there are points to shape them
        n_distinct = len(np.unique(z[:, 0]))
        n_components = min(
            n_components, max(1, n_distinct // (_POINTS_PER_DIMENSION * d))
        )
        mixture = GaussianMixture(
            n_components,
            reg_covar=1e-3,
            max_iter=10,
            tol=1e-2,
            init_params="k-means++",
            random_state=int(rng.integers(2**31)),
        )
        with warnings.catch_warnings(), config_context(array_api_dispatch=False):
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(white)
        factors = root @ np.linalg.cholesky(_INFLATION * mixture.covariances_)
        return cls(mixture.weights_, mean + mixture.means_ @ root.T, factors)

    def sample(self, n, rng):
        """Draw ``n`` points."""
        d = self.means.shape[1]
        normal = rng.standard_normal((n, d))
        component = rng.choice(len(self.weights), n, p=self.weights)
        stretch = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, n))
        z = self.means[component] + stretch[:, None] * np.einsum(
            "nij,nj->ni", self.factors[component], normal
        )
        prior = rng.random(n) < _PRIOR_SHARE
        z[prior] = normal[prior]
        return z

    def log_density(self, z):
        """Return the logarithm of the density, of shape (n,)."""
        n_components, d = self.means.shape
        log_norm = special.gammaln((_FREEDOM + d) / 2) - special.gammaln(_FREEDOM / 2)
        log_norm -= 0.5 * d * np.log(_FREEDOM * np.pi)
        # all components' deviates in one product, and their squares in another: numpy
        # is slow in sums over short axes
        inverses = self._inverses.reshape(n_components * d, d)
        offsets = np.einsum("kij,kj->ki", self._inverses, self.means).ravel()
        deviates = z @ inverses.T
        deviates -= offsets
        deviates *= deviates
        distance = deviates @ np.repeat(np.eye(n_components), d, axis=0)
        log_det = np.log(np.diagonal(self._inverses, axis1=1, axis2=2)).sum(axis=1)
        share = np.log((1 - _PRIOR_SHARE) * np.maximum(self.weights, 1e-300))
        density = np.exp(
            share + log_norm + log_det
            - 0.5 * (_FREEDOM + d) * np.log1p(distance / _FREEDOM)
        )  # fmt: skip
        # no draw is where it underflows: the prior's share does not
        return np.log(density.sum(axis=1) + _PRIOR_SHARE * np.exp(_log_prior(z)))


def _log_prior(z):
    """Logarithm of the prior density of probits: standard normal."""
    return -0.5 * np.einsum("ij,ij->i", z, z) - 0.5 * z.shape[1] * np.log(2 * np.pi)


def _pool(weights, rng):
    """Draw points for a fit, as many from each object."""
    n_each = max(_N_FIT // len(weights), 64)
    return np.concatenate([rng.choice(len(w), n_each, p=w) for w in weights])


def _temper(log_likelihood, min_ess, log_ratio=0.0, start=2.0**-30):
    """Return weights under the largest power of the likelihood that many share.

    Parameters
    ----------
    log_likelihood : ndarray of shape (n,)
        Of the draws; minus infinity where there is none.
    min_ess : float
        Effective sample size to keep.
    log_ratio : ndarray of shape (n,), default=0.0
        Logarithm of the prior over the density of the draws.
    start : float
        A power that draws were made for, from which to go up. The effective sample
        size falls on either side of it.

    Returns
    -------
    weights : ndarray of shape (n,)
        They sum to 1.
    power : float
        In (0, 1].
    """

    def weigh(power):
        log_weight = power * log_likelihood + log_ratio
        highest = log_weight.max()
        if not np.isfinite(highest):
            return np.full(len(log_weight), 1.0 / len(log_weight))
        weights = np.exp(log_weight - highest)
        return weights / weights.sum()

    def ess(weights):
        return 1.0 / np.sum(weights**2)

    weights = weigh(1.0)
    if ess(weights) >= min_ess:
        return weights, 1.0
    low, high = np.log2(start), 0.0  # of log2 of the power
    while low > -30 and ess(weigh(2.0**low)) < min_ess:
        low, high = low - 0.5, low
    for _ in range(8):
        middle = 0.5 * (low + high)
        if ess(weigh(2.0**middle)) >= min_ess:
            low = middle
        else:
            high = middle
    return weigh(2.0**low), 2.0**low
