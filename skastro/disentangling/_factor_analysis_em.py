"""Expectation-maximisation of conditional factor analysis."""

import numpy as np
from sklearn.utils.extmath import randomized_svd

from ._factor_analysis_decoder import ROWS, Decoder, combine
from ._factor_analysis_frame import simplest_frame
from ._factor_analysis_labels import Likelihood, mixture

#: Smallest noise of a bin, in units of its variance.
FLOOR = 1e-7
#: Passes in which latents are made white by the sample, whatever its scatter.
FREE_PASSES = 3


class ConditionalEM:
    """One fit.

    Parameters
    ----------
    S : ndarray of shape (n_samples, n_bins)
        Spectra, NaN where missing.
    phi_mean, phi : ndarray
        Orthonormal polynomials of the labels: terms of the mean and of the loadings.
    sigma : ndarray of shape (n_samples, n_bins) or None
        Errors of the entries.
    n_components : int
        Number of latent variables.
    rng : RandomState
        For the start.
    labels : UncertainLabels, default=None
        Those that are not known exactly. At first, stars that have them all count
        alone, if these determine the coefficients. `place_nodes` lets the others in.
    terms : callable, default=None
        ``terms(U) -> phi_mean, phi``, for these.
    """

    def __init__(
        self, S, phi_mean, phi, sigma, n_components, rng, labels=None, terms=None
    ):
        self.S, self.sigma = S, sigma
        self.phi_mean, self.phi = phi_mean, phi
        self.labels, self.terms = labels, terms
        missing = np.isnan(S)
        self.missing = missing if missing.any() else None
        self.k = n_components
        # a row of the terms is of one star; or some are, and share its weight
        self.star, self.weight = slice(None), None
        if labels is not None:
            n_terms = phi_mean.shape[1] + n_components * phi.shape[1]
            if labels.certain.sum() >= n_terms:
                self.weight = labels.certain.astype(float)
        self._count()
        self.decoder = self._start(rng)
        self.rank = np.ones(S.shape[1])
        self.z = None

    def _count(self):
        """Count stars, in all and in each bin."""
        self.n = len(self.S)
        if self.weight is not None and isinstance(self.star, slice):
            self.n = self.weight.sum()
        self.n_observed = self.n
        if self.missing is not None:
            seen = ~self.missing
            if self.n < len(self.S):
                seen = seen[self.weight > 0]
            self.n_observed = seen.sum(axis=0)
        if self.weight is not None:
            self._gram = [
                phi.T @ self._weighted(phi) / self.n
                for phi in (self.phi_mean, self.phi)
            ]

    def _weighted(self, values):
        """Return values of rows, by their weights."""
        if self.weight is None:
            return values
        return values * self.weight.reshape(-1, *[1] * (values.ndim - 1))

    def _coefficients(self, phi, values):
        """Return the polynomials that fit values of the rows."""
        products = phi.T @ self._weighted(values) / self.n
        if self.weight is None:  # the polynomials are orthonormal
            return products
        gram = self._gram[0 if phi is self.phi_mean else 1]
        return np.linalg.solve(gram, products)

    def place_nodes(self, n_steps):
        """Let stars without all labels in: their labels are where spectra say."""
        dtype = self.S.dtype

        def spectra(stars):
            S, missing, variance = self._block(stars)
            return S, self.decoder.weights(S.shape, variance, missing).astype(dtype)

        likelihood = Likelihood(self.decoder, self.terms, spectra)
        self.star, U, self.weight = self.labels.nodes(likelihood, n_steps)
        self.phi_mean, self.phi = self.terms(U)
        self._count()

    def _of_stars(self, z, covariance):
        """Return means and covariances of stars, of those of their nodes."""
        if isinstance(self.star, slice):
            return z, covariance
        return mixture(z, covariance, self.star, self.weight, len(self.S))

    def _start(self, rng):
        """Begin with principal components of what the mean leaves."""
        n = self.n
        S = self.S
        if self.missing is not None:
            n_seen = (~self.missing).sum(axis=0)
            mean = np.nansum(S, axis=0) / np.maximum(n_seen, 1)
            S = np.where(self.missing, mean.astype(S.dtype), S)
        phi_mean = self.phi_mean.astype(S.dtype)
        if self.weight is None:
            mean = phi_mean.T @ S / n
        else:
            mean = self._coefficients(self.phi_mean, S).astype(S.dtype)
        residual = S - phi_mean @ mean
        if self.weight is not None:
            residual = self._weighted(residual).astype(S.dtype)
        _, size, axes = randomized_svd(
            residual,
            self.k,
            n_iter=4,
            power_iteration_normalizer="QR",
            random_state=rng,
        )
        loadings = np.zeros((self.phi.shape[1], self.k, S.shape[1]), dtype=S.dtype)
        loadings[0] = size[:, None] * axes / np.sqrt(n)
        variance = np.einsum("ij,ij->j", residual, residual).astype(np.float64) / n
        self.floor = FLOOR * variance + np.finfo(S.dtype).tiny
        self.floor += 1e-3 * FLOOR * variance.mean()
        noise = variance - (loadings[0].astype(np.float64) ** 2).sum(axis=0)
        noise = np.maximum(noise, 0.05 * variance + self.floor)
        if self.sigma is not None:
            self.typical = self._typical_variance()
            noise = np.maximum(noise - self.typical, 0.01 * noise)
        return Decoder(mean, loadings, noise.astype(S.dtype))

    def _typical_variance(self):
        square = np.square(self.sigma, dtype=np.float64)
        if self.missing is None:
            return square.mean(axis=0)
        square[self.missing] = 0
        return square.sum(axis=0) / np.maximum((~self.missing).sum(axis=0), 1)

    def _block(self, stars):
        """Return spectra with 0 for NaN, missing entries, and variances."""
        block, missing = self.S[stars], None
        if self.missing is not None:
            missing = self.missing[stars]
            block = np.where(missing, 0, block)
        variance = None
        if self.sigma is not None:
            variance = np.square(self.sigma[stars])
            if missing is not None:
                variance = np.where(missing, 1, variance)
        return block, missing, variance

    def _blocks(self):
        """Yield rows, spectra with 0 for NaN, terms, variances, missing entries."""
        dtype = self.S.dtype
        for start in range(0, len(self.phi), ROWS):
            rows = slice(start, start + ROWS)
            stars = rows if isinstance(self.star, slice) else self.star[rows]
            block, missing, variance = self._block(stars)
            yield (
                rows,
                block,
                self.phi_mean[rows].astype(dtype),
                self.phi[rows].astype(dtype),
                variance,
                missing,
            )

    def _counted(self, weights, rows):
        """Return weights of entries, by those of their rows."""
        if self.weight is None:
            return weights
        return weights * self.weight[rows, None].astype(self.S.dtype)

    def step(self, whiten_freely):
        """Take one pass of expectation and maximisation.

        Returns
        -------
        change : float
            Root mean square change of the latent variables since the last pass.
        """
        z, covariance = self._expect()
        z, covariance = self._align(z, covariance, whiten_freely)
        # what the start has not found yet is not to be taken for noise
        self._maximise(z, covariance, shrinking=not whiten_freely)
        z, covariance = self._of_stars(z, covariance)
        change = np.inf
        if self.z is not None:
            change = np.sqrt(np.mean((z - self.z) ** 2))
        self.z, self.covariance = z, covariance
        return change

    # -- expectation

    def _expect(self):
        """Return posterior means and covariances; update the noise of the bins."""
        n, k = len(self.phi), self.k
        dtype = self.S.dtype
        z, covariance = np.empty((n, k)), np.empty((n, k, k))
        squares = np.zeros(self.S.shape[1])
        known = np.zeros_like(squares)
        weight = np.zeros_like(squares)
        for rows, block, phi_mean, phi, variance, missing in self._blocks():
            residual = block - phi_mean @ self.decoder.mean
            if missing is not None:
                residual[missing] = 0
            information, linear = self.decoder.likelihood(
                residual, phi, variance, missing
            )
            z[rows], covariance[rows] = combine(information, linear)
            model = self.decoder.terms(
                phi_mean[:, :0], phi, z[rows].astype(dtype)
            ) @ self.decoder.loadings.reshape(-1, self.S.shape[1])
            residual -= model
            square = residual**2
            if variance is None:
                v = 1.0 if missing is None else (~missing).astype(dtype)
            else:
                # no single entry is to decide
                least = np.maximum(variance, 0.01 * np.median(variance))
                v = self.decoder.weights(square.shape, least, missing) ** 2
            if self.weight is not None:
                v = self._counted(np.broadcast_to(v, square.shape), rows)
            if variance is not None:
                known += (v * variance).sum(axis=0, dtype=np.float64)
            squares += (v * square).sum(axis=0, dtype=np.float64)
            weight += np.broadcast_to(v, square.shape).sum(axis=0, dtype=np.float64)
        self._update_noise(squares, known, weight, self._spread(covariance))
        return z, covariance

    def _spread(self, covariance):
        """Return the mean variance that uncertain latents give to each bin."""
        H = self._covariance_terms(covariance) / self.n
        flat = self.decoder.loadings.reshape(len(H), -1)
        return np.einsum("ip,ip->p", flat, H.astype(flat.dtype) @ flat)

    def _covariance_terms(self, covariance):
        """Return the sum over rows of products of terms with posterior covariances."""
        b, k = self.phi.shape[1], self.k
        pairs = (self.phi[:, :, None] * self.phi[:, None, :]).reshape(-1, b * b)
        H = pairs.T @ self._weighted(covariance).reshape(-1, k * k)
        return H.reshape(b, b, k, k).transpose(0, 2, 1, 3).reshape(b * k, b * k)

    @property
    def n_fitted(self):
        """Number of coefficients of each bin that are left after shrinking."""
        b, k = self.phi.shape[1], self.k
        return self.phi_mean.shape[1] + self.rank * np.maximum(b + k - self.rank, 0)

    def _update_noise(self, squares, known, weight, spread):
        share = np.maximum(1 - self.n_fitted / np.maximum(self.n_observed, 1), 0.1)
        seen = weight > 0
        noise = np.where(seen, (squares / share - known) / np.where(seen, weight, 1), 0)
        noise = np.maximum(noise + spread, self.floor)
        noise[~seen] = 1.0
        self.decoder = Decoder(
            self.decoder.mean, self.decoder.loadings, noise.astype(self.S.dtype)
        )

    # -- the freedom that the likelihood leaves

    def _align(self, z, covariance, whiten_freely):
        """Choose among latents that explain spectra equally well.

        The likelihood knows only ``L(u).T @ L(u)``. EM moves within what is left, and
        towards a population that is the same at all labels, as slowly as the errors
        of the latents are small; these steps go there at once.
        """
        if self.k > 1 and self.phi.shape[1] > 1:
            noise = self.decoder.noise
            if self.sigma is not None:  # a bin counts by what is seen through it
                noise = noise + self.typical.astype(noise.dtype)
            rotation = simplest_frame(self.decoder.loadings, noise, self.phi)
            z = np.matmul(rotation, z[..., None])[..., 0]
            covariance = rotation @ covariance @ rotation.transpose(0, 2, 1)
        z = z - self.phi_mean @ self._coefficients(self.phi_mean, z)
        return self._whiten(z, covariance, whiten_freely)

    def _whiten(self, z, covariance, freely):
        """Give latents the covariance I at all labels, beyond the sample's scatter."""
        n, k = self.n, z.shape[1]
        second = (z[:, :, None] * z[:, None, :] + covariance).reshape(len(z), -1)
        coefficients = self._coefficients(self.phi, second)
        if not freely:
            # James and Stein: what would be there by chance
            chance = k * (k + 1) / n
            found = (coefficients[1:] ** 2).sum(axis=1)
            coefficients[1:] *= np.maximum(1 - chance / found, 0)[:, None]
        values, vectors = np.linalg.eigh((self.phi @ coefficients).reshape(-1, k, k))
        scale = 1 / np.sqrt(np.clip(values, 0.2, 5.0))
        whitening = np.matmul(vectors * scale[:, None], vectors.transpose(0, 2, 1))
        z = np.matmul(whitening, z[..., None])[..., 0]
        covariance = whitening @ covariance @ whitening
        # exactly white on the whole
        total = z.T @ self._weighted(z) + self._weighted(covariance).sum(axis=0)
        values, vectors = np.linalg.eigh(total / n)
        values = np.maximum(values, 1e-6)
        whitening = (vectors / np.sqrt(values)) @ vectors.T
        return z @ whitening, whitening @ covariance @ whitening

    # -- maximisation

    def _maximise(self, z, covariance, shrinking=True):
        """Regress the spectra on all terms.

        Where entries have weights of their own, the normal equations of equal weights
        give the direction of a step, and an exact search along it the length, in each
        bin: residuals can but fall, and further passes go the rest of the way.
        """
        dtype = self.S.dtype
        m = self.phi_mean.shape[1]
        normal = np.zeros((m + self.phi.shape[1] * self.k,) * 2)
        normal[m:, m:] = H = self._covariance_terms(covariance)
        old = self.decoder.coefficients
        gradient = np.zeros(old.shape)
        total = np.zeros(self.S.shape[1])
        for rows, block, phi_mean, phi, variance, missing in self._blocks():
            terms = Decoder.terms(phi_mean, phi, z[rows].astype(dtype))
            residual = block - terms @ old
            weights = self.decoder.weights(block.shape, variance, missing)
            weights = self._counted(weights, rows)
            if variance is not None or missing is not None:
                residual = residual * weights
            elif self.weight is not None:
                residual = self._counted(residual, rows)
            total += weights.sum(axis=0, dtype=np.float64)
            gradient += terms.T @ residual
            normal += terms.T @ self._counted(terms, rows)
        total = np.maximum(total, np.finfo(np.float64).tiny)
        own_weights = self.sigma is not None or self.missing is not None
        if own_weights:
            gradient /= total / self.n
        gradient[m:] -= H @ old[m:]
        ridge = 1e-8 * np.trace(normal) / len(normal)
        step = np.linalg.solve(normal + ridge * np.eye(len(normal)), gradient)
        if own_weights:
            step *= self._length(step, gradient, z, H, total)
        new = old + step
        mean, loadings = new[:m], new[m:].reshape(self.phi.shape[1], self.k, -1)
        self.rank = np.full(len(total), min(loadings.shape[:2]))
        if shrinking:
            mean, loadings, self.rank = without_errors(mean, loadings, np.sqrt(total))
        self.decoder = Decoder(
            mean.astype(dtype), loadings.astype(dtype), self.decoder.noise
        )

    def _length(self, step, gradient, z, H, total):
        """Return how far along a step the weighted residuals are smallest."""
        m = self.phi_mean.shape[1]
        dtype = self.S.dtype
        single = step.astype(dtype)
        curvature = np.zeros(step.shape[1])
        for rows, block, phi_mean, phi, variance, missing in self._blocks():
            change = Decoder.terms(phi_mean, phi, z[rows].astype(dtype)) @ single
            weights = self.decoder.weights(block.shape, variance, missing)
            weights = self._counted(weights, rows)
            curvature += (weights * change**2).sum(axis=0, dtype=np.float64)
        curvature /= total / self.n
        curvature += np.einsum("ip,ip->p", step[m:], H @ step[m:])
        slope = np.einsum("ip,ip->p", step, gradient)
        return slope / np.maximum(curvature, np.finfo(np.float64).tiny)


def without_errors(mean, loadings, precision):
    """Return the coefficients of all bins without what errors put there.

    Two kinds of matrices are of low rank. The mean spectrum, terms by bins, changes
    with the labels in few ways. And a bin sees few directions of the latent space,
    however its response grows with the labels: terms by components.

    Parameters
    ----------
    mean : ndarray of shape (n_mean_terms, n_bins)
        With independent errors.
    loadings : ndarray of shape (n_terms, n_components, n_bins)
        Likewise.
    precision : ndarray of shape (n_bins,)
        Inverse of their standard deviation in each bin.

    Returns
    -------
    mean, loadings : ndarrays of the same shapes
    rank : ndarray of shape (n_bins,)
        Of the loadings of each bin.
    """
    mean = mean * precision
    mean[1:], _ = shrink(mean[1:])
    by_bin, rank = shrink((loadings * precision).transpose(2, 0, 1))
    return mean / precision, by_bin.transpose(1, 2, 0) / precision, rank


def shrink(matrix):
    """Return estimates of matrices of low rank that are seen with unit errors.

    Singular values are shrunk as is optimal for errors of one size (M. Gavish & D.
    Donoho 2017, IEEE Trans. Inf. Theory 63, 2137, Eq. 7).

    Parameters
    ----------
    matrix : ndarray of shape (..., n_rows, n_columns)
        With independent errors.

    Returns
    -------
    matrix : ndarray of the same shape
    rank : ndarray of shape (...)
    """
    wide = matrix.shape[-2] > matrix.shape[-1]
    if wide:
        matrix = matrix.swapaxes(-1, -2)
    few, many = matrix.shape[-2:]
    values, vectors = np.linalg.eigh(matrix @ matrix.swapaxes(-1, -2))
    beta = few / many
    square = np.maximum(values, 0) / many
    inside = (square - beta - 1) ** 2 - 4 * beta
    kept = square > (1 + np.sqrt(beta)) ** 2
    factor = np.where(kept, np.sqrt(np.maximum(inside, 0)), 0)
    factor /= np.where(kept, square, 1)
    projector = np.matmul(vectors * factor[..., None, :], vectors.swapaxes(-1, -2))
    matrix = projector @ matrix
    return matrix.swapaxes(-1, -2) if wide else matrix, kept.sum(axis=-1)
