"""Exponentials of many numbers at once, compiled to vector instructions."""

import numpy as np
from numba import njit

#: Lowest power of two that is made.
_LEAST_POWER = -1000.0


@njit(nogil=True, fastmath=True, cache=True, error_model="numpy")
def exponentials(n, x, factor, shift, out, bits):
    """Write ``exp(factor * (x - shift))`` to nine digits.

    Parameters
    ----------
    n : int
        How many.
    x : ndarray of shape (n,) or longer
        Finite numbers.
    factor, shift : float
        Such that no exponent is above 700; those below -690 count as that.
    out : ndarray of the shape of x
        Written.
    bits : ndarray of int64
        The memory of ``out``.
    """
    factor *= 1.4426950408889634
    # a power of two is made of bits, rounded by the last of a large number
    for i in range(n):
        out[i] = max(factor * (x[i] - shift), _LEAST_POWER) + 6755399441055744.0
    for i in range(n):
        bits[i] = (bits[i] + 1023) << 52
    # and the rest is a polynomial
    for i in range(n):
        power = max(factor * (x[i] - shift), _LEAST_POWER)
        t = (power - np.rint(power)) * 0.6931471805599453
        series = 1 + t / 6 * (1 + t / 7)
        series = 1 + t * (1 + t / 2 * (1 + t / 3 * (1 + t / 4 * (1 + t / 5 * series))))
        out[i] *= series
