"""The catalogue of lines: names to frequencies, energies and level indices."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..utils.suggestions import closest
from ._lamda import _SHIPPED, Molecule, load_molecule, read_lamda


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


def as_molecules(molecules):
    """Return ``{species: Molecule}`` of the given molecules and the shipped ones.

    Parameters
    ----------
    molecules : mapping or None
        Species name to LAMDA file or :class:`Molecule`; a shipped species named here
        is replaced.

    Returns
    -------
    known : dict
    """
    known = {name: load_molecule(name) for name in _SHIPPED}
    if molecules is None:
        return known
    if not isinstance(molecules, Mapping):
        raise TypeError(
            "`molecules` must be a mapping from species name to a LAMDA file or a"
            f" Molecule, got {type(molecules).__name__}."
        )
    for name, source in molecules.items():
        if not isinstance(source, Molecule):
            path = Path(str(source))
            source = _read_once(path, path.stat().st_mtime_ns, name)
        known[name] = source
    return known


@lru_cache(maxsize=64)
def _read_once(path, modified, name):
    """Read a file again only if it has changed."""
    return read_lamda(path, name=name)


def _lines_of(molecule, species):
    energies = molecule.upper_energies
    return [
        Line(
            # the user's species name, whatever the file calls itself
            name=species + name[len(molecule.name) :],
            species=species,
            frequency=float(molecule.frequencies[i]),
            upper_energy=float(energies[i]),
            einstein_a=float(molecule.einstein_a[i]),
            upper=int(molecule.upper[i]),
            lower=int(molecule.lower[i]),
            index=i,
        )
        for i, name in enumerate(molecule.line_names)
    ]


def line_catalogue(species=None, molecules=None):
    """List the lines that can be modelled.

    Parameters
    ----------
    species : str, default=None
        Keep the lines of one molecule only.
    molecules : mapping, default=None
        Molecules beside the shipped ones: species name to LAMDA file or
        :class:`Molecule`.

    Returns
    -------
    lines : list of Line
        Ordered by molecule, then as in its file.

    Raises
    ------
    ValueError
        If ``species`` is not known; the message names the closest.

    Examples
    --------
    >>> from skastro.molecular import line_catalogue
    >>> line = line_catalogue("CO")[2]
    >>> line.name, round(line.frequency, 3), round(line.upper_energy, 2)
    ('CO(3-2)', 345.796, 33.19)
    """
    known = as_molecules(molecules)
    if species is not None and species not in known:
        raise ValueError(
            f"Unknown species {species!r}; known are {sorted(known)}."
            + closest(species, known)
        )
    chosen = known if species is None else [species]
    return [line for name in chosen for line in _lines_of(known[name], name)]


def find_lines(names, molecules=None):
    """Look lines up by name.

    Parameters
    ----------
    names : sequence of str
        Such as ``["CO(3-2)", "HCN(4-3)"]``.
    molecules : mapping, default=None
        As for :func:`line_catalogue`.

    Returns
    -------
    lines : list of Line

    Raises
    ------
    ValueError
        If a name is unknown or appears twice; the message names the closest lines.

    Examples
    --------
    >>> from skastro.molecular import find_lines
    >>> find_lines(["HCN(4-3)"])[0].frequency
    354.5054773
    """
    if isinstance(names, str):
        raise TypeError(f"`lines` must be a sequence of line names, got {names!r}.")
    names = list(names)
    if not names:
        raise ValueError("`lines` is empty; name at least one line, such as 'CO(3-2)'.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"`lines` names {repeated} more than once.")
    catalogue = {line.name: line for line in line_catalogue(molecules=molecules)}
    found = []
    for name in names:
        if name not in catalogue:
            raise ValueError(
                f"Unknown line {name!r}."
                + closest(str(name), catalogue)
                + " `line_catalogue()` lists all lines."
            )
        found.append(catalogue[name])
    return found
