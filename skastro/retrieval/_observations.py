"""What is observed: the lines of one object or of several, checked."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils import check_array, check_consistent_length

from ..utils.arrays import plain, refuse_cube, unit_of, validate
from ._line_names import lines_of
from ._problem import Problems


@dataclass(frozen=True)
class Observations:
    """Lines of one object or of several; lines that no object has are left out.

    Parameters
    ----------
    X : ndarray of shape (n_lines, n_features)
        The lines.
    y : ndarray of shape (n_objects, n_lines)
        Their intensities, NaN where not observed.
    sigma : ndarray of shape (n_objects, n_lines)
        1-sigma errors; 0 for a limit that is exact, 1 where not observed.
    limit : ndarray of bool of shape (n_objects, n_lines)
        Which intensities are upper limits.
    band : ndarray of int of shape (n_lines,)
        Receiver bands, numbered.
    single : bool
        Whether the data were given as those of one object.
    """

    X: np.ndarray
    y: np.ndarray
    sigma: np.ndarray
    limit: np.ndarray
    band: np.ndarray
    single: bool

    def problems(self, estimator):
        """Return the problem of each object, with errors as an estimator has them."""
        return Problems(estimator, self.y, self.sigma, self.limit, self.band)


def check_observations(
    estimator, forward, X, y, *, sigma, sample_weight, upper_limit, band
):
    """Validate what `fit` of a retrieval is given.

    Parameters
    ----------
    estimator : BayesianRetrieval
        Whose data they are.
    forward : ForwardModel
        The model, with the unit of the intensities and names of the lines.
    X, y, sigma, sample_weight, upper_limit, band : array-like
        As given.

    Returns
    -------
    observations : Observations

    Raises
    ------
    ValueError
        If shapes do not fit, or values are not finite or not possible.
    """
    X = validate(estimator, lines_of(X, estimator.forward_model), dtype=np.float64)
    forward.check_rows(X)
    layout = Layout(X, y, forward.unit, estimator.objects)
    y = layout.y
    limit = _limits(layout, upper_limit)
    if sigma is not None and sample_weight is not None:
        raise ValueError(
            "`sigma` and `sample_weight` were both given; they say the same,"
            " sample_weight = 1 / sigma**2. Pass one of them."
        )
    if sample_weight is not None:
        sigma = _of_weights(layout, sample_weight, estimator.sigma)
    elif sigma is not None:
        sigma = layout.spread(in_unit(sigma, "sigma", forward.unit), "sigma")
    elif estimator.sigma is not None:
        sigma = np.full(y.shape, float(estimator.sigma))
    else:
        raise ValueError(
            "No uncertainties: pass sigma=..., the 1-sigma errors of `y`, to `fit`, or"
            " set the parameter `sigma`."
        )
    sigma, y = _check_errors(layout, sigma, limit, sample_weight is not None)
    seen = ~np.isnan(y).all(axis=0)
    return Observations(
        X[seen],
        y[:, seen],
        sigma[:, seen],
        limit[:, seen],
        _bands(band, seen, estimator.calibration_error),
        layout.single,
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
    if not forward.nonnegative:
        return
    y = observations.y
    n_sigma = 3.0 if len(y) == 1 else 5.0
    impossible = y < -n_sigma * observations.sigma
    if impossible.any():
        names = forward.row_names(observations.X)
        names = [names[i] for i in np.flatnonzero(impossible.any(axis=0))]
        raise ValueError(
            f"`y` is negative by more than {n_sigma:g} sigma for {names}:"
            f" {y[impossible][:5].tolist()}; `forward_model` cannot be. Check the"
            " baseline and the sign, or leave these lines out."
        )


def in_unit(values, name, unit):
    """Return values without mask and unit, in the unit of the forward model.

    Parameters
    ----------
    values : array-like
        Intensities or their errors.
    name : str
        Of the parameter.
    unit : str or None
        The forward model's.

    Returns
    -------
    values : array-like

    Raises
    ------
    TypeError
        If they carry another unit, or one where the model has none. Where it takes
        frequencies and a beam to convert it, the message says what does that.
    """
    try:
        return plain(values, name, unit=unit)
    except TypeError as error:
        own = unit_of(values)
        if own is None or unit is None or not _is_brightness(unit):
            raise
        raise TypeError(
            f"`{name}` carries the unit {own}, and `forward_model` predicts {unit}. To"
            " convert an intensity takes the frequencies of the lines, and the beam:"
            " skastro.io.to_integrated_temperature does it, and"
            " skastro.io.read_line_table does it for a table."
        ) from error


def _is_brightness(unit):
    from astropy import units as u

    return u.Unit(unit).is_equivalent(u.K * u.km / u.s)


# -- which axis of y is which


class Layout:
    """Intensities with a row for each object, and the way there for what goes along.

    Parameters
    ----------
    X : ndarray of shape (n_lines, n_features)
        The lines.
    y : array-like
        Of one dimension, or of two with the objects along either.
    unit : str or None
        That y is converted to.
    objects : {"auto", "columns", "rows"}
        Where the objects are.

    Attributes
    ----------
    y : ndarray of shape (n_objects, n_lines)
        NaN where not observed.
    single : bool
        Whether y has one dimension.
    """

    def __init__(self, X, y, unit, objects="auto"):
        if y is None:
            raise ValueError(
                "BayesianRetrieval requires y to be passed, but the target y is None."
            )
        y = in_unit(y, "y", unit)
        refuse_cube(y, "y")
        y = check_array(
            y,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_2d=False,
            input_name="y",
        )
        self.given = y.shape
        self.single = y.ndim == 1
        self.transposed = not self.single and _objects_are_columns(len(X), y, objects)
        self.y = y.T if self.transposed else np.atleast_2d(y)
        check_consistent_length(X, self.y.T)
        if np.isnan(y).all():
            what = "every line" if self.single else "every line of every object"
            raise ValueError(f"`y` is NaN for {what}, or masked: nothing to fit.")

    def spread(self, values, name, dtype=float):
        """Return what is given of the lines, or of each, in the shape of our y.

        Parameters
        ----------
        values : array-like
            One value; one for each line; or of the shape of the y that was given, of
            which one axis may be of length 1.
        name : str
            The parameter's name.
        dtype : dtype, default=float
            Of the result.

        Returns
        -------
        values : ndarray of shape (n_objects, n_lines)

        Raises
        ------
        ValueError
            If it has another shape.
        """
        values = np.asarray(values, dtype=dtype)
        shape = self.y.shape
        turned = values.T if self.transposed and values.ndim == 2 else values
        if turned.shape in ((), shape[1:], (1, shape[1]), (shape[0], 1), shape):
            return np.array(np.broadcast_to(turned, shape))
        raise ValueError(
            f"`{name}` must have the shape of `y`, {self.given}; or be one value for"
            f" each of {shape[1]} lines, or one for all. Got shape {values.shape}."
        )

    def where(self, mask):
        """Say where the first of some entries is, and how many there are."""
        i, line = np.argwhere(mask)[0]
        place = f"line {line}" if self.single else f"line {line} of object {i}"
        n = int(np.count_nonzero(mask))
        return place if n == 1 else f"{place} ({n} in all)"


def _objects_are_columns(n_lines, y, objects):
    """Tell whether columns of a two-dimensional y are objects; rows are the lines."""
    if objects != "auto":
        return objects == "columns"
    if y.shape == (n_lines, n_lines) and n_lines > 1:
        raise ValueError(
            f"`y` is square, {y.shape}: its columns may be objects, or its rows. Set"
            " `objects` to 'columns' or to 'rows'."
        )
    return y.shape[0] == n_lines or y.shape[1] != n_lines


# -- errors, limits, bands


def _of_weights(layout, sample_weight, unit_error):
    """Return errors of scikit-learn's weights; infinite where a weight is zero."""
    weight = layout.spread(plain(sample_weight, "sample_weight"), "sample_weight")
    weight = np.where(np.isnan(layout.y), 0.0, weight)
    negative = weight < 0
    if negative.any():
        raise ValueError(
            "`sample_weight` must be 1 / sigma**2, finite and not negative, got"
            f" {weight[negative][0]} for {layout.where(negative)}."
        )
    if not weight.any():
        raise ValueError("`sample_weight` is zero in every row: nothing to fit.")
    with np.errstate(divide="ignore"):
        return (1.0 if unit_error is None else unit_error) / np.sqrt(weight)


def _check_errors(layout, sigma, limit, from_weights):
    """Check errors, and leave out of y what they say was not observed.

    A limit without an error is exact, but one of weight zero is left out.
    """
    y = layout.y
    unseen = np.isposinf(sigma)
    exact = limit & ~np.isnan(y) & (np.isnan(sigma) | (unseen & (not from_weights)))
    y = np.where(unseen & ~exact, np.nan, y)
    observed = ~np.isnan(y)
    bad = observed & ~exact & ~(sigma > 0)
    if bad.any():
        name = "sample_weight" if from_weights else "sigma"
        what = "must be 1 / sigma**2, finite" if from_weights else "must be positive"
        raise ValueError(
            f"`{name}` {what} where `y` is observed, got an error of {sigma[bad][0]}"
            f" for {layout.where(bad)}. Set such an entry of `y` to NaN, or its error"
            " to infinity, if it is to be ignored."
        )
    if not observed.any():
        raise ValueError(
            "No line is left: where `y` is not NaN, its error is infinite or its weight"
            " zero."
        )
    sigma = np.where(observed, sigma, 1.0)
    sigma[exact] = 0.0
    return sigma, y


def _limits(layout, upper_limit):
    """Return which observed intensities are limits."""
    if upper_limit is None:
        return np.zeros(layout.y.shape, dtype=bool)
    given = upper_limit if hasattr(upper_limit, "dtype") else np.asarray(upper_limit)
    if getattr(given.dtype, "kind", None) != "b":
        raise ValueError(
            "`upper_limit` must be boolean, True for lines that are below their"
            f" `y`; got dtype {given.dtype}."
        )
    # NaN where masked: a mask says nothing, which is no matter where y is missing too
    flags = layout.spread(plain(given, "upper_limit"), "upper_limit")
    unknown = np.isnan(flags) & ~np.isnan(layout.y)
    if unknown.any():
        raise ValueError(
            f"`upper_limit` is masked for {layout.where(unknown)}, whose `y` is not:"
            " say whether it is a limit, or mask `y` too."
        )
    return (flags == 1) & ~np.isnan(layout.y)


def _bands(band, seen, calibration_error):
    """Return the bands of the lines that were seen, numbered."""
    if band is None:
        return np.zeros(int(seen.sum()), dtype=int)
    if not calibration_error:
        raise ValueError(
            "`band` was given, but `calibration_error` is 0: name the scatter of"
            " the bands' calibrations."
        )
    mask = np.ma.getmaskarray(band) if isinstance(band, np.ma.MaskedArray) else False
    labels = np.asarray(band)
    if labels.shape != seen.shape:
        raise ValueError(
            f"`band` must have a label for each of {len(seen)} lines, got an array of"
            f" shape {labels.shape}."
        )
    # NaN, which is not itself, and None
    missing = mask | np.array([x is None or x != x for x in labels.tolist()])
    if np.any(missing & seen):
        raise ValueError(
            f"`band` has no label for line {int(np.argmax(missing & seen))}, which was"
            " observed."
        )
    return np.unique(labels[seen], return_inverse=True)[1]
