"""What all disentanglers share: known labels, and recast spectra."""

from numbers import Integral

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import as_matrix, power_of_two
from ..utils.estimator import SkastroEstimator
from ..utils.sklearn_names import Interval
from ._labelled_rows import LabelledRows
from ._scores import NotLearned


class ConditionedTransformer(
    LabelledRows,
    NotLearned,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    SkastroEstimator,
):
    """Base class of transformers of spectra with known labels.

    Subclasses call `_fit_rows` and `_note_scores` in `fit`, set ``_n_features_out`` and
    define ``_encode(S, U, sigma)``, ``_decode(Z, U)`` and ``_scores(rows)``; ``S`` are
    spectra, ``U`` labels as numbers and ``sigma`` errors of the spectra or None.
    """

    _condition_constraints: dict = {
        "condition_columns": [
            Interval(Integral, None, None, closed="neither"),
            str,
            slice,
            "array-like",
            callable,
            None,
        ],
    }

    def fit_transform(self, X, y=None, sigma=None, conditions=None):
        """Fit, and return what `transform` says of the same stars.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, with labels among the columns or beside them.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels, if they are not columns of X.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Latent variables.
        """
        self.fit(X, y, sigma=sigma, conditions=conditions)
        return self.transform(X, sigma=sigma, conditions=conditions)

    def transform(self, X, sigma=None, conditions=None):
        """Return what spectra hold beside their labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, and labels if those of `fit` were among the columns.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors; needed if `fit` had them.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels, if `fit` had them beside X.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Latent variables; NaN for stars whose labels are missing.

        Raises
        ------
        ValueError
            If the stars do not fit the data of `fit`.

        Warns
        -----
        UserWarning
            If labels are missing, or far outside the range of training.
        """
        rows = self._rows(X, sigma, conditions)
        known = self._known(rows)
        some = rows.take(known)
        self._tell_of_not_learned(some)
        Z = np.full((len(rows.S), self._n_features_out), np.nan, rows.S.dtype)
        Z[known] = self._encode(some.S, some.U, some.sigma)
        return Z

    def inverse_transform(self, X, conditions=None):
        """Return the spectra of latent variables at given labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components) or \
                (n_samples, n_components + n_conditions)
            Latent variables, as `transform` returns them, covariances included, which
            are not used. Labels may follow, in the order of `fit`, as
            :func:`~skastro.preprocessing.append_conditions` puts them.
        conditions : array-like of shape (n_samples, n_conditions) or \
                (n_conditions,), default=None
            Labels, if they are not in X. Without any, those of the training set's mean.

        Returns
        -------
        spectra : ndarray of shape (n_samples, n_bins)

        Raises
        ------
        ValueError
            If the number of columns is another, or labels are given twice.
        """
        check_is_fitted(self)
        X = as_matrix(X, "X", allow_nan=False)
        k, count = self._n_latents, self._labels.n_given
        packed, width = self._n_features_out, X.shape[1]
        # covariances, and not labels, where both would be as wide
        appended = width in (k + count, packed + count) and width != packed
        appended &= not self._labels.has_kinds
        if width not in (k, packed) and not appended:
            kinds = (
                ", which are not all numbers: give conditions=..."
                if self._labels.has_kinds
                else ""
            )
            raise ValueError(
                f"X must have {k} latent variables in each row, alone or with {count}"
                f" label(s){kinds}; got shape {X.shape}."
            )
        if appended and conditions is not None:
            raise ValueError(
                f"X has labels after {k} latent variables, and `conditions` is given;"
                " leave out one."
            )
        if appended:
            conditions = X[:, -count:].astype(np.float64)
        if conditions is None:
            U = np.broadcast_to(
                self.condition_mean_, (len(X), len(self.condition_mean_))
            )
        else:
            U = self._new_labels(conditions, len(X), "X" if appended else "conditions")
        return self._decode(X[:, :k], U).astype(X.dtype, copy=False)

    @property
    def _n_latents(self):
        return self._n_features_out

    def recast(self, X, u_new, sigma=None, conditions=None):
        """Return stars as they would look at other labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, and labels if those of `fit` were among the columns.
        u_new : array-like of shape (n_samples, n_conditions) or (n_conditions,)
            Labels to give them, in the order of `fit`.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors; needed if `fit` had them.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels that they have, if `fit` had them beside X.

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
        rows = self._rows(X, sigma, conditions)
        u_new = self._new_labels(u_new, len(rows.S), "u_new")
        known = self._known(rows)
        spectra = np.full(rows.S.shape, np.nan, rows.S.dtype)
        spectra[known] = self._recast(rows.take(known), u_new[known])
        return spectra

    def _recast(self, rows, u_new):
        return self._decode(self._encode(rows.S, rows.U, rows.sigma), u_new)

    def score_samples(self, X, sigma=None, conditions=None):
        """Return the log-likelihood of each spectrum, given its labels.

        A spectrum that is not like those of the fit, of another kind of star or with a
        fault, scores much lower. Scores are to be compared among spectra with the same
        missing bins and errors. At ``verbose=1``, `transform` says how many stars are
        out of what was learned, of whatever bins and errors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, and labels if those of `fit` were among the columns.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors; needed if `fit` had them.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels, if `fit` had them beside X.

        Returns
        -------
        log_likelihood : ndarray of float64, of shape (n_samples,)
            Natural logarithms of densities of the observed bins, in the units of X; 0
            for a spectrum without any, and NaN for stars whose labels are missing.

        Raises
        ------
        ValueError
            If the stars do not fit the data of `fit`.
        """
        rows = self._rows(X, sigma, conditions)
        known = self._known(rows)
        scores = np.full(len(rows.S), np.nan)
        scores[known] = self._scores(rows.take(known)).log_density
        return scores

    def score(self, X, y=None, sigma=None, conditions=None):
        """Return the share of the variance of the spectra that is reconstructed.

        Reconstruction says nothing of how well labels are removed: choose parameters
        by :func:`~skastro.metrics.twin_recovery_scorer`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, and labels if those of `fit` were among the columns.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors; needed if `fit` had them.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels, if `fit` had them beside X.

        Returns
        -------
        score : float
            1 for a perfect reconstruction, 0 for one as good as the mean spectrum.

        Raises
        ------
        ValueError
            If spectra do not differ, such as one row.
        """
        rows = self._rows(X, sigma, conditions)
        rows = rows.take(self._known(rows))
        return explained(rows.S, self._reconstructed(rows))

    def _reconstructed(self, rows):
        return self._decode(self._encode(rows.S, rows.U, rows.sigma), rows.U)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def explained(S, model):
    """Return the share of the variance of spectra that a model explains."""
    seen = ~np.isnan(S)
    scale = power_of_two(S)
    n_seen = np.maximum(seen.sum(axis=0), 1)
    mean = np.sum(S, axis=0, where=seen, dtype=np.float64) / n_seen
    error = total = 0.0
    for start in range(0, len(S), 256):
        rows = slice(start, start + 256)
        keep = seen[rows] & ~np.isnan(model[rows])
        difference = (S[rows] - model[rows]) / scale
        error += np.square(difference, dtype=np.float64).sum(where=keep)
        total += np.square((S[rows] - mean) / scale).sum(where=keep)
    if not total > 0:
        raise ValueError(
            "The score is not defined for spectra that do not differ, such as one row;"
            " give several stars."
        )
    return float(1 - error / total)
