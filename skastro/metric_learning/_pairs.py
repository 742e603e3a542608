"""How much likelier pairs of stars are as siblings than as strangers."""

from dataclasses import dataclass

import numpy as np

from ._intrinsic import pair_log_density

#: Pairs that are treated at once.
PAIRS = 4096


@dataclass(frozen=True)
class PairLikelihood:
    """Gaussian likelihoods of differences, in the dimensions that have weight.

    Parameters
    ----------
    axes : ndarray of shape (n_values, n_dimensions)
        The dimensions, in which the population has unit variance.
    variance : ndarray of shape (n_dimensions,)
        Variances within clusters along them.
    siblings, strangers : ndarray of shape (n_dimensions, n_dimensions) or None
        Covariances of differences beyond errors, where errors are known.
    """

    axes: np.ndarray
    variance: np.ndarray
    siblings: np.ndarray | None = None
    strangers: np.ndarray | None = None

    @property
    def _weight(self):
        return 1 / self.variance - 1

    def _of_distances(self, square):
        return -0.5 * np.log(self.variance).sum() - square / 4

    def _with_errors(self, difference, C, extra):
        siblings = pair_log_density(difference, C, extra + self.siblings)
        strangers = pair_log_density(difference, C, extra + self.strangers)
        return (strangers - siblings) / 2

    def one_by_one(self, first, second):
        """Return log ratios of pairs, row by row.

        Parameters
        ----------
        first, second : UncertainVectors
            The two stars of each pair.

        Returns
        -------
        log_ratio : ndarray of shape (n_pairs,)
        """
        z = (first.values - second.values) @ self.axes
        if first.covariance is None:
            return self._of_distances(z**2 @ self._weight)
        C = self.axes.T @ (first.covariance + second.covariance) @ self.axes
        zero = np.zeros(C.shape[1:])
        return self._with_errors(z.T, C.transpose(1, 2, 0), zero)

    def each_with_each(self, first, second, mean):
        """Return log ratios of every star of one set with every star of another.

        Parameters
        ----------
        first, second : UncertainVectors
            The stars.
        mean : ndarray of shape (n_values,)
            Subtracted first, lest a large mean cost digits.

        Returns
        -------
        log_ratio : ndarray of shape (n_first, n_second)
        """
        first = first.through(self.axes, mean)
        second = second.through(self.axes, mean)
        if first.covariance is None:
            weight = np.sqrt(self._weight)
            z1 = (first.values * weight).astype(float)
            z2 = (second.values * weight).astype(float)
            square = (z1**2).sum(axis=1)[:, None] + (z2**2).sum(axis=1)
            square -= 2 * z1 @ z2.T
            return self._of_distances(np.maximum(square, 0))
        # pairs last, where elimination runs along them
        z2 = np.ascontiguousarray(second.values.T)
        C2 = np.ascontiguousarray(second.covariance.transpose(1, 2, 0))
        ratio = np.empty((len(first), len(second)), z2.dtype)
        for start in range(0, len(second), PAIRS):
            part = slice(start, start + PAIRS)
            for i, (z1, C1) in enumerate(
                zip(first.values, first.covariance, strict=True)
            ):
                ratio[i, part] = self._with_errors(
                    z2[:, part] - z1[:, None], C2[:, :, part], C1
                )
        return ratio
