"""What is observed: the lines of one object or of several, checked."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array, check_consistent_length

from ..utils.sklearn_names import _check_sample_weight, validate_data


@dataclass(frozen=True)
class Observations:
    """Lines of one object or of several.

    Parameters
    ----------
    X : ndarray of shape (n_lines, n_features)
        The lines.
    y : ndarray of shape (n_lines,) or (n_lines, n_objects)
        Their intensities, NaN where not observed.
    weight : ndarray of the shape of y
        ``1 / sigma**2``; 0 where a line is left out.
    limit : ndarray of bool, of the shape of y
        Which intensities are upper limits.
    band : ndarray of int of shape (n_lines,)
        Receiver bands, numbered.
    """

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    limit: np.ndarray
    band: np.ndarray

    def objects(self):
        """Return, for each object, its rows and what belongs to them.

        Returns
        -------
        objects : list of tuple or None
            Rows, intensities, errors, limits and bands; None without data.
        """
        objects = []
        columns = (
            a.reshape(len(self.y), -1).T for a in (self.y, self.weight, self.limit)
        )
        for y, weight, limit in zip(*columns, strict=True):
            rows = np.flatnonzero(np.isfinite(y) & (weight > 0))
            objects.append(
                (rows, y[rows], weight[rows] ** -0.5, limit[rows], self.band[rows])
                if len(rows)
                else None
            )
        return objects


def check_observations(estimator, X, y, sample_weight, upper_limit, band):
    """Validate what `fit` of a retrieval is given.

    Parameters
    ----------
    estimator : BayesianRetrieval
        Whose data they are.
    X, y, sample_weight, upper_limit, band : array-like
        As given.

    Returns
    -------
    observations : Observations

    Raises
    ------
    ValueError
        If shapes do not fit, or values are not finite or not possible.
    """
    X, y = _lines(estimator, X, y)
    return Observations(
        X,
        y,
        _weights(y, sample_weight, estimator.sigma),
        _limits(y, upper_limit),
        _bands(y, band, estimator.calibration_error),
    )


def check_sign(observations, forward):
    """Check that a model of non-negative outputs could have made the data.

    Parameters
    ----------
    observations : Observations
        The data.
    forward : ForwardModel
        The model.

    Raises
    ------
    ValueError
        If a line is negative by more than three times its error; of many objects, in
        which chance does that too, five times.
    """
    X, y = observations.X, observations.y
    n_sigma = 3.0 if y.size == len(y) else 5.0
    if not forward.nonnegative:
        return
    impossible = y * np.sqrt(observations.weight) < -n_sigma
    if impossible.any():
        rows = impossible.reshape(len(y), -1).any(axis=1)
        names = forward.row_names(X)
        names = [names[i] for i in np.flatnonzero(rows)]
        raise ValueError(
            f"`y` is negative by more than {n_sigma:g} sigma for {names}:"
            f" {y[impossible][:5].tolist()}; `forward_model` cannot be. Check the"
            " baseline and the sign, or leave these lines out."
        )


def _lines(estimator, X, y):
    """Validate ``X`` and ``y``; only of several objects may ``y`` hold NaN."""
    if np.asarray(y).ndim < 2:
        return validate_data(estimator, X, y, dtype=np.float64, y_numeric=True)
    X = validate_data(estimator, X, dtype=np.float64)
    y = check_array(y, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y")
    check_consistent_length(X, y)
    if np.isnan(y).all():
        raise ValueError("`y` is NaN for every line of every object.")
    return X, y


def _weights(y, sample_weight, sigma):
    """Return ``1 / sigma**2`` of each line of each object."""
    if sample_weight is None:
        if sigma is None:
            raise ValueError(
                "No uncertainties: pass sample_weight=1 / sigma**2 to `fit`, or set"
                " the parameter `sigma`."
            )
        return np.full(y.shape, 1.0 / sigma**2)
    if np.asarray(sample_weight).ndim < 2:
        weight = _check_sample_weight(
            sample_weight, y, dtype=np.float64, ensure_non_negative=True
        )
        weight = np.broadcast_to(weight.reshape(-1, *[1] * (y.ndim - 1)), y.shape)
    else:
        weight = np.where(np.isnan(y), 0.0, _of_lines(sample_weight, y))
        if not (np.isfinite(weight) & (weight >= 0)).all():
            raise ValueError(
                "`sample_weight` must be 1 / sigma**2, finite and not negative,"
                " wherever `y` is not NaN."
            )
    if not weight.any():
        raise ValueError("`sample_weight` is zero in every row: nothing to fit.")
    return weight if sigma is None else weight / sigma**2


def _of_lines(values, y, name="sample_weight", dtype=float):
    """Return what is given of each line as an array of the shape of ``y``."""
    values = np.asarray(values, dtype=dtype)
    if values.shape != y.shape:
        raise ValueError(
            f"`{name}` must have the shape of `y`, {y.shape}, got {values.shape}."
        )
    return values


def _limits(y, upper_limit):
    """Return which intensities are limits."""
    if upper_limit is None:
        return np.zeros(y.shape, dtype=bool)
    values = _of_lines(upper_limit, y, "upper_limit", None)
    if values.dtype != bool:
        raise ValueError(
            "`upper_limit` must be boolean, True for lines that are below their"
            f" `y`; got dtype {values.dtype}."
        )
    return values


def _bands(y, band, calibration_error):
    """Return the bands of the lines, numbered."""
    if band is None:
        return np.zeros(len(y), dtype=int)
    if not calibration_error:
        raise ValueError(
            "`band` was given, but `calibration_error` is 0: name the scatter of"
            " the bands' calibrations."
        )
    band = np.asarray(band)
    if band.shape != (len(y),):
        raise ValueError(
            f"`band` must have a label for each of {len(y)} lines, got an array of"
            f" shape {band.shape}."
        )
    return np.unique(band, return_inverse=True)[1]
