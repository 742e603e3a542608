"""Polynomials of labels: products of polynomials of one label each."""

import itertools

import numpy as np


class LabelPolynomials:
    """Polynomials of one coordinate each, orthonormal over the training stars.

    Parameters
    ----------
    u : ndarray of shape (n_samples, n_labels)
        Coordinates of the training stars.
    degree : int
        Highest degree.
    """

    def __init__(self, u, degree):
        d = u.shape[1]
        self.shift = np.zeros((degree, d))
        self.norm = np.ones((degree + 1, d))
        self.degree = degree
        #: of a label with few values, the degree that these determine
        self.allowed = np.full(d, degree)
        before, current = np.zeros_like(u), np.ones_like(u)
        for k in range(degree):
            self.shift[k] = (u * current**2).mean(axis=0)
            new = (u - self.shift[k]) * current - self.norm[k] * before * (k > 0)
            norm = np.sqrt((new**2).mean(axis=0))
            ended = (norm < 1e-6) & (self.allowed == degree)
            self.allowed[ended] = k
            self.norm[k + 1] = np.where(norm < 1e-6, 1, norm)
            before, current = current, new / self.norm[k + 1]

    def __call__(self, u):
        """Return values and derivatives, of shape (degree + 1, n_samples, n_labels)."""
        values, slopes = [np.ones_like(u)], [np.zeros_like(u)]
        for k in range(self.degree):
            away = u - self.shift[k]
            new, slope = away * values[-1], values[-1] + away * slopes[-1]
            if k:
                new = new - self.norm[k] * values[-2]
                slope = slope - self.norm[k] * slopes[-2]
            values.append(new / self.norm[k + 1])
            slopes.append(slope / self.norm[k + 1])
        return np.stack(values), np.stack(slopes)


class Terms:
    """Products of polynomials, the first of which is 1.

    Parameters
    ----------
    polynomials : LabelPolynomials
    powers : ndarray of int, of shape (n_terms, n_labels)
        Degree of each label in each product.
    """

    def __init__(self, polynomials, powers):
        self.polynomials = polynomials
        self.powers = powers
        self._factors = [
            [(j, int(power[j])) for j in np.flatnonzero(power)] for power in powers
        ]

    def __len__(self):
        return len(self.powers)

    def __call__(self, u):
        """Return the terms at u, of shape (n_samples, n_terms)."""
        P = np.ascontiguousarray(self.polynomials(u)[0].swapaxes(1, 2))
        out = np.ones((len(self), len(u)))
        for row, factors in zip(out, self._factors, strict=True):
            for j, k in factors:
                row *= P[k, j]
        return out.T

    def through(self, u, coef):
        """Return linear functions of the terms, and their derivatives by u.

        Parameters
        ----------
        u : ndarray of shape (n, n_labels)
        coef : ndarray of shape (n_terms, n_functions)

        Returns
        -------
        values : ndarray of shape (n, n_functions)
        slopes : ndarray of shape (n, n_labels, n_functions)
        """
        P, D = (np.ascontiguousarray(a.swapaxes(1, 2)) for a in self.polynomials(u))
        n, d = u.shape
        values = np.ones((len(self), n))
        slopes = [[] for _ in range(d)]
        for row, factors in zip(values, self._factors, strict=True):
            for j, k in factors:
                row *= P[k, j]
            for j, k in factors:
                slope = D[k, j]
                for i, q in factors:
                    if i != j:
                        slope = slope * P[q, i]
                slopes[j].append(slope)
        out = np.empty((n, d, coef.shape[1]))
        for j, own in enumerate(slopes):
            out[:, j] = np.array(own).T @ coef[self.powers[:, j] > 0]
        return values.T @ coef, out


def products(n_labels, degree, allowed, windowed):
    """Return the powers of all products up to a degree, 1 and single labels first.

    No two labels that act in windows are multiplied.
    """
    rows = []
    for total in range(degree + 1):
        for chosen in itertools.combinations_with_replacement(range(n_labels), total):
            rows.append(np.bincount(np.array(chosen, int), minlength=n_labels))
    rows = np.array(rows).reshape(len(rows), n_labels)
    single = rows.sum(axis=1) <= 1
    keep = ((rows <= allowed).all(axis=1) | single) & (
        (rows[:, windowed] > 0).sum(axis=1) <= 1
    )
    return rows[keep]


def blocks_of(powers, energy, strong, windowed):
    """Return terms whose responses have a common prior.

    Strong labels share one block, with all products of theirs; every other label has
    its own, of the terms in which it is the weakest.

    Parameters
    ----------
    powers : ndarray of int, of shape (n_terms, n_labels)
    energy : ndarray of shape (n_labels,)
        How much the spectra change with each label.
    strong : ndarray of bool, of shape (n_labels,)
        Labels whose responses curve.
    windowed : ndarray of bool, of shape (n_labels,)

    Returns
    -------
    blocks : list of ndarray of int
        Of terms; the first has the constant one.
    """
    rank = np.argsort(np.argsort(energy)).astype(float)
    rank[strong] = np.inf
    rank[windowed] = -1  # their products act where they do
    weakest = np.where(powers > 0, rank, np.inf)
    owner = np.where(np.isinf(weakest).all(axis=1), -1, weakest.argmin(axis=1))
    owner[~np.isfinite(weakest.min(axis=1))] = -1
    labels = [-1, *np.flatnonzero(~strong)]
    blocks = [np.flatnonzero(owner == k) for k in labels]
    return [block for block in blocks if len(block)]
