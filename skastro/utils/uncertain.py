"""Vectors that carry their error covariance.

Pipelines pass them on as rows ``[x | lower triangle of C]``, with the triangle row by
row: k values and k (k + 1) / 2 covariances. They are packed and unpacked at the doors
of estimators only.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin

#: Values of highest likelihood have a prior so much wider than the population's, for
#: rows that see too little of a component.
WIDE = 100.0


@dataclass(frozen=True)
class UncertainVectors:
    """Vectors, with the covariances of their errors or without.

    Parameters
    ----------
    values : ndarray of shape (n, k)
        The vectors.
    covariance : ndarray of shape (n, k, k) or None
        Covariances of their errors.
    """

    values: np.ndarray
    covariance: np.ndarray | None = None

    @classmethod
    def unpack(cls, X, maker="ProbabilisticPCA", name="X"):
        """Return the vectors of packed rows.

        Parameters
        ----------
        X : ndarray of shape (n, k + k (k + 1) / 2)
            Rows.
        maker : str, default="ProbabilisticPCA"
            Who makes such rows, for the message.
        name : str, default="X"
            The parameter's name, for the message.

        Returns
        -------
        vectors : UncertainVectors

        Raises
        ------
        ValueError
            If there is no k for the number of columns, or a variance is negative.
        """
        k = order(X.shape[1])
        if k is None:
            raise ValueError(
                f"{name} has {X.shape[1]} columns, which are not k values and"
                " k (k + 1) / 2 covariances for any k; with_covariance=True needs what"
                f" {maker}(with_covariance=True) returns. {name} has"
                f" n_features={X.shape[1]}."
            )
        covariance = symmetric(X[:, k:], k)
        variance = np.einsum("nii->ni", covariance)
        if np.any(variance < 0):
            row, column = np.argwhere(variance < 0)[0]
            raise ValueError(
                f"The covariance that {name} carries in row {row} has a negative"
                f" variance, {variance[row, column]:.3g}; it is not positive definite."
            )
        return cls(X[:, :k], covariance)

    def pack(self):
        """Return rows of the vectors with their covariances appended."""
        if self.covariance is None:
            return self.values
        return np.concatenate([self.values, lower_triangle(self.covariance)], axis=1)

    def __len__(self):
        return len(self.values)

    @property
    def order(self):
        """Number of values of a vector."""
        return self.values.shape[1]

    def __getitem__(self, rows):
        covariance = None if self.covariance is None else self.covariance[rows]
        return UncertainVectors(self.values[rows], covariance)

    def astype(self, dtype):
        """Return the same in another precision."""
        covariance = None if self.covariance is None else self.covariance.astype(dtype)
        return UncertainVectors(self.values.astype(dtype), covariance)

    def through(self, matrix, origin=0.0):
        """Return the vectors in other coordinates, ``(x - origin) @ matrix``."""
        covariance = self.covariance
        if covariance is not None:
            covariance = matrix.T @ covariance @ matrix
        return UncertainVectors((self.values - origin) @ matrix, covariance)


def lower_triangle(matrices):
    """Return the lower triangles of symmetric matrices, row by row."""
    i, j = np.tril_indices(matrices.shape[-1])
    return matrices[..., i, j]


def symmetric(triangles, k):
    """Return symmetric matrices of order k from their lower triangles."""
    i, j = np.tril_indices(k)
    full = np.empty((*triangles.shape[:-1], k, k), triangles.dtype)
    full[..., i, j] = triangles
    full[..., j, i] = triangles
    return full


def n_packed(k):
    """Return the number of columns that vectors of k values need."""
    return k + k * (k + 1) // 2


def order(n_columns):
    """Return the number of values of vectors packed into so many columns, or None."""
    k = int((np.sqrt(9 + 8 * n_columns) - 3) / 2 + 0.5)
    return k if k > 0 and n_packed(k) == n_columns else None


class UncertainVectorsOut(ClassNamePrefixFeaturesOutMixin):
    """Names of what a transformer gives that packs covariances if asked.

    Such a one has ``n_components_``, or its own ``_n_values``, and a parameter
    ``with_covariance``.
    """

    #: What tells it from others that have a parameter of that name.
    _packs_covariance = True

    @property
    def _n_values(self):
        return self.n_components_

    @property
    def _n_features_out(self):
        k = self._n_values
        return n_packed(k) if self.with_covariance else k

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that ``transform`` gives.

        Parameters
        ----------
        input_features : None
            Only there because scikit-learn's method has it.

        Returns
        -------
        names : ndarray of str
            Such as ``probabilisticpca0``; with covariances, after these
            ``probabilisticpca_cov_1_0``, that of components 1 and 0, and so on, the
            lower triangle row by row.
        """
        names = super().get_feature_names_out(input_features)
        if self.with_covariance:
            k = self._n_values
            prefix = type(self).__name__.lower()
            names[k:] = [
                f"{prefix}_cov_{i}_{j}" for i in range(k) for j in range(i + 1)
            ]
        return names
