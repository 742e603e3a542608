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
#: No step moves the continuum, which is of the order of one, by more.
FARTHEST = 0.3
TOLERANCE = 0.1
#: What is so many errors above the continuum is no part of the spectrum, and what is so
#: many below is a strong line.
ABOVE, BELOW = 4.0, 30.0
#: Pixels so many errors off on either side are bad where all are known to be continuum,
#: and everywhere if they are so much below zero.
OFF = 5.0
#: Lines of cool giants at a resolving power of 22,500, a prior: means and standard
#: deviations of logit p, logit q and ln t.
PRIOR = np.array([[0.4, 0.3], [0.0, 0.3], [math.log(0.07), 0.5]])
#: The mean of weak lines in units of that of strong ones.
HAZE = 0.1
#: Precision of the prior of all coefficients, which are of the order of one.
WEAK = 1e-3
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
    return np.ascontiguousarray(values), WEAK * np.eye(degree + 1)


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
    penalty = second.T @ second / roughness**2 + WEAK * identity
    return np.ascontiguousarray(values), penalty


# -- pixels of which all are continuum


def _least_squares(f, s, used, values, penalty):
    """Return coefficients and their covariance by the pixels that are used."""
    weighted = values * (used / s**2)[:, None]
    covariance = np.linalg.inv(values.T @ weighted + penalty)
    return covariance @ (weighted.T @ f), covariance


def fit_known(f, s, used, values, penalty):
    """Fit pixels that are continuum, but those that are far off on either side.

    Parameters
    ----------
    f, s : ndarray of shape (n,)
        Flux, of the order of one, and errors.
    used : ndarray of bool of shape (n,)
        Which pixels count.
    values : ndarray of shape (n, k)
        The functions of the basis.
    penalty : ndarray of shape (k, k)
        Precision of the prior for their coefficients.

    Returns
    -------
    theta : ndarray of shape (k,)
        Coefficients.
    covariance : ndarray of shape (k, k)
        Of them.
    lines : ndarray of shape (3,)
        p, q and t; there are none.
    """
    keep = used
    theta, covariance = _least_squares(f, s, keep, values, penalty)
    for _ in range(10):
        off = np.abs(f - values @ theta) / s
        # the worst first, while they still draw the curve towards them
        now = used & (off <= max(OFF, 0.5 * off[keep].max(initial=0.0)))
        if np.array_equal(now, keep):
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
    if u > BELOW:
        score[0], score[1], score[2], score[3] = -1 / (a * s), 1 - p, -q, y / a - 1
        known[0], known[1], known[2], known[3] = 0.0, p * (1 - p), q * (1 - q), 1.0
        return
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
def _score_pixels(f, s, used, values, c, lines, scores, weighted, known):
    """Write the scores of each pixel by all parameters, zeros where it does not count.

    And the values of the basis times the information about the continuum if all was
    known, and the sum of that about the lines.
    """
    k = values.shape[1]
    by, info = np.empty(1 + _N_LINES), np.empty(1 + _N_LINES)
    known[:] = 0.0
    for i in range(len(f)):
        u = (c[i] - f[i]) / s[i]
        # no line takes more light than there is
        if used[i] and c[i] > 0 and u >= -ABOVE and f[i] > -OFF * s[i]:
            _score(f[i], c[i], s[i], lines, by, info)
        else:
            by[:] = 0.0
            info[:] = 0.0
        for a in range(k):
            scores[i, a] = by[0] * values[i, a]
            weighted[i, a] = info[0] * values[i, a]
        for a in range(_N_LINES):
            scores[i, k + a] = by[1 + a]
            known[a] += info[1 + a]


def _lines(eta):
    return np.array([*(1 / (1 + np.exp(-eta[:2]))), np.exp(eta[2])])


def _clip(f, s, used, values, penalty):
    """Clip more below than above: where the fit begins."""
    keep = used
    theta, _ = _least_squares(f, s, keep, values, penalty)
    for _ in range(8):
        off = (f - values @ theta) / s
        width = max(1.0, np.sqrt(np.mean(off[keep] ** 2)))
        now = used & (off >= -1.5 * width) & (off <= 3.0 * width)
        changed = np.count_nonzero(now != keep)
        if np.count_nonzero(now) < 2 * len(penalty) or changed <= len(f) // 1000:
            break
        keep = now
        theta, _ = _least_squares(f, s, keep, values, penalty)
    return theta


def _steps(f, s, used, values, prior, theta, eta, max_iter):
    """Take steps towards the highest likelihood.

    Returns coefficients, lines, and the scores of the pixels at the last step.
    """
    k = len(theta)
    scores, weighted = np.empty((len(f), k + _N_LINES)), np.empty_like(values)
    known, K, one = np.empty(_N_LINES), np.zeros_like(prior), np.ones(len(f))
    lines = np.arange(k, len(prior))
    for _ in range(max_iter):
        _score_pixels(
            *(f, s, used, values, values @ theta, _lines(eta)),
            *(scores, weighted, known),
        )
        K[:k, :k] = values.T @ weighted
        K[lines, lines] = known
        off = np.concatenate([theta, eta - PRIOR[:, 0]])
        g = one @ scores - prior @ off
        # scoring, by outer products, is fast where the errors are right, and EM, by K,
        # safe where they are not; their mean is both, as EM may go twice as far
        step = np.linalg.solve(0.5 * (scores.T @ scores + K) + prior, g)
        move = np.abs(values @ step[:k]).max()
        shrink = 1 / max(1.0, np.abs(step[k:]).max(), move / FARTHEST)
        theta = theta + shrink * step[:k]
        eta = eta + shrink * step[k:]
        if shrink == 1.0 and step @ g < TOLERANCE**2 * len(prior):
            break
    return theta, eta, scores


def fit_lines(f, s, used, values, penalty):
    """Fit the continuum, and what lines there are.

    Parameters
    ----------
    f, s, used, values, penalty : ndarray
        As in `fit_known`.

    Returns
    -------
    theta, covariance, lines : ndarray
        As from `fit_known`.
    """
    k = len(penalty)
    prior = np.diag(np.r_[np.zeros(k), 1 / PRIOR[:, 1] ** 2])
    prior[:k, :k] = penalty
    few = (f, s, used, values)
    if np.count_nonzero(used[::THINNED]) > 10 * k:
        few = [np.ascontiguousarray(v[::THINNED]) for v in few]
    theta = _clip(*few, penalty)
    theta, eta, _ = _steps(*few, prior, theta, PRIOR[:, 0], 4 * MAX_ITER)
    theta, eta, scores = _steps(f, s, used, values, prior, theta, eta, MAX_ITER)
    # pixels of one line are alike: the covariance is that of independent blocks
    blocks = np.add.reduceat(scores, np.arange(0, len(f), BLOCK), axis=0)
    inverse = np.linalg.inv(scores.T @ scores + prior)
    covariance = inverse @ (blocks.T @ blocks + prior) @ inverse
    return theta, covariance[:k, :k], _lines(eta)
