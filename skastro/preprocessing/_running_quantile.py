"""Running quantiles, and where the continuum lies above them."""

import math

import numpy as np
from numba import njit

from ._continuum_fit import HAZE, mills

_ROOT_TWO = math.sqrt(2.0)
_ROOT_TWO_PI = math.sqrt(2 * math.pi)


@njit(cache=True)
def running_quantile(f, used, window, quantile):
    """Return the quantile of the pixels used in a window about each pixel.

    Parameters
    ----------
    f : ndarray of shape (n,)
        Values.
    used : ndarray of bool of shape (n,)
        Which of them count.
    window : int
        Pixels of the window, an odd number; it is cut at the ends.
    quantile : float
        From 0 to 1, interpolated between values.

    Returns
    -------
    found : ndarray of shape (n,)
        NaN where the window is empty.
    count : ndarray of int of shape (n,)
        Numbers of pixels in the windows.
    """
    n, half = len(f), window // 2
    ordered = np.empty(window + 1)
    found, count = np.empty(n), np.empty(n, dtype=np.int64)
    size, entered = 0, 0
    for i in range(n):
        while entered < n and entered <= i + half:
            if used[entered]:
                at = np.searchsorted(ordered[:size], f[entered])
                for j in range(size, at, -1):
                    ordered[j] = ordered[j - 1]
                ordered[at] = f[entered]
                size += 1
            entered += 1
        left = i - half - 1
        if left >= 0 and used[left]:
            at = np.searchsorted(ordered[:size], f[left])
            for j in range(at, size - 1):
                ordered[j] = ordered[j + 1]
            size -= 1
        count[i] = size
        if size == 0:
            found[i] = np.nan
            continue
        place = quantile * (size - 1)
        low = int(place)
        high = min(low + 1, size - 1)
        found[i] = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return found, count


@njit(cache=True, error_model="numpy")
def _lined(u, a):
    """Return the normal density of u times Mills' ratio of u - 1/a."""
    z = u - 1 / a
    if z > 8.0:
        return math.exp(0.5 / (a * a) - u / a)
    return math.exp(-0.5 * u * u) / _ROOT_TWO_PI * mills(z)


@njit(cache=True, error_model="numpy")
def expected_quantile(quantile, s, lines):
    """Return the quantile of pixels with lines and noise, in units of the continuum.

    Parameters
    ----------
    quantile : float
        From 0 to 1.
    s : float
        Noise.
    lines : ndarray of shape (3,)
        The share p of pixels with lines, that q of weak ones, and the mean t.

    Returns
    -------
    value : float
    density : float
        Probability density there.
    """
    p, q, t = lines
    a, b = t / s, HAZE * t / s
    low, high = -8.0, 8.0 + 20.0 * a
    u, strong, weak = 0.0, 0.0, 0.0
    for _ in range(60):
        u = 0.5 * (low + high)
        strong, weak = p * (1 - q) * _lined(u, a), p * q * _lined(u, b)
        # of being less than u errors below the continuum
        less = 0.5 * math.erfc(-u / _ROOT_TWO) - strong - weak
        if less < 1 - quantile:
            low = u
        else:
            high = u
    normal = math.exp(-0.5 * u * u) / _ROOT_TWO_PI
    return 1 - u * s, (normal * (1 - p) + strong / a + weak / b) / s
