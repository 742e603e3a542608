"""Spectra of which a part was observed, with errors: regressions and scores of them."""

import numpy as np

#: Rows, and bins, at once where entries have weights of their own.
ROWS, BINS = 64, 512
#: Directions of the labels that a bin's stars hardly spread in are not extrapolated.
RCOND = 1e-6


def regress(phi, S, sigma=None):
    """Regress each bin on polynomials of labels, of the stars that it was observed in.

    Parameters
    ----------
    phi : ndarray of shape (n_samples, n_polynomials)
    S : ndarray of shape (n_samples, n_bins)
        Spectra, NaN where missing.
    sigma : ndarray of shape (n_samples, n_bins), default=None
        Errors.

    Returns
    -------
    coef : ndarray of float64, of shape (n_polynomials, n_bins)
        Of least weighted squares, and of these the smallest where labels of the stars
        do not determine it. NaN of bins that fewer stars have than there are
        polynomials.
    """
    m = phi.shape[1]
    phi = phi.astype(np.float64)
    pairs = (phi[:, :, None] * phi[:, None, :]).reshape(len(phi), -1)
    coef = np.full((m, S.shape[1]), np.nan)
    for start in range(0, S.shape[1], BINS):
        bins = slice(start, start + BINS)
        seen = ~np.isnan(S[:, bins])
        weights = seen.astype(np.float64)
        if sigma is not None:
            weights /= np.square(sigma[:, bins], dtype=np.float64)
            weights /= np.maximum(weights.max(axis=0), np.finfo(float).tiny)
        known = seen.sum(axis=0) >= m
        values = np.where(seen, S[:, bins], 0).astype(np.float64)
        normal = (pairs.T @ weights).T.reshape(-1, m, m)[known]
        inverse = np.linalg.pinv(normal, rcond=RCOND, hermitian=True)
        right = (phi.T @ (weights * values)).T[known]
        coef[:, bins][:, known] = np.matmul(inverse, right[..., None])[..., 0].T
    return coef


def observed_scores(residuals, components, noise, prior, sigma=None):
    """Return scores of spectra from what was observed of each.

    Parameters
    ----------
    residuals : ndarray of shape (n_samples, n_bins)
        Spectra less their mean, NaN where missing.
    components : ndarray of shape (n_components, n_bins)
        Axes.
    noise : float
        Variance of the noise of a bin, beside `sigma`.
    prior : ndarray of shape (n_components,)
        Prior variances of the scores, wide, for rows that see too little.
    sigma : ndarray of shape (n_samples, n_bins), default=None
        Errors.

    Returns
    -------
    scores : ndarray of float64, of shape (n_samples, n_components)
    """
    axes = components.astype(np.float64)
    scores = np.empty((len(residuals), len(axes)))
    for start in range(0, len(residuals), ROWS):
        rows = slice(start, start + ROWS)
        residual = residuals[rows].astype(np.float64)
        seen = ~np.isnan(residual)
        variance = np.full(residual.shape, noise)
        if sigma is not None:
            variance += np.square(sigma[rows].astype(np.float64))
        weights = np.where(seen, 1 / variance, 0)
        linear = (weights * np.where(seen, residual, 0)) @ axes.T
        information = (axes * weights[:, None]) @ axes.T + np.diag(1 / prior)
        scores[rows] = np.linalg.solve(information, linear[..., None])[..., 0]
    return scores
