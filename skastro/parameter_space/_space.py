"""Named, bounded, unit-bearing parameters: the design of a grid and its prior."""

from collections.abc import Mapping
from math import lgamma

import numpy as np
from scipy.stats import qmc
from sklearn.utils import check_random_state

from ..utils.estimator import SkastroEstimator
from ..utils.suggestions import closest
from ._parameter import Parameter


class ParameterSpace(SkastroEstimator):
    """Named parameters, each with bounds, a unit and a distribution.

    One object designs the training set of an emulator and is the prior of a
    retrieval, so that the two cannot disagree. Parameters are independent, but for
    those of equal distribution that are put in order.

    Parameters
    ----------
    parameters : mapping of str to Parameter
        Name to :class:`Uniform`, :class:`LogUniform`, :class:`Parameter`, or a bare
        frozen scipy.stats distribution. The order is that of the columns.
    ordered : sequence of tuple of str, default=None
        Groups of parameters of one distribution that must not descend, such as
        ``[("density_1", "density_2")]``: the labels of exchangeable things.

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

    def __init__(self, parameters, *, ordered=None):
        self.parameters = parameters
        self.ordered = ordered

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
    def _groups(self):
        """Columns of the groups that are put in order."""
        items, groups, seen = self._items, [], set()
        for group in self.ordered or ():
            names = [group] if isinstance(group, str) else list(group)
            for name in names:
                if name not in items:
                    raise ValueError(
                        f"`ordered` has {name!r}, which is no parameter; there are"
                        f" {list(items)}." + closest(str(name), items)
                    )
            if len(names) < 2 or len(set(names)) < len(names) or seen & set(names):
                raise ValueError(
                    "`ordered` must hold groups of two or more parameters, each named"
                    f" once, got {self.ordered!r}."
                )
            first = items[names[0]].relabel(None)
            if any(items[name].relabel(None) != first for name in names[1:]):
                raise ValueError(
                    f"`ordered` puts {names} in order, but their distributions differ:"
                    f" {[items[name] for name in names]}."
                )
            seen |= set(names)
            groups.append([list(items).index(name) for name in names])
        return groups

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

    def __iter__(self):
        return iter(self._items)

    def __getitem__(self, name):
        items = self._items
        if name not in items:
            raise KeyError(
                f"No parameter {name!r}, only {list(items)}."
                + closest(str(name), items)
            )
        return items[name]

    def __eq__(self, other):
        return (
            isinstance(other, ParameterSpace)
            and list(self._items.items()) == list(other._items.items())
            and self._groups == other._groups
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
        orders = ["  " + " <= ".join(group) for group in self.ordered or ()]
        return "\n".join([head, *(line.rstrip() for line in lines), *orders])

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
        for group in self._groups:
            u = u.copy()
            u[..., group] = _in_order(u[..., group])
        theta = np.empty_like(u)
        for i, parameter in enumerate(self._items.values()):
            theta[..., i] = parameter.quantile(u[..., i])
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
        for group in self._groups:
            u[..., group] = _out_of_order(u[..., group])
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
        log_prob = sum(
            parameter.distribution.logpdf(theta[..., i])
            for i, parameter in enumerate(self._items.values())
        )
        for group in self._groups:
            inside = _ascends(theta[..., group])
            log_prob = np.where(inside, log_prob + lgamma(len(group) + 1), -np.inf)
        return log_prob

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
        inside = ((theta >= lower) & (theta <= upper)).all(axis=-1)
        for group in self._groups:
            inside = inside & _ascends(theta[..., group])
        return inside

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
        ValueError
            If ``names`` has only part of a group that is in order.
        """
        names, kept = list(names), []
        for group in self.ordered or ():
            if set(group) <= set(names):
                kept.append(group)
            elif set(group) & set(names):
                raise ValueError(
                    f"`names` must have all or none of {tuple(group)}, which are in"
                    f" order; got {names}."
                )
        return ParameterSpace(
            {name: self[name] for name in names}, ordered=kept or None
        )


def _ascends(theta):
    """Whether the last axis does not descend."""
    return (np.diff(theta, axis=-1) >= 0).all(axis=-1)


def _in_order(u):
    """Map the unit cube one-to-one onto order statistics of uniform numbers.

    The highest of k is distributed as the k-th root of a uniform number, and those
    below it as uniform numbers below it (Handley, Hobson & Lasenby 2015, MNRAS 453,
    4384, appendix A2).
    """
    v = np.empty_like(u)
    top = np.ones(u.shape[:-1])
    for i in reversed(range(u.shape[-1])):
        top = top * u[..., i] ** (1.0 / (i + 1))
        v[..., i] = top
    return v


def _out_of_order(v):
    """Invert :func:`_in_order`; what descends is brought up to what is below it."""
    v = np.maximum.accumulate(v, axis=-1)
    above = np.concatenate([v[..., 1:], np.ones_like(v[..., :1])], axis=-1)
    ratio = np.divide(v, above, out=np.ones_like(v), where=above > 0)
    return ratio ** np.arange(1, v.shape[-1] + 1)
