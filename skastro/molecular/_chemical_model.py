"""Line intensities of a gas whose abundances follow from its chemistry."""

from numbers import Real

import numpy as np

from ..utils.cloning import clone_around
from ..utils.predictive_spread import has_spread
from ..utils.sklearn_names import HasMethods, Interval, StrOptions
from ..utils.suggestions import closest
from ._chemistry import CHEMICAL_PARAMETERS
from ._constants import HYDROGEN_PER_EXTINCTION
from ._derived import quiet
from ._gas import GasModel
from ._partners import DENSITY_NAMES, FRACTION, HYDROGEN, RATIO, Partners

#: How chemistry spells the partners whose abundance it may predict, in upper case.
_SPELLINGS = {"H": ("H",), "He": ("HE",), "H+": ("H+",), "e": ("E-", "E")}


class ChemicalModel(GasModel):
    r"""Line intensities of a homogeneous gas whose abundances follow from chemistry.

    Chemistry gives abundances :math:`x`, the on-the-spot approximation columns,

    .. math:: N(X) = x(X) \cdot 1.6 \times 10^{21}\,\mathrm{cm^{-2}} \cdot A_V,

    and radiative transfer the intensities; so the lines of all species are bound
    together, which lifts degeneracies, and metallicity and ionisation rate become
    measurable. See :ref:`the user guide <chemistry>`.

    Parameters
    ----------
    abundances : estimator
        Predicts decimal logarithms of abundances per hydrogen nucleus and names them
        in ``output_names``, such as a fitted :class:`AbundanceEmulator`.
    radiative_transfer : RadexModel or fitted RadexEmulator
        Makes intensities of them. Its species must be among those of ``abundances``.
    ortho_para_ratio : {"thermal", "free"} or float, default="thermal"
        Of H2, where o-H2 and p-H2 are partners of ``radiative_transfer`` apart:
        thermal, but at most 3; fixed; or the parameter ``ortho_para_ratio``. Where H2
        is one partner, that of ``radiative_transfer`` counts.
    extrapolation : {"raise", "warn", "nan", "ignore"}, default="raise"
        What to do with gas, or with columns that follow from it, outside the range
        that either emulator has learned: raise, predict with a warning, predict NaN,
        or predict in silence.

    Attributes
    ----------
    n_features_in_ : int
        Number of parameters. Defined after ``fit``.

    See Also
    --------
    MultiPhaseModel : Several such phases in one beam.
    skastro.datasets.chemical_prior : Priors for it.

    Notes
    -----
    ``predict`` works without ``fit``: there is nothing left to learn.

    Densities of collision partners follow from the chemistry as far as it knows them.
    Its ``density`` is that of H2, of which o-H2 and p-H2 are the parts that
    ``ortho_para_ratio`` gives them. Where H, He, H+ or electrons (``"E-"``) are among
    the species of ``abundances``, their densities, or the electron fraction, are
    :math:`n(X) = n(\mathrm{H_2})\, x(X) / x(\mathrm{H_2})`; :math:`x(\mathrm{H_2})` is
    1/2, all hydrogen in molecules, if H2 is not among them. Those that are not among
    them are parameters: to have one free, leave it out of ``abundances``.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, sections 2.2.3 and 2.4.

    Examples
    --------
    >>> from skastro.datasets import load_uclchem_grid
    >>> from skastro.emulation import EmulatorRegressor
    >>> from skastro.molecular import AbundanceEmulator, ChemicalModel, RadexModel
    >>> grid = load_uclchem_grid(["CO"])
    >>> network = EmulatorRegressor((32, 32), max_epochs=20, random_state=0)
    >>> abundances = AbundanceEmulator(["CO"], network)
    >>> abundances.fit(grid.theta, grid.log_abundance)
    AbundanceEmulator(...)
    >>> model = ChemicalModel(abundances, RadexModel(["CO(3-2)", "CO(6-5)"]))
    >>> model.predict([[150, 5e5, 0.9, 40, 10, 100, 50, 1.0]]).round(-2)
    array([[6800., 6900.]])
    """

    _parameter_constraints: dict = {
        "abundances": [HasMethods(["predict"])],
        "radiative_transfer": [HasMethods(["predict"])],
        "ortho_para_ratio": [
            Interval(Real, 0, None, closed="left"),
            StrOptions({"thermal", "free"}),
        ],
        "extrapolation": [StrOptions({"raise", "warn", "nan", "ignore"})],
    }

    def __init__(
        self,
        abundances,
        radiative_transfer,
        *,
        ortho_para_ratio="thermal",
        extrapolation="raise",
    ):
        self.abundances = abundances
        self.radiative_transfer = radiative_transfer
        self.ortho_para_ratio = ortho_para_ratio
        self.extrapolation = extrapolation

    @property
    def parameter_names(self):
        """Names of the columns of ``theta``, in order."""
        return [*CHEMICAL_PARAMETERS, *self._beside(), "line_width", "filling_factor"]

    @property
    def parameter_units(self):
        """Units of the columns of ``theta``, as astropy spells them."""
        beside = self._beside().values()
        return [*CHEMICAL_PARAMETERS.values(), *beside, "km / s", ""]

    def _beside(self):
        """Return what radiative transfer takes beside what chemistry says."""
        partners = self.radiative_transfer._partners().names
        apart = [name for name in partners if name in ("o-H2", "p-H2")]
        if self.ortho_para_ratio != "thermal" and not apart:
            raise ValueError(
                f"`ortho_para_ratio` is {self.ortho_para_ratio!r}, but the partners of"
                f" `radiative_transfer`, {partners}, have neither o-H2 nor p-H2 apart;"
                " set it in `radiative_transfer`, or leave it thermal here."
            )
        known = {DENSITY_NAMES[name] for name in [*apart, *self._predicted()]}
        known |= {FRACTION} if "e" in self._predicted() else set()
        shared = self.radiative_transfer._shared_parameters()
        beside = {k: v for k, v in shared.items() if k not in known}
        beside |= {RATIO: ""} if self.ortho_para_ratio == "free" else {}
        return {k: v for k, v in beside.items() if k not in CHEMICAL_PARAMETERS}

    def _predicted(self):
        """Return where partners beside H2 stand among the abundances, if they do."""
        known = [name.upper() for name in self.abundances.output_names]
        return {
            partner: known.index(name)
            for partner in self.radiative_transfer._partners().names
            for name in _SPELLINGS.get(partner, ())
            if name in known
        }

    @property
    def output_names(self):
        """Names of the columns of the prediction: the lines."""
        return self.radiative_transfer.output_names

    @property
    def scale_parameters(self):
        """Parameters that all intensities are proportional to."""
        return ["filling_factor"]

    @property
    def nonnegative_output(self):
        """Whether no line can be in absorption, which a retrieval should know."""
        return getattr(self.radiative_transfer, "nonnegative_output", False)

    @property
    def has_spread(self):
        """Whether an emulator inside knows how uncertain it is."""
        return has_spread(self.abundances) or has_spread(self.radiative_transfer)

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
        self : ChemicalModel
        """
        self._validate_params()
        self._species()
        self.n_features_in_ = self._check_theta(X).shape[1]
        return self

    def _species(self):
        """Return where the lines' species stand among the abundances."""
        known = list(self.abundances.output_names)
        wanted = list(self.radiative_transfer._resolved()[1])
        for name in wanted:
            if name not in known:
                raise ValueError(
                    f"`radiative_transfer` has lines of {name}, but `abundances` are of"
                    f" {known}." + closest(name, known)
                )
        return [known.index(name) for name in wanted]

    def predict_log_abundance(self, theta):
        """Predict the abundances of the lines' species.

        Parameters
        ----------
        theta : array-like of shape (n_models, n_parameters)
            Gas properties; see :meth:`predict`.

        Returns
        -------
        log_abundance : ndarray of shape (n_models, n_species)
            Decimal logarithm of the abundance per hydrogen nucleus, in the order of
            the species of ``radiative_transfer``.
        """
        theta = self._check_theta(theta)
        model = quiet(self.abundances, self.extrapolation)
        return model.predict(theta[:, :6])[:, self._species()]

    def _gas(self, theta, log_abundance):
        """Return what radiative transfer takes: columns in place of chemistry.

        The abundances are those of all species that chemistry predicts.
        """
        extinction, line_width = theta[:, [3]], theta[:, [-2]]
        abundance = 10.0**log_abundance
        column = abundance[:, self._species()] * HYDROGEN_PER_EXTINCTION * extinction
        if self.radiative_transfer.column_density == "per line width":
            column = column / line_width
        gas = dict(zip(self.parameter_names, theta.T, strict=True))
        gas |= self._densities(gas, abundance)
        shared = [gas[name] for name in self.radiative_transfer._shared_parameters()]
        return np.column_stack([*shared, column, theta[:, -2:]])

    def _densities(self, gas, abundance):
        """Return what chemistry says of partners, by the names of parameters."""
        partners, molecular = self.radiative_transfer._partners(), gas["density"]
        ratio = Partners(("H2",), "density", self.ortho_para_ratio).ratio(gas)
        densities = {
            "o-H2": molecular * ratio / (1 + ratio),
            "p-H2": molecular / (1 + ratio),
        }
        known = list(self.abundances.output_names)
        molecules = abundance[:, known.index("H2")] if "H2" in known else 0.5
        for partner, i in self._predicted().items():
            densities[partner] = molecular * abundance[:, i] / molecules
        found = {DENSITY_NAMES[name]: value for name, value in densities.items()}
        if partners.electrons == "fraction" and "e" in densities:
            hydrogen = [DENSITY_NAMES[n] for n in partners.names if n in HYDROGEN]
            found[FRACTION] = densities["e"] / sum((gas | found)[n] for n in hydrogen)
        return found

    def _inside(self, theta, gas):
        """Whether both parts may be asked, for checked gas."""
        inside = np.ones(len(theta), dtype=bool)
        if hasattr(self.abundances, "in_domain"):
            inside &= self.abundances.in_domain(theta[:, :6])
        if hasattr(self.radiative_transfer, "in_domain"):
            inside &= self.radiative_transfer.in_domain(gas)
        return inside

    def in_domain(self, X):
        """Whether gas, and its columns, lie where both emulators have learned.

        Parameters
        ----------
        X : array-like of shape (n_models, n_parameters)
            Gas properties; see :meth:`predict`.

        Returns
        -------
        inside : ndarray of shape (n_models,), dtype bool
        """
        theta = self._check_theta(X)
        log_abundance = quiet(self.abundances).predict(theta[:, :6])
        return self._inside(theta, self._gas(theta, log_abundance))

    def predict(self, theta, return_std=False):
        """Predict line intensities.

        Parameters
        ----------
        theta : array-like of shape (n_models, n_parameters)
            Columns as in ``parameter_names``, in the units of ``parameter_units``:
            temperature [K], density of H2 [cm^-3], metallicity [solar], visual
            extinction [mag], radiation field [Draine], cosmic-ray ionisation rate
            [1.3e-17 s^-1], whatever radiative transfer takes beside them, such as
            densities of partners that chemistry does not predict, line width [km/s],
            filling factor.
        return_std : bool, default=False
            Whether to return the emulators' uncertainty too: that of the abundances,
            carried through radiative transfer, and its own.

        Returns
        -------
        intensity : ndarray of shape (n_models, n_lines)
            Velocity-integrated intensity [K km/s].
        intensity_std : ndarray of shape (n_models, n_lines)
            Its standard deviation. Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If a value is not physical, outside the range of an emulator while
            ``extrapolation`` is ``"raise"``, or a spread is asked of what has none.
        """
        self._validate_params()
        theta = self._check_theta(theta)
        if return_std and not self.has_spread:
            raise ValueError(
                "`return_std=True` needs an ensemble of emulators as `abundances` or"
                " in `radiative_transfer`."
            )
        chemistry = theta[:, :6]
        spread_of_abundances = return_std and has_spread(self.abundances)
        # the parts raise or warn themselves; NaN of the one is no gas for the other
        policy = "ignore" if self.extrapolation == "nan" else self.extrapolation
        model = quiet(self.abundances, policy)
        if spread_of_abundances:
            log_abundance, log_std = model.predict(chemistry, return_std=True)
        else:
            log_abundance = model.predict(chemistry)
        gas = self._gas(theta, log_abundance)
        transfer = quiet(self.radiative_transfer, policy)
        std = 0.0
        if return_std and has_spread(transfer):
            intensity, std = transfer.predict(gas, return_std=True)
        else:
            intensity = transfer.predict(gas)
        if spread_of_abundances:
            # each line sees its own species' column alone, so all of these move at
            # once, but each partner by itself
            for together in [self._species(), *self._predicted().values()]:
                moved = log_abundance.copy()
                moved[:, together] += log_std[:, together]
                moved = self._gas(theta, moved)
                moved = quiet(self.radiative_transfer).predict(moved)
                std = np.hypot(std, moved - intensity)
        if self.extrapolation == "nan":
            intensity[~self._inside(theta, gas)] = np.nan
        return (intensity, std) if return_std else intensity

    def __sklearn_clone__(self):
        """Clone, but keep fitted models fitted: they are not learned here."""
        return clone_around(self, {"abundances", "radiative_transfer"})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
