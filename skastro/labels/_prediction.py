"""What a fitted model says of spectra and of labels."""

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from ..decomposition._ppca_rows import as_rows, row_blocks
from ..utils.sigma import broadcast_errors, check_error_names
from ._inference import scaled_covariances
from ._labels import check_labels, mean_r2


class LabelPrediction:
    """Mixin of `LabelRegressor`: all that can be asked after a fit."""

    def infer(self, X, sigma=None):
        """Return labels with all that is known of their errors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, NaN where missing.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors: required if the fit had them, else not allowed.

        Returns
        -------
        inferred : Bunch
            With ``labels``, of shape (n_samples, n_labels); ``covariance`` of their
            errors, (n_samples, n_labels, n_labels); ``chi2`` of each spectrum at its
            labels, and ``n_observed``, the number of its pixels: about equal, unless
            it is of a kind of star that the model does not know; ``extrapolated``,
            (n_samples, n_labels), which labels lie outside the range of the training
            labels; and ``at_bound``, likewise, which labels `label_bounds_` hold back.
            The error of such a label is as though there were no bound: it does not
            tell how far beyond the spectrum would have it.
        """
        check_is_fitted(self, "coef_")
        X = as_rows(self, X, reset=False)
        sigma = self._predict_errors(sigma, X)
        frame, inference = self._frame, self._inference
        precision, linear = self._prior
        unit = np.outer(frame.scale, frame.scale)
        parts = []
        all_pixels = len(self._pixels) == X.shape[1]
        blocks = row_blocks(
            X,
            sigma,
            self.batch_size,
            None if all_pixels else self._pixels,
            unit=self._unit,
        )
        for _, block, missing, variance in blocks:
            evidence = self._components.evidence(block, missing, variance)
            v, information, chi2 = inference.solve(evidence, precision, linear)
            low, high = v <= inference.bounds[0], v >= inference.bounds[1]
            at_bound = low | high
            labels = np.select([low, high], self.label_bounds_.T, frame.labels(v))
            covariance = scaled_covariances(information, precision, self.error_scale_)
            covariance *= unit
            if not precision.any():
                blank = evidence.n_observed == 0
                labels[blank], covariance[blank] = np.nan, np.nan
                at_bound[blank] = False
            parts.append((labels, covariance, chi2, evidence.n_observed, at_bound))
        labels, covariance, chi2, n_observed, at_bound = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        low, high = self.label_range_.T
        return Bunch(
            labels=labels,
            covariance=covariance,
            chi2=chi2,
            n_observed=n_observed,
            extrapolated=(labels < low) | (labels > high),
            at_bound=at_bound,
        )

    def predict(self, X, sigma=None, return_std=False, return_cov=False):
        """Return the labels of highest posterior density.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, NaN where missing. Without any pixel, the mean of the population;
            NaN without a prior.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors, as for `infer`.
        return_std : bool, default=False
            Whether to return errors too.
        return_cov : bool, default=False
            Whether to return the covariances of errors too; not both.

        Returns
        -------
        y : ndarray of shape (n_samples, n_labels) or (n_samples,)
            Labels.
        y_std : ndarray of the same shape
            1-sigma errors. Only with ``return_std=True``.
        y_cov : ndarray of shape (n_samples, n_labels, n_labels)
            Covariances of errors. Only with ``return_cov=True``.

        Raises
        ------
        ValueError
            If both are asked for, or `sigma` is there and was not in the fit, or the
            other way round.
        """
        if return_std and return_cov:
            raise ValueError(
                "Only one of `return_std` and `return_cov` may be True; the errors are"
                " the roots of the diagonals of the covariances."
            )
        inferred = self.infer(X, sigma=sigma)
        labels = inferred.labels[:, 0] if self._one_label else inferred.labels
        if return_cov:
            return labels, inferred.covariance
        if return_std:
            std = np.sqrt(np.einsum("nii->ni", inferred.covariance))
            return labels, std[:, 0] if self._one_label else std
        return labels

    def score(self, X, y, sigma=None, sample_weight=None):
        """Return the coefficient of determination, the mean over labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra.
        y : array-like of shape (n_samples, n_labels) or (n_samples,)
            Labels; those that are NaN do not count.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors, as for `infer`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of stars.

        Returns
        -------
        score : float

        Raises
        ------
        ValueError
            If labels or weights are not one for each star, or as `infer` does.
        """
        labels = self.infer(X, sigma=sigma).labels
        y, *_ = check_labels(self, y, None, len(labels), reset=False)
        return mean_r2(y, labels, sample_weight)

    def predict_spectra(self, labels):
        """Return the spectra of stars with given labels.

        Parameters
        ----------
        labels : array-like of shape (n_samples, n_labels) or (n_samples,)
            Labels.

        Returns
        -------
        spectra : ndarray of shape (n_samples, n_features)
            Without noise; NaN in pixels that were never observed.
        """
        scaled = self._scaled(labels)
        u = self._frame.coordinates(scaled)
        return self._inference.terms(u) @ self.coef_ + self.mean_

    def label_gradients(self, labels):
        """Return how spectra change with labels: derivatives of predicted spectra.

        Parameters
        ----------
        labels : array-like of shape (n_samples, n_labels) or (n_samples,)
            Of the stars in question, as `predict` returns them.

        Returns
        -------
        gradients : ndarray of shape (n_samples, n_labels, n_features)
            Change of the spectrum with a label while all others stay, in the unit of
            spectra over that of the label; NaN in pixels that were never observed.
        """
        u = self._frame.coordinates(self._scaled(labels))
        pixels, frame = self._pixels, self._frame
        _, slopes = self._inference.terms.through(u, self.coef_[:, pixels])
        gradients = np.full((*slopes.shape[:2], self.n_features_in_), np.nan)
        gradients[:, :, pixels] = frame.matrix.T @ slopes / frame.scale[:, None]
        return gradients

    def label_information(self, labels):
        """Return how much each pixel says of each label: its Fisher information.

        Parameters
        ----------
        labels : array-like of shape (n_samples, n_labels) or (n_samples,)
            Of the stars in question, as `predict` returns them.

        Returns
        -------
        information : ndarray of shape (n_samples, n_labels, n_features)
            Squared change of the spectrum with a label, over the typical variance of
            the pixel, in inverse squares of the unit of the label. The inverse root of
            its sum over pixels is the error of a label if all others are known.
        """
        noise = np.full(self.n_features_in_, np.nan)
        noise[self._pixels] = np.sqrt(self._components.noise.typical) * self._unit
        return (self.label_gradients(labels) / noise) ** 2

    def _scaled(self, labels):
        """Let labels of a user in."""
        check_is_fitted(self, "coef_")
        labels, *_ = check_labels(self, labels, None, None, reset=False)
        if np.isnan(labels).any():
            raise ValueError("`labels` must not be missing, got NaN.")
        return self._frame.scaled(labels)

    def _errors(self, sigma, X):
        check_error_names(sigma, getattr(self, "feature_names_in_", None))
        return broadcast_errors(sigma, X.shape)

    def _predict_errors(self, sigma, X):
        if self._weighted and sigma is None:
            raise ValueError(
                "`sigma` was given to fit and is needed here too: 1-sigma errors of"
                " the shape of X."
            )
        if sigma is not None and not self._weighted:
            raise ValueError(
                "`sigma` must be None, since the scatter was fitted without it; give"
                " `sigma` to fit too."
            )
        return None if sigma is None else self._errors(sigma, X)
