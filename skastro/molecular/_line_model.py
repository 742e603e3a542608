"""What all models of line intensities share: their parameters and their lines."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..utils.sklearn_names import StrOptions
from ..utils.warn import warn
from ._constants import GAUSSIAN_AREA
from ._gas import GasModel
from ._lamda import Molecule
from ._lines import as_molecules, find_lines


class Species(NamedTuple):
    """The lines of one species in a model."""

    molecule: Molecule
    #: where the species' lines stand among the model's outputs
    positions: np.ndarray
    #: which of the molecule's radiative transitions they are
    indices: np.ndarray


@lru_cache(maxsize=128)
def _resolve(names, molecules):
    """Return ``(lines, {species: Species})`` for line names; cached."""
    known = as_molecules(None if molecules is None else dict(molecules))
    lines = find_lines(names, known)
    species = {
        name: Species(
            known[name],
            np.array([i for i, line in enumerate(lines) if line.species == name]),
            np.array([line.index for line in lines if line.species == name]),
        )
        for name in dict.fromkeys(line.species for line in lines)
    }
    return lines, species


class LineModel(GasModel):
    r"""Base of the models of radiative transfer.

    A subclass says how the radiation temperature of a species' lines, and the spread
    of that if it has one, follow from kinetic temperature, density and column density
    per line width (:meth:`_radiation_temperature`). This class splits ``theta``, and
    adds line width and filling factor (thesis, section 2.4.1):

    .. math:: I = f \cdot 1.0645\, \Delta v \cdot T_R(T, n, N / \Delta v).
    """

    _parameter_constraints: dict = {
        "lines": ["array-like"],
        "column_density": [StrOptions({"total", "per line width"})],
        "molecules": [dict, None],
    }

    def _resolved(self):
        """Return the model's lines and species, looked up once."""
        if isinstance(self.lines, str):
            raise TypeError(f"`lines` must be a sequence of names, got {self.lines!r}.")
        molecules = self.molecules
        if molecules is not None:
            molecules = tuple(as_molecules(molecules).items())
        return _resolve(tuple(self.lines), molecules)

    @property
    def parameter_names(self):
        """Names of the columns of ``theta``, in order."""
        columns = [f"column_density_{name}" for name in self._resolved()[1]]
        return ["temperature", "density", *columns, "line_width", "filling_factor"]

    @property
    def parameter_units(self):
        """Units of the columns of ``theta``, as astropy spells them."""
        column = "cm-2" if self.column_density == "total" else "cm-2 km-1 s"
        n_species = len(self._resolved()[1])
        return ["K", "cm-3", *[column] * n_species, "km / s", ""]

    @property
    def output_names(self):
        """Names of the columns of the prediction: the lines."""
        return [line.name for line in self._resolved()[0]]

    def _split(self, theta):
        """Split ``theta``: temperature, density, columns per km/s, width, filling."""
        temperature, density = theta[:, 0], theta[:, 1]
        columns, line_width, filling = theta[:, 2:-2], theta[:, -2], theta[:, -1]
        if self.column_density == "total":
            columns = columns / line_width[:, None]
        return temperature, density, columns, line_width, filling

    def predict(self, theta):
        """Predict line intensities.

        Parameters
        ----------
        theta : array-like of shape (n_models, n_parameters)
            Columns as in ``parameter_names``, in the units of ``parameter_units``:
            kinetic temperature [K], density of H2 [cm^-3], one column density per
            species [cm^-2, or cm^-2 per km/s], line width [km/s], filling factor.

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
        temperature, density, columns, line_width, filling = self._split(theta)
        area = (filling * GAUSSIAN_AREA * line_width)[:, None]
        intensity = np.empty((len(theta), len(self.lines)))
        std = np.zeros_like(intensity) if return_std else None
        species = self._resolved()[1]
        for i, (name, lines) in enumerate(species.items()):
            radiation, spread = self._radiation_temperature(
                name, lines, temperature, density, columns[:, i], return_std
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
