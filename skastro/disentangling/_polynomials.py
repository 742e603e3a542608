"""Polynomials of labels, orthonormal over a training set."""

import numpy as np
from sklearn.preprocessing import PolynomialFeatures

#: Rows for each polynomial, of which `degree_for` does not take fewer.
ROWS_PER_POLYNOMIAL = 5


class OrthonormalPolynomials:
    """Polynomials of several variables whose mean products are the unit matrix.

    Coefficients of different polynomials then have independent errors of one size.

    A variable with few values has no powers that these do not tell apart. One with two
    values, such as a level of a kind, has an offset and a slope with each of the
    others, of which there are none with a level that excludes it.

    Parameters
    ----------
    degree : int
        Highest total degree.
    """

    def __init__(self, degree):
        self.degree = degree

    def fit(self, U):
        """Orthonormalise over the rows of U.

        Raises
        ------
        ValueError
            If there are fewer rows than polynomials, or rows too alike.
        """
        self._features = PolynomialFeatures(self.degree).fit(U)
        kept = determined(self._features.powers_, U)
        self._kept = slice(None) if kept.all() else kept
        design = self._design(U)
        n, m = design.shape
        triangle = np.linalg.qr(design, mode="r") / np.sqrt(n)
        diagonal = np.abs(np.diag(triangle))
        if n < m or diagonal.min() < 1e-8 * diagonal.max():
            raise ValueError(
                f"{m} polynomials of degree {self.degree} in {U.shape[1]} label(s) are"
                f" not determined by {n} rows with these values; lower the degree, or"
                " give more rows."
            )
        self._inverse = np.linalg.inv(triangle * np.sign(np.diag(triangle))[:, None])
        return self

    @property
    def degrees(self):
        """Total degree of each polynomial; those of lower degree come first."""
        return self._features.powers_[self._kept].sum(axis=1)

    def _design(self, U):
        return self._features.transform(U)[:, self._kept]

    def __call__(self, U):
        """Return the polynomials at U, of shape (n_samples, n_polynomials)."""
        return self._design(U) @ self._inverse


def count(U, degree):
    """Return the number of polynomials up to a degree that values tell apart."""
    return int(determined(PolynomialFeatures(degree).fit(U).powers_, U).sum())


def determined(powers, U):
    """Return which products of powers do not follow from lower ones at these values.

    Parameters
    ----------
    powers : ndarray of int, of shape (n_products, n_variables)
        Of each variable in each product.
    U : ndarray of shape (n_samples, n_variables)

    Returns
    -------
    kept : ndarray of bool, of shape (n_products,)
    """
    values = [np.unique(column) for column in U.T]
    sizes = np.array([len(v) for v in values])
    kept = (powers < np.maximum(sizes, 2)).all(axis=1)
    two = np.flatnonzero(sizes == 2)
    kept &= (powers[:, two].sum(axis=1) == 0) | (powers.sum(axis=1) <= 2)
    high = U[:, two] == [values[i][1] for i in two]
    for i, j in np.argwhere(high.T.astype(np.int64) @ high.astype(np.int64) == 0):
        kept &= (powers[:, two[i]] == 0) | (powers[:, two[j]] == 0)
    return kept


def degree_for(U, most):
    """Return the degree that five stars for each polynomial allow, at most `most`."""
    allowed = [
        degree
        for degree in range(2, most + 1)
        if ROWS_PER_POLYNOMIAL * count(U, degree) <= len(U)
    ]
    return max(allowed, default=1)
