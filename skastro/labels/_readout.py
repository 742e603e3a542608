"""The way from latent variables with errors to labels: linear, shrunk by evidence."""

from dataclasses import dataclass

import numpy as np

#: Probability of one standard deviation to either side.
WITHIN = 0.682689492137086
#: Passes at most of the population's EM, and of the evidence of a label.
_POPULATION_PASSES, _EVIDENCE_PASSES = 200, 100
#: Both end when nothing changes by more than this share.
_TOL = 1e-5
#: Stars of which the population's covariance is fitted where each has its own errors.
_MOST_STARS = 20_000
#: Least scatter of a label beside its latents, as a share of that of the label.
_LEAST_SCATTER = 1e-7


@dataclass(frozen=True)
class Population:
    """Coordinates in which true latent variables have unit covariance.

    Parameters
    ----------
    mean : ndarray of shape (n_values,)
    whitening : ndarray of shape (n_values, n_dimensions)
    """

    mean: np.ndarray
    whitening: np.ndarray

    @classmethod
    def fit(cls, vectors):
        """Fit the mean and the covariance of vectors beyond their errors, by EM."""
        Z, C = vectors.values, vectors.covariance
        scale = Z.std(axis=0)
        scale[~(scale > np.finfo(float).eps * np.abs(Z).max(axis=0))] = np.inf
        mean = Z.mean(axis=0)
        away = (Z - mean) / scale
        S = away.T @ away / len(Z)
        if C is not None:
            some = slice(None, None, -(-len(Z) // _MOST_STARS))
            shift, S = _beyond_errors(away[some], C[some] / np.outer(scale, scale), S)
            mean = mean + np.where(np.isfinite(scale), shift * scale, 0)
        variance, axes = np.linalg.eigh(S)
        keep = variance > len(S) * np.finfo(float).eps * variance[-1]
        unit = axes[:, keep] / np.sqrt(variance[keep])
        return cls(mean, unit / scale[:, None])

    def given(self, vectors):
        """Return what vectors tell of the true ones, in these coordinates.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_dimensions)
        covariance : ndarray of shape (n_samples, n_dimensions, n_dimensions) or None
            None of vectors without errors.
        """
        x = vectors.through(self.whitening, self.mean)
        if x.covariance is None:
            return x.values, None
        unit = np.eye(x.order)
        gain = np.linalg.inv(unit + x.covariance)
        return np.einsum("nij,nj->ni", gain, x.values), unit - gain


def _beyond_errors(Z, C, S):
    """Return mean and covariance of true vectors, that of all being S."""
    mean = np.zeros(len(S))
    for _ in range(_POPULATION_PASSES):
        gain = S @ np.linalg.inv(S + C)
        x = mean + np.einsum("nij,nj->ni", gain, Z - mean)
        before, mean = S, x.mean(axis=0)
        x -= mean
        S = x.T @ x / len(x) + before - gain.mean(axis=0) @ before
        S = (S + S.T) / 2
        if np.abs(S - before).max() < _TOL * np.abs(S).max():
            break
    return mean, S


@dataclass(frozen=True)
class Readout:
    """One label as a linear function of the population's coordinates.

    Parameters
    ----------
    offset : float
        The label at the origin.
    slopes : ndarray of shape (n_dimensions,)
    covariance : ndarray of shape (n_dimensions + 1, n_dimensions + 1)
        Of the errors of slopes, and of the offset, which is last.
    scatter : float
        Standard deviation of the label beside its latent variables.
    error_scale : float
        What the calibration multiplies errors by.
    """

    offset: float
    slopes: np.ndarray
    covariance: np.ndarray
    scatter: float
    error_scale: float

    @classmethod
    def fit(cls, x, P, y, variance, calibrate):
        """Fit the readout by the evidence of its shrinkage and scatter.

        Parameters
        ----------
        x : ndarray of shape (n_samples, n_dimensions)
            Posterior means of coordinates.
        P : ndarray of shape (n_samples, n_dimensions, n_dimensions) or None
            Their covariances.
        y, variance : ndarray of shape (n_samples,)
            The label, and the variance of its errors.
        calibrate : bool
            Whether errors are to hold 68 % of stars that are left out.

        Returns
        -------
        readout : Readout
        """
        k = x.shape[1]
        design = np.column_stack([x, np.ones(len(x))])
        total = y.var()
        least = max(_LEAST_SCATTER**2 * total, np.finfo(float).tiny)
        scatter, size = max(total / 2, least), max(total / max(k, 1), least)
        slopes = np.zeros(k)
        for _ in range(_EVIDENCE_PASSES):
            weight = 1 / (scatter + variance + _through(P, slopes))
            information = (design * weight[:, None]).T @ design
            information[np.arange(k), np.arange(k)] += 1 / size
            covariance = np.linalg.inv(information)
            coef = covariance @ (design.T @ (weight * y))
            slopes = coef[:k]
            residual = y - design @ coef
            spread = np.einsum("ni,ij,nj->n", design, covariance, design, optimize=True)
            before = np.array([scatter, size])
            # MacKay's fixed points of the evidence
            determined = k - np.trace(covariance[:k, :k]) / size
            size = max(slopes @ slopes / max(determined, 1e-3), least)
            rise = np.sum(weight**2 * (residual**2 + spread)) / np.sum(weight)
            scatter = max(scatter * rise, least)
            if np.abs(np.log([scatter, size] / before)).max() < _TOL:
                break
        readout = cls(coef[k], slopes, covariance, np.sqrt(scatter), 1.0)
        if calibrate:
            scale = readout._held_out_scale(x, P, y, variance)
            readout = cls(coef[k], slopes, covariance, np.sqrt(scatter), scale)
        return readout

    def _variance(self, P, spread):
        return self.scatter**2 + _through(P, self.slopes) + spread

    def _spread(self, x):
        design = np.column_stack([x, np.ones(len(x))])
        return np.einsum("ni,ij,nj->n", design, self.covariance, design, optimize=True)

    def _held_out_scale(self, x, P, y, variance):
        """Return the scale at which errors hold 68 % of stars that are left out."""
        spread = self._spread(x)
        own = self.scatter**2 + variance + _through(P, self.slopes)
        share = np.minimum(spread / own, 1 - 1e-6)  # that a star has in its prediction
        residual = (y - self.offset - x @ self.slopes) / (1 - share)
        error = self._variance(P, spread / (1 - share))
        needed = np.maximum(residual**2 - variance, 0) / error
        scale = np.sqrt(np.quantile(needed, WITHIN))
        return scale if scale > 0 else 1.0

    def predict(self, x, P):
        """Return the label and its error."""
        variance = self._variance(P, self._spread(x))
        return self.offset + x @ self.slopes, self.error_scale * np.sqrt(variance)


def _through(P, slopes):
    """Return variances of labels that errors of latent variables make."""
    if P is None:
        return 0.0
    return np.einsum("i,nij,j->n", slopes, P, slopes, optimize=True)
