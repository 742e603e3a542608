"""Line intensities from emulators of radiative transfer."""

from numbers import Integral, Real

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
from ..utils.predictive_spread import has_spread
from ..utils.sklearn_names import HasMethods, Interval, StrOptions
from ..utils.warn import warn
from ._constants import GAUSSIAN_AREA
from ._line_model import LineModel
from ._overlap import mind_overlap
from ._profiles import equivalent_width
from ._radiation import Surroundings
from ._statistical_equilibrium import StatisticalEquilibrium


class RadexEmulator(ScoredEverywhere, LineModel):
    r"""Line intensities of a homogeneous gas, from regressors trained on RADEX.

    It has the signature of :class:`RadexModel`, and learns from its predictions. The
    physics that is known is not learned: the radiation temperature of a species'
    lines depends on kinetic temperature, densities (and on radiation and dust where
    they are free) and its own column density per line width alone, so each species
    gets a regressor of its own on the logarithms of these, whose targets are
    :math:`\operatorname{arcsinh}(T_R / T_0)`: logarithmic for bright lines, linear for
    those too faint to matter. Where lines are so broad that components of a blend
    overlap, it depends on the line width too, and the species' regressor takes that.

    Parameters
    ----------
    lines : sequence of str
        The lines, as for :class:`RadexModel`.
    estimator : regressor
        Template, cloned for each species: multi-output, such as
        :class:`~skastro.emulation.EmulatorRegressor`.
    column_density : {"total", "per line width"}, default="total"
        As for :class:`RadexModel`.
    partners : sequence of str, default=("H2",)
        As for the :class:`RadexModel` that makes the training set. This and the four
        that follow say which parameters there are beside temperature and column
        densities. All of those must be positive, their logarithms being what is
        learned from.
    electrons : {"density", "fraction"}, default="density"
        As for :class:`RadexModel`.
    ortho_para_ratio : {"thermal", "free"} or float, default="thermal"
        As for :class:`RadexModel`.
    radiation : sequence of radiation fields, default=None
        As for :class:`RadexModel`.
    dust : Dust, default=None
        As for :class:`RadexModel`.
    overlap : {"raise", "warn", "ignore", "include"}, default="warn"
        As for the :class:`RadexModel` that makes the training set. With ``"include"``
        the line width counts for all species of which any lines overlap. Else ``fit``
        tells where they are thick, in thermal equilibrium, as that model does.
    faint_temperature : float, default=0.01
        :math:`T_0`, the radiation temperature below which the error is absolute [K].
    extrapolation : {"raise", "warn", "nan", "ignore"}, default="raise"
        What to do with gas outside the training range: raise, predict with a warning,
        predict NaN, or predict in silence.
    molecules : mapping, default=None
        As for :class:`RadexModel`.
    n_jobs : int, default=None
        Species trained in parallel, through joblib.

    Attributes
    ----------
    estimators_ : dict of str to regressor
        The fitted regressor of each species.
    domains_ : dict of str to ndarray of shape (2, n_features)
        The range of log10 temperature, density, what else is shared, column density
        per line width, and, where it counts, line width that each has learned.
    gas_domains_ : dict of str to ndarray of shape (2, n_features + 1)
        The same with the column density as given, and line width, in the training
        set. Gas within either range is known: a design has few
        models with the lowest column density and the broadest line.
    lowest_intensity_ : float
        Of the training set [K km/s]; negative if a line was in absorption.

    See Also
    --------
    RadexModel : The physics.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 2.4.1; de Mijolla,
    Viti, Holdship, Manolopoulou & Yates (2019), A&A 630, A117.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> from skastro.molecular import RadexEmulator, RadexModel
    >>> from skastro.parameter_space import LogUniform, ParameterSpace, Uniform
    >>> space = ParameterSpace({
    ...     "temperature": Uniform(10, 200, "K"),
    ...     "density": LogUniform(1e4, 1e6, "cm-3"),
    ...     "column_density_CO": LogUniform(1e15, 1e19, "cm-2"),
    ...     "line_width": Uniform(1, 100, "km / s"),
    ...     "filling_factor": Uniform(0.1, 1),
    ... })
    >>> theta = space.sample_latin_hypercube(2000, random_state=0)
    >>> intensity = RadexModel(["CO(3-2)", "CO(6-5)"]).predict(theta)
    >>> emulator = RadexEmulator(["CO(3-2)", "CO(6-5)"], KNeighborsRegressor())
    >>> emulator.fit(theta, intensity).score(theta, intensity) > 0.9
    True
    """

    _parameter_constraints: dict = {
        **LineModel._parameter_constraints,
        "estimator": [HasMethods(["fit", "predict"])],
        "faint_temperature": [Interval(Real, 0, None, closed="neither")],
        "overlap": [StrOptions({"raise", "warn", "ignore", "include"})],
        "extrapolation": [StrOptions({"raise", "warn", "nan", "ignore"})],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        lines,
        estimator,
        *,
        column_density="total",
        partners=("H2",),
        electrons="density",
        ortho_para_ratio="thermal",
        radiation=None,
        dust=None,
        overlap="warn",
        faint_temperature=0.01,
        extrapolation="raise",
        molecules=None,
        n_jobs=None,
    ):
        self.lines = lines
        self.estimator = estimator
        self.column_density = column_density
        self.partners = partners
        self.electrons = electrons
        self.ortho_para_ratio = ortho_para_ratio
        self.radiation = radiation
        self.dust = dust
        self.overlap = overlap
        self.faint_temperature = faint_temperature
        self.extrapolation = extrapolation
        self.molecules = molecules
        self.n_jobs = n_jobs

    def fit(self, X, y):
        """Train one regressor a species.

        Parameters
        ----------
        X : array-like of shape (n_models, n_parameters)
            Gas properties; see :meth:`predict`. The filling factor must not be 0.
        y : array-like of shape (n_models, n_lines)
            Intensities [K km/s]. Models without a solution, NaN or masked, are left
            out of their species' training, and a warning counts them.

        Returns
        -------
        self : RadexEmulator

        Raises
        ------
        ValueError
            If the shapes do not match, or no model of a species has a solution; if
            thick lines overlap, and ``overlap`` is ``"raise"``.
        """
        theta = self._check_theta(X)
        self._validate_params()
        y = np.asarray(plain(y, "y", unit=self.output_unit), dtype=float)
        if y.ndim == 1 and len(self.lines) == 1:
            y = y[:, None]
        if y.shape != (len(theta), len(self.lines)):
            raise ValueError(
                f"`y` must have shape ({len(theta)}, {len(self.lines)}), a row a model"
                f" and a column a line, got {y.shape}."
            )
        gas = self._split(theta)
        if (gas.filling == 0).any():
            raise ValueError("A filling factor of 0 in `X` says nothing of the gas.")
        radiation = y / (gas.filling * GAUSSIAN_AREA * gas.line_width)[:, None]
        species = self._resolved()[1]
        tasks, self.domains_, self.gas_domains_ = [], {}, {}
        self._check_logarithms(theta)
        logarithms = np.log10(theta[:, :-1])
        for i, (name, lines) in enumerate(species.items()):
            self._mind_overlap(name, gas, gas.columns[:, i])
            features = self._features(gas, gas.columns[:, i])
            if features[:, -1].max() <= self._separation(name):
                features = features[:, :-1]  # the line width does not count
            target = radiation[:, lines.positions]
            solved = ~np.isnan(target).any(axis=1)
            if not solved.any():
                raise ValueError(f"`y` has no model with a solution for {name}.")
            if not solved.all():
                warn(
                    f"{int((~solved).sum())} of {len(y)} models have no solution for"
                    f" {name} and are left out of its training.",
                )
            self.domains_[name] = training_domain(features[solved])
            self.gas_domains_[name] = training_domain(self._gas(logarithms, i)[solved])
            target = np.arcsinh(target[solved] / self.faint_temperature)
            if target.shape[1] == 1:
                target = target[:, 0]
            tasks.append((features[solved].astype(np.float32), target))
        estimators = Parallel(n_jobs=self.n_jobs)(
            delayed(self._template().fit)(features, target)
            for features, target in tasks
        )
        self.estimators_ = dict(zip(species, estimators, strict=True))
        self.lowest_intensity_ = float(np.nanmin(y))
        self.n_features_in_ = theta.shape[1]
        return self

    @property
    def nonnegative_output(self):
        """Whether no line was in absorption, which a retrieval should know."""
        return getattr(self, "lowest_intensity_", 0.0) >= 0

    def _template(self):
        """Return a new regressor; this class minds the domain, so it need not."""
        estimator = clone(self.estimator)
        if "extrapolation" in estimator.get_params():
            estimator.set_params(extrapolation="ignore")
        return estimator

    def _check_logarithms(self, theta):
        """Refuse what has no logarithm."""
        for name, values in zip(self.parameter_names[:-1], theta.T, strict=False):
            if (values == 0).any():
                raise ValueError(
                    f"`{name}` is 0 in {int((values == 0).sum())} of {len(values)}"
                    " models; a RadexEmulator learns from logarithms. Give it a small"
                    " value, or leave it out of the model."
                )

    @staticmethod
    def _features(gas, column):
        """Return what radiation temperatures may depend on, the line width last."""
        features = np.log10(np.stack([*gas.shared.values(), column], axis=1))
        return np.column_stack([features, np.log10(gas.line_width)])

    def _separation(self, name):
        """Return log10 of the line width up to which no lines that count overlap."""
        distance = self._least_distance(name)
        with np.errstate(divide="ignore"):
            return np.log10(distance / equivalent_width(1.0))

    def _mind_overlap(self, name, gas, column):
        """Raise or warn where thick lines overlap in the training set."""
        if self.overlap not in ("raise", "warn"):
            return
        lines = self._resolved()[1][name]
        nothing = np.zeros(len(lines.molecule.upper))
        tau = (
            StatisticalEquilibrium(lines.molecule, ())
            .thermal(gas.shared["temperature"], column, Surroundings(nothing, nothing))
            .tau
        )
        names = [self.output_names[i] for i in lines.positions]
        mind_overlap(self.overlap, lines, names, name, tau, gas.line_width)

    def in_domain(self, X):
        """Whether gas lies within the training range.

        Parameters
        ----------
        X : array-like of shape (n_models, n_parameters)
            Gas properties; see :meth:`predict`.

        Returns
        -------
        inside : ndarray of shape (n_models,), dtype bool
        """
        check_is_fitted(self)
        theta = self._check_theta(X)
        self._check_logarithms(theta)
        inside = np.ones(len(theta), dtype=bool)
        for i, name in enumerate(self._resolved()[1]):
            inside &= self._knows(name, i, theta)[0]
        return inside

    def _gas(self, log_theta, i):
        """Return what is shared, the column density of a species, and line width."""
        n_shared = len(self._shared_parameters())
        return log_theta[:, [*range(n_shared), n_shared + i, -1]]

    def _knows(self, name, i, theta):
        """Return which gas lies within the range of a species; features and range."""
        gas = self._split(theta)
        features, domain = self._features(gas, gas.columns[:, i]), self.domains_[name]
        if domain.shape[1] < features.shape[1]:
            # nor did it learn what is seen where lines begin to overlap
            domain = np.column_stack([domain, [-np.inf, self._separation(name)]])
        inside = in_box(features, domain)
        if not inside.all():
            given = self._gas(np.log10(theta[:, :-1]), i)
            inside |= in_box(given, self.gas_domains_[name])
        return inside, features, domain

    @property
    def has_spread(self):
        """Whether every species has an ensemble, so that its spread is known."""
        estimators = getattr(self, "estimators_", {}).values()
        return bool(estimators) and all(map(has_spread, estimators))

    def predict(self, theta, return_std=False):
        """Predict line intensities.

        Parameters
        ----------
        theta : array-like of shape (n_models, n_parameters)
            Columns as in ``parameter_names``, in the units of ``parameter_units``.
        return_std : bool, default=False
            Whether to return the spread of the ensembles too.

        Returns
        -------
        intensity : ndarray of shape (n_models, n_lines)
            Velocity-integrated intensity [K km/s].
        intensity_std : ndarray of shape (n_models, n_lines)
            Its standard deviation. Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If a value is not physical, or outside the training range and
            ``extrapolation`` is ``"raise"``; or if a spread is asked of regressors
            that are no ensembles.
        """
        check_is_fitted(self)
        if not return_std:
            return super().predict(theta)
        if not self.has_spread:
            raise ValueError(
                "`return_std=True` needs ensembles; the estimator was"
                f" {self.estimator!r}."
            )
        return self._intensity(self._check_theta(theta), return_std=True)

    def _intensity(self, theta, return_std=False):
        """Return intensities of gas within the range, as `extrapolation` says."""
        outside = {}
        self._check_logarithms(theta)
        if self.extrapolation != "ignore":
            for i, (name, lines) in enumerate(self._resolved()[1].items()):
                inside, features, domain = self._knows(name, i, theta)
                rows = check_extrapolation(
                    features,
                    domain,
                    self.extrapolation,
                    names=[
                        *(f"log10 {name}" for name in self._shared_parameters()),
                        f"log10 column density of {name} per line width",
                        "log10 line_width",
                    ],
                    inside=inside,
                )
                if rows is not None:
                    outside[name] = np.ix_(rows, lines.positions)
        intensity, std = super()._intensity(theta, return_std)
        for entries in outside.values():
            intensity[entries] = np.nan
            if std is not None:
                std[entries] = np.nan
        return intensity, std

    def _radiation_temperature(self, name, lines, gas, column, return_std):
        features = self._features(gas, column)[:, : self.domains_[name].shape[1]]
        # single precision: the network's own error is a thousand times its rounding
        features = features.astype(np.float32)
        shape, scale = (len(features), -1), self.faint_temperature
        if return_std:
            target, spread = self.estimators_[name].predict(features, return_std=True)
            spread = spread.reshape(shape).astype(np.float64)
        else:
            target, spread = self.estimators_[name].predict(features), None
        target = target.reshape(shape).astype(np.float64)
        if self.nonnegative_output:  # nor does the emulator's error make it so
            target = np.maximum(target, 0.0)
        if return_std:
            spread = scale * np.cosh(target) * spread
        return scale * np.sinh(target), spread
