"""Retrieval as a transformer: rows are objects."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..parameter_space import ParameterSpace
from ..utils.arrays import refuse_errors_as_y
from ..utils.cloning import clone_around
from ..utils.estimator import SkastroEstimator
from ..utils.progress import Progress
from ..utils.seeds import draw_seed
from ..utils.sklearn_names import (
    HasMethods,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
)
from ._catalogue import (
    check_settings,
    lines_of_columns,
    read_bands,
    read_catalogue,
)
from ._forward_model import ForwardModel
from ._posterior_collection import Posteriors
from ._problem import Problems
from ._row_sampling import RowSampler
from ._sampling import Solver
from ._sampling_report import report

#: Columns that follow those of the parameters.
_EVIDENCE = ["log_evidence", "log_evidence_err", "effective_sample_size"]


class RetrievalTransformer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, SkastroEstimator
):
    """Physical parameters of the objects of a catalogue, of which each is a row.

    :class:`BayesianRetrieval` for pipelines: it turns observed lines, a row for each
    object or pixel, into medians and credible intervals of the parameters of a forward
    model. What it says of an object does not depend on those beside it.

    See :ref:`the user guide <catalogues>`.

    Parameters
    ----------
    forward_model : callable or estimator
        As of :class:`BayesianRetrieval`: an object with ``predict(theta)``, whose
        outputs are the columns of the catalogue, or ``forward_model(theta, X)`` of
        shape (n_draws, n_columns). It is fitted beforehand and stays so in clones; in
        the grid of a search, wrap it in ``sklearn.frozen.FrozenEstimator``.
    prior : ParameterSpace
        Prior of the parameters, matched by name where the model names them.
    lines : array-like of shape (n_columns, n_features), or names of lines, default=None
        Which lines the columns of the catalogue are: positions or names of outputs, or
        what a callable takes for ``X``. None are the names of the columns, if they and
        the outputs have any, of which some may be missing and the order does not
        matter; else all outputs in their order. A callable is given 0, 1, 2, ...
    sigma : float, default=None
        1-sigma error of every line, where a method is given none.
    degrees_of_freedom : float, default=None
        Of Student's t in place of the Gaussian.
    calibration_error : float, default=0.0
        Relative error, 1 sigma, that the lines of one ``band`` have in common.
    band : array-like of shape (n_columns,), default=None
        Receiver band of each column, by any label. By default all are of one.
    model_spread : bool, default=True
        Whether the variance that a forward model states of itself adds to that of the
        lines.
    sampler : {"importance", "auto", "slice", "region"}, default="importance"
        As of :class:`BayesianRetrieval`. Objects for which importance sampling has less
        than ``min_ess`` are sampled by UltraNest, as with the others all are.
    share_draws : bool, default=False
        Whether objects of similar posteriors share draws where the model has no tables
        (see :ref:`structure`). It is faster, for maps many times, but what is found of
        an object then depends, within its sampling error, on those beside it.
    n_live_points : int, default=400
        Live points of UltraNest.
    min_ess : float, default=200
        Effective sample size that importance sampling must reach.
    n_samples : int, default=1024
        Samples to draw of each object, at most; its summaries are of them.
    structure : {"auto", "ignore"}, default="auto"
        Whether parameters that the forward model states to scale lines, or to act on
        some of them only, are integrated rather than sampled.
    probability : float, default=0.6827
        Probability of the credible intervals.
    n_jobs : int, default=None
        Objects in parallel, through joblib.
    random_state : int, RandomState instance or None, default=None
        Seed. That of an object is made of this one and of the object's data.
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    lines_ : ndarray of shape (n_columns, n_features)
        What the forward model takes for the columns.
    integrated_parameters_ : list of str
        Parameters that are integrated, and drawn again.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_columns,)
        Their names, if they had any.

    See Also
    --------
    BayesianRetrieval : Of one object, or of several; of dear models; kept on disk.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.parameter_space import ParameterSpace, Uniform
    >>> from skastro.retrieval import RetrievalTransformer
    >>> prior = ParameterSpace({"slope": Uniform(-5, 5), "offset": Uniform(-5, 5)})
    >>> def line(theta, X):
    ...     return theta[:, :1] * X[:, 0] + theta[:, 1:]
    >>> X = np.array([[1.0, 3.0, 5.0], [3.0, np.nan, 3.0]])  # a row for each object
    >>> retrieval = RetrievalTransformer(line, prior, sigma=0.1, random_state=0)
    >>> table = retrieval.set_output(transform="pandas").fit_transform(X)
    >>> table[["slope", "offset"]].round(1).abs().to_numpy()
    array([[2., 1.],
           [0., 3.]])
    >>> list(table.columns[:3])
    ['slope', 'slope_lower', 'slope_upper']
    """

    _parameter_constraints: dict = {
        "forward_model": [callable, HasMethods("predict")],
        "prior": [ParameterSpace],
        "lines": ["array-like", None],
        "sigma": [Interval(Real, 0, None, closed="neither"), None],
        "degrees_of_freedom": [Interval(Real, 0, None, closed="neither"), None],
        "calibration_error": [Interval(Real, 0, None, closed="left")],
        "band": ["array-like", None],
        "model_spread": ["boolean"],
        "sampler": [StrOptions({"auto", "slice", "region", "importance"})],
        "share_draws": ["boolean"],
        "n_live_points": [Interval(Integral, 10, None, closed="left")],
        "min_ess": [Interval(Real, 1, None, closed="left")],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "structure": [StrOptions({"auto", "ignore"})],
        "probability": [Interval(Real, 0, 1, closed="neither")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        forward_model,
        prior,
        *,
        lines=None,
        sigma=None,
        degrees_of_freedom=None,
        calibration_error=0.0,
        band=None,
        model_spread=True,
        sampler="importance",
        share_draws=False,
        n_live_points=400,
        min_ess=200,
        n_samples=1024,
        structure="auto",
        probability=0.6827,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.forward_model = forward_model
        self.prior = prior
        self.lines = lines
        self.sigma = sigma
        self.degrees_of_freedom = degrees_of_freedom
        self.calibration_error = calibration_error
        self.band = band
        self.model_spread = model_spread
        self.sampler = sampler
        self.share_draws = share_draws
        self.n_live_points = n_live_points
        self.min_ess = min_ess
        self.n_samples = n_samples
        self.structure = structure
        self.probability = probability
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None, upper_limit=None):
        """Prepare what all objects have in common; nothing is retrieved yet.

        A model with separable parameters gets tables of its lines that are as fine as
        these objects ask for. Objects that need finer ones later get them then, and
        they are kept.

        Parameters
        ----------
        X : array-like of shape (n_objects, n_columns)
            Intensities, NaN or masked where not observed; quantities are converted to
            the forward model's ``output_unit``.
        y : ignored
            There for scikit-learn.
        sigma : float or array-like of shape (n_columns,) or (n_objects, n_columns), \
default=None
            1-sigma errors. Infinity says that a line was not observed.
        upper_limit : array-like of bool of the shape of X, default=None
            Lines that were not detected, and are below their intensity in X, as far as
            noise of their ``sigma`` allows; exactly where that is NaN, masked or
            infinite.

        Returns
        -------
        self : RetrievalTransformer

        Raises
        ------
        ValueError
            If no line of any object was observed, columns are not lines of the forward
            model, data cannot come from it, there are no errors, or prior and forward
            model disagree.
        TypeError
            If a unit is not the forward model's.
        """
        refuse_errors_as_y(self, X, y)
        check_settings(self)
        forward = ForwardModel(self.forward_model, self.prior)
        X, sigma, limit = read_catalogue(
            self, forward, X, sigma, upper_limit, reset=True
        )
        if np.isnan(X).all():
            raise ValueError("X is NaN, or masked, everywhere: nothing was observed.")
        self.lines_ = lines_of_columns(self, forward, X.shape[1])
        self._band = read_bands(self.band, X.shape[1], self.calibration_error)
        self._forward = forward
        solver = Solver(
            forward,
            self.prior,
            self.lines_,
            self.model_spread and forward.has_spread,
            {
                "sampler": "auto" if self.sampler == "importance" else self.sampler,
                "n_live_points": self.n_live_points,
                "n_steps": "auto",
                "population_size": 100,
                "frac_remain": 0.01,
                "max_calls": None,
            },
            self.min_ess,
        )
        self._rows = RowSampler(
            solver,
            Problems(self, X, sigma, limit, self._band).observed(),
            draw_seed(self.random_state),
            self.structure == "auto",
            self.verbose,
        )
        names = self.prior.names
        self.integrated_parameters_ = [names[i] for i in self._rows.integrated]
        return self

    def fit_transform(self, X, y=None, sigma=None, upper_limit=None):
        """Fit, and return the summaries of the same objects.

        Parameters
        ----------
        X : array-like of shape (n_objects, n_columns)
            Intensities.
        y : ignored
            There for scikit-learn.
        sigma, upper_limit : array-like, default=None
            As of `fit`.

        Returns
        -------
        summaries : ndarray of shape (n_objects, n_features_out)
            As of `transform`.
        """
        fitted = self.fit(X, y, sigma=sigma, upper_limit=upper_limit)
        return fitted.transform(X, sigma=sigma, upper_limit=upper_limit)

    def transform(self, X, sigma=None, upper_limit=None):
        """Return medians and credible intervals of the parameters.

        Only the summaries are kept in memory.

        Parameters
        ----------
        X : array-like of shape (n_objects, n_columns)
            Intensities, NaN or masked where not observed.
        sigma, upper_limit : array-like, default=None
            As of `fit`.

        Returns
        -------
        summaries : ndarray of shape (n_objects, 3 * n_parameters + 3)
            Columns are named by `get_feature_names_out`. NaN for objects without data,
            or of which no model has a solution, which a warning says; their effective
            sample size is 0.

        Raises
        ------
        ValueError
            If X, `sigma` or `upper_limit` are not as of `fit`.
        """
        outcomes = self._sample(X, sigma, upper_limit, self._summary)
        summaries = np.full((len(outcomes), self._n_features_out), np.nan)
        summaries[:, -1] = 0.0
        for row, outcome in zip(summaries, outcomes, strict=True):
            if outcome is not None and outcome.posterior is not None:
                row[:] = outcome.posterior.values
        return summaries

    def posteriors(self, X, sigma=None, upper_limit=None):
        """Return the posteriors of objects, with all samples.

        Parameters
        ----------
        X : array-like of shape (n_objects, n_columns)
            Intensities, NaN or masked where not observed.
        sigma, upper_limit : array-like, default=None
            As of `fit`.

        Returns
        -------
        posteriors : Posteriors
            Of which `transform` is the summary.

        Raises
        ------
        ValueError
            If X, `sigma` or `upper_limit` are not as of `fit`.
        """
        outcomes = self._sample(X, sigma, upper_limit)
        return Posteriors(
            [None if o is None else o.posterior for o in outcomes], self.prior
        )

    def score(self, X, y=None, sigma=None, upper_limit=None, sample_weight=None):
        """Return the mean logarithm of the evidence of objects.

        Searches over forward models choose the one that predicts the lines of held-out
        objects best, before it has seen them.

        Parameters
        ----------
        X : array-like of shape (n_objects, n_columns)
            Intensities, NaN or masked where not observed.
        y : ignored
            There for scikit-learn.
        sigma, upper_limit : array-like, default=None
            As of `fit`.
        sample_weight : array-like of shape (n_objects,), default=None
            Weights of the objects in the mean.

        Returns
        -------
        score : float
            Natural logarithm. Objects without data do not count; one of which no model
            has a solution makes it minus infinity.

        Raises
        ------
        ValueError
            If no object has data.
        """
        outcomes = self._sample(X, sigma, upper_limit, self._summary, refuse_empty=True)
        column = _EVIDENCE.index("log_evidence") - len(_EVIDENCE)
        scored = [i for i, outcome in enumerate(outcomes) if outcome is not None]
        posteriors = [outcomes[i].posterior for i in scored]
        values = [-np.inf if p is None else p.values[column] for p in posteriors]
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, outcomes)[scored]
        return float(np.average(values, weights=sample_weight))

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Only compared with the names of `fit`.

        Returns
        -------
        names : ndarray of str
            Of each parameter its name, for the median, and under it with ``_lower``
            and ``_upper`` the ends of the interval; then ``log_evidence``,
            ``log_evidence_err`` and ``effective_sample_size``, as of
            :meth:`Posteriors.to_table`.
        """
        super().get_feature_names_out(input_features)
        names = [
            name + end for name in self.prior.names for end in ("", "_lower", "_upper")
        ]
        return np.asarray([*names, *_EVIDENCE], dtype=object)

    @property
    def _n_features_out(self):
        return 3 * len(self.prior) + len(_EVIDENCE)

    def _summary(self, posterior):
        """Return the row of an object."""
        tail = (1 - self.probability) / 2
        quantiles = posterior.quantile([0.5, tail, 1 - tail])
        evidence = [getattr(posterior, name) for name in _EVIDENCE]
        return np.concatenate([quantiles.T.ravel(), evidence])

    def _sample(self, X, sigma, upper_limit, summarise=None, refuse_empty=False):
        """Return the outcome of each object."""
        check_is_fitted(self)
        data = read_catalogue(self, self._forward, X, sigma, upper_limit)
        problems = Problems(self, *data, self._band)
        n_observed = len(problems.observed())
        if refuse_empty and not n_observed:
            raise ValueError("X is NaN, or masked, everywhere: nothing to score.")
        with Progress(self, n_observed, "retrieval", "object") as progress:
            outcomes = self._rows.sample(
                problems,
                sampler=self.sampler,
                n_samples=self.n_samples,
                n_jobs=self.n_jobs,
                share=self.share_draws,
                step=progress.step,
                summarise=summarise,
            )
        report(outcomes, self._forward, None, strict=False)
        return outcomes

    def __sklearn_clone__(self):
        """Clone, but keep a fitted forward model fitted: it is not learned here."""
        return clone_around(self, {"forward_model"})

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64"]
        tags.non_deterministic = self.share_draws
        return tags
