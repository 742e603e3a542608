"""Lines by their names, in place of their positions among a model's outputs."""

import numpy as np

from ..molecular._line_lookup import find_among, molecules_of
from ..utils.arrays import is_table
from ..utils.suggestions import closest


def names_in(X):
    """Return the names of lines that ``X`` holds.

    Parameters
    ----------
    X : array-like of shape (n_lines,) or (n_lines, 1)
        A list, an array, or a column of a frame or table; or a frame or table of one
        column.

    Returns
    -------
    names : list of str or None
        None if it holds anything else.

    Raises
    ------
    TypeError
        If it is one name, and no sequence of them.
    ValueError
        If a name is masked.
    """
    if isinstance(X, str):
        raise TypeError(
            f"`X` must be a sequence of line names, got {X!r}; pass [{X!r}]."
        )
    if is_table(X) and len(X.colnames) == 1:
        X = X[X.colnames[0]]
    mask = np.ma.getmaskarray(X) if isinstance(X, np.ma.MaskedArray) else False
    try:
        values = np.asarray(X)
    except (TypeError, ValueError):  # ragged, or of something that is no number
        return None
    if values.dtype.kind == "S":  # as FITS tables have them
        values = np.char.decode(values, "utf-8")
    if values.ndim == 2 and values.shape[1] == 1:
        values, mask = values[:, 0], np.ravel(mask)
    if values.ndim != 1 or not len(values):
        return None
    if np.any(mask):
        if values.dtype.kind in "fiub":
            return None
        raise ValueError(
            f"`X` is masked in row {int(np.argmax(mask))}: every line needs a name. One"
            " that was not observed is masked in `y`."
        )
    names = values.tolist()
    return names if all(isinstance(name, str) for name in names) else None


def lines_of(X, model):
    """Return ``X`` with positions where it holds names of lines.

    Parameters
    ----------
    X : array-like
        As given.
    model : object
        The forward model, whose ``output_names`` they are. Lines may be spelled in any
        way that :func:`~skastro.molecular.find_lines` takes.

    Returns
    -------
    X : ndarray of shape (n_lines, 1), or as given
        What holds no names is left as it is.

    Raises
    ------
    ValueError
        If the model does not name its outputs, or has none of such a name.
    """
    names = names_in(X)
    if names is None:
        return X
    known = getattr(model, "output_names", None)
    if known is None:
        raise ValueError(
            f"`X` holds names, such as {names[0]!r}, but `forward_model` does not name"
            " its outputs: it has no `output_names`. Pass what it takes for `X`."
        )
    known, molecules = list(known), molecules_of(model)
    positions = [find_among(name, known, molecules) for name in names]
    for name, position in zip(names, positions, strict=True):
        if position is None:
            raise ValueError(
                f"`X` has the line {name!r}, which `forward_model` has not; it has"
                f" {known}." + closest(name, known)
            )
    return np.array(positions, dtype=float).reshape(-1, 1)
