"""Which rows of a table of lines are upper limits, and where the limits are."""

import re

import numpy as np

from ._line_cells import BLANK

_YES = {"<", "<=", "≤", "ul", "upper", "upper limit", "limit", "true", "t", "yes", "y"}
_NO = {"false", "f", "no", "n", "=", "detection", "det"}
_VALUE = re.compile(r"(<=|<|≤)?\s*((?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?)")


def lower_limit(cells, i, cell):
    """Return the message of a lower limit."""
    return (
        f"{cells.row(i)} is a lower limit, {cell!r}, which a retrieval does not take:"
        " leave the row out."
    )


def limits_of(cells, measured):
    """Return which rows are upper limits, and the limits that have their own column.

    Parameters
    ----------
    cells : Cells
        Of the table.
    measured : ndarray of bool of shape (n_lines,)
        Where there is an intensity.

    Returns
    -------
    limit : ndarray of bool of shape (n_lines,)
    values : ndarray of shape (n_lines,)
        Limits, in the unit of their column; NaN where there is none.
    role : str
        What the column of the values is.
    """
    said, values, role = [None] * len(cells), np.full(len(cells), np.nan), "limit_value"
    if "limit_value" in cells:
        values = cells.numbers("limit_value")
    if "limit" in cells:
        said, own = _flags_or_values(cells, measured)
        if own is not None:
            _check_once(cells)
            values, role = own, "limit"
    if "detected" in cells:
        said = _with_detections(cells, said)
    limit = np.array([flag is True for flag in said])
    for i in np.flatnonzero(~np.isnan(values)):
        if measured[i]:
            raise ValueError(
                f"{cells.row(i)} has an intensity, {cells.of('flux')[i]}, and an upper"
                f" limit, {values[i]:g} in column {cells.name(role)!r}: leave one of"
                f" them blank, or the column out, columns={{{role!r}: None}}."
            )
    return limit | ~np.isnan(values), values, role


def _check_once(cells):
    if "limit_value" in cells:
        raise ValueError(
            f"`table` has upper limits in columns {cells.name('limit')!r} and"
            f" {cells.name('limit_value')!r}; leave one out, columns={{'limit': None}}."
        )


def _flags_or_values(cells, measured):
    """Read a column that says which are limits, or that holds them.

    Returns
    -------
    said : list of bool or None
        None where nothing is said.
    values : ndarray or None
        None if it holds flags.
    """
    column, name = cells.of("limit"), cells.name("limit")
    read = [_reading(cells, cell, i) for i, cell in enumerate(column)]
    numbers = [x for x in read if isinstance(x, float) and (x not in (0.0, 1.0))]
    marked = [isinstance(cell, str) and "<" in cell for cell in column]
    holds_values = (
        bool(numbers)
        or cells.unit("limit") is not None
        or any(
            mark and isinstance(x, float) for mark, x in zip(marked, read, strict=True)
        )
    )
    if not holds_values:
        bare = [
            i
            for i, x in enumerate(read)
            if isinstance(x, float) and x and not measured[i]
        ]
        if bare:
            raise ValueError(
                f"{cells.row(bare[0])} has no intensity and {column[bare[0]]!r} in"
                f" column {name!r}, which may say that it is an upper limit, or be the"
                f" limit. If it is, say so, columns={{'limit_value': {name!r}}}, or"
                " give the column a unit; if it is a flag, write the limit as the"
                " intensity, such as three times its error."
            )
        return [None if x is None else bool(x) for x in read], None
    values, said = np.full(len(read), np.nan), [None] * len(read)
    for i, x in enumerate(read):
        if isinstance(x, bool):
            said[i] = x
        elif x is not None and (x or not measured[i]):  # 0 beside a measurement: none
            values[i] = x
    return said, values


def _reading(cells, cell, i):
    """Return what a cell says: a flag, a number, or nothing."""
    if cell is None:
        return None
    if isinstance(cell, bool):
        return bool(cell)
    text = str(cell).strip()
    if text[:1] in (">", "≥"):
        raise ValueError(lower_limit(cells, i, cell))
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    value = _VALUE.fullmatch(text)
    if value:
        return float(value[2].lower().replace("d", "e"))
    raise ValueError(
        f"{cells.row(i)} has {cell!r} in column {cells.name('limit')!r}, which must say"
        " whether it is an upper limit, true or false, '<' or blank, or hold the limit."
        " If the column is something else, pass columns={'limit': None}."
    )


def _with_detections(cells, said):
    """Add what a column of detections says."""
    name, said = cells.name("detected"), list(said)
    for i, cell in enumerate(cells.of("detected")):
        if cell is None:
            continue
        text = str(cell).strip().lower().removesuffix(".0")
        if text not in _YES | _NO | {"0", "1"} or text in BLANK or text[:1] == "<":
            raise ValueError(
                f"{cells.row(i)} has {cell!r} in column {name!r}, which must say"
                " whether the line was detected, true or false. If the column is"
                " something else, pass columns={'detected': None}."
            )
        below = text not in {"true", "t", "yes", "y", "1", "det", "detection"}
        if said[i] is not None and said[i] != below:
            raise ValueError(
                f"{cells.row(i)} is {'no' if below else 'a'} detection by column"
                f" {name!r}, and {'an' if said[i] else 'no'} upper limit by column"
                f" {cells.name('limit')!r}: correct one of them."
            )
        said[i] = below
    return said
