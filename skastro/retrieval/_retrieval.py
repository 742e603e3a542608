"""Bayesian retrieval: physical parameters from a few observed channels."""

import hashlib
import json
import os
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ..parameter_space import ParameterSpace
from ..utils.arrays import refuse_units
from ..utils.cloning import clone_around
from ..utils.estimator import SkastroEstimator
from ..utils.seeds import draw_seed
from ..utils.sklearn_names import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
    validate_data,
)
from ._forward_model import ForwardModel
from ._likelihood import Likelihood
from ._observations import check_observations, check_sign
from ._posterior import Posterior
from ._posterior_collection import Posteriors
from ._sampling import Problem, Solver, report, solve


class BayesianRetrieval(RegressorMixin, SkastroEstimator):
    r"""Posterior of the parameters of a forward model, by nested sampling.

    A regressor whose fitted parameters are physical. Rows of ``X`` are the observed
    lines or channels, ``y`` their intensities in one object, or in each of several:

    .. math:: y_i = f(\theta, X_i) + \varepsilon_i, \quad
              \varepsilon_i \sim \mathcal{N}(0, \sigma^2 / w_i),

    with the weights :math:`w` of ``sample_weight``. See
    :ref:`the user guide <retrieval>`.

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
        Standard deviation of a row of unit weight. By default 1 with
        ``sample_weight``, which then is ``1 / sigma**2`` of each row, and required
        without.
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
        than ``min_ess`` are sampled by UltraNest.
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
        Likelihood evaluations at which to stop early, with a warning.
    min_ess : float, default=200
        Effective sample size that importance sampling must reach.
    n_samples : int, default=1024
        Samples to keep of each of several objects, at most; its summaries are of them,
        and so have their sampling error of ``n_samples**-0.5`` standard deviations.
    log_dir : path-like, default=None
        Folder for the points, or the objects, found so far. If it holds a run of the
        same problem, finished or killed, ``fit`` continues it.
    n_jobs : int, default=None
        Objects sampled in parallel, through joblib and whatever backend it is set to.
    random_state : int, RandomState instance or None, default=None
        Seed.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    posterior_ : Posterior or Posteriors
        Samples, weights, summaries: of one object, or of several in their order.
    log_evidence_, log_evidence_err_ : float or ndarray of shape (n_objects,)
        Natural logarithm of the evidence and its standard error.
    n_calls_ : int
        Likelihood evaluations, of all objects.
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
        "min_ess": [Interval(Real, 1, None, closed="left")],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
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
        min_ess=200,
        n_samples=1024,
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
        self.min_ess = min_ess
        self.n_samples = n_samples
        self.log_dir = log_dir
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, upper_limit=None, band=None):
        """Sample the posterior of an object, or of each of several.

        Parameters
        ----------
        X : array-like of shape (n_lines, n_features)
            What distinguishes the observed lines or channels.
        y : array-like of shape (n_lines,) or (n_lines, n_objects)
            Their intensities. Of one object, leave out lines that were not observed;
            of several, they are NaN.
        sample_weight : array-like of shape (n_lines,) or (n_lines, n_objects), \
default=None
            ``1 / sigma**2`` of each line, with ``sigma=None``. A line of weight 0 is
            left out.
        upper_limit : array-like of bool, of the shape of y, default=None
            Lines that were not detected: their ``y`` is the limit that they are below,
            as far as noise of their ``sigma`` allows.
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
        """
        refuse_units(y, "y", getattr(self.forward_model, "output_unit", None))
        refuse_units(sample_weight, "sample_weight")
        self._check_settings()
        data = check_observations(self, X, y, sample_weight, upper_limit, band)
        self._forward = ForwardModel(self.forward_model, self.prior)
        self._forward.check_rows(data.X)
        check_sign(data, self._forward)
        n_steps = 4 * len(self.prior) if self.n_steps == "auto" else self.n_steps
        self._check_log_dir(data, n_steps)
        solver = Solver(
            self._forward,
            self.prior,
            data.X,
            self.model_spread and self._forward.has_spread,
            {
                "sampler": "auto" if self.sampler == "importance" else self.sampler,
                "n_live_points": self.n_live_points,
                "n_steps": n_steps,
                "population_size": self.population_size,
                "frac_remain": self.frac_remain,
                "max_calls": self.max_calls,
            },
            self.min_ess,
        )
        problems = [None if o is None else self._problem(*o) for o in data.objects()]
        single = data.y.ndim == 1
        seed = draw_seed(self.random_state)
        if single and self.sampler != "importance":
            outcomes = [solver.one(problems[0], seed, self.log_dir, self.verbose)]
        else:
            outcomes = solve(
                solver,
                problems,
                sampler=self.sampler,
                seed=seed,
                n_samples=self.n_samples if len(problems) > 1 else None,
                n_jobs=self.n_jobs,
                log_dir=self.log_dir,
                verbose=self.verbose,
            )
        report(outcomes, self.max_calls)
        posteriors = [None if o is None else o.posterior for o in outcomes]
        self.posterior_ = (
            posteriors[0] if single else Posteriors(posteriors, self.prior)
        )
        self.log_evidence_ = self.posterior_.log_evidence
        self.log_evidence_err_ = self.posterior_.log_evidence_err
        self.n_calls_ = sum(0 if o is None else o.n_calls for o in outcomes)
        return self

    def _check_settings(self):
        """Check what the constraints of single parameters cannot."""
        n_parameters = len(self.prior)
        if self.n_live_points <= n_parameters:
            raise ValueError(
                f"`n_live_points`={self.n_live_points} must be more than the"
                f" {n_parameters} parameters of `prior`; hundreds are usual."
            )
        if self.degrees_of_freedom is not None and self.calibration_error:
            raise ValueError(
                "`degrees_of_freedom` and `calibration_error` exclude each other: the"
                " integral over calibrations is that of Gaussian errors."
            )

    def _problem(self, rows, y, sigma, limit, band):
        """Return the problem of one object."""
        likelihood = Likelihood(
            y,
            sigma,
            upper_limit=limit,
            degrees_of_freedom=self.degrees_of_freedom,
            calibration_error=self.calibration_error,
            band=band,
        )
        return Problem(rows, likelihood)

    def _check_log_dir(self, data, n_steps):
        """Keep a run from being continued with another problem or other settings."""
        if self.log_dir is None:
            return
        probe = self.prior.sample_latin_hypercube(16, random_state=0)
        problem = hashlib.sha256()
        for array in (*vars(data).values(), probe):
            problem.update(np.ascontiguousarray(array, dtype=float).tobytes())
        settings = {
            "problem": problem.hexdigest(),
            "n_live_points": int(self.n_live_points),
            "n_steps": int(n_steps),
            "population_size": int(self.population_size),
            "sampler": self.sampler,
            "degrees_of_freedom": self.degrees_of_freedom,
            "calibration_error": self.calibration_error,
            "model_spread": bool(self.model_spread),
            "min_ess": self.min_ess,
            "n_samples": int(self.n_samples),
        }
        # a fixed look at the forward model, in place of its code; compared to the
        # precision that survives another number of threads
        predictions = self._forward(probe, data.X)
        path = Path(self.log_dir) / "skastro.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(settings | {"predictions": predictions.tolist()})
            # in one move: processes under MPI all write the same
            partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
            return
        found = json.loads(path.read_text(encoding="utf-8"))
        before = found.pop("predictions", None)
        if found != settings or not np.allclose(
            before, predictions, rtol=1e-4, equal_nan=True
        ):
            raise ValueError(
                f"`log_dir` {str(self.log_dir)!r} holds a run of another problem (other"
                " data, weights, prior or forward model) or with other settings of the"
                " sampler; name another folder."
            )

    def __sklearn_clone__(self):
        """Clone, but keep a fitted forward model fitted: it is not learned here."""
        return clone_around(self, {"forward_model"})

    # -- prediction

    def prior_predictive(self, X, n_samples, random_state=None):
        """Draw parameters from the prior and predict lines of them; needs no fit.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Lines or channels.
        n_samples : int
            Number of draws.
        random_state : int, RandomState instance or None, default=None
            Seed.

        Returns
        -------
        theta : ndarray of shape (n_samples, n_parameters)
            Parameters, in the prior's order and units.
        predictions : ndarray of shape (n_samples, n_rows)
            Without noise; NaN where the forward model has no solution.
        """
        X = check_array(X, dtype=np.float64)
        forward = ForwardModel(self.forward_model, self.prior)
        forward.check_rows(X)
        theta = self.prior.sample(n_samples, random_state=random_state)
        return theta, forward(theta, X)

    def posterior_predictive(self, X):
        """Return the predictions of every posterior sample, without noise.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Lines or channels, observed or not.

        Returns
        -------
        predictions : ndarray of shape (n_samples, n_rows), or list of ndarray
            One row for each of ``posterior_.samples``. A list of such of each object
            after a fit to several; without data it has no rows.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        self._forward.check_rows(X)
        if isinstance(self.posterior_, Posterior):
            return self._forward(self.posterior_.samples, X)
        return [
            np.empty((0, len(X))) if p is None else self._forward(p.samples, X)
            for p in self.posterior_
        ]

    def predict(self, X, return_std=False):
        """Predict lines or channels, averaged over the posterior.

        The spread is that of the model's predictions; a new measurement has its own
        noise on top.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Lines or channels, observed or not.
        return_std : bool, default=False
            Whether to return the spread too.

        Returns
        -------
        y : ndarray of shape (n_rows,) or (n_rows, n_objects)
            Posterior mean; NaN for an object without data.
        y_std : ndarray of the same shape
            Posterior standard deviation. Only with ``return_std=True``.
        """
        predictions = self.posterior_predictive(X)
        if isinstance(predictions, np.ndarray):
            mean, std = predictions.mean(axis=0), predictions.std(axis=0)
        else:
            missing = np.full((1, predictions[0].shape[1]), np.nan)
            each = [p if len(p) else missing for p in predictions]
            mean = np.stack([p.mean(axis=0) for p in each], axis=1)
            std = np.stack([p.std(axis=0) for p in each], axis=1)
        return (mean, std) if return_std else mean

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
