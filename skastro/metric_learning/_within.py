"""The scatter within clusters, in coordinates in which the population is a sphere."""

from dataclasses import dataclass

import numpy as np

from ._intrinsic import intrinsic_covariance, intrinsic_variances
from ._shrinkage import choose_weights, diagonal, own_variances, residuals

#: The median absolute deviation of a Gaussian times this is its standard deviation.
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Within:
    """Principal axes of the scatter within clusters.

    Parameters
    ----------
    variance : ndarray of shape (n_dimensions,)
        Variances along the axes; with errors, those of a star of typical errors.
    rotation : ndarray of shape (n_dimensions, n_dimensions)
        The axes, in columns.
    shrinkage, evenness : float
        Weight of the diagonal, and of a common share of the population's variances
        within it.
    intrinsic : ndarray of shape (n_dimensions, n_dimensions) or None
        Covariance within clusters beyond errors, where these are known.
    """

    variance: np.ndarray
    rotation: np.ndarray
    shrinkage: float
    evenness: float
    intrinsic: np.ndarray | None = None


def scatter_within(stars, groups, population, shrinkage, scale_estimator):
    """Estimate the scatter within clusters.

    Parameters
    ----------
    stars : UncertainVectors
        Members of clusters, in the coordinates of X.
    groups : ndarray of int of shape (n,)
        Their clusters, from 0.
    population : Population
        Its coordinates.
    shrinkage : float, None or "auto"
        As of `RSCA`.
    scale_estimator : {"mad", "std"}
        As of `RSCA`.

    Returns
    -------
    within : Within

    Raises
    ------
    ValueError
        If there are no stars, or without shrinkage too few.
    """
    n_free = len(stars) - len(np.unique(groups))
    if not n_free:
        raise ValueError("No other cluster of two or more stars is left to learn from.")
    members = population(stars)
    evenness = 0.0
    if shrinkage == "auto":
        known = population.likely(members)
        shrinkage, evenness = choose_weights(known, groups, population)
    weight = float(shrinkage or 0)
    if not weight and n_free < population.order:
        raise ValueError(
            f"{len(stars)} stars in {groups.max() + 1} cluster(s) leave {n_free}"
            f" degrees of freedom, fewer than the {population.order} dimensions of X:"
            ' the scatter within clusters is unknown in some. Set shrinkage="auto", or'
            " give X fewer columns, e.g. by n_components of the step before, or more"
            f" stars; n_samples={len(stars)} of them are in clusters."
        )
    if stars.covariance is None:
        residual = residuals(members.values, groups)
        scatter = residual.T @ residual
        if not weight:
            rotation = np.linalg.eigh(scatter)[1]
            target = np.zeros_like(scatter)
        else:
            own = own_variances(scatter, n_free, population)
            target = diagonal(own, evenness, population)
            shrunk = (1 - weight) * scatter / n_free + weight * target
            rotation = np.linalg.eigh(shrunk)[1]
        turned = members.values @ rotation
        variance = _pooled(turned, groups, scale_estimator) / n_free
        variance *= 1 - weight
        variance += weight * np.einsum("ij,ik,kj->j", rotation, target, rotation)
        return Within(variance, rotation, weight, evenness)
    target = None
    if weight:
        errors = np.einsum("nii->ni", stars.covariance)
        own = intrinsic_variances(stars.values, errors, groups)
        target = diagonal(own, evenness, population)
    if weight == 1:
        intrinsic = target
    else:
        prior = None if target is None else (n_free * weight / (1 - weight), target)
        intrinsic, _ = intrinsic_covariance(
            members.values, members.covariance, groups, prior=prior
        )
    whitening = population.whitening
    typical = whitening.T @ population.error @ whitening
    variance, rotation = np.linalg.eigh(intrinsic + typical)
    return Within(variance, rotation, weight, evenness, intrinsic)


def _pooled(z, groups, scale_estimator):
    """Return the sum over clusters of (n - 1) x the squared scatter."""
    if scale_estimator == "std":
        return (residuals(z, groups) ** 2).sum(axis=0)
    total = 0
    for g in range(groups.max() + 1):
        members = z[groups == g]
        deviation = np.abs(members - np.median(members, axis=0))
        scatter = MAD_TO_SIGMA * np.median(deviation, axis=0)
        total = total + (len(members) - 1) * scatter**2
    return total
