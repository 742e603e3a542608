"""Molecules: energy levels, radiative transitions and collision rates."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ._constants import WAVENUMBER_TO_KELVIN


@dataclass(frozen=True, eq=False)
class Collisions:
    """Downward collision rates with one partner.

    Attributes
    ----------
    partner : str
        ``"H2"``, ``"p-H2"``, ``"o-H2"``, ``"e"``, ``"H"``, ``"He"`` or ``"H+"``.
    temperatures : ndarray of shape (n_temperatures,)
        Kinetic temperatures of the table [K], increasing; there may be only one.
    upper, lower : ndarray of shape (n_transitions,)
        Level indices, counted from 0, as in the file: where the file does not list its
        levels by energy, ``upper`` may have the lower energy.
    rates : ndarray of shape (n_temperatures, n_transitions)
        Rate coefficients from ``upper`` to ``lower`` [cm^3 s^-1].
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
    """Spectroscopy and collision rates of one molecule, atom or ion.

    Use :func:`load_molecule` to get a shipped one and :func:`read_lamda` to read a
    file.

    Attributes
    ----------
    name : str
        Species name, used as the prefix of line names.
    weight : float
        Molecular weight [u].
    energies : ndarray of shape (n_levels,)
        Level energies as wavenumbers [cm^-1], in the order of the file, which need not
        be that of energy.
    statistical_weights : ndarray of shape (n_levels,)
        Degeneracies.
    quantum_numbers : tuple of str
        One label per level, without quotes, blanks, comments and leading zeros.
    upper, lower : ndarray of shape (n_lines,)
        Level indices of the radiative transitions, counted from 0.
    einstein_a : ndarray of shape (n_lines,)
        Spontaneous emission rates [s^-1].
    frequencies : ndarray of shape (n_lines,)
        Rest frequencies [GHz].
    collisions : tuple of Collisions
        One entry per collision partner of the file.
    references : tuple of str
        What the file says of its sources: of levels and lines, then of each table of
        collision rates, then the notes at its end. Cite these.
    remarks : tuple of str
        What is odd about the file, by line: rows that were left out, energies that
        disagree with frequencies.
    file_labels : tuple of str
        The labels of the levels as the file has them.
    n_hyperfine : int
        How many quantum numbers at the end of each label are of hyperfine structure
        (F, or F1 and F), as the header of the file has it. Lines that differ in these
        alone are one, by the name without them.
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
    references: tuple = field(default=(), repr=False)
    remarks: tuple = field(default=(), repr=False)
    file_labels: tuple = field(default=(), repr=False)
    n_hyperfine: int = field(default=0, repr=False)

    @property
    def n_levels(self):
        """Number of energy levels."""
        return len(self.energies)

    @property
    def upper_energies(self):
        """Upper-level energy of each radiative transition [K]."""
        return self.energies[self.upper] * WAVENUMBER_TO_KELVIN

    @cached_property
    def line_names(self):
        """Name of each radiative transition, such as ``"CO(3-2)"``, all different.

        Where the labels of a file give several transitions one name, the numbers of
        the levels in the file follow: ``"X(1-0)[3-1]"``.
        """
        labels = self.quantum_numbers
        names = [
            f"{self.name}({labels[u]}-{labels[l]})"
            for u, l in zip(self.upper, self.lower, strict=True)
        ]
        counts = Counter(names)
        return tuple(
            f"{name}[{u + 1}-{l + 1}]" if counts[name] > 1 else name
            for name, u, l in zip(names, self.upper, self.lower, strict=True)
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
