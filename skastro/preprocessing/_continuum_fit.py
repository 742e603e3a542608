"""The continuum of one stretch of a spectrum by likelihood, compiled.

A pixel is continuum c plus noise with the probability 1 - p, else it has lost a share
of the light to lines, of an exponential distribution: with the mean t, or a tenth of it
for the share q of the lines. Noise is convolved in, with the pixel's own error, so that
the continuum lies where it does at any signal to noise. What there is of lines, p, q
and t, is fitted along.
"""

import math

import numpy as np
from numba import njit
from scipy.interpolate import BSpline
from scipy.special import erfcx

#: Steps of the fit at most, after as many as four times with every third pixel; it ends
#: before at this change of the coefficients, in units of their errors.
MAX_ITER = 4
THINNED = 3
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


# -- bases: the values of functions at x, and the precision of a prior for coefficients


def polynomials(x, degree):
    """Return Chebyshev polynomials of x in [-1, 1]."""
    values = np.polynomial.chebyshev.chebvander(x, degree)
    return np.ascontiguousarray(values), np.zeros((degree + 1, degree + 1))


def splines(x, n_knots, roughness):
    """Return cubic B-splines of x in [-1, 1].

    Second differences of their coefficients have the standard deviation `roughness`,
    in units of the continuum: a smoothing spline.
    """
    n_pieces = n_knots + 1
    knots = -1 + 2 / n_pieces * np.arange(-3, n_pieces + 4)
    identity = np.eye(n_pieces + 3)
    values = BSpline(knots, identity, 3)(np.clip(x, -1, 1))
    second = np.diff(identity, 2, axis=0)
    return np.ascontiguousarray(values), second.T @ second / roughness**2


@njit(cache=True)
def _inverse(H):
    """Return the inverse of a positive semidefinite matrix of parameters unalike."""
    n = len(H)
    scale = np.ones(n)
    for i in range(n):
        if H[i, i] > 0:
            scale[i] = 1 / math.sqrt(H[i, i])
    outer = scale.reshape(n, 1) * scale.reshape(1, n)
    return np.ascontiguousarray(np.linalg.inv(H * outer + 1e-10 * np.eye(n))) * outer


# -- pixels of which all are continuum


@njit(cache=True)
def _least_squares(f, s, used, values, penalty):
    """Return coefficients and their covariance by the pixels that are used."""
    weighted = values * (used / s**2).reshape(-1, 1)
    covariance = _inverse(values.T @ weighted + penalty)
    return covariance @ (weighted.T @ f), covariance


@njit(cache=True)
def fit_known(f, s, used, values, penalty):
    """Fit pixels that are continuum, but those that are far off on either side.

    Returns the coefficients, their covariance, and the lines, which are none.
    """
    keep = used.copy()
    theta, covariance = _least_squares(f, s, keep, values, penalty)
    for _ in range(10):
        off = np.abs(f - values @ theta) / s
        # the worst first, while they still draw the curve towards them
        worst = 0.0
        for i in range(len(f)):
            if keep[i]:
                worst = max(worst, off[i])
        now = used & (off <= max(OFF, 0.5 * worst))
        if np.all(now == keep):
            break
        keep = now
        theta, covariance = _least_squares(f, s, keep, values, penalty)
    return theta, covariance, np.array([0.0, 0.5, 0.1])


# -- pixels of which most have lines


@njit(cache=True, error_model="numpy", fastmath=True)
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


@njit(cache=True, error_model="numpy", fastmath=True)
def _score(f, c, s, lines, score, known):
    """Write the derivatives of a pixel's log-likelihood: by c, logit p, logit q, ln t.

    And, into `known`, the information about each if it were known what the pixel is.
    The density of what lines take from c, with noise, is that of the noise,
    exp(-u^2/2), times Mills' ratio.
    """
    p, q, t = lines
    u = (c - f) / s
    a = t * c / s
    b = HAZE * a
    y, z = u - 1 / a, u - 1 / b
    strong, weak = mills(y), mills(z)
    g, h = 1 / strong, 1 / weak
    strong *= p * (1 - q) / a
    weak *= p * q / b
    total = 1 - p + strong + weak
    strong /= total
    weak /= total
    lined = strong + weak
    score[0] = (strong * (g - 1 / a) + weak * (h - 1 / b) - (1 - lined) * u) / s
    score[1] = lined - p
    score[2] = weak - lined * q
    score[3] = strong * ((y + g) / a - 1) + weak * ((z + h) / b - 1)
    known[0] = (1 - lined + strong * g * (g + y) + weak * h * (h + z)) / (s * s)
    known[1] = p * (1 - p)
    known[2] = lined * q * (1 - q)
    known[3] = lined


@njit(cache=True)
def _clip(f, s, used, values, penalty):
    """Clip more below than above: where the fit begins."""
    keep = used.copy()
    theta, _ = _least_squares(f, s, keep, values, penalty)
    for _ in range(8):
        off = (f - values @ theta) / s
        width = max(1.0, math.sqrt(np.sum(keep * off**2) / max(1, np.sum(keep))))
        now = used & (off >= -1.5 * width) & (off <= 3.0 * width)
        changed = np.sum(now != keep)
        if np.sum(now) < 2 * len(penalty) or changed <= len(f) // 1000:
            break
        keep = now
        theta, _ = _least_squares(f, s, keep, values, penalty)
    return theta


@njit(cache=True)
def _scores(f, s, used, values, c, lines):
    """Return the scores of pixels, and the information if all was known of them."""
    n, k = values.shape
    scores, known = np.zeros((n, k + _N_LINES)), np.zeros((n, 1 + _N_LINES))
    by = np.empty(1 + _N_LINES)
    for i in range(n):
        u = (c[i] - f[i]) / s[i]
        if used[i] and c[i] > 0 and -ABOVE <= u <= BELOW:
            _score(f[i], c[i], s[i], lines, by, known[i])
            for a in range(k):
                scores[i, a] = by[0] * values[i, a]
            for a in range(_N_LINES):
                scores[i, k + a] = by[1 + a]
    K = np.diag(
        np.sum(np.concatenate((np.zeros((n, k)), known[:, 1:]), axis=1), axis=0)
    )
    K[:k, :k] = values.T @ (values * known[:, :1])
    return scores, K


@njit(cache=True)
def _lines(eta):
    return np.array(
        [1 / (1 + math.exp(-eta[0])), 1 / (1 + math.exp(-eta[1])), math.exp(eta[2])]
    )


@njit(cache=True)
def _steps(f, s, used, values, prior, theta, eta, max_iter):
    """Take steps towards the highest likelihood; return the scores at the last one."""
    k = len(theta)
    off = np.empty(len(prior))
    scores = np.empty((len(f), len(prior)))
    for _ in range(max_iter):
        scores, K = _scores(f, s, used, values, values @ theta, _lines(eta))
        off[:k] = theta
        off[k:] = eta - PRIOR[:, 0]
        g = np.sum(scores, axis=0) - prior @ off
        # scoring, by outer products, is fast where the errors are right, and EM, by K,
        # safe where they are not; their mean is both, as EM may go twice as far
        step = _inverse(0.5 * (scores.T @ scores + K) + prior) @ g
        shrink = 1 / max(1.0, np.max(np.abs(step[k:])))
        theta += shrink * step[:k]
        eta += shrink * step[k:]
        if shrink == 1.0 and step @ g < TOLERANCE**2 * len(prior):
            break
    return scores


@njit(cache=True)
def fit_lines(f, s, used, values, penalty):
    """Fit the continuum, and what lines there are.

    Returns the coefficients, their covariance, and p, q and t.
    """
    k = len(penalty)
    prior = np.zeros((k + _N_LINES, k + _N_LINES))
    prior[:k, :k] = penalty
    for a in range(_N_LINES):
        prior[k + a, k + a] = 1 / PRIOR[a, 1] ** 2
    theta = _clip(f, s, used, values, penalty)
    eta = PRIOR[:, 0].copy()
    few = slice(None, None, THINNED)
    rows = np.ascontiguousarray(values[few])
    _steps(f[few], s[few], used[few], rows, prior, theta, eta, 4 * MAX_ITER)
    scores = _steps(f, s, used, values, prior, theta, eta, MAX_ITER)
    # pixels of one line are alike: the covariance is that of independent blocks
    J = prior.copy()
    for start in range(0, len(f), BLOCK):
        block = np.sum(scores[start : start + BLOCK], axis=0)
        J += block.reshape(-1, 1) * block.reshape(1, -1)
    inverse = _inverse(scores.T @ scores + prior)
    covariance = inverse @ J @ inverse
    return theta, covariance[:k, :k].copy(), _lines(eta)
