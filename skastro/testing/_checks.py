"""Properties that estimators and pipelines must have, ready to be tested."""

import inspect
import pickle

import numpy as np
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone, is_regressor
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv, cross_validate

#: What stands under a mask, and must never be looked at.
GARBAGE = 1e30


# -- how an estimator is asked


def _takes(method, name):
    """Whether a method takes an argument by name, perhaps to pass it on."""
    parameters = inspect.signature(method).parameters.values()
    return any(p.name == name or p.kind == p.VAR_KEYWORD for p in parameters)


def _routing(metadata):
    """Let metadata pass through pipelines, where there are any."""
    return sklearn.config_context(enable_metadata_routing=bool(metadata))


def _present(metadata):
    return {name: values for name, values in metadata.items() if values is not None}


def _fit(estimator, X, y, metadata):
    metadata = _present(metadata)
    with _routing(metadata):
        return clone(estimator).fit(X, y, **metadata)


def _method(estimator):
    return getattr(estimator, "predict", None) or estimator.transform


def _output(estimator, X, metadata):
    """Return what a fitted estimator predicts, or transforms to, as an array."""
    method = _method(estimator)
    given = {n: v for n, v in _present(metadata).items() if _takes(method, n)}
    with _routing(given):
        return np.asarray(method(X, **given))


def _rows(values, rows):
    return None if values is None else np.asarray(values)[rows]


def _rows_of(metadata, rows, n):
    return {
        name: np.asarray(values)[rows]
        if values is not None and np.shape(values)[:1] == (n,)
        else values
        for name, values in metadata.items()
    }


# -- the checks


def check_refit_identical(estimator, X, y=None, **metadata):
    """Check that a fit can be repeated, to the last bit.

    Parameters
    ----------
    estimator : estimator
        With an integer as its `random_state`. It is cloned.
    X : array-like of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,), default=None
        Targets.
    **metadata : dict
        What `fit`, and `transform` or `predict`, are given beside, such as `sigma`.

    Raises
    ------
    AssertionError
        If two fits, or a pickled copy, differ; if data are changed; or if numpy's
        global generator is moved.
    """
    before = [np.array(a, copy=True) for a in (X, *_present(metadata).values())]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    fitted = _fit(estimator, X, y, metadata)
    first = _output(fitted, X, metadata)
    again = _output(_fit(estimator, X, y, metadata), X, metadata)
    assert_array_equal(again, first, err_msg="A second fit gives another result.")
    copied = _output(pickle.loads(pickle.dumps(fitted)), X, metadata)
    assert_array_equal(copied, first, err_msg="A pickled copy gives another result.")
    with _routing(_present(metadata)):
        fitted.fit(X, y, **_present(metadata))
    again = _output(fitted, X, metadata)
    assert_array_equal(again, first, err_msg="The first fit leaves something behind.")
    moved = np.random.get_state()[1]  # noqa: NPY002
    assert_array_equal(moved, state, err_msg="The global generator was moved.")
    after = (X, *_present(metadata).values())
    for was, now in zip(before, after, strict=True):
        assert_array_equal(now, was, err_msg="The data were changed.")


def check_row_permutation(estimator, X, y=None, *, rtol=1e-6, **metadata):
    """Check that what an estimator says of a row does not depend on other rows.

    Parameters
    ----------
    estimator : estimator
        With an integer as its `random_state`. It is cloned and fitted once.
    X : array-like of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,), default=None
        Targets.
    rtol : float, default=1e-6
        Largest difference, in units of the largest output.
    **metadata : dict
        What `fit`, and `transform` or `predict`, are given beside.

    Raises
    ------
    AssertionError
        If rows in another order, or fewer of them, give other outputs.
    """
    X = np.asarray(X)
    fitted = _fit(estimator, X, y, metadata)
    expected = _output(fitted, X, metadata)
    atol = rtol * np.nanmax(np.abs(expected))
    n = len(X)
    order = np.random.default_rng(0).permutation(n)
    for rows in (order, order[: n // 3], order[:1]):
        found = _output(fitted, X[rows], _rows_of(metadata, rows, n))
        assert_allclose(
            found,
            expected[rows],
            rtol=0,
            atol=atol,
            err_msg=f"{len(rows)} rows in another order give another output.",
        )


def check_scale_equivariance(
    estimator, X, y=None, *, degree=1, factors=(2.0**-40, 2.0**40), rtol=0, **metadata
):
    """Check that the unit of the data does not matter.

    Parameters
    ----------
    estimator : estimator
        With an integer as its `random_state`. It is cloned.
    X : array-like of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,), default=None
        Targets.
    degree : int, default=1
        The output of data that are larger by a factor is to be larger by its power
        of this degree: 1 for scores of principal components, 0 for latent variables
        without a unit. Of a regressor, y has the unit too, and the degree is 1.
    factors : tuple of float, default=(2**-40, 2**40)
        Units. Powers of two do not change a digit.
    rtol : float, default=0
        Largest difference, in units of the largest output; by default, equal to the
        last bit, which only powers of two can be.
    **metadata : dict
        What `fit`, and `transform` or `predict`, are given beside. `sigma` has the
        unit too.

    Raises
    ------
    AssertionError
        If outputs are not as said.
    """
    X = np.asarray(X)
    expected = _output(_fit(estimator, X, y, metadata), X, metadata)
    regressor = is_regressor(estimator)
    for factor in factors:
        scaled = dict(metadata)
        if metadata.get("sigma") is not None:
            scaled["sigma"] = np.asarray(metadata["sigma"]) * factor
        data = (X * factor).astype(X.dtype)
        target = np.asarray(y) * factor if regressor and y is not None else y
        found = _output(_fit(estimator, data, target, scaled), data, scaled)
        unit = factor**degree
        assert_allclose(
            found / unit,
            expected,
            rtol=0,
            atol=rtol * np.nanmax(np.abs(expected)),
            err_msg=f"Data in a unit {factor:g} times as small give another result.",
        )


def check_missing_equals_masked(estimator, X, y=None, **metadata):
    """Check that masked, NaN and not observed are one thing, to the last bit.

    What may stand under a mask of ``numpy.ma`` or ``astropy.utils.masked``, in a
    table with masked columns, or beside an infinite error, is filled with garbage. An
    estimator that refuses NaN must refuse all of these.

    Parameters
    ----------
    estimator : estimator
        With an integer as its `random_state`. It is cloned.
    X : array-like of shape (n_samples, n_features)
        Data, with NaN in some entries.
    y : array-like of shape (n_samples,), default=None
        Targets.
    **metadata : dict
        What `fit`, and `transform` or `predict`, are given beside; with `sigma`,
        infinite errors are tried too.

    Raises
    ------
    AssertionError
        If any two of them differ, or one is not refused.
    """
    from astropy.table import MaskedColumn, Table
    from astropy.utils.masked import Masked

    X = np.asarray(X)
    mask = np.isnan(X)
    assert mask.any(), "X must have NaN in some entries."
    garbage = np.where(mask, X.dtype.type(GARBAGE), X)
    kinds = {
        "numpy.ma": np.ma.array(garbage, mask=mask),
        "astropy's Masked": Masked(garbage, mask=mask),
        "a table": Table(
            [MaskedColumn(c, mask=m) for c, m in zip(garbage.T, mask.T, strict=True)],
            names=[f"column_{i}" for i in range(X.shape[1])],
        ),
    }
    try:
        expected = _output(_fit(estimator, X, y, metadata), X, metadata)
    except ValueError:  # of NaN, and nothing else
        _fit(estimator, np.nan_to_num(X), y, metadata)
        for kind, data in kinds.items():
            _assert_raises(
                (ValueError,),
                lambda data=data: _fit(estimator, data, y, metadata),
                f"NaN is refused, but {kind} with masked values is not.",
            )
        return
    for kind, data in kinds.items():
        found = _output(_fit(estimator, data, y, metadata), data, metadata)
        assert_array_equal(found, expected, err_msg=f"{kind} is not NaN.")
    if metadata.get("sigma") is not None:
        sigma = np.broadcast_to(np.asarray(metadata["sigma"], dtype=float), X.shape)
        unseen = {**metadata, "sigma": np.where(mask, np.inf, sigma)}
        fitted = _fit(estimator, garbage, y, unseen)
        seen = garbage if _takes(_method(fitted), "sigma") else X
        found = _output(fitted, seen, unseen)
        message = "An infinite error is not NaN."
        assert_array_equal(found, expected, err_msg=message)


def check_empty_rows_do_not_matter(estimator, X, y=None, *, rtol=1e-6, **metadata):
    """Check that rows in which nothing was observed do not move the others.

    Parameters
    ----------
    estimator : estimator
        One that takes NaN, with an integer as its `random_state`. It is cloned.
    X : array-like of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,), default=None
        Targets.
    rtol : float, default=1e-6
        Largest difference, in units of the largest output.
    **metadata : dict
        What `fit`, and `transform` or `predict`, are given beside.

    Raises
    ------
    AssertionError
        If a fit with some rows of NaN more gives the other rows another output.
    """
    X = np.asarray(X)
    n = len(X)
    more = np.r_[np.arange(n), np.arange(0, n, max(1, n // 5))]
    padded = X[more]
    padded[n:] = np.nan
    wide = _rows_of(metadata, more, n)
    expected = _output(_fit(estimator, X, y, metadata), X, metadata)
    found = _output(_fit(estimator, padded, _rows(y, more), wide), X, metadata)
    assert_allclose(
        found,
        expected,
        rtol=0,
        atol=rtol * np.nanmax(np.abs(expected)),
        err_msg="Rows without any observed entry move the others.",
    )


def check_single_precision(
    estimator, X, y=None, *, degree=1, units=(1e-30, 1.0, 1e30), rtol=1e-2, **metadata
):
    """Check that single precision will do, in whatever unit the data are.

    Parameters
    ----------
    estimator : estimator
        With an integer as its `random_state`. It is cloned.
    X : array-like of shape (n_samples, n_features)
        Data of order one.
    y : array-like of shape (n_samples,), default=None
        Targets.
    degree : int, default=1
        As for `check_scale_equivariance`.
    units : tuple of float, default=(1e-30, 1.0, 1e30)
        What the data are multiplied by.
    rtol : float, default=1e-2
        Largest difference to double precision, in units of the largest output.
    **metadata : dict
        What `fit`, and `transform` or `predict`, are given beside.

    Raises
    ------
    AssertionError
        If results differ from those of double precision by more, or the output of a
        transformer that keeps single precision has not got it.
    """
    X = np.asarray(X, dtype=np.float64)
    expected = _output(_fit(estimator, X, y, metadata), X, metadata)
    tags = sklearn.utils.get_tags(estimator).transformer_tags
    keeps = tags is not None and "float32" in tags.preserves_dtype
    regressor = is_regressor(estimator)
    for unit in units:
        data = (X * unit).astype(np.float32)
        scaled = dict(metadata)
        if metadata.get("sigma") is not None:
            sigma = np.asarray(metadata["sigma"], dtype=np.float64) * unit
            scaled["sigma"] = sigma.astype(np.float32)
        target = np.asarray(y) * unit if regressor and y is not None else y
        found = _output(_fit(estimator, data, target, scaled), data, scaled)
        if keeps:
            assert found.dtype == np.float32, f"The output is {found.dtype}."
        assert_allclose(
            found / np.float64(unit) ** degree,
            expected,
            rtol=0,
            atol=rtol * np.nanmax(np.abs(expected)),
            err_msg=f"Single precision in a unit of {unit:g} gives another result.",
        )


def check_tables(estimator, X, y=None, **metadata):
    """Check that tables are taken by their names, and units are not lost in silence.

    Parameters
    ----------
    estimator : estimator
        With an integer as its `random_state`. It is cloned.
    X : array-like of shape (n_samples, n_features)
        Complete data.
    y : array-like of shape (n_samples,), default=None
        Targets.
    **metadata : dict
        What `fit`, and `transform` or `predict`, are given beside.

    Raises
    ------
    AssertionError
        If an ``astropy.table.Table`` gives another result than an array, its names
        are lost or not compared, or a ``Quantity`` is not refused.
    """
    from astropy import units as u
    from astropy.table import Table

    X = np.asarray(X)
    names = [f"column_{i}" for i in range(X.shape[1])]
    table = Table(list(X.T), names=names)
    expected = _output(_fit(estimator, X, y, metadata), X, metadata)
    fitted = _fit(estimator, table, y, metadata)
    found = _output(fitted, table, metadata)
    assert_array_equal(found, expected, err_msg="A table is not its values.")
    known = getattr(fitted, "feature_names_in_", ())
    assert list(known) == names, "Names of columns are lost."
    if len(names) > 1:
        _assert_raises(
            (ValueError,),
            lambda: _output(fitted, table[names[::-1]], metadata),
            "Columns in another order are not refused.",
        )
    for data in (X * u.Jy, Table(list(X.T), names=names, units=["Jy"] * len(names))):
        _assert_raises(
            (TypeError,),
            lambda data=data: _fit(estimator, data, y, metadata),
            "A unit is dropped in silence.",
        )


def _assert_raises(errors, function, message):
    try:
        function()
    except errors:
        return
    raise AssertionError(message)


def check_errors_travel(estimator, X, y, sigma, *, cv, scoring=None):
    """Check that errors reach every step and every score of a cross-validation.

    Metadata routing is switched on, and stock `cross_validate` compared with a loop
    that is written out: fitted with the errors of the rows of training, scored with
    those of the rows of the test. A fit with other errors must score otherwise.

    Parameters
    ----------
    estimator : estimator
        Estimator, pipeline or search, with requests for `sigma` where it is used, and
        an integer as each `random_state`.
    X : array-like of shape (n_samples, n_features)
        Data.
    y : array-like of shape (n_samples,)
        Targets.
    sigma : array-like of shape (n_samples, n_features)
        1-sigma errors, which differ from entry to entry.
    cv : int or cross-validation splitter
        Folds.
    scoring : str or callable, default=None
        Scorer, with a request for `sigma` if it takes it; by default, the estimator's
        own `score`.

    Raises
    ------
    AssertionError
        If scores differ, are not finite, or do not depend on the errors of the fit.
    """
    X, y, sigma = np.asarray(X), np.asarray(y), np.asarray(sigma)
    with sklearn.config_context(enable_metadata_routing=True):
        options = {"cv": cv, "scoring": scoring, "error_score": "raise"}
        found = cross_validate(estimator, X, y, params={"sigma": sigma}, **options)
        scorer = check_scoring(estimator, scoring)
        request = sklearn.utils.metadata_routing.get_routing_for_object(scorer)
        asked = request.consumes("score", {"sigma"})
        other = np.random.default_rng(0).permuted(sigma, axis=1)
        expected, changed = [], []
        for train, test in check_cv(cv, y).split(X, y):
            given = {"sigma": sigma[test]} if asked else {}
            for errors, scores in ((sigma, expected), (other, changed)):
                fitted = clone(estimator).fit(X[train], y[train], sigma=errors[train])
                scores.append(scorer(fitted, X[test], y[test], **given))
    assert np.isfinite(expected).all(), f"Scores are not finite: {expected}."
    message = "Errors of other rows, or none, reach a fold."
    assert_allclose(found["test_score"], expected, rtol=1e-10, err_msg=message)
    assert not np.array_equal(expected, changed), "A fit does not use the errors."
