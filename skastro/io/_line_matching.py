"""Lines of a table, found in the catalogue by their names or their frequencies."""

import re
from typing import NamedTuple

import numpy as np

from ..molecular._blends import blend_with
from ..molecular._known_molecules import as_molecules
from ..molecular._line import lines_of
from ..molecular._line_lookup import line_named, lines_named
from ..molecular._line_names import splits_of
from ..molecular._lines import known_species
from ..molecular._shipped import plain_file, species_named
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
    species : str, sequence of str or None
        Which are looked through by frequency; all by default.
    """

    def __init__(self, molecules, tolerance, species=None):
        self._known = as_molecules(molecules)
        self._tolerance = tolerance
        self._species = None
        if species is not None:
            species = [species] if isinstance(species, str) else species
            if not np.iterable(species):
                raise TypeError(
                    "`species` must be a name or a sequence of names, such as"
                    f" ['CO', 'HCN-hfs'], got {species!r}."
                )
            self._species = [known_species(name, self._known) for name in species]

    # -- by name

    def named(self, text, row="`maps`"):
        """Return the lines that a name may mean, and the species that it is of."""
        try:
            return lines_named(text, self._known)[:2]
        except ValueError as error:  # a sum that is none
            raise ValueError(f"{row}: {error}") from error

    def is_species(self, text):
        """Whether a text is the name of a species, known or not, and no more."""
        if text is None:
            return False
        text = str(text).strip()
        return species_named(text, self._known) is not None or (
            splits_of(text, self._known)[1] == text and is_formula(text, self._known)
        )

    def is_species_of(self, name):
        """Whether a name begins with what looks like a species that is not known."""
        return isinstance(name, str) and is_formula(name, self._known)

    def _lines(self, species=None):
        chosen = self._species or self._known if species is None else [species]
        return [line for name in chosen for line in lines_of(self._known[name], name)]

    # -- by frequency

    def near(self, place, species=None):
        """Return the lines that are where a table says, the nearest first.

        Of two files of one species the plain one counts.
        """
        lines = [line for line in self._lines(species) if self.agrees(line, place)]
        there = {line.species for line in lines}
        if species is None:
            lines = [
                x for x in lines if plain_file(x.species) not in there - {x.species}
            ]
        return sorted(lines, key=lambda x: abs(x.frequency - place.frequency))

    def agrees(self, line, place, tolerance=None):
        """Whether a line is where a table says."""
        tolerance = self._tolerance if tolerance is None else tolerance
        width = max(tolerance, place.rounding) * place.frequency
        frequencies = [x.frequency for x in line.components]
        return min(frequencies) - width <= place.frequency <= max(frequencies) + width

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
        found = [self.named(name, row) for name in names]
        line = next((lines[0] for lines, _ in found if len(lines) == 1), None)
        species = next((s for _, s in found if s is not None), None)
        for (lines, of), name in zip(found, names, strict=True):
            other = lines[0] if len(lines) == 1 else None
            if (other or line) != line or (of or species) != species:
                raise ValueError(
                    f"{row} is {(line.name if line else species)} by {names[0]!r}, and"
                    f" {(other.name if other else of)} by {name!r}: correct"
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
            raise ValueError(self._unknown(row, names))
        if species is None and any(is_formula(name, self._known) for name in names):
            raise ValueError(self._unknown(row, names))
        several = [x for lines, _ in found for x in lines if self.agrees(x, place)]
        near = several or self.near(place, species)
        if not near:
            raise ValueError(self._nothing_there(row, names, place, species))
        if len(near) > 1:
            raise ValueError(
                f"{row}: {place.text} may be any of"
                f" {[f'{x.name} at {x.frequency:.7g} GHz' for x in near[:6]]}; name the"
                f" line{self._blend(near)}, or give more digits and a smaller"
                " `tolerance`."
            )
        if names and species is None:
            warn(
                f"{row}: {names[0]!r} is no name that is known here; it is taken to be"
                f" {near[0].name}, at {near[0].frequency:.6g} GHz, for its"
                f" {place.text}.",
            )
        return near[0]

    def _blend(self, near):
        """Return words for the blend whose components several lines are, if any."""
        parts = {part for line in near for part in line.components}
        whole = {blend_with(part, self._known[part.species]) for part in parts}
        if len(whole) > 1 or whole <= set(near):
            return ""
        return f", or all of them as {whole.pop().name!r}"

    def _unknown(self, row, names):
        if not names:
            return f"{row} has neither a name of its line nor a frequency."
        try:
            line_named(names[0], self._known)
        except ValueError as error:
            return f"{row}: {error}"
        return f"{row}: the line {names[0]!r} is unknown."

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


def is_formula(name, known):
    """Tell a species that is unknown here from what is no species at all."""
    written = splits_of(name, known)[1]
    written = re.sub(r"^(ortho|para|o|p)-|[-+]+$|[\s_^{}]", "", written)
    parts = re.fullmatch(rf"(?:\d*(?:{_ELEMENTS})\d*)+", written)
    return parts is not None and len(written) > 1
