"""Named, bounded, unit-bearing parameters: the design of a grid and its prior."""

from collections.abc import Mapping

import numpy as np
from scipy import stats
from scipy.stats import qmc
from sklearn.utils import check_random_state

from ._base import SkastroEstimator
from ._names import closest
from ._units import refuse_units

__all__ = ["LogUniform", "Parameter", "ParameterSpace", "Uniform"]


class Parameter:
    """One parameter: a distribution, a unit, and how to show it.

    Parameters
    ----------
    distribution : frozen scipy.stats distribution
        Any continuous one, such as ``scipy.stats.norm(3.0, 0.5)``.
    unit : str, default=""
        Unit, as astropy spells it; empty for a dimensionless parameter.
    label : str, default=None
        How plots call it; LaTeX is fine. By default its name.
    log : bool, default=False
        Whether plots and tables should show its decimal logarithm.

    Attributes
    ----------
    bounds : tuple of float
        Support of the distribution; infinite where it has no bound.

    See Also
    --------
    Uniform, LogUniform : The two usual ones.
    """

    def __init__(self, distribution, unit="", *, label=None, log=False):
        wanted = ("ppf", "logpdf", "cdf", "dist", "args", "kwds")
        if not all(hasattr(distribution, name) for name in wanted):
            raise TypeError(
                "`distribution` must be a frozen continuous scipy.stats distribution,"
                f" such as scipy.stats.norm(0, 1), got {distribution!r}."
            )
        if not isinstance(unit, str):
            raise TypeError(f"`unit` must be a string, such as 'K', got {unit!r}.")
        self.distribution = distribution
        self.unit = unit
        self.label = label
        self.log = log

    @property
    def bounds(self):
        """Lower and upper end of the support."""
        lower, upper = self.distribution.support()
        return float(lower), float(upper)

    def _describe(self):
        distribution = self.distribution
        arguments = [f"{value:g}" for value in distribution.args] + [
            f"{name}={value:g}" for name, value in distribution.kwds.items()
        ]
        return f"{distribution.dist.name}({', '.join(arguments)})"

    def __repr__(self):
        unit = f", unit={self.unit!r}" if self.unit else ""
        return f"{type(self).__name__}({self._describe()}{unit})"

    def _identity(self):
        """Return everything that makes two parameters the same, exactly."""
        distribution = self.distribution
        values = (*distribution.args, *sorted(distribution.kwds.items()))
        own = (distribution.dist.name, repr(values), self.bounds)
        return (type(self).__name__, *own, self.unit, self.label, self.log)

    def __eq__(self, other):
        return isinstance(other, Parameter) and self._identity() == other._identity()

    def __hash__(self):
        return hash(self._identity())


class _Bounded(Parameter):
    """A parameter between two bounds."""

    def __init__(self, lower, upper, distribution, unit, label, log):
        self.lower, self.upper = float(lower), float(upper)
        super().__init__(distribution, unit, label=label, log=log)

    @property
    def bounds(self):
        """Lower and upper bound."""
        return self.lower, self.upper

    @staticmethod
    def _check(lower, upper, name):
        refuse_units(lower, "lower")
        refuse_units(upper, "upper")
        if not (np.isfinite(lower) and np.isfinite(upper) and lower < upper):
            raise ValueError(
                f"{name} needs finite bounds with lower < upper, got lower={lower!r}"
                f" and upper={upper!r}."
            )

    def _describe(self):
        return f"{self.lower:g}, {self.upper:g}"


class Uniform(_Bounded):
    """A parameter uniform between two bounds.

    Parameters
    ----------
    lower, upper : float
        The bounds.
    unit : str, default=""
        Unit, as astropy spells it.
    label : str, default=None
        How plots call it.

    Examples
    --------
    >>> from skastro.parameter_space import Uniform
    >>> Uniform(10, 200, "K")
    Uniform(10, 200, unit='K')
    """

    def __init__(self, lower, upper, unit="", *, label=None):
        self._check(lower, upper, "Uniform")
        distribution = stats.uniform(lower, upper - lower)
        super().__init__(lower, upper, distribution, unit, label, log=False)


class LogUniform(_Bounded):
    """A parameter whose logarithm is uniform between two positive bounds.

    Parameters
    ----------
    lower, upper : float
        The bounds, of the parameter and not of its logarithm.
    unit : str, default=""
        Unit, as astropy spells it.
    label : str, default=None
        How plots call it.

    Examples
    --------
    >>> from skastro.parameter_space import LogUniform
    >>> LogUniform(1e4, 1e6, "cm-3").bounds
    (10000.0, 1000000.0)
    """

    def __init__(self, lower, upper, unit="", *, label=None):
        self._check(lower, upper, "LogUniform")
        if lower <= 0:
            raise ValueError(
                f"LogUniform needs positive bounds, got lower={lower!r}; the bounds are"
                " those of the parameter, not of its logarithm."
            )
        distribution = stats.loguniform(lower, upper)
        super().__init__(lower, upper, distribution, unit, label, log=True)


class ParameterSpace(SkastroEstimator):
    """Named parameters, each with bounds, a unit and a distribution.

    One object designs the training set of an emulator and is the prior of a
    retrieval, so that the two cannot disagree. Parameters are independent.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        Name to :class:`Uniform`, :class:`LogUniform`, :class:`Parameter`, or a bare
        frozen scipy.stats distribution. The order is that of the columns.

    Attributes
    ----------
    names : list of str
        The parameters' names.
    units : list of str
        Their units.
    bounds : ndarray of shape (n_parameters, 2)
        Their bounds.

    Examples
    --------
    >>> from skastro.parameter_space import LogUniform, ParameterSpace, Uniform
    >>> space = ParameterSpace({
    ...     "temperature": Uniform(10, 200, "K"),
    ...     "density": LogUniform(1e4, 1e6, "cm-3"),
    ... })
    >>> space
    ParameterSpace with 2 parameters
      name         lower  upper  unit  distribution
      temperature  10     200    K     Uniform
      density      10000  1e+06  cm-3  LogUniform
    >>> space.sample_latin_hypercube(1000, random_state=0).shape
    (1000, 2)
    """

    def __init__(self, parameters):
        self.parameters = parameters

    # -- looking at it

    @property
    def _items(self):
        if not isinstance(self.parameters, Mapping) or not self.parameters:
            raise TypeError(
                "`parameters` must be a non-empty mapping from name to Uniform,"
                " LogUniform, Parameter or a frozen scipy.stats distribution, got"
                f" {self.parameters!r}."
            )
        return {
            str(name): value if isinstance(value, Parameter) else Parameter(value)
            for name, value in self.parameters.items()
        }

    @property
    def names(self):
        """Names of the parameters, in the order of the columns."""
        return list(self._items)

    @property
    def units(self):
        """Units of the parameters; empty where dimensionless."""
        return [parameter.unit for parameter in self._items.values()]

    @property
    def labels(self):
        """Labels of the parameters for plots."""
        return [
            name if parameter.label is None else parameter.label
            for name, parameter in self._items.items()
        ]

    @property
    def log(self):
        """Whether each parameter is best shown as its decimal logarithm."""
        return np.array([parameter.log for parameter in self._items.values()])

    @property
    def bounds(self):
        """Bounds of the parameters, of shape (n_parameters, 2)."""
        return np.array([parameter.bounds for parameter in self._items.values()])

    def __len__(self):
        return len(self._items)

    def __getitem__(self, name):
        items = self._items
        if name not in items:
            raise KeyError(
                f"No parameter {name!r}, only {list(items)}." + closest(name, items)
            )
        return items[name]

    def __eq__(self, other):
        return isinstance(other, ParameterSpace) and list(self._items.items()) == list(
            other._items.items()
        )

    __hash__ = None

    def __repr__(self, N_CHAR_MAX=700):
        rows = [("name", "lower", "upper", "unit", "distribution")]
        for name, parameter in self._items.items():
            lower, upper = parameter.bounds
            kind = type(parameter).__name__
            if kind == "Parameter":
                kind = parameter._describe()
            rows.append((name, f"{lower:g}", f"{upper:g}", parameter.unit, kind))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = [
            "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            for row in rows
        ]
        head = f"ParameterSpace with {len(self)} parameters"
        return "\n".join([head, *(line.rstrip() for line in lines)])

    # -- using it

    def _check(self, values, name):
        values = np.asarray(values, dtype=float)
        if values.shape[-1:] != (len(self),):
            raise ValueError(
                f"`{name}` must have {len(self)} columns, {self.names}; got an array of"
                f" shape {values.shape}."
            )
        return values

    def transform(self, u):
        """Map points of the unit cube to parameters.

        Parameters
        ----------
        u : array-like of shape (..., n_parameters)
            Quantiles, in [0, 1].

        Returns
        -------
        theta : ndarray of shape (..., n_parameters)
            Parameters, in their units.

        Raises
        ------
        ValueError
            If a value lies outside [0, 1], or the number of columns is wrong.
        """
        u = self._check(u, "u")
        if not ((u >= 0) & (u <= 1)).all():
            raise ValueError("`u` must lie in the unit cube, [0, 1].")
        theta = np.empty_like(u)
        for i, parameter in enumerate(self._items.values()):
            theta[..., i] = _quantile(parameter, u[..., i])
        return theta

    def inverse_transform(self, theta):
        """Map parameters to points of the unit cube.

        Parameters
        ----------
        theta : array-like of shape (..., n_parameters)
            Parameters, in their units.

        Returns
        -------
        u : ndarray of shape (..., n_parameters)
            Quantiles; 0 or 1 beyond the bounds.
        """
        theta = self._check(theta, "theta")
        u = np.empty_like(theta)
        for i, parameter in enumerate(self._items.values()):
            u[..., i] = parameter.distribution.cdf(theta[..., i])
        return u

    def log_prob(self, theta):
        """Logarithm of the probability density.

        Parameters
        ----------
        theta : array-like of shape (..., n_parameters)
            Parameters, in their units.

        Returns
        -------
        log_prob : ndarray of shape (...)
            Natural logarithm of the density; minus infinity outside the bounds.
        """
        theta = self._check(theta, "theta")
        return sum(
            parameter.distribution.logpdf(theta[..., i])
            for i, parameter in enumerate(self._items.values())
        )

    def contains(self, theta):
        """Whether points lie within the bounds.

        Parameters
        ----------
        theta : array-like of shape (..., n_parameters)
            Parameters, in their units.

        Returns
        -------
        inside : ndarray of shape (...), dtype bool
            False also where a parameter is NaN.
        """
        theta = self._check(theta, "theta")
        lower, upper = self.bounds.T
        return ((theta >= lower) & (theta <= upper)).all(axis=-1)

    def sample_latin_hypercube(self, n_samples, random_state=None):
        """Draw a Latin hypercube: every parameter evenly covered.

        Parameters
        ----------
        n_samples : int
            Number of points.
        random_state : int, RandomState instance or None, default=None
            Seed.

        Returns
        -------
        design : ndarray of shape (n_samples, n_parameters)
            Each column has one point in each of ``n_samples`` intervals of equal
            probability.

        References
        ----------
        McKay, Beckman & Conover (1979), Technometrics 21, 239.
        """
        seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
        generator = np.random.default_rng(seed)
        try:
            sampler = qmc.LatinHypercube(len(self), rng=generator)
        except TypeError:  # scipy < 1.15
            sampler = qmc.LatinHypercube(len(self), seed=generator)
        return self.transform(sampler.random(n_samples))

    def sample(self, n_samples, random_state=None):
        """Draw independent points.

        Parameters
        ----------
        n_samples : int
            Number of points.
        random_state : int, RandomState instance or None, default=None
            Seed.

        Returns
        -------
        theta : ndarray of shape (n_samples, n_parameters)
        """
        return self.transform(
            check_random_state(random_state).uniform(size=(n_samples, len(self)))
        )

    def select(self, names):
        """Return the space of some of the parameters, in the given order.

        Parameters
        ----------
        names : sequence of str
            Which.

        Returns
        -------
        space : ParameterSpace

        Raises
        ------
        KeyError
            If there is no such parameter; the message names the closest.
        """
        return ParameterSpace({name: self[name] for name in names})


def _quantile(parameter, u):
    """Inverse distribution function, by hand for the two in every inner loop."""
    if isinstance(parameter, Uniform):
        return parameter.lower + (parameter.upper - parameter.lower) * u
    if isinstance(parameter, LogUniform):
        # exact at both ends
        return parameter.lower ** (1.0 - u) * parameter.upper**u
    return parameter.distribution.ppf(u)
