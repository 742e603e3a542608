"""What all models of gas share: named parameters with units, and named lines."""

import re

import numpy as np
from sklearn.base import RegressorMixin

from ..utils.arrays import is_table, plain, refuse_units
from ..utils.estimator import SkastroEstimator
from ..utils.suggestions import closest

#: Ends of the names of parameters that may be 0 beside those of partners.
_MAY_BE_ZERO = ("_dilution", "_optical_depth", "_beta")


def _zeros_allowed(names):
    """Tell which parameters may be 0: what the gas can be without.

    Densities may, if there is more than one.
    """
    plain_names = [re.sub(r"_\d+$", "", name) for name in names]  # without the phase
    n_densities = len({n for n in plain_names if n.split("_")[0] == "density"})
    allowed = []
    for name in plain_names:
        if name.split("_")[0] == "density":
            allowed.append(n_densities > 1)
        else:
            allowed.append(
                name in ("electron_fraction", "ortho_para_ratio")
                or name.endswith(_MAY_BE_ZERO)
            )
    return np.array(allowed, dtype=bool)


def check_gas(theta, names, units):
    """Return gas properties as a float array, columns in order, values sane.

    Parameters
    ----------
    theta : array-like of shape (n_models, n_parameters)
        Gas properties; a data frame or table is put into order by its names, and
        columns that carry units are converted.
    names : list of str
        Names of the columns. Those that begin with ``filling_factor`` must lie in
        [0, 1]; what a gas can be without, such as electrons beside hydrogen, may be 0;
        all others must be positive and finite.
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
    zero = _zeros_allowed(names)
    wrong = ~np.isfinite(theta) | (theta < 0.0) | ((theta == 0.0) & ~zero)
    factors = [i for i, name in enumerate(names) if name.startswith("filling_factor")]
    wrong[:, factors] = ~((theta[:, factors] >= 0.0) & (theta[:, factors] <= 1.0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        domain = "at least 0 and finite" if zero[column] else "positive and finite"
        domain = "in [0, 1]" if column in factors else domain
        raise ValueError(
            f"`theta` has {int(wrong.sum())} impossible values; {names[column]}"
            f" must be {domain}, got {theta[row, column]} in row {row}. Parameters"
            " are linear, not logarithms."
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
    for name, values, zero in zip(
        units, arrays, _zeros_allowed(list(units)), strict=True
    ):
        wrong = ~(np.isfinite(values) & ((values > 0) | (zero & (values == 0))))
        if wrong.any():
            raise ValueError(
                f"`{name}` must be {'at least 0' if zero else 'positive'} and finite,"
                f" got {values[wrong][0]} and {int(wrong.sum()) - 1} more; it is"
                " linear, not a logarithm."
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
            Line names, each one of the model's.

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
        own = self.output_names
        for name in lines:
            if name not in own:
                raise ValueError(
                    f"This model has no line {name!r}, only {own}."
                    + closest(str(name), own)
                )
        return np.array([[own.index(name)] for name in lines], dtype=float)

    def _check_theta(self, theta):
        """Return ``theta`` as a float array, its columns in order, its values sane."""
        return check_gas(theta, self.parameter_names, self.parameter_units)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.input_tags.positive_only = True
        return tags
