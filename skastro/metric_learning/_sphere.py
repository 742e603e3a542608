"""Coordinates in which a population is a sphere."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sphere:
    """Coordinates in which the population has unit covariance."""

    mean: np.ndarray  # (n_values,)
    whitening: np.ndarray  # (n_values, n_dimensions)
    error: np.ndarray | None = None  # typical covariance of errors, in X's coordinates
    intrinsic: np.ndarray | None = None  # covariance of the population beyond errors

    def __call__(self, x):
        return (x - self.mean) @ self.whitening


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
    return Sphere(mean, whitening, **more)
