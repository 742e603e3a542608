"""Where to call a dear model next: draws of exactly known intensity.

Everything happens in probits of the unit cube, where the prior is a standard normal.
"""

import numpy as np

from ._sampling_importance import Mixture, _log_prior

#: Particles for each parameter that are annealed to the target, and at most; what they
#: keep of their effective number at a step; sweeps of moves at a step, and at the end.
_PER_PARAMETER, _MAX_PARTICLES, _KEEP, _SWEEPS, _LAST_SWEEPS = 256, 2048, 0.5, 6, 24
#: Most steps of the annealing.
_MAX_STEPS = 60
#: Components of the mixture that is fitted to them.
_N_COMPONENTS = 32
#: Share of the prior in a target.
_PRIOR_SHARE = 0.03
#: Share of the posterior with a wider error of the surrogate, as a rule and where one
#: call outweighs the others.
_WIDE_SHARE, _WIDER_SHARE = 0.25, 0.5
#: Draws of a pool at a time, and at most; its effective size beyond what is picked.
_BLOCK, _MAX_POOL, _SPARE = 16384, 2**19, 2.0


class Proposal:
    """An object's posterior as a surrogate sees it, and draws near it.

    The target is the surrogate's posterior, with a share of one that trusts the
    surrogate less and one of the prior. Particles that were annealed to it shape a
    mixture, and draws of the mixture are thinned towards the target. Where the mixture
    falls short of the target the draws are merely thinner: their intensity is known
    exactly, without any normalisation.

    Parameters
    ----------
    log_likelihoods : callable
        From probits, (n, d), to the log-likelihoods with a wider error of the surrogate
        and with that which it has, (2, n).
    log_chance : callable
        From probits to the logarithm of the chance that the model has a solution.
    likely : ndarray of shape (n_likely, n_parameters)
        Calls drawn from the posterior so far, which the mixture shall cover too.
    wider : bool
        Whether half of the draws shall be of the wider error.
    rng : numpy Generator
        Source of random numbers.
    """

    def __init__(self, log_likelihoods, log_chance, likely, wider, rng):
        self._log_likelihoods, self._log_chance = log_likelihoods, log_chance
        self._share = _WIDER_SHARE if wider else _WIDE_SHARE
        wide, narrow = _anneal(self.log_likelihoods, likely.shape[1], rng)
        self._log_norms = wide.log_norm, narrow.log_norm
        n_wide = int(len(wide.z) * self._share)
        points = [narrow.z, rng.permutation(wide.z)[:n_wide], likely]
        self._mixture = Mixture.fit(np.concatenate(points), rng, _N_COMPONENTS)

    def log_likelihoods(self, z):
        """Return log-likelihoods, (2, n), minus infinity where the surrogate has none.

        The first are with a wider error of the surrogate.
        """
        parts = [
            self._log_likelihoods(z[i : i + _BLOCK]) for i in range(0, len(z), _BLOCK)
        ]
        values = np.concatenate(parts, axis=1)
        return np.where(np.isnan(values), -np.inf, values)

    def log_target(self, z):
        """Return the logarithm of what the draws should be like, (n,)."""
        wide, narrow = self.log_likelihoods(z) - np.reshape(self._log_norms, (2, 1))
        density = np.logaddexp(
            np.log(self._share) + wide, np.log(1 - self._share - _PRIOR_SHARE) + narrow
        )
        density = np.logaddexp(density, np.log(_PRIOR_SHARE))
        return density + _log_prior(z) + self._log_chance(z)

    def draw(self, n, rng):
        """Draw points.

        Parameters
        ----------
        n : int
            How many.
        rng : numpy Generator
            Source of random numbers.

        Returns
        -------
        z : ndarray of shape (n, n_parameters)
            The points.
        layer : Layer
            Their intensity.
        """
        blocks, log_ratios = [], []
        while True:
            z = self._mixture.sample(_BLOCK, rng)
            blocks.append(z)
            log_ratios.append(self.log_target(z) - self._mixture.log_density(z))
            log_ratio = np.concatenate(log_ratios)
            weights = np.exp(log_ratio - log_ratio.max())
            ess = weights.sum() ** 2 / np.sum(weights**2)
            if ess >= _SPARE * n or len(log_ratio) >= _MAX_POOL:
                break
        log_cut = _cut(log_ratio, n)
        share = np.exp(np.minimum(log_ratio - log_cut, 0.0))
        # systematic: as many as were asked for, each with the probability of its share
        cumulative = np.cumsum(share)
        count = np.floor(cumulative * (n / cumulative[-1]) + rng.uniform())
        count[-1] = n
        picked = np.flatnonzero(np.diff(count, prepend=0.0) > 0)
        layer = Layer(self, self._mixture, len(log_ratio), log_cut)
        return np.concatenate(blocks)[picked], layer


class Layer:
    """The intensity of draws that were thinned from a pool of a mixture.

    Parameters
    ----------
    proposal : Proposal
        Which has the target.
    mixture : Mixture
        That the pool was drawn from.
    n_pool : int
        How many.
    log_cut : float
        Logarithm of the ratio of target and mixture above which all draws were kept.
    """

    def __init__(self, proposal, mixture, n_pool, log_cut):
        self._proposal, self._mixture = proposal, mixture
        self._log_pool, self._log_cut = np.log(n_pool), log_cut

    def log_intensity(self, z):
        """Return the logarithm of the density of draws, which integrates to their n."""
        log_target = self._proposal.log_target(z) - self._log_cut
        return self._log_pool + np.minimum(self._mixture.log_density(z), log_target)


class _Annealed:
    """Particles of the prior times a likelihood, and its integral."""

    def __init__(self, z, log_norm):
        self.z, self.log_norm = z, log_norm


def _anneal(log_likelihoods, n_parameters, rng):
    """Move particles from the prior to a wide posterior, and on to a narrow one.

    Sequential Monte Carlo (Del Moral, Doucet & Jasra 2006, JRSS B 68, 411) with moves
    of differential evolution (ter Braak 2006, Statistics and Computing 16, 239).

    Parameters
    ----------
    log_likelihoods : callable
        From probits to the logarithms of both likelihoods, (2, n).
    n_parameters : int
        Number of parameters.
    rng : numpy Generator
        Source of random numbers.

    Returns
    -------
    wide, narrow : _Annealed
    """
    n_particles = min(_PER_PARAMETER * n_parameters, _MAX_PARTICLES)
    z = rng.standard_normal((n_particles, n_parameters))
    values = log_likelihoods(z)
    # powers of both likelihoods: from (0, 0) to (1, 0) to (0, 1)
    begin, log_norm, annealed = np.zeros(2), 0.0, []
    for end in np.eye(2):
        way = 0.0
        for _ in range(_MAX_STEPS):
            change = _power(end - begin, values)
            if not np.isfinite(change.max()):  # nothing is possible, so far as is known
                return _Annealed(z, 0.0), _Annealed(z, 0.0)
            step = _step(change, 1.0 - way)
            highest = change.max()
            weights = np.exp(step * (change - highest))
            log_norm += step * highest + np.log(weights.mean())
            way = 1.0 if step == 1.0 - way else way + step
            picked = _resample(weights, rng)
            z, values = z[picked], values[:, picked]
            powers = begin + way * (end - begin)
            for _ in range(_SWEEPS if way < 1.0 else _LAST_SWEEPS):
                _move(z, values, powers, log_likelihoods, rng)
            if way == 1.0:
                break
        begin = end
        annealed.append(_Annealed(z.copy(), log_norm))
    return annealed


def _power(powers, values):
    """Return the logarithm of a product of powers of likelihoods, (n,)."""
    with np.errstate(invalid="ignore"):
        product = powers @ np.where(powers[:, None] == 0, 0.0, values)
    return np.where(np.isnan(product), -np.inf, product)


def _resample(weights, rng):
    """Return as many positions as there are weights, systematically resampled."""
    n, cumulative = len(weights), np.cumsum(weights)
    u = (np.arange(n) + rng.uniform()) / n * cumulative[-1]
    return np.searchsorted(cumulative, u).clip(max=n - 1)


def _step(values, longest):
    """Return by how much the power may grow."""

    def kept(step):
        finite = values[np.isfinite(values)]
        weights = np.exp(step * (finite - finite.max(initial=0.0)))
        return weights.sum() ** 2 / np.sum(weights**2) if len(finite) else np.inf

    enough = _KEEP * min(len(values), np.isfinite(values).sum())
    if kept(longest) >= enough:
        return longest
    low, high = np.log(1e-12), np.log(longest)
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if kept(np.exp(middle)) >= enough else (low, middle)
    return np.exp(low)


def _move(z, values, powers, log_likelihoods, rng):
    """Move particles once, in place: one half by differences of the other, in turn."""
    n, d = len(z) // 2, z.shape[1]
    order = rng.permutation(len(z))
    for movers, others in ((order[:n], order[n:]), (order[n:], order[:n])):
        first = rng.integers(len(others), size=len(movers))
        second = (first + rng.integers(1, len(others), size=len(movers))) % len(others)
        # mostly short ways, and now and then the whole one, from mode to mode
        reach = rng.uniform(0.2, 1.0, len(movers)) * 2.38 / np.sqrt(2 * d)
        reach[rng.random(len(movers)) < 0.1] = 1.0
        difference = z[others[first]] - z[others[second]]
        new = z[movers] + reach[:, None] * difference
        new += 1e-4 * rng.standard_normal(new.shape)
        found = log_likelihoods(new)
        gain = _power(powers, found) - _power(powers, values[:, movers])
        gain += _log_prior(new) - _log_prior(z[movers])
        accepted = np.log(rng.random(len(movers))) < gain
        z[movers[accepted]] = new[accepted]
        values[:, movers[accepted]] = found[:, accepted]


def _cut(log_ratio, n):
    """Return the cut of ratios under which their thinning keeps ``n`` draws."""
    low, high = log_ratio.min() - 1.0, log_ratio.max() + np.log(len(log_ratio)) + 1.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        kept = np.exp(np.minimum(log_ratio - middle, 0.0)).sum()
        low, high = (middle, high) if kept > n else (low, middle)
    return high
