"""Molecules: energy levels, radiative and collisional rates in LAMDA format."""

import difflib
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from ._constants import WAVENUMBER_TO_KELVIN

#: Molecule files shipped with the package: species name -> file.
_SHIPPED = {"CO": "co.dat", "CS": "cs@lique.dat", "HCN": "hcn.dat", "HCO+": "hco+.dat"}

#: LAMDA codes of the collision partners (van der Tak et al. 2020, Table 1).
_PARTNERS = {1: "H2", 2: "p-H2", 3: "o-H2", 4: "e", 5: "H", 6: "He", 7: "H+"}


@dataclass(frozen=True, eq=False)
class Collisions:
    """Downward collision rates with one partner.

    Attributes
    ----------
    partner : str
        ``"H2"``, ``"p-H2"``, ``"o-H2"``, ``"e"``, ``"H"``, ``"He"`` or ``"H+"``.
    temperatures : ndarray of shape (n_temperatures,)
        Kinetic temperatures of the table [K], increasing.
    upper, lower : ndarray of shape (n_transitions,)
        Level indices, counted from 0.
    rates : ndarray of shape (n_temperatures, n_transitions)
        Downward rate coefficients [cm^3 s^-1].
    reference : str
        The line of the file that names the source.
    """

    partner: str
    temperatures: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    rates: np.ndarray
    reference: str


@dataclass(frozen=True, eq=False)
class Molecule:
    """Spectroscopy and collision rates of one molecule.

    Use :func:`load_molecule` to get a shipped one and :func:`read_lamda` to read a
    file.

    Attributes
    ----------
    name : str
        Species name, used as the prefix of line names.
    weight : float
        Molecular weight [u].
    energies : ndarray of shape (n_levels,)
        Level energies as wavenumbers [cm^-1], increasing.
    statistical_weights : ndarray of shape (n_levels,)
        Degeneracies.
    quantum_numbers : tuple of str
        One label per level.
    upper, lower : ndarray of shape (n_lines,)
        Level indices of the radiative transitions, counted from 0.
    einstein_a : ndarray of shape (n_lines,)
        Spontaneous emission rates [s^-1].
    frequencies : ndarray of shape (n_lines,)
        Rest frequencies [GHz].
    collisions : tuple of Collisions
        One entry per collision partner of the file.
    """

    name: str
    weight: float
    energies: np.ndarray
    statistical_weights: np.ndarray
    quantum_numbers: tuple
    upper: np.ndarray
    lower: np.ndarray
    einstein_a: np.ndarray
    frequencies: np.ndarray
    collisions: tuple = field(repr=False)

    @property
    def n_levels(self):
        """Number of energy levels."""
        return len(self.energies)

    @property
    def upper_energies(self):
        """Upper-level energy of each radiative transition [K]."""
        return self.energies[self.upper] * WAVENUMBER_TO_KELVIN

    @property
    def line_names(self):
        """Name of each radiative transition, such as ``"CO(3-2)"``."""
        labels = self.quantum_numbers
        return tuple(
            f"{self.name}({labels[u]}-{labels[l]})"
            for u, l in zip(self.upper, self.lower, strict=True)
        )

    def hydrogen_collisions(self):
        """Return the collision tables with molecular hydrogen.

        Returns
        -------
        tables : list of Collisions
            ``[para, ortho]`` where the file has both; else the one it has, which then
            stands for all of the hydrogen.

        Raises
        ------
        ValueError
            If the file has no rates for molecular hydrogen.
        """
        by_partner = {table.partner: table for table in self.collisions}
        if "p-H2" in by_partner and "o-H2" in by_partner:
            return [by_partner["p-H2"], by_partner["o-H2"]]
        for partner in ("H2", "p-H2", "o-H2"):
            if partner in by_partner:
                return [by_partner[partner]]
        raise ValueError(
            f"The molecule {self.name!r} has collision rates with"
            f" {sorted(by_partner)}, none of them molecular hydrogen; use a LAMDA file"
            " with H2, or with para- and ortho-H2, as a collision partner."
        )

    def temperature_range(self):
        """Return the kinetic temperatures that the hydrogen rates cover.

        Returns
        -------
        lower, upper : float
            Temperatures [K]; the rates are not extrapolated beyond them.
        """
        tables = self.hydrogen_collisions()
        return (
            float(max(table.temperatures[0] for table in tables)),
            float(min(table.temperatures[-1] for table in tables)),
        )


def _label(text):
    """Tidy a quantum-number label: ``'" 03 "'`` -> ``'3'``."""
    text = text.strip().strip('"').strip()
    return str(int(text)) if re.fullmatch(r"\d+", text) else re.sub(r"\s+", "_", text)


class _LamdaLines:
    """The lines of a LAMDA file, read in order, with errors that say where."""

    def __init__(self, path, text):
        self.path = path
        self.lines = text.splitlines()
        self.position = 0

    def fail(self, expected):
        raise ValueError(
            f"{self.path}, line {self.position}: expected {expected}; this does not"
            " look like a molecule file in LAMDA format."
        )

    def value(self, expected, convert=str):
        """Skip one header line, return the converted line after it."""
        self.position += 1
        return self.record(expected, convert)

    def record(self, expected, convert=str):
        self.position += 1
        if self.position > len(self.lines):
            self.fail(f"{expected} instead of the end of the file")
        try:
            return convert(self.lines[self.position - 1])
        except (ValueError, IndexError):
            self.fail(expected)

    def count(self, expected):
        return self.value(expected, lambda line: int(line.split()[0]))

    def table(self, n_rows, expected, convert):
        """Skip one header line, return the ``n_rows`` converted lines after it."""
        self.position += 1
        return [self.record(expected, convert) for _ in range(n_rows)]


def _level(line):
    fields = line.split(maxsplit=3)
    return float(fields[1]), float(fields[2]), _label(fields[3])


def _transition(line):
    fields = line.split()
    return int(fields[1]) - 1, int(fields[2]) - 1, float(fields[3]), float(fields[4])


def _collision(n_temperatures):
    def convert(line):
        fields = line.split()
        rates = [float(rate) for rate in fields[3 : 3 + n_temperatures]]
        if len(rates) != n_temperatures:
            raise ValueError("too few rates")
        return int(fields[1]) - 1, int(fields[2]) - 1, rates

    return convert


def read_lamda(path, name=None):
    """Read a molecule file in LAMDA format.

    Parameters
    ----------
    path : path-like
        The file, for instance from the Leiden Atomic and Molecular Database.
    name : str, default=None
        Species name, the prefix of the line names. By default the first word of the
        file's own molecule line.

    Returns
    -------
    molecule : Molecule

    Raises
    ------
    ValueError
        If the file is not in LAMDA format; the message names the line.

    References
    ----------
    Schöier, van der Tak, van Dishoeck & Black (2005), A&A 432, 369.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from skastro.molecular import read_lamda
    >>> read_lamda(files("skastro.molecular") / "data" / "co.dat").line_names[2]
    'CO(3-2)'
    """
    path = Path(str(path))
    lines = _LamdaLines(path, path.read_text(encoding="utf-8", errors="replace"))
    own_name = lines.value("the molecule's name", lambda line: line.split()[0])
    weight = lines.value("the molecular weight", lambda line: float(line.split()[0]))
    n_levels = lines.count("the number of energy levels")
    levels = lines.table(n_levels, "an energy level", _level)
    n_lines = lines.count("the number of radiative transitions")
    transitions = lines.table(n_lines, "a radiative transition", _transition)
    n_partners = lines.count("the number of collision partners")
    collisions = []
    for _ in range(n_partners):
        reference = lines.value("a collision partner")
        code = re.match(r"\s*(\d+)", reference)
        if code is None or int(code.group(1)) not in _PARTNERS:
            lines.fail(f"a collision partner's code, one of {sorted(_PARTNERS)}")
        n_collisions = lines.count("the number of collisional transitions")
        n_temperatures = lines.count("the number of collision temperatures")
        temperatures = lines.value(
            "the collision temperatures",
            lambda line: np.array([float(value) for value in line.split()]),
        )[:n_temperatures]
        if len(temperatures) != n_temperatures:
            lines.fail(f"{n_temperatures} collision temperatures")
        rows = lines.table(n_collisions, "collision rates", _collision(n_temperatures))
        collisions.append(
            Collisions(
                partner=_PARTNERS[int(code.group(1))],
                temperatures=temperatures,
                upper=np.array([row[0] for row in rows]),
                lower=np.array([row[1] for row in rows]),
                rates=np.array([row[2] for row in rows]).T,
                reference=reference[code.end() :].strip(),
            )
        )
    return Molecule(
        name=own_name if name is None else name,
        weight=weight,
        energies=np.array([level[0] for level in levels]),
        statistical_weights=np.array([level[1] for level in levels]),
        quantum_numbers=tuple(level[2] for level in levels),
        upper=np.array([row[0] for row in transitions]),
        lower=np.array([row[1] for row in transitions]),
        einstein_a=np.array([row[2] for row in transitions]),
        frequencies=np.array([row[3] for row in transitions]),
        collisions=tuple(collisions),
    )


@cache
def load_molecule(name):
    """Load one of the molecules shipped with skastro.

    Parameters
    ----------
    name : {"CO", "CS", "HCN", "HCO+"}
        Species name.

    Returns
    -------
    molecule : Molecule

    Raises
    ------
    ValueError
        If no such molecule is shipped; the message names the closest.

    References
    ----------
    CO: Yang et al. (2010), ApJ 718, 1062. HCN: Dumouchel, Faure & Lique (2010),
    MNRAS 406, 2488. HCO+: Flower (1999), MNRAS 305, 651. CS: Lique, Spielfiedel &
    Cernicharo (2006), A&A 451, 1125. All in the format of Schöier et al. (2005),
    A&A 432, 369.

    Examples
    --------
    >>> from skastro.molecular import load_molecule
    >>> load_molecule("HCO+").temperature_range()
    (10.0, 400.0)
    """
    if name not in _SHIPPED:
        close = difflib.get_close_matches(name, _SHIPPED, n=1, cutoff=0.3)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"No molecule {name!r} is shipped, only {sorted(_SHIPPED)}.{hint} For any"
            " other, give a LAMDA file through the parameter `molecules`."
        )
    source = resources.files("skastro.molecular") / "data" / _SHIPPED[name]
    with resources.as_file(source) as path:
        return read_lamda(path, name=name)


def fetch_lamda(url, known_hash, *, name=None, path=None):
    """Download a molecule file in LAMDA format, check it and keep it.

    Parameters
    ----------
    url : str
        Address of the file.
    known_hash : str
        Its checksum, such as ``"sha256:..."``: collision rates are revised without
        a new file name, and a result should say which it used.
    name : str, default=None
        Species name; see :func:`read_lamda`.
    path : path-like, default=None
        Folder of the cache; by default pooch's cache folder for ``skastro``.

    Returns
    -------
    molecule : Molecule

    Raises
    ------
    ValueError
        If the checksum differs, or the file is not in LAMDA format.
    """
    import pooch

    file = pooch.retrieve(
        url, known_hash=known_hash, path=path or pooch.os_cache("skastro")
    )
    return read_lamda(file, name=name)
