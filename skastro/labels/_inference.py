"""Labels of highest posterior density, by damped Gauss-Newton steps of many stars."""

import numpy as np

#: Least information about a label, in units of the population's scatter; and about
#: what labels do not say together, in units of that about each.
_LEAST, _LEAST_TOGETHER = 1e-8, 1e-10
_MAX_STEPS = 60
#: Steps end when they are shorter than this, in units of the error.
_SHORT = 1e-5


class LabelInference:
    """The way from components of spectra back to labels.

    Parameters
    ----------
    frame : LabelFrame
    terms : Terms
    coef : ndarray of shape (n_terms, n_components)
        Of the components that labels predict.
    bounds : ndarray of shape (2, n_labels)
        Least and largest scaled labels.
    start : ndarray of shape (n_components, n_labels)
        Scaled labels, about, of components.
    """

    def __init__(self, frame, terms, coef, bounds, start):
        self.frame = frame
        self.terms = terms
        self.coef = coef
        self.bounds = bounds
        self.start = start

    def predict(self, v):
        """Return components that scaled labels predict, and their derivatives.

        Returns
        -------
        components : ndarray of shape (n, n_components)
        slopes : ndarray of shape (n, n_labels, n_components)
        """
        u = self.frame.coordinates(v)
        components, slopes = self.terms.through(u, self.coef)
        return components, self.frame.matrix.T @ slopes

    def solve(self, evidence, precision, linear, start=None):
        """Return the labels that evidence and what else is known agree on.

        Parameters
        ----------
        evidence : Evidence
        precision : ndarray of shape (n or 1, n_labels, n_labels)
            Of what else is known of scaled labels: a Gaussian.
        linear : ndarray of shape (n or 1, n_labels)
            That precision times its mean.
        start : ndarray of shape (n, n_labels) or None
            Scaled labels to begin with.

        Returns
        -------
        v : ndarray of shape (n, n_labels)
            Scaled labels.
        information : ndarray of shape (n, n_labels, n_labels)
            Inverse of the covariance of their errors.
        chi2 : ndarray of shape (n,)
            Of the spectra.
        """
        n, d = len(evidence.constant), self.start.shape[1]
        precision = np.broadcast_to(precision + _LEAST * np.eye(d), (n, d, d))
        linear = np.broadcast_to(linear, (n, d))
        if start is None:
            start = evidence.mean @ self.start + self.frame.centre
        v = np.clip(start, *self.bounds)
        state = self._state(v, evidence, precision, linear)
        damping = np.zeros(n)
        going = np.arange(n)
        for _ in range(_MAX_STEPS):
            value, gradient, information, _ = (part[going] for part in state)
            here = v[going]
            step = self._step(here, gradient, information, damping[going])
            there = np.clip(here + step, *self.bounds)
            some = evidence.take(going)
            new = self._state(there, some, precision[going], linear[going])
            better = new[0] <= value + 1e-9 * np.abs(value)
            took = going[better]
            v[took] = there[better]
            for part, fresh in zip(state, new, strict=True):
                part[took] = fresh[better]
            damping[going] = np.where(
                better,
                np.where(damping[going] > 1e-3, damping[going] / 10, 0),
                np.maximum(damping[going] * 10, 1e-2),
            )
            error = np.sqrt(np.einsum("nii->ni", information))
            length = (np.abs(there - here) * error).max(axis=1)
            going = going[~(better & (length < _SHORT)) & (damping[going] < 1e8)]
            if not len(going):
                break
        return v, state[2], state[3]

    def _state(self, v, evidence, precision, linear):
        """Return minus twice the log-posterior, its slope and curvature, and chi2."""
        f, J = self.predict(v)
        Lf = _apply(evidence.precision, f)
        chi2 = evidence.constant + np.einsum("nk,nk->n", f, Lf - 2 * evidence.linear)
        gradient = np.einsum("ndk,nk->nd", J, evidence.linear - Lf)
        information = _times(J, evidence.precision) @ J.transpose(0, 2, 1) + precision
        Pv = np.einsum("nij,nj->ni", precision, v)
        value = chi2 + np.einsum("ni,ni->n", v, Pv - 2 * linear)
        return value, gradient + linear - Pv, information, chi2

    def _step(self, v, gradient, information, damping):
        """Return a step of Gauss-Newton; labels that would leave the bounds stay."""
        low, high = self.bounds
        stay = ((v <= low) & (gradient < 0)) | ((v >= high) & (gradient > 0))
        matrix = information * ~(stay[:, :, None] | stay[:, None, :])
        diagonal = np.einsum("nii->ni", information)
        more = np.where(stay, 1, damping[:, None] + _LEAST_TOGETHER)
        np.einsum("nii->ni", matrix)[:] += more * diagonal
        return _solve_each(matrix, np.where(stay, 0, gradient))


def _times(J, matrices):
    if len(matrices) == 1:
        return (J.reshape(-1, J.shape[2]) @ matrices[0]).reshape(J.shape)
    return J @ matrices


def _apply(matrices, rows):
    if len(matrices) == 1:
        return rows @ matrices[0]
    return np.einsum("nij,nj->ni", matrices, rows)


def _solve_each(matrices, rows):
    return np.linalg.solve(matrices, rows[..., None])[..., 0]


def covariances(information):
    """Return inverses of informations; of labels that none tells apart, large ones."""
    diagonal = np.einsum("nii->ni", information)
    scale = 1 / np.sqrt(diagonal[:, :, None] * diagonal[:, None, :])
    matrix = information * scale
    np.einsum("nii->ni", matrix)[:] += _LEAST_TOGETHER
    return np.linalg.inv(matrix) * scale


def shares(information, precision):
    """Return the parts that a spectrum and what else is known have in covariances.

    Labels of highest density are a weighted mean of what both say, and their error is
    the sum of the errors of both, so weighted.

    Parameters
    ----------
    information : ndarray of shape (n, n_labels, n_labels)
        From `solve`.
    precision : ndarray of shape (n or 1, n_labels, n_labels)
        Of what else was known.

    Returns
    -------
    of_spectrum, of_rest : ndarray of shape (n, n_labels, n_labels)
        Their sum is the covariance.
    """
    covariance = covariances(information)
    of_rest = covariance @ precision @ covariance
    return covariance - of_rest, of_rest


def scaled_covariances(information, precision, scale):
    """Return covariances in which errors of spectra are multiplied, label by label.

    Parameters
    ----------
    information, precision : ndarray
        As for `shares`.
    scale : ndarray of shape (n_labels,)
    """
    of_spectrum, of_rest = shares(information, precision)
    return of_spectrum * np.outer(scale, scale) + of_rest
