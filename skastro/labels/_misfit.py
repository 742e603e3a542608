r"""The covariance of what labels do not tell of the components of spectra.

Components :math:`f` of a star are measured with the information A of its pixels, and
differ from those that its labels predict by a misfit :math:`e \sim N(0, M)`, and by
errors of the labels. M is that of highest likelihood, each star counting as far as it
was observed.
"""

import numpy as np

#: Steps, and halvings of one; gain of the log-likelihood at which they end.
_MOST_STEPS, _MOST_HALVINGS, _SETTLED = 20, 6, 0.1


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

    By steps of Fisher scoring, each entry with its own information in axes in which
    those of the stars are about diagonal.

    Parameters
    ----------
    residuals : Residuals

    Returns
    -------
    covariance : ndarray of shape (k, k)
    """
    k = residuals.k
    M = np.zeros((k, k))
    if not residuals.n_stars:
        return M
    value, score, information, axes = _likelihood(residuals, M)
    for _ in range(_MOST_STEPS):
        step = axes @ (axes.T @ score @ axes / information) @ axes.T
        for _ in range(_MOST_HALVINGS):
            new = _positive(M + step)
            found = _likelihood(residuals, new)
            if found[0] >= value:
                break
            step /= 2
        else:
            break
        gain, M = found[0] - value, new
        value, score, information, axes = found
        if gain < _SETTLED:
            break
    variance, axes = np.linalg.eigh(M)
    variance = np.where(variance > _of_noise(residuals, axes), variance, 0)
    return (axes * variance) @ axes.T


def _likelihood(residuals, M):
    """Return the log-likelihood, its slope, and the information about entries of M.

    The latter in axes that are returned too.
    """
    k = residuals.k
    variance, axes = np.linalg.eigh(M)
    kept = variance > 0
    root = axes[:, kept] * np.sqrt(variance[kept])
    value, score, precisions = 0.0, np.zeros((k, k)), []
    for information, left in zip(residuals.informations, residuals.linear, strict=True):
        along = information @ root
        inner = np.eye(root.shape[1]) + root.T @ along
        gain = along @ np.linalg.inv(inner)
        precision = information - gain @ along.transpose(0, 2, 1)  # of residuals
        told = left @ root
        explained = (gain @ told[..., None])[..., 0]
        share = len(left) / len(information)
        value -= 0.5 * share * np.linalg.slogdet(inner)[1].sum()
        value += 0.5 * np.einsum("nr,nr->", told, _times(np.linalg.inv(inner), told))
        away = left - explained
        score += away.T @ away - share * precision.sum(axis=0)
        precisions.append((precision, share))
    total = sum(share * precision.sum(axis=0) for precision, share in precisions)
    axes = np.linalg.eigh(total)[1]
    own = np.zeros((k, k))
    for precision, share in precisions:
        diagonal = np.einsum("ki,nkl,li->ni", axes, precision, axes, optimize=True)
        own += share * diagonal.T @ diagonal
    return value, score, np.maximum(own, 1e-300), axes


def _times(matrices, rows):
    return (matrices @ rows[..., None])[..., 0]


def _positive(M):
    variance, axes = np.linalg.eigh((M + M.T) / 2)
    return (axes * np.maximum(variance, 0)) @ axes.T


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
