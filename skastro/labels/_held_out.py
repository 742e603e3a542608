"""What a fit of labels learns from stars that a part of it has not seen."""

import numpy as np

from ._evidence import Components
from ._inference import covariances
from ._moments import N_FOLDS

#: Stars that errors are calibrated on at most, and at least, for each label.
TEST_STARS, _TEST_STARS_PER_LABEL = 2000, 8
#: Half of a normal distribution's 68.3 % interval, and stars that a label's own
#: calibration is worth against that of all.
_ONE_SIGMA, _POOLED_STARS = 0.6827, 50


class HeldOutTests:
    """Part of `LabelFit`: the covariance of its misfit, and the scale of its errors."""

    def _test(self):
        """Measure misfit and calibrate errors on stars that a fit has not seen."""
        settings, (n, d) = self.settings, self.v.shape
        self.error_scale = np.ones(d)
        stars = some_of(n, TEST_STARS)
        enough = n >= max(40, _TEST_STARS_PER_LABEL * d, 2 * len(self.terms))
        models = [(self.components, self.coef)] * N_FOLDS
        wanted = settings.residual_components != 0 or settings.calibrate
        if enough and wanted:
            models = [self._without(fold) for fold in range(N_FOLDS)]
        self._set_misfit(models, stars)
        if enough and settings.calibrate:
            for components, _ in models:
                components.misfit = self.components.misfit
            self._calibrate(models, stars)

    def _without(self, fold):
        """Return components and their coefficients, of a fit without some stars."""
        moments = self.moments
        responses = self.responses.without(
            moments.gram.sum(axis=0) - moments.gram[fold],
            moments.linear.sum(axis=0) - moments.linear[fold],
            self._variance(),
        )
        spectra = self._spectra_of(responses)
        components = Components(spectra, self.mean, self.noise, self.components.signal)
        return components, self._coef_of(responses, spectra)

    def _set_misfit(self, models, stars):
        """Measure the covariance of components that labels do not predict."""
        if self.settings.residual_components == 0:
            return
        k = self.components.spectra.shape[1]
        total, count = np.zeros((k, k)), 0
        for fold, own, block, missing, variance in self._tested(stars):
            seen = np.count_nonzero(~missing, axis=1) >= min(2 * k, len(self.mean))
            if not seen.any():
                continue
            components, coef = models[fold]
            A, b, _ = components.project(
                block[seen], missing[seen], None if variance is None else variance[seen]
            )
            inverse = np.linalg.inv(A + 1e-9 * np.eye(k))
            inverse = np.broadcast_to(inverse, (len(b), k, k))
            expected = self.terms(self.frame.coordinates(self.expected[own[seen]]))
            away = np.einsum("nij,nj->ni", inverse, b) - expected @ coef
            total += away.T @ away - inverse.sum(axis=0)
            count += len(away)
        if not count:
            return
        variance, axes = np.linalg.eigh(total / count)
        edge = 2 * np.sqrt(k / count) + k / count
        variance = np.where(variance > edge, variance, 0)
        self.components.set_misfit((axes * variance) @ axes.T)

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
        d = self.v.shape[1]
        prior, linear = self.prior()
        deviations = []
        for fold, own, block, missing, variance in self._tested(stars):
            components, coef = models[fold]
            inference = self._inference(coef, self.inference.start)
            evidence = components.evidence(block, missing, variance)
            v, information, _ = inference.solve(evidence, prior, linear)
            error2 = np.einsum("nii->ni", covariances(information))
            precision = self.precision[own]
            known = precision > 0
            error2 = error2 + 1 / np.where(known, precision, 1)
            away = np.abs(v - self.v[own]) / np.sqrt(error2)
            deviations.append(np.where(known, away, np.nan))
        deviations = np.concatenate(deviations)
        pooled = np.nanquantile(deviations, _ONE_SIGMA)
        for k in range(d):
            own = deviations[~np.isnan(deviations[:, k]), k]
            if len(own):
                weight = len(own) / (len(own) + _POOLED_STARS)
                scale = max(np.quantile(own, _ONE_SIGMA), 1e-3)
                self.error_scale[k] = scale**weight * max(pooled, 1e-3) ** (1 - weight)


def some_of(n, most):
    """Return rows, evenly among the folds; all if there are few."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.RandomState(0).permutation(n)[:most])  # noqa: NPY002
