"""Lines of a table, found in the catalogue by their names or their frequencies."""

import re
from typing import NamedTuple

from ..utils.suggestions import closest
from ..utils.warn import warn

_ROMAN = {"I": 0, "II": 1, "III": 2, "IV": 3, "V": 4}
#: Speed of light, [GHz um].
_GHZ_MICRON = 299792.458
_DASHES = re.compile(r"\s*(?:->|→|–|—|−|=>|\bto\b)\s*")


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
    """Finds lines of a catalogue.

    Parameters
    ----------
    catalogue : list of Line
        The lines that there are.
    tolerance : float
        By which frequencies may differ, relatively.
    """

    def __init__(self, catalogue, tolerance):
        self._lines = catalogue
        self._tolerance = tolerance
        self._species = {}
        self._keys = {}
        for line in catalogue:
            self._species.setdefault(line.species, []).append(line)
            transition = line.name[len(line.species) :]
            key = line.species, _transition(transition)
            self._keys.setdefault(key, []).append(line)

    # -- by name

    def species_of(self, text):
        """Return the species that a text names, or None."""
        text = text.strip()
        spellings = [text, text.strip("[]").replace(" ", "")]
        spectrum = re.fullmatch(
            r"([A-Z][a-z]?)\s*(I|II|III|IV|V)|\[\s*([A-Z][a-z]?)\s*([IVXivx]+)\s*\]",
            text,
        )
        if spectrum:
            element, numeral = (part for part in spectrum.groups() if part is not None)
            charge = _ROMAN.get(numeral.upper(), 99)
            spellings.append(element + "+" * charge)
        main = re.sub(r"(12|1|16|14|28|32)(?=C|H|O|N|Si|S)", "", spellings[1])
        spellings.append(main)
        for spelling in spellings:
            if spelling in self._species:
                return spelling
            folded = [s for s in self._species if s.casefold() == spelling.casefold()]
            if len(folded) == 1 and spelling:
                return folded[0]
        return None

    def named(self, text):
        """Return the line of a name and the species that it is of; None if unknown."""
        text = _DASHES.sub("-", str(text).strip())
        for species, rest in _splits(text):
            species = self.species_of(species)
            if species is None:
                continue
            rest = rest.strip()
            own = self._species[species]
            if not rest:
                return (own[0] if len(own) == 1 else None), species
            found = self._keys.get((species, _transition(rest)), [])
            if len(found) == 1:
                return found[0], species
            wave = re.fullmatch(r"(\d{2,}(?:\.\d+)?)\s*(um|µm|μm|mum|microns?)?", rest)
            if wave:
                value = float(wave[1])
                # [OI] at 145.5 um is called 145: cut, and not rounded
                place = Place(_GHZ_MICRON / value, 2 * half_a_digit(value), rest)
                near = self.near(place, species)
                return (near[0] if len(near) == 1 else None), species
            return None, species
        return None, None

    # -- by frequency

    def near(self, place, species=None):
        """Return the lines that are where a table says, the nearest first."""
        lines = self._lines if species is None else self._species[species]
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
            own = [line.name for line in self._species[species]]
            shown = f"{own}" if len(own) <= 8 else f"{own[:6]} and {len(own) - 6} more"
            if self.species_of(name) == species:
                return f"{row}: {name!r} says a species and no line; it has {shown}."
            return f"{row}: {species} has no line {name!r}; it has {shown}." + closest(
                name, own
            )
        return (
            f"{row}: the line {name!r} is of no species that is known here; known are"
            f" {sorted(self._species)}. Others come by molecules={{species: file}}, of"
            " LAMDA's format, and skastro.molecular.fetch_lamda fetches one."
        )

    def _nothing_there(self, row, names, place, species):
        lines = self._lines if species is None else self._species[species]
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


def _splits(text):
    """Yield a name as species and transition, in the ways that it may be meant."""
    bracket = re.match(r"\[[^\]]*\]", text)
    if bracket:
        yield bracket[0], text[bracket.end() :]
        return
    yield text, ""
    for mark in re.finditer(r"[(\s_]", text):
        yield text[: mark.start()], text[mark.start() :].lstrip("_ ")


def _transition(text):
    """Return quantum numbers in one spelling: ``" (J = 3/2–1/2) "`` is ``1.5-0.5``."""
    text = _DASHES.sub("-", text.strip().casefold())
    text = re.sub(r"_?!\s*_?\w*", "", text)  # remarks in files
    text = re.sub(r"[\s'\"{}^]", "", text)
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    text = re.sub(r"\b[jn]=?(?=\d)", "", text)
    # terms, 3P1 and 2P3/2
    text = re.sub(r"\b\d[spdf]_?(?=\d)", "", text)
    return re.sub(r"(\d+)/2\b", lambda m: f"{int(m[1]) / 2:g}", text)
