"""What all disentanglers share: labels among the columns, and recast spectra."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ..utils.estimator import SkastroEstimator
from ..utils.sklearn_names import Interval, _get_column_indices, validate_data

#: How far beyond the range of training, in units of it, labels may be without warning.
MARGIN = 0.1


class ConditionedTransformer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, SkastroEstimator
):
    """Base class of transformers of ``[spectrum | labels]``.

    Subclasses set ``_n_features_out`` and define ``_encode(S, U)`` and
    ``_decode(Z, U)``; ``S`` are spectra and ``U`` labels as given.
    """

    _condition_constraints: dict = {
        "condition_columns": [
            Interval(Integral, None, None, closed="neither"),
            str,
            slice,
            "array-like",
            callable,
        ],
    }
    #: Whether spectra may have NaN.
    _allow_nan = False

    def _fit_columns(self, X):
        """Validate the data of a fit, and find which columns are labels.

        Returns
        -------
        S : ndarray of shape (n_samples, n_bins)
        U : ndarray of float64 of shape (n_samples, n_conditions)
        """
        columns = self.condition_columns
        if callable(columns):
            columns = columns(X)
        frame = X
        X = self._validate(X, reset=True)
        frame = frame if hasattr(frame, "columns") else X
        try:
            if isinstance(columns, slice) and columns == slice(None):
                indices = np.arange(X.shape[1])
            else:
                indices = np.atleast_1d(_get_column_indices(frame, _listed(columns)))
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"`condition_columns` is {columns!r}, which are not columns of X with"
                f" {X.shape[1]} columns: {error}"
            ) from error
        indices = indices.astype(int)
        if not 0 < len(indices) < X.shape[1]:
            raise ValueError(
                f"`condition_columns` selects {len(indices)} of the {X.shape[1]}"
                " columns of X; there must be one or more labels, and one or more bins"
                " beside them."
            )
        if len(np.unique(indices)) < len(indices):
            raise ValueError(f"`condition_columns` names a column twice: {columns!r}.")
        self.condition_indices_ = indices
        self.spectrum_indices_ = np.setdiff1d(np.arange(X.shape[1]), indices)
        S, U = self._split(X)
        low, high = U.min(axis=0), U.max(axis=0)
        constant = ~(high > low)
        if constant.any():
            raise ValueError(
                f"Label(s) {self._label_names(constant)} are constant in X: a spectrum"
                " cannot be made independent of what does not vary. Leave them out of"
                " `condition_columns`."
            )
        self.condition_range_ = np.column_stack([low, high])
        return S, U

    def _validate(self, X, reset):
        # infinite values, and NaN where it is not allowed, are refused here
        try:
            X = validate_data(
                self,
                X,
                dtype=[np.float64, np.float32],
                ensure_all_finite="allow-nan" if self._allow_nan else True,
                ensure_min_samples=2 if reset else 1,
                ensure_min_features=2 if reset else 1,
                reset=reset,
            )
        except ValueError as error:
            if "contains NaN" not in str(error) or self._allow_nan:
                raise
            raise ValueError(
                f"Input X contains NaN, which {type(self).__name__} cannot use;"
                " ConditionalFactorAnalysis takes missing bins, and ProbabilisticPCA"
                " can fill them."
            ) from error
        return X

    def _split(self, X):
        """Return spectra and labels; without a copy where labels stand at an end."""
        spectra = self.spectrum_indices_
        if spectra[-1] - spectra[0] + 1 == len(spectra):
            spectra = slice(spectra[0], spectra[-1] + 1)
        U = X[:, self.condition_indices_].astype(np.float64)
        if np.isnan(U).any():
            missing = np.isnan(U).any(axis=0)
            raise ValueError(
                f"Label(s) {self._label_names(missing)} contain NaN; only bins of the"
                " spectrum may be missing."
            )
        return X[:, spectra], U

    def _label_names(self, which):
        names = getattr(self, "feature_names_in_", None)
        indices = self.condition_indices_[which]
        if names is None:
            return "in column " + ", ".join(map(str, indices))
        return ", ".join(repr(str(names[i])) for i in indices)

    def _scale_conditions(self, U):
        """Return labels scaled so that the range of training is [-1, 1]."""
        low, high = self.condition_range_.T
        return 2 * (U - low) / (high - low) - 1

    def _warn_outside(self, U):
        low, high = self.condition_range_.T
        margin = MARGIN * (high - low)
        outside = (U < low - margin) | (U > high + margin)
        if outside.any():
            which = outside.any(axis=0)
            ranges = ", ".join(
                f"{a:g} to {b:g}" for a, b in self.condition_range_[which]
            )
            warnings.warn(
                f"Label(s) {self._label_names(which)} of {outside.any(axis=1).sum()}"
                f" row(s) are far outside the range of training, {ranges}: results are"
                " extrapolated.",
                stacklevel=4,
            )

    def _checked(self, X):
        """Return spectra and labels of fitted columns."""
        check_is_fitted(self)
        S, U = self._split(self._validate(X, reset=False))
        self._warn_outside(U)
        return S, U

    def transform(self, X):
        """Return what spectra hold beside their labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra and labels, in the columns of `fit`.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Latent variables.

        Raises
        ------
        ValueError
            If X does not fit the data of `fit`.

        Warns
        -----
        UserWarning
            If labels are far outside the range of training.
        """
        S, U = self._checked(X)
        return self._encode(S, U).astype(S.dtype, copy=False)

    def inverse_transform(self, X):
        """Return the spectra of latent variables at given labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components + n_conditions)
            Latent variables, followed by labels in the order of
            ``condition_columns``: :func:`~skastro.preprocessing.append_conditions`
            puts them together.

        Returns
        -------
        spectra : ndarray of shape (n_samples, n_bins)

        Raises
        ------
        ValueError
            If the number of columns is another.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=[np.float64, np.float32])
        k, n_conditions = self._n_latents, len(self.condition_indices_)
        if X.shape[1] != k + n_conditions:
            raise ValueError(
                f"X must have {k} latent variables and {n_conditions} label(s) in each"
                f" row, got shape {X.shape}."
            )
        U = X[:, k:].astype(np.float64)
        self._warn_outside(U)
        return self._decode(X[:, :k], U).astype(X.dtype, copy=False)

    @property
    def _n_latents(self):
        return self._n_features_out

    def recast(self, X, u_new):
        """Return stars as they would look at other labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra and labels, in the columns of `fit`.
        u_new : array-like of shape (n_samples, n_conditions) or (n_conditions,)
            Labels to give them, in the order of ``condition_columns``.

        Returns
        -------
        spectra : ndarray of shape (n_samples, n_bins)

        Raises
        ------
        ValueError
            If shapes do not fit.

        References
        ----------
        *Decoding Astronomical Spectra Using Machine Learning*, section 4.5.4.
        """
        S, U = self._checked(X)
        u_new = self._new_labels(u_new, U)
        return self._recast(S, U, u_new).astype(S.dtype, copy=False)

    def _recast(self, S, U, u_new):
        return self._decode(self._encode(S, U), u_new)

    def _new_labels(self, u_new, U):
        """Validate labels to recast stars of labels U to."""
        u_new = np.asarray(u_new, dtype=np.float64)
        if u_new.ndim < 2 and u_new.size == U.shape[1]:
            u_new = np.broadcast_to(u_new, U.shape)
        if u_new.shape != U.shape:
            raise ValueError(
                f"`u_new` must have {U.shape[1]} label(s) for each of {len(U)} row(s),"
                f" or one row for all, got shape {u_new.shape}."
            )
        self._warn_outside(u_new)
        return u_new

    def score(self, X, y=None):
        """Return the share of the variance of the spectra that is reconstructed.

        Reconstruction says nothing of how well labels are removed: choose parameters
        by :func:`~skastro.metrics.twin_recovery_scorer`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra and labels.
        y : ignored
            There for scikit-learn.

        Returns
        -------
        score : float
            1 for a perfect reconstruction, 0 for one as good as the mean spectrum.
        """
        S, U = self._checked(X)
        return explained(S, self._decode(self._encode(S, U), U))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._allow_nan
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def explained(S, model):
    """Return the share of the variance of spectra that a model explains."""
    seen = ~np.isnan(S)
    n_seen = np.maximum(seen.sum(axis=0), 1)
    mean = np.sum(S, axis=0, where=seen, dtype=np.float64) / n_seen
    error = total = 0.0
    for start in range(0, len(S), 256):
        rows = slice(start, start + 256)
        keep = seen[rows] & ~np.isnan(model[rows])
        error += np.square(S[rows] - model[rows], dtype=np.float64).sum(where=keep)
        total += np.square(S[rows] - mean).sum(where=keep)
    if not total > 0:
        warnings.warn(
            "The score is not defined for spectra that do not differ, such as one row.",
            UndefinedMetricWarning,
            stacklevel=3,
        )
        return np.nan
    return float(1 - error / total)


def _listed(columns):
    """Return a column selection as scikit-learn's helper takes it."""
    if isinstance(columns, (str, slice)):
        return columns
    if isinstance(columns, Integral) and not isinstance(columns, bool):
        return [int(columns)]
    return list(columns)
