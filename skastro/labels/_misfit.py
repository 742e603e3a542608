r"""The covariance of what labels do not tell of the components of spectra.

Components :math:`f` of a star are measured with the information A of its pixels, and
differ from those that its labels predict by a misfit :math:`e \sim N(0, M)`, and by
errors of the labels. M is that of highest likelihood, each star counting as far as it
was observed.
"""

import numpy as np

_MOST_STEPS, _SETTLED = 30, 1e-2


class Residuals:
    """What stars say of the misfit: informations about it, and these times it.

    Parameters
    ----------
    k : int
        Number of components.
    """

    def __init__(self, k):
        self.k = k
        self.informations, self.linear = [], []

    def add(self, information, linear, expected, slopes, covariance):
        """Add some stars.

        Parameters
        ----------
        information : ndarray of shape (n or 1, k, k)
            Of pixels about components.
        linear : ndarray of shape (n, k)
            That information times the components observed.
        expected : ndarray of shape (n, k)
            Components of the expected labels.
        slopes : ndarray of shape (n, n_labels, k)
            Their derivatives.
        covariance : ndarray of shape (n, n_labels, n_labels) or None
            Of labels that are not exact.
        """
        left = linear - (expected[:, None] @ information)[:, 0]
        if covariance is not None:
            root = np.linalg.cholesky(covariance)
            across = root.transpose(0, 2, 1) @ slopes  # (n, n_labels, k)
            along = information @ across.transpose(0, 2, 1)
            gain = along @ np.linalg.inv(np.eye(root.shape[1]) + across @ along)
            left = left - (gain @ (across @ left[..., None]))[..., 0]
            information = information - gain @ along.transpose(0, 2, 1)
        self.informations.append(information)
        self.linear.append(left)

    @property
    def n_stars(self):
        """Their number."""
        return sum(len(left) for left in self.linear)


def fit_misfit(residuals):
    """Return the covariance of highest likelihood, without what noise would give.

    Parameters
    ----------
    residuals : Residuals

    Returns
    -------
    covariance : ndarray of shape (k, k)
    """
    k, n = residuals.k, residuals.n_stars
    if not n:
        return np.zeros((k, k))
    M = np.eye(k)
    for _ in range(_MOST_STEPS):
        inverse = np.linalg.inv(M)
        total = np.zeros((k, k))
        for information, left in zip(
            residuals.informations, residuals.linear, strict=True
        ):
            spread = np.linalg.inv(inverse + information)
            mean = (left[:, None] @ spread)[:, 0]
            total += mean.T @ mean + spread.sum(axis=0) * (len(left) / len(spread))
        new = total / n + 1e-9 * np.trace(total) / (n * k) * np.eye(k)
        settled = np.abs(new - M).max() < _SETTLED * max(np.abs(M).max(), 1)
        M = new
        if settled:
            break
    variance, axes = np.linalg.eigh(M)
    variance = np.where(variance > _of_noise(residuals, axes), variance, 0)
    return (axes * variance) @ axes.T


def _of_noise(residuals, axes):
    """Return the largest variances that would be found along axes if there were none.

    Of n stars with unit information these are the largest eigenvalue of a covariance
    of noise (Marchenko & Pastur 1967), less 1.
    """
    k, n = residuals.k, residuals.n_stars
    first, second = np.zeros((2, k))
    for information, left in zip(residuals.informations, residuals.linear, strict=True):
        along = np.einsum("ki,nkl,li->ni", axes, information, axes, optimize=True)
        share = len(left) / len(along)
        first += share * along.sum(axis=0)
        second += share * (along**2).sum(axis=0)
    second = np.maximum(second, 1e-300)
    return 2 * np.sqrt(k / second) + k * first / (n * second)
