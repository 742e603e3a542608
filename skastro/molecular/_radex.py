"""Non-LTE radiative transfer of molecular lines: the physics of RADEX."""

from functools import lru_cache
from numbers import Integral, Real

import numpy as np

from ..utils.arrays import refuse_units
from ..utils.sklearn_names import Interval, StrOptions
from ._constants import CMB_TEMPERATURE
from ._escape_probability import ESCAPE_PROBABILITIES
from ._line_model import LineModel
from ._statistical_equilibrium import StatisticalEquilibrium


@lru_cache(maxsize=128)
def _solver(molecule, geometry, background_temperature, tol, max_iter):
    return StatisticalEquilibrium(
        molecule, geometry, background_temperature, tol, max_iter
    )


class RadexModel(LineModel):
    r"""Line intensities of a homogeneous gas, by non-LTE radiative transfer.

    The model of RADEX [1]_: statistical equilibrium of the level populations, with
    collisions with molecular hydrogen, the cosmic background, and photons trapped
    according to an escape probability. Whole batches of models are solved at once by
    Newton's method, in 0.1 to 0.3 ms per model and species; see
    :ref:`the user guide <radex>`.

    It is a regressor with nothing to learn: ``predict`` works without ``fit``.

    Parameters
    ----------
    lines : sequence of str
        The lines to predict, such as ``["CO(3-2)", "HCN(4-3)"]``;
        :func:`line_catalogue` lists them.
    column_density : {"total", "per line width"}, default="total"
        Whether the column densities in ``theta`` are those of the whole line
        [cm^-2], or divided by the line width [cm^-2 / (km/s)], on which alone the
        optical depth depends.
    geometry : {"uniform sphere", "lvg", "slab"}, default="uniform sphere"
        Escape probability: [1]_, Eqs. 10, 8 and 9.
    background_temperature : float, default=2.73
        Temperature of the black-body background [K].
    molecules : mapping, default=None
        Molecules beside CO, CS, HCN and HCO+: species name to a LAMDA file or a
        :class:`Molecule`.
    tol : float, default=1e-6
        Relative change of the populations at which a model has converged.
    max_iter : int, default=100
        Newton iterations before a model is given up and comes back as NaN.

    Attributes
    ----------
    n_features_in_ : int
        Number of parameters. Defined after ``fit``.

    See Also
    --------
    RadexEmulator : The same signature, a thousand times faster, once trained.

    Notes
    -----
    Energies, and not the frequencies of the file, set the wavelength of a line, and
    ortho- and para-H2 are in thermal ratio (at most 3) where a file has both, as in
    RADEX. An inverted line is amplified by at most e: its optical depth is capped at
    -1, where RADEX would fail to converge or return temperatures of thousands of
    Kelvin.

    References
    ----------
    .. [1] van der Tak, Black, Schöier, Jansen & van Dishoeck (2007), A&A 468, 627.

    Examples
    --------
    >>> from skastro.molecular import RadexModel
    >>> radex = RadexModel(["CO(3-2)", "CO(6-5)"])
    >>> radex.parameter_names
    ['temperature', 'density', 'column_density_CO', 'line_width', 'filling_factor']
    >>> radex.predict([[150.0, 5e5, 1e19, 50.0, 1.0]]).round(0)
    array([[5923., 6699.]])
    """

    _parameter_constraints: dict = {
        **LineModel._parameter_constraints,
        "geometry": [StrOptions(set(ESCAPE_PROBABILITIES))],
        "background_temperature": [Interval(Real, 0, None, closed="neither")],
        "tol": [Interval(Real, 0, 1e-2, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        lines,
        *,
        column_density="total",
        geometry="uniform sphere",
        background_temperature=CMB_TEMPERATURE,
        molecules=None,
        tol=1e-6,
        max_iter=100,
    ):
        self.lines = lines
        self.column_density = column_density
        self.geometry = geometry
        self.background_temperature = background_temperature
        self.molecules = molecules
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X, y=None):
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (n_models, n_parameters)
            Gas properties; see :meth:`predict`.
        y : None
            Ignored; there is nothing to learn.

        Returns
        -------
        self : RadexModel
        """
        self._validate_params()
        self.n_features_in_ = self._check_theta(X).shape[1]
        return self

    @property
    def nonnegative_output(self):
        """Whether no line can be seen in absorption, which a retrieval should know."""
        return self.molecules is None and (
            self.background_temperature <= CMB_TEMPERATURE
        )

    def solve(self, species, temperature, density, column_density):
        """Solve the level populations of one species.

        Parameters
        ----------
        species : str
            One of the model's species.
        temperature : array-like of shape (n_models,)
            Kinetic temperature [K].
        density : array-like of shape (n_models,)
            Density of H2 [cm^-3].
        column_density : array-like of shape (n_models,)
            Column density per line width [cm^-2 / (km/s)].

        Returns
        -------
        solution : Solution
            Populations, optical depths, radiation and excitation temperatures of
            *all* radiative transitions of the molecule, iterations, and which models
            converged.

        Raises
        ------
        ValueError
            If a value is not positive and finite, or a temperature lies outside the
            molecule's collision rates.
        """
        self._validate_params()
        own = self._resolved()[1]
        if species not in own:
            raise ValueError(f"This model has the species {list(own)}, not {species}.")
        molecule = own[species].molecule
        gas = {
            "temperature": (temperature, "K"),
            "density": (density, "cm-3"),
            "column_density": (column_density, "cm-2 km-1 s"),
        }
        for name, (values, unit) in gas.items():
            refuse_units(values, name, unit)
        arrays = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(v, dtype=float)) for v, _ in gas.values())
        )
        gas = dict(zip(gas, arrays, strict=True))
        temperature, density, column_density = arrays
        for name, values in gas.items():
            wrong = ~(np.isfinite(values) & (values > 0))
            if wrong.any():
                raise ValueError(
                    f"`{name}` must be positive and finite, got {values[wrong][0]} and"
                    f" {int(wrong.sum()) - 1} more; it is linear, not a logarithm."
                )
        lower, upper = molecule.temperature_range()
        outside = (temperature < lower) | (temperature > upper)
        if outside.any():
            raise ValueError(
                f"The collision rates of {species} cover {lower:g} to {upper:g} K, but"
                f" {int(outside.sum())} of {len(temperature)} temperatures lie outside,"
                f" such as {temperature[outside][0]:g} K; narrow the temperatures or"
                " give a molecule file that covers them."
            )
        solver = _solver(
            molecule,
            self.geometry,
            float(self.background_temperature),
            self.tol,
            self.max_iter,
        )
        return solver.solve(temperature, density, column_density)

    def _radiation_temperature(
        self, name, lines, temperature, density, column, return_std
    ):
        solution = self.solve(name, temperature, density, column)
        radiation = solution.radiation_temperature[:, lines.indices]
        radiation[~solution.converged] = np.nan
        return radiation, 0.0  # it is the physics

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
