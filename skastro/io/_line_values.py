"""Intensities, errors and limits of a table of lines."""

import re

import numpy as np

from ._line_cells import BLANK

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_FLUX = re.compile(
    rf"(<=|<|≤|>=|>|≥)?\s*({_NUMBER})\s*(?:(?:±|\+/-|\+-)\s*({_NUMBER}))?"
)
_LIMIT = {"<", "<=", "≤", "ul", "upper", "upper limit", "limit", "true", "t", "yes"}
_LIMIT |= {"y", "1"}
_NO_LIMIT = BLANK | {"false", "f", "no", "n", "0", "=", "detection", "det"}


def values_of(cells, given, units):
    """Return intensities, errors and limits of each row, in the row's unit.

    Parameters
    ----------
    cells : Cells
        Of the table.
    given : list of str
        What each row calls its line, for messages.
    units : list of astropy.units.UnitBase
        Of each row's intensity.

    Returns
    -------
    intensity, sigma : ndarray of shape (n_lines,)
        NaN where there is none.
    limit : ndarray of bool of shape (n_lines,)
    """
    value, inline = np.full(len(cells), np.nan), np.full(len(cells), np.nan)
    limit = _limits(cells)
    for i, cell in enumerate(cells.of("flux")):
        if cell is None:
            if limit[i]:
                raise ValueError(
                    f"{cells.row(i)}, {given[i]!r}, is an upper limit without a value:"
                    " write the limit as its intensity, such as three times its error."
                )
            continue
        value[i], inline[i], below = _flux(cells, cell, i)
        limit[i] |= below
    sigma = _errors(cells, value, inline, units)
    for i in range(len(cells)):
        row = f"{cells.row(i)}, {given[i]!r},"
        _check(row, cells, value[i], sigma[i], limit[i])
    return value, sigma, limit


def _flux(cells, cell, i):
    """Return value, error and whether it is a limit of one cell."""
    if not isinstance(cell, str):
        return cells.number(cell, i, "flux"), np.nan, False
    found = _FLUX.fullmatch(cell)
    if found is None:
        raise ValueError(
            f"{cells.row(i)} has {cell!r} in column {cells.name('flux')!r}, which is no"
            " number, such as '3.2', '3.2 ± 0.4' or '<3.2'."
        )
    mark, value, error = found.groups()
    if mark is not None and mark[0] in ">≥":
        raise ValueError(_lower_limit(cells, i, cell))
    return _float(value), np.nan if error is None else _float(error), mark is not None


def _float(text):
    """Return a number, which Fortran may have written."""
    return float(text.lower().replace("d", "e"))


def _lower_limit(cells, i, cell):
    return (
        f"{cells.row(i)} is a lower limit, {cell!r}, which a retrieval does not take:"
        " leave the row out."
    )


def _limits(cells):
    limit = np.zeros(len(cells), dtype=bool)
    for i, cell in enumerate(cells.of("limit")):
        text = "" if cell is None else str(cell).strip().lower().removesuffix(".0")
        if text[:1] in (">", "≥"):
            raise ValueError(_lower_limit(cells, i, cell))
        if text not in _LIMIT | _NO_LIMIT:
            raise ValueError(
                f"{cells.row(i)} has {cell!r} in column {cells.name('limit')!r}, which"
                " must say whether it is an upper limit: true or false, '<' or blank."
                " If the column is something else, pass columns={'limit': None}."
            )
        limit[i] = text in _LIMIT
    return limit


def _errors(cells, value, inline, units):
    """Return errors in the unit of each row."""
    from astropy import units as u

    if "error" not in cells:
        return inline
    sigma, name = cells.numbers("error"), cells.name("error")
    twice = ~np.isnan(sigma) & ~np.isnan(inline)
    if twice.any():
        raise ValueError(
            f"{cells.row(int(np.argmax(twice)))} has its error twice, in columns"
            f" {cells.name('flux')!r} and {name!r}."
        )
    own = cells.unit("error")
    if own is not None and own.is_equivalent(u.one):
        sigma = sigma * own.to(u.one) * np.abs(value)
    elif own is not None:
        for i, unit in enumerate(units):
            if not own.is_equivalent(unit):
                raise ValueError(
                    f"Column {name!r}, the errors, is in {own}, and the intensity of"
                    f" row {i} in {unit}; give both in one."
                )
            sigma[i] *= own.to(unit)
    return np.where(np.isnan(sigma), inline, sigma)


def _check(row, cells, value, sigma, limit):
    if np.isinf(value) or (limit and not value > 0):
        raise ValueError(
            f"{row} has the intensity {'<' if limit else ''}{value:g}; it must be"
            f" {'positive and ' if limit else ''}finite, or blank."
        )
    if np.isnan(value):
        return
    if np.isnan(sigma) and not limit:
        where = (
            f"column {cells.name('error')!r} is blank there"
            if "error" in cells
            else "`table` has no column of errors that is called so (error, sigma,"
            f" e_flux, …), of {cells.names}. If it is there by another name, say which,"
            " columns={'error': …}"
        )
        raise ValueError(
            f"{row} has an intensity and no error, and is no upper limit: {where}."
        )
    if sigma <= 0 or np.isinf(sigma):
        raise ValueError(
            f"{row} has the error {sigma:g}, which must be positive and finite"
            f"{', or blank for an exact limit' if limit else ''}."
        )
