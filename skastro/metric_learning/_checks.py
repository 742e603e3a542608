"""Input that a metric cannot use, and what would do."""

import numpy as np


def refuse_nan(X):
    """Raise if anything is missing."""
    if np.isnan(X).any():
        row = np.flatnonzero(np.isnan(X).any(axis=1))[0]
        raise ValueError(
            f"Input X contains NaN, in row {row}. RSCA needs complete rows: put"
            " ProbabilisticPCA before it, which takes NaN as missing, or leave the rows"
            " out."
        )


def check_variances(C):
    """Raise if covariances have a negative variance."""
    variance = np.einsum("nii->ni", C)
    if np.any(variance < 0):
        row, column = np.argwhere(variance < 0)[0]
        raise ValueError(
            f"The covariance that X carries in row {row} has a negative variance,"
            f" {variance[row, column]:.3g}."
        )
