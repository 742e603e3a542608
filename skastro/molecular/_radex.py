"""Non-LTE radiative transfer of molecular lines: the physics of RADEX."""

from functools import lru_cache
from numbers import Integral, Real

import numpy as np

from ..utils.emulator_range import ExtrapolationWarning
from ..utils.sklearn_names import Interval, StrOptions
from ..utils.warn import warn
from ._constants import CMB_TEMPERATURE
from ._escape_probability import ESCAPE_PROBABILITIES
from ._gas import check_values
from ._line_model import LineModel
from ._overlap import least_distance, mind_overlap
from ._overlapping_lines import OverlappingLines
from ._partners import check_missing_rates, colliders
from ._radiation import surroundings
from ._statistical_equilibrium import StatisticalEquilibrium

#: Linear molecules, which collisions cannot make colder than the background.
_NEVER_ABSORB = {"CO", "CS", "HCN", "HCO+"}


@lru_cache(maxsize=128)
def _solver(kind, molecule, tables, *settings):
    return kind(molecule, tables, *settings)


class RadexModel(LineModel):
    r"""Line intensities of a homogeneous gas, by non-LTE radiative transfer.

    The model of RADEX [1]_: statistical equilibrium of the level populations, with
    collisions with hydrogen, electrons and other partners, the cosmic background, and
    photons trapped according to an escape probability. Whole batches of models are
    solved at once by Newton's method; see :ref:`the user guide <radex>`. A model of
    one species takes 0.1 to 0.2 ms with 24 to 41 levels, a few microseconds with 2 or
    3, and 1 to 2 ms with 91 (SO).

    It is a regressor with nothing to learn: ``predict`` works without ``fit``.

    Parameters
    ----------
    lines : sequence of str
        The lines to predict, such as ``["CO(3-2)", "HCN(4-3)"]``;
        :func:`line_catalogue` lists them, and :func:`find_lines` says how else they,
        and blends of them, may be called.
    column_density : {"total", "per line width"}, default="total"
        Whether the column densities in ``theta`` are those of the whole line
        [cm^-2], or divided by the line width [cm^-2 / (km/s)], on which alone the
        optical depth depends.
    partners : sequence of str, default=("H2",)
        Collision partners, each with a density as a parameter [cm^-3]: ``"H2"``
        (``density``), or ``"o-H2"`` and ``"p-H2"`` apart (``density_ortho_H2``,
        ``density_para_H2``), ``"H"``, ``"He"``, ``"H+"`` and ``"e"`` (``density_H``,
        ``density_He``, ``density_H+``, ``density_e``). Where a file has rates for H2
        as a whole, they count for either kind; where it has one kind alone, that
        counts for H2.
    electrons : {"density", "fraction"}, default="density"
        With ``"fraction"``, ``electron_fraction`` is the parameter in place of
        ``density_e``: their density over that of H2, of whatever kind, and H. It is
        per molecule in molecular gas, as in [2]_, and per atom in atomic gas, and at
        most 2.4, with fully ionised hydrogen and helium.
    ortho_para_ratio : {"thermal", "free"} or float, default="thermal"
        Ratio of ortho- to para-H2 where a file tells them apart and ``partners`` does
        not: thermal, but at most 3, as in RADEX; fixed; or the parameter
        ``ortho_para_ratio``.
    missing_rates : {"raise", "ignore"} or mapping, default="raise"
        What to do where a species has no rates with a partner: raise, or let that
        partner not excite it. A mapping from species to partners, such as
        ``{"CO": ["e"]}``, says which may be ignored.
    rate_extrapolation : {"raise", "hold"}, default="raise"
        What to do at temperatures beyond those of collision rates, each partner's
        own: raise, or hold the rates at the end of the table, with a warning. A table
        of one temperature has the range of that temperature.
    populations : {"statistical equilibrium", "lte"}, default="statistical equilibrium"
        With ``"lte"`` populations are those of Boltzmann, the limit of high density;
        densities remain parameters, and say nothing.
    geometry : {"uniform sphere", "lvg", "lvg radex", "slab"}, default="uniform sphere"
        Escape probability: [1]_, Eqs. 10, 8 and 9; ``"lvg radex"`` is what the
        Fortran program computes in place of Eq. 8.
    background_temperature : float or None, default=2.73
        Temperature of the black-body background [K]; None for no such background.
    radiation : sequence of radiation fields, default=None
        :class:`BlackBody`, :class:`ModifiedBlackBody` and :class:`TabulatedField`
        *added to* that background. Those of their values that are ``"free"`` are
        parameters.
    dust : Dust, default=None
        Dust within the gas, that absorbs and emits at the lines. Only with the
        geometry ``"uniform sphere"``.
    overlap : {"raise", "warn", "ignore", "include"}, default="warn"
        What ``predict`` does where two lines of a species are closer than the line
        width and both thicker than 0.1, so that each absorbs photons of the other:
        raise; let the molecule be excited as if they were apart, as RADEX does, with
        an :class:`OverlapWarning` or without; or include it, as pythonradex does, only
        with the geometry ``"uniform sphere"``. What is seen of a blend adds profiles
        and not lines in any case.
    molecules : mapping, default=None
        Molecules beside the shipped ones: species name to a LAMDA file or a
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
    Energies, and not the frequencies of the file, set the wavelength of a line. An
    inverted line is amplified by at most e: its optical depth is capped at -1, where
    RADEX would fail to converge or return temperatures of thousands of Kelvin.

    A line is what is seen above the continuum, of the background and of dust:
    :math:`T_R` is negative where it absorbs more of that than it emits.

    References
    ----------
    .. [1] van der Tak, Black, Schöier, Jansen & van Dishoeck (2007), A&A 468, 627.
    .. [2] Goldsmith & Kauffmann (2017), ApJ 841, 25.

    Examples
    --------
    >>> from skastro.molecular import RadexModel
    >>> radex = RadexModel(["CO(3-2)", "CO(6-5)"])
    >>> radex.parameter_names
    ['temperature', 'density', 'column_density_CO', 'line_width', 'filling_factor']
    >>> radex.predict([[150.0, 5e5, 1e19, 50.0, 1.0]]).round(0)
    array([[5923., 6699.]])

    HCN, excited by electrons too:

    >>> radex = RadexModel(["HCN(1-0)"], partners=("H2", "e"), electrons="fraction")
    >>> radex.parameter_names[:3]
    ['temperature', 'density', 'electron_fraction']
    >>> gas = [[20.0, 1e3, x, 1e13, 1.0, 1.0] for x in (0.0, 1e-4)]
    >>> radex.predict(gas).round(2)
    array([[0.03],
           [0.21]])
    """

    _parameter_constraints: dict = {
        **LineModel._parameter_constraints,
        "geometry": [StrOptions(set(ESCAPE_PROBABILITIES))],
        "populations": [StrOptions({"statistical equilibrium", "lte"})],
        "background_temperature": [Interval(Real, 0, None, closed="neither"), None],
        "missing_rates": [StrOptions({"raise", "ignore"}), dict],
        "rate_extrapolation": [StrOptions({"raise", "hold"})],
        "overlap": [StrOptions({"raise", "warn", "ignore", "include"})],
        "tol": [Interval(Real, 0, 1e-2, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        lines,
        *,
        column_density="total",
        partners=("H2",),
        electrons="density",
        ortho_para_ratio="thermal",
        missing_rates="raise",
        rate_extrapolation="raise",
        populations="statistical equilibrium",
        geometry="uniform sphere",
        background_temperature=CMB_TEMPERATURE,
        radiation=None,
        dust=None,
        overlap="warn",
        molecules=None,
        tol=1e-6,
        max_iter=100,
    ):
        self.lines = lines
        self.column_density = column_density
        self.partners = partners
        self.electrons = electrons
        self.ortho_para_ratio = ortho_para_ratio
        self.missing_rates = missing_rates
        self.rate_extrapolation = rate_extrapolation
        self.populations = populations
        self.geometry = geometry
        self.background_temperature = background_temperature
        self.radiation = radiation
        self.dust = dust
        self.overlap = overlap
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
        for species in self._resolved()[1]:
            self._colliders(species)  # says which rates are missing
        return self

    @property
    def nonnegative_output(self):
        """Whether no line can be seen in absorption, which a retrieval should know."""
        return (
            self.radiation is None
            and self.dust is None
            and (self.background_temperature or 0.0) <= CMB_TEMPERATURE
            and self._resolved()[1].keys() <= _NEVER_ABSORB - set(self.molecules or ())
        )

    @property
    def may_warn(self):
        """Whether there are gases that a warning tells of, as a retrieval should."""
        if self.rate_extrapolation == "hold" and self.populations != "lte":
            return True
        species = self._resolved()[1].values()
        return self.overlap == "warn" and any(
            least_distance(own.molecule, None) < np.inf for own in species
        )

    def solve(
        self, species, temperature, density=None, column_density=None, **parameters
    ):
        """Solve the level populations of one species.

        Parameters
        ----------
        species : str
            One of the model's species.
        temperature : array-like of shape (n_models,)
            Kinetic temperature [K].
        density : array-like of shape (n_models,)
            Density of H2 [cm^-3], if that is one of ``partners``.
        column_density : array-like of shape (n_models,)
            Column density per line width [cm^-2 / (km/s)].
        **parameters : array-like of shape (n_models,)
            Whatever else all species share, by the names of ``parameter_names``, such
            as ``density_e``; with ``overlap="include"`` ``line_width`` [km/s] too.

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
            molecule's collision rates; if a parameter is missing.
        """
        self._validate_params()
        own = self._resolved()[1]
        if species not in own:
            raise ValueError(f"This model has the species {list(own)}, not {species}.")
        given = {"temperature": temperature, "density": density, **parameters}
        given = {k: v for k, v in given.items() if v is not None}
        given["column_density"] = column_density
        units = {**self._shared_parameters(), "column_density": "cm-2 km-1 s"}
        if self._includes_overlap:
            units["line_width"] = "km / s"
        gas = check_values(given, units)
        column, line_width = gas.pop("column_density"), gas.pop("line_width", None)
        self._mind_temperatures([species], gas["temperature"])
        return self._solve(species, gas, column, line_width)

    @property
    def _includes_overlap(self):
        """Whether lines excite each other: in equilibrium nothing does."""
        return self.overlap == "include" and self.populations != "lte"

    def _colliders(self, species):
        """Return the collision rates of a species; none in equilibrium."""
        if self.populations == "lte":
            return ()
        partners = self._partners()
        check_missing_rates(self.missing_rates, self._resolved()[1], partners)
        molecule = self._resolved()[1][species].molecule
        return colliders(molecule, species, partners, self.missing_rates)

    def _mind_temperatures(self, species, temperature):
        """Raise or warn where temperatures lie beyond collision rates."""
        beyond, ranges = np.zeros(len(temperature), dtype=bool), []
        for name in species:
            for collider in self._colliders(name):
                lower, upper = collider.range
                outside = (temperature < lower) | (temperature > upper)
                if not outside.any():
                    continue
                beyond |= outside
                partner = collider.table.partner
                if self.rate_extrapolation == "raise":
                    cover = f"cover {lower:g} to {upper:g} K"
                    if lower == upper:
                        cover = f"are for {lower:g} K alone"
                    raise ValueError(
                        f"The collision rates of {name} with {partner} {cover}, but"
                        f" {int(outside.sum())} of {len(temperature)} temperatures lie"
                        f" outside, such as {temperature[outside][0]:g} K; narrow the"
                        " temperatures, give a molecule file that covers them, or hold"
                        " the rates at the ends of their table:"
                        ' rate_extrapolation="hold".'
                    )
                ranges.append(f"{name} with {partner} ({lower:g} to {upper:g} K)")
        if ranges:
            warn(
                f"{int(beyond.sum())} of {len(temperature)} models lie beyond the"
                f" temperatures of collision rates, of {', '.join(ranges)}: there the"
                " rates at the ends of the tables are held.",
                ExtrapolationWarning,
            )

    def _check_geometry(self):
        """Refuse what an escape probability cannot be for."""
        if self.geometry == "uniform sphere":
            return
        words = (
            "where a velocity gradient lets photons escape, the escape probability is"
            " that of leaving the line"
        )
        if self.dust is not None:
            raise ValueError(
                f"`dust` needs the geometry 'uniform sphere', not {self.geometry!r}:"
                f" {words}, and dust would still absorb them."
            )
        if self._includes_overlap:
            raise ValueError(
                "overlap=\"include\" needs the geometry 'uniform sphere', not"
                f" {self.geometry!r}: {words}, and another line would absorb them"
                " elsewhere in the gas."
            )

    def _solver(self, species, kind=StatisticalEquilibrium):
        """Return the solver of one species."""
        self._check_geometry()
        molecule = self._resolved()[1][species].molecule
        tables = tuple(collider.table for collider in self._colliders(species))
        # electrons and atoms leave high levels emptier than H2, whose models stay as
        # they were to the last bit
        fall = 0.01 if self._partners().names == ("H2",) else 1e-4
        settings = self.geometry, self.tol, self.max_iter, fall
        return _solver(kind, molecule, tables, *settings)

    def _around(self, solver, gas):
        """Return the surroundings of the lines of a species."""
        return surroundings(
            solver.line_temperatures,
            self.background_temperature,
            self.radiation,
            self.dust,
            gas,
        )

    def _solve(self, species, gas, column, line_width=None):
        """Solve one species for checked gas."""
        solver = self._solver(species)
        around = self._around(solver, gas)
        if self.populations == "lte":
            return solver.thermal(gas["temperature"], column, around)
        partners, rates = self._partners(), self._colliders(species)
        densities, ratio = partners.densities(gas), partners.ratio(gas)
        amounts = np.stack([c.amount(densities, ratio) for c in rates])
        empty = amounts.sum(axis=0) <= 0
        if empty.any():
            names = list(dict.fromkeys(c.partner for c in rates))
            what = "density" if len(names) == 1 else "densities"
            raise ValueError(
                f"{int(empty.sum())} of {len(empty)} models, the first in row"
                f" {int(np.argmax(empty))}, have no partner of {species}: the {what} of"
                f" {' and '.join(names)} {'is' if len(names) == 1 else 'are all'} 0."
            )
        equations = gas["temperature"], amounts, column, around
        solution = solver.solve(*equations)
        if self._includes_overlap:
            overlapping = self._solver(species, OverlappingLines)
            solution = overlapping.refine(solution, *equations, line_width)
        return solution

    def _intensity(self, theta, return_std=False):
        """Return intensities of checked gas."""
        self._validate_params()
        self._mind_temperatures(self._resolved()[1], theta[:, 0])
        return super()._intensity(theta, return_std)

    def _radiation_temperature(self, name, lines, gas, column, return_std):
        solution = self._solve(name, gas.shared, column, gas.line_width)
        if self.overlap in ("raise", "warn"):
            mind_overlap(
                self.overlap,
                lines,
                [self.output_names[i] for i in lines.positions],
                name,
                solution.tau,
                gas.line_width,
                excitation=self.populations != "lte",
            )
        first = [transitions[0] for transitions in lines.transitions]
        radiation = solution.radiation_temperature[:, first]
        blends = [i for i, own in enumerate(lines.transitions) if len(own) > 1]
        if blends:
            solver = self._solver(name)
            around = self._around(solver, gas.shared)
        for i in blends:
            radiation[:, i] = solver.blend_temperature(
                solution, column, around, lines.transitions[i], gas.line_width
            )
        radiation[~solution.converged] = np.nan
        return radiation, 0.0  # it is the physics

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
