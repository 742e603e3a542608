"""How well spectra fit what was learned, and which do not."""

import logging
from typing import NamedTuple

import numpy as np

logger = logging.getLogger("skastro")

#: Stars of a training set whose scores are looked at, at most, and the share of them
#: that may score lower than what counts as learned.
ROWS, SHARE = 2000, 0.001
#: Passes that find the scatter beside errors.
STEPS = 8
#: A model of more coefficients for each star than this is not corrected for them all.
MOST = 0.9


class Scores(NamedTuple):
    """Log densities of spectra, and how these compare with what is to be expected.

    Attributes
    ----------
    log_density : ndarray of shape (n_samples,)
        Of the observed bins.
    chi_square : ndarray of shape (n_samples,)
        Squared residuals in units of the model's covariance.
    n_seen : ndarray of shape (n_samples,)
        Number of observed bins, which chi-square has as its mean.
    """

    log_density: np.ndarray
    chi_square: np.ndarray
    n_seen: np.ndarray

    @classmethod
    def of_parts(cls, parts, unit):
        """Return the scores of all stars, of spectra that were divided by a unit."""
        if not parts:
            return cls(*np.zeros((3, 0)))
        scores = cls(*map(np.concatenate, zip(*parts, strict=True)))
        return scores._replace(
            log_density=scores.log_density - scores.n_seen * np.log(unit)
        )

    def standard(self, optimism=0.0):
        """Return log densities less their means, in standard deviations.

        As they are if the model is right, so that they are of one scale whatever is
        missing or uncertain; 0 of stars without any bin.

        Parameters
        ----------
        optimism : float, default=0.0
            What a star of the fit gains in a bin, in log density, over another one.
        """
        expected = self.n_seen * (1 + 2 * optimism)
        return (expected - self.chi_square) / np.sqrt(2 * np.maximum(self.n_seen, 1))


def independent(residual, scatter, sigma=None):
    """Return the scores of residuals that are independent from bin to bin.

    Parameters
    ----------
    residual : ndarray of float64, of shape (n_samples, n_bins)
        NaN where missing.
    scatter : ndarray of shape (n_bins,)
        Standard deviation of each bin, beside `sigma`; NaN where it is not known.
    sigma : ndarray of shape (n_samples, n_bins), default=None
        Errors.

    Returns
    -------
    scores : Scores
    """
    variance = np.square(scatter)
    if sigma is not None:
        variance = variance + np.square(sigma, dtype=np.float64)
    square = np.square(residual) / variance
    seen = ~np.isnan(square)
    n_seen = seen.sum(axis=1)
    chi_square = square.sum(axis=1, where=seen)
    log_det = np.broadcast_to(np.log(variance), seen.shape).sum(axis=1, where=seen)
    density = -(chi_square + log_det + n_seen * np.log(2 * np.pi)) / 2
    return Scores(density, chi_square, n_seen)


def scatter_beside(residual, sigma=None):
    """Return the standard deviation of each bin's residuals, beside their errors.

    Parameters
    ----------
    residual : ndarray of float64, of shape (n_samples, n_bins)
        NaN where missing.
    sigma : ndarray of shape (n_samples, n_bins), default=None
        Errors.

    Returns
    -------
    scatter : ndarray of float64, of shape (n_bins,)
        At least a thousandth of the typical one; NaN where all are missing.
    """
    seen = ~np.isnan(residual)
    square = np.where(seen, np.square(residual), 0)
    known = 0.0 if sigma is None else np.square(sigma, dtype=np.float64)
    n_seen = seen.sum(axis=0)
    variance = np.where(n_seen, square.sum(axis=0) / np.maximum(n_seen, 1), np.nan)
    least = np.finfo(np.float64).tiny
    if not np.isnan(variance).all():
        least = max(1e-6 * np.nanmedian(variance), least)
    for _ in range(0 if sigma is None else STEPS):
        weights = np.where(seen, 1 / np.square(np.maximum(variance, least) + known), 0)
        excess = (weights * (square - known)).sum(axis=0)
        total = weights.sum(axis=0)
        variance = np.where(total > 0, excess / np.where(total > 0, total, 1), np.nan)
    return np.sqrt(np.maximum(variance, least))


def few_rows(rows):
    """Return so many rows that they tell what is typical."""
    n = len(rows.S)
    return rows if n <= ROWS else rows.take(np.linspace(0, n - 1, ROWS).astype(int))


class NotLearned:
    """Mixin of estimators that know which spectra are out of what they learned.

    They define ``_scores(rows)``, which returns `Scores`.
    """

    def _note_scores(self, rows, share):
        """Note how low the stars of a fit score.

        Parameters
        ----------
        rows : Rows
            The stars, or some of them.
        share : float
            Coefficients of each bin that were fitted, for each star of the fit.
        """
        scores = self._scores(few_rows(rows)).standard()
        self.lowest_score_ = float(np.quantile(scores, SHARE, method="higher"))
        share = min(share, MOST)
        self._optimism = share / (1 - share)

    def _tell_of_not_learned(self, rows):
        """Say how many stars are not like those of the fit, at ``verbose=1``."""
        if not self.verbose:
            return
        scores = self._scores(rows).standard(self._optimism)
        n_out = int(np.count_nonzero(scores < self.lowest_score_))
        logger.log(
            logging.WARNING if n_out else logging.INFO,
            "%s: %d of %d row(s) are out of what was learned: they score %.3g standard"
            " deviations below what is to be expected, at worst, and the stars of the"
            " fit down to %.3g. `score_samples` tells which.",
            type(self).__name__,
            n_out,
            len(scores),
            -scores.min(initial=0.0),
            -self.lowest_score_,
        )
