"""The population that clusters stand out of: coordinates in which it is a sphere."""

from dataclasses import dataclass, replace

import numpy as np

from ._intrinsic import intrinsic_covariance, typical_error

#: Stars of the population that weights of shrinkage are judged by.
MOST_STRANGERS = 300
#: Stars from which the intrinsic covariance of the population is fitted.
MOST_STARS = 20_000


@dataclass(frozen=True)
class Population:
    """Coordinates in which the population has unit covariance."""

    mean: np.ndarray  # (n_values,)
    whitening: np.ndarray  # (n_values, n_dimensions)
    error: np.ndarray | None = None  # typical covariance of errors, in X's coordinates
    intrinsic: np.ndarray | None = None  # covariance of the population beyond errors
    strangers: np.ndarray | None = None  # some of its stars, as `likely` has them

    @property
    def order(self):
        """Number of dimensions."""
        return self.whitening.shape[1]

    @property
    def back(self):
        """The way from these coordinates to those of X."""
        return np.linalg.pinv(self.whitening)

    @property
    def variance(self):
        """Variances of X's columns, beyond errors."""
        if self.intrinsic is not None:
            return np.diag(self.intrinsic)
        return (self.back**2).sum(axis=0)

    def likely(self, stars):
        """Return stars of these coordinates as the population makes them likely.

        What errors leave open is at the population's mean.
        """
        if stars.covariance is None:
            return stars.values
        prior = self.whitening.T @ self.intrinsic @ self.whitening
        total = prior + stars.covariance
        return np.linalg.solve(total, stars.values[:, :, None])[:, :, 0] @ prior

    def __call__(self, stars):
        """Return stars in these coordinates."""
        return stars.through(self.whitening, self.mean)


def population(stars, dtype):
    """Return the coordinates in which stars are a sphere.

    Parameters
    ----------
    stars : UncertainVectors
        Field stars; with covariances, the intrinsic covariance counts.
    dtype : dtype
        Precision of the data, which tells what does not vary.

    Returns
    -------
    population : Population

    Raises
    ------
    ValueError
        If nothing varies.
    """
    few = stars[:: -(-len(stars) // MOST_STRANGERS)].astype(np.float64)
    if stars.covariance is None:
        values = stars.values.astype(np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        covariance = centred.T @ centred / (len(values) - 1)
        return sphere(mean, covariance, dtype, few)
    stars = stars[:: -(-len(stars) // MOST_STARS)].astype(np.float64)
    covariance, means = intrinsic_covariance(
        stars.values, stars.covariance, np.zeros(len(stars), int)
    )
    error = typical_error(stars.covariance)
    return sphere(
        means[0], covariance + error, dtype, few, error=error, intrinsic=covariance
    )


def sphere(mean, covariance, dtype, strangers, **more):
    """Return unit coordinates, leaving out dimensions in which nothing varies."""
    sigma = np.sqrt(np.diag(covariance))
    varies = sigma > np.finfo(dtype).eps * np.abs(mean)
    if not varies.any():
        raise ValueError(
            "X is the same in every row of the population: there is nothing to scale."
        )
    # of the correlations, so that the units of the columns do not matter
    unit = np.where(varies, 1 / np.where(varies, sigma, 1), 0)
    variance, axes = np.linalg.eigh(covariance * unit * unit[:, None])
    keep = variance > len(variance) * np.finfo(dtype).eps * variance[-1]
    whitening = unit[:, None] * axes[:, keep] / np.sqrt(variance[keep])
    found = Population(mean, whitening, **more)
    return replace(found, strangers=found.likely(found(strangers)))
