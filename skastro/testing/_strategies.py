"""Hypothesis strategies for the objects that skastro works with."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from ..parameter_space import LogUniform, Parameter, ParameterSpace, Uniform


@st.composite
def parameters(draw):
    """Strategy for one :class:`~skastro.parameter_space.Parameter`."""
    kind = draw(st.sampled_from(["uniform", "loguniform", "normal"]))
    if kind == "normal":
        mean = draw(st.floats(-100, 100))
        return Parameter(stats.norm(mean, draw(st.floats(0.1, 10))), "K")
    if kind == "uniform":
        lower = draw(st.floats(-1e3, 1e3))
        return Uniform(lower, lower + draw(st.floats(1e-2, 1e3)), "K")
    lower = 10 ** draw(st.floats(-20, 15))
    return LogUniform(lower, lower * 10 ** draw(st.floats(0.1, 10)), "cm-3")


@st.composite
def parameter_spaces(draw, max_parameters=5):
    """Strategy for a :class:`~skastro.parameter_space.ParameterSpace`."""
    chosen = draw(st.lists(parameters(), min_size=1, max_size=max_parameters))
    return ParameterSpace({f"p{i}": parameter for i, parameter in enumerate(chosen)})


@st.composite
def gas(draw, n_models=8, temperatures=(10.0, 200.0)):
    """Strategy for gas properties: temperature, density, column per line width.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    n_models : int, default=8
        Number of models.
    temperatures : tuple of float, default=(10.0, 200.0)
        Range of the kinetic temperature [K].

    Returns
    -------
    gas : tuple of ndarray of shape (n_models,)
        Kinetic temperature [K], density [cm^-3], column density [cm^-2 / (km/s)].
    """
    unit = hnp.arrays(np.float64, (3, n_models), elements=st.floats(0, 1))
    u = draw(unit)
    lower, upper = temperatures
    return lower + (upper - lower) * u[0], 10 ** (2 + 7 * u[1]), 10 ** (8 + 11 * u[2])


@st.composite
def incomplete_data(draw, n_samples=60, n_features=10, n_components=2):
    """Strategy for noisy data of low rank with missing entries.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    n_samples : int, default=60
        Number of rows.
    n_features : int, default=10
        Number of columns.
    n_components : int, default=2
        Rank without noise.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        NaN where missing; no column is empty.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    axes = rng.normal(size=(n_components, n_features))
    X = rng.normal(size=(n_samples, n_components)) @ axes + rng.normal(size=n_features)
    X += draw(st.floats(0.05, 0.5)) * rng.normal(size=X.shape)
    missing = rng.random(X.shape) < draw(st.floats(0.0, 0.4))
    missing[0] = False
    X[missing] = np.nan
    return X


@st.composite
def open_clusters(draw, n_field=200, n_clusters=12, n_features=3):
    """Strategy for stars of the field and of clusters that are compact in some axes.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    n_field : int, default=200
        Number of field stars.
    n_clusters : int, default=12
        Number of clusters, of two to six stars.
    n_features : int, default=3
        Number of columns.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Representations.
    y : ndarray of int of shape (n_samples,)
        Cluster of each star, or -1.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = rng.integers(2, 7, n_clusters)
    y = np.concatenate([np.full(n_field, -1), np.repeat(np.arange(n_clusters), sizes)])
    scatter = np.geomspace(draw(st.floats(0.05, 0.3)), 0.9, n_features)
    births = rng.normal(size=(n_clusters, n_features)) * np.sqrt(1 - scatter**2)
    X = rng.normal(size=(len(y), n_features))
    X[n_field:] = births[y[n_field:]] + scatter * X[n_field:]
    mix = rng.normal(size=(n_features, n_features)) + 3 * np.eye(n_features)
    return X @ mix.T, y


@st.composite
def line_maps(draw, map_shape=(8, 8), n_lines=6, n_components=2):
    """Strategy for maps of lines that a few gas components emit.

    Parameters
    ----------
    draw : callable
        Supplied by hypothesis.
    map_shape : tuple of int, default=(8, 8)
        Rows and columns.
    n_lines : int, default=6
        Number of lines.
    n_components : int, default=2
        Number of gas components.

    Returns
    -------
    X : ndarray of shape (n_pixels, n_lines)
        Intensities with noise, some of them negative, in units that differ by line.
    components : ndarray of shape (n_components, n_lines)
        Profiles.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grid = np.stack(np.meshgrid(*(np.linspace(0, 1, n) for n in map_shape)), axis=-1)
    centres = rng.uniform(0, 1, size=(n_components, 2))
    widths = rng.uniform(0.1, 0.5, size=n_components)
    square = np.square(grid.reshape(-1, 1, 2) - centres).sum(axis=2)
    maps = np.exp(-0.5 * square / widths**2)
    components = rng.gamma(0.5, size=(n_components, n_lines)) + 1e-3
    components *= 10 ** rng.uniform(-2, 2, size=n_lines)
    X = maps @ components
    noise = draw(st.floats(1e-3, 0.3)) * X.mean(axis=0)
    return X + noise * rng.normal(size=X.shape), components
