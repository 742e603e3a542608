"""Removal of what spectra share for reasons other than chemistry."""

import numbers

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import validate
from ..utils.cluster_labels import read_clusters
from ..utils.estimator import SkastroEstimator
from ..utils.sklearn_names import Interval, _fit_context
from ._rsca import RSCA


class NuisanceProjection(OneToOneFeatureMixin, TransformerMixin, SkastroEstimator):
    """Projects out the directions in which groups of equal nuisance are alike.

    RSCA turned around: from groups of stars that share a nuisance, such as their
    radial velocity or the fibre that observed them, find the directions in which a
    group is most compact beside the population, and remove them.

    Parameters
    ----------
    n_components : int, default=1
        Number of directions that are removed.
    field_label : int, str or None, default=-1
        The value of y of stars that belong to no group, as those with a missing label
        do; they are part of the population.

    Attributes
    ----------
    components_ : ndarray of shape (n_removed, n_features)
        ``(X - mean_) @ components_.T`` are the coordinates that are removed, of unit
        variance in the population: `n_components` of them, or fewer if groups are not
        compact in as many.
    relevance_ : ndarray of shape (n_features,)
        Share of the variance of the population that lies between groups, for each
        direction, falling: where it stops to stand out, `n_components` may stop.
    mean_ : ndarray of shape (n_features,)
        Mean of the population.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features of X, if it has names.

    See Also
    --------
    RSCA : The metric that keeps such directions, of chemistry.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, appendix B.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.metric_learning import NuisanceProjection
    >>> rng = np.random.default_rng(0)
    >>> velocity = rng.integers(0, 20, 2000)
    >>> chemistry = rng.normal(size=2000)
    >>> X = np.column_stack([chemistry + 0.1 * velocity, chemistry - 0.1 * velocity])
    >>> X += 0.01 * rng.normal(size=X.shape)
    >>> Z = NuisanceProjection().fit(X, velocity).transform(X)
    >>> bool(abs(np.corrcoef(Z[:, 0] - Z[:, 1], velocity)[0, 1]) < 0.1)
    True
    """

    _parameter_constraints = {
        "n_components": [Interval(numbers.Integral, 1, None, closed="left")],
        "field_label": [numbers.Real, str, None],
    }

    def __init__(self, n_components=1, *, field_label=-1):
        self.n_components = n_components
        self.field_label = field_label

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Find the directions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Representations of stars, such as principal components.
        y : array-like of shape (n_samples,)
            Group of each star: a bin of the nuisance; `field_label`, or missing, if in
            none.

        Returns
        -------
        self : NuisanceProjection
            Fitted estimator.

        Raises
        ------
        ValueError
            If X holds NaN, y has no group of two stars, or `n_components` is too
            large.

        Warns
        -----
        UserWarning
            If groups of one star are left out.
        """
        groups = read_clusters(y, self.field_label).codes
        X, groups = validate(self, X, groups)
        if self.n_components > X.shape[1]:
            raise ValueError(
                f"n_components={self.n_components} must be at most the number of"
                f" columns of X, n_features={X.shape[1]}."
            )
        rsca = RSCA(scale_estimator="std").fit(X, groups)
        kept = np.flatnonzero(rsca.relevance_[: self.n_components])
        self.mean_ = rsca.mean_
        self.relevance_ = rsca.relevance_
        scale = rsca.scale_[kept, None]
        self.components_ = (rsca.components_[kept] * scale).astype(X.dtype)
        self._back = (rsca._inverse[kept] / scale).astype(X.dtype)
        return self

    def transform(self, X):
        """Remove the directions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Representations.

        Returns
        -------
        X_clean : ndarray of shape (n_samples, n_features)
            X, with the mean of the population along the removed directions.
        """
        check_is_fitted(self)
        X = validate(self, X, reset=False)
        return X - ((X - self.mean_) @ self.components_.T) @ self._back

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
