"""Sums over the training stars, read in blocks: all that a fit needs of them."""

from dataclasses import dataclass

import numpy as np

#: Parts of the training stars, each of which the rest can be tested on.
N_FOLDS = 4
#: Weight of an entry beside the typical one of its star and its pixel, at most.
_HEAVIEST = 4.0
#: Share of a pixel's variance that a fit with errors begins with.
_FIRST_SCATTER = 1e-10
#: Mean weight of a pixel's entries, over the largest, below which it is rare.
_RARE = 0.2


@dataclass
class Noise:
    """Variances of pixels.

    Parameters
    ----------
    scatter : ndarray of shape (n_pixels,)
        Intrinsic variance, beside the errors of a spectrum; all of it without these.
    typical : ndarray of shape (n_pixels,)
        Typical variance of an entry, errors included.
    rounding : ndarray of shape (n_pixels,) or float, default=0.0
        Least variance of the scatter beside errors.
    """

    scatter: np.ndarray
    typical: np.ndarray
    rounding: np.ndarray | float = 0.0


@dataclass
class Moments:
    """Sums over stars, fold by fold.

    Parameters
    ----------
    gram : ndarray of shape (N_FOLDS, n_terms, n_terms)
        Of products of terms, weighted by stars.
    linear : ndarray of shape (N_FOLDS, n_terms, n_pixels)
        Of terms and spectra, as they would be if every entry had the typical weight
        of its pixel.
    step : ndarray of shape (n_pixels,)
        That weight: such that a step to the responses that the sums tell is safe.
    weight : ndarray of shape (n_pixels,)
        Weight of the information about a pixel: its noise has the variance
        ``noise.typical / weight``. The same, but for rare pixels.
    responses : ndarray of shape (n_terms, n_pixels)
        Those at hand.
    square : ndarray of shape (n_pixels,)
        Weighted sum of squares of what they leave.
    count : ndarray of shape (n_pixels,)
        Sum of weights of the entries of a pixel.
    entries : ndarray of shape (n_pixels,)
        Their number.
    pace : ndarray of shape (n_pixels,)
        Which part of the way to the end a pass takes.
    scoring : tuple of ndarray of shape (n_pixels,), or None
        With errors: squared weighted residuals, inverse variances, and their squares.
    n_stars : float
        How many stars of full worth say as much.
    """

    gram: np.ndarray
    linear: np.ndarray
    step: np.ndarray
    weight: np.ndarray
    responses: np.ndarray
    square: np.ndarray
    count: np.ndarray
    entries: np.ndarray
    pace: np.ndarray
    scoring: tuple | None
    n_stars: float

    @property
    def rare(self):
        """Whether few stars have a pixel."""
        return self.pace < _RARE

    def ahead(self, responses, before):
        """Return responses further on in the direction of the last step.

        Of rare pixels, which a pass takes a small part of the way: the momentum of
        Nesterov's method for the least curvature that there may be.
        """
        root = np.sqrt(np.where(self.rare, self.pace, 1))
        return responses + (1 - root) / (1 + root) * (responses - before)

    def square_of(self, responses):
        """Return the weighted sum of squares of what other responses leave."""
        gram = self.gram.sum(axis=0)
        left = self.linear.sum(axis=0) - gram @ self.responses
        way = responses - self.responses
        gain = 2 * self.step * np.einsum("tj,tj->j", way, left)
        gain -= self.weight * np.einsum("tj,tj->j", way, gram @ way)
        return np.maximum(self.square - gain, 0)


def accumulate(data, mean, phi, spread, responses, noise, worth=None):
    """Pass over the training stars.

    Parameters
    ----------
    data : Rows
        Spectra.
    mean : ndarray of shape (n_pixels,)
        What is subtracted from them.
    phi : ndarray of shape (n_samples, n_terms)
        Expected terms of their labels.
    spread : Spread or None
        Covariances of the terms of stars whose labels are not exact.
    responses : ndarray of shape (n_terms, n_pixels)
        At hand; linear sums are exact where nothing is missing, and otherwise as good
        as these are.
    noise : Noise or None
        At hand; None for a first pass without errors.
    worth : ndarray of shape (n_samples,) or None
        Weight of each star; all are equal by default.

    Returns
    -------
    moments : Moments
    """
    p, m = phi.shape[1], len(mean)
    gram = np.zeros((N_FOLDS, p, p))
    loose = [0] * N_FOLDS
    linear = np.zeros((N_FOLDS, p, m))
    square, count, entries, heaviest = np.zeros((4, m))
    scoring = None if data.sigma is None else tuple(np.zeros((3, m)))
    total, n_stars = 0.0, 0.0
    for rows, block, missing, variance in data.blocks():
        terms = phi[rows]
        left = block - mean.astype(block.dtype)
        np.copyto(left, 0, where=missing)
        left -= terms.astype(block.dtype) @ responses.astype(block.dtype)
        star = np.ones(len(block)) if worth is None else worth[rows].astype(float)
        n_stars += star.sum()
        entries += np.count_nonzero(~missing, axis=0)
        if variance is None:
            weight = (~missing).astype(block.dtype)
        else:
            brightness, weight, inverse = _weights(missing, variance, noise)
            star = star * brightness
            scored = inverse * left
            scoring[0][:] += np.einsum("ij,ij->j", scored, scored, dtype=np.float64)
            scoring[1][:] += inverse.sum(axis=0, dtype=np.float64)
            np.square(inverse, out=inverse)
            scoring[2][:] += inverse.sum(axis=0, dtype=np.float64)
        heavy = star[:, None].astype(block.dtype) * weight
        count += heavy.sum(axis=0, dtype=np.float64)
        np.maximum(heaviest, weight.max(axis=0), out=heaviest)
        heavy *= left
        square += np.einsum("ij,ij->j", heavy, left, dtype=np.float64)
        total += star.sum()
        place = np.arange(rows.start, rows.stop) % N_FOLDS
        for fold in range(N_FOLDS):
            own = place == fold
            gram[fold] += (terms[own] * star[own, None]).T @ terms[own]
            linear[fold] += terms[own].T.astype(block.dtype) @ heavy[own]
            if spread is not None:
                of_stars = spread.weights(star[own], weight[own])
                where = np.arange(rows.start, rows.stop)[own]
                loose[fold] = loose[fold] + spread.sums(where, of_stars)
    mean_weight = count / max(total, 1e-300)
    rare = mean_weight < _RARE * heaviest
    step = np.where(rare, heaviest, np.maximum(mean_weight, heaviest / 2))
    step[count == 0] = 1
    pace = np.where(count > 0, mean_weight / step, 1)
    weight = np.where(rare, mean_weight, step)
    for fold in range(N_FOLDS):
        if spread is not None:
            gram[fold] += loose[fold][0]
            linear[fold] -= spread.through(loose[fold], responses, mean_weight)
        linear[fold] /= step
        linear[fold] += gram[fold] @ responses
    if spread is not None:
        of_labels = spread.through(sum(loose), responses, mean_weight)
        of_labels = np.einsum("tj,tj->j", responses, of_labels)
        square += of_labels
        if scoring is not None:
            scoring[0][:] += of_labels * scoring[2] / np.maximum(count, 1e-300)
    return Moments(
        gram,
        linear,
        step,
        weight,
        responses,
        square,
        count,
        entries,
        pace,
        scoring,
        n_stars,
    )


def _weights(missing, variance, noise):
    """Return weights of stars, of entries beside these, and inverse variances."""
    inverse = 1 / (variance + noise.scatter.astype(variance.dtype))
    np.copyto(inverse, 0, where=missing)
    weight = inverse * noise.typical.astype(variance.dtype)
    seen = np.maximum(np.count_nonzero(~missing, axis=1), 1)
    star = weight.sum(axis=1, dtype=np.float64) / seen
    star = np.where(star > 0, star, 1)
    weight /= star[:, None].astype(variance.dtype)
    return star, np.minimum(weight, _HEAVIEST, out=weight), inverse


def first_noise(data, mean):
    """Return the noise that a fit with errors begins with.

    Nearly all of it is errors; but these may be smaller than the rounding of spectra,
    or by far too small to begin with.
    """
    count, inverse, square, size = np.zeros((4, len(mean)))
    for _, block, missing, _ in data.blocks():
        left = np.where(missing, 0, block - mean)
        count += np.count_nonzero(~missing, axis=0)
        square += np.einsum("ij,ij->j", left, left)
        np.maximum(size, np.abs(np.where(missing, 0, block)).max(axis=0), out=size)
    rounding = (np.finfo(block.dtype).eps * np.maximum(size, 1e-3 * size.max())) ** 2
    scatter = np.maximum(_FIRST_SCATTER * square / count, rounding)
    for _, _, missing, variance in data.blocks():
        inverse += np.where(missing, 0, 1 / (variance + scatter)).sum(axis=0)
    return Noise(scatter, count / inverse, rounding)


def new_noise(moments, noise, responses, used, floor):
    """Return the variances that the residuals tell.

    Parameters
    ----------
    moments : Moments
    noise : Noise or None
        At hand.
    responses : ndarray of shape (n_terms, n_pixels)
        What residuals are of.
    used : ndarray of shape (n_pixels,)
        Their degrees of freedom.
    floor : ndarray of shape (n_pixels,)
        Least variance of a pixel.

    Returns
    -------
    noise : Noise
    """
    left = np.maximum(moments.count - used, 0.1 * moments.count)
    if moments.scoring is None:
        square = moments.square_of(responses)
        typical = np.maximum(square / np.maximum(left, 1e-300), floor)
        return Noise(typical, typical)
    squares, inverse, information = moments.scoring
    step = squares * moments.count / left - inverse
    scatter = noise.scatter + step / np.maximum(information, 1e-300)
    scatter = np.maximum(scatter, noise.rounding)
    # one over the mean inverse variance: to first order in the change of the scatter,
    # and exact where all entries of a pixel have the same error
    inverse = np.maximum(inverse, 1e-300)
    growth = 1 + (scatter - noise.scatter) * information / inverse
    typical = moments.entries / inverse * np.maximum(growth, 0.5)
    return Noise(scatter, np.maximum(typical, floor), noise.rounding)
