"""Polynomials of labels, orthonormal over a training set."""

import numpy as np
from sklearn.preprocessing import PolynomialFeatures


class OrthonormalPolynomials:
    """Polynomials of several variables whose mean products are the unit matrix.

    Coefficients of different polynomials then have independent errors of one size.

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
        design = self._features.transform(U)
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

    def __call__(self, U):
        """Return the polynomials at U, of shape (n_samples, n_polynomials)."""
        return self._features.transform(U) @ self._inverse
