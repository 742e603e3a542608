"""Lines that are observed as one: hyperfine components, and sums that a user names."""

import re

import numpy as np

from ._line import blend_of, lines_of
from ._line_names import goes_on, names_of

#: Components of a blend lie within this fraction of its frequency, 300 km/s.
_SPREAD = 1e-3


def summands(name):
    """Return the names in a sum of lines, ``"OH(a-b)+OH(c-d)"``; one if it is none."""
    return re.split(r"(?<=\))\s*\+\s*(?=\S)|\s+\+\s+", name)


def sum_of(lines, name, known):
    """Return the sum of several lines, or blends, as one.

    Parameters
    ----------
    lines : sequence of Line or Blend
        Of one species.
    name : str
        What was asked for, for messages.
    known : mapping
        Species to :class:`Molecule`.

    Returns
    -------
    blend : Blend

    Raises
    ------
    ValueError
        If the lines are of several species, or one is named twice.
    """
    species = sorted({line.species for line in lines})
    if len(species) > 1:
        raise ValueError(
            f"The blend {name!r} has lines of {species}; a sum of lines is of one"
            " species."
        )
    components = [part for line in lines for part in line.components]
    if len(set(components)) < len(components):
        raise ValueError(f"The blend {name!r} names a line more than once.")
    own = "+".join(line.name for line in lines)
    return blend_of(own, components, known[species[0]])


def lines_that_go_on(transition, molecule, species):
    """Return the lines whose labels go on from the quantum numbers that are given.

    Components that differ in hyperfine structure alone are one line, if they lie
    within 300 km/s. Whatever else a name leaves open, such as K or the parity, makes
    different lines.

    Parameters
    ----------
    transition : str
        Such as ``"1-0"``.
    molecule : Molecule
        The molecule.
    species : str
        Its name.

    Returns
    -------
    lines : list of Line or Blend
        Several if it may be any of them, none if nothing fits.
    sure : bool
        Whether all but the hyperfine structure is given.
    """
    lines, found = lines_of(molecule, species), goes_on(transition, molecule)
    if not molecule.n_hyperfine:
        return [lines[i] for i, _ in found], False
    groups, names, sure = {}, names_of(molecule).exact, bool(found)
    for i, n_given in found:
        name, n_numbers = _leading(i, n_given, molecule)
        groups.setdefault(name, []).append(lines[i])
        sure &= n_numbers == n_given
    result = []
    for name, own in groups.items():
        frequencies = [line.frequency for line in own]
        close = np.ptp(frequencies) <= _SPREAD * np.mean(frequencies)
        if len(own) > 1 and close and name not in names:
            own = [blend_of(species + name, own, molecule)]
        result += own
    return result, sure


def blend_with(line, molecule):
    """Return the line of which a hyperfine component is part, or the line itself.

    Parameters
    ----------
    line : Line
        A component.
    molecule : Molecule
        Its molecule.

    Returns
    -------
    line : Line or Blend
    """
    if not molecule.n_hyperfine:
        return line
    name = _leading(line.index, (0, 0), molecule)[0]
    found, sure = lines_that_go_on(name[1:-1], molecule, line.species)
    return found[0] if sure and len(found) == 1 else line


def _leading(i, n_given, molecule):
    """Return the name of a transition without the numbers of hyperfine structure.

    Those among the numbers that are given stay. Also return how many these are.
    """
    labels, n_numbers = [], []
    for level, n in zip((molecule.upper[i], molecule.lower[i]), n_given, strict=True):
        parts = molecule.quantum_numbers[level].split("_")
        n_numbers.append(max(n, len(parts) - molecule.n_hyperfine))
        labels.append("_".join(parts[: n_numbers[-1]]))
    return f"({labels[0]}-{labels[1]})", tuple(n_numbers)
