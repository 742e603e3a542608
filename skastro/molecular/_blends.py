"""Lines that are observed as one: hyperfine components, and sums that a user names."""

import re
from dataclasses import dataclass

import numpy as np

from ._line_names import names_of

#: Components of a blend lie within this fraction of its frequency, 300 km/s.
_SPREAD = 1e-3


@dataclass(frozen=True)
class Blend:
    """Several radiative transitions of a species, predicted as the sum of them.

    Attributes
    ----------
    name : str
        As it was asked for, such as ``"HCN(1-0)"`` of a file with hyperfine levels.
    species : str
        The molecule.
    frequency : float
        Mean of the components, by the rates at which they emit in equilibrium [GHz].
    upper_energy : float
        Lowest upper-level energy [K].
    indices : tuple of int
        Positions among the molecule's radiative transitions.
    """

    name: str
    species: str
    frequency: float
    upper_energy: float
    indices: tuple


def _quanta(label):
    """Split a label of a level: ``"'01_1.5'"`` -> ``["1", "1.5"]``."""
    parts = label.strip("'\"").split("_")
    return [re.sub(r"^0+(?=\d)", "", part) for part in parts]


def _components(transition, molecule):
    """Return the transitions between levels whose labels go on from those given."""
    upper, _, lower = transition.rpartition("-")
    if not upper or not lower:
        return []
    wanted = _quanta(upper), _quanta(lower)
    labels = [_quanta(label) for label in molecule.quantum_numbers]

    def goes_on(level, start):
        own = labels[level]
        return len(own) > len(start) and own[: len(start)] == start

    return [
        i
        for i, (u, l) in enumerate(zip(molecule.upper, molecule.lower, strict=True))
        if goes_on(u, wanted[0]) and goes_on(l, wanted[1])
    ]


def _blend(name, species, molecule, indices):
    frequencies = molecule.frequencies[list(indices)]
    upper = molecule.upper[list(indices)]
    weights = molecule.einstein_a[list(indices)] * molecule.statistical_weights[upper]
    return Blend(
        name=name,
        species=species,
        frequency=float(np.average(frequencies, weights=weights)),
        upper_energy=float(molecule.upper_energies[list(indices)].min()),
        indices=tuple(int(i) for i in indices),
    )


def find_blend(name, known, find_line):
    """Return the blend that a name means.

    Parameters
    ----------
    name : str
        ``"HCN(1-0)"`` is the blend of all transitions from levels of J = 1 to levels
        of J = 0, if the labels of the file go on after J and the transitions lie
        within 300 km/s. ``"OH(a-b)+OH(c-d)"`` is the sum of these.
    known : mapping
        Species to :class:`Molecule`.
    find_line : callable
        Returns the line of a name.

    Returns
    -------
    blend : Blend or None
        None if the name is that of a line, or of none.

    Raises
    ------
    ValueError
        If the lines of a sum are of several species, or one is named twice.
    """
    if not isinstance(name, str):
        return None
    parts = re.split(r"(?<=\))\s*\+\s*(?=\S)", name)
    if len(parts) > 1:
        lines = [find_line(part) for part in parts]
        species = {line.species for line in lines}
        if len(species) > 1:
            raise ValueError(
                f"The blend {name!r} has lines of {sorted(species)}; a sum of lines is"
                " of one species."
            )
        indices = [line.index for line in lines]
        if len(set(indices)) < len(indices):
            raise ValueError(f"The blend {name!r} names a line more than once.")
        species = species.pop()
        return _blend(name, species, known[species], indices)
    species, bracket, transition = name.partition("(")
    if not bracket or not transition.endswith(")") or species not in known:
        return None
    molecule = known[species]
    if name[len(species) :] in names_of(molecule).exact:
        return None
    indices = _components(transition[:-1], molecule)
    if len(indices) < 2:
        return None
    frequencies = molecule.frequencies[indices]
    if np.ptp(frequencies) > _SPREAD * frequencies.mean():
        return None
    return _blend(name, species, molecule, indices)
