"""Errors of a regressor, calibrated by stars that no step of it has seen."""

import numpy as np
from sklearn.base import MetaEstimatorMixin, RegressorMixin, clone
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted

from ..labels._readout import WITHIN
from ..utils.arrays import is_table, plain
from ..utils.estimator import SkastroEstimator
from ..utils.sklearn_names import HasMethods, _check_method_params, _fit_context
from ..utils.warn import warn


class CalibratedRegressor(MetaEstimatorMixin, RegressorMixin, SkastroEstimator):
    r"""Scales the errors of a regressor so that 68 % of new stars lie within them.

    What `CalibratedClassifierCV` is to classifiers: in cross-validation, clones predict
    stars that none of their steps has seen, and what share of them lies within the
    errors tells by how much these are to be scaled, target by target. A pipeline that
    ends in a regressor with ``return_std`` calibrates its last step alone, if at all;
    components or latent variables before it have followed the noise of their training
    stars, and hold a little less of others.

    Parameters
    ----------
    estimator : estimator
        Regressor, or pipeline that ends in one, whose ``predict(X, return_std=True)``
        gives errors.
    cv : int, splitter or iterable, default=None
        As in `cross_validate`; None for 5 folds. ``ShuffleSplit(1, test_size=0.2)``
        needs one further fit alone. Folds are not shuffled unless the splitter does.

    Attributes
    ----------
    estimator_ : estimator
        Fitted to all stars.
    error_scale_ : ndarray of shape (n_targets,) or float
        What errors are multiplied by.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if X had any.

    See Also
    --------
    skastro.labels.LatentRegressor : Labels from latent variables, with errors.
    skastro.metrics.label_errors : Share of stars within their errors, by label.

    Notes
    -----
    Clones of a cross-validation have seen fewer stars than the last fit, so that errors
    are rather too large than too small; by next to nothing with 5 folds. n left-out
    stars tell the share to :math:`0.47\,n^{-1/2}`. Errors of targets themselves are a
    part of what is measured.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skastro.datasets import make_twin_spectra
    >>> from skastro.decomposition import ProbabilisticPCA
    >>> from skastro.labels import LatentRegressor
    >>> from skastro.metrics import label_errors
    >>> from skastro.model_selection import CalibratedRegressor
    >>> data = make_twin_spectra(300, random_state=0)
    >>> X, y = data.X[:, ::10], data.abundances[:, :3]
    >>> components = ProbabilisticPCA(20, random_state=0)
    >>> model = CalibratedRegressor(make_pipeline(components, LatentRegressor()))
    >>> labels, error = model.fit(X[:400], y[:400]).predict(X[400:], return_std=True)
    >>> within = label_errors(y[400:], labels, error).within
    >>> bool(abs(within.mean() - 0.68) < 0.06)
    True
    """

    _parameter_constraints = {
        "estimator": [HasMethods(["fit", "predict"])],
        "cv": ["cv_object"],
    }

    def __init__(self, estimator, *, cv=None):
        self.estimator = estimator
        self.cv = cv

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **params):
        """Fit the estimator, and calibrate its errors in cross-validation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples, n_targets) or (n_samples,)
            Targets; those that are NaN do not count, if the estimator takes them.
        **params : dict
            What the estimator has requested, of `fit` and of `predict`, and the
            splitter.

        Returns
        -------
        self : CalibratedRegressor
            Fitted estimator.

        Raises
        ------
        ValueError
            If there are too few stars for `cv`, or a target is known of none of those
            left out.
        TypeError
            If the estimator gives no errors.
        """
        if y is None:
            raise ValueError(
                "CalibratedRegressor requires y to be passed, but the target y is None."
            )
        X, y = _indexable(X), _indexable(y)
        routed = process_routing(self, "fit", **params) if params else None
        of_fit = routed.estimator.fit if params else {}
        of_predict = routed.estimator.predict if params else {}
        of_split = routed.splitter.split if params else {}
        self.estimator_ = clone(self.estimator).fit(X, y, **of_fit)
        pulls = []
        for train, test in check_cv(self.cv, y).split(X, y, **of_split):
            model = clone(self.estimator).fit(
                _rows(X, train),
                _rows(y, train),
                **_check_method_params(X, of_fit, train),
            )
            labels, std = _with_errors(
                model,
                _rows(X, test),
                _check_method_params(X, of_predict, test),
            )
            truth = np.asarray(plain(_rows(y, test), "y"), dtype=np.float64)
            with np.errstate(divide="ignore", invalid="ignore"):
                pulls.append(np.abs(labels - truth.reshape(labels.shape)) / std)
        self.error_scale_ = self._scale(np.concatenate(pulls))
        self.n_features_in_ = self.estimator_.n_features_in_
        if hasattr(self.estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.estimator_.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def _scale(self, pulls):
        missing = np.isnan(pulls).all(axis=0)
        if missing.any():
            which = f" {int(np.argmax(missing))}" if pulls.ndim == 2 else ""
            raise ValueError(
                f"Target{which} or its error is known of none of {len(pulls)} samples"
                " that were left out; leave it out, or give another `cv`."
            )
        scale = np.nanquantile(pulls, WITHIN, axis=0)
        bad = ~(np.isfinite(scale) & (scale > 0))
        if bad.any():
            warn(
                f"Errors of {np.sum(bad)} target(s) cannot be calibrated, since either"
                " they or residuals of most stars are zero; they stay as they are."
            )
        return np.where(bad, 1.0, scale)[()]

    def predict(self, X, return_std=False, **params):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        return_std : bool, default=False
            Whether to return errors too.
        **params : dict
            What else the estimator has requested.

        Returns
        -------
        y : ndarray of shape (n_samples, n_targets) or (n_samples,)
            Targets, as the estimator predicts them.
        y_std : ndarray of the same shape
            Calibrated 1-sigma errors. Only with ``return_std=True``.
        """
        check_is_fitted(self, "estimator_")
        routed = self._routed("predict", params)
        if not return_std:
            return self.estimator_.predict(X, **routed)
        labels, std = _with_errors(self.estimator_, X, routed)
        return labels, std * self.error_scale_

    def score(self, X, y, **params):
        """Score the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : array-like of shape (n_samples, n_targets) or (n_samples,)
            Targets.
        **params : dict
            What else the estimator has requested.

        Returns
        -------
        score : float
            What the estimator returns.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.score(X, y, **self._routed("score", params))

    def _routed(self, method, params):
        if params:
            return process_routing(self, method, **params).estimator[method]
        return {}

    def get_metadata_routing(self):
        """Return the requests of the estimator and of the splitter.

        Returns
        -------
        routing : MetadataRouter
            For scikit-learn.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        mapping.add(caller="fit", callee="predict")
        for method in ("predict", "score"):
            mapping.add(caller=method, callee=method)
        return (
            MetadataRouter(owner=self)
            .add(estimator=self.estimator, method_mapping=mapping)
            .add(
                splitter=check_cv(self.cv),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.target_tags = inner.target_tags
        tags.input_tags = inner.input_tags
        tags.regressor_tags = inner.regressor_tags
        return tags


def _indexable(values):
    """Return data of which rows can be taken: tables and frames as they are."""
    if is_table(values) or hasattr(values, "iloc") or hasattr(values, "shape"):
        return values
    return np.asarray(values)


def _rows(values, rows):
    return values[rows] if is_table(values) else _safe_indexing(values, rows)


def _with_errors(model, X, params):
    """Return what a model predicts, and its errors."""
    try:
        found = model.predict(X, return_std=True, **params)
    except TypeError as error:
        if "return_std" not in str(error):
            raise
        raise TypeError(
            f"`estimator` must give errors by predict(X, return_std=True), which"
            f" {model!r} does not."
        ) from error
    labels, std = found
    return np.asarray(labels), np.asarray(std)
