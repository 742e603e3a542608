"""How a model of spectra given labels is learned."""

from functools import partial

import numpy as np
from sklearn.utils.extmath import randomized_svd

from ._evidence import Components
from ._frame import EXACT
from ._held_out import HeldOutTests
from ._inference import LabelInference, covariances
from ._moments import N_FOLDS, Noise, accumulate, first_noise, new_noise
from ._responses import Responses, least_squares
from ._selection import (
    MAX_DEGREE,
    auto_terms,
    fixed_terms,
    label_energy,
    strong_labels,
)
from ._spread import Spread, pixel_groups
from ._terms import LabelPolynomials, blocks_of

#: Components of least variance, in units of the noise, and their number at most.
_LEAST_SIGNAL, _MOST_COMPONENTS = 0.1, 64
#: Components of the residuals at most, and stars that they are sought in.
_MOST_RESIDUAL, _RESIDUAL_STARS = 30, 4000
#: Stars that the misfit is measured on in the course of a fit.
_MISFIT_STARS = 400
#: Share of the stars, with the best known labels, that tell the noise at first.
_BEST_KNOWN = 0.1


class LabelFit(HeldOutTests):
    """A fit in progress.

    Parameters
    ----------
    data : Rows
        Spectra.
    mean : ndarray of shape (n_pixels,)
        Their mean.
    v, precision : ndarray of shape (n_samples, n_labels)
        Scaled labels, NaN where missing, and their inverse variances.
    frame : LabelFrame
    windows : ndarray of bool, of shape (n_labels, n_pixels)
        Where each label may act.
    settings : LabelRegressor
        Whose parameters are used.
    bounds : ndarray of shape (2, n_labels)
        Of scaled labels.
    """

    def __init__(self, data, mean, v, precision, frame, windows, settings, bounds):
        self.data, self.mean = data, mean
        self.v, self.precision, self.frame = v, precision, frame
        self.windows, self.settings, self.bounds = windows, settings, bounds
        self.windowed = ~windows.all(axis=1)
        self.loose = np.flatnonzero((precision < EXACT).any(axis=1))
        self.told, self.told_covariance = frame.given(v, precision)
        known = (precision >= EXACT).all(axis=1)
        self.told[known] = v[known]
        self.expected, self.covariance = self.told.copy(), self.told_covariance.copy()
        self.spread_known = False  # whether spectra have told of the loose labels yet
        self._groups = None  # of pixels that the same stars have
        self._phi = None  # expected terms, until labels are known better

    # -- the course of a fit

    def run(self, progress):
        """Fit, and return the components and the inference of labels."""
        self._choose_terms()
        settings = self.settings
        exact = not len(self.loose) and self.data.complete
        self.responses = Responses(
            blocks_of(self.terms.powers, self.energy, self.strong, self.windowed),
            self._allowed(self.terms.powers),
            settings.shrinkage,
        )
        for self.n_iter in range(1, settings.max_iter + 1):
            if self.n_iter > 1:
                if len(self.loose):
                    self._infer_loose_labels()
                if not exact:
                    self._pass()
            self._before = self.responses.path
            gram = self.moments.gram.sum(axis=0)
            linear = self.moments.linear.sum(axis=0)
            self.responses.fit(gram, linear, self._variance(), self.moments.rare)
            if exact:
                self._new_noise()
            change = self._change(gram)
            if progress.step(change=f"{change:.2e}") or change < settings.tol:
                break
        self.change = change
        self._decode()
        if settings.residual_components != 0:
            self._add_residual_components()
        self._test()

    def _choose_terms(self):
        settings, data = self.settings, self.data
        u = self.frame.coordinates(self.expected)
        auto = settings.degree == "auto"
        degree = MAX_DEGREE if auto else settings.degree
        polynomials = LabelPolynomials(u, degree)
        self.noise = None if data.sigma is None else first_noise(data, self.mean)
        linear = fixed_terms(polynomials, 1, self.windowed)
        allowed = self._allowed(linear.powers)
        energy_of = partial(
            label_energy, data, self.mean, u, linear, allowed, self.noise
        )
        self.energy = energy_of()
        if len(self.loose):  # again, of stars whose guessed labels are no noise
            number = max(int(_BEST_KNOWN * data.n_rows), 5 * len(linear))
            best = np.argsort(self._unknown(), kind="stable")[:number]
            self.energy = energy_of(np.isin(np.arange(data.n_rows), best))
        self.unknown = self._unknown()
        self.strong = strong_labels(self.energy, self.windowed)
        if auto:
            self.terms = auto_terms(polynomials, self.strong, data.n_rows)
        else:
            self.terms = fixed_terms(polynomials, degree, self.windowed)
        start = np.zeros((len(self.terms), len(self.mean)))
        self.moments = accumulate(
            data, self.mean, self.terms(u), None, start, self.noise, self._worth()
        )
        if not settings.shrinkage and len(self.terms) >= data.n_rows:
            raise ValueError(
                f"{data.n_rows} stars do not determine the {len(self.terms)} terms of"
                f" `degree`={degree}; lower it, or set shrinkage=True."
            )
        self._start_noise()

    def _unknown(self):
        """Return chi2, a pixel, of what is not known of the labels of each star."""
        covariance = self.frame.matrix @ self.told_covariance @ self.frame.matrix.T
        chi2 = np.einsum("nkk,k->n", covariance, np.maximum(self.energy, 0))
        return chi2 / len(self.mean)

    def _worth(self):
        """Return weights of stars, as far as their labels are known without spectra.

        A star whose temperature is guessed would say that spectra hardly change with
        it, and that pixels are noisy; with equal weights it takes many passes to undo.
        """
        return 1 / (1 + self.unknown) ** 2 if len(self.loose) else None

    def _start_noise(self):
        """Take the variance that least squares leave, where stars are enough."""
        moments, p = self.moments, len(self.terms)
        total = moments.square_of(np.zeros_like(moments.responses))
        total /= np.maximum(moments.count, 1)
        self.floor = 1e-10 * total + np.finfo(np.float32).tiny
        if self.noise is not None:
            return
        variance = total / 2
        if moments.n_stars >= 2 * p:
            gram, linear = moments.gram.sum(axis=0), moments.linear.sum(axis=0)
            coef, used = least_squares(gram, linear, self._allowed(self.terms.powers))
            left = np.maximum(moments.count - used, 0.1 * moments.count)
            variance = moments.square_of(coef) / np.maximum(left, 1e-300)
        variance = np.maximum(variance, self.floor)
        self.noise = Noise(variance, variance)

    def _allowed(self, powers):
        """Return which terms may act on which pixels."""
        outside = (powers > 0).astype(int) @ (~self.windows).astype(int)
        return outside == 0

    def _variance(self):
        """Return the variances of the noise of linear sums."""
        return self.noise.typical / self.moments.weight

    def _pass(self):
        self.moments = accumulate(
            self.data,
            self.mean,
            self._expected_terms(),
            self._spread(),
            self.moments.ahead(self.responses.path, self._before),
            self.noise,
        )
        self._new_noise()

    def _new_noise(self):
        responses = self.responses
        self.noise = new_noise(
            self.moments, self.noise, responses.coef, responses.used, self.floor
        )

    def _change(self, gram):
        """Return the mean chi2 of a star by which predicted spectra change.

        Where few stars have a pixel, there is more to come than the last step.
        """
        step = self.responses.path - self._before
        squares = np.einsum("tj,tj->j", step, gram @ step) / self._variance()
        squares /= np.clip(self.moments.pace, 1 / self.data.n_rows, 1) ** 2
        return float(squares.sum() / self.data.n_rows)

    # -- labels that are missing or have errors

    def _nodes(self, rows):
        """Return points about the expected labels, with their covariance."""
        d = self.v.shape[1]
        root = np.linalg.cholesky(self.covariance[rows]) * np.sqrt(d)
        steps = np.concatenate([root, -root], axis=2).transpose(0, 2, 1)
        return self.expected[rows][:, None] + steps

    def _terms_at_nodes(self, terms, rows):
        nodes = self._nodes(rows)
        n, q, d = nodes.shape
        return terms(self.frame.coordinates(nodes.reshape(n * q, d))).reshape(n, q, -1)

    def _expected_terms(self):
        if self._phi is None:
            self._phi = self.terms(self.frame.coordinates(self.expected))
            if self.spread_known:
                for rows in _parts(self.loose):
                    at_nodes = self._terms_at_nodes(self.terms, rows)
                    self._phi[rows] = at_nodes.mean(axis=1)
        return self._phi

    def _spread(self):
        """Return how terms spread, once spectra have told of labels."""
        if not self.spread_known:
            return None
        if self._groups is None:
            self._groups = pixel_groups(self.data, self.loose)
        return Spread(self._sums_of_spread, self._groups)

    def _sums_of_spread(self, rows, weights):
        """Return weighted sums of the covariances of the terms of some stars."""
        p = len(self.terms)
        total = np.zeros((weights.shape[1], p, p))
        loose = np.isin(rows, self.loose)
        for part in _parts(np.flatnonzero(loose)):
            at_nodes = self._terms_at_nodes(self.terms, rows[part])
            away = at_nodes - at_nodes.mean(axis=1, keepdims=True)
            for own, weight in zip(total, weights[part].T, strict=True):
                root = np.sqrt(weight / away.shape[1])
                scaled = (away * root[:, None, None]).reshape(-1, p)
                own += scaled.T @ scaled
        return total

    def _infer_loose_labels(self):
        """Let spectra tell of labels that are missing or have errors."""
        self._decode()
        if self.settings.residual_components != 0:
            self._add_residual_components()
            models = [(self.components, self.coef)] * N_FOLDS
            self._set_misfit(models, self._best_known(_MISFIT_STARS))
        inference = self._inference(
            self.coef, self.inference.start, self._training_bounds()
        )
        known = self.precision * np.nan_to_num(self.v)
        prior = self.frame.prior_precision
        loose = np.zeros(self.data.n_rows, bool)
        loose[self.loose] = True
        for rows, block, missing, variance in self.data.blocks():
            own = np.flatnonzero(loose[rows])
            if not len(own):
                continue
            stars = rows.start + own
            evidence = self.components.evidence(
                block[own], missing[own], None if variance is None else variance[own]
            )
            v, information, _ = inference.solve(
                evidence,
                prior + _diagonal(self.precision[stars]),
                prior @ self.frame.centre + known[stars],
                self.expected[stars],
            )
            self.expected[stars] = v
            self.covariance[stars] = covariances(information)
        self.spread_known, self._phi = True, None

    # -- components

    def _decode(self):
        """Find the components in which predicted spectra lie."""
        settings = self.settings
        gram = self.moments.gram.sum(axis=0) / self.data.n_rows
        scaled = self.responses.coef / np.sqrt(self.noise.typical)
        root = np.linalg.cholesky(gram + 1e-9 * np.trace(gram) * np.eye(len(gram)))
        weighted = root.T @ scaled
        signal, axes = np.linalg.eigh(weighted @ weighted.T)
        signal, axes = signal[::-1], axes[:, ::-1]
        most = min(len(gram), len(self.mean))
        if settings.n_components == "auto":
            number = int((signal > _LEAST_SIGNAL).sum())
            number = min(max(number, self.v.shape[1]), _MOST_COMPONENTS, most)
        else:
            number = most if settings.n_components is None else settings.n_components
            number = min(number, most)
        kept = signal[:number] > 1e-9 * max(signal[0], 1e-300)
        kept[0] = True
        number = int(kept.sum())
        scale = np.maximum(np.sqrt(np.maximum(signal[:number], 0)), 1e-150)
        self._map = root @ axes[:, :number] / scale
        self._common = np.zeros((len(self.mean), 0))
        self._set_components(self._spectra_of(self.responses.coef), signal[:number])

    def _spectra_of(self, responses):
        """Return orthonormal spectra, those of other responses in the same order."""
        spectra = (responses / np.sqrt(self.noise.typical)).T @ self._map
        spectra = np.concatenate([spectra, self._common], axis=1)
        left, _, right = np.linalg.svd(spectra, full_matrices=False)
        return left @ right

    def _set_components(self, spectra, signal):
        self.components = Components(spectra, self.mean, self.noise, signal)
        self.coef = self._coef_of(self.responses.coef, spectra)
        phi = self._expected_terms()
        within = phi @ self.coef
        away = self.expected - self.frame.centre
        matrix = within.T @ within / len(phi) + np.eye(len(signal))
        start = np.linalg.solve(matrix, within.T @ away / len(phi))
        self.inference = self._inference(self.coef, start, self.bounds)

    def _coef_of(self, responses, spectra):
        return (responses / np.sqrt(self.noise.typical)) @ spectra

    def _inference(self, coef, start, bounds):
        return LabelInference(self.frame, self.terms, coef, bounds, start)

    def _training_bounds(self):
        """Return bounds that hold all labels that are known, and their errors."""
        margin = np.nanmax(self.v, axis=0) - np.nanmin(self.v, axis=0)
        return np.array(
            [
                np.minimum(self.bounds[0], np.nanmin(self.v, axis=0) - margin / 4),
                np.maximum(self.bounds[1], np.nanmax(self.v, axis=0) + margin / 4),
            ]
        )

    def _add_residual_components(self):
        """Add what residuals of different pixels have in common."""
        settings, n, m = self.settings, self.data.n_rows, len(self.mean)
        stars = np.zeros(n, bool)
        stars[self._best_known(_RESIDUAL_STARS)] = True
        phi = self._expected_terms()
        unit = np.sqrt(self.noise.typical)
        left = np.empty((stars.sum(), m), np.float32)
        place = 0
        for rows, block, missing, variance in self.data.blocks():
            own = np.flatnonzero(stars[rows])
            residual = block[own] - self.mean - phi[rows][own] @ self.responses.coef
            residual /= unit
            if variance is not None:
                residual *= np.sqrt(
                    self.noise.typical / (variance[own] + self.noise.scatter)
                )
            residual[missing[own]] = 0
            left[place : place + len(own)] = residual
            place += len(own)
        spectra = self.components.spectra
        left -= ((left @ spectra) @ spectra.T).astype(np.float32)
        most = min(_MOST_RESIDUAL, m - spectra.shape[1], len(left) - 1)
        wanted = settings.residual_components
        number = most if wanted == "auto" else min(wanted, m - spectra.shape[1])
        if number < 1:
            return
        _, size, axes = randomized_svd(
            left, number, power_iteration_normalizer="QR", random_state=0
        )
        variance = size**2 / len(left)
        if wanted == "auto":
            kept = variance > 1.1 * (1 + np.sqrt(m / len(left))) ** 2
            axes, variance = axes[kept], variance[kept]
        if not len(axes):
            return
        self._common = axes.T.astype(float)
        spectra = self._spectra_of(self.responses.coef)
        signal = np.concatenate([self.components.signal, np.maximum(variance - 1, 0.1)])
        self._set_components(spectra, signal)

    # -- what else is known

    def prior(self):
        """Return the precision of the prior of scaled labels, and its mean times it."""
        d = self.v.shape[1]
        if self.settings.prior is None:
            return np.zeros((1, d, d)), np.zeros((1, d))
        precision = self.frame.prior_precision
        return precision[None], (precision @ self.frame.centre)[None]


def _diagonal(rows):
    """Return diagonal matrices."""
    return rows[:, :, None] * np.eye(rows.shape[1])


def _parts(rows, size=256):
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
