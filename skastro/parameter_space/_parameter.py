"""One parameter: a distribution with a unit."""

import copy

import numpy as np
from scipy import stats

from ..utils.arrays import plain, unit_of


class Parameter:
    """One parameter: a distribution, a unit, and how to show it.

    Parameters
    ----------
    distribution : frozen scipy.stats distribution
        Any continuous one, such as ``scipy.stats.norm(3.0, 0.5)``.
    unit : str or astropy Unit, default=""
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
        for value in (*distribution.args, *distribution.kwds.values()):
            if unit_of(value) is not None:
                raise TypeError(
                    f"`distribution` holds {value}, and scipy.stats knows no units:"
                    " give it bare numbers, and their unit as `unit`."
                )
        self.distribution = distribution
        self.unit = _spelled(unit)
        self.label = label
        self.log = log

    def relabel(self, label):
        """Return the same parameter under another label.

        Parameters
        ----------
        label : str or None
            How plots call it; by default its name.

        Returns
        -------
        parameter : Parameter
        """
        other = copy.copy(self)
        other.label = label
        return other

    @property
    def bounds(self):
        """Lower and upper end of the support."""
        lower, upper = self.distribution.support()
        return float(lower), float(upper)

    def quantile(self, u):
        """Invert the distribution function.

        Parameters
        ----------
        u : array-like
            Probabilities, in [0, 1].

        Returns
        -------
        values : ndarray of the shape of u
            In the parameter's unit.
        """
        return self.distribution.ppf(u)

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


def _spelled(unit):
    """Return a unit as a string: as it was given, or as astropy spells it."""
    if isinstance(unit, str):
        return unit
    if not hasattr(unit, "to_string"):
        raise TypeError(
            f"`unit` must be a string, such as 'K', or an astropy unit, got {unit!r}."
        )
    text = unit.to_string()
    # "cm-3", not "1 / cm3", as models spell it
    return unit.to_string(fraction=False) if text.startswith("1 / ") else text


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
    def _check(lower, upper, unit, name):
        """Return bounds as numbers, and the unit that they are in."""
        carried = unit_of(lower), unit_of(upper)
        if carried != (None, None):
            stated = _spelled(unit)
            unit = stated or _spelled(carried[1] if carried[0] is None else carried[0])
            for which, value, own in zip(
                ("lower", "upper"), (lower, upper), carried, strict=True
            ):
                # 0 is 0 in every unit
                if own is None and value != 0 and unit and not stated:
                    raise TypeError(
                        f"{name} got {which}={value!r} without a unit, and the other"
                        f" bound in {unit}: give both a unit, or name that of bare"
                        " numbers by unit=."
                    )
            lower = plain(lower, "lower", unit=unit)
            upper = plain(upper, "upper", unit=unit)
        if np.ndim(lower) or np.ndim(upper):
            raise TypeError(
                f"{name} needs one number for each bound, got lower={lower!r} and"
                f" upper={upper!r}."
            )
        if not (np.isfinite(lower) and np.isfinite(upper) and lower < upper):
            raise ValueError(
                f"{name} needs finite bounds with lower < upper, got lower={lower!r}"
                f" and upper={upper!r}."
            )
        return float(lower), float(upper), unit

    def _describe(self):
        return f"{self.lower:g}, {self.upper:g}"


class Uniform(_Bounded):
    """A parameter uniform between two bounds.

    Parameters
    ----------
    lower, upper : float or Quantity
        The bounds. Quantities are converted to `unit`.
    unit : str or astropy Unit, default=""
        Unit, as astropy spells it; by default that of the bounds.
    label : str, default=None
        How plots call it.

    Examples
    --------
    >>> from skastro.parameter_space import Uniform
    >>> Uniform(10, 200, "K")
    Uniform(10, 200, unit='K')
    >>> from astropy import units as u
    >>> Uniform(10 * u.K, 0.2 * u.kK)
    Uniform(10, 200, unit='K')
    """

    def __init__(self, lower, upper, unit="", *, label=None):
        lower, upper, unit = self._check(lower, upper, unit, "Uniform")
        distribution = stats.uniform(lower, upper - lower)
        super().__init__(lower, upper, distribution, unit, label, log=False)

    def quantile(self, u):  # noqa: D102 -- as of every parameter, by hand
        return self.lower + (self.upper - self.lower) * np.asarray(u)


class LogUniform(_Bounded):
    """A parameter whose logarithm is uniform between two positive bounds.

    Parameters
    ----------
    lower, upper : float or Quantity
        The bounds, of the parameter and not of its logarithm. Quantities are converted
        to `unit`.
    unit : str or astropy Unit, default=""
        Unit, as astropy spells it; by default that of the bounds.
    label : str, default=None
        How plots call it.

    Examples
    --------
    >>> from skastro.parameter_space import LogUniform
    >>> LogUniform(1e4, 1e6, "cm-3").bounds
    (10000.0, 1000000.0)
    """

    def __init__(self, lower, upper, unit="", *, label=None):
        lower, upper, unit = self._check(lower, upper, unit, "LogUniform")
        if lower <= 0:
            raise ValueError(
                f"LogUniform needs positive bounds, got lower={lower!r}; the bounds are"
                " those of the parameter, not of its logarithm."
            )
        distribution = stats.loguniform(lower, upper)
        super().__init__(lower, upper, distribution, unit, label, log=True)

    def quantile(self, u):  # noqa: D102 -- exact at both ends
        u = np.asarray(u)
        return self.lower ** (1.0 - u) * self.upper**u
