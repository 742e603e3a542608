"""The continuum of one stretch of a spectrum by likelihood, compiled.

A pixel is continuum c plus noise with the probability 1 - p, else it has lost a share of
the light to lines, of an exponential distribution: with the mean t, or a tenth of it
for the share q of the lines. Noise is convolved in, with the pixel's own error, so that
the continuum lies where it does at any signal to noise. What there is of lines, p, q
and t, is fitted along.
"""

import math

import numpy as np
from numba import njit
from scipy.interpolate import BSpline
from scipy.special import erfcx

#: Steps of the fit at most; it ends before at this change of the coefficients, in units
#: of their errors.
MAX_ITER = 12
TOLERANCE = 0.1
#: What is so many errors above the continuum is no part of the spectrum, and what is so
#: many below tells nothing of where it is.
ABOVE, BELOW = 4.0, 30.0
#: Pixels so many errors off on either side are bad where all are known to be continuum.
OFF = 5.0
#: Lines of cool giants at a resolving power of 22,500, a prior: means and standard
#: deviations of logit p, logit q and ln t.
PRIOR = np.array([[0.3, 0.3], [0.0, 0.3], [math.log(0.07), 0.5]])
#: The mean of weak lines in units of that of strong ones.
HAZE = 0.1
#: Pixels that one line covers, whose scores are not independent.
BLOCK = 15

_N_LINES = len(PRIOR)
_ROOT_TWO_PI = math.sqrt(2 * math.pi)
#: Mills' ratio of -z, in steps of z.
_PER_UNIT = 128
_MILLS = math.sqrt(math.pi / 2) * erfcx(
    np.arange(8 * _PER_UNIT + 2) / _PER_UNIT / math.sqrt(2)
)


# -- bases: values of the functions that are active at x, the number of the first, and
# -- the precision of a prior for the coefficients


def polynomials(x, degree):
    """Return Chebyshev polynomials of x in [-1, 1], all of them active everywhere."""
    values = np.polynomial.chebyshev.chebvander(x, degree)
    return values, np.zeros(len(x), dtype=np.int64), np.zeros((degree + 1, degree + 1))


def splines(x, n_knots, roughness):
    """Return cubic B-splines of x in [-1, 1], four of them active at each x.

    Second differences of their coefficients have the standard deviation `roughness`,
    in units of the continuum: a smoothing spline.
    """
    n_pieces = n_knots + 1
    step = 2 / n_pieces
    knots = -1 + step * np.arange(-3, n_pieces + 4)
    first = np.clip(((x + 1) / step).astype(np.int64), 0, n_pieces - 1)
    identity = np.eye(n_pieces + 3)
    values = BSpline(knots, identity, 3)(np.clip(x, -1, 1))
    values = np.take_along_axis(values, first[:, None] + np.arange(4), axis=1)
    second = np.diff(identity, 2, axis=0)
    return np.ascontiguousarray(values), first, second.T @ second / roughness**2


@njit(cache=True)
def evaluate(values, first, theta, c):
    """Write the continuum of coefficients into c."""
    for i in range(len(c)):
        c[i] = 0.0
        for k in range(values.shape[1]):
            c[i] += values[i, k] * theta[first[i] + k]


@njit(cache=True)
def variance(values, first, covariance):
    """Return the variance of the continuum at each pixel."""
    n, m = values.shape
    found = np.zeros(n)
    for i in range(n):
        o = first[i]
        for a in range(m):
            for b in range(m):
                found[i] += values[i, a] * values[i, b] * covariance[o + a, o + b]
    return found


@njit(cache=True)
def _inverse(H):
    """Return the inverse of a positive semidefinite matrix of parameters unalike."""
    n = len(H)
    scale = np.ones(n)
    for i in range(n):
        if H[i, i] > 0:
            scale[i] = 1 / math.sqrt(H[i, i])
    A = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            A[i, j] = H[i, j] * scale[i] * scale[j]
        A[i, i] += 1e-10
    inverse = np.ascontiguousarray(np.linalg.inv(A))
    for i in range(n):
        for j in range(n):
            inverse[i, j] *= scale[i] * scale[j]
    return inverse


# -- pixels of which all are continuum


@njit(cache=True)
def _least_squares(f, s, used, values, first, penalty):
    """Return coefficients and their covariance by the pixels that are used."""
    n, m = values.shape
    H = penalty.copy()
    g = np.zeros(len(penalty))
    for i in range(n):
        if not used[i]:
            continue
        w = 1 / (s[i] * s[i])
        o = first[i]
        for a in range(m):
            wa = w * values[i, a]
            g[o + a] += wa * f[i]
            for b in range(a + 1):
                H[o + a, o + b] += wa * values[i, b]
    for a in range(len(g)):
        for b in range(a):
            H[b, a] = H[a, b]
    inverse = _inverse(H)
    return inverse @ g, inverse


@njit(cache=True)
def fit_known(f, s, used, values, first, penalty):
    """Fit pixels that are continuum, but those that are far off on either side.

    Returns the coefficients, their covariance, and the lines, which are none.
    """
    n = len(f)
    keep = used.copy()
    c = np.empty(n)
    theta, covariance = _least_squares(f, s, keep, values, first, penalty)
    for _ in range(10):
        evaluate(values, first, theta, c)
        # the worst first, while they still draw the curve towards them
        worst = OFF
        for i in range(n):
            if keep[i]:
                worst = max(worst, abs(f[i] - c[i]) / s[i])
        limit = max(OFF, 0.5 * worst)
        changed = False
        for i in range(n):
            good = used[i] and abs(f[i] - c[i]) <= limit * s[i]
            changed |= good != keep[i]
            keep[i] = good
        if not changed:
            break
        theta, covariance = _least_squares(f, s, keep, values, first, penalty)
    return theta, covariance, np.array([0.0, 0.5, 0.1])


# -- pixels of which most have lines


@njit(cache=True, error_model="numpy")
def mills(z):
    """Return the normal distribution function of z over its density."""
    x = abs(z)
    if x > 8.0:
        q = 1 / (z * z)
        ratio = (1 - q * (1 - 3 * q * (1 - 5 * q))) / x
    else:
        place = x * _PER_UNIT
        i = int(place)
        part = place - i
        ratio = (1 - part) * _MILLS[i] + part * _MILLS[i + 1]
    return ratio if z < 0 else _ROOT_TWO_PI * math.exp(0.5 * z * z) - ratio


@njit(cache=True, error_model="numpy")
def _score(f, c, s, lines, out):
    """Write the derivatives of a pixel's log-likelihood: by c, logit p, logit q, ln t.

    The density of what lines take from c, with noise, is that of the noise,
    exp(-u^2/2), times Mills' ratio.
    """
    p, q, t = lines
    u = (c - f) / s
    a = t * c / s
    b = HAZE * a
    strong, weak = mills(u - 1 / a), mills(u - 1 / b)
    by_strong, by_weak = 1 / strong - 1 / a, 1 / weak - 1 / b
    strong *= p * (1 - q) / a
    weak *= p * q / b
    total = 1 - p + strong + weak
    strong /= total
    weak /= total
    lined = strong + weak
    out[0] = (strong * by_strong + weak * by_weak - (1 - lined) * u) / s
    out[1] = lined - p
    out[2] = weak - lined * q
    out[3] = strong * ((u + by_strong) / a - 1) + weak * ((u + by_weak) / b - 1)


@njit(cache=True)
def _clip(f, s, used, values, first, penalty):
    """Clip more below than above: where the fit begins."""
    n = len(f)
    keep = used.copy()
    c = np.empty(n)
    theta, _ = _least_squares(f, s, keep, values, first, penalty)
    for _ in range(8):
        evaluate(values, first, theta, c)
        total, count = 0.0, 0
        for i in range(n):
            if keep[i]:
                total += ((f[i] - c[i]) / s[i]) ** 2
                count += 1
        width = max(1.0, math.sqrt(total / max(1, count)))
        changed, left = 0, 0
        for i in range(n):
            u = (f[i] - c[i]) / (s[i] * width)
            good = used[i] and -1.5 <= u <= 3.0
            changed += good != keep[i]
            keep[i] = good
            left += good
        if left < 2 * len(penalty) or changed <= n // 1000:
            break
        theta, _ = _least_squares(f, s, keep, values, first, penalty)
    return theta


@njit(cache=True)
def _scores(f, s, used, values, first, c, lines, g, H, J):
    """Fill the gradient and the outer products of the scores: of pixels, of blocks."""
    n, m = values.shape
    k = len(g) - _N_LINES
    g[:] = 0.0
    H[:] = 0.0
    J[:] = 0.0
    block = np.zeros(len(g))
    by = np.empty(1 + _N_LINES)
    for i in range(n):
        u = (c[i] - f[i]) / s[i]
        if used[i] and c[i] > 0 and -ABOVE <= u <= BELOW:
            _score(f[i], c[i], s[i], lines, by)
            o = first[i]
            for a in range(m):
                by_a = by[0] * values[i, a]
                block[o + a] += by_a
                for b in range(a + 1):
                    H[o + a, o + b] += by_a * by[0] * values[i, b]
                for b in range(_N_LINES):
                    H[k + b, o + a] += by_a * by[1 + b]
            for a in range(_N_LINES):
                block[k + a] += by[1 + a]
                for b in range(a + 1):
                    H[k + a, k + b] += by[1 + a] * by[1 + b]
        if i % BLOCK == BLOCK - 1 or i == n - 1:
            for a in range(len(g)):
                if block[a] != 0:
                    g[a] += block[a]
                    for b in range(a + 1):
                        J[a, b] += block[a] * block[b]
            block[:] = 0.0
    for a in range(len(g)):
        for b in range(a):
            H[b, a] = H[a, b]
            J[b, a] = J[a, b]


@njit(cache=True)
def _lines(eta):
    return np.array(
        [1 / (1 + math.exp(-eta[0])), 1 / (1 + math.exp(-eta[1])), math.exp(eta[2])]
    )


@njit(cache=True)
def fit_lines(f, s, used, values, first, penalty):
    """Fit the continuum, and what lines there are, by scoring.

    Returns the coefficients, their covariance, and p, q and t.
    """
    k, n_all = len(penalty), len(penalty) + _N_LINES
    theta = _clip(f, s, used, values, first, penalty)
    c = np.empty(len(f))
    evaluate(values, first, theta, c)
    eta = PRIOR[:, 0].copy()
    prior = np.zeros((n_all, n_all))
    prior[:k, :k] = penalty
    for a in range(_N_LINES):
        prior[k + a, k + a] = 1 / PRIOR[a, 1] ** 2
    g, off = np.empty(n_all), np.empty(n_all)
    H, J = np.empty((n_all, n_all)), np.empty((n_all, n_all))
    inverse = np.zeros_like(H)
    for _ in range(MAX_ITER):
        _scores(f, s, used, values, first, c, _lines(eta), g, H, J)
        off[:k] = theta
        off[k:] = eta - PRIOR[:, 0]
        g -= prior @ off
        inverse = _inverse(H + prior)
        step = inverse @ g
        # scoring is right near its end only: no step is a long one
        shrink = 1.0
        for a in range(_N_LINES):
            shrink = min(shrink, 1.0 / max(1.0, abs(step[k + a])))
        theta += shrink * step[:k]
        eta += shrink * step[k:]
        evaluate(values, first, theta, c)
        if shrink == 1.0 and step @ g < TOLERANCE**2 * n_all:
            break
    # pixels of one line are alike: the covariance is that of independent blocks
    covariance = inverse @ (J + prior) @ inverse
    return theta, covariance[:k, :k].copy(), _lines(eta)
