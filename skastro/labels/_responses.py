r"""Responses of pixels to labels, shrunk by priors that all pixels tell together.

The responses of a pixel to the terms of a block are drawn from
:math:`\sum_l \pi_l N(0, s_l \Omega)` in units of the pixel's noise: there are pixels
without lines, and the others are alike. Covariances :math:`\Omega` and shares
:math:`\pi` are those of highest likelihood of all pixels. Blocks are independent, and
their responses the posterior means, each given those of the other blocks.
"""

import numpy as np

#: Scales of the prior; with 0, a pixel does not respond at all.
SCALES = np.array([0, 1e-3, 1e-2, 0.1, 1, 10, 100])
#: Sweeps over the blocks in a fit.
_SWEEPS = 3
#: A hundredth of a pixel, in each of the shares.
_TINY = 1e-12


class Prior:
    """Of the responses of a pixel to the terms of a block, in units of its noise."""

    def __init__(self, n_terms):
        self.covariance = None
        self.share = np.full(len(SCALES), 1 / len(SCALES))
        self._n_terms = n_terms

    def posterior(self, root, y, update):
        """Return posterior means, and degrees of freedom, of each pixel.

        Parameters
        ----------
        root : ndarray of shape (n_terms, n_terms)
            Upper triangle R of the information: y is R times responses, with noise of
            unit variance.
        y : ndarray of shape (n_terms, n_pixels)
        update : bool
            Whether to take a step of EM for the prior.
        """
        if self.covariance is None:
            found = np.linalg.solve(root, y)
            self.covariance = found @ found.T / y.shape[1]
        variance, axes = np.linalg.eigh(root @ self.covariance @ root.T)
        variance = np.maximum(variance, _TINY)
        along = axes.T @ y
        total = 1 + SCALES[:, None] * variance
        share = 0.5 * (1 - 1 / total) @ along**2
        share += (np.log(self.share + 1e-300) - 0.5 * np.log(total).sum(axis=1))[
            :, None
        ]
        share -= share.max(axis=0)
        np.exp(share, out=share)
        share /= share.sum(axis=0)
        kept = 1 - 1 / total  # what the prior leaves of a response, by scale and axis
        if update:
            moment = np.zeros_like(axes)
            for part, scale, leaves in zip(share, SCALES, kept, strict=True):
                if scale == 0:
                    continue
                mean = leaves[:, None] * along
                moment += (mean * part) @ mean.T / scale
                moment[np.diag_indices_from(moment)] += leaves / scale * part.sum()
            number = max(share[SCALES > 0].sum(), _TINY)
            back = np.linalg.solve(root, axes)
            self.covariance = back @ (moment / number) @ back.T
            self.share = share.mean(axis=1)
        leaves = kept.T @ share
        return np.linalg.solve(root, axes @ (leaves * along)), leaves.sum(axis=0)


class Responses:
    """Responses of all pixels, and how they are fitted to sums over stars.

    Parameters
    ----------
    blocks : list of ndarray of int
        Of terms.
    allowed : ndarray of bool, of shape (n_terms, n_pixels)
        Which term may act on which pixel.
    shrinkage : bool
        Whether there are priors.
    """

    def __init__(self, blocks, allowed, shrinkage):
        self.blocks = blocks
        self.allowed = allowed
        self.shrinkage = shrinkage
        self.priors = [Prior(len(block)) for block in blocks]
        self.coef = self.path = np.zeros(allowed.shape)
        self.used = np.zeros(allowed.shape[1])

    def fit(self, gram, linear, variance, rare, update=True):
        """Fit to sums over stars.

        Sums are about responses at hand, `path`. Those of rare pixels go a part of the
        way at a time, and are not shrunk on it: else they would be taken for noise.

        Parameters
        ----------
        gram : ndarray of shape (n_terms, n_terms)
        linear : ndarray of shape (n_terms, n_pixels)
        variance : ndarray of shape (n_pixels,)
            Of the noise of an entry.
        rare : ndarray of bool, of shape (n_pixels,)
        update : bool, default=True
            Whether priors are fitted too.
        """
        if not self.shrinkage:
            self.coef, self.used = least_squares(gram, linear, self.allowed)
            self.path = self.coef
            return
        told_rarely = linear[:, rare]
        unit = np.sqrt(variance)
        coef, linear = self.coef / unit, linear / unit
        told = gram @ coef
        for _ in range(_SWEEPS):
            used = np.zeros(len(unit))
            for block, prior in zip(self.blocks, self.priors, strict=True):
                pixels = _where(self.allowed[block[0]])
                if not np.any(self.allowed[block[0]]):
                    continue
                own = gram[np.ix_(block, block)]
                root = _root(own)
                target = (linear[block] - told[block] + own @ coef[block])[:, pixels]
                y = np.linalg.solve(root.T, target)
                new, kept = prior.posterior(root, y, update)
                used[pixels] += kept
                change = np.zeros((len(block), len(unit)))
                change[:, pixels] = new - coef[block][:, pixels]
                told += gram[:, block] @ change
                coef[block] += change
        self.coef, self.used = coef * unit, used
        self.path = self.coef.copy()
        if rare.any():
            self.path[:, rare], _ = least_squares(
                gram, told_rarely, self.allowed[:, rare]
            )

    def copy(self):
        """Return the same responses, to be fitted to other sums."""
        other = Responses(self.blocks, self.allowed, self.shrinkage)
        other.priors, other.coef, other.path = self.priors, self.coef, self.path
        return other


def _where(mask):
    return slice(None) if mask.all() else np.flatnonzero(mask)


def _root(matrix):
    """Return the upper triangle R of ``R.T @ R``, with a little on the diagonal."""
    jitter = 1e-10 * np.trace(matrix) / len(matrix)
    return np.linalg.cholesky(matrix + jitter * np.eye(len(matrix))).T


def least_squares(gram, linear, allowed):
    """Return coefficients of least squares, and how many each pixel has."""
    if allowed.all():
        root = _root(gram)
        coef = np.linalg.solve(root, np.linalg.solve(root.T, linear))
        return coef, np.full(linear.shape[1], float(len(gram)))
    coef = np.zeros(linear.shape)
    patterns, which = np.unique(allowed, axis=1, return_inverse=True)
    for k, pattern in enumerate(patterns.T):
        pixels, terms = np.flatnonzero(which.ravel() == k), np.flatnonzero(pattern)
        root = _root(gram[np.ix_(terms, terms)])
        part = np.linalg.solve(root.T, linear[np.ix_(terms, pixels)])
        coef[np.ix_(terms, pixels)] = np.linalg.solve(root, part)
    return coef, allowed.sum(axis=0).astype(float)
