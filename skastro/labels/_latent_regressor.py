"""Labels of stars from their latent variables, with errors."""

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import validate
from ..utils.estimator import SkastroEstimator
from ..utils.sklearn_names import _fit_context
from ..utils.uncertain import UncertainVectors
from ..utils.warn import warn
from ._labels import check_labels, mean_r2
from ._readout import Population, Readout


class LatentRegressor(MultiOutputMixin, RegressorMixin, SkastroEstimator):
    r"""Labels of stars, such as abundances, from latent variables with errors.

    The last step after a disentangler, or after components, that tells whether they
    hold the chemistry. The latent variables z of a star are true ones plus an error
    whose covariance is known, and labels are linear in the true ones:

    .. math:: z = \zeta + e, \quad e \sim N(0, C), \qquad
        y = b + B \zeta + \eta, \quad \eta_j \sim N(0, s_j^2)

    `predict` gives the mean of y given z, and its error, which is larger where C is.
    Labels that are NaN are missing.

    Parameters
    ----------
    with_covariance : bool, default=False
        Whether X carries the covariances C, as ``transform`` of
        `ConditionalFactorAnalysis` or `ProbabilisticPCA` returns them
        ``with_covariance=True``. False stands for latent variables whose errors are
        the same in all stars, and a part of s.
    calibrate : bool, default=True
        Whether errors are scaled, label by label, so that 68 % of stars lie within
        them that are left out, one at a time.

    Attributes
    ----------
    coef_ : ndarray of shape (n_labels, n_values)
        B, in the units of the labels and of the latent variables.
    intercept_ : ndarray of shape (n_labels,)
        b.
    scatter_ : ndarray of shape (n_labels,)
        s: what true latent variables do not tell of each label.
    error_scale_ : ndarray of shape (n_labels,)
        What the calibration multiplies errors by.
    label_names_ : ndarray of str, of shape (n_labels,)
        Names of the labels; ``label0``, … if y had none.
    latent_mean_ : ndarray of shape (n_values,)
        Mean of the true latent variables.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if X had any.

    See Also
    --------
    LabelRegressor : Labels from spectra.
    skastro.metrics.label_errors : Errors by label, RMSE in dex and coverage.
    skastro.model_selection.CalibratedRegressor : Calibration by stars that no step of
        a pipeline has seen.

    Notes
    -----
    Regression on :math:`z` itself would be diluted by errors: its slopes are those of
    stars whose errors are typical, and too small for all that are better. So the
    population of :math:`\zeta` is fitted first, a Gaussian, by EM; :math:`y` is then
    regressed on the posterior mean of :math:`\zeta` given z (regression calibration),
    each star by its variance, :math:`s_j^2 + B_j P B_j^T` with the posterior covariance
    P. That is exact of Gaussian populations. Slopes are shrunk by a prior of one width
    in units of the population; it and s are those of highest evidence, for each label.

    A step before this one that was fitted to the same stars has followed their noise a
    little, and that of other stars it has not: by calibration here, errors come out a
    little small. `CalibratedRegressor` around the pipeline mends it.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, section 4.5, Fig. 4.4. R.
    Carroll, D. Ruppert, L. Stefanski & C. Crainiceanu 2006, *Measurement Error in
    Nonlinear Models*, chapter 4: regression calibration. D. MacKay 1992, Neural
    Computation 4, 415: evidence.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.pipeline import make_pipeline
    >>> from skastro.datasets import make_twin_spectra
    >>> from skastro.disentangling import PolyDisentangler
    >>> from skastro.labels import LatentRegressor
    >>> from skastro.preprocessing import append_conditions
    >>> data = make_twin_spectra(300, random_state=0)
    >>> X = append_conditions(data.X, data.u)
    >>> y = pd.DataFrame(data.abundances, columns=data.element_names)[["Mg", "Mn"]]
    >>> poly = PolyDisentangler(slice(-3, None), n_components=20, random_state=0)
    >>> model = make_pipeline(poly, LatentRegressor()).fit(X[:500], y[:500])
    >>> abundances, error = model.predict(X[500:], return_std=True)
    >>> abundances.shape, model[-1].label_names_
    ((100, 2), array(['Mg', 'Mn'], dtype=object))
    """

    # pipelines pass it on, with metadata routing as without
    __metadata_request__predict = {"return_std": True}

    _parameter_constraints: dict = {
        "with_covariance": ["boolean"],
        "calibrate": ["boolean"],
    }

    def __init__(self, *, with_covariance=False, calibrate=True):
        self.with_covariance = with_covariance
        self.calibrate = calibrate

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, label_sigma=None):
        """Fit labels as functions of latent variables.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Latent variables, followed by the lower triangles of their covariances if
            `with_covariance`. Stars that lack any are left out.
        y : array-like of shape (n_samples, n_labels) or (n_samples,)
            Labels, NaN where missing; their names are kept if they have any.
        label_sigma : array-like of shape (n_samples, n_labels), default=None
            1-sigma errors of y, in any shape that broadcasts. 0 stands for an exact
            label, infinity for one that is not known.

        Returns
        -------
        self : LatentRegressor

        Raises
        ------
        ValueError
            If X does not carry covariances and should, nothing varies, or a label is
            constant or known of fewer than 2 stars.

        Warns
        -----
        UserWarning
            If stars are left out.
        """
        X = validate(self, X, allow_nan=True, ensure_min_samples=2)
        y, label_sigma, names, self._one_label = check_labels(
            self, y, label_sigma, len(X)
        )
        variance = np.zeros_like(y) if label_sigma is None else label_sigma**2
        known = ~np.isnan(X).any(axis=1)
        if not known.all():
            warn(
                f"Latent variables of {np.sum(~known)} of {len(X)} stars are missing;"
                " these are left out."
            )
        X, y, variance = X[known], y[known], variance[known]
        if len(X) < 2:
            raise ValueError(
                f"X must have latent variables of 2 stars or more, got {len(X)} sample"
                "(s) without NaN."
            )
        vectors = self._unpacked(X)
        population = Population.fit(vectors)
        coordinates, covariance = population.given(vectors)
        readouts = []
        for name, label, error in zip(names, y.T, variance.T, strict=True):
            has = ~np.isnan(label)
            if not (has.sum() > 1 and np.ptp(label[has]) > 0):
                raise ValueError(
                    f"The label {name!r} is the same in all training stars, or known of"
                    " fewer than 2; leave it out."
                )
            P = covariance if has.all() or covariance is None else covariance[has]
            readouts.append(
                Readout.fit(coordinates[has], P, label[has], error[has], self.calibrate)
            )
        self._population, self._readouts = population, readouts
        self.label_names_ = np.array(names, dtype=object)
        self.latent_mean_ = population.mean
        slopes = np.array([readout.slopes for readout in readouts])
        self.coef_ = slopes @ population.whitening.T
        offset = np.array([readout.offset for readout in readouts])
        self.intercept_ = offset - self.coef_ @ population.mean
        self.scatter_ = np.array([readout.scatter for readout in readouts])
        self.error_scale_ = np.array([readout.error_scale for readout in readouts])
        return self

    def _unpacked(self, X):
        X = X.astype(np.float64)
        if self.with_covariance:
            return UncertainVectors.unpack(X, "ConditionalFactorAnalysis")
        return UncertainVectors(X)

    def predict(self, X, return_std=False):
        """Return the mean of each label, given the latent variables.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Latent variables, as in `fit`.
        return_std : bool, default=False
            Whether to return errors too.

        Returns
        -------
        y : ndarray of shape (n_samples, n_labels) or (n_samples,)
            Labels; NaN for stars that lack latent variables.
        y_std : ndarray of the same shape
            1-sigma errors. Only with ``return_std=True``.
        """
        check_is_fitted(self)
        X = validate(self, X, reset=False, allow_nan=True)
        known = ~np.isnan(X).any(axis=1)
        found = np.full((2, len(X), len(self._readouts)), np.nan)
        given = self._population.given(self._unpacked(X[known]))
        for j, readout in enumerate(self._readouts):
            found[0, known, j], found[1, known, j] = readout.predict(*given)
        labels, std = found[..., 0] if self._one_label else found
        return (labels, std) if return_std else labels

    def score(self, X, y, sample_weight=None):
        """Return the coefficient of determination, the mean over labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Latent variables, as in `fit`.
        y : array-like of shape (n_samples, n_labels) or (n_samples,)
            Labels; those that are NaN do not count.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of stars.

        Returns
        -------
        score : float
        """
        labels = self.predict(X)
        labels = labels.reshape(len(labels), -1)
        y, *_ = check_labels(self, y, None, len(labels), reset=False)
        return mean_r2(y, labels, sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
