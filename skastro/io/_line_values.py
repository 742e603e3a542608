"""Intensities, errors and limits of a table of lines."""

import re
from typing import NamedTuple

import numpy as np

from ._integrated import kind_of
from ._line_columns import misspelled
from ._line_limits import limits_of, lower_limit

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
_FLUX = re.compile(
    rf"(<=|<|≤|>=|>|≥)?\s*({_NUMBER})\s*"
    rf"(?:(?:±|\+/-|\+-)\s*({_NUMBER})|\(\s*({_NUMBER})\s*\)([eEdD][-+]?\d+)?)?"
)


class Values(NamedTuple):
    """Intensities and errors of a table, each in a unit of its own."""

    #: NaN where there is none
    intensity: np.ndarray
    #: of each row
    units: list
    sigma: np.ndarray
    sigma_units: list
    #: which are upper limits
    limit: np.ndarray
    #: column of the intensity, and of the error, whose unit it is
    role: list
    sigma_role: list


def values_of(cells, given, units):
    """Return intensities, errors and limits of each row.

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
    values : Values
    """
    value, inline = np.full(len(cells), np.nan), np.full(len(cells), np.nan)
    below = np.zeros(len(cells), dtype=bool)
    for i, cell in enumerate(cells.of("flux")):
        if cell is not None:
            value[i], inline[i], below[i] = _flux(cells, cell, i)
    limit, limits, column = limits_of(cells, ~np.isnan(value))
    units, role = list(units), ["flux"] * len(cells)
    for i in np.flatnonzero(limit & np.isnan(value)):
        if np.isnan(limits[i]):
            raise ValueError(
                f"{cells.row(i)}, {given[i]!r}, is an upper limit without a value:"
                " write the limit as its intensity, such as three times its error."
            )
        value[i], own = limits[i], cells.unit(column)
        if own is not None:
            units[i], role[i] = own, column
    limit |= below
    sigma, sigma_units, sigma_role = _errors(cells, value, inline, units, role)
    for i in range(len(cells)):
        row = f"{cells.row(i)}, {given[i]!r},"
        _check(row, cells, value[i], sigma[i], limit[i])
    return Values(value, units, sigma, sigma_units, limit, role, sigma_role)


def _flux(cells, cell, i):
    """Return value, error and whether it is a limit of one cell."""
    if not isinstance(cell, str):
        return cells.number(cell, i, "flux"), np.nan, False
    found = _FLUX.fullmatch(cell)
    if found is None:
        raise ValueError(
            f"{cells.row(i)} has {cell!r} in column {cells.name('flux')!r}, which is no"
            " number, such as '3.2', '3.2 ± 0.4', '3.2(0.4)' or '<3.2'."
        )
    mark, value, error, bracket, exponent = found.groups()
    if mark is not None and mark[0] in ">≥":
        raise ValueError(lower_limit(cells, i, cell))
    if bracket is not None:
        if "." in value and "." not in bracket:
            raise ValueError(
                f"{cells.row(i)} has {cell!r} in column {cells.name('flux')!r}, whose"
                f" error may be {bracket}, or {bracket} of its last digits: write it"
                f" out, such as '{value} ± 0.4'."
            )
        value, error = value + (exponent or ""), bracket + (exponent or "")
    return _float(value), np.nan if error is None else _float(error), mark is not None


def _float(text):
    """Return a number, which Fortran may have written."""
    return float(text.lower().replace("d", "e"))


def _errors(cells, value, inline, units, role):
    """Return errors, the unit of each, and the column that has it."""
    from astropy import units as u

    if "error" not in cells:
        return inline, units, role
    column, name = cells.of("error"), cells.name("error")
    per_cent = [isinstance(cell, str) and cell.endswith("%") for cell in column]
    sigma = np.array(
        [
            np.nan
            if cell is None
            else cells.number(cell.removesuffix("%") if part else cell, i, "error")
            for i, (cell, part) in enumerate(zip(column, per_cent, strict=True))
        ]
    )
    twice = ~np.isnan(sigma) & ~np.isnan(inline)
    if twice.any():
        raise ValueError(
            f"{cells.row(int(np.argmax(twice)))} has its error twice, in columns"
            f" {cells.name('flux')!r} and {name!r}."
        )
    own = cells.unit("error")
    sigma_units, sigma_role = list(units), list(role)
    for i, unit in enumerate(units):
        if np.isnan(sigma[i]):
            sigma[i] = inline[i]
        elif per_cent[i]:
            sigma[i] *= 0.01 * np.abs(value[i])
        elif own is None:
            continue
        elif own.is_equivalent(u.one):
            sigma[i] *= own.to(u.one) * np.abs(value[i])
        elif own.is_equivalent(unit):
            sigma[i] *= own.to(unit)
        elif kind_of(own) is None or kind_of(own)[1] == u.one:
            raise ValueError(
                f"Column {name!r}, the errors, is in {own}, and the intensity of row"
                f" {i} in {unit}; give errors in that, or in the unit of any integrated"
                " intensity."
            )
        else:  # each by its own unit
            sigma_units[i], sigma_role[i] = own, "error"
    return sigma, sigma_units, sigma_role


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
        hint = "" if "error" in cells else misspelled(cells.others(), "error")
        raise ValueError(
            f"{row} has an intensity and no error, and is no upper limit:"
            f" {where}.{hint}"
        )
    if sigma <= 0 or np.isinf(sigma):
        raise ValueError(
            f"{row} has the error {sigma:g}, which must be positive and finite"
            f"{', or blank for an exact limit' if limit else ''}."
        )
