"""How many gas components line maps hold, and how sure of them one can be."""

from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from ..decomposition._nmf_base import BlendedMaps
from ..decomposition._nmf_consensus import consensus
from ..utils.arrays import as_matrix
from ..utils.scorers import scorer
from ..utils.sigma import check_errors

#: Entries that `held_out_entries_scorer` leaves out, and how often.
_SCORER_FRACTION, _SCORER_SPLITS = 0.1, 3
#: Of the least squares that predict them, in units of the trace.
_RIDGE = 1e-7


def nmf_consensus(
    estimator, X, *, sigma=None, n_runs=20, n_jobs=None, random_state=None
):
    """Run a factorisation from many starts, and return what the runs agree on.

    Parameters
    ----------
    estimator : LineMapNMF
        Its parameters; it is cloned, with a `random_state` of its own for each run.
    X : array-like of shape (n_pixels, n_lines)
        Line intensities.
    sigma : array-like of shape (n_pixels, n_lines), default=None
        1-sigma errors.
    n_runs : int, default=20
        Number of runs.
    n_jobs : int, default=None
        Threads.
    random_state : int, RandomState instance or None, default=None
        Draws the starts.

    Returns
    -------
    result : Bunch
        With ``run_components`` (n_runs, n_components, n_lines), profiles of unit mean
        in one order; ``components``, their median; ``std``, their robust spread; and
        ``stability``, the mean cosine with the median: 1 if all runs agree.

    See Also
    --------
    skastro.decomposition.LineMapNMFEnsemble : The same as an estimator, over penalties
        too.

    Examples
    --------
    >>> from skastro.datasets import make_line_maps
    >>> from skastro.decomposition import LineMapNMF
    >>> from skastro.model_selection import nmf_consensus
    >>> data = make_line_maps(random_state=0)
    >>> result = nmf_consensus(LineMapNMF(2), data.X, n_runs=10, random_state=0)
    >>> result.components.shape, result.stability > 0.99
    ((2, 10), True)
    """
    if not isinstance(n_runs, Integral) or n_runs < 1:
        raise ValueError(f"`n_runs` must be an integer of at least 1, got {n_runs}.")
    params = {} if sigma is None else {"sigma": sigma}
    seeds = check_random_state(random_state).randint(2**31 - 1, size=n_runs)

    def run(seed):
        model = clone(estimator).set_params(random_state=int(seed))
        return model.fit(X, **params).components_

    profiles = np.array(
        Parallel(n_jobs, prefer="threads")(delayed(run)(seed) for seed in seeds)
    )
    profiles, common, std, stability = consensus(profiles, np.ones(n_runs, bool))
    return Bunch(
        run_components=profiles, components=common, std=std, stability=stability
    )


def choose_n_components(
    estimator,
    X,
    *,
    n_components=(1, 2, 3, 4, 5),
    sigma=None,
    fraction=0.1,
    n_splits=8,
    n_starts=4,
    n_jobs=None,
    random_state=None,
):
    """Choose the number of gas components by entries of X that are held out.

    A share of the entries of X, pixels of single lines, is made NaN, and predicted from
    the others. Leaving out whole rows does not tell the number: the maps of a row that
    was left out are fitted to that row. An entry that the others hardly determine may
    be predicted to be anything, so that no prediction counts as brighter than the
    brightest pixel that is seen in its line.

    Parameters
    ----------
    estimator : LineMapNMF or LineMapNMFEnsemble
        Its other parameters; it is cloned, with a `random_state` of its own for each
        start.
    X : array-like of shape (n_pixels, n_lines)
        Line intensities; NaN is missing.
    n_components : sequence of int, default=(1, 2, 3, 4, 5)
        Numbers to try.
    sigma : array-like of shape (n_pixels, n_lines), default=None
        1-sigma errors.
    fraction : float, default=0.1
        Share of the observed entries that is held out.
    n_splits : int, default=8
        Times that it is.
    n_starts : int, default=4
        Fits from different random starts to the same entries, of which the one of the
        smallest `reconstruction_err_` predicts: one start alone may end in a poor
        minimum, which would tell nothing of the number of components.
    n_jobs : int, default=None
        Threads.
    random_state : int, RandomState instance or None, default=None
        Draws the entries.

    Returns
    -------
    result : Bunch
        With ``best``, the smallest number whose error is within its standard error of
        the least; ``n_components``, the numbers; ``errors`` (n_numbers, n_splits), mean
        squared errors of held-out entries in units of `sigma` or, without it, of the
        mean of a line, of which those that are dark everywhere do not count;
        ``mean_errors``; and ``standard_errors`` of the differences from
        the least.

    Raises
    ------
    ValueError
        If `fraction`, `n_splits` or `n_components` are out of range.

    Examples
    --------
    >>> from skastro.datasets import make_line_maps
    >>> from skastro.decomposition import LineMapNMF
    >>> from skastro.model_selection import choose_n_components
    >>> data = make_line_maps(random_state=0)
    >>> choose_n_components(LineMapNMF(), data.X, random_state=0).best
    3
    """
    X = as_matrix(X, "X")
    if sigma is not None:
        sigma, X = check_errors(sigma, X)
    numbers = np.array(sorted(set(n_components)))
    if not len(numbers) or numbers.dtype.kind not in "iu" or numbers[0] < 1:
        raise ValueError(
            f"`n_components` must be positive integers to try, got {n_components!r}."
        )
    if not 0 < fraction < 1:
        raise ValueError(f"`fraction` must be between 0 and 1, got {fraction}.")
    if not isinstance(n_splits, Integral) or n_splits < 2:
        raise ValueError(
            f"`n_splits` must be an integer of at least 2, got {n_splits}."
        )
    if not isinstance(n_starts, Integral) or n_starts < 1:
        raise ValueError(
            f"`n_starts` must be an integer of at least 1, got {n_starts}."
        )
    rng = check_random_state(random_state)
    masks = _held_out(X, sigma, fraction, n_splits, rng)
    seeds = rng.randint(2**31 - 1, size=(n_splits, n_starts))

    def error(k, mask, seeds):
        models = [
            clone(estimator).set_params(n_components=int(k), random_state=int(seed))
            for seed in seeds
        ]
        return _error(models, X, sigma, mask)

    errors = Parallel(n_jobs, prefer="threads")(
        delayed(error)(k, mask, each)
        for k in numbers
        for mask, each in zip(masks, seeds, strict=True)
    )
    errors = np.reshape(errors, (len(numbers), n_splits))
    mean = errors.mean(axis=1)
    least = mean.argmin()
    # the same entries are held out for all numbers
    standard = (errors - errors[least]).std(axis=1, ddof=1) / np.sqrt(n_splits)
    near = mean - mean[least] <= standard
    return Bunch(
        best=int(numbers[near.argmax()]),
        n_components=numbers,
        errors=errors,
        mean_errors=mean,
        standard_errors=standard,
    )


@scorer("sigma")
def held_out_entries_scorer(estimator, X, y=None, sigma=None):
    """Score a factorisation of line maps by entries that are held out of its pixels.

    Higher is better. For `GridSearchCV` over the number of components and penalties,
    with any splitter: pixels of a test are new to the profiles, and of each of them
    single lines are predicted from the others, by the profiles that were fitted. What
    counts is the space that profiles span, so that maps may be negative here; and the
    logarithm of the error, so that a fold of dark pixels counts as much as a bright
    one.

    Parameters
    ----------
    estimator : LineMapNMF or LineMapNMFEnsemble
        Fitted.
    X : array-like of shape (n_pixels, n_lines)
        Line intensities; NaN is missing.
    y : ignored
        There for scikit-learn.
    sigma : array-like of shape (n_pixels, n_lines), default=None
        1-sigma errors, by which entries weigh.

    Returns
    -------
    score : float
        Minus the natural logarithm of the mean squared error of a tenth of the
        entries, drawn three times, in units of `sigma` or, without it, of the mean of
        a line. Lines without a positive intensity in any of these pixels have no such
        unit, and do not count.

    Raises
    ------
    TypeError
        If `estimator` is not a factorisation of line maps, such as a pipeline.
    ValueError
        If no line can be predicted from the others, or the number of lines is not
        that of the fit.

    See Also
    --------
    choose_n_components : With a standard error.

    References
    ----------
    A. Owen & P. Perry 2009, Ann. Appl. Stat. 3, 564: bi-cross-validation.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skastro.datasets import make_line_maps
    >>> from skastro.decomposition import LineMapNMF
    >>> from skastro.model_selection import held_out_entries_scorer
    >>> data = make_line_maps(random_state=0)
    >>> search = GridSearchCV(
    ...     LineMapNMF(random_state=0),
    ...     {"n_components": [2, 3, 4]},
    ...     scoring=held_out_entries_scorer,
    ...     cv=3,
    ... )
    >>> search.fit(data.X).best_params_
    {'n_components': 3}
    """
    if not isinstance(estimator, BlendedMaps):
        raise TypeError(
            "`estimator` must be a LineMapNMF or LineMapNMFEnsemble, whose profiles are"
            f" in the units of X; got {type(estimator).__name__}."
        )
    check_is_fitted(estimator)
    X = as_matrix(X, "X")
    if X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} lines, but {type(estimator).__name__} was fitted to"
            f" {estimator.n_features_in_}."
        )
    if sigma is not None:
        sigma, X = check_errors(sigma, X)
    rng = np.random.RandomState(0)
    masks = _held_out(X, sigma, _SCORER_FRACTION, _SCORER_SPLITS, rng)
    unit = _line_means(X) if sigma is None else sigma
    errors = [
        np.square((X - _predicted(estimator.components_, X, mask, unit)) / unit)[mask]
        for mask in masks
    ]
    # data without noise are predicted to the last digit
    error = max(np.mean(np.concatenate(errors)), np.finfo(float).tiny)
    return -float(np.log(error))


def _line_means(X):
    """Return the mean positive intensity of each line, of all where one has none."""
    seen = ~np.isnan(X)
    total = np.where(seen, np.maximum(X, 0), 0).sum(axis=0, dtype=np.float64)
    mean = total / np.maximum(seen.sum(axis=0), 1)
    lit = mean > 0
    return np.where(lit, mean, mean[lit].mean() if lit.any() else 1.0)


def _predicted(profiles, X, mask, unit):
    """Return intensities by least squares on the entries that are not held out."""
    unit = np.broadcast_to(unit, X.shape).astype(np.float64)
    seen = ~mask & ~np.isnan(X)
    size = np.linalg.norm(profiles / _line_means(X), axis=1, keepdims=True)
    basis = profiles / np.where(size > 0, size, 1)
    weights = np.where(seen, unit**-2.0, 0)
    gram = np.einsum("nl,kl,jl->nkj", weights, basis, basis)
    target = (weights * np.where(seen, X, 0)) @ basis.T
    k = len(basis)
    trace = np.einsum("nkk->n", gram)[:, None, None]
    gram += (_RIDGE * trace + np.finfo(float).tiny) * np.eye(k)
    maps = np.linalg.solve(gram, target[..., None])[..., 0]
    brightest = np.nanmax(np.where(seen, X, -np.inf), axis=0)
    return np.clip(maps @ basis, 0, np.maximum(brightest, 0))


def _held_out(X, sigma, fraction, n_splits, rng):
    """Draw entries that are observed, never all of a pixel or of a line.

    Without errors, a line that is nowhere positive has no unit to judge it by, and
    none of its entries are drawn.
    """
    observed = ~np.isnan(X)
    judged = observed if sigma is not None else observed & (X > 0).any(axis=0)
    masks = []
    for _ in range(n_splits):
        mask = (rng.uniform(size=X.shape) < fraction) & judged
        left = ~mask & observed
        mask[~left.any(axis=1)] = False
        mask[:, ~left.any(axis=0)] = False
        masks.append(mask)
    if not any(mask.any() for mask in masks):
        raise ValueError(
            f"No entry of these {len(X)} pixels can be held out: give pixels in which"
            " two or more lines are observed."
        )
    return masks


def _error(models, X, sigma, mask):
    """Return the mean squared error of held-out entries for the best fit."""
    params = {} if sigma is None else {"sigma": sigma}
    seen = np.where(mask, np.nan, X)
    for model in models:
        model.fit(seen, **params)
    model = min(models, key=lambda model: model.reconstruction_err_)
    predicted = model.inverse_transform(model.transform(seen, **params))
    predicted = np.minimum(predicted, np.nanmax(seen, axis=0))
    unit = _line_means(X) if sigma is None else sigma
    return float(np.mean(np.square((X - predicted) / unit)[mask]))
