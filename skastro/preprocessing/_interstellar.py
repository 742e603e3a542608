"""Bins of spectra that interstellar matter absorbs in."""

import numbers

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

from ..decomposition import ProbabilisticPCA
from ..utils.arrays import plain, validate
from ..utils.estimator import SkastroEstimator
from ..utils.seeds import draw_seed
from ..utils.sklearn_names import Interval, _fit_context

#: Parts in which the residuals of stars of low extinction are cross-validated.
N_FOLDS = 5
#: Stars of low extinction for each component, at least.
LEAST = 3


class InterstellarMasker(OneToOneFeatureMixin, TransformerMixin, SkastroEstimator):
    """Sets bins to NaN in which extinguished stars are not like others.

    Principal components of stars with hardly any extinction cannot describe what
    interstellar matter does to a spectrum. Where they fail for stars of high
    extinction, more than for those of low, there is an interstellar band.

    The mask is that of a survey, not of a training set: fit it once, and put it into
    pipelines as ``sklearn.frozen.FrozenEstimator(masker)``.

    Parameters
    ----------
    n_components : int, default=30
        Number of principal components.
    max_low : float, default=0.005
        Stars of less extinction than this teach the components; A_K [mag].
    min_high : float, default=0.5
        Stars of more extinction than this are tested; A_K [mag].
    threshold : float, default=0.01
        A bin is masked if the mean absolute residual of highly extinguished stars
        exceeds that of the others by more than this, in units of X.
    random_state : int, RandomState instance or None, default=None
        Of the fit of the components.

    Attributes
    ----------
    mask_ : ndarray of bool of shape (n_features,)
        True where a bin is set to NaN.
    residual_ : ndarray of shape (n_features,)
        Mean absolute residual of the stars of high extinction; NaN in bins that none
        of them has, or that the components do not know.
    residual_low_ : ndarray of shape (n_features,)
        The same of the stars of low extinction, each from components that were fitted
        without it: noise.
    pca_ : ProbabilisticPCA
        The components.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features of X, if it has names.

    Notes
    -----
    The thesis shows ``residual_`` and masks known bands by hand; the difference of
    the two residuals is a threshold that noise and telluric lines do not pass, if the
    stars are of like signal to noise.

    References
    ----------
    *Decoding Astronomical Spectra Using Machine Learning*, appendix B.1, Fig. B.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.preprocessing import InterstellarMasker
    >>> rng = np.random.default_rng(0)
    >>> X = 1 + 0.01 * rng.normal(size=(400, 1)) @ rng.normal(size=(1, 50))
    >>> extinction = np.repeat([0.0, 1.0], 200)
    >>> X[extinction > 0, 20:23] -= 0.05
    >>> masker = InterstellarMasker(n_components=2, random_state=0).fit(X, extinction)
    >>> np.flatnonzero(masker.mask_)
    array([20, 21, 22])
    """

    _parameter_constraints = {
        "n_components": [Interval(numbers.Integral, 1, None, closed="left")],
        "max_low": [numbers.Real],
        "min_high": [numbers.Real],
        "threshold": [Interval(numbers.Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=30,
        *,
        max_low=0.005,
        min_high=0.5,
        threshold=0.01,
        random_state=None,
    ):
        self.n_components = n_components
        self.max_low = max_low
        self.min_high = min_high
        self.threshold = threshold
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y):
        """Find the bins.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, normalised to their continua, NaN where missing. A star without
            any bin is left out.
        y : array-like of shape (n_samples,)
            Extinction of each star, A_K [mag]; NaN or masked where unknown, which
            leaves the star out.

        Returns
        -------
        self : InterstellarMasker
            Fitted estimator.

        Raises
        ------
        ValueError
            If there are too few stars of low extinction for `n_components`, or none
            of high.
        """
        y = plain(y, "y", unit="mag")
        known = where_known(y)
        X, y = validate(
            self,
            X,
            y if known is None else np.where(known, y, 0.0),
            allow_nan=True,
            ensure_min_samples=2,
            y_numeric=True,
        )
        used = ~np.isnan(X).all(axis=1)
        if known is not None:
            used &= known
        if not used.all():
            X, y = X[used], y[used]
        low, high = y < self.max_low, y > self.min_high
        least = max(N_FOLDS, LEAST * self.n_components)
        if np.count_nonzero(low) < least or not high.any():
            extent = f" y lies in [{y.min():.3g}, {y.max():.3g}]." if len(y) else ""
            raise ValueError(
                f"Of n_samples={len(X)} stars of which anything is known,"
                f" {np.count_nonzero(low)} have an extinction below"
                f" max_low={self.max_low}, {np.count_nonzero(high)} above"
                f" min_high={self.min_high}; {least} for n_components ="
                f" {self.n_components} and at least one are needed. Move the limits, or"
                f" ask for fewer components.{extent}"
            )
        seed = draw_seed(self.random_state)
        self.pca_ = ProbabilisticPCA(self.n_components, random_state=seed)
        # residuals of stars that the components have not seen, as of the others
        quiet = X[low]
        left = np.empty_like(quiet)
        folds = KFold(N_FOLDS, shuffle=True, random_state=seed)
        for train, test in folds.split(quiet):
            left[test] = residual(self.pca_.fit(quiet[train]), quiet[test])
        self.residual_low_ = mean_size(left)
        self.residual_ = mean_size(residual(self.pca_.fit(quiet), X[high]))
        excess = self.residual_ - self.residual_low_
        self.mask_ = np.nan_to_num(excess, nan=-np.inf) > self.threshold
        return self

    def transform(self, X):
        """Set the bins to NaN.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra.

        Returns
        -------
        X_masked : ndarray of shape (n_samples, n_features)
            A copy of X.
        """
        check_is_fitted(self)
        X = validate(self, X, allow_nan=True, reset=False, copy=True)
        X[:, self.mask_] = np.nan
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def where_known(y):
    """Return where y is known, or None if it is everywhere or not of numbers."""
    y = np.asarray(y)
    if y.dtype.kind != "f" or y.ndim != 1 or not np.isnan(y).any():
        return None
    return ~np.isnan(y)


def residual(pca, X):
    """Return what components leave of spectra."""
    return X - pca.inverse_transform(pca.transform(X))


def mean_size(left):
    """Return the mean absolute value of each column, NaN where it is empty."""
    observed = ~np.isnan(left)
    total = np.abs(left).sum(axis=0, where=observed)
    count = observed.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
