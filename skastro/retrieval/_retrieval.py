"""Bayesian retrieval: physical parameters from a few observed channels."""

import contextlib
from numbers import Integral, Real
from pathlib import Path

from ..parameter_space import ParameterSpace
from ..utils.cloning import clone_around
from ..utils.estimator import SkastroEstimator
from ..utils.progress import LongFit, Progress, long_fit
from ..utils.seeds import draw_seed
from ..utils.sklearn_names import HasMethods, Interval, StrOptions, _fit_context
from ..utils.warn import warn
from ._catalogue import check_settings
from ._fitted_data import FittedDataMixin
from ._forward_model import ForwardModel
from ._integration import integrate
from ._observations import check_observations, check_sign
from ._posterior_collection import Posteriors
from ._predictive import PredictiveMixin
from ._run_folder import claim
from ._sampling import Solver, solve
from ._sampling_nested import is_first_process
from ._sampling_report import report
from ._sampling_surrogate import sample_by_calls


class BayesianRetrieval(LongFit, PredictiveMixin, FittedDataMixin, SkastroEstimator):
    r"""Posterior of the parameters of a forward model, by nested sampling.

    A regressor whose fitted parameters are physical. Rows of ``X`` are the observed
    lines or channels, ``y`` their intensities in one object, or in each of several:

    .. math:: y_i = f(\theta, X_i) + \varepsilon_i, \quad
              \varepsilon_i \sim \mathcal{N}(0, \sigma_i^2).

    See :ref:`the user guide <retrieval>`.

    Parameters
    ----------
    forward_model : callable or estimator
        Either ``forward_model(theta, X)`` of shape (n_draws, n_rows), for ``theta`` of
        shape (n_draws, n_parameters); or an object with ``predict(theta)``, such as
        :class:`~skastro.molecular.RadexModel`, or a fitted
        :class:`~skastro.molecular.RadexEmulator` or
        :class:`~skastro.emulation.EmulatorRegressor`, of which the one column of
        ``X`` picks the outputs: their positions, as ``encode_lines`` gives them. It
        stays fitted when the retrieval is cloned; in the grid of a search, wrap it in
        ``sklearn.frozen.FrozenEstimator``.
    prior : ParameterSpace
        Prior of the parameters. Where the forward model names its parameters (or was
        fitted on a data frame), they are matched by name, in any order, and their
        units are compared. At most 1 % of it may lie outside the training range of an
        emulator; that part counts as impossible.
    sigma : float, default=None
        1-sigma error of every line, for a ``fit`` that is given none: its own
        ``sigma`` goes before. With ``sample_weight``, the error of a line of unit
        weight, by default 1.
    degrees_of_freedom : float, default=None
        Of Student's t in place of the Gaussian, which forgives outliers; 4 is usual.
    calibration_error : float, default=0.0
        Relative error, 1 sigma, that the lines of one ``band`` have in common.
    model_spread : bool, default=True
        Whether the variance that a forward model states of itself, such as the spread
        of an ensemble of emulators, adds to that of the lines.
    sampler : {"auto", "slice", "region", "importance"}, default="auto"
        How UltraNest finds new points: a population of slice-sampling walkers, or
        rejection from a region around the live points, which is better in up to
        four dimensions; ``"auto"`` chooses. ``"importance"`` is for many objects and a
        fast forward model: adaptive importance sampling, with models shared among
        objects, a hundred to a thousand times faster. Objects for which it has less
        than ``min_ess`` are sampled by UltraNest. With ``max_calls`` it is for a dear
        model instead: see ``surrogate``.
    n_live_points : int, default=400
        Live points. Errors of the evidence and of the posterior fall with their square
        root, time grows in proportion.
    n_steps : int or "auto", default="auto"
        Slice-sampling steps before a point counts as independent; ``"auto"`` takes
        four a dimension. If doubling it moves the evidence, it was too low.
    population_size : int, default=100
        Walkers of the slice sampler, evaluated together.
    frac_remain : float, default=0.01
        Fraction of the evidence left in the live points at which to stop.
    max_calls : int or None, default=None
        Likelihood evaluations at which to stop early, with a warning. With
        ``sampler="importance"``, calls of the forward model in all, whatever the
        number of objects.
    surrogate : estimator, default=None
        With ``sampler="importance"`` and ``max_calls``: the regressor that learns the
        lines from the calls so far and says where to call next. None is a small
        :class:`~skastro.emulation.EmulatorRegressor`. Its inputs are standardised, its
        targets ``arcsinh(line / sigma)``. A poor one costs calls, and not accuracy.
    min_ess : float, default=200
        Effective sample size that importance sampling must reach.
    n_samples : int, default=1024
        Samples to keep of each of several objects, at most; its summaries are of them,
        and so have their sampling error of ``n_samples**-0.5`` standard deviations.
    objects : {"auto", "columns", "rows"}, default="auto"
        Where a two-dimensional ``y`` has its objects. ``"auto"`` is the axis that is
        not that of the lines, and asks where both are as long as there are lines.
    structure : {"auto", "ignore"}, default="auto"
        Whether what a forward model states of its structure is used: parameters that
        all lines are proportional to (``scale_parameters``), or that act on some lines
        only (``separable_parameters``), are integrated rather than sampled, and drawn
        again for the posterior. See :ref:`the user guide <structure>`.
    log_dir : path-like, default=None
        Folder for the points, or the objects, found so far. If it holds a run of the
        same problem, finished or killed, ``fit`` continues it.
    n_jobs : int, default=None
        Objects, or calls of a dear model, in parallel, through joblib and whatever
        backend it is set to.
    random_state : int, RandomState instance or None, default=None
        Seed.
    verbose : int, default=0
        1 shows a progress bar, and tells of an MPI that does not work.

    Attributes
    ----------
    posterior_ : Posterior or Posteriors
        Samples, weights, summaries: of one object, or of several in their order.
    log_evidence_, log_evidence_err_ : float or ndarray of shape (n_objects,)
        Natural logarithm of the evidence and its standard error.
    n_calls_ : int
        Likelihood evaluations, of all objects; of a dear model, its calls.
    calls_ : SimulationGrid
        With ``sampler="importance"`` and ``max_calls``: parameters and lines of all
        calls, and failures; ``calls_.training_data()`` trains an emulator.
    integrated_parameters_ : list of str
        Parameters that were integrated, and drawn again.
    n_features_in_ : int
        Number of columns of ``X``.

    See Also
    --------
    skastro.plotting.CornerDisplay : The posterior in pairs.
    skastro.plotting.PosteriorPredictiveDisplay : The fit beside the data.

    References
    ----------
    Skilling (2006), *Bayesian Analysis* 1, 833. Buchner (2021), *UltraNest*, JOSS 6,
    3001. *Decoding Astronomical Spectra Using Machine Learning*, section 2.2, Eq. 2.6.

    Examples
    --------
    A straight line through three points, with known errors:

    >>> import numpy as np
    >>> from skastro.parameter_space import ParameterSpace, Uniform
    >>> from skastro.retrieval import BayesianRetrieval
    >>> prior = ParameterSpace({"slope": Uniform(-5, 5), "offset": Uniform(-5, 5)})
    >>> def line(theta, X):
    ...     return theta[:, :1] * X[:, 0] + theta[:, 1:]
    >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([1.1, 2.9, 5.0])
    >>> retrieval = BayesianRetrieval(line, prior, sigma=0.1, random_state=0)
    >>> retrieval.fit(X, y).posterior_.mean().round(1)
    array([2., 1.])
    """

    _parameter_constraints: dict = {
        "forward_model": [callable, HasMethods("predict")],
        "prior": [ParameterSpace],
        "sigma": [Interval(Real, 0, None, closed="neither"), None],
        "degrees_of_freedom": [Interval(Real, 0, None, closed="neither"), None],
        "calibration_error": [Interval(Real, 0, None, closed="left")],
        "model_spread": ["boolean"],
        "sampler": [StrOptions({"auto", "slice", "region", "importance"})],
        "n_live_points": [Interval(Integral, 10, None, closed="left")],
        "n_steps": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "population_size": [Interval(Integral, 2, None, closed="left")],
        "frac_remain": [Interval(Real, 0, 1, closed="neither")],
        "max_calls": [Interval(Integral, 1, None, closed="left"), None],
        "surrogate": [HasMethods(["fit", "predict"]), None],
        "min_ess": [Interval(Real, 1, None, closed="left")],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "objects": [StrOptions({"auto", "columns", "rows"})],
        "structure": [StrOptions({"auto", "ignore"})],
        "log_dir": [str, Path, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        forward_model,
        prior,
        *,
        sigma=None,
        degrees_of_freedom=None,
        calibration_error=0.0,
        model_spread=True,
        sampler="auto",
        n_live_points=400,
        n_steps="auto",
        population_size=100,
        frac_remain=0.01,
        max_calls=None,
        surrogate=None,
        min_ess=200,
        n_samples=1024,
        objects="auto",
        structure="auto",
        log_dir=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.forward_model = forward_model
        self.prior = prior
        self.sigma = sigma
        self.degrees_of_freedom = degrees_of_freedom
        self.calibration_error = calibration_error
        self.model_spread = model_spread
        self.sampler = sampler
        self.n_live_points = n_live_points
        self.n_steps = n_steps
        self.population_size = population_size
        self.frac_remain = frac_remain
        self.max_calls = max_calls
        self.surrogate = surrogate
        self.min_ess = min_ess
        self.n_samples = n_samples
        self.objects = objects
        self.structure = structure
        self.log_dir = log_dir
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @long_fit
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sigma=None, sample_weight=None, upper_limit=None, band=None):
        """Sample the posterior of an object, or of each of several.

        What is masked is as what is NaN. Quantities are converted to the forward
        model's ``output_unit``.

        Parameters
        ----------
        X : array-like of shape (n_lines, n_features), or names of lines
            What distinguishes the observed lines or channels. Where the forward model
            has ``output_names``, their names will do, ``["CO(3-2)", ...]``: a list, or
            a column of a frame or table.
        y : array-like of shape (n_lines,), (n_lines, n_objects) or \
(n_objects, n_lines)
            Their intensities, NaN where a line was not observed. For a square table of
            several objects, see the parameter ``objects``.
        sigma : float or array-like of shape (n_lines,) or of the shape of y, \
default=None
            1-sigma errors. Infinity says that a line was not observed; any value will
            do where y is NaN.
        sample_weight : array-like of shape (n_lines,) or of the shape of y, \
default=None
            ``1 / sigma**2``, as scikit-learn has it, in place of ``sigma``. A line of
            weight 0 is left out.
        upper_limit : array-like of bool of shape (n_lines,) or of the shape of y, \
default=None
            Lines that were not detected: their ``y`` is the limit that they are below,
            as far as noise of their ``sigma`` allows. Where that is NaN, masked or
            infinite, the limit is exact: the model is below it.
        band : array-like of shape (n_lines,), default=None
            Receiver band of each line, by any label: lines of one band share their
            calibration error. By default all lines are of one.

        Returns
        -------
        self : BayesianRetrieval

        Raises
        ------
        ValueError
            If the data are not finite or cannot come from the forward model, if no
            uncertainty is given, or if prior and forward model disagree.
        TypeError
            If a unit is not the forward model's.

        Notes
        -----
        Callbacks of scikit-learn see a step for each object, or for each thousand
        evaluations of one. Half a posterior is none: where one asks to stop, a warning
        says that it goes on.
        """
        self._check_settings()
        self._forward = ForwardModel(self.forward_model, self.prior, self._dear)
        data = check_observations(
            self,
            self._forward,
            X,
            y,
            sigma=sigma,
            sample_weight=sample_weight,
            upper_limit=upper_limit,
            band=band,
        )
        check_sign(data, self._forward)
        if self.log_dir is not None:
            forward = None if self._dear else self._forward
            claim(self.log_dir, data, forward, self.prior, self._settings())
        problems = data.problems(self)
        solver = Solver(
            self._forward,
            self.prior,
            data.X,
            self.model_spread and self._forward.has_spread,
            {
                "sampler": "auto" if self.sampler == "importance" else self.sampler,
                "n_live_points": self.n_live_points,
                "n_steps": self.n_steps,
                "population_size": self.population_size,
                "frac_remain": self.frac_remain,
                "max_calls": self.max_calls,
            },
            self.min_ess,
        )
        self.integrated_parameters_ = []
        if self.structure == "auto" and not self._dear:
            seed = draw_seed(self.random_state)
            solver, self.integrated_parameters_ = integrate(
                solver, problems, seed, self.verbose
            )
        outcomes = self._sample(solver, problems, data.single)
        report(outcomes, self._forward, self.max_calls)
        posteriors = Posteriors(
            [None if o is None else o.posterior for o in outcomes], self.prior
        )
        self.posterior_ = posteriors[0] if data.single else posteriors
        self.log_evidence_ = self.posterior_.log_evidence
        self.log_evidence_err_ = self.posterior_.log_evidence_err
        self._observations = data
        self.n_calls_ = sum(0 if o is None else o.n_calls for o in outcomes)
        return self

    @property
    def _dear(self):
        """Whether each call of the forward model counts."""
        return self.sampler == "importance" and self.max_calls is not None

    def _check_settings(self):
        """Check what the constraints of single parameters cannot."""
        if self.surrogate is not None and not self._dear:
            raise ValueError(
                "`surrogate` places the calls of sampler='importance' with `max_calls`;"
                f" got sampler={self.sampler!r} and max_calls={self.max_calls}."
            )
        check_settings(self)

    def _sample(self, solver, problems, single):
        """Return the outcome of each problem, and None where there is none."""
        seed = draw_seed(self.random_state)
        if self._dear:
            with self._watched(self.max_calls, "retrieval", "call") as step:
                outcomes, self.calls_ = sample_by_calls(
                    solver,
                    list(problems),
                    regressor=self.surrogate,
                    max_calls=self.max_calls,
                    seed=seed,
                    n_samples=None if single else self.n_samples,
                    n_jobs=self.n_jobs,
                    log_dir=self.log_dir,
                    step=step,
                )
            return outcomes
        if single and self.sampler != "importance":
            # of processes under MPI, one tells how it goes
            first = is_first_process(self.verbose)
            watched = self._watched(None, "nested sampling", "kcall")
            with watched if first else contextlib.nullcontext() as step:
                return [solver.one(problems[0], seed, self.log_dir, step)]
        observed = len(problems.observed())
        with self._watched(observed, "retrieval", "object") as step:
            return solve(
                solver,
                problems,
                sampler=self.sampler,
                seed=seed,
                n_samples=self.n_samples if len(problems) > 1 else None,
                n_jobs=self.n_jobs,
                log_dir=self.log_dir,
                step=step,
            )

    @contextlib.contextmanager
    def _watched(self, total, description, unit):
        """Yield what counts steps; say so if a callback asked to stop, in vain."""
        asked = False
        with Progress(self, total, description, unit) as progress:

            def step(**shown):
                nonlocal asked
                asked |= progress.step(**shown)

            yield step
        if asked:
            warn(
                "A callback asked to stop, but half a posterior is none: sampling went"
                " on. `max_calls` ends it early, with a warning.",
            )

    def _settings(self):
        """Return what a run in a folder must not be continued with another of."""
        dear = {"surrogate": repr(self.surrogate)} if self._dear else {}
        return dear | {
            "n_live_points": int(self.n_live_points),
            "n_steps": self.n_steps if self.n_steps == "auto" else int(self.n_steps),
            "population_size": int(self.population_size),
            "sampler": self.sampler,
            "structure": self.structure,
            "degrees_of_freedom": self.degrees_of_freedom,
            "calibration_error": self.calibration_error,
            "model_spread": bool(self.model_spread),
            "min_ess": self.min_ess,
            "n_samples": int(self.n_samples),
        }

    def __sklearn_clone__(self):
        """Clone, but keep a fitted forward model fitted: it is not learned here."""
        return clone_around(self, {"forward_model"})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
