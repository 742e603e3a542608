"""What a fit of labels learns from stars that a part of it has not seen."""

import numpy as np
from scipy.optimize import brentq

from ._evidence import Components
from ._frame import EXACT
from ._inference import shares
from ._misfit import Residuals, fit_misfit
from ._moments import N_FOLDS, accumulate

#: Stars that errors are calibrated on at most, and at least, for each label.
_TEST_STARS, _TEST_STARS_PER_LABEL = 2000, 8
#: Half of a normal distribution's 68.3 % interval, and stars that a label's own
#: calibration is worth against that of all.
_ONE_SIGMA, _POOLED_STARS = 0.6827, 50
#: What is left of a star's own part in its responses, and passes at most for that.
_LEFT, _MOST_PASSES = 0.05, 6
#: Share of the stars among which those with the best known labels are sought.
_BEST_KNOWN = 0.25


class HeldOutTests:
    """Part of `LabelFit`: the covariance of its misfit, and the scale of its errors."""

    def _test(self):
        """Measure misfit and calibrate errors on stars that a fit has not seen."""
        settings, (n, d) = self.settings, self.v.shape
        self.error_scale = np.ones(d)
        enough = n >= max(40, _TEST_STARS_PER_LABEL * d, 2 * len(self.terms))
        models = [(self.components, self.coef)] * N_FOLDS
        wanted = settings.residual_components != 0 or settings.calibrate
        if enough and wanted:
            models = [self._without(fold) for fold in range(N_FOLDS)]
        if settings.residual_components != 0:
            self._set_misfit(models, self._best_known(_TEST_STARS))
        if enough and settings.calibrate:
            for components, _ in models:
                components.misfit = self.components.misfit
            self._calibrate(models, some_of(n, _TEST_STARS))

    def _best_known(self, number):
        """Return some stars, of those whose labels are known best without spectra."""
        most = 2 * np.quantile(self.unknown, _BEST_KNOWN)
        known = np.flatnonzero(self.unknown <= most)
        return known[some_of(len(known), number)]

    def _without(self, fold):
        """Return components and their coefficients, of a fit without some stars.

        Where entries have different weights, sums over the stars are about responses
        that all stars have told, and are taken again until these are forgotten.
        """
        moments, responses = self.moments, self.responses.copy()
        before = responses.path
        others = np.arange(self.data.n_rows) % N_FOLDS != fold
        remembered = np.clip(np.median(1 - moments.pace), 1e-3, 1 - 1e-3)
        passes = int(np.log(_LEFT) / np.log(remembered))
        for number in range(1 + min(passes, _MOST_PASSES)):
            if number:
                moments = accumulate(
                    self.data,
                    self.mean,
                    self._expected_terms(),
                    self._spread(),
                    moments.ahead(responses.path, before),
                    self.noise,
                    others,
                )
            before = responses.path
            responses.fit(
                moments.gram.sum(axis=0) - moments.gram[fold],
                moments.linear.sum(axis=0) - moments.linear[fold],
                self.noise.typical / moments.weight,
                moments.rare,
                update=False,
            )
        coef = responses.coef
        spectra = self._spectra_of(coef)
        components = Components(spectra, self.mean, self.noise, self.components.signal)
        return components, self._coef_of(coef, spectra)

    def _set_misfit(self, models, stars):
        """Measure the covariance of components that labels do not predict."""
        residuals = Residuals(self.components.spectra.shape[1])
        start = self.inference.start
        for fold, own, block, missing, variance in self._tested(stars):
            components, coef = models[fold]
            information, linear, _ = components.project(block, missing, variance)
            inference = self._inference(coef, start, self.bounds)
            expected, slopes = inference.predict(self.told[own])
            loose = np.isin(own, self.loose).any()
            covariance = self.told_covariance[own] if loose else None
            residuals.add(information, linear, expected, slopes, covariance)
        self.components.set_misfit(fit_misfit(residuals))

    def _tested(self, stars):
        """Iterate over the spectra of some stars, fold by fold."""
        chosen = np.zeros(self.data.n_rows, bool)
        chosen[stars] = True
        for rows, block, missing, variance in self.data.blocks():
            place = np.arange(rows.start, rows.stop)
            for fold in range(N_FOLDS):
                own = np.flatnonzero(chosen[rows] & (place % N_FOLDS == fold))
                if len(own):
                    errors = None if variance is None else variance[own]
                    yield fold, place[own], block[own], missing[own], errors

    def _calibrate(self, models, stars):
        """Scale errors so that they hold as many labels as they should."""
        prior, linear = self.prior()
        away, own_error2, given_error2 = [], [], []
        for fold, own, block, missing, variance in self._tested(stars):
            components, coef = models[fold]
            inference = self._inference(coef, self.inference.start, self.bounds)
            evidence = components.evidence(block, missing, variance)
            v, information, _ = inference.solve(evidence, prior, linear)
            precision, told = self.precision[own], self.v[own]
            within = (told >= self.bounds[0]) & (told <= self.bounds[1])
            seen = (evidence.n_observed > 0)[:, None]
            tested = (precision > 0) & within & seen
            away.append(np.where(tested, np.abs(v - told), np.nan))
            of_spectrum, of_rest = shares(information, prior)
            own_error2.append(np.einsum("nii->ni", of_spectrum))
            of_given = np.where(precision < EXACT, 1 / np.maximum(precision, 1e-300), 0)
            given_error2.append(np.einsum("nii->ni", of_rest) + of_given)
        away, own_error2, given_error2 = (
            np.concatenate(part) for part in (away, own_error2, given_error2)
        )
        pooled, worth = _scale_of(away, own_error2, given_error2)
        pooled = _mean_scale(pooled, 1, worth)
        for k in range(away.shape[1]):
            own, worth = _scale_of(away[:, k], own_error2[:, k], given_error2[:, k])
            self.error_scale[k] = _mean_scale(own, pooled, worth)


def _scale_of(away, own_error2, given_error2):
    """Return what errors of labels are to be multiplied by.

    Parameters
    ----------
    away : ndarray
        Absolute differences of found and given labels, NaN where these are not known.
    own_error2, given_error2 : ndarray of the same shape
        Squared errors that spectra are the cause of, and others.

    Returns
    -------
    scale : float
    worth : float
        Number of exact labels that would tell as much of it.
    """
    known = ~np.isnan(away)
    if not known.any():
        return 1.0, 0.0
    away, own, given = away[known], own_error2[known], given_error2[known]

    def too_small(log_scale):
        error = np.sqrt(np.exp(2 * log_scale) * own + given)
        return np.quantile(away / error, _ONE_SIGMA) - 1

    worth = float(((own / (own + given)) ** 2).sum())
    low, high = np.log(1e-3), np.log(1e3)
    if too_small(low) <= 0:
        return 1e-3, worth
    if too_small(high) >= 0:
        return 1e3, worth
    return float(np.exp(brentq(too_small, low, high))), worth


def _mean_scale(own, other, worth):
    """Return a scale between one that so many stars tell and another."""
    weight = worth / (worth + _POOLED_STARS)
    return np.sqrt(weight * own**2 + (1 - weight) * other**2)


def some_of(n, most):
    """Return rows, evenly among the folds; all if there are few."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.RandomState(0).permutation(n)[:most])  # noqa: NPY002
