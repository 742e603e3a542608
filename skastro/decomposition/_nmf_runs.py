"""Many factorisations of the same maps, from random starts."""

import numpy as np
from joblib import Parallel, delayed
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state


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
    from ._nmf_hals import factorise

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
    from ._nmf_hals import factorise

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


def many(function, jobs, n_jobs, progress):
    """Run a function of each of many tuples of arguments, in threads.

    Where a callback asks to stop, no more are begun; those that are, are finished.
    """
    results, stop = [], False

    def waiting():
        for job in jobs:
            if stop:
                return
            yield delayed(function)(*job)

    for result in Parallel(n_jobs, prefer="threads", return_as="generator")(waiting()):
        results.append(result)
        stop = progress.step() or stop
    return results
