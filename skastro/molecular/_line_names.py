"""Names of lines as people write them."""

import re
from functools import lru_cache
from typing import NamedTuple

from ._constants import SPEED_OF_LIGHT
from ._lamda_text import label_of_before
from ._shipped import plain, species_named

#: A wavelength in a name is rounded by so much at most, relatively.
_WAVELENGTH_ROUNDING = 0.01
_WAVELENGTH = re.compile(r"(\d+(?:\.\d*)?)\s*(um|microns?|mum)?\.?")
_NUMBERS = r"(?:[NJF]\d?\s*=\s*)?(\d+(?:[._/]\d+)*)"
#: Quantum numbers of an upper and a lower level, which others may follow.
_PAIR = re.compile(rf"{_NUMBERS}\s*-\s*{_NUMBERS}")


class Names(NamedTuple):
    """Ways to find the transitions of a molecule; what follows the species' name."""

    #: clean name -> index
    exact: dict
    #: name that an earlier version gave -> index
    before: dict
    #: folded name -> indices
    folded: dict
    #: folded labels of the levels, in parts
    levels: tuple


@lru_cache(maxsize=256)
def names_of(molecule):
    """Return the names of a molecule's transitions, without the species."""
    exact = {
        name[len(molecule.name) :]: i for i, name in enumerate(molecule.line_names)
    }
    before, folded = {}, {}
    if molecule.file_labels:
        labels = [label_of_before(label) for label in molecule.file_labels]
        for i, (u, l) in enumerate(zip(molecule.upper, molecule.lower, strict=True)):
            before.setdefault(f"({labels[u]}-{labels[l]})", i)
    for name, i in exact.items():
        transition, _, levels = name[1:].partition(")[")
        folded.setdefault(_fold(transition.removesuffix(")")), []).append(i)
        if levels:  # names that coincide; each also by its levels
            folded.setdefault(_fold(name), []).append(i)
    levels = tuple(
        tuple(_fold(part) for part in label.split("_"))
        for label in molecule.quantum_numbers
    )
    return Names(exact, before, folded, levels)


def _fold(transition):
    """Return a transition without all that only varies with its writer.

    ``J=03 -> 02`` becomes ``3-2``, ``1(1,1)-2(0,2)`` ``1_1_1-2_0_2``, and
    ``2P3/2-2P1/2`` ``1.5-0.5``.
    """
    text = _together(re.sub(r"-+>|=>|\u2192|\bto\b", "-", plain(transition)))
    text = re.sub(r"(^|-)[\s(,]*[JN](_?up?)?\s*=\s*", r"\1", text)
    text = re.sub(r"[\s,_^(){}\[\]$\"']+", "_", text)
    text = re.sub(r"(?<![A-Za-z\d])\d_?[SPD]_?(?=\d)", "", text)  # a term symbol
    text = re.sub(r"(\d+)/2", lambda match: f"{int(match[1]) / 2:g}", text)
    text = re.sub(r"(?<![\d.])0+(?=\d)", "", text)
    text = re.sub(r"(\.\d*?)0+(?!\d)", r"\1", text)
    text = re.sub(r"\.(?!\d)", "", text)
    return re.sub("_*-_*", "-", text).strip("_")


def _together(transition):
    """Write the numbers of a level together: ``1-0 F=2-1`` becomes ``1_2-0_1``."""
    text = re.sub(r"\bv\s*=\s*0\b", "", transition)
    pairs = _PAIR.findall(text)
    if len(pairs) < 2 or re.search(r"\w", _PAIR.sub("", text)):
        return text
    return "-".join("_".join(side) for side in zip(*pairs, strict=True))


def splits_of(name, known):
    """Split a name into the species that it may mean and the transition.

    Parameters
    ----------
    name : str
        Such as ``"12CO J=3-2"`` or ``"[CII] 158um"``.
    known : container of str
        The species there are.

    Returns
    -------
    splits : list of (str, str)
        Species and transition. Several if ortho and para are not told apart, or where
        nothing stands between the two and it may be in several places; none if no
        known species is meant.
    written : str
        The species as it is written, whether known or not.
    """
    text = plain(name)
    atom = re.match(r"(\[[^\]]*\])\s*(.*)$", text)
    if atom:
        parts = [atom.groups()]
    else:
        patterns = (
            r"([A-Z][a-z]? ?(?:I{1,3}|IV|V))(?=[\s(\d]|$)\s*(.*)$",
            r"(.+?[ @_-]?hfs)[\s_]*(.*)$",
            r"([^(]+)(\(.*)$",
            r"(\S+)\s+(.*)$",
            r"([^_]+)_(.*)$",
            r"(.+)()$",
        )
        matches = (re.match(pattern, text) for pattern in patterns)
        parts = [match.groups() for match in matches if match]
    for written, transition in parts:
        species = species_named(written, known)
        if species is not None:
            return [(species, transition)], written
        isomers = (species_named(f"{spin}-{written.strip()}", known) for spin in "op")
        isomers = [species for species in isomers if species is not None]
        if isomers:
            return [(species, transition) for species in isomers], written
    written = min((part[0].strip() for part in parts), key=len, default=text)
    start = re.sub(r"(?<=[A-Za-z+])\d+\s*-\s*\d+$", "", written)  # 13CO3-2
    written = written if species_named(start, known) else start
    places = [i.start() for i in re.finditer(r"(?<!^)(?=\d)", text)]
    joined = ((species_named(text[:i], known), text[i:]) for i in places)
    return [
        (species, transition)
        for species, transition in joined
        if species is not None and _is_transition(transition, known[species])
    ], written


def _is_transition(text, molecule):
    return bool(transitions_named(text, molecule) or goes_on(text, molecule))


def transitions_named(transition, molecule, *, atom=False):
    """Return which transitions of a molecule a name means.

    Parameters
    ----------
    transition : str
        What follows the species' name.
    molecule : Molecule
        The molecule.
    atom : bool, default=False
        Whether the species was written as ``[CII]`` or ``C II``: a bare number is
        then a wavelength.

    Returns
    -------
    indices : list of int
        None if nothing fits, several if the name is ambiguous.
    """
    names = names_of(molecule)
    bare = transition.strip()
    if bare.startswith("(") and bare.endswith(")"):
        bare = bare[1:-1].strip()
    if not bare:
        every = list(range(len(molecule.upper)))
        return every if atom or len(every) == 1 else []
    wavelength = _WAVELENGTH.fullmatch(bare)
    if wavelength and (atom or wavelength[2]):
        wavelengths = SPEED_OF_LIGHT * 1e-5 / molecule.frequencies  # [um]
        value = float(wavelength[1])
        return [
            i
            for i, of_line in enumerate(wavelengths)
            if abs(value - of_line) <= _WAVELENGTH_ROUNDING * of_line
        ]
    folded = _fold(bare)
    inversion = re.fullmatch(r"(\d+)_(\d+)", folded)
    if inversion and molecule.name.endswith("NH3"):
        label = f"{inversion[1]}_{inversion[2]}"
        folded = f"{label}_1-{label}_0"
    found = names.folded.get(folded, [])
    if not found and re.search(r"\d[SPD]\d", re.sub(r"[\s_^{}]+", "", bare)):
        # terms are written from the lower one as well
        found = names.folded.get("-".join(folded.split("-")[::-1]), [])
    return found


def goes_on(transition, molecule):
    """Return the transitions between levels whose labels go on from those given.

    Parameters
    ----------
    transition : str
        Such as ``"1-0"``, of levels ``1_2`` and ``0_1``.
    molecule : Molecule
        The molecule.

    Returns
    -------
    found : list of (int, (int, int))
        Index of the transition, and how many numbers of each level are given.
    """
    folded, levels, found = _fold(transition), names_of(molecule).levels, {}
    for dash in re.finditer("-", folded):
        given = [
            tuple(side.split("_"))
            for side in (folded[: dash.start()], folded[dash.end() :])
        ]
        if ("",) in given:
            continue
        for i, pair in enumerate(zip(molecule.upper, molecule.lower, strict=True)):
            own = [levels[level] for level in pair]
            if all(
                len(x) > len(start) and x[: len(start)] == start
                for x, start in zip(own, given, strict=True)
            ):
                found[i] = len(given[0]), len(given[1])
    return sorted(found.items())
