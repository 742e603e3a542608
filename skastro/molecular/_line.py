"""Lines: single radiative transitions, and blends of several."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Line:
    """One radiative transition.

    Attributes
    ----------
    name : str
        Such as ``"CO(3-2)"``.
    species : str
        The molecule.
    frequency : float
        Rest frequency [GHz].
    upper_energy : float
        Energy of the upper level [K].
    einstein_a : float
        Spontaneous emission rate [s^-1].
    upper, lower : int
        Level indices, counted from 0.
    index : int
        Position among the molecule's radiative transitions.
    """

    name: str
    species: str
    frequency: float
    upper_energy: float
    einstein_a: float
    upper: int
    lower: int
    index: int

    @property
    def components(self):
        """Itself, as one that is no blend."""
        return (self,)

    @property
    def indices(self):
        """Positions among the molecule's radiative transitions: one."""
        return (self.index,)


@dataclass(frozen=True)
class Blend:
    """Several radiative transitions of a species, observed as one line.

    A model predicts the sum of them.

    Attributes
    ----------
    name : str
        Such as ``"HCN-hfs(1-0)"``, or the names of its components with plus signs
        between them.
    species : str
        The molecule.
    frequency : float
        Mean of the components, by the rates at which they emit in equilibrium [GHz].
    upper_energy : float
        Lowest upper-level energy [K].
    components : tuple of Line
        The transitions.
    """

    name: str
    species: str
    frequency: float
    upper_energy: float
    components: tuple

    @property
    def indices(self):
        """Positions among the molecule's radiative transitions."""
        return tuple(line.index for line in self.components)


@lru_cache(maxsize=128)
def lines_of(molecule, species):
    """Return the lines of a molecule, under the name of a species."""
    return tuple(
        Line(
            # the user's species name, whatever the file calls itself
            name=species + molecule.line_names[i][len(molecule.name) :],
            species=species,
            frequency=float(molecule.frequencies[i]),
            upper_energy=float(molecule.upper_energies[i]),
            einstein_a=float(molecule.einstein_a[i]),
            upper=int(molecule.upper[i]),
            lower=int(molecule.lower[i]),
            index=i,
        )
        for i in range(len(molecule.upper))
    )


def blend_of(name, lines, molecule):
    """Return several lines of a molecule as one.

    Parameters
    ----------
    name : str
        What it is called.
    lines : sequence of Line
        Its components.
    molecule : Molecule
        Theirs.

    Returns
    -------
    blend : Blend
    """
    rates = [x.einstein_a * molecule.statistical_weights[x.upper] for x in lines]
    rates = rates if any(rates) else None
    return Blend(
        name=name,
        species=lines[0].species,
        frequency=float(np.average([x.frequency for x in lines], weights=rates)),
        upper_energy=min(x.upper_energy for x in lines),
        components=tuple(lines),
    )
