"""The product of parameters that all lines are proportional to."""

import numpy as np
from scipy import special

from ..parameter_space import LogUniform, Uniform

#: Probits at which the amplitude is tabulated.
_PROBITS = np.linspace(-8.0, 8.0, 8001)
#: Quantiles of the second factor that the distribution of a product is a mean over,
#: and places at which it is taken.
_N_FACTOR, _N_PLACES = 512, 2048
#: Quantiles of both factors between which a conditional density is linear.
_NODES = special.ndtr(np.linspace(-5.5, 5.5, 193))


class Amplitude:
    """The distribution of a product of one or two positive parameters.

    Parameters
    ----------
    parameters : list of Parameter
        One or two, with a lower bound of 0 or more.

    Attributes
    ----------
    first_probit, probit_step : float
        Probits at which `values` are.
    values : ndarray of shape (8001,)
        The amplitude at these probits.
    """

    def __init__(self, parameters):
        self.parameters = parameters
        self.first_probit = float(_PROBITS[0])
        self.probit_step = float(_PROBITS[1] - _PROBITS[0])
        u = special.ndtr(_PROBITS)
        if len(parameters) == 1:
            self.values = parameters[0].distribution.ppf(u)
        else:
            self.values = self._of_product(u)

    def _of_product(self, u):
        """Return quantiles of the product."""
        first, second = (p.distribution for p in self.parameters)
        factor = second.ppf((np.arange(_N_FACTOR) + 0.5) / _N_FACTOR)
        # places that quantiles of both, multiplied, spread over the whole range
        coarse = special.ndtr(np.linspace(-7.0, 7.0, 128))
        products = np.sort(np.outer(first.ppf(coarse), second.ppf(coarse)).ravel())
        ends = [np.prod([p.bounds[i] for p in self.parameters]) for i in (0, 1)]
        inside = np.interp(
            np.linspace(0, 1, _N_PLACES), np.linspace(0, 1, len(products)), products
        )
        places = np.unique(np.concatenate([inside, np.clip(ends, *inside[[0, -1]])]))
        below = np.empty(len(places))
        for start in range(0, len(places), 256):
            block = places[start : start + 256, None]
            below[start : start + 256] = first.cdf(block / factor).mean(axis=1)
        if np.isfinite(ends[0]):
            places, below = np.append(ends[0], places), np.append(0.0, below)
        if np.isfinite(ends[1]):
            places, below = np.append(places, ends[1]), np.append(below, 1.0)
        below = np.maximum.accumulate(below)
        rising = np.append(True, np.diff(below) > 0)
        return np.interp(u, below[rising], places[rising])

    def draw(self, values, rng):
        """Draw the parameters given their product.

        Parameters
        ----------
        values : ndarray of shape (n,)
            The product.
        rng : numpy Generator
            Source of random numbers.

        Returns
        -------
        parameters : ndarray of shape (n, n_parameters)
            Their product is ``values``.
        """
        if len(self.parameters) == 1:
            return values[:, None]
        (low_1, high_1), (low_2, high_2) = (p.bounds for p in self.parameters)
        # the second is what leaves the first within its bounds
        with np.errstate(divide="ignore"):
            low = np.maximum(low_2, values / high_1)
            high = np.minimum(high_2, values / low_1 if low_1 > 0 else np.inf)
        high = np.maximum(low, high)
        v = rng.random(len(values))
        power = self._power()
        if power is None:
            second = self._draw_second(values, low, high, v)
        elif power == -1:
            second = low * (high / low) ** v
        else:
            a, b = low ** (power + 1), high ** (power + 1)
            second = (a + v * (b - a)) ** (1 / (power + 1))
        second = np.clip(second, low, high)
        return np.stack([values / second, second], axis=1)

    def _power(self):
        """Return the power that the second's conditional density goes with, if one."""
        kinds = tuple(type(p) for p in self.parameters)
        if not set(kinds) <= {Uniform, LogUniform}:
            return None
        # p(second | product) goes with p_1(product / second) p_2(second) / second
        return -1 + (kinds[0] is LogUniform) - (kinds[1] is LogUniform)

    def _draw_second(self, values, low, high, v):
        """Draw the second factor by inverting its distribution, of whatever kind."""
        first, second = (p.distribution for p in self.parameters)
        own, other = second.ppf(_NODES), first.ppf(_NODES)
        out = np.empty(len(values))
        for i in range(0, len(values), 1024):
            part = slice(i, i + 1024)
            # places at quantiles of both, whichever is the narrower
            product = values[part, None]
            s = np.hstack([np.broadcast_to(own, (len(product), len(own))),
                           product / other])  # fmt: skip
            s = np.sort(np.clip(s, low[part, None], high[part, None]), axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                density = np.nan_to_num(first.pdf(product / s) * second.pdf(s) / s)
            area = 0.5 * (density[:, 1:] + density[:, :-1]) * np.diff(s, axis=1)
            total = np.cumsum(area, axis=1)
            level = v[part] * total[:, -1]
            k = np.minimum((total < level[:, None]).sum(axis=1), area.shape[1] - 1)
            rows = np.arange(len(k))
            before = total[rows, k] - area[rows, k]
            share = (level - before) / np.maximum(area[rows, k], 1e-300)
            step = s[rows, k + 1] - s[rows, k]
            out[part] = s[rows, k] + np.clip(share, 0, 1) * step
        return out
