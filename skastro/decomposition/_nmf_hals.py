"""Non-negative factorisation by hierarchical alternating least squares, compiled.

Minimises, over non-negative V and H,

    1/2 sum w (x - V^T H)^2 + l1_V sum V + l2_V/2 sum V^2 + l1_H sum H + l2_H/2 sum H^2

where w are weights, 0 for missing entries. Every step is the exact minimum along one
row of V or H, so that the objective cannot rise (A. Cichocki & A.-H. Phan 2009, IEICE
Trans. Fundam. E92-A, 708). Between passes the profiles are extrapolated (A. M. S. Ang &
N. Gillis 2019, Neural Comput. 31, 417). Arrays have pixels last, in blocks that stay in
the cache.
"""

import numpy as np
from numba import njit

#: Pixels at once.
_BLOCK = 256
#: Sweeps over the components before the other factor's turn: maps, profiles.
_MAP_SWEEPS, _PROFILE_SWEEPS = 2, 4
#: How far profiles are led beyond a pass, in steps of it: at first, and how it grows.
_LEAD, _GROWTH, _MOST_GROWTH = 0.5, 1.05, 1.01
#: Passes that gain next to nothing before the end.
_PATIENCE = 5
#: A penalty on maps alone makes a component that is not needed fade in its map, and
#: its profile grow by as much, without end. At this growth it has.
_RUNAWAY = 1e20


@njit(nogil=True, fastmath=True, cache=True)
def _maps_pass(X, weights, V, H, l1, l2, sweeps, numerator, gram):
    """Improve V in all pixels; add up what the step in H needs.

    `weights` of shape (1, 1) stand for equal weights. Returns, for each line, the sums
    over pixels of w x V and of w V V^T.
    """
    n_lines, n_pixels = X.shape
    k = H.shape[0]
    weighted = weights.shape[0] == n_lines and weights.shape[1] == n_pixels
    tiny = np.finfo(X.dtype).tiny
    n_grams = n_lines if weighted else 1
    numerator[:] = 0
    gram[:] = 0
    zero = X.dtype.type(0)
    common = np.zeros((k, k), X.dtype)
    for a in range(k):
        for b in range(k):
            total = 0.0
            for m in range(n_lines):
                total += H[a, m] * H[b, m]
            common[a, b] = total
    linear = np.empty((k, _BLOCK), X.dtype)
    own = np.empty((k, k, _BLOCK), X.dtype)
    step = np.empty(_BLOCK, X.dtype)
    denominator = np.empty(_BLOCK, X.dtype)
    weight_x = np.empty(_BLOCK, X.dtype)
    for start in range(0, n_pixels, _BLOCK):
        n = min(_BLOCK, n_pixels - start)
        stop = start + n
        linear[:] = zero
        if weighted:
            own[:] = zero
        for m in range(n_lines):
            x = X[m, start:stop]
            if weighted:
                w = weights[m, start:stop]
                for p in range(n):
                    weight_x[p] = w[p] * x[p]
                for a in range(k):
                    for b in range(a + 1):
                        c = H[a, m] * H[b, m]
                        target = own[a, b]
                        for p in range(n):
                            target[p] += c * w[p]
            else:
                for p in range(n):
                    weight_x[p] = x[p]
            for a in range(k):
                c = H[a, m]
                target = linear[a]
                for p in range(n):
                    target[p] += c * weight_x[p]
        for _ in range(sweeps):
            for a in range(k):
                v = V[a, start:stop]
                rhs = linear[a]
                for p in range(n):
                    step[p] = rhs[p] - l1
                if weighted:
                    for b in range(k):
                        if b != a:
                            g = own[max(a, b), min(a, b)]
                            other = V[b, start:stop]
                            for p in range(n):
                                step[p] -= g[p] * other[p]
                    g = own[a, a]
                    for p in range(n):
                        denominator[p] = max(g[p] + l2, tiny)
                    for p in range(n):
                        v[p] = max(zero, step[p] / denominator[p])
                else:
                    for b in range(k):
                        if b != a:
                            c = common[a, b]
                            other = V[b, start:stop]
                            for p in range(n):
                                step[p] -= c * other[p]
                    inverse = X.dtype.type(1) / max(common[a, a] + l2, tiny)
                    for p in range(n):
                        v[p] = max(zero, step[p] * inverse)
        for m in range(n_lines):
            x = X[m, start:stop]
            if weighted:
                w = weights[m, start:stop]
                for p in range(n):
                    weight_x[p] = w[p] * x[p]
            else:
                for p in range(n):
                    weight_x[p] = x[p]
            for a in range(k):
                v = V[a, start:stop]
                total = zero
                for p in range(n):
                    total += weight_x[p] * v[p]
                numerator[m, a] += total
        for m in range(n_grams):
            for a in range(k):
                va = V[a, start:stop]
                if weighted:
                    w = weights[m, start:stop]
                    for p in range(n):
                        weight_x[p] = w[p] * va[p]
                for b in range(a + 1):
                    vb = V[b, start:stop]
                    total = zero
                    if weighted:
                        for p in range(n):
                            total += weight_x[p] * vb[p]
                    else:
                        for p in range(n):
                            total += va[p] * vb[p]
                    gram[m, a, b] += total
    for m in range(n_grams):
        for a in range(k):
            for b in range(a):
                gram[m, b, a] = gram[m, a, b]


@njit(nogil=True, fastmath=True, cache=True)
def _profiles_pass(H, l1, l2, sweeps, numerator, gram):
    """Improve H, given the sums over pixels."""
    k, n_lines = H.shape
    for m in range(n_lines):
        g = gram[min(m, gram.shape[0] - 1)]
        for _ in range(sweeps):
            for a in range(k):
                total = numerator[m, a] - l1
                for b in range(k):
                    if b != a:
                        total -= g[a, b] * H[b, m]
                # a line without data keeps its place
                if g[a, a] + l2 > 0:
                    H[a, m] = max(0.0, total / (g[a, a] + l2))


@njit(nogil=True, fastmath=True, cache=True)
def _objective(square, V, H, l1_V, l2_V, l1_H, l2_H, numerator, gram):
    k, n_lines = H.shape
    loss = square
    for m in range(n_lines):
        g = gram[min(m, gram.shape[0] - 1)]
        for a in range(k):
            loss -= 2 * H[a, m] * numerator[m, a]
            for b in range(k):
                loss += H[a, m] * H[b, m] * g[a, b]
    penalty = 0.0
    for a in range(k):
        for m in range(n_lines):
            penalty += l1_H * H[a, m] + 0.5 * l2_H * H[a, m] * H[a, m]
        if l1_V > 0 or l2_V > 0:
            for p in range(V.shape[1]):
                penalty += l1_V * V[a, p] + 0.5 * l2_V * V[a, p] * V[a, p]
    return loss, 0.5 * loss + penalty


@njit(nogil=True, cache=True)
def factorise(X, weights, square, V, H, penalties, max_iter, tol, update_H, history):
    """Minimise in place.

    Parameters
    ----------
    X : ndarray of shape (n_lines, n_pixels)
        Data, 0 where missing.
    weights : ndarray of the same shape, or (1, 1) for equal weights
        0 where missing.
    square : float
        The weighted sum of the squares of X.
    V : ndarray of shape (k, n_pixels)
        Maps, of the dtype of X.
    H : ndarray of float64 of shape (k, n_lines)
        Profiles.
    penalties : tuple of float
        l1 and l2 of V, l1 and l2 of H.
    max_iter : int
        Passes at most.
    tol : float
        The objective falls by less than this share in a pass at the end, unless a
        component has faded by then.
    update_H : bool
        Whether the profiles are free.
    history : ndarray of float64 of shape (max_iter,)
        Is given the objective after each pass; NaN for those that were undone.

    Returns
    -------
    loss : float
        The weighted sum of squared residuals.
    n_iter : int
    """
    l1_V, l2_V, l1_H, l2_H = penalties
    k, n_lines = H.shape
    weighted = weights.shape[0] == X.shape[0] and weights.shape[1] == X.shape[1]
    numerator = np.zeros((n_lines, k))
    gram = np.zeros((n_lines if weighted else 1, k, k))
    single = X.dtype.type
    loss, previous = square, np.inf
    history[:] = np.nan
    # profiles are led beyond where a pass would take them; what that makes worse is
    # undone
    lead, most = _LEAD, 1.0
    last_H, last_V = H.copy(), V.copy()
    most_H = _RUNAWAY * H.max()
    momentum = np.zeros_like(H)
    n_small = 0
    for iteration in range(max_iter):
        for a in range(k):
            for m in range(n_lines):
                H[a, m] = max(0.0, last_H[a, m] + lead * momentum[a, m])
        _maps_pass(
            X,
            weights,
            V,
            H.astype(X.dtype),
            single(l1_V),
            single(l2_V),
            _MAP_SWEEPS,
            numerator,
            gram,
        )
        if update_H:
            _profiles_pass(H, l1_H, l2_H, _PROFILE_SWEEPS, numerator, gram)
        trial, value = _objective(square, V, H, l1_V, l2_V, l1_H, l2_H, numerator, gram)
        if value > previous and lead > 0 and update_H:
            V[:], H[:] = last_V, last_H
            most, lead = max(lead, 0.1), 0.0
            continue
        if update_H:
            lead = _LEAD * most if lead == 0 else min(most, lead * _GROWTH)
            most = min(1.0, most * _MOST_GROWTH)
            momentum[:] = H - last_H
            last_H[:], last_V[:] = H, V
        history[iteration] = value
        small = previous - value <= tol * abs(value)
        loss, previous = trial, min(value, previous)
        n_small = n_small + 1 if small else 0
        if n_small >= _PATIENCE or (update_H and H.max() > most_H):
            return loss, iteration + 1
    if update_H:
        V[:], H[:] = last_V, last_H
    return loss, max_iter
