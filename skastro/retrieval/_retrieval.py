"""Bayesian retrieval: physical parameters from a few observed channels."""

import copy
import hashlib
import json
import logging
import warnings
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from .._base import SkastroEstimator
from .._random import draw_seed
from .._sklearn import (
    HasMethods,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    validate_data,
)
from .._units import refuse_units
from ..parameter_space import ParameterSpace
from ._forward import ForwardModel
from ._nested import nested_sampling
from ._posterior import Posterior

logger = logging.getLogger("skastro")

#: Log-likelihood where the forward model has no solution: lower than any other.
_IMPOSSIBLE = -1e100


class BayesianRetrieval(RegressorMixin, SkastroEstimator):
    r"""Posterior of the parameters of a forward model, by nested sampling.

    A regressor whose fitted parameters are physical. Rows of ``X`` are the observed
    lines or channels of *one* object, ``y`` their intensities:

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
    sampler : {"auto", "slice", "region"}, default="auto"
        How UltraNest finds new points: a population of slice-sampling walkers, or
        rejection from a region around the live points, which is better in up to
        four dimensions; ``"auto"`` chooses.
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
    log_dir : path-like, default=None
        Folder for the points found so far. If it holds a run of the same problem,
        finished or killed, ``fit`` continues it.
    random_state : int, RandomState instance or None, default=None
        Seed.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    posterior_ : Posterior
        Samples, weights, summaries.
    log_evidence_, log_evidence_err_ : float
        Natural logarithm of the evidence and its standard error.
    n_calls_ : int
        Likelihood evaluations.
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
        "sampler": [StrOptions({"auto", "slice", "region"})],
        "n_live_points": [Interval(Integral, 10, None, closed="left")],
        "n_steps": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "population_size": [Interval(Integral, 2, None, closed="left")],
        "frac_remain": [Interval(Real, 0, 1, closed="neither")],
        "max_calls": [Interval(Integral, 1, None, closed="left"), None],
        "log_dir": [str, Path, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        forward_model,
        prior,
        *,
        sigma=None,
        sampler="auto",
        n_live_points=400,
        n_steps="auto",
        population_size=100,
        frac_remain=0.01,
        max_calls=None,
        log_dir=None,
        random_state=None,
        verbose=0,
    ):
        self.forward_model = forward_model
        self.prior = prior
        self.sigma = sigma
        self.sampler = sampler
        self.n_live_points = n_live_points
        self.n_steps = n_steps
        self.population_size = population_size
        self.frac_remain = frac_remain
        self.max_calls = max_calls
        self.log_dir = log_dir
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Sample the posterior.

        Parameters
        ----------
        X : array-like of shape (n_lines, n_features)
            What distinguishes the observed lines or channels of the object.
        y : array-like of shape (n_lines,)
            Their intensities. Leave out lines that were not observed.
        sample_weight : array-like of shape (n_lines,), default=None
            ``1 / sigma**2`` of each line, with ``sigma=None``.

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
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        weight = self._weights(X, sample_weight)
        used = weight > 0
        if not used.any():
            raise ValueError("`sample_weight` is zero in every row: nothing to fit.")
        self._forward = ForwardModel(self.forward_model, self.prior)
        self._forward.check_rows(X)
        self._check_data(X, y, weight)
        X_used, y_used, weight = X[used], y[used], weight[used]
        constant = 0.5 * np.sum(np.log(weight / (2 * np.pi)))
        n_evaluated = n_unsolved = 0

        def log_likelihood(theta):
            nonlocal n_evaluated, n_unsolved
            n_evaluated += len(theta)
            residual = self._forward(theta, X_used) - y_used
            values = constant - 0.5 * (residual**2 @ weight)
            unsolved = np.isnan(values)
            if unsolved.any():
                n_unsolved += int(unsolved.sum())
                values[unsolved] = _IMPOSSIBLE
            return np.maximum(values, _IMPOSSIBLE)

        n_parameters = len(self.prior)
        n_steps = 4 * n_parameters if self.n_steps == "auto" else self.n_steps
        self._check_log_dir(X, y, weight, n_steps)
        run = nested_sampling(
            self.prior.names,
            self.prior.transform,
            log_likelihood,
            sampler=self.sampler,
            n_live_points=self.n_live_points,
            n_steps=n_steps,
            population_size=self.population_size,
            frac_remain=self.frac_remain,
            max_calls=self.max_calls,
            log_dir=self.log_dir,
            seed=draw_seed(self.random_state),
            verbose=self.verbose,
        )
        if not run.log_likelihoods.max() > _IMPOSSIBLE:
            raise ValueError(
                f"`forward_model` had no solution (NaN) in any of {n_evaluated}"
                " evaluations over the prior: there is nothing to retrieve."
            )
        if not run.well_mixed:
            warnings.warn(
                "The insertion order of new points is not uniform: they depend on those"
                " they replaced, and the evidence may be biased. Raise `n_steps` or"
                " `n_live_points`.",
                UserWarning,
                stacklevel=2,
            )
        if n_unsolved:
            warnings.warn(
                f"The forward model had no solution (NaN) in {n_unsolved} of"
                f" {n_evaluated} evaluations, which were taken as impossible.",
                UserWarning,
                stacklevel=2,
            )
        if self.max_calls is not None and run.n_calls >= self.max_calls:
            warnings.warn(
                f"The run stopped at `max_calls`={self.max_calls} evaluations, before"
                " it had converged; its evidence and posterior are not final.",
                UserWarning,
                stacklevel=2,
            )
        self.posterior_ = Posterior(
            self.prior,
            run.samples,
            run.weighted_samples,
            run.weights,
            run.log_likelihoods,
            run.log_evidence,
            run.log_evidence_err,
        )
        self.log_evidence_ = run.log_evidence
        self.log_evidence_err_ = run.log_evidence_err
        self.n_calls_ = run.n_calls
        return self

    # -- the data

    def _weights(self, X, sample_weight):
        """Return ``1 / sigma**2`` of each row."""
        if sample_weight is None:
            if self.sigma is None:
                raise ValueError(
                    "No uncertainties: pass sample_weight=1 / sigma**2 to `fit`, or set"
                    " the parameter `sigma`."
                )
            return np.full(len(X), 1.0 / self.sigma**2)
        weight = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        return weight if self.sigma is None else weight / self.sigma**2

    def _check_data(self, X, y, weight):
        """Check that a model of non-negative outputs could have made the data."""
        if not self._forward.nonnegative:
            return
        impossible = y * np.sqrt(weight) < -3.0
        if impossible.any():
            names = self._forward.row_names(X)
            names = [names[i] for i in np.flatnonzero(impossible)]
            raise ValueError(
                f"`y` is negative by more than 3 sigma for {names}:"
                f" {y[impossible].tolist()}; `forward_model` cannot be. Check the"
                " baseline and the sign, or leave these lines out."
            )

    def _check_log_dir(self, X, y, weight, n_steps):
        """Keep a run from being continued with another problem or other settings."""
        if self.log_dir is None:
            return
        probe = self.prior.sample_latin_hypercube(16, random_state=0)
        problem = hashlib.sha256()
        for array in (X, y, weight, probe):
            problem.update(np.ascontiguousarray(array, dtype=float).tobytes())
        settings = {
            "problem": problem.hexdigest(),
            "n_live_points": int(self.n_live_points),
            "n_steps": int(n_steps),
            "population_size": int(self.population_size),
            "sampler": self.sampler,
        }
        # a fixed look at the forward model, in place of its code; compared to the
        # precision that survives another number of threads
        predictions = self._forward(probe, X)
        path = Path(self.log_dir) / "skastro.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(settings | {"predictions": predictions.tolist()})
            path.write_text(text, encoding="utf-8")
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
        parameters = {
            name: value if name == "forward_model" else clone(value, safe=False)
            for name, value in self.get_params(deep=False).items()
        }
        cloned = type(self)(**parameters)
        if hasattr(self, "_metadata_request"):
            cloned._metadata_request = copy.deepcopy(self._metadata_request)
        return cloned

    # -- prediction

    def posterior_predictive(self, X):
        """Return the predictions of every posterior sample, without noise.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Lines or channels, observed or not.

        Returns
        -------
        predictions : ndarray of shape (n_samples, n_rows)
            One row for each of ``posterior_.samples``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        self._forward.check_rows(X)
        return self._forward(self.posterior_.samples, X)

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
        y : ndarray of shape (n_rows,)
            Posterior mean.
        y_std : ndarray of shape (n_rows,)
            Posterior standard deviation. Only with ``return_std=True``.
        """
        predictions = self.posterior_predictive(X)
        mean = predictions.mean(axis=0)
        return (mean, predictions.std(axis=0)) if return_std else mean
