r"""Photon escape probabilities and their derivatives.

Van der Tak et al. (2007), A&A 468, 627, Eqs. 8-10. Every function takes an array of
optical depths and returns the pair :math:`(\beta, d\beta/d\tau)`; the derivative is
what makes the Newton iteration of the statistical equilibrium possible.
"""

import numpy as np


def _one_minus_exp_over(x):
    """Return ``(1 - exp(-x)) / x`` and its derivative, smooth through zero."""
    small = np.abs(x) < 1e-3
    safe = np.where(small, 1.0, x)
    decay = np.exp(-safe)
    value = -np.expm1(-safe) / safe
    slope = (decay - value) / safe
    if small.any():
        series = 1 - x / 2 + x**2 / 6 - x**3 / 24
        series_slope = -0.5 + x / 3 - x**2 / 8 + x**3 / 30
        value = np.where(small, series, value)
        slope = np.where(small, series_slope, slope)
    return value, slope


def uniform_sphere(tau):
    """Return that of a uniform sphere (van der Tak et al. 2007, Eq. 10)."""
    value, slope = np.empty_like(tau), np.empty_like(tau)
    small = np.abs(tau) < 0.2
    # 1.5 sum_k (-1)^k 2 (k + 2) / (k + 3)! tau^k, from the power series of exp
    x = tau[small]
    value[small] = 1 + x * (
        -3 / 8 + x * (1 / 10 + x * (-1 / 48 + x * (1 / 280 - x / 1920)))
    )
    slope[small] = -3 / 8 + x * (1 / 5 + x * (-1 / 16 + x * (1 / 70 - x / 384)))
    large = ~small
    t = tau[large]
    inverse = 1.0 / t
    decay = np.exp(-t)
    tail = (2 * inverse) * (1 + inverse) * decay
    bracket = 1 - 2 * inverse**2 + tail
    closed = 1.5 * inverse * bracket
    bracket_slope = 4 * inverse**3 - decay * 2 * inverse**2 * (1 + 2 * inverse) - tail
    value[large] = closed
    slope[large] = -closed * inverse + 1.5 * inverse * bracket_slope
    return value, slope


def large_velocity_gradient(tau):
    """Return that of an expanding sphere (van der Tak et al. 2007, Eq. 8)."""
    return _one_minus_exp_over(tau)


def slab(tau):
    """Return that of a slab, as in a shock (van der Tak et al. 2007, Eq. 9)."""
    value, slope = _one_minus_exp_over(3 * tau)
    return value, 3 * slope


#: Optical radii, ends included, within which the formulae of :func:`expanding_sphere`
#: give way to each other.
_FIRST_JOIN = 0.0099, 0.0101
_SECOND_JOIN = 6.965, 7.035


def expanding_sphere(tau):
    """Return that which Fortran RADEX computes for an expanding sphere.

    It is that of de Jong, Boland & Dalgarno (1980, A&A 91, 68), and not Eq. 8 of the
    paper. The program takes 1 below an optical radius of 0.01, where the next formula
    gives 0.988, and changes formula once more at 7, by another 0.2 %. The equations
    of a gas at such a step have no solution: here the formulae give way to each other
    linearly within 1 % of the first and 0.5 % of the second.
    """
    radius = tau / 2
    size = np.abs(radius)
    value, slope = _one_minus_exp_over(2.34 * radius)
    slope = 1.17 * slope
    if (size < _FIRST_JOIN[1]).any():
        value, slope = _join(1.0, 0.0, value, slope, radius, _FIRST_JOIN)
    if (size > _SECOND_JOIN[0]).any():
        thick = np.where(size > _SECOND_JOIN[0], size, 7.0)
        logarithm = np.log(thick / np.sqrt(np.pi))
        last = 0.5 / (thick * np.sqrt(logarithm))
        last_slope = -0.5 * last / thick * (1 + 0.5 / logarithm)
        value, slope = _join(value, slope, last, last_slope, radius, _SECOND_JOIN)
    return value, slope


def _join(below, slope_below, above, slope_above, radius, ends):
    """Return what is ``below`` and ``above`` of two radii, and linear in between."""
    weight = np.clip((np.abs(radius) - ends[0]) / (ends[1] - ends[0]), 0.0, 1.0)
    between = (weight > 0) & (weight < 1)
    by_tau = np.where(between, 0.5 * np.sign(radius) / (ends[1] - ends[0]), 0.0)
    value = (1 - weight) * below + weight * above
    slope = (1 - weight) * slope_below + weight * slope_above
    return value, slope + by_tau * (above - below)


ESCAPE_PROBABILITIES = {
    "uniform sphere": uniform_sphere,
    "lvg": large_velocity_gradient,
    "lvg radex": expanding_sphere,
    "slab": slab,
}
