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
