"""Models of spectra adapted to a survey: another mean spectrum, given the labels."""

import numpy as np
from scipy.linalg import qr

from ..utils.warn import warn
from ._incomplete import regress
from ._polynomials import ROWS_PER_POLYNOMIAL

#: Labels of a survey that spread so little in a direction, in units of the others, do
#: not determine a polynomial.
LEAST_SPREAD = 1e-2
#: Prior variances of a change that are compared, in units of its error.
PRIOR_VARIANCES = np.append(0, np.geomspace(1e-3, 1e6, 181))


class Adaptable:
    """Mixin of disentanglers whose latents are Gaussian about a mean spectrum.

    They define ``_mean_polynomials``, ``_mean_residuals(rows)``, ``_gaussian()`` and
    ``_with_mean_changed(change)``.
    """

    def adapt(self, X, sigma=None, conditions=None):
        """Return this model with the mean spectrum of a survey, given the labels.

        Spectra of a survey differ from those of models, or of another survey, first of
        all in their mean: oscillator strengths, the continuum, the resolution. Its own
        stars tell how, and a few hundred are enough. What makes stars of equal labels
        differ, the components or loadings, is kept, as is the noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Spectra of the survey, on the bins of `fit`; with labels as in `fit`. Of
            stars as they come: their abundances are taken to be those of the
            population, at all labels.
        sigma : array-like of shape (n_samples, n_features), default=None
            1-sigma errors of the spectra; needed if `fit` had them.
        conditions : array-like of shape (n_samples, n_conditions), default=None
            Labels, if `fit` had them beside X. Stars without them are left out.

        Returns
        -------
        adapted : estimator
            A fitted estimator of the same class; this one stays as it is. Its
            ``n_adapted_terms_`` is the number of polynomials of the labels, of those of
            the mean spectrum, that were allowed to change, and ``lowest_score_`` is of
            the survey's stars.

        Raises
        ------
        ValueError
            If there are less than five stars, their labels have errors, or they do not
            fit the data of `fit`.

        Warns
        -----
        UserWarning
            If labels are missing, or far outside the range of training.

        Notes
        -----
        What the mean leaves of the survey's stars is regressed on the polynomials of
        the labels: a constant, and all those up to the highest degree that five stars
        for each allow, and that of the fit. The coefficients of each polynomial are
        then shrunk (empirical Bayes): those of all bins have one prior variance in
        units of the noise, the likeliest one, which is 0 where there is no more than
        chance; and errors that the loadings correlate, as stars differ in their
        abundances. So a change that looks like one of abundances is taken for that,
        and no change at all where there is none.
        """
        rows = self._rows(X, sigma, conditions)
        rows = self._with_exact_labels(rows)
        n = len(rows.S)
        if n < ROWS_PER_POLYNOMIAL:
            raise ValueError(
                f"X has {n} star(s) to adapt to, and {ROWS_PER_POLYNOMIAL} are needed"
                " for a new mean spectrum."
            )
        phi, inverse = self._allowed_terms(self._scale_conditions(rows.U))
        m = phi.shape[1]
        residual = self._mean_residuals(rows)
        errors = None if rows.sigma is None else rows.sigma.astype(np.float64)
        found = regress(phi, residual, errors)
        seen = ~np.isnan(found[0])
        loadings, noise = self._gaussian()
        variance = np.broadcast_to(noise, residual.shape)
        if errors is not None:
            variance = variance + np.square(errors)
        weights = np.where(np.isnan(residual), 0, 1 / variance)[:, seen].sum(axis=0)
        # how far the survey's stars are from the model beside all that
        plain = np.zeros((len(inverse), len(seen)))
        plain[:, seen] = inverse @ found[:, seen]
        scores = self._with_mean_changed(plain)._scores(rows)
        spread = scores.chi_square.sum() / max(scores.n_seen.sum() * (1 - m / n), 1)
        unit = np.sqrt(n / weights * spread)
        change = np.zeros_like(plain)
        change[:, seen] = inverse @ (
            shrunk(found[:, seen] / unit, loadings[:, seen] / unit, n) * unit
        )
        adapted = self._with_mean_changed(change)
        adapted.n_adapted_terms_ = m
        adapted._note_scores(rows, m / n)
        return adapted

    def _with_exact_labels(self, rows):
        """Return stars whose labels are known."""
        if rows.U_sigma is not None:
            raise ValueError(
                "`adapt` takes labels for exact, and errors of labels are given in"
                " `sigma`; set these to zero, or leave out the stars in question."
            )
        missing = np.isnan(rows.U).any(axis=1)
        if missing.any() and self._integrates_labels:
            warn(
                f"`adapt` leaves out {missing.sum()} row(s), whose labels are missing."
            )
        return rows.take(~missing) if missing.any() else rows

    def _allowed_terms(self, U):
        """Return polynomials that stars determine, orthonormal over these.

        Returns
        -------
        phi : ndarray of shape (n_samples, n_terms)
        inverse : ndarray of shape (n_polynomials, n_terms)
            What makes coefficients of the model's polynomials of theirs.
        """
        terms = self._mean_polynomials
        degrees, values = terms.degrees, terms(U)
        n = len(U)
        for degree in range(degrees.max(), -1, -1):
            m = np.count_nonzero(degrees <= degree)
            if m * ROWS_PER_POLYNOMIAL > n and degree:
                continue
            phi, triangle = qr(values[:, :m], mode="economic")
            diagonal = np.abs(np.diag(triangle))
            if diagonal.min() > LEAST_SPREAD * diagonal.max() or not degree:
                break
        inverse = np.zeros((len(degrees), m))
        inverse[:m] = np.linalg.inv(triangle) * np.sqrt(n)
        return phi * np.sqrt(n), inverse


def shrunk(found, loadings, n):
    """Return what regressions found without what chance puts there.

    Parameters
    ----------
    found : ndarray of shape (n_terms, n_bins)
        Coefficients of orthonormal terms, in units of the scatter of a bin.
    loadings : ndarray of shape (n_loadings, n_bins)
        What correlates the scatter beside, in the same units.
    n : int
        Number of stars.

    Returns
    -------
    coefficients : ndarray of shape (n_terms, n_bins)
    """
    values, vectors = np.linalg.eigh(loadings @ loadings.T)
    kept = values > max(1e-3, 1e-10 * values[-1])
    kept &= np.arange(len(values)) >= len(values) - found.shape[1]
    values, vectors = values[kept], vectors[:, kept]
    axes = (vectors / np.sqrt(values)).T @ loadings
    along = found @ axes.T
    rest = np.square(found).sum(axis=1) - np.square(along).sum(axis=1)
    n_rest = found.shape[1] - len(values)
    # errors of a coefficient: along the loadings, and beside
    errors = (1 + values) / n
    prior = PRIOR_VARIANCES / n
    total, beside = prior[:, None] + errors, prior + 1 / n
    result = np.empty_like(found)
    for i, coefficients in enumerate(found):
        cost = (np.log(total) + along[i] ** 2 / total).sum(axis=1)
        cost += n_rest * np.log(beside) + max(rest[i], 0) / beside
        best = prior[np.argmin(cost)]
        factor = best / (best + 1 / n)
        result[i] = factor * coefficients
        result[i] += ((best / (best + errors) - factor) * along[i]) @ axes
    return result
