"""Labels of stars from spectra, by a generative model."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning

from ..decomposition._ppca_rows import as_rows, rows_of
from ..utils.estimator import SkastroEstimator
from ..utils.progress import LongFit, Progress, long_fit
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ..utils.warn import warn
from ._fit import LabelFit
from ._frame import LabelFrame
from ._labels import (
    check_labels,
    label_windows,
    refuse_few_stars,
    training_bounds,
)
from ._prediction import LabelPrediction

#: Times `tol` that spectra may change in the last pass without a warning.
_UNSETTLED = 10


class LabelRegressor(
    LongFit, LabelPrediction, MultiOutputMixin, RegressorMixin, SkastroEstimator
):
    r"""Labels of stars from their spectra, by a generative model of spectra.

    A spectrum x of a star with labels y is

    .. math:: x_j = \mu_j + \sum_t \beta_{tj} \phi_t(y) + \delta_j + \epsilon_j,
        \quad \epsilon_j \sim N(0, s_j^2 + \sigma_j^2)

    with polynomials :math:`\phi_t` of the labels, responses :math:`\beta` of each
    pixel, and a residual :math:`\delta` that pixels have in common: what the model
    leaves out. `predict` finds the labels of highest posterior density, with errors.
    Pixels and labels that are NaN are missing, and both may have errors.

    Parameters
    ----------
    degree : int or "auto", default="auto"
        Degree of the polynomials. All products up to it are terms. "auto" takes
        products of the labels that change spectra most, up to degree 6, and of each
        other label with few of these, as far as the stars determine them.
    shrinkage : bool, default=True
        Whether responses are shrunk, by priors that all pixels tell together. False
        is least squares, pixel by pixel.
    n_components : int, "auto" or None, default="auto"
        Dimensions of the space of predicted spectra; None for all that there are.
        "auto" keeps, of at most 64, those with more than a tenth of the variance of
        the noise.
    residual_components : int or "auto", default="auto"
        Number of spectra, beside those that labels predict, that residuals of
        different pixels have in common. "auto" keeps, of at most 30, those that noise
        would not give. 0 takes residuals for independent altogether, those along
        predicted spectra too.
    prior : {"gaussian"} or None, default="gaussian"
        What is known of labels before a spectrum is seen: the normal distribution of
        those of the training stars, or nothing.
    label_bounds : "auto", None or array-like of shape (n_labels, 2), \
            default="auto"
        Least and largest value of each label, in its own unit; NaN for none. "auto"
        is the range of the training labels, widened by a quarter of it at either end,
        beyond which polynomials go astray. None for no bounds.
    label_windows : dict, default=None
        Of labels, by name or number, that act on some pixels only: the indices of
        these pixels, or a mask. An abundance then is measured where its lines are;
        what it goes with in the training stars counts as the prior alone, if any.
    calibrate : bool, default=True
        Whether the errors that spectra give are scaled, label by label, so that the
        right share of stars lies within them that a fit without them has not seen.
        This takes 40 stars, 8 for each label, and 2 for each term; with fewer, errors
        are those of the posterior, as for False, and tend to be too small.
    max_iter : int, default=15
        Passes at most.
    tol : float, default=0.1
        The fit ends when a pass changes the predicted spectra of the training stars
        by less than this :math:`\chi^2`, a star.
    batch_size : int, default=512
        Rows of a block.
    verbose : int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    coef_ : ndarray of shape (n_terms, n_features)
        Responses :math:`\beta` of pixels; NaN in pixels that were never observed.
    powers_ : ndarray of int, of shape (n_terms, n_labels)
        Degree of each term in each label.
    mean_ : ndarray of shape (n_features,)
        Mean spectrum :math:`\mu`, likewise.
    scatter_ : ndarray of shape (n_features,)
        Intrinsic scatter s of each pixel; without `sigma`, all of its noise.
    label_names_ : ndarray of str, of shape (n_labels,)
        Names of the labels; ``label0``, … if y had none.
    label_mean_ : ndarray of shape (n_labels,)
        Mean label of the population.
    label_covariance_ : ndarray of shape (n_labels, n_labels)
        Covariance of the population, without errors of labels.
    label_range_ : ndarray of shape (n_labels, 2)
        Range of each label in training.
    label_bounds_ : ndarray of shape (n_labels, 2)
        Bounds of predicted labels.
    error_scale_ : ndarray of shape (n_labels,)
        What the calibration multiplies the part of errors by that spectra give; 1
        without it, or with too few stars.
    n_components_ : int
        Dimensions of spectra that labels predict, and that residuals share.
    n_iter_ : int
        Passes.
    n_features_in_ : int
        Number of pixels.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if X had any.

    See Also
    --------
    skastro.decomposition.ProbabilisticPCA : Components without labels.
    skastro.disentangling.ConditionalFactorAnalysis : What spectra hold beside labels.

    Notes
    -----
    Terms are products of polynomials of one coordinate each, orthonormal over the
    training stars. Coordinates are what each label has beyond those before it, such as
    [X/H] beyond [Fe/H], so that few pixels respond to most of them.

    The responses of a pixel to the terms of a label, in units of its noise, are drawn
    from a mixture of normal distributions that differ in scale, of which all pixels
    tell the covariance and the shares (an empirical Bayes estimate, by EM): most pixels
    have no line of an element, and shrink to none. Without it, the noise of thousands
    of small responses adds up, and biases labels towards the mean. All labels whose
    responses are curved share one such prior.

    Predicted spectra lie in a space of a few dozen dimensions, and inference is done
    there, by damped Gauss-Newton steps. The covariance of what labels do not predict
    is measured on stars that a fit without them has not seen, a quarter at a time.

    Labels that are missing or have errors are integrated over, as far as spectra and
    the other labels leave them open, in an EM around the fit.

    ``LabelRegressor(**PUBLISHED_CANNON_PARAMETERS)`` is the quadratic model of The
    Cannon.

    References
    ----------
    Ness, Hogg, Rix, Ho & Zasowski 2015, ApJ 808, 16: The Cannon. Casey et al. 2016,
    arXiv:1603.03040: regularisation and censoring. Stephens 2017, Biostatistics 18,
    275, and Urbut et al. 2019, Nature Genetics 51, 187: empirical Bayes with mixtures
    of scales.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.labels import LabelRegressor
    >>> rng = np.random.default_rng(0)
    >>> y = np.column_stack([rng.uniform(4000, 5000, 400), rng.normal(0, 0.3, 400)])
    >>> line = np.exp(-0.5 * ((np.arange(60) - 30) / 3) ** 2)
    >>> depth = 0.3 + 0.1 * y[:, 1] - 2e-4 * (y[:, 0] - 4500)
    >>> X = 1 - depth[:, None] * line - 1e-4 * (y[:, :1] - 4500) * np.roll(line, 20)
    >>> X += 0.002 * rng.normal(size=X.shape)
    >>> model = LabelRegressor().fit(X[:300], y[:300])
    >>> labels, errors = model.predict(X[300:], return_std=True)
    >>> model.score(X[300:], y[300:]) > 0.99
    True
    """

    # pipelines pass it on, with metadata routing as without
    __metadata_request__predict = {"return_std": True, "return_cov": True}

    _parameter_constraints: dict = {
        "degree": [Interval(Integral, 1, 8, closed="both"), StrOptions({"auto"})],
        "shrinkage": ["boolean"],
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            None,
        ],
        "residual_components": [
            Interval(Integral, 0, None, closed="left"),
            StrOptions({"auto"}),
        ],
        "prior": [StrOptions({"gaussian"}), None],
        "label_bounds": [StrOptions({"auto"}), "array-like", None],
        "label_windows": [dict, None],
        "calibrate": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        degree="auto",
        *,
        shrinkage=True,
        n_components="auto",
        residual_components="auto",
        prior="gaussian",
        label_bounds="auto",
        label_windows=None,
        calibrate=True,
        max_iter=15,
        tol=0.1,
        batch_size=512,
        verbose=0,
    ):
        self.degree = degree
        self.shrinkage = shrinkage
        self.n_components = n_components
        self.residual_components = residual_components
        self.prior = prior
        self.label_bounds = label_bounds
        self.label_windows = label_windows
        self.calibrate = calibrate
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.verbose = verbose

    # -- fitting

    @long_fit
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sigma=None, label_sigma=None):
        """Fit the spectra of given labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, NaN where missing. An ``np.memmap`` or an object that slices like
            an array is read in blocks. Stars without any pixel are left out.
        y : array-like of shape (n_samples, n_labels) or (n_samples,)
            Labels, NaN where missing; their names are kept if they have any.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors of X; or one for all, or one for each column. Infinity means
            not observed.
        label_sigma : array-like of shape (n_samples, n_labels), default=None
            1-sigma errors of y, in shapes as for `sigma`. 0 stands for an exact
            label, infinity for one that is not known.

        Returns
        -------
        self : LabelRegressor

        Raises
        ------
        ValueError
            If a label is constant, `label_windows` or `label_bounds` name no label or
            pixel, or there are too few stars: there must be two more than labels.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` passes were far from enough for `tol`.
        """
        X = as_rows(self, X, reset=True)
        y, label_sigma, names, one = check_labels(self, y, label_sigma, X.shape[0])
        if sigma is not None:
            sigma = self._errors(sigma, X)
        data, mean, n_observed = rows_of(X, sigma, self.batch_size)
        if data.kept is not None:
            y = y[data.kept]
            label_sigma = None if label_sigma is None else label_sigma[data.kept]
        refuse_few_stars(y)
        windows = label_windows(self.label_windows, names, n_observed > 0)
        frame = LabelFrame(y, label_sigma, ~windows.all(axis=1), names)
        label_range, bounds = training_bounds(y, self.label_bounds, names)
        with Progress(self, self.max_iter, "LabelRegressor", "pass") as progress:
            fit = LabelFit(
                data,
                mean,
                frame.scaled(y),
                frame.precision_of(y, label_sigma),
                frame,
                windows,
                self,
                frame.scaled(bounds.T),
            )
            fit.run(progress)
        if fit.n_iter == self.max_iter and fit.change > _UNSETTLED * self.tol > 0:
            warn(
                f"The fit is far from convergence after max_iter={self.max_iter}"
                f" passes: the last one changed the spectra by {fit.change:.1e} in"
                f" chi-square a star, tol={self.tol}.",
                ConvergenceWarning,
            )
        self._keep(fit, data, np.flatnonzero(n_observed), X.shape[1])
        self._one_label = one
        self.label_range_, self.label_bounds_ = label_range, bounds
        return self

    def _keep(self, fit, data, pixels, n_features):
        """Take what a fit has found, of which nothing is kept where it fails."""
        frame = fit.frame
        self.n_iter_ = fit.n_iter
        self.label_names_ = np.array(frame.names, dtype=object)
        self._unit, self._pixels = data.unit, pixels
        self._weighted = data.sigma is not None
        self._components, self._inference = fit.components, fit.inference
        self._frame, self._prior = frame, fit.prior()
        self.error_scale_ = fit.error_scale
        self.powers_ = fit.terms.powers
        self.n_components_ = fit.components.spectra.shape[1]
        self.label_mean_ = frame.labels(frame.centre)
        self.label_covariance_ = frame.covariance * np.outer(frame.scale, frame.scale)
        self.coef_ = np.full((len(self.powers_), n_features), np.nan)
        self.coef_[:, pixels] = fit.responses.coef * data.unit
        self.mean_ = np.full(n_features, np.nan)
        self.mean_[pixels] = fit.mean * data.unit
        self.scatter_ = np.full(n_features, np.nan)
        self.scatter_[pixels] = np.sqrt(fit.noise.scatter) * data.unit

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
