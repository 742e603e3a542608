"""The population that clusters stand out of: coordinates in which it is a sphere."""

from dataclasses import dataclass

import numpy as np

from ._intrinsic import intrinsic_covariance, typical_error

#: Stars from which the intrinsic covariance of the population is fitted.
MOST_STARS = 20_000


@dataclass(frozen=True)
class Population:
    """Coordinates in which the population has unit covariance."""

    mean: np.ndarray  # (n_values,)
    whitening: np.ndarray  # (n_values, n_dimensions)
    error: np.ndarray | None = None  # typical covariance of errors, in X's coordinates
    intrinsic: np.ndarray | None = None  # covariance of the population beyond errors

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
    if stars.covariance is None:
        values = stars.values.astype(np.float64)
        mean = values.mean(axis=0)
        centred = values - mean
        return sphere(mean, centred.T @ centred / (len(values) - 1), dtype)
    stars = stars[:: -(-len(stars) // MOST_STARS)].astype(np.float64)
    covariance, means = intrinsic_covariance(
        stars.values, stars.covariance, np.zeros(len(stars), int)
    )
    error = typical_error(stars.covariance)
    return sphere(
        means[0], covariance + error, dtype, error=error, intrinsic=covariance
    )


def sphere(mean, covariance, dtype, **more):
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
    return Population(mean, whitening, **more)
