"""Lines of a table, found in the catalogue by their names or their frequencies."""

import re
from typing import NamedTuple

from ..molecular._known_molecules import as_molecules
from ..molecular._line import lines_of
from ..molecular._line_lookup import lines_named
from ..molecular._shipped import species_named
from ..utils.suggestions import closest
from ..utils.warn import warn

#: Elements of interstellar molecules, longer symbols first.
_ELEMENTS = "He|Na|Mg|Al|Si|Cl|Ca|Ti|Fe|H|D|C|N|O|F|P|S|K"


class Place(NamedTuple):
    """Where a table says that a line is."""

    #: rest frequency [GHz]
    frequency: float
    #: half a unit of the last digit that was written, relatively
    rounding: float
    #: as it was written
    text: str


def half_a_digit(value):
    """Return half a unit of the last digit of a number, relatively.

    Parameters
    ----------
    value : str or float
        A float is as precise as its shortest spelling.

    Returns
    -------
    rounding : float
    """
    text = str(value).strip().lower()
    mantissa, _, exponent = text.partition("e")
    digits = mantissa.partition(".")[2]
    if digits == "0" and not isinstance(value, str):
        digits = ""
    step = 10.0 ** ((int(exponent) if exponent else 0) - len(digits))
    return 0.5 * step / abs(float(value)) if float(value) else 0.0


class Matcher:
    """Finds lines by what a table says of them.

    Parameters
    ----------
    molecules : mapping or None
        Molecules beside the shipped ones.
    tolerance : float
        By which frequencies may differ, relatively.
    """

    def __init__(self, molecules, tolerance):
        self._known = as_molecules(molecules)
        self._tolerance = tolerance

    # -- by name

    def named(self, text):
        """Return the line of a name and the species that it is of; None if unknown."""
        found, species, _ = lines_named(text, self._known)
        return (found[0] if len(found) == 1 else None), species

    def _lines(self, species=None):
        chosen = self._known if species is None else [species]
        return [line for name in chosen for line in lines_of(self._known[name], name)]

    # -- by frequency

    def near(self, place, species=None):
        """Return the lines that are where a table says, the nearest first."""
        lines = self._lines(species)
        width = max(self._tolerance, place.rounding) * place.frequency
        near = [x for x in lines if abs(x.frequency - place.frequency) <= width]
        return sorted(near, key=lambda x: abs(x.frequency - place.frequency))

    def agrees(self, line, place):
        """Whether a line is where a table says."""
        width = max(self._tolerance, place.rounding) * place.frequency
        return abs(line.frequency - place.frequency) <= width

    # -- by both

    def find(self, row, names, place):
        """Return the line of a row.

        Parameters
        ----------
        row : str
            How messages call it.
        names : list of str
            What the row calls it; the first that is known counts.
        place : Place or None
            Where it says that the line is.

        Returns
        -------
        line : Line

        Raises
        ------
        ValueError
            If it is not known, or name and frequency are those of two lines.
        """
        found = [self.named(name) for name in names]
        line = next((line for line, _ in found if line is not None), None)
        species = next((s for _, s in found if s is not None), None)
        for other, name in zip(found, names, strict=True):
            if (other[0] or line) != line or (other[1] or species) != species:
                raise ValueError(
                    f"{row} is {(line.name if line else species)} by {names[0]!r}, and"
                    f" {(other[0].name if other[0] else other[1])} by {name!r}: correct"
                    " one of them, or leave a column out, as in"
                    " columns={'species': None}."
                )
        if line is not None:
            if place is not None and not self.agrees(line, place):
                there = self.near(place)
                of = f", that of {there[0].name}" if there else ""
                raise ValueError(
                    f"{row}: {names[0]!r} is {line.name} at {line.frequency:.6g} GHz,"
                    f" but the row says {place.text}{of}. Correct one of them, widen"
                    " `tolerance`, or leave a column out, as in"
                    " columns={'frequency': None}."
                )
            return line
        if place is None:
            raise ValueError(self._unknown(row, names, species))
        if species is None and any(_is_formula(name, self._known) for name in names):
            raise ValueError(self._unknown(row, names, species))
        near = self.near(place, species)
        if not near:
            raise ValueError(self._nothing_there(row, names, place, species))
        if len(near) > 1:
            raise ValueError(
                f"{row}: {place.text} may be any of"
                f" {[f'{x.name} at {x.frequency:.7g} GHz' for x in near[:6]]}; name the"
                " line, or give more digits and a smaller `tolerance`."
            )
        if names and species is None:
            warn(
                f"{row}: {names[0]!r} is no name that is known here; it is taken to be"
                f" {near[0].name}, at {near[0].frequency:.6g} GHz, for its"
                f" {place.text}.",
            )
        return near[0]

    def _unknown(self, row, names, species):
        if not names:
            return f"{row} has neither a name of its line nor a frequency."
        name = names[0]
        if species is not None:
            own = [line.name for line in self._lines(species)]
            shown = f"{own}" if len(own) <= 8 else f"{own[:6]} and {len(own) - 6} more"
            if species_named(name, self._known) == species:
                return f"{row}: {name!r} says a species and no line; it has {shown}."
            return f"{row}: {species} has no line {name!r}; it has {shown}." + closest(
                name, own
            )
        return (
            f"{row}: the line {name!r} is of no species that is known here; known are"
            f" {sorted(self._known)}. Others come by molecules={{species: file}}, of"
            " LAMDA's format, and skastro.molecular.fetch_lamda fetches one."
        )

    def _nothing_there(self, row, names, place, species):
        lines = self._lines(species)
        nearest = min(lines, key=lambda x: abs(x.frequency - place.frequency))
        away = abs(nearest.frequency / place.frequency - 1)
        what = f"{names[0]!r} is unknown, and " if names else ""
        of = "" if species is None else f" of {species}"
        return (
            f"{row}: {what}there is no line{of} at {place.text}; the nearest is"
            f" {nearest.name} at {nearest.frequency:.6g} GHz, off by {away:.2g} of it."
            " Other species come by molecules={species: file}; a `tolerance` is"
            f" relative, and {self._tolerance:g} now."
        )


def _is_formula(name, known):
    """Tell a species that is unknown here from what is no species at all."""
    written = lines_named(name, known)[2]
    written = re.sub(r"^(ortho|para|o|p)-|[-+]+$|[\s_^{}]", "", written)
    parts = re.fullmatch(rf"(?:\d*(?:{_ELEMENTS})\d*)+", written)
    return parts is not None and len(written) > 1
