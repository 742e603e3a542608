"""Ranks of true parameters in their posteriors that see all parameters together."""

from itertools import combinations

import numpy as np

#: Regions that take all parameters together; those of pairs follow.
GLOBAL = ("random points", "likelihood")


def joint_names(names):
    """Name the regions of which :func:`joint_ranks` gives the ranks.

    Parameters
    ----------
    names : list of str
        Names of the parameters.

    Returns
    -------
    names : list of str
        The global ones, and each pair.
    """
    return [*GLOBAL, *(f"{a} × {b}" for a, b in combinations(names, 2))]


def joint_ranks(posterior, truth, log_likelihood, rng):
    """Return the posterior's share inside the regions that just hold the truth.

    Each rank is that of one number among those of the samples: any function of
    parameters and data will do, and the rank is uniform if the truth is one more draw
    from the posterior.

    Parameters
    ----------
    posterior : Posterior
        Of one simulated object.
    truth : ndarray of shape (n_parameters,)
        The parameters that it was simulated with.
    log_likelihood : float
        Of the truth, as the posterior has it of its samples.
    rng : numpy.random.RandomState
        Draws the reference point, and the place among equals.

    Returns
    -------
    ranks : ndarray of shape (n_regions,)
        In the order of :func:`joint_names`.
    """
    samples = posterior.space.inverse_transform(posterior.samples)
    own = posterior.space.inverse_transform(truth)
    reference = rng.uniform(size=len(truth))
    ranks = [
        rank(
            np.sum((samples - reference) ** 2, axis=1),
            np.sum((own - reference) ** 2),
            rng,
        ),
        rank(
            -posterior.log_likelihoods,
            -log_likelihood,
            rng,
            posterior.weights * len(posterior.weights),
        ),
    ]
    # with the truth, so that it is one of them: they are exchangeable
    middle = (samples.sum(axis=0) + own) / (len(samples) + 1)
    for i, j in combinations(range(len(truth)), 2):
        products = (samples[:, i] - middle[i]) * (samples[:, j] - middle[j])
        product = (own[i] - middle[i]) * (own[j] - middle[j])
        ranks.append(rank(products, product, rng))
    return np.array(ranks)


def rank(values, value, rng, weights=None):
    """Return the share of values below another, as a uniform number if it is alike.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Of the samples.
    value : float
        Of the truth.
    rng : numpy.random.RandomState
        Chooses the place between two values, and among equal ones.
    weights : ndarray of shape (n_values,), default=None
        Of the samples, with mean 1.

    Returns
    -------
    rank : float
        In [0, 1].
    """
    weights = np.ones(len(values)) if weights is None else weights
    below, equal = weights @ (values < value), weights @ (values == value)
    return (below + rng.uniform() * (equal + 1)) / (len(values) + 1)
