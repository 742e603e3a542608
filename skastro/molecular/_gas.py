"""What all models of gas share: named parameters with units, and named lines."""

import numpy as np
from sklearn.base import RegressorMixin

from ..utils.arrays import is_table, plain
from ..utils.estimator import SkastroEstimator
from ..utils.suggestions import closest


def check_gas(theta, names, units):
    """Return gas properties as a float array, columns in order, values sane.

    Parameters
    ----------
    theta : array-like of shape (n_models, n_parameters)
        Gas properties; a data frame or table is put into order by its names, and
        columns that carry units are converted.
    names : list of str
        Names of the columns. Those that begin with ``filling_factor`` must lie in
        [0, 1], all others be positive and finite.
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
    wrong = ~np.isfinite(theta) | (theta <= 0.0)
    factors = [i for i, name in enumerate(names) if name.startswith("filling_factor")]
    wrong[:, factors] = ~((theta[:, factors] >= 0.0) & (theta[:, factors] <= 1.0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        domain = "in [0, 1]" if column in factors else "positive and finite"
        raise ValueError(
            f"`theta` has {int(wrong.sum())} impossible values; {names[column]}"
            f" must be {domain}, got {theta[row, column]} in row {row}. Parameters"
            " are linear, not logarithms."
        )
    return theta


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
