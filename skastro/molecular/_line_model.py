"""What all models of line intensities share: their parameters and their lines."""

from functools import lru_cache
from numbers import Real
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..utils.sklearn_names import Interval, StrOptions
from ..utils.warn import warn
from ._constants import GAUSSIAN_AREA
from ._gas import GasModel
from ._known_molecules import as_molecules
from ._lamda import Molecule
from ._lines import find_lines
from ._overlap import least_distance
from ._partners import check_partners
from ._radiation import Dust, source_parameters


class Species(NamedTuple):
    """The lines of one species in a model."""

    molecule: Molecule
    #: where the species' lines stand among the model's outputs
    positions: np.ndarray
    #: for each of them, which of the molecule's radiative transitions it is made of
    transitions: tuple


class Gas(NamedTuple):
    """What a model takes, apart."""

    #: temperature, densities and whatever else all species share, by name
    shared: dict
    #: column densities per line width, of shape (n_models, n_species)
    columns: np.ndarray
    line_width: np.ndarray
    filling: np.ndarray


def _species(molecule, lines, positions):
    """Return the lines of one species."""
    transitions = [np.array(line.indices) for line in lines]  # a blend has several
    return Species(molecule, np.array(positions), tuple(transitions))


@lru_cache(maxsize=128)
def _resolve(names, molecules):
    """Return ``(lines, {species: Species})`` for line names; cached."""
    known = as_molecules(None if molecules is None else dict(molecules))
    lines = find_lines(names, known)
    species = {}
    for name in dict.fromkeys(line.species for line in lines):
        positions = [i for i, line in enumerate(lines) if line.species == name]
        own = [lines[i] for i in positions]
        species[name] = _species(known[name], own, positions)
    return lines, species


class LineModel(GasModel):
    r"""Base of the models of radiative transfer.

    A subclass says how the radiation temperature of a species' lines, and the spread
    of that if it has one, follow from kinetic temperature, densities and column density
    per line width (:meth:`_radiation_temperature`). This class splits ``theta``, and
    adds line width and filling factor (thesis, section 2.4.1):

    .. math:: I = f \cdot 1.0645\, \Delta v \cdot T_R(T, n, N / \Delta v).

    Where lines overlap, :math:`T_R` depends on :math:`\Delta v` by itself too.
    """

    _parameter_constraints: dict = {
        "lines": ["array-like"],
        "column_density": [StrOptions({"total", "per line width"})],
        "molecules": [dict, None],
        "partners": ["array-like", str],  # a word is refused with a better one
        "electrons": [StrOptions({"density", "fraction"})],
        "ortho_para_ratio": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"thermal", "free"}),
        ],
        "radiation": [list, tuple, None],
        "dust": [Dust, None],
    }

    def _resolved(self):
        """Return the model's lines and species, looked up once."""
        if isinstance(self.lines, str):
            raise TypeError(f"`lines` must be a sequence of names, got {self.lines!r}.")
        molecules = self.molecules
        if molecules is not None:
            known = as_molecules(molecules)
            molecules = tuple((name, known[name]) for name in molecules)
        return _resolve(tuple(self.lines), molecules)

    def _partners(self):
        """Return the collision partners."""
        return check_partners(self.partners, self.electrons, self.ortho_para_ratio)

    def _shared_parameters(self):
        """Return the parameters before the column densities, and their units."""
        sources = source_parameters(self.radiation, self.dust)
        return {"temperature": "K", **self._partners().parameters, **sources}

    @property
    def parameter_names(self):
        """Names of the columns of ``theta``, in order."""
        columns = [f"column_density_{name}" for name in self._resolved()[1]]
        return [*self._shared_parameters(), *columns, "line_width", "filling_factor"]

    @property
    def parameter_units(self):
        """Units of the columns of ``theta``, as astropy spells them."""
        column = "cm-2" if self.column_density == "total" else "cm-2 km-1 s"
        n_species = len(self._resolved()[1])
        units = self._shared_parameters().values()
        return [*units, *[column] * n_species, "km / s", ""]

    @property
    def output_names(self):
        """Names of the columns of the prediction: the lines."""
        return [line.name for line in self._resolved()[0]]

    @property
    def scale_parameters(self):
        """Parameters that all intensities are proportional to.

        The line width is one where columns are per line width, and no lines overlap.
        """
        distances = [self._least_distance(name) for name in self._resolved()[1]]
        if self.column_density == "total" or np.isfinite(distances).any():
            return ["filling_factor"]
        return ["line_width", "filling_factor"]

    def _least_distance(self, species):
        """Return the width [km/s] from which on lines may depend on the width."""
        molecule, _, transitions = self._resolved()[1][species]
        every = self.overlap == "include"
        return least_distance(molecule, None if every else transitions)

    @property
    def separable_parameters(self):
        """Column densities, and the lines that alone depend on each."""
        names = self.output_names
        return {
            f"column_density_{name}": [names[i] for i in lines.positions]
            for name, lines in self._resolved()[1].items()
        }

    def _split(self, theta):
        """Split ``theta``; columns become those per line width."""
        names = list(self._shared_parameters())
        shared = {name: theta[:, i] for i, name in enumerate(names)}
        columns, line_width = theta[:, len(names) : -2], theta[:, -2]
        if self.column_density == "total":
            columns = columns / line_width[:, None]
        return Gas(shared, columns, line_width, theta[:, -1])

    def predict(self, theta):
        """Predict line intensities.

        Parameters
        ----------
        theta : array-like of shape (n_models, n_parameters)
            Columns as in ``parameter_names``, in the units of ``parameter_units``:
            kinetic temperature [K], densities of the partners [cm^-3] and whatever
            else is free, one column density per species [cm^-2, or cm^-2 per km/s],
            line width [km/s], filling factor.

        Returns
        -------
        intensity : ndarray of shape (n_models, n_lines)
            Velocity-integrated intensity [K km/s]; NaN where the model did not
            converge, which a warning counts.

        Raises
        ------
        ValueError
            If a column is missing, or a value is not physical or outside the model's
            range.
        """
        return self._intensity(self._check_theta(theta))[0]

    def _intensity(self, theta, return_std=False):
        """Return intensities of checked gas and, if asked, their spread, or None."""
        gas = self._split(theta)
        area = (gas.filling * GAUSSIAN_AREA * gas.line_width)[:, None]
        intensity = np.empty((len(theta), len(self.lines)))
        std = np.zeros_like(intensity) if return_std else None
        species = self._resolved()[1]
        for i, (name, lines) in enumerate(species.items()):
            radiation, spread = self._radiation_temperature(
                name, lines, gas, gas.columns[:, i], return_std
            )
            intensity[:, lines.positions] = radiation
            if return_std:
                std[:, lines.positions] = spread
        intensity *= area
        self._warn_of_nan(intensity, species)
        return intensity, std * area if return_std else None

    @staticmethod
    def _warn_of_nan(intensity, species):
        """Warn of models without a solution, counted by species."""
        unsolved = np.isnan(intensity)
        if not unsolved.any():
            return
        counts = ", ".join(
            f"{name}: {int(unsolved[:, lines.positions].any(axis=1).sum())}"
            for name, lines in species.items()
        )
        warn(
            f"The level populations of some of {len(intensity)} models did not"
            f" converge ({counts}); their intensities are NaN.",
            ConvergenceWarning,
        )
