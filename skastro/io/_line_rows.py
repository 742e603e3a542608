"""Which line each row of a table is."""

import re

import numpy as np

from ..utils.warn import warn
from ._line_columns import name_and_unit
from ._line_matching import Matcher, Place, half_a_digit

#: Columns that tell objects apart, if there are several.
_OBJECTS = {"object", "obj", "source", "target", "galaxy", "star", "name", "position"}


def rows_of(cells, molecules, tolerance, redshift, species=None):
    """Return the line of each row, and what the row calls it.

    Parameters
    ----------
    cells : Cells
        Of the table.
    molecules : mapping or None
        The lines that there are.
    tolerance : float
        Of frequencies, relatively.
    redshift : float
        Of the source.
    species : str, sequence of str or None
        Which there may be where a row has no name.

    Returns
    -------
    lines : list of Line
    given : list of str
    """
    if not 0 <= tolerance < 1:
        raise ValueError(
            "`tolerance` must lie in [0, 1), relative to the frequency; got"
            f" {tolerance!r}."
        )
    matcher = Matcher(molecules, tolerance, species)
    names = _names(cells, matcher)
    rows = list(zip(names, _places(cells, redshift), strict=True))
    lines = [matcher.find(cells.row(i), *row) for i, row in enumerate(rows)]
    _check_objects(cells, [line.name for line in lines])
    given = [
        own[0] if own else "" if place is None else place.text for own, place in rows
    ]
    return lines, given


def _names(cells, matcher):
    """Return what each row calls its line, in each way that it does."""
    names = []
    parts = (cells.of(role) for role in ("line", "transition", "species"))
    for i, (line, transition, species) in enumerate(zip(*parts, strict=True)):
        if species is None and transition is not None and matcher.is_species(line):
            line, species = None, line
        own = []
        for part in (line, transition):
            if part is None:
                continue
            if species is None or matcher.named(part, cells.row(i))[1] is not None:
                own.append(str(part))
            elif re.fullmatch(r"\d+(\.0)?", str(part)):  # J of the upper level
                upper = int(float(part))
                own.append(f"{species}({upper}-{upper - 1})")
            else:
                own.append(f"{species} {part}")
        names.append(own if species is None else [*own, str(species)])
    return names


def _places(cells, redshift):
    """Return where each row says that its line is, or None."""
    from astropy import units as u

    places = [None] * len(cells)
    for role in ("frequency", "observed_frequency", "wavelength"):
        if role not in cells:
            continue
        values = cells.quantities(role, "GHz", u.spectral())
        for i, cell in enumerate(cells.of(role)):
            if cell is None or places[i] is not None:
                continue
            value = values[i] * (1 + redshift if role == "observed_frequency" else 1.0)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(
                    f"{cells.row(i)} has {cell} in column {cells.name(role)!r}, which"
                    " must be positive and finite."
                )
            text = f"{cell} {cells.unit(role)}"
            places[i] = Place(value, half_a_digit(cell), text)
    return places


def _check_objects(cells, names):
    """Refuse tables of several objects; warn of a line that is there twice."""
    repeated = [i for i, name in enumerate(names) if name in names[:i]]
    rows = ""
    if repeated:
        first, second = names.index(names[repeated[0]]), repeated[0]
        rows = f"ows {first} and {second} of `table` are both {names[second]}"
    for name in cells.others():
        if name_and_unit(name)[0] not in _OBJECTS:
            continue
        values = list(dict.fromkeys(cells.column(name)))
        if len(values) > 1:
            also = f", and r{rows}" if rows else ""
            raise ValueError(
                f"There are {len(values)} objects by column {name!r}{also}: choose one,"
                f" as in table[table[{name!r}] == {str(values[0])!r}]."
            )
    if repeated:
        warn(f"R{rows}; they count as two measurements of one object.")
