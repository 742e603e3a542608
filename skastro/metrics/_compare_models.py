"""Compare models by the evidence of the same objects."""

from collections.abc import Mapping

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..utils.warn import warn
from ._model_comparison import ModelComparison, listed


def compare_models(models, *, model_prior=None, odds=150.0, objects=None):
    r"""Compare models by the evidence of all objects, and say which objects decide.

    If one of the models :math:`M` made all objects, the logarithms of their evidence
    add up, and the probability of a model is

    .. math:: P(M \mid D) \propto P(M) \prod_i Z_i(M).

    See :ref:`the user guide <which_model>`.

    Parameters
    ----------
    models : mapping of str to BayesianRetrieval, Posterior or Posteriors
        Two models or more by name: retrievals fitted to the same data, or what they
        found. Of retrievals it is checked that the lines, intensities, errors and
        limits are the same, in whatever order the lines were; posteriors alone do not
        remember them, and the result names those.
    model_prior : mapping of str to float, default=None
        How probable each model is before the data, relative to the others: the same by
        default.
    odds : float, default=150.0
        Odds at which a model counts as preferred to another; 150 to 1 is "very strong"
        evidence of Kass & Raftery.
    objects : sequence of shape (n_objects,), default=None
        Labels of the objects, each once; their positions by default.

    Returns
    -------
    comparison : ModelComparison
        Sums, differences, probabilities, the objects that decide; it prints as a
        summary.

    Raises
    ------
    TypeError
        If something else than fitted retrievals and posteriors is compared.
    ValueError
        If there are fewer than two models, they are of different data or objects, no
        object is left to compare, or an argument does not fit.

    Warns
    -----
    UserWarning
        If an object has an evidence of some models only: it is left out of all sums,
        and named. A model that has none for it may be the one that fails.

    See Also
    --------
    log_evidence_scorer : The same sum as a score, for ``GridSearchCV``.

    Notes
    -----
    An evidence depends on the width of the prior, so priors should be meant; and it is
    a density, so that all models must predict the same numbers in the same unit.
    Standard errors are numerical and independent between objects and models; where
    objects share draws (``sampler="importance"``) this is nearly so: the sum of 64
    objects that are all alike scatters by 1.4 times its stated error.

    A sum is ruled by its largest terms. One object that a model cannot describe, for
    example for a wrong error bar, can outweigh all others; this is what
    :meth:`~ModelComparison.decisive_objects` and
    :meth:`~ModelComparison.carrying_objects` tell. If objects may be of different
    models, look at :attr:`~ModelComparison.object_probabilities`.

    References
    ----------
    Kass & Raftery (1995), JASA 90, 773. Trotta (2008), *Contemporary Physics* 49, 71.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.metrics import compare_models
    >>> from skastro.parameter_space import ParameterSpace, Uniform
    >>> from skastro.retrieval import BayesianRetrieval
    >>> level, slope = Uniform(-5, 5), Uniform(-5, 5)
    >>> models = {
    ...     "flat": BayesianRetrieval(
    ...         lambda theta, X: theta + 0 * X[:, 0],
    ...         ParameterSpace({"level": level}),
    ...         sampler="importance",
    ...         random_state=0,
    ...     ),
    ...     "sloped": BayesianRetrieval(
    ...         lambda theta, X: theta[:, :1] + theta[:, 1:] * X[:, 0],
    ...         ParameterSpace({"level": level, "slope": slope}),
    ...         sampler="importance",
    ...         random_state=0,
    ...     ),
    ... }
    >>> X = np.linspace(-1, 1, 4)[:, None]
    >>> y = np.array([[1.1, 0.9, 1.0, 1.1], [-0.1, 0.8, 1.3, 2.0]])
    >>> fitted = {name: m.fit(X, y, sigma=0.3) for name, m in models.items()}
    >>> comparison = compare_models(fitted, objects=["A", "B"])
    >>> comparison.best, comparison.verdict(), comparison.decisive_objects()
    ('sloped', 'preferred', ['B'])
    """
    if not isinstance(models, Mapping):
        raise TypeError(
            "`models` must be a mapping of names to fitted retrievals or posteriors,"
            f" such as {{'one phase': retrieval}}, got {type(models).__name__}."
        )
    names = list(models)
    if len(names) < 2:
        raise ValueError(f"`models` must have two models or more, got {names}.")
    if not isinstance(odds, (int, float, np.number)) or not 1 < odds < np.inf:
        raise ValueError(f"`odds` must be a number above 1, such as 150, got {odds!r}.")
    values, errors = zip(*(_evidence(n, m) for n, m in models.items()), strict=True)
    lengths = dict(zip(names, map(len, values), strict=True))
    if len(set(lengths.values())) > 1:
        raise ValueError(f"`models` have different numbers of objects: {lengths}.")
    unchecked = _check_data(models)
    values, errors = np.array(values), np.array(errors)
    found = np.isfinite(values)
    unknown = found & ~(np.isfinite(errors) & (errors >= 0))
    if unknown.any():
        k, i = np.argwhere(unknown)[0]
        raise ValueError(
            f"The `log_evidence_err` of {names[k]!r} is {errors[k, i]} for object {i};"
            " an evidence needs its error, 0 if it is exact."
        )
    comparison = ModelComparison(
        names,
        _labels(objects, values.shape[1]),
        np.where(found, values, np.nan),
        np.where(found, errors, np.nan),
        _model_prior(model_prior, names),
        float(odds),
        unchecked,
    )
    if not comparison.compared.any():
        raise ValueError(
            "No object has an evidence of every model: there is nothing to compare."
            f" Objects without, of each: {comparison.missing}."
        )
    _tell_of_missing(comparison, found)
    return comparison


def _evidence(name, model):
    """Return ln Z of each object and its error, of a retrieval or of posteriors."""
    if hasattr(model, "fit"):
        check_is_fitted(model, msg=f"The model {name!r} of `models` is not fitted.")
        model = getattr(model, "posterior_", model)
    if not hasattr(model, "log_evidence"):
        raise TypeError(
            f"The model {name!r} of `models` must be a fitted BayesianRetrieval, a"
            f" Posterior or Posteriors, got {type(model).__name__}."
        )
    return tuple(
        np.atleast_1d(np.asarray(x, dtype=float))
        for x in (model.log_evidence, model.log_evidence_err)
    )


def _check_data(models):
    """Refuse fits to different data; return the names of those that cannot tell."""
    known = {n: m for n, m in models.items() if hasattr(m, "_data_difference")}
    for name in list(known)[1:]:
        first = next(iter(known))
        difference = known[first]._data_difference(known[name])
        if difference is not None:
            what, here, there = difference
            raise ValueError(
                f"{first!r} and {name!r} were fitted to different data, of which"
                f" evidence cannot be compared: {what}: {here} in the one and {there}"
                " in the other. Fit all models to the same lines, intensities, errors"
                " and limits, in one unit."
            )
    return [name for name in models if name not in known]


def _labels(objects, n):
    """Return the labels of objects, each different."""
    if objects is None:
        return list(range(n))
    labels = list(objects)
    if len(labels) != n or len(set(labels)) != n:
        raise ValueError(
            f"`objects` must have a label for each of {n} objects, all different; got"
            f" {len(labels)}, {len(set(labels))} of them different."
        )
    return labels


def _model_prior(given, names):
    """Return normalised prior probabilities of the models."""
    if given is None:
        return np.full(len(names), 1 / len(names))
    if not isinstance(given, Mapping) or set(given) != set(names):
        raise ValueError(
            "`model_prior` must be a mapping with a number for each of the models"
            f" {names}, got {given!r}."
        )
    prior = np.array([given[name] for name in names], dtype=float)
    if not (np.isfinite(prior) & (prior > 0)).all():
        raise ValueError(
            f"`model_prior` must be positive and finite, got {dict(given)}; leave out a"
            " model that is impossible."
        )
    return prior / prior.sum()


def _tell_of_missing(comparison, found):
    """Warn of objects that some models have an evidence of, and others have not."""
    some = found.any(axis=0) & ~found.all(axis=0)
    if not some.any():
        return
    lacking = {
        name: [
            x for x, s, f in zip(comparison.objects, some, row, strict=True) if s > f
        ]
        for name, row in zip(comparison.names, found, strict=True)
    }
    said = "; ".join(f"{n!r} of {listed(x)}" for n, x in lacking.items() if x)
    warn(
        f"Some models have no evidence of an object that others have: {said}. These"
        " objects are left out of all sums. A model that has no solution for an object"
        " cannot describe it, which speaks against the model.",
    )
