"""The door for stars with known labels, in both ways that labels are given."""

from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..utils.arrays import plain, refuse_errors_as_y, validate
from ..utils.sigma import check_error_names, check_errors
from ..utils.warn import warn
from ._labels import Labels, check_names, find_columns, label_columns, label_errors

#: How far beyond the range of training, in units of it, labels may be without warning.
MARGIN = 0.1


class Rows(NamedTuple):
    """Stars as models see them.

    Attributes
    ----------
    S : ndarray of shape (n_samples, n_bins)
        Spectra, NaN where missing.
    U : ndarray of float64, of shape (n_samples, n_encoded)
        Labels; NaN where missing, of estimators that integrate over them.
    sigma : ndarray of shape (n_samples, n_bins) or None
        Errors of the spectra, 1 where these are missing.
    U_sigma : ndarray of float64, of shape (n_samples, n_encoded), or None
        Errors of the labels, 0 for exact ones; None if all are exact.
    """

    S: np.ndarray
    U: np.ndarray
    sigma: np.ndarray | None
    U_sigma: np.ndarray | None

    def take(self, kept):
        """Return some of the rows."""
        return Rows(*(None if part is None else part[kept] for part in self))


class LabelledRows:
    """Mixin of estimators of stars with known labels, among the columns or beside them.

    ``condition_columns`` is a parameter of theirs, and `fit` calls `_fit_rows`.
    """

    #: Whether labels may be missing or have errors.
    _integrates_labels = False

    def _fit_rows(self, X, y=None, sigma=None, conditions=None, condition_sigma=None):
        """Let the data of a fit in, and note which labels there are.

        Rows without any observed bin are left out: they say nothing.

        Returns
        -------
        rows : Rows
        """
        values = self._validate(X, reset=True)
        self._refuse_y(values, y, conditions)
        columns = self._one_way(conditions)
        if callable(columns):
            columns = columns(X)
        n_features = values.shape[1]
        self.condition_indices_ = np.empty(0, dtype=int)
        if conditions is None:
            names = getattr(self, "feature_names_in_", None)
            self.condition_indices_ = find_columns(columns, values, names)
        indices = self.condition_indices_
        self.spectrum_indices_ = np.setdiff1d(np.arange(n_features), indices)
        given, names = self._given(values, conditions)
        self._with_sigma = sigma is not None
        S, sigma, errors = self._errors(values, sigma, condition_sigma)
        if errors is not None:
            errors = label_errors(errors, (len(S), len(given)), names)
        kept = ~np.isnan(S).all(axis=1)
        if not (np.fmax.reduce(S, axis=0) > np.fmin.reduce(S, axis=0)).any():
            what = "does not vary" if kept.any() else "is missing in all rows"
            raise ValueError(
                f"X says nothing: every bin of the spectrum {what}, and"
                f" {type(self).__name__} learns from what spectra differ in."
            )
        places = indices if conditions is None else None
        self._labels = Labels([column[kept] for column in given], names, places)
        if names is not None:
            self.condition_names_ = np.asarray(names, dtype=object)
        elif hasattr(self, "condition_names_"):
            del self.condition_names_
        every = kept.all()
        given = given if every else [column[kept] for column in given]
        errors = errors if every or errors is None else errors[kept]
        U, U_sigma = self._encoded(given, errors, fitting=True)
        rows = Rows(S, U, sigma, U_sigma)
        if not every:
            rows = Rows(S[kept], U, None if sigma is None else sigma[kept], U_sigma)
        rows = rows.take(self._known(rows))
        self._note_labels(rows.U)
        return rows

    def _rows(self, X, sigma=None, conditions=None, condition_sigma=None):
        """Let stars in that a fitted model is to see.

        Returns
        -------
        rows : Rows
        """
        check_is_fitted(self)
        in_columns = self._labels.places is not None
        if in_columns and conditions is not None:
            raise ValueError(
                "`conditions` is given, but the labels of `fit` were columns of X,"
                " which are labels here too; give them once."
            )
        if not in_columns and conditions is None:
            raise ValueError(
                "The labels of `fit` were its `conditions`; give conditions=... for"
                " these stars too."
            )
        values = self._validate(X, reset=False)
        given, names = self._given(values, conditions)
        check_names(names, self._labels.names, "conditions")
        S, sigma, errors = self._errors(values, sigma, condition_sigma)
        if errors is not None:
            errors = label_errors(errors, (len(S), len(given)), self._labels.names)
        U, U_sigma = self._encoded(given, errors)
        self._warn_outside(U)
        return Rows(S, U, sigma, U_sigma)

    def _refuse_y(self, X, y, conditions):
        """Refuse labels or errors in the place of y, from which nothing is learned."""
        if y is None:
            return
        values = np.asarray(plain(y, "y"))
        refuse_errors_as_y(self, X, values)
        if self.condition_columns is not None or conditions is not None:
            return  # it is of a later step
        if values.ndim > 1 or values.dtype.kind == "f":
            raise ValueError(
                f"`y` has shape {values.shape}, and {type(self).__name__} learns"
                " nothing from y, in which there may be ids of twins. If these are"
                " labels, pass conditions=..., by name; or append them to X by"
                " append_conditions, and say where by condition_columns."
            )

    def _one_way(self, conditions):
        """Return the columns that are labels, or None; there is one way at a time."""
        columns = self.condition_columns
        if columns is None and conditions is None:
            raise ValueError(
                f"{type(self).__name__} needs the labels of the stars. Either give them"
                " beside X, as conditions=u to `fit` and `transform`; or among its"
                " columns, with X = append_conditions(spectra, u) and"
                " condition_columns=slice(-k, None) for k labels."
            )
        if columns is not None and conditions is not None:
            raise ValueError(
                f"Both `condition_columns`, {columns!r}, and `conditions` are given:"
                " labels are columns of X, or beside it. Leave out one."
            )
        return columns

    def _validate(self, X, reset):
        least = 1 if self.condition_columns is None or not reset else 2
        try:
            return validate(
                self,
                X,
                allow_nan=True,
                reset=reset,
                ensure_min_samples=2 if reset else 1,
                ensure_min_features=least,
            )
        except ValueError as error:
            if "could not convert" not in str(error):
                raise
            raise ValueError(
                f"X holds what is not a number: {error}. Give labels that are strings"
                " beside it, as conditions=..., and numbers alone in X."
            ) from error

    def _given(self, values, conditions):
        """Return the labels of rows, each as it was given, and their names."""
        if conditions is None:
            indices = self.condition_indices_
            names = getattr(self, "feature_names_in_", None)
            columns = [values[:, i].astype(np.float64) for i in indices]
            return columns, None if names is None else [str(names[i]) for i in indices]
        columns, names = label_columns(conditions)
        if len(columns[0]) != len(values):
            raise ValueError(
                f"`conditions` must have one row for each of the {len(values)} row(s)"
                f" of X, got {len(columns[0])}."
            )
        return columns, names

    def _errors(self, values, sigma, condition_sigma):
        """Return spectra, their errors, and errors of labels as given."""
        spectra = self.spectrum_indices_
        if spectra[-1] - spectra[0] + 1 == len(spectra):
            # without a copy where labels stand at an end
            S = values[:, spectra[0] : spectra[-1] + 1]
        else:
            S = values[:, spectra]
        if sigma is None and self._with_sigma:
            raise ValueError(
                "`sigma` was given to `fit`, whose noise is what there is beside it;"
                " give the errors of these stars too."
            )
        if sigma is not None:
            if not self._with_sigma:
                raise ValueError(
                    "`sigma` is given, but `fit` had none: its noise holds the errors"
                    " already. Give `sigma` to both or to neither."
                )
            names = getattr(self, "feature_names_in_", None)
            if names is not None:
                whole = np.shape(sigma)[-1:] == names.shape
                check_error_names(sigma, names if whole else names[spectra])
            sigma, of_labels = self._parted(plain(sigma, "sigma"), values.shape)
            if of_labels is not None and condition_sigma is not None:
                if np.any(of_labels != 0):
                    raise ValueError(
                        "`sigma` and `condition_sigma` both give errors of labels; set"
                        " those in `sigma` to zero, or leave out `condition_sigma`."
                    )
            elif of_labels is not None:
                condition_sigma = of_labels
            sigma, S = check_errors(sigma, S)
        return S, sigma, condition_sigma

    def _parted(self, sigma, shape):
        """Return the errors of spectra, and of labels if those are among them."""
        spectra, indices = self.spectrum_indices_, self.condition_indices_
        sigma = np.asarray(sigma)
        n, p = shape
        if not len(indices):
            return sigma, None
        if sigma.shape in ((p,), (1, p), (n, p)):
            return np.take(sigma, spectra, axis=-1), np.take(sigma, indices, axis=-1)
        if sigma.shape not in ((), (n, 1), (len(spectra),), (n, len(spectra))):
            raise ValueError(
                f"`sigma` must have the shape of X, {shape}, labels included, or that"
                f" of its spectra, {(n, len(spectra))}, got {sigma.shape}: one 1-sigma"
                " error for each entry; or one for all, or one for each column."
            )
        return sigma, None

    def _encoded(self, given, errors, fitting=False):
        """Return labels as numbers, and their errors or None."""
        source = "X" if self._labels.places is not None else "conditions"
        U = self._labels.encode(given, source)
        U_sigma = None
        if errors is not None:
            U, U_sigma = self._labels.errors(errors, U)
        if self._integrates_labels:
            return U, U_sigma
        missing = np.isnan(U)
        if missing.any():
            which = self._labels.of_given(missing.any(axis=0))
            n_rows = int(missing.any(axis=1).sum())
            message = (
                f"In {n_rows} row(s), labels are missing:"
                f" {self._labels.describe(which)} contain(s) NaN."
                f" {type(self).__name__} needs them all, and"
            )
            advice = "ConditionalFactorAnalysis integrates over missing labels."
            if n_rows == len(U):
                raise ValueError(f"{message} has no other rows; {advice}")
            warn(
                f"{message} leaves these stars out; {advice}",
            )
        if U_sigma is not None:
            raise ValueError(
                f"{type(self).__name__} takes labels for exact, and errors are given of"
                f" {self._labels.describe(self._labels.of_given(U_sigma.any(axis=0)))};"
                " set these to zero, or fit a ConditionalFactorAnalysis, which"
                " integrates over them."
            )
        return U, None

    def _known(self, rows):
        """Return the rows whose labels are known as far as they have to be."""
        missing = np.isnan(rows.U).any(axis=1)
        return slice(None) if self._integrates_labels or not missing.any() else ~missing

    def _note_labels(self, U):
        """Note ranges and means of the labels of a fit."""
        low, high = np.fmin.reduce(U, axis=0), np.fmax.reduce(U, axis=0)
        constant = ~(high > low)
        if constant.any():
            which = self._labels.of_given(constant)
            raise ValueError(
                f"Constant in all rows: {self._labels.describe(which)}. A spectrum"
                " cannot be made independent of what does not vary; leave it out."
            )
        self.condition_range_ = np.column_stack([low, high])
        self.condition_mean_ = np.nanmean(U, axis=0)

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
            warn(
                f"Far outside the range of training, {ranges}, in"
                f" {outside.any(axis=1).sum()} row(s):"
                f" {self._labels.describe(self._labels.of_given(which))}. Results are"
                " extrapolated.",
            )

    def _new_labels(self, given, n_rows, parameter):
        """Let labels in that rows are to be given: one row for each, or for all."""
        count = self._labels.n_given
        if np.ndim(given) == 1 and len(given) == count:
            given = np.asarray(plain(given, parameter))[None]
        columns, names = label_columns(given, parameter)
        check_names(names, self._labels.names, parameter)
        if len(columns) != count or len(columns[0]) not in (1, n_rows):
            raise ValueError(
                f"`{parameter}` must have {count} label(s) for each of {n_rows} row(s),"
                f" or one row for all, got shape {(len(columns[0]), len(columns))}."
            )
        U = self._labels.encode(columns, parameter)
        if np.isnan(U).any():
            which = self._labels.of_given(np.isnan(U).any(axis=0))
            raise ValueError(
                f"`{parameter}` contains NaN, as {self._labels.describe(which)}; a"
                " spectrum has a look at known labels only."
            )
        self._warn_outside(U)
        return np.broadcast_to(U, (n_rows, U.shape[1]))
