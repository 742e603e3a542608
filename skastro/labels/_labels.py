"""The door for labels: their names, errors, windows and bounds."""

import numpy as np
from sklearn.metrics import r2_score

from ..utils.arrays import names_of, plain
from ..utils.sigma import broadcast_errors, check_error_names
from ..utils.suggestions import closest

#: Share of the range of training labels by which bounds are wider, at either end.
_MARGIN = 0.25


def check_labels(estimator, y, label_sigma, n_samples, *, reset=True):
    """Let labels and their errors in.

    Parameters
    ----------
    estimator : LabelRegressor
        Whose labels have been named before, or are now.
    y : array-like of shape (n_samples, n_labels) or (n_samples,)
        Labels, NaN where missing.
    label_sigma : array-like or None
        Their errors.
    n_samples : int or None
        Rows that there must be.
    reset : bool, default=True
        Whether this is the fit.

    Returns
    -------
    y : ndarray of float64, of shape (n_samples, n_labels)
    label_sigma : ndarray of the same shape or None
        0 where a label is missing.
    names : list of str
    one : bool
        Whether y had one dimension.

    Raises
    ------
    ValueError
        If they are not what was said.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is"
            " None."
        )
    names = names_of_labels(y)
    y = np.asarray(plain(y, "y"))
    if y.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: `y` is {y.dtype}.")
    if y.dtype.kind not in "fiub":
        try:
            y = y.astype(float)
        except (TypeError, ValueError) as error:
            raise ValueError(f"`y` must hold numbers, got {y.dtype}.") from error
    y = np.ascontiguousarray(y, dtype=np.float64)
    if y.ndim not in (1, 2) or 0 in y.shape[1:]:
        raise ValueError(
            f"`y` must have shape (n_samples, n_labels) or (n_samples,), got {y.shape}."
        )
    if n_samples is not None and len(y) != n_samples:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has"
            f" {n_samples}, y has {len(y)}."
        )
    if np.isinf(y).any():
        raise ValueError(
            "Input y contains infinity or a value too large for dtype('float64'); a"
            " missing label is NaN."
        )
    one = y.ndim == 1
    y = y.reshape(len(y), -1).copy()
    if reset:
        return y, *_fit_labels(y, label_sigma, names), one
    known = list(estimator.label_names_)
    if y.shape[1] != len(known):
        raise ValueError(
            f"There must be {len(known)} labels, {known}, got {y.shape[1]}."
        )
    if names is not None and set(names) & set(known) and names != known:
        raise ValueError(
            f"Labels must be those of the fit, in the same order, {known}, got {names}."
        )
    return y, None, known, one


def names_of_labels(y):
    """Return the names of a table's columns, or the one of a column, or None."""
    if hasattr(y, "columns") or hasattr(y, "colnames"):
        return names_of(y)
    of_table = hasattr(y, "to_frame") or hasattr(y, "parent_table")
    name = getattr(y, "name", None) if of_table else None
    return [name] if isinstance(name, str) and name else None


def _fit_labels(y, label_sigma, names):
    names = names or [f"label{k}" for k in range(y.shape[1])]
    twice = [name for k, name in enumerate(names) if name in names[:k]]
    if twice:
        raise ValueError(f"Names of labels must differ, got {twice[0]!r} twice in y.")
    _refuse_unknown(y, names, "is missing in all stars")
    if label_sigma is None:
        return None, names
    check_error_names(label_sigma, names, "label_sigma", "y")
    if np.ndim(label_sigma) == 1 and y.shape[1] == 1 and len(label_sigma) == len(y):
        label_sigma = np.asarray(plain(label_sigma, "label_sigma"))[:, None]
    given = broadcast_errors(label_sigma, y.shape, "label_sigma", "y")
    label_sigma = np.array(given, dtype=np.float64)
    missing = np.isnan(y)
    bad = ~(label_sigma >= 0) & ~missing
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            "`label_sigma` must be zero or positive where y is known, got"
            f" {label_sigma[row, column]} in row {row}, column {column}; set such a"
            " label to NaN, or its error to infinity, if it is not known."
        )
    label_sigma[missing] = 0
    y[np.isposinf(label_sigma)] = np.nan
    label_sigma[np.isposinf(label_sigma)] = 0
    _refuse_unknown(y, names, "is missing, or of infinite `label_sigma`, in all stars")
    return label_sigma, names


def _refuse_unknown(y, names, why):
    unknown = np.isnan(y).all(axis=0)
    if unknown.any():
        raise ValueError(
            f"The label {names[int(unknown.argmax())]!r} {why}; leave it out."
        )


def refuse_few_stars(y):
    """Refuse fewer stars than a linear model of the labels and their noise has."""
    n_stars, n_labels = np.count_nonzero(~np.isnan(y).all(axis=1)), y.shape[1]
    if n_stars < n_labels + 2:
        raise ValueError(
            f"There must be at least {n_labels + 2} stars for {n_labels} labels, to"
            f" tell these and noise apart, got n_samples = {n_stars} with any pixel and"
            " label; give more stars, or leave labels out."
        )


def label_number(key, names, parameter):
    """Return the number of a label.

    Parameters
    ----------
    key : str or int
        Its name or its number.
    names : list of str
        Of all labels.
    parameter : str
        Where a user gave it, for the message.

    Returns
    -------
    number : int

    Raises
    ------
    ValueError
        If there is no such label.
    """
    if isinstance(key, str):
        if key in names:
            return names.index(key)
        raise ValueError(
            f"`{parameter}` names {key!r}, which is no label; there are {names}."
            + closest(key, names)
        )
    if isinstance(key, (int, np.integer)) and 0 <= key < len(names):
        return int(key)
    raise ValueError(
        f"`{parameter}` must give labels by name or number, got {key!r}; there are"
        f" {len(names)} labels, {names}."
    )


def label_windows(windows, names, observed):
    """Return where each label may act.

    Parameters
    ----------
    windows : dict or None
        Of labels, the pixels on which they act.
    names : list of str
        Of all labels.
    observed : ndarray of bool, of shape (n_pixels,)
        Pixels that any star has.

    Returns
    -------
    allowed : ndarray of bool, of shape (n_labels, n_observed)
        Of the pixels that are observed.
    """
    n_pixels, keys = len(observed), {}
    allowed = np.ones((len(names), n_pixels), bool)
    for key, pixels in (windows or {}).items():
        k = label_number(key, names, "label_windows")
        if k in keys:
            raise ValueError(
                f"`label_windows` must name each label once, got {keys[k]!r} and"
                f" {key!r} for the label {names[k]!r}."
            )
        keys[k] = key
        own = np.zeros(n_pixels, bool)
        pixels = np.asarray(pixels)
        if pixels.dtype == bool and pixels.shape != (n_pixels,):
            raise ValueError(
                f"The mask of label {key!r} in `label_windows` must have one entry for"
                f" each of the {n_pixels} pixels, got shape {pixels.shape}."
            )
        numbers = pixels.shape == (n_pixels,) and pixels.dtype != bool
        if numbers and n_pixels > 2 and np.isin(pixels, [0, 1]).all():
            raise ValueError(
                f"`label_windows` of label {key!r} looks like a mask, but its dtype is"
                f" {pixels.dtype}, which stands for indices; give it as bool."
            )
        try:
            own[pixels] = True
        except IndexError as error:
            raise ValueError(
                f"The pixels of label {key!r} in `label_windows` must be a mask or"
                f" indices of {n_pixels} pixels: {error}."
            ) from error
        if not own.any():
            raise ValueError(f"`label_windows` leaves no pixel to label {key!r}.")
        if not own[observed].any():
            raise ValueError(
                f"No star has any of the {np.count_nonzero(own)} pixels that"
                f" `label_windows` leaves to label {key!r}; give it others, or leave it"
                " out."
            )
        allowed[k] = own
    return allowed[:, observed]


def training_bounds(y, bounds, names):
    """Return the range of training labels, and the bounds of predicted ones.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_labels)
        Training labels.
    bounds : "auto", None or array-like of shape (n_labels, 2)
        As the parameter `label_bounds`.
    names : list of str

    Returns
    -------
    label_range, label_bounds : ndarray of shape (n_labels, 2)
    """
    label_range = np.column_stack([np.nanmin(y, axis=0), np.nanmax(y, axis=0)])
    if bounds is None:
        return label_range, np.tile([-np.inf, np.inf], (len(names), 1))
    if isinstance(bounds, str):
        margin = _MARGIN * np.ptp(label_range, axis=1)
        return label_range, label_range + np.outer(margin, [-1, 1])
    bounds = np.array(plain(bounds, "label_bounds"), dtype=float)
    if bounds.shape != (len(names), 2):
        raise ValueError(
            f"`label_bounds` must have shape ({len(names)}, 2), a least and a largest"
            f" value for each label, got {bounds.shape}."
        )
    bounds = np.where(np.isnan(bounds), [-np.inf, np.inf], bounds)
    if not (bounds[:, 0] < bounds[:, 1]).all():
        k = int(np.argmin(bounds[:, 0] < bounds[:, 1]))
        raise ValueError(
            f"`label_bounds` of {names[k]!r} must rise, got {bounds[k].tolist()}."
        )
    return label_range, bounds


def mean_r2(y, labels, sample_weight=None):
    """Return the coefficient of determination of labels, the mean over these.

    Parameters
    ----------
    y, labels : ndarray of shape (n_samples, n_labels)
        True and found labels; NaN in either does not count.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of stars.

    Returns
    -------
    score : float
        NaN if no label is known of two stars.

    Raises
    ------
    ValueError
        If weights are not one for each star.
    """
    weight = None if sample_weight is None else np.asarray(sample_weight)
    if weight is not None and weight.shape != (len(labels),):
        raise ValueError(
            f"`sample_weight` must have shape ({len(labels)},), one weight for each"
            f" star, got {weight.shape}."
        )
    scores = []
    for true, found in zip(y.T, labels.T, strict=True):
        known = ~np.isnan(true) & ~np.isnan(found)
        own = None if weight is None else weight[known]
        if known.sum() > 1:
            scores.append(r2_score(true[known], found[known], sample_weight=own))
    return float(np.mean(scores)) if scores else np.nan
