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
    small = np.abs(tau) < 0.2
    t = np.where(small, 1.0, tau)
    inverse = 1.0 / t
    decay = np.exp(-t)
    tail = (2 * inverse) * (1 + inverse) * decay
    bracket = 1 - 2 * inverse**2 + tail
    value = 1.5 * inverse * bracket
    bracket_slope = 4 * inverse**3 - decay * 2 * inverse**2 * (1 + 2 * inverse) - tail
    slope = -value * inverse + 1.5 * inverse * bracket_slope
    if small.any():
        # 1.5 sum_k (-1)^k 2 (k + 2) / (k + 3)! tau^k, from the power series of exp
        x = np.where(small, tau, 0.0)
        series = 1 + x * (
            -3 / 8 + x * (1 / 10 + x * (-1 / 48 + x * (1 / 280 - x / 1920)))
        )
        series_slope = -3 / 8 + x * (1 / 5 + x * (-1 / 16 + x * (1 / 70 - x / 384)))
        value = np.where(small, series, value)
        slope = np.where(small, series_slope, slope)
    return value, slope


def large_velocity_gradient(tau):
    """Return that of an expanding sphere (van der Tak et al. 2007, Eq. 8)."""
    return _one_minus_exp_over(tau)


def slab(tau):
    """Return that of a slab, as in a shock (van der Tak et al. 2007, Eq. 9)."""
    value, slope = _one_minus_exp_over(3 * tau)
    return value, 3 * slope


ESCAPE_PROBABILITIES = {
    "uniform sphere": uniform_sphere,
    "lvg": large_velocity_gradient,
    "slab": slab,
}
