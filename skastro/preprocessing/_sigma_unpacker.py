"""Errors in columns, handed on to an estimator as ``sigma``."""

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import as_matrix, names_of
from ..utils.estimator import SkastroEstimator
from ..utils.sklearn_names import HasMethods, _fit_context


def _has(method):
    def check(self):
        getattr(getattr(self, "estimator_", self.estimator), method)
        return True

    return available_if(check)


class SigmaUnpacker(MetaEstimatorMixin, SkastroEstimator):
    """Hands errors that are columns of X on to an estimator as ``sigma``.

    Steps of a pipeline change spectra and errors alike, and a pipeline routes its own
    ``sigma`` only as it was given. Transformers ``with_sigma=True`` so append the
    errors to the spectra, and this one parts them again before the first estimator
    that takes ``sigma``, of the collection or not.

    Parameters
    ----------
    estimator : estimator
        One whose `fit` takes `sigma`; so must then what else is used of it.
    with_sigma : bool, default=True
        Whether the second half of the columns are errors. If False, X is handed on as
        it is, so that one setting may govern a whole pipeline.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if it has names.

    See Also
    --------
    ContinuumNormalizer, SpectrumResampler, ResolutionMatcher, VelocityShifter :
        Transformers that append errors.

    Examples
    --------
    >>> import numpy as np
    >>> import sklearn
    >>> from sklearn.pipeline import make_pipeline
    >>> from skastro.decomposition import ProbabilisticPCA
    >>> from skastro.preprocessing import SigmaUnpacker, SpectrumResampler
    >>> rng = np.random.default_rng(0)
    >>> X = 1 + rng.normal(size=(50, 1)) @ rng.normal(size=(1, 40))
    >>> X += 0.1 * rng.normal(size=X.shape)
    >>> resampler = SpectrumResampler(
    ...     np.arange(40), np.arange(0.5, 40, 2), with_sigma=True
    ... )
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     resampler = resampler.set_fit_request(sigma=True)
    ...     resampler = resampler.set_transform_request(sigma=True)
    ...     components = SigmaUnpacker(ProbabilisticPCA(1, random_state=0))
    ...     pipeline = make_pipeline(resampler, components).fit(X, sigma=0.1)
    ...     pipeline.transform(X, sigma=0.1).shape
    (50, 1)
    """

    _parameter_constraints = {
        "estimator": [HasMethods("fit")],
        "with_sigma": ["boolean"],
    }

    def __init__(self, estimator, *, with_sigma=True):
        self.estimator = estimator
        self.with_sigma = with_sigma

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **params):
        """Fit the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2 * n_features)
            Data, and then their errors.
        y : array-like, default=None
            Targets.
        **params : dict
            What else the estimator has requested.

        Returns
        -------
        self : SigmaUnpacker
            Fitted estimator.

        Raises
        ------
        ValueError
            If X has an odd number of columns.
        """
        routed = self._routed("fit", params)
        data, errors = self._parted(X)
        self.estimator_ = clone(self.estimator).fit(data, y, **errors, **routed)
        self.n_features_in_ = self.estimator_.n_features_in_ * (1 + self.with_sigma)
        names = names_of(X)
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    @_has("transform")
    def fit_transform(self, X, y=None, **params):
        """Fit the estimator, and transform the same data.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2 * n_features)
            Data, and then their errors.
        y : array-like, default=None
            Targets.
        **params : dict
            What else the estimator has requested, to fit and to transform.

        Returns
        -------
        X_new : ndarray
            See `transform`.
        """
        if not params:
            return self.fit(X, y).transform(X)
        return self.fit(X, y, **params).transform(X, **params)

    @_has("transform")
    def transform(self, X, **params):
        """Transform data.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2 * n_features)
            Data, and then their errors.
        **params : dict
            What else the estimator has requested.

        Returns
        -------
        X_new : ndarray
            What the estimator returns.
        """
        return self._asked("transform", X, params)

    @_has("predict")
    def predict(self, X, **params):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2 * n_features)
            Data, and then their errors.
        **params : dict
            What else the estimator has requested.

        Returns
        -------
        y : ndarray
            What the estimator returns.
        """
        return self._asked("predict", X, params)

    @_has("score")
    def score(self, X, y=None, **params):
        """Score the estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2 * n_features)
            Data, and then their errors.
        y : array-like, default=None
            Targets.
        **params : dict
            What else the estimator has requested.

        Returns
        -------
        score : float
            What the estimator returns.
        """
        return self._asked("score", X, params, y)

    @_has("score_samples")
    def score_samples(self, X):
        """Return log-likelihoods of rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2 * n_features)
            Data, and then their errors.

        Returns
        -------
        log_likelihood : ndarray of shape (n_samples,)
            What the estimator returns.
        """
        check_is_fitted(self, "estimator_")
        data, errors = self._parted(X)
        return self.estimator_.score_samples(data, **errors)

    @_has("inverse_transform")
    def inverse_transform(self, X):
        """Undo the transformation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            What `transform` returns.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Data, without errors.
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.inverse_transform(X)

    @_has("get_feature_names_out")
    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that `transform` gives.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X.

        Returns
        -------
        names : ndarray of str
            Those of the estimator.
        """
        check_is_fitted(self, "estimator_")
        if self.with_sigma and input_features is not None:
            input_features = input_features[: len(input_features) // 2]
        return self.estimator_.get_feature_names_out(input_features)

    @_has("set_output")
    def set_output(self, *, transform=None):
        """Set the container that `transform` returns.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Its kind; None leaves it as it is.

        Returns
        -------
        self : SigmaUnpacker
            This estimator.
        """
        self.estimator.set_output(transform=transform)
        if hasattr(self, "estimator_"):
            self.estimator_.set_output(transform=transform)
        return self

    def get_metadata_routing(self):
        """Return the requests of the estimator.

        Returns
        -------
        routing : MetadataRouter
            For scikit-learn.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        for method in ("transform", "predict", "score"):
            mapping.add(caller=method, callee=method)
        for method in ("fit", "transform"):
            mapping.add(caller="fit_transform", callee=method)
        # a copy, in which errors are not asked of the pipeline
        requests = get_routing_for_object(self.estimator)
        for method in ("fit", "transform", "predict", "score") * self.with_sigma:
            own = getattr(requests, method, None)
            if "sigma" in getattr(own, "requests", {}):
                own.add_request(param="sigma", alias=False)
        router = MetadataRouter(owner=self)
        return router.add(estimator=requests, method_mapping=mapping)

    # -- errors and what else is routed

    def _parted(self, X):
        """Return data, and errors as the argument that they are to an estimator."""
        if not self.with_sigma:
            return X, {}
        known = getattr(self, "feature_names_in_", None)
        if not hasattr(X, "iloc"):
            X = as_matrix(X, "X")
        elif known is not None and names_of(X) not in (None, list(known)):
            raise ValueError(
                "The feature names should match those that were passed during fit, in"
                f" the same order. X has {names_of(X)}; fit had {list(known)}."
            )
        half, odd = divmod(X.shape[1], 2)
        if odd or not half:
            raise ValueError(
                f"X has {X.shape[1]} columns, which cannot be data and as many errors;"
                " let the step before have with_sigma=True, or say with_sigma=False"
                " here."
            )
        if hasattr(X, "iloc"):
            return X.iloc[:, :half], {"sigma": X.iloc[:, half:]}
        return X[:, :half], {"sigma": X[:, half:]}

    def _routed(self, method, params):
        if params:
            return process_routing(self, method, **params).estimator[method]
        return {}

    def _asked(self, method, X, params, *args):
        check_is_fitted(self, "estimator_")
        routed = self._routed(method, params)
        data, errors = self._parted(X)
        return getattr(self.estimator_, method)(data, *args, **errors, **routed)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.target_tags = inner.target_tags
        tags.input_tags = inner.input_tags
        tags.transformer_tags = inner.transformer_tags
        tags.regressor_tags = inner.regressor_tags
        tags.classifier_tags = inner.classifier_tags
        return tags
