"""Labels that are missing or uncertain, integrated over in factor analysis.

What a star's labels may be is told by those that it has, through the Gaussian of all
stars' labels, and by its spectrum. The posterior of the labels is found by steps of
Gauss and Newton, and integrals over it are sums over a few nodes about its peak:
adaptive quadrature. A node's weight is the exact likelihood of the spectrum there, with
latent variables integrated out, so that the Gaussian that places the nodes need not be
the posterior.
"""

from itertools import combinations, product

import numpy as np

from ._factor_analysis_decoder import combine

#: Stars at once: each has a response of its own to the latents, bin by bin.
ROWS = 32
#: Steps towards the peak: of a star that is new, and in each pass of a fit.
STEPS, STEPS_IN_PASS = 8, 2
#: Step of the differences that derivatives by labels are taken from.
_H = 1e-4


class LabelPrior:
    """The Gaussian distribution of labels among stars.

    Fitted by EM to labels that may be missing or have errors.

    Attributes
    ----------
    mean : ndarray of shape (n_labels,)
    covariance : ndarray of shape (n_labels, n_labels)
    """

    def fit(self, U, sigma, max_iter=200, tol=1e-6):
        """Fit mean and covariance.

        Parameters
        ----------
        U : ndarray of shape (n_samples, n_labels)
            Labels in units of about their range, NaN where missing.
        sigma : ndarray of shape (n_samples, n_labels)
            Their errors, 0 for exact ones.

        Returns
        -------
        self : LabelPrior
        """
        self.mean = np.nanmean(U, axis=0)
        self.covariance = np.diag(np.nanvar(U, axis=0))
        for _ in range(max_iter):
            mean, spread = self.given(U, sigma)
            centre = mean.mean(axis=0)
            covariance = np.cov(mean.T, bias=True).reshape(spread.shape[1:])
            covariance = covariance + spread.mean(axis=0)
            change = np.abs(covariance - self.covariance).max()
            change = max(change, np.abs(centre - self.mean).max())
            self.mean, self.covariance = centre, covariance
            if change < tol:
                break
        return self

    def given(self, U, sigma):
        """Return means and covariances of labels, given what is known of them.

        Parameters
        ----------
        U, sigma : ndarrays of shape (n_samples, n_labels)
            As of `fit`.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_labels)
        covariance : ndarray of shape (n_samples, n_labels, n_labels)
            0 of what is known exactly.
        """
        n_labels = U.shape[1]
        seen = ~np.isnan(U)
        mean = np.array(U)
        covariance = np.zeros((*U.shape, n_labels))
        patterns, which = np.unique(
            seen.astype(int) + (seen & (sigma > 0)), axis=0, return_inverse=True
        )
        for i, pattern in enumerate(patterns):
            rows = np.flatnonzero(which.ravel() == i)
            has, exact = pattern > 0, pattern == 1
            if exact.all():
                continue
            known = np.flatnonzero(has)
            total = self.covariance[np.ix_(known, known)] + np.zeros((len(rows), 1, 1))
            # labels that say the same are no more than one
            noise = np.square(sigma[np.ix_(rows, known)]) + 1e-14
            total[:, np.arange(len(known)), np.arange(len(known))] += noise
            cross = np.broadcast_to(
                self.covariance[known], (len(rows), len(known), n_labels)
            )
            gain = np.linalg.solve(total, cross).transpose(0, 2, 1)
            offset = (U[np.ix_(rows, known)] - self.mean[known])[..., None]
            mean[rows] = self.mean + np.matmul(gain, offset)[..., 0]
            left = self.covariance - gain @ cross
            left[:, exact] = left[:, :, exact] = 0
            covariance[rows] = left
            mean[np.ix_(rows, exact)] = U[np.ix_(rows, exact)]
        return mean, covariance


def cubature(d):
    """Return nodes and weights for means over N(0, I) in d dimensions.

    Exact for polynomials of degree 9 in one dimension, of degree 5 in up to four, and
    of degree 3 beyond, where the formula of degree 5 has negative weights (J. McNamee &
    F. Stenger 1967, Numer. Math. 10, 327).

    Returns
    -------
    nodes : ndarray of shape (n_nodes, d)
    weights : ndarray of shape (n_nodes,)
    """
    if d == 1:
        nodes, weights = np.polynomial.hermite_e.hermegauss(5)
        return nodes[:, None], weights / weights.sum()
    unit = np.eye(d)
    if d > 4:
        return np.sqrt(d) * np.vstack([unit, -unit]), np.full(2 * d, 1 / (2 * d))
    axes = np.sqrt(3) * np.vstack([unit, -unit])
    pairs = [
        np.sqrt(3) * (s * unit[i] + t * unit[j])
        for i, j in combinations(range(d), 2)
        for s, t in product((1, -1), repeat=2)
    ]
    nodes = np.vstack([np.zeros((1, d)), axes, *([pairs] if pairs else [])])
    weights = np.full(len(nodes), 1 / 36)
    weights[0] = 1 + (d**2 - 7 * d) / 18
    weights[1 : 2 * d + 1] = (4 - d) / 18
    return nodes[weights > 0], weights[weights > 0]


def mixture(z, covariance, star, weight, n_stars):
    """Return means and covariances of stars, of those of their nodes.

    Parameters
    ----------
    z : ndarray of shape (n_nodes, k)
    covariance : ndarray of shape (n_nodes, k, k)
    star : ndarray of int, of shape (n_nodes,)
        Whose a node is.
    weight : ndarray of shape (n_nodes,)
        They sum to one for each star.
    n_stars : int

    Returns
    -------
    mean : ndarray of shape (n_stars, k)
    covariance : ndarray of shape (n_stars, k, k)
        Within nodes, and between them.
    """
    k = z.shape[1]
    mean, spread = np.zeros((n_stars, k)), np.zeros((n_stars, k, k))
    np.add.at(mean, star, weight[:, None] * z)
    apart = z - mean[star]
    inside = covariance + apart[:, :, None] * apart[:, None, :]
    np.add.at(spread, star, weight[:, None, None] * inside)
    return mean, spread


class UncertainLabels:
    """Stars whose labels are missing or have errors, and where these may be.

    Parameters
    ----------
    mean, covariance : ndarray
        What `LabelPrior.given` says of all stars.

    Attributes
    ----------
    groups : list of tuple
        Stars with as many uncertain labels, as ``(stars, roots)``: indices of shape
        (m,) and square roots of their covariances, of shape (m, n_labels, d). Labels
        are ``mean + root @ x`` with standard normal x.
    log_evidence : ndarray of shape (n_stars,)
        Log density of each spectrum, with labels integrated out, once `nodes` has been
        called; NaN of stars that have all their labels.
    """

    def __init__(self, mean, covariance):
        self.mean = mean
        n_uncertain = (covariance.diagonal(axis1=1, axis2=2) > 0).sum(axis=1)
        self.groups, self.peaks = [], []
        for d in np.unique(n_uncertain[n_uncertain > 0]):
            stars = np.flatnonzero(n_uncertain == d)
            values, vectors = np.linalg.eigh(covariance[stars])
            roots = vectors[:, :, -d:] * np.sqrt(np.maximum(values[:, None, -d:], 0))
            self.groups.append((stars, roots))
            self.peaks.append(None)
        self.certain = n_uncertain == 0
        self.log_evidence = np.full(len(mean), np.nan)

    def nodes(self, likelihood, n_steps):
        """Return labels that stand for those that stars may have.

        Parameters
        ----------
        likelihood : Likelihood
            Of the spectra of all stars.
        n_steps : int
            Steps towards the peaks, which go on from those of the call before.

        Returns
        -------
        star : ndarray of int, of shape (n_nodes,)
            Whose they are; each star that has all its labels has one node.
        U : ndarray of shape (n_nodes, n_labels)
        weight : ndarray of shape (n_nodes,)
            Of each among those of its star; they sum to one.
        """
        star, labels = [np.flatnonzero(self.certain)], [self.mean[self.certain]]
        weight = [np.ones(len(star[0]))]
        for i, (stars, roots) in enumerate(self.groups):
            points, base = cubature(roots.shape[2])
            peaks = np.zeros(roots.shape[::2])
            if self.peaks[i] is not None:
                peaks[:] = self.peaks[i]
            for start in range(0, len(stars), ROWS):
                rows = slice(start, start + ROWS)
                block = Block(likelihood, stars[rows], self.mean, roots[rows])
                x = peaks[rows] if self.peaks[i] is not None else block.best(points)
                x, spread = block.climb(x, n_steps)
                peaks[rows] = x
                at = x[:, None] + np.matmul(points, spread.transpose(0, 2, 1))
                log_weight = np.log(base) + np.square(points).sum(axis=1) / 2
                log_weight = log_weight + block.log_densities(at)
                highest = log_weight.max(axis=1, keepdims=True)
                w = np.exp(log_weight - highest)
                evidence = np.log(w.sum(axis=1)) + highest[:, 0] + block.log_norm()
                evidence += np.linalg.slogdet(spread)[1]
                self.log_evidence[stars[rows]] = evidence
                star.append(np.repeat(stars[rows], len(points)))
                labels.append(block.labels(at).reshape(-1, self.mean.shape[1]))
                weight.append((w / w.sum(axis=1, keepdims=True)).ravel())
            self.peaks[i] = peaks
        star = np.concatenate(star)
        order = np.argsort(star, kind="stable")
        return star[order], np.concatenate(labels)[order], np.concatenate(weight)[order]


class Likelihood:
    """What spectra tell of labels, with the latent variables integrated out.

    Parameters
    ----------
    decoder : Decoder
    terms : callable
        ``terms(U) -> phi_mean, phi``: polynomials of the labels.
    spectra : callable
        ``spectra(stars) -> S, weights``: spectra with 0 where missing, and inverse
        variances with 0 there.
    precision : float
        Of the prior of the latent variables.
    """

    def __init__(self, decoder, terms, spectra, precision=1.0):
        self.decoder, self.terms = decoder, terms
        self.spectra, self.precision = spectra, precision


class Block:
    """A few stars with as many uncertain labels.

    Parameters
    ----------
    likelihood : Likelihood
    stars : ndarray of int, of shape (m,)
    mean : ndarray of shape (n_samples, n_labels)
        Of the labels of all stars.
    roots : ndarray of shape (m, n_labels, d)
    """

    def __init__(self, likelihood, stars, mean, roots):
        self.likelihood, self.mean, self.roots = likelihood, mean[stars], roots
        self.S, self.weights = likelihood.spectra(stars)
        self.dtype = self.S.dtype

    def labels(self, x):
        """Return labels at nodes x of shape (m, n_nodes, d)."""
        return self.mean[:, None] + np.matmul(x, self.roots.transpose(0, 2, 1))

    def terms(self, x):
        """Return the polynomials at x of shape (m, d)."""
        U = self.labels(x[:, None])[:, 0]
        return [phi.astype(self.dtype) for phi in self.likelihood.terms(U)]

    def at(self, x):
        """Return log densities at x of shape (m, d), and the parts they are made of."""
        decoder, precision = self.likelihood.decoder, self.likelihood.precision
        n_terms, k, n_bins = decoder.loadings.shape
        phi_mean, phi = self.terms(x)
        residual = self.S - phi_mean @ decoder.mean
        response = phi @ decoder.loadings.reshape(n_terms, k * n_bins)
        response = response.reshape(len(x), k, n_bins)
        weighted = response * self.weights[:, None]
        information = np.matmul(weighted, response.transpose(0, 2, 1))
        linear = np.matmul(weighted, residual[..., None])[..., 0]
        information, linear = information.astype(float), linear.astype(float)
        z, covariance = combine(information, linear, precision)
        square = np.einsum("np,np,np->n", self.weights, residual, residual)
        _, log_det = np.linalg.slogdet(covariance)
        value = (linear * z).sum(axis=1) - square + log_det
        density = (value - np.square(x).sum(axis=1)) / 2
        return density, (phi, residual, response, weighted, z, covariance)

    def log_norm(self):
        """Return what `at` leaves out of log densities, the same for all labels."""
        seen = self.weights > 0
        weights = np.where(seen, self.weights / (2 * np.pi), 1).astype(np.float64)
        return np.log(weights).sum(axis=1) / 2

    def log_densities(self, x):
        """Return log densities at nodes x of shape (m, n_nodes, d)."""
        each = [self.at(x[:, i])[0] for i in range(x.shape[1])]
        return np.stack(each, axis=1)

    def best(self, points):
        """Return the node of the prior at which each spectrum is likeliest."""
        x = np.broadcast_to(points, (len(self.S), *points.shape))
        return points[np.argmax(self.log_densities(x), axis=1)]

    def _curvature(self, x, parts):
        """Return slope and curvature of log densities, of linear responses."""
        phi, residual, response, weighted, z, covariance = parts
        decoder, d = self.likelihood.decoder, x.shape[1]
        z = z.astype(self.dtype)
        slopes = []
        for step in _H * np.eye(d):
            up, down = self.terms(x + step), self.terms(x - step)
            change = [(a - b) / (2 * _H) for a, b in zip(up, down, strict=True)]
            slopes.append(decoder.decode(*change, z))
        slopes = np.stack(slopes, axis=1)
        left = residual - np.matmul(z[:, None], response)[:, 0]
        to_x = slopes * self.weights[:, None]
        gradient = np.matmul(to_x, left[..., None])[..., 0].astype(float) - x
        hessian = np.matmul(to_x, slopes.transpose(0, 2, 1)).astype(float) + np.eye(d)
        cross = np.matmul(slopes, weighted.transpose(0, 2, 1)).astype(float)
        hessian -= cross @ covariance @ cross.transpose(0, 2, 1)
        return gradient, hessian

    def climb(self, x, n_steps):
        """Go towards the peak, never down.

        Returns
        -------
        x : ndarray of shape (m, d)
        spread : ndarray of shape (m, d, d)
            Square root of the covariance about it.
        """
        density, parts = self.at(x)
        gradient, hessian = self._curvature(x, parts)
        damping = np.full(len(x), 1e-3)
        scale = np.eye(x.shape[1])
        for _ in range(n_steps):
            damped = hessian + damping[:, None, None] * hessian * scale
            trial = x + np.linalg.solve(damped, gradient[..., None])[..., 0]
            new, parts = self.at(trial)
            better = new > density
            slope, curve = self._curvature(trial, parts)
            x = np.where(better[:, None], trial, x)
            density = np.where(better, new, density)
            gradient = np.where(better[:, None], slope, gradient)
            hessian = np.where(better[:, None, None], curve, hessian)
            damping *= np.where(better, 0.1, 10)
        values, vectors = np.linalg.eigh(hessian)
        # no wider than the prior
        spread = vectors / np.sqrt(np.maximum(values, 1))[:, None]
        return x, spread
