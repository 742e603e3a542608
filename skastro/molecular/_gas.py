"""What all models of gas share: named parameters with units, and named lines."""

import re
from typing import NamedTuple

import numpy as np
from sklearn.base import RegressorMixin

from ..utils.arrays import is_table, plain, refuse_units
from ..utils.estimator import SkastroEstimator
from ..utils.suggestions import closest
from ._line_lookup import find_among, molecules_of

#: Electrons per molecule of hydrogen if all of it and of its helium, 0.1 per nucleus,
#: were ionised.
_MOST_ELECTRONS = 2.4


class _Domain(NamedTuple):
    """The values that a parameter can have, from 0 on."""

    zero: bool = False
    highest: float = np.inf
    #: what would do for higher ones
    remedy: str = ""

    def wrong(self, values):
        """Tell which values it cannot have."""
        lowest = values >= 0 if self.zero else values > 0
        return ~(np.isfinite(values) & lowest & (values <= self.highest))

    def __str__(self):
        if np.isinf(self.highest):
            return f"{'at least 0' if self.zero else 'positive'} and finite"
        return f"in {'[' if self.zero else '('}0, {self.highest:g}]"


#: Domains by the ends of names.
_DOMAINS = {
    "filling_factor": _Domain(zero=True, highest=1.0),
    "_dilution": _Domain(
        zero=True,
        highest=1.0,
        remedy=(
            " It is the part of the sky that a source fills; a brighter one is hotter,"
            " or has a table of higher intensities."
        ),
    ),
    "electron_fraction": _Domain(
        zero=True,
        highest=_MOST_ELECTRONS,
        remedy=(
            " It is per H2 and H; with fully ionised hydrogen and helium it is"
            f" {_MOST_ELECTRONS}. In ionised gas their density is the parameter to"
            ' take: electrons="density".'
        ),
    ),
    "ortho_para_ratio": _Domain(zero=True),
    "_optical_depth": _Domain(zero=True),
    "_beta": _Domain(zero=True),
}


def _domains(names):
    """Return the domains of parameters; what the gas can be without may be 0.

    So may densities, if there is more than one.
    """
    plain_names = [re.sub(r"_\d+$", "", name) for name in names]  # without the phase
    densities = {n for n in plain_names if n.split("_")[0] == "density"}
    of_density = _Domain(zero=len(densities) > 1)
    domains = []
    for name in plain_names:
        found = [domain for end, domain in _DOMAINS.items() if name.endswith(end)]
        domain = of_density if name in densities else _Domain()
        domains.append(found[0] if found else domain)
    return domains


def check_gas(theta, names, units):
    """Return gas properties as a float array, columns in order, values sane.

    Parameters
    ----------
    theta : array-like of shape (n_models, n_parameters)
        Gas properties; a data frame or table is put into order by its names, and
        columns that carry units are converted.
    names : list of str
        Names of the columns. Filling factors and dilutions must lie in [0, 1],
        electron fractions in [0, 2.4]; what a gas can be without, such as electrons
        beside hydrogen, may be 0; all others must be positive and finite.
    units : list of str
        Their units.

    Returns
    -------
    theta : ndarray of shape (n_models, n_parameters)

    Raises
    ------
    ValueError
        If a column is missing, or a value is not physical.
    TypeError
        If values carry units that do not convert, or an array carries one.
    """
    if is_table(theta) or hasattr(theta, "columns"):  # of astropy, pandas, polars
        known = list(theta.colnames if is_table(theta) else theta.columns)
        missing = [name for name in names if name not in known]
        if missing:
            raise ValueError(
                f"`theta` lacks the columns {missing}; it has {known}, and the model"
                f" takes {names}."
            )
        theta = [
            plain(theta[name], name, unit=unit, allow_nan=False, owner="A model of gas")
            for name, unit in zip(names, units, strict=True)
        ]
        theta = np.column_stack([np.asarray(column, dtype=float) for column in theta])
    if getattr(theta, "unit", None) is not None:
        raise TypeError(
            "`theta` must be a bare array, or a table: its columns have different"
            f" units, {dict(zip(names, units, strict=True))}."
        )
    theta = plain(theta, "theta", allow_nan=False, owner="A model of gas")
    theta = np.asarray(theta, dtype=float)
    if theta.ndim != 2 or theta.shape[1] != len(names):
        raise ValueError(
            f"`theta` must have shape (n_models, {len(names)}), got {theta.shape};"
            f" its columns are {names}."
        )
    domains = _domains(names)
    wrong = [domain.wrong(theta[:, i]) for i, domain in enumerate(domains)]
    wrong = np.stack(wrong, axis=1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        domain = domains[column]
        raise ValueError(
            f"`theta` has {int(wrong.sum())} impossible values; {names[column]}"
            f" must be {domain}, got {theta[row, column]} in row {row}. Parameters"
            f" are linear, not logarithms.{domain.remedy}"
        )
    return theta


def check_values(given, units):
    """Return gas properties given one by one as float arrays of one length.

    Parameters
    ----------
    given : dict of str to array-like
        Values by name.
    units : dict of str to str
        All names that there must be, and their units.

    Returns
    -------
    values : dict of str to ndarray of shape (n_models,)

    Raises
    ------
    ValueError
        If a name is missing or not known, or a value is not physical.
    TypeError
        If values carry units.
    """
    missing = [name for name in units if given.get(name) is None]
    extra = [name for name in given if name not in units]
    if missing or extra:
        words = [f"lacks {missing}"] * bool(missing) + [f"has {extra}"] * bool(extra)
        raise ValueError(
            f"The gas {' and '.join(words)}; this model takes {list(units)}."
        )
    for name, unit in units.items():
        refuse_units(given[name], name, unit)
    arrays = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(given[name], dtype=float)) for name in units)
    )
    for name, values, domain in zip(units, arrays, _domains(list(units)), strict=True):
        wrong = domain.wrong(values)
        if wrong.any():
            raise ValueError(
                f"`{name}` must be {domain}, got {values[wrong][0]} and"
                f" {int(wrong.sum()) - 1} more; it is linear, not a logarithm."
                f"{domain.remedy}"
            )
    return dict(zip(units, arrays, strict=True))


class GasModel(RegressorMixin, SkastroEstimator):
    """Base of the models that turn gas properties into line intensities.

    A subclass has ``parameter_names``, ``parameter_units`` and ``output_names``, the
    names of its lines.
    """

    #: Unit of the prediction.
    output_unit = "K km / s"

    def encode_lines(self, lines):
        """Return the rows of ``X`` that stand for observed lines in a retrieval.

        Parameters
        ----------
        lines : sequence of str
            Line names, each one of the model's, in any spelling that
            :func:`find_lines` takes.

        Returns
        -------
        X : ndarray of shape (n_lines, 1)
            The position of each line among the model's outputs.

        Raises
        ------
        ValueError
            If the model does not have one of the lines.
        """
        if isinstance(lines, str):
            raise TypeError(f"`lines` must be a sequence of line names, got {lines!r}.")
        own, molecules = self.output_names, molecules_of(self)
        positions = [find_among(name, own, molecules) for name in lines]
        for name, position in zip(lines, positions, strict=True):
            if position is None:
                raise ValueError(
                    f"This model has no line {name!r}, only {own}."
                    + closest(str(name), own)
                )
        return np.array(positions, dtype=float).reshape(-1, 1)

    def _check_theta(self, theta):
        """Return ``theta`` as a float array, its columns in order, its values sane."""
        return check_gas(theta, self.parameter_names, self.parameter_units)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.input_tags.positive_only = True
        return tags
