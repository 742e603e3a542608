"""Line intensities of a gas whose abundances follow from its chemistry."""

import numpy as np

from ..utils.cloning import clone_around
from ..utils.predictive_spread import has_spread
from ..utils.sklearn_names import HasMethods, StrOptions
from ..utils.suggestions import closest
from ._chemistry import CHEMICAL_PARAMETERS
from ._constants import HYDROGEN_PER_EXTINCTION
from ._derived import quiet
from ._gas import GasModel


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
        "extrapolation": [StrOptions({"raise", "warn", "nan", "ignore"})],
    }

    def __init__(self, abundances, radiative_transfer, *, extrapolation="raise"):
        self.abundances = abundances
        self.radiative_transfer = radiative_transfer
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
        """Return what radiative transfer takes beside what chemistry does."""
        shared = getattr(self.radiative_transfer, "_shared_parameters", dict)()
        return {k: v for k, v in shared.items() if k not in CHEMICAL_PARAMETERS}

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
        """Return what radiative transfer takes: columns in place of chemistry."""
        extinction, line_width = theta[:, [3]], theta[:, [-2]]
        column = 10.0**log_abundance * HYDROGEN_PER_EXTINCTION * extinction
        if self.radiative_transfer.column_density == "per line width":
            column = column / line_width
        own = list(self.parameter_names)
        shared = [own.index(n) for n in self.radiative_transfer._shared_parameters()]
        return np.hstack([theta[:, shared], column, theta[:, -2:]])

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
        return self._inside(theta, self._gas(theta, log_abundance[:, self._species()]))

    def predict(self, theta, return_std=False):
        """Predict line intensities.

        Parameters
        ----------
        theta : array-like of shape (n_models, n_parameters)
            Columns as in ``parameter_names``, in the units of ``parameter_units``:
            temperature [K], density of H2 [cm^-3], metallicity [solar], visual
            extinction [mag], radiation field [Draine], cosmic-ray ionisation rate
            [1.3e-17 s^-1], whatever radiative transfer takes beside them, such as
            other partners' densities, line width [km/s], filling factor.
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
        theta = self._check_theta(theta)
        if return_std and not self.has_spread:
            raise ValueError(
                "`return_std=True` needs an ensemble of emulators as `abundances` or"
                " in `radiative_transfer`."
            )
        species, chemistry = self._species(), theta[:, :6]
        spread_of_abundances = return_std and has_spread(self.abundances)
        # the parts raise or warn themselves; NaN of the one is no gas for the other
        policy = "ignore" if self.extrapolation == "nan" else self.extrapolation
        model = quiet(self.abundances, policy)
        if spread_of_abundances:
            log_abundance, log_std = model.predict(chemistry, return_std=True)
            log_std = log_std[:, species]
        else:
            log_abundance = model.predict(chemistry)
        log_abundance = log_abundance[:, species]
        gas = self._gas(theta, log_abundance)
        transfer = quiet(self.radiative_transfer, policy)
        std = 0.0
        if return_std and has_spread(transfer):
            intensity, std = transfer.predict(gas, return_std=True)
        else:
            intensity = transfer.predict(gas)
        if spread_of_abundances:
            # each line sees its own species' column alone, so all move at once
            moved = self._gas(theta, log_abundance + log_std)
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
