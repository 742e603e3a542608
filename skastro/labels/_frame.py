"""Labels as the model sees them: scaled, uncorrelated, with their population."""

import numpy as np

#: Inverse variance of a label without an error, in units of the population's scatter.
EXACT = 1e8
#: What is added to variances of scaled labels, so that no two are the same.
_JITTER = 1e-6
#: Share by which what differs by rounding may differ.
_ROUNDING = 1e-6
#: Scatter of labels whose square, and its inverse, are numbers.
_SMALLEST, _LARGEST = 1e-140, 1e140
_EM_PASSES = 50


class LabelFrame:
    r"""Coordinates of labels, and the Gaussian of their population.

    Scaled labels are :math:`v = (y - m) / s`. Polynomials are of
    :math:`u = A v`, where :math:`u_k` is what label k has beyond the labels that come
    before it, of unit variance. First comes the label that tells most of the others,
    as the metallicity does of abundances, so that the response of a pixel to
    :math:`u_k` is that to the lines of element k alone. Of two that tell as much of
    each other, it is the one that is spread more evenly. Labels that act in windows
    come last, and not before each other: no other coordinate depends on them.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_labels)
        Labels, NaN where missing.
    sigma : ndarray of shape (n_samples, n_labels) or None
        Their errors.
    windowed : ndarray of bool, of shape (n_labels,)
        Labels that act in windows only.
    names : sequence of str
        For messages.
    """

    def __init__(self, y, sigma, windowed, names):
        self.mean, self.scale = _mean_and_scatter(y, names)
        self.names = list(names)
        v, precision = self.scaled(y), self.precision_of(y, sigma)
        untold = precision.sum(axis=0) < 1
        if untold.any():
            k = int(np.argmax(untold))
            raise ValueError(
                f"`label_sigma` of {names[k]!r} is so large beside the scatter of the"
                f" label, {self.scale[k]:.3g}, that all stars together tell nothing of"
                " it; check its unit, or leave the label out."
            )
        self._fit_population(v, precision)
        self._orthogonalise(windowed, np.nanmean(v**4, axis=0))

    def scaled(self, y):
        """Return scaled labels, NaN where missing."""
        return (y - self.mean) / self.scale

    def labels(self, v):
        """Return labels of scaled ones."""
        return v * self.scale + self.mean

    def precision_of(self, y, sigma):
        """Return inverse variances of scaled labels, 0 where missing."""
        precision = np.full(y.shape, EXACT)
        if sigma is not None:
            least = self.scale / np.sqrt(EXACT)
            sharp = (self.scale / np.maximum(sigma, least)) ** 2
            precision = np.where(sigma > least, sharp, EXACT)
        precision[np.isnan(y)] = 0
        return precision

    def _fit_population(self, v, precision):
        """Fit mean and covariance of scaled labels, without their errors, by EM."""
        n, d = v.shape
        centre, covariance = np.zeros(d), np.eye(d)
        passes = 1 if (precision == EXACT).all() else _EM_PASSES
        for _ in range(passes):
            self.centre, self.covariance = centre, covariance
            mean, spread = self.given(v, precision)
            centre = mean.mean(axis=0)
            away = mean - centre
            covariance = (away.T @ away + spread.sum(axis=0)) / n
            covariance[np.diag_indices(d)] += _JITTER
            change = np.abs(covariance - self.covariance).max()
            if change < 1e-5:
                break
        self.centre, self.covariance = centre, covariance
        self.prior_precision = np.linalg.inv(covariance)

    def given(self, v, precision):
        """Return means and covariances of scaled labels, given what is known of them.

        Parameters
        ----------
        v, precision : ndarray of shape (n_samples, n_labels)
            Scaled labels and their inverse variances.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_labels)
        covariance : ndarray of shape (n_samples, n_labels, n_labels)
        """
        d = v.shape[1]
        total = np.broadcast_to(np.linalg.inv(self.covariance), (len(v), d, d)).copy()
        linear = total[0] @ self.centre + precision * np.nan_to_num(v)
        total[:, np.arange(d), np.arange(d)] += precision
        covariance = np.linalg.inv(total)
        return np.einsum("nij,nj->ni", covariance, linear), covariance

    def _orthogonalise(self, windowed, unevenness):
        C = self.covariance
        d = len(C)
        A = np.zeros((d, d))
        first = [k for k in range(d) if not windowed[k]]
        left, order, residual = list(first), [], C.copy()
        while left:
            gain = [
                (residual[left, j] ** 2).sum() / max(residual[j, j], _JITTER)
                for j in left
            ]
            most = np.array(left)[np.array(gain) >= max(gain) * (1 - _ROUNDING)]
            even = unevenness[most] <= unevenness[most].min() * (1 + _ROUNDING)
            j = int(most[even][0])
            left.remove(j)
            self._beyond(A, j, order)
            order.append(j)
            variance = max(residual[j, j], _JITTER)
            residual = residual - np.outer(residual[:, j], residual[j]) / variance
        for j in np.flatnonzero(windowed):
            self._beyond(A, j, order)
        self.matrix = A

    def _beyond(self, A, j, before):
        """Write row j: the label less what those before it tell of it."""
        C = self.covariance
        slope = np.linalg.solve(C[np.ix_(before, before)], C[before, j])
        variance = max(C[j, j] - slope @ C[before, j], _JITTER)
        A[j, j] = 1
        A[j, before] = -slope
        A[j] /= np.sqrt(variance)

    def coordinates(self, v):
        """Return u of scaled labels."""
        return (v - self.centre) @ self.matrix.T


def _mean_and_scatter(y, names):
    """Return mean and standard deviation of each label, where it is known."""
    known = ~np.isnan(y)
    count = np.maximum(known.sum(axis=0), 1)
    size = np.nanmax(np.abs(y), axis=0)
    size = np.where(size > 0, size, 1)  # so that no square overflows, or vanishes
    mean = np.where(known, y / size, 0).sum(axis=0) / count * size
    away = np.where(known, y - mean, 0)
    reach = np.maximum(np.abs(away).max(axis=0), np.finfo(float).tiny)
    scatter = np.sqrt(((away / reach) ** 2).sum(axis=0) / count) * reach
    constant = ~(scatter > 1e-12 * np.abs(mean))
    if constant.any():
        raise ValueError(
            f"The label {names[int(np.argmax(constant))]!r} is the same in all"
            " training stars, or known of fewer than 2; leave it out."
        )
    unsafe = ~((scatter > _SMALLEST) & (scatter < _LARGEST))
    if unsafe.any():
        k = int(np.argmax(unsafe))
        raise ValueError(
            f"The label {names[k]!r} scatters by {scatter[k]:.1e}, which cannot be"
            " squared in float64; give it in another unit."
        )
    return mean, scatter
