"""What a fitted factor analysis says of stars."""

import copy

import numpy as np
from sklearn.utils import gen_batches

from ..utils import uncertain
from ._adaptation import Adaptable
from ._conditioned import ConditionedTransformer, explained
from ._factor_analysis_decoder import ROWS, Decoder, combine
from ._factor_analysis_labels import STEPS, Likelihood, UncertainLabels, mixture
from ._scores import Scores


class FactorInference(uncertain.UncertainVectorsOut, Adaptable, ConditionedTransformer):
    """Latent variables, spectra at other labels, and scores.

    Base class of conditional factor analysis, whose `fit` sets the decoder, the
    polynomials, and the distribution of labels.
    """

    _integrates_labels = True

    def fit_transform(
        self, X, y=None, sigma=None, conditions=None, condition_sigma=None
    ):
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
        condition_sigma : array-like of shape (n_samples, n_conditions), default=None
            1-sigma errors of labels.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_columns)
            As of `transform`.
        """
        given = {
            "sigma": sigma,
            "conditions": conditions,
            "condition_sigma": condition_sigma,
        }
        return self.fit(X, y, **given).transform(X, **given)

    def transform(self, X, sigma=None, conditions=None, condition_sigma=None):
        """Return the latent variables of stars.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra, and labels if those of `fit` were among the columns.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors; needed if `fit` had them.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels, if `fit` had them beside X.
        condition_sigma : array-like of shape (n_samples, n_conditions), default=None
            1-sigma errors of labels, whether `fit` had any or not.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_columns)
            Latent variables, with their covariances if `with_covariance`. A spectrum
            without any bin has the mean 0 of the population. Labels that are missing or
            have errors are integrated over.

        Raises
        ------
        ValueError
            If the stars do not fit the data of `fit`.

        Warns
        -----
        UserWarning
            If labels are far outside the range of training.
        """
        rows = self._rows(X, sigma, conditions, condition_sigma)
        self._tell_of_not_learned(rows)
        dtype = rows.S.dtype
        if not self.with_covariance:
            star, _, weight, z, covariance = self._posterior(rows, 1.0)
            if star is not None:
                z, _ = mixture(z, covariance, star, weight, len(rows.S))
            return z.astype(dtype, copy=False)
        star, U, weight, z, covariance = self._posterior(rows, 1 / uncertain.WIDE)
        covariance += self._frame_variance(self._phi(U, np.float64)[1])
        if star is not None:
            z, covariance = mixture(z, covariance, star, weight, len(rows.S))
        packed = uncertain.UncertainVectors(z, covariance).pack()
        return packed.astype(dtype, copy=False)

    def recast(self, X, u_new, sigma=None, conditions=None, condition_sigma=None):
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
        condition_sigma : array-like of shape (n_samples, n_conditions), default=None
            1-sigma errors of these.

        Returns
        -------
        spectra : ndarray of shape (n_samples, n_bins)
            Without noise, and complete but for bins that were never seen.

        Raises
        ------
        ValueError
            If shapes do not fit.
        """
        rows = self._rows(X, sigma, conditions, condition_sigma)
        u_new = self._new_labels(u_new, len(rows.S), "u_new")
        star, _, weight, z, covariance = self._posterior(rows, 1.0)
        if star is not None:
            z, _ = mixture(z, covariance, star, weight, len(rows.S))
        return self._decode(z, u_new).astype(rows.S.dtype, copy=False)

    def score_samples(self, X, sigma=None, conditions=None, condition_sigma=None):
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
        condition_sigma : array-like of shape (n_samples, n_conditions), default=None
            1-sigma errors of labels.

        Returns
        -------
        log_likelihood : ndarray of float64, of shape (n_samples,)
            Natural logarithms of densities of the observed bins, in the units of X; 0
            for a spectrum without any. Labels that are missing or have errors are
            integrated over.

        Raises
        ------
        ValueError
            If the stars do not fit the data of `fit`.
        """
        rows = self._rows(X, sigma, conditions, condition_sigma)
        return self._scores(rows).log_density

    def score(self, X, y=None, sigma=None, conditions=None, condition_sigma=None):
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
        condition_sigma : array-like of shape (n_samples, n_conditions), default=None
            1-sigma errors of labels.

        Returns
        -------
        score : float
            1 for a perfect reconstruction, 0 for one as good as the mean spectrum.

        Raises
        ------
        ValueError
            If spectra do not differ, such as one row.
        """
        rows = self._rows(X, sigma, conditions, condition_sigma)
        star, U, weight, z, _ = self._posterior(rows, 1.0)
        if star is None:
            return explained(rows.S, self._decode(z, U))
        model = np.zeros(rows.S.shape)
        for start in range(0, len(z), ROWS):
            at = slice(start, start + ROWS)
            spectra = self._decode(z[at], U[at])
            np.add.at(model, star[at], weight[at, None] * spectra)
        return explained(rows.S, model)

    @property
    def _n_latents(self):
        return self.n_components_

    # -- the model, in units in which spectra are of order one

    def _in_unit(self, values):
        """Return spectra or their errors in the unit of the fit."""
        if values is None or self._unit == 1:
            return values
        return values / values.dtype.type(self._unit)

    def _block(self, rows, stars, unseen):
        """Return spectra of some stars, missing entries, and variances or None."""
        S = self._in_unit(rows.S[stars])
        missing = np.isnan(S) | unseen
        variance = None
        if rows.sigma is not None:
            variance = np.square(self._in_unit(rows.sigma[stars]))
            variance[missing] = 1
        return S, missing, variance

    def _set_decoder(self, decoder, unseen):
        """Keep a decoder, in the units of X."""
        unit = decoder.mean.dtype.type(self._unit)
        # contiguous as in a copy from a file, to give the same to the last bit
        self.mean_coef_ = np.ascontiguousarray(decoder.mean * unit)
        self.loadings_ = np.ascontiguousarray(decoder.loadings * unit)
        self.noise_variance_ = decoder.noise.astype(np.float64) * self._unit**2
        # a bin that was never seen has no spectrum to be decoded to
        self.mean_coef_[:, unseen] = np.nan

    @property
    def _decoder(self):
        dtype = self.loadings_.dtype
        unit = dtype.type(self._unit)
        noise = (self.noise_variance_ / self._unit**2).astype(dtype)
        return Decoder(self.mean_coef_ / unit, self.loadings_ / unit, noise)

    def _terms(self, U):
        """Return polynomials of scaled labels."""
        return self._mean_terms(U), self._loading_terms(U)

    def _phi(self, U, dtype):
        return [phi.astype(dtype) for phi in self._terms(self._scale_conditions(U))]

    def _scaled_errors(self, rows):
        """Return errors of labels in units in which their range is 2."""
        if rows.U_sigma is None:
            return np.zeros(rows.U.shape)
        low, high = self.condition_range_.T
        return 2 * rows.U_sigma / (high - low)

    def _frame_variance(self, phi):
        """Return how uncertain the frame of the latents is at some labels.

        It makes n stars white, whose second moments scatter by ``1 / n`` for each of
        their polynomials in the labels; half of that is in the latents.
        """
        k = self.n_components_
        variance = (k + 1) / (4 * self._n_fitted) * (np.square(phi).sum(axis=1) - 1)
        return np.maximum(variance, 0)[:, None, None] * np.eye(k)

    def _posterior(self, rows, precision):
        """Return means and covariances of z with a prior of given precision.

        Returns
        -------
        star : ndarray of int, of shape (n_nodes,), or None
            Whose rows these are, if labels of some are integrated over.
        U : ndarray of shape (n_nodes, n_labels)
        weight : ndarray of shape (n_nodes,) or None
        z : ndarray of shape (n_nodes, k)
        covariance : ndarray of shape (n_nodes, k, k)
        """
        decoder = self._decoder
        unseen = np.isnan(decoder.mean[0])
        star, U, weight, _ = self._nodes(rows, decoder, unseen, precision)
        k = self.n_components_
        z, covariance = np.empty((len(U), k)), np.empty((len(U), k, k))
        dtype = np.result_type(rows.S.dtype, self.loadings_.dtype)
        for start in range(0, len(U), ROWS):
            at = slice(start, start + ROWS)
            stars = at if star is None else star[at]
            phi_mean, phi = self._phi(U[at], dtype)
            S, missing, variance = self._block(rows, stars, unseen)
            residual = S - phi_mean @ decoder.mean
            residual[missing] = 0
            likelihood = decoder.likelihood(residual, phi, variance, missing)
            z[at], covariance[at] = combine(*likelihood, precision)
        return star, U, weight, z, covariance

    def _nodes(self, rows, decoder, unseen, precision):
        """Return whose labels are which, where some are integrated over.

        And the log densities of the spectra of such stars, NaN of others.
        """
        if rows.U_sigma is None and not np.isnan(rows.U).any():
            return None, rows.U, None, None
        complete = Decoder(np.nan_to_num(decoder.mean), decoder.loadings, decoder.noise)

        def spectra(stars):
            S, missing, variance = self._block(rows, stars, unseen)
            weights = decoder.weights(missing.shape, variance, missing)
            return np.where(missing, 0, S), weights

        likelihood = Likelihood(complete, self._terms, spectra, precision)
        scaled = self._scale_conditions(rows.U)
        labels = UncertainLabels(
            *self._label_prior.given(scaled, self._scaled_errors(rows))
        )
        star, U, weight = labels.nodes(likelihood, STEPS)
        low, high = self.condition_range_.T
        U = low + (U + 1) / 2 * (high - low)
        return star, U, weight, labels.log_evidence

    # -- the mean spectrum of a survey

    @property
    def _mean_polynomials(self):
        return self._mean_terms

    def _mean_residuals(self, rows):
        phi_mean, _ = self._phi(rows.U, np.float64)
        return rows.S - phi_mean @ self.mean_coef_

    def _gaussian(self):
        loadings = self.loadings_.astype(np.float64)
        return loadings.reshape(-1, loadings.shape[2]), self.noise_variance_

    def _with_mean_changed(self, change):
        other = copy.copy(self)
        other.mean_coef_ = (self.mean_coef_ + change).astype(self.mean_coef_.dtype)
        return other

    # -- log densities

    def _scores(self, rows):
        decoder = self._decoder
        unseen = np.isnan(decoder.mean[0])
        exact = Decoder(
            np.nan_to_num(decoder.mean).astype(np.float64),
            decoder.loadings.astype(np.float64),
            decoder.noise.astype(np.float64),
        )
        parts = [
            self._scores_at_once(rows.take(at), exact, unseen)
            for at in gen_batches(len(rows.S), ROWS)
        ]
        return Scores.of_parts(parts, self._unit)

    def _scores_at_once(self, rows, decoder, unseen):
        rows = rows._replace(S=rows.S.astype(np.float64))
        star, U, weight, evidence = self._nodes(rows, decoder, unseen, 1.0)
        nodes = []
        for at in gen_batches(len(U), ROWS):
            phi_mean, phi = self._phi(U[at], np.float64)
            S, missing, variance = self._block(
                rows, at if star is None else star[at], unseen
            )
            residual = np.where(missing, 0, S - phi_mean @ decoder.mean)
            nodes.append(decoder.log_density(residual, phi, variance, missing))
        scores = Scores.of_parts(nodes, 1.0)
        if star is None:
            return scores
        n = len(rows.S)
        first = np.searchsorted(star, np.arange(n))
        return Scores(
            np.where(np.isnan(evidence), scores.log_density[first], evidence),
            np.bincount(star, weight * scores.chi_square, n),
            scores.n_seen[first],
        )

    def _decode(self, Z, U):
        decoder, dtype = self._decoder, self.loadings_.dtype
        spectra = np.empty((len(Z), self.mean_coef_.shape[1]), dtype=dtype)
        for start in range(0, len(Z), ROWS):
            rows = slice(start, start + ROWS)
            phi_mean, phi = self._phi(U[rows], dtype)
            spectra[rows] = decoder.decode(phi_mean, phi, Z[rows].astype(dtype))
        return spectra * dtype.type(self._unit)
