"""Many factorisations of the same maps, from random starts."""

import numpy as np
from joblib import Parallel, delayed
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

#: How far Adam goes in a step, and the noise that a negative value may have.
_RATE, _TOLERATED = 0.03, 3.0


def random_start(problem, k, seed):
    """Return maps (k, n_pixels) and profiles (k, n_lines), as scikit-learn starts."""
    rng = check_random_state(seed)
    n_lines, n_pixels = problem.lines.shape
    level = np.sqrt(problem.lines.mean() / k)
    H = np.abs(level * rng.standard_normal((k, n_lines)))
    V = np.abs(level * rng.standard_normal((k, n_pixels)))
    return V, H


def descend(problem, k, seed, penalties, max_iter, tol):
    """Return maps, profiles, loss and number of passes of one run of ours."""
    from ._hals import factorise

    V, H = random_start(problem, k, seed)
    loss, n_iter = factorise(
        problem.lines,
        problem.weights,
        problem.square,
        V,
        H,
        penalties,
        max_iter,
        tol,
        True,
        np.empty(max_iter),
    )
    return V, H, loss, n_iter


def refit(problem, H, penalties=(0.0, 0.0), max_iter=1000, tol=1e-8):
    """Return the best maps of given profiles, these, and the loss.

    Penalties are l1 and l2 of the maps.
    """
    from ._hals import factorise

    V = np.full((len(H), problem.lines.shape[1]), problem.lines.mean())
    loss, _ = factorise(
        problem.lines,
        problem.weights,
        problem.square,
        V,
        H,
        (*penalties, 0.0, 0.0),
        max_iter,
        tol,
        False,
        np.empty(max_iter),
    )
    return V, H, loss


def descend_sklearn(problem, k, seed, alphas, l1_ratio, max_iter, tol):
    """Return the same of scikit-learn's coordinate descent."""
    import warnings

    V, H = random_start(problem, k, seed)
    with warnings.catch_warnings():
        # the number of passes tells
        warnings.simplefilter("ignore", ConvergenceWarning)
        V, H, n_iter = non_negative_factorization(
            problem.lines.T,
            W=np.ascontiguousarray(V.T),
            H=H,
            n_components=k,
            init="custom",
            solver="cd",
            tol=tol,
            max_iter=max_iter,
            alpha_W=alphas[0],
            alpha_H=alphas[1],
            l1_ratio=l1_ratio,
        )
    loss = np.sum((problem.lines.T - V @ H) ** 2)
    return np.ascontiguousarray(V.T), H, loss, n_iter


def many(function, jobs, n_jobs, verbose, label):
    """Run a function of each of many tuples of arguments, in threads."""
    from tqdm.auto import tqdm

    results = Parallel(n_jobs, prefer="threads", return_as="generator")(
        delayed(function)(*job) for job in jobs
    )
    return list(tqdm(results, total=len(jobs), desc=label, disable=not verbose))


def rotate(problem, starts, volume, max_iter):
    r"""Return profiles and maps within the principal subspace, one for each start.

    Maps :math:`V = A T^{-1}` and profiles :math:`H = T B`, where A B is the best
    approximation of rank k, reconstruct the data equally well for all T. Those are
    sought in which negative values are no more than noise, and, by a penalty, the
    volume of the profiles is small: :math:`\sum relu(-V / \sigma_V - 3)^2 + \sum
    relu(-H / \sigma_H - 3)^2 + volume \ln |T|`.

    Parameters
    ----------
    problem : Problem
        The maps.
    starts : list of tuple of ndarray
        Maps and profiles of other runs, to begin with.
    volume : float
        Weight of the volume.
    max_iter : int
        Steps of Adam.

    Returns
    -------
    objective : ndarray of shape (n_starts,)
    H : ndarray of shape (n_starts, k, n_lines)
        Without the negative values that noise gave.
    """
    import torch

    best = min(starts, key=lambda run: run[2])
    k = len(best[1])
    X = problem.lines.T
    if not problem.complete:
        # gaps are filled by the best run; lines keep one weight each
        seen = problem.weights > 0
        X = np.where(seen, problem.lines, best[1].T @ best[0]).T
        total = problem.weights.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        level = np.sqrt(total)
    else:
        level = np.ones(X.shape[1])
    n_pixels, n_lines = X.shape
    if min(n_pixels, n_lines) <= k:
        raise ValueError(
            f'`solver`="subspace" needs more lines and pixels than components; got'
            f" {n_lines} lines, {n_pixels} pixels and `n_components`={k}."
        )
    U, size, axes = np.linalg.svd(X * level, full_matrices=False)
    noise = (
        np.sqrt(np.sum(size[k:] ** 2) / ((n_pixels - k) * (n_lines - k)))
        + 1e-12 * size[0]
    )
    A = torch.from_numpy(U[:, :k] * size[:k])
    B = torch.from_numpy(axes[:k])
    size = torch.from_numpy(size[:k])
    first = np.array([(H * level) @ axes[:k].T for _, H, *_ in starts])
    T = torch.from_numpy(first / np.linalg.norm(first, axis=2, keepdims=True))
    # starts with twice the same profile have no inverse
    T = (T + 1e-3 * torch.eye(k, dtype=T.dtype)).requires_grad_(True)
    optimizer = torch.optim.Adam([T], _RATE)

    def parts():
        unit = T / T.norm(dim=2, keepdim=True)
        inverse = torch.linalg.inv(unit)
        H, V = unit @ B, A @ inverse
        noise_V = noise * inverse.norm(dim=1)
        noise_H = noise * (unit / size).norm(dim=2)
        negative = torch.relu(-V / noise_V[:, None] - _TOLERATED).square().sum((1, 2))
        negative = negative + torch.relu(
            -H / noise_H[..., None] - _TOLERATED
        ).square().sum((1, 2))
        return negative + volume * torch.linalg.slogdet(unit)[1], H

    for _ in range(max_iter):
        optimizer.zero_grad()
        parts()[0].sum().backward()
        optimizer.step()
    with torch.no_grad():
        objective, H = parts()
    H = np.maximum(H.numpy(), 0) / level
    return objective.numpy(), H
