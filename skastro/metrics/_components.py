"""How well the components of line maps are found."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..utils.arrays import as_matrix


def match_components(components_true, components_pred):
    """Pair emission profiles with those most like them.

    Profiles are scaled to unit mean, and paired so that the sum of the mean absolute
    differences is smallest (optimal assignment).

    Parameters
    ----------
    components_true : array-like of shape (n_components, n_lines)
        Profiles to compare with.
    components_pred : array-like of shape (n_components_pred, n_lines)
        Profiles in any order and scale; at least as many.

    Returns
    -------
    order : ndarray of int of shape (n_components,)
        ``components_pred[order]`` stand in the order of `components_true`.

    Raises
    ------
    ValueError
        If profiles are negative, true ones are zero, the numbers of lines differ, or
        there are fewer predicted than true components.

    Examples
    --------
    >>> from skastro.metrics import match_components
    >>> match_components([[1, 2, 3], [3, 2, 1]], [[30, 20, 10], [2, 4, 6]])
    array([1, 0])
    """
    true, pred = _unit_means(components_true, components_pred)
    return _assign(true, pred)


def component_mae(components_true, components_pred, *, per_component=False):
    """Mean absolute error of emission profiles, whatever their order and scale.

    Parameters
    ----------
    components_true : array-like of shape (n_components, n_lines)
        True profiles.
    components_pred : array-like of shape (n_components_pred, n_lines)
        Profiles that were found; at least as many. Those without a partner are left
        out.
    per_component : bool, default=False
        Whether to return an error for each true component.

    Returns
    -------
    error : float or ndarray of shape (n_components,)
        In units of the mean of a profile over its lines.

    Raises
    ------
    ValueError
        As :func:`match_components`.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 3.5.

    Examples
    --------
    >>> from skastro.metrics import component_mae
    >>> component_mae([[1, 2, 3], [3, 2, 1]], [[30, 20, 10], [2, 4, 6]])
    0.0
    """
    true, pred = _unit_means(components_true, components_pred)
    errors = np.abs(true - pred[_assign(true, pred)]).mean(axis=1)
    return errors if per_component else float(errors.mean())


def _assign(true, pred):
    distance = np.abs(true[:, None] - pred[None]).mean(axis=2)
    return linear_sum_assignment(distance)[1]


def _unit_means(*profiles):
    names = "components_true", "components_pred"
    scaled = []
    for name, values in zip(names, profiles, strict=True):
        values = as_matrix(values, name, allow_nan=False, dtype=np.float64)
        mean = values.mean(axis=1, keepdims=True)
        if np.any(values < 0) or (name == names[0] and not np.all(mean > 0)):
            raise ValueError(
                f"`{name}` must be profiles without negative values"
                + (", each with some emission." if name == names[0] else ".")
            )
        # a component that penalties made vanish is as wrong as can be, by 1
        scaled.append(values / np.where(mean > 0, mean, 1))
    true, pred = scaled
    if true.shape[1] != pred.shape[1] or len(pred) < len(true):
        raise ValueError(
            "`components_pred` must have as many lines and at least as many components"
            f" as `components_true`, got shapes {pred.shape} and {true.shape}."
        )
    return true, pred
