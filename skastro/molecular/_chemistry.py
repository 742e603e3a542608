"""Chemical abundances of a gas, emulated."""

from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import plain
from ..utils.emulator_range import (
    ScoredEverywhere,
    check_extrapolation,
    in_box,
    training_domain,
)
from ..utils.estimator import SkastroEstimator
from ..utils.predictive_spread import has_spread
from ..utils.sklearn_names import HasMethods, StrOptions
from ..utils.warn import warn
from ._gas import check_gas

#: The parameters of a chemical model, thesis Table 2.1, and their units.
CHEMICAL_PARAMETERS = {
    "temperature": "K",
    "density": "cm-3",
    "metallicity": "",
    "visual_extinction": "mag",
    "radiation_field": "",
    "ionisation_rate": "",
}


def chemical_features(theta):
    r"""Return the physical features on which abundances depend most simply.

    Parameters
    ----------
    theta : array-like of shape (n_models, 6)
        Temperature [K], density of H2 [cm^-3], metallicity [solar], visual extinction
        [mag], radiation field [Draine], cosmic-ray ionisation rate [1.3e-17 s^-1]; a
        data frame is put into this order.

    Returns
    -------
    features : ndarray of shape (n_models, 12)
        The decimal logarithms of all six; :math:`T`, :math:`1/T`, :math:`A_V` and
        :math:`m_Z`; and what sets the rates: :math:`\log(\zeta / n)` and
        :math:`\log(\chi e^{-1.8 A_V} + 10^{-6})`.

    Notes
    -----
    For any regressor: ``make_pipeline(FunctionTransformer(chemical_features),
    regressor)``.

    Examples
    --------
    >>> from skastro.molecular import chemical_features
    >>> chemical_features([[100.0, 1e5, 1.0, 10.0, 1.0, 1.0]]).shape
    (1, 12)
    """
    theta = check_gas(
        theta, list(CHEMICAL_PARAMETERS), list(CHEMICAL_PARAMETERS.values())
    )
    temperature, density, metallicity, extinction, radiation, ionisation = theta.T
    return np.column_stack(
        [
            np.log10(theta),
            temperature,
            1.0 / temperature,
            extinction,
            metallicity,
            np.log10(ionisation / density),
            np.log10(radiation * np.exp(-1.8 * extinction) + 1e-6),
        ]
    )


class AbundanceEmulator(ScoredEverywhere, SkastroEstimator):
    """Chemical abundances of a gas, from a regressor trained on a chemical code.

    The regressor learns decimal logarithms of abundances from
    :func:`chemical_features`; see :ref:`the user guide <chemistry>`.

    Parameters
    ----------
    species : sequence of str
        Names of the species, in the order of the columns of ``y``.
    estimator : regressor
        Template: multi-output, such as :class:`~skastro.emulation.EmulatorRegressor`,
        of which an ensemble gives ``return_std``.
    separate_species : bool, default=False
        Whether each species gets a regressor of its own.
    extrapolation : {"raise", "warn", "nan", "ignore"}, default="raise"
        What to do with gas outside the training range: raise, predict with a warning,
        predict NaN, or predict in silence.
    n_jobs : int, default=None
        Species trained in parallel, through joblib.

    Attributes
    ----------
    estimators_ : list of regressor
        The fitted regressors: one, or one a species.
    domain_ : ndarray of shape (2, 6)
        Lowest and highest training parameters, as in ``parameter_names``.
    n_features_in_ : int
        Number of parameters: 6.

    See Also
    --------
    ChemicalModel : Makes line intensities of them.
    skastro.datasets.load_uclchem_grid : What it can be trained on.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 2.3. Holdship,
    Viti, Haworth & Ilee (2021), A&A 653, A76.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from skastro.datasets import load_uclchem_grid
    >>> from skastro.molecular import AbundanceEmulator
    >>> grid = load_uclchem_grid(["CO", "HCN"])
    >>> neighbours = KNeighborsRegressor(weights="distance")
    >>> emulator = AbundanceEmulator(grid.species, neighbours)
    >>> emulator.fit(grid.theta, grid.log_abundance)
    AbundanceEmulator(...)
    >>> emulator.predict(grid.theta[:1]).round(1)
    array([[-3.6, -7.2]])
    """

    _parameter_constraints: dict = {
        "species": ["array-like"],
        "estimator": [HasMethods(["fit", "predict"])],
        "separate_species": ["boolean"],
        "extrapolation": [StrOptions({"raise", "warn", "nan", "ignore"})],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        species,
        estimator,
        *,
        separate_species=False,
        extrapolation="raise",
        n_jobs=None,
    ):
        self.species = species
        self.estimator = estimator
        self.separate_species = separate_species
        self.extrapolation = extrapolation
        self.n_jobs = n_jobs

    @property
    def parameter_names(self):
        """Names of the columns of ``theta``, in order."""
        return list(CHEMICAL_PARAMETERS)

    @property
    def parameter_units(self):
        """Units of the columns of ``theta``, as astropy spells them."""
        return list(CHEMICAL_PARAMETERS.values())

    @property
    def output_names(self):
        """Names of the columns of the prediction: the species."""
        return list(self.species)

    def _check_theta(self, theta):
        return check_gas(theta, self.parameter_names, self.parameter_units)

    def fit(self, X, y):
        """Train the regressors.

        Parameters
        ----------
        X : array-like of shape (n_models, 6)
            Gas properties, as in ``parameter_names``.
        y : array-like of shape (n_models, n_species)
            Decimal logarithms of abundances per hydrogen nucleus. Rows with NaN or
            masked, of failed models, are left out, and a warning counts them.

        Returns
        -------
        self : AbundanceEmulator

        Raises
        ------
        ValueError
            If shapes do not match, or ``y`` holds abundances and not their logarithms.
        """
        self._validate_params()
        theta = self._check_theta(X)
        y = np.asarray(plain(y, "y", unit=""), dtype=float)
        if isinstance(self.species, str):
            raise TypeError(f"`species` must be a sequence, got {self.species!r}.")
        if y.shape != (len(theta), len(self.species)):
            raise ValueError(
                f"`y` must have shape ({len(theta)}, {len(self.species)}), a row a"
                f" model and a column a species, got {y.shape}."
            )
        solved = np.isfinite(y).all(axis=1)
        if not solved.any():
            raise ValueError("`y` has no model with abundances of all species.")
        if (y[solved] > 1.0).any():
            raise ValueError(
                "`y` must hold decimal logarithms of abundances per hydrogen nucleus,"
                f" got {y[solved].max():g}."
            )
        if not solved.all():
            warn(
                f"{int((~solved).sum())} of {len(y)} models have no abundances and are"
                " left out.",
            )
        theta, y = theta[solved], y[solved]
        self.n_features_in_ = theta.shape[1]
        self.domain_ = training_domain(theta)
        features = chemical_features(theta)
        targets = list(y.T) if self.separate_species or y.shape[1] == 1 else [y]
        self.estimators_ = Parallel(n_jobs=self.n_jobs)(
            delayed(self._template().fit)(features, target) for target in targets
        )
        return self

    def _template(self):
        """Return a new regressor; this class minds the domain, so it need not."""
        estimator = clone(self.estimator)
        if "extrapolation" in estimator.get_params():
            estimator.set_params(extrapolation="ignore")
        return estimator

    def in_domain(self, X):
        """Whether gas lies within the training range.

        Parameters
        ----------
        X : array-like of shape (n_models, 6)
            Gas properties, as in ``parameter_names``.

        Returns
        -------
        inside : ndarray of shape (n_models,), dtype bool
        """
        check_is_fitted(self)
        return in_box(self._check_theta(X), self.domain_)

    @property
    def has_spread(self):
        """Whether the regressors are ensembles, so that their spread is known."""
        estimators = getattr(self, "estimators_", [])
        return bool(estimators) and all(map(has_spread, estimators))

    def predict(self, theta, return_std=False):
        """Predict abundances.

        Parameters
        ----------
        theta : array-like of shape (n_models, 6)
            Columns as in ``parameter_names``, in the units of ``parameter_units``.
        return_std : bool, default=False
            Whether to return the spread of the ensemble too.

        Returns
        -------
        log_abundance : ndarray of shape (n_models, n_species)
            Decimal logarithm of the abundance per hydrogen nucleus.
        log_abundance_std : ndarray of shape (n_models, n_species)
            Its standard deviation. Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If a value is not physical, or outside the training range and
            ``extrapolation`` is ``"raise"``; or if a spread is asked of a regressor
            that is no ensemble.
        """
        check_is_fitted(self)
        theta = self._check_theta(theta)
        if return_std and not self.has_spread:
            raise ValueError(
                f"`return_std=True` needs an ensemble; the estimator was"
                f" {self.estimator!r}."
            )
        outside = check_extrapolation(
            theta, self.domain_, self.extrapolation, self.parameter_names
        )
        # single precision: the network's own error is a thousand times its rounding
        features = chemical_features(theta).astype(np.float32)
        shape = (len(theta), -1)
        if return_std:
            pairs = [e.predict(features, return_std=True) for e in self.estimators_]
            results = [
                np.concatenate([part.reshape(shape) for part in parts], axis=1)
                for parts in zip(*pairs, strict=True)
            ]
        else:
            parts = [e.predict(features).reshape(shape) for e in self.estimators_]
            results = [np.concatenate(parts, axis=1)]
        results = [result.astype(np.float64) for result in results]
        if outside is not None:
            for result in results:
                result[outside] = np.nan
        return tuple(results) if return_std else results[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.input_tags.positive_only = True
        return tags
