r"""EM for probabilistic PCA with missing entries, one pass over the data at a time.

The latent variables are the missing entries alone. A pass accumulates the product
:math:`S V` of the expected covariance of the completed data with an orthonormal basis
V of a few more columns than there are components; the Nyström approximation
:math:`\tilde S = S V (V^T S V)^{-1} V^T S \preceq S` then gives the new axes and
variances. It is exact on the old basis, so that the expected log-likelihood under
:math:`\tilde S` is a lower bound of the true one that touches it at the old
parameters: maximising it in closed form is a generalised M-step, and the likelihood of
the observed entries cannot fall.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Model:
    """Parameters in the course of a fit.

    The basis has more columns than the model has components; further columns help
    the next pass to find better axes.
    """

    mean: np.ndarray  # (n_features,), float64
    basis: np.ndarray  # (n_features, n_basis), orthonormal, in the dtype of the data
    variance: np.ndarray  # (n_basis,), eigenvalues of the covariance, falling
    noise_variance: float
    n_components: int
    floor: float  # of the noise variance: rounding

    @property
    def shrinkage(self):
        """Noise variance over signal variance, of each component."""
        signal = self.variance[: self.n_components] - self.noise_variance
        floor = 1e-12 * max(self.variance[0], np.finfo(float).tiny)
        return self.noise_variance / np.maximum(signal, floor)


class Listed:
    """The entries of a block of rows that the normal equations need one by one.

    They are the missing entries of a row, or the observed ones where those are fewer.
    """

    def __init__(self, missing, chunk_size=16384):
        n_rows, self.n_features = missing.shape
        #: positions of the missing entries in the flat block
        self.holes = np.flatnonzero(missing)
        ends = self.n_features * np.arange(n_rows + 1)
        n_missing = np.diff(np.searchsorted(self.holes, ends))
        #: rows of which the observed entries are listed
        self.observed = n_missing > self.n_features // 2
        listed = self.holes
        if self.observed.any():
            listed = np.flatnonzero(missing ^ self.observed[:, None])
        self.count = np.where(
            self.observed, self.n_features - n_missing, n_missing
        ).astype(np.intp)
        self._columns = (listed % self.n_features).astype(np.int32)
        self._start = np.concatenate([[0], np.cumsum(self.count)])
        #: rows for which anything is missing
        self.rows = np.flatnonzero(n_missing)
        self.rows = self.rows[np.argsort(self.count[self.rows], kind="stable")]
        self._chunk_size = chunk_size

    def chunks(self):
        """Yield rows of like numbers of listed entries, and their padded columns."""
        start = 0
        while start < len(self.rows):
            size = max(1, self._chunk_size // max(1, self.count[self.rows[start]]))
            rows = self.rows[start : start + size]
            width = max(1, self.count[rows[-1]])
            while len(rows) > 1 and width * len(rows) > 2 * self._chunk_size:
                rows = rows[: len(rows) // 2]
                width = max(1, self.count[rows[-1]])
            start += len(rows)
            slot = np.arange(width)
            filled = slot < self.count[rows, None]
            index = np.minimum(
                self._start[rows, None] + slot, max(len(self._columns) - 1, 0)
            )
            columns = self._columns[index] if len(self._columns) else index
            yield rows, np.where(filled, columns, self.n_features)


def precision_matrices(listed, rows, columns, padded, shrinkage):
    """Return the normal equations of the scores of some rows.

    Parameters
    ----------
    listed : Listed
        The entries of the block.
    rows, columns : ndarray
        From ``listed.chunks()``.
    padded : ndarray of shape (n_features + 1, n_basis)
        The basis, with a row of zeros.
    shrinkage : ndarray of shape (n_components,)
        ``Model.shrinkage``.

    Returns
    -------
    A : ndarray of shape (n_rows, n_components, n_components), float64
        Posterior precision of the scores times the noise variance.
    G : ndarray of shape (n_rows, n_components, n_basis)
        ``V_M.T @ V_M`` over the missing entries M.
    entries : ndarray of shape (n_rows, n_listed, n_basis)
        Rows of the basis at the listed entries.
    """
    k = len(shrinkage)
    entries = padded[columns]
    G = np.matmul(entries[..., :k].transpose(0, 2, 1), entries)
    flip = listed.observed[rows]
    square = G[..., :k].astype(np.float64)
    if flip.any():
        A = np.where(flip[:, None, None], square, np.eye(k) - square)
        G[flip] = np.eye(k, padded.shape[1], dtype=G.dtype) - G[flip]
    else:
        A = np.subtract(np.eye(k), square, out=square)
    A[:, np.arange(k), np.arange(k)] += shrinkage
    return A, G, entries


def em_pass(blocks, n_observed, model):
    """Take one step of EM.

    Parameters
    ----------
    blocks : iterable
        From `row_blocks`.
    n_observed : ndarray of shape (n_features,)
        Numbers of observed entries of the columns.
    model : Model
        Current parameters.

    Returns
    -------
    model : Model
        New parameters.
    gain : float
        Rise of the expected log-likelihood of one row: that of the observed entries
        rises at least as much.
    """
    V, k, q = model.basis, model.n_components, model.basis.shape[1]
    n_features, dtype = len(V), V.dtype
    mean = model.mean.astype(dtype)
    padded = np.concatenate([V, np.zeros((1, q), dtype)])
    noise, shrinkage = model.noise_variance, model.shrinkage
    R = np.zeros((q + 1, n_features))
    everywhere = np.zeros((k, q + 1))
    n_rows, trace = 0, 0.0
    for _, block, missing, _ in blocks:
        Y = np.subtract(block, mean, order="C")
        listed = Listed(missing)
        Y.reshape(-1)[listed.holes] = 0
        n_rows += len(Y)
        trace += np.einsum("ij,ij->i", Y, Y).sum(dtype=np.float64)
        B = np.empty((len(Y), q + 1), dtype)
        B[:, :q] = Y @ V
        B[:, q] = 1
        products, targets = [], []
        for rows, columns in listed.chunks():
            A, G, entries = precision_matrices(listed, rows, columns, padded, shrinkage)
            inverse = np.linalg.inv(A).astype(dtype)
            scores = np.matmul(inverse, B[rows, :k, None])[..., 0]
            imputed = np.matmul(scores[:, None], G)[:, 0]
            B[rows, :q] += imputed
            # what the missing entries add to S V and to the mean: V_M @ H
            H = np.empty((len(rows), k, q + 1), dtype)
            np.matmul(inverse, G, out=H[..., :q])
            H[..., :q] *= noise
            trace += np.einsum("nii->n", H[..., :k]).sum(dtype=np.float64)
            trace += np.einsum("ni,ni->n", scores, imputed[:, :k]).sum(dtype=np.float64)
            H[..., :q] += scores[:, :, None] * B[rows, None, :q]
            H[..., q] = scores
            flip = listed.observed[rows]
            if flip.any():
                everywhere += H[flip].sum(axis=0, dtype=np.float64)
                H[flip] *= -1
            products.append((entries[..., :k] @ H).reshape(-1, q + 1))
            targets.append(columns.ravel())
        R += B.T @ Y
        if products:
            target = np.concatenate(targets)
            place = csr_array(
                (np.ones(len(target), dtype), target, np.arange(len(target) + 1)),
                shape=(len(target), n_features + 1),
            )
            R += (place.T @ np.concatenate(products))[:-1].T
    R += (V[:, :k] @ everywhere).T
    n_missing = n_rows - n_observed
    trace = (trace + noise * n_missing.sum()) / n_rows
    SV = R[:q].T / n_rows + (noise / n_rows) * n_missing[:, None] * V
    return maximise(model, SV, trace, R[q] / n_rows)


def maximise(model, SV, trace, shift):
    """Return the parameters that the expected covariance asks for.

    Parameters
    ----------
    model : Model
        Current parameters.
    SV : ndarray of shape (n_features, n_basis)
        Expected covariance about the current mean, times the basis.
    trace : float
        Trace of that covariance.
    shift : ndarray of shape (n_features,)
        Expected mean of the completed data, from the current mean.

    Returns
    -------
    model : Model
    gain : float
        Rise of the expected log-likelihood of one row.
    """
    V, k = model.basis.astype(np.float64), model.n_components
    n_features = len(V)
    along = np.einsum("ij,ij->j", V[:, :k], SV[:, :k])
    before = expected_log_likelihood(
        model.variance[:k], model.noise_variance, along, trace, n_features
    )
    SV = SV - np.outer(shift, shift @ V)
    trace = trace - shift @ shift
    basis, variance = nystrom(V, SV)
    variance = np.minimum(variance, trace)
    along = variance[:k]
    noise = residual_variance(trace, along, n_features, model.floor)
    variance = np.maximum(variance, noise)
    after = expected_log_likelihood(variance[:k], noise, along, trace, n_features)
    new = replace(
        model,
        mean=model.mean + shift,
        basis=basis.astype(model.basis.dtype),
        variance=variance,
        noise_variance=noise,
    )
    return new, after - before


def residual_variance(trace, along, n_features, floor):
    """Return the mean variance outside the components, not below rounding."""
    return max((trace - along.sum()) / (n_features - len(along)), floor)


def start(blocks, n_components, n_basis, mean, rng):
    """Return the model of a few rows with the mean where they are missing.

    Parameters
    ----------
    blocks : list
        From `row_blocks`.
    n_components, n_basis : int
        Numbers of components and of columns of the basis.
    mean : ndarray of shape (n_features,)
        Means of the observed entries.
    rng : numpy.random.RandomState
        For the random basis that the power iterations begin with.

    Returns
    -------
    model : Model

    Raises
    ------
    ValueError
        If these rows do not differ.
    """
    Y = np.concatenate([block - mean.astype(block.dtype) for _, block, _, _ in blocks])
    missing = np.isnan(Y)
    Y[missing] = 0
    trace = np.einsum("ij,ij->i", Y, Y).sum(dtype=np.float64) / len(Y)
    if not Y.any():
        raise ValueError(
            f"The {len(Y)} rows that the fit begins with are all the same, though"
            " others are not; leave out some of the former, or try another"
            " `random_state`."
        )
    scale = trace / Y.shape[1]
    if not missing.any():
        V, variance = closed_form(Y, n_basis)
        return finished(mean, V, variance, trace, n_components, scale)
    V = rng.standard_normal((Y.shape[1], n_basis)).astype(Y.dtype)
    for _ in range(3):
        V = np.linalg.qr(V)[0]
        SV = ((Y @ V).T @ Y).T.astype(np.float64) / len(Y)
        basis, variance = nystrom(V.astype(np.float64), SV)
        V = basis.astype(Y.dtype)
    return finished(mean, V, variance, trace, n_components, scale)


def closed_form(Y, n_basis):
    """Return axes and variances of complete rows, of which the mean is zero."""
    if len(Y) < Y.shape[1]:
        variance, U = np.linalg.eigh((Y @ Y.T).astype(np.float64) / len(Y))
        U = U[:, ::-1][:, :n_basis]
        V = np.zeros((Y.shape[1], n_basis))
        V[:, : U.shape[1]] = Y.T @ U
        V = np.linalg.qr(V)[0]
    else:
        variance, V = np.linalg.eigh((Y.T @ Y).astype(np.float64) / len(Y))
        V = V[:, ::-1][:, :n_basis]
    variance = np.maximum(variance[::-1], 0)[:n_basis]
    variance = np.concatenate([variance, np.zeros(n_basis - len(variance))])
    return V.astype(Y.dtype), variance


def finished(mean, V, variance, trace, n_components, scale):
    """Return a model with the noise that its components leave."""
    # what the difference of traces can tell
    floor = np.finfo(V.dtype).eps * scale
    noise = residual_variance(trace, variance[:n_components], len(V), floor)
    variance = np.maximum(variance, noise)
    return Model(mean, V, variance, noise, n_components, floor)


def nystrom(V, SV):
    """Return eigenvectors and eigenvalues of ``SV (V' SV)^-1 SV'``, falling."""
    C = V.T @ SV
    c, Q = np.linalg.eigh((C + C.T) / 2)
    keep = c > 1e-13 * max(c[-1], 0)
    F = (SV @ Q) * np.where(keep, 1 / np.sqrt(np.where(keep, c, 1)), 0)
    orthonormal, triangle = np.linalg.qr(F)
    U, s, _ = np.linalg.svd(triangle)
    return orthonormal @ U, s**2


def expected_log_likelihood(variance, noise, along, trace, n_features):
    """Return the expected log-likelihood of one row, without its constant.

    ``along`` are the expected variances along the components, ``trace`` is the
    expected total.
    """
    k = len(variance)
    return -0.5 * (
        np.log(variance).sum()
        + (n_features - k) * np.log(noise)
        + (along / variance).sum()
        + max(trace - along.sum(), 0) / noise
    )
