"""Synthetic spectra of field stars and open clusters."""

import numpy as np
from sklearn.utils import Bunch, check_random_state

_NUISANCES = ["temperature", "gravity", "velocity", "line_width"]


def make_open_clusters(
    n_clusters=20,
    n_cluster_stars=180,
    n_field=2000,
    n_features=400,
    *,
    n_abundances=6,
    intrinsic_scatter=0.02,
    snr=100.0,
    missing=0.02,
    random_state=None,
):
    """Generate spectra of field stars and of open clusters, whose members are alike.

    A spectrum of lines on a flat continuum. Each line belongs to an element, and
    deepens with its abundance; temperature and gravity deepen lines by more, and
    residual velocities and the width of the instrument's profile change their shapes.
    The members of a cluster share their abundances and nothing else.

    Parameters
    ----------
    n_clusters : int, default=20
        Number of clusters, of two or more members.
    n_cluster_stars : int, default=180
        Number of members of all clusters.
    n_field : int, default=2000
        Number of field stars.
    n_features : int, default=400
        Number of wavelength bins.
    n_abundances : int, default=6
        Number of elements; the first one, like iron, varies most.
    intrinsic_scatter : float, default=0.02
        Scatter of abundances within a cluster [dex].
    snr : float, default=100.0
        Median signal-to-noise ratio of a pixel; stars differ by a factor of 1.5.
    missing : float, default=0.02
        Share of missing pixels: half of them single, half in runs of 2 % of the
        spectrum; somewhat less where these overlap.
    random_state : int, RandomState instance or None, default=None
        For reproducible data.

    Returns
    -------
    data : Bunch
        With ``X``, spectra of shape (n_samples, n_features), NaN where missing, and
        ``sigma``, their 1-sigma errors, both float32; ``y``, the cluster of each star
        or -1; ``abundances`` (n_samples, n_abundances) [dex]; ``nuisances`` (n_samples,
        4), in standard deviations, with ``nuisance_names``; and ``side`` (n_samples,
        2), an extinction [mag] and a radial velocity [km/s] without any influence, to
        match pairs by. Field stars come first.

    Raises
    ------
    ValueError
        If numbers are too small for each other, or ratios out of range.

    Examples
    --------
    >>> from skastro.datasets import make_open_clusters
    >>> data = make_open_clusters(n_field=100, random_state=0)
    >>> data.X.shape, data.y[:2], data.y[-2:]
    ((280, 400), array([-1, -1]), array([19, 19]))
    """
    for name, value, least in [
        ("n_clusters", n_clusters, 1),
        ("n_cluster_stars", n_cluster_stars, 2 * n_clusters),
        ("n_field", n_field, 0),
        ("n_features", n_features, 20),
        ("n_abundances", n_abundances, 1),
    ]:
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}, got {value}.")
    if not snr > 0:
        raise ValueError(f"`snr` must be positive, got {snr}.")
    if not 0 <= missing < 0.5:
        raise ValueError(f"`missing` must be in [0, 0.5), got {missing}.")
    if not intrinsic_scatter >= 0:
        raise ValueError(
            f"`intrinsic_scatter` must not be negative, got {intrinsic_scatter}."
        )
    rng = check_random_state(random_state)
    mean, by_abundance, by_nuisance = _responses(n_features, n_abundances, rng)

    # abundances follow the first one, with a scatter of their own
    scale = np.r_[0.25, np.full(n_abundances - 1, 0.08)]
    slope = np.r_[0.0, rng.normal(0.3, 0.2, n_abundances - 1)]
    births = rng.normal(size=(n_field + n_clusters, n_abundances)) * scale
    births += births[:, :1] * slope
    share = rng.dirichlet(np.full(n_clusters, 2.0))
    sizes = 2 + rng.multinomial(n_cluster_stars - 2 * n_clusters, share)
    y = np.repeat(
        np.r_[np.full(n_field, -1), np.arange(n_clusters)],
        np.r_[np.ones(n_field, int), sizes],
    )
    abundances = np.concatenate(
        [births[:n_field], np.repeat(births[n_field:], sizes, axis=0)]
    )
    member = y >= 0
    abundances[member] += intrinsic_scatter * rng.normal(
        size=(n_cluster_stars, n_abundances)
    )
    nuisances = rng.normal(size=(len(y), len(_NUISANCES)))
    flux = mean + abundances @ by_abundance + nuisances @ by_nuisance
    snrs = snr * 1.5 ** rng.normal(size=(len(y), 1))
    sigma = np.clip(flux, 0.1, None) / snrs
    X = flux + sigma * rng.normal(size=flux.shape)
    X[_holes(X.shape, missing, rng)] = np.nan
    side = np.column_stack([rng.exponential(0.15, len(y)), rng.normal(0, 40, len(y))])
    return Bunch(
        X=X.astype(np.float32),
        sigma=sigma.astype(np.float32),
        y=y,
        abundances=abundances,
        nuisances=nuisances,
        nuisance_names=list(_NUISANCES),
        side=side,
    )


def _responses(n_features, n_abundances, rng):
    """Return a mean spectrum and its changes by abundances and nuisances."""
    pixel = np.arange(n_features)
    n_lines = max(3 * n_abundances, n_features // 12)
    centre = rng.uniform(0, n_features, n_lines)
    depth = rng.uniform(0.05, 0.4, n_lines)
    element = np.arange(n_lines) % n_abundances
    width = 1.5
    offset = (pixel - centre[:, None]) / width
    profile = np.exp(-(offset**2) / 2)
    mean = 1 - depth @ profile
    by_abundance = np.stack(
        [-(0.8 * depth * (element == e)) @ profile for e in range(n_abundances)]
    )
    excitation = rng.normal(size=(2, n_lines))
    deeper = -(0.25 * depth * excitation) @ profile
    shift = -0.1 * depth @ (offset * profile)
    wider = -0.05 * depth @ ((offset**2 - 1) * profile)
    return mean, by_abundance, np.vstack([deeper, shift, wider])


def _holes(shape, missing, rng):
    """Return where pixels are missing: half of them alone, half of them in runs."""
    n, p = shape
    holes = rng.uniform(size=shape) < missing / 2
    length = max(1, p // 50)
    n_runs = rng.poisson(missing / 2 * p / length, n)
    for row, runs in enumerate(n_runs):
        for start in rng.randint(0, p - length + 1, runs):
            holes[row, start : start + length] = True
    return holes
