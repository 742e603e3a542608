"""Ready-made checks pass what is right, and fail what is wrong, each in its way."""

import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from skastro.testing import (
    check_empty_rows_do_not_matter,
    check_errors_travel,
    check_missing_equals_masked,
    check_refit_identical,
    check_row_permutation,
    check_scale_equivariance,
    check_single_precision,
    check_tables,
)
from skastro.utils.arrays import validate
from skastro.utils.sigma import check_errors

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)) + 5
SIGMA = RNG.uniform(0.5, 2, X.shape)
HOLES = np.where(RNG.random(X.shape) < 0.2, np.nan, X)


class Centre(TransformerMixin, BaseEstimator):
    """Subtracts weighted means of what is observed; or does one thing wrong."""

    def __init__(self, fault=None):
        self.fault = fault

    def fit(self, X, y=None, sigma=None):
        if self.fault == "ignores masks":
            X = np.array(X, dtype=float)
        if self.fault == "drops units" and hasattr(X, "unit"):
            X = X.value
        if self.fault == "forgets names" and hasattr(X, "colnames"):
            X = np.column_stack([X[name] for name in X.colnames])
        X = validate(self, X, allow_nan=True)
        if self.fault == "minds empty rows":
            X = np.where(np.isnan(X).all(axis=1, keepdims=True), 0, X)
        if self.fault == "has a unit":
            X = X + 1
        if sigma is None or self.fault == "ignores errors":
            sigma = 1.0
        if self.fault == "ignores infinite errors":
            sigma = np.where(np.isinf(sigma), 1, sigma)
        sigma, X = check_errors(sigma, X)
        # the errors' own size does not matter, and squares must not overflow
        weights = np.where(np.isnan(X), 0, (np.median(sigma) / sigma) ** 2)
        self.mean_ = np.nansum(weights * X, axis=0) / weights.sum(axis=0)
        if self.fault == "is random":
            self.mean_ = self.mean_ + np.random.rand()  # noqa: NPY002
        if self.fault == "squares":
            with np.errstate(over="ignore", invalid="ignore"):
                self.mean_ = np.sqrt(np.nanmean(X * X, axis=0))
        return self

    def transform(self, X):
        if self.fault == "ignores masks":
            X = np.array(X, dtype=float)
        if self.fault == "forgets names" and hasattr(X, "colnames"):
            X = np.column_stack([X[name] for name in X.colnames])
        X = validate(self, X, allow_nan=True, reset=False)
        if self.fault == "looks at other rows":
            return X - X.mean(axis=0)
        return (X - self.mean_).astype(X.dtype)

    def fit_transform(self, X, y=None, sigma=None):
        return self.fit(X, y, sigma=sigma).transform(X)

    def score(self, X, y=None, sigma=None):
        Z = self.transform(X)
        return -float(np.mean((Z / (1.0 if sigma is None else sigma)) ** 2))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def travel(estimator):
    with sklearn.config_context(enable_metadata_routing=True):
        estimator.set_fit_request(sigma=True).set_score_request(sigma=True)
    check_errors_travel(estimator, X, np.zeros(40), SIGMA, cv=KFold(4))


CHECKS = {
    "refit": lambda e: check_refit_identical(e, X),
    "rows": lambda e: check_row_permutation(e, X),
    "scale": lambda e: check_scale_equivariance(e, X, sigma=SIGMA),
    "missing": lambda e: check_missing_equals_masked(e, HOLES, sigma=SIGMA),
    "empty": lambda e: check_empty_rows_do_not_matter(e, HOLES, sigma=SIGMA),
    "single": lambda e: check_single_precision(e, X, sigma=SIGMA),
    "tables": lambda e: check_tables(e, X),
    "travel": travel,
}


@pytest.mark.parametrize("check", CHECKS)
def test_right_estimators_pass(check):
    CHECKS[check](Centre())


@pytest.mark.parametrize(
    ("check", "fault"),
    [
        ("refit", "is random"),
        ("rows", "looks at other rows"),
        ("scale", "has a unit"),
        ("missing", "ignores masks"),
        ("missing", "ignores infinite errors"),
        ("empty", "minds empty rows"),
        ("single", "squares"),
        ("tables", "drops units"),
        ("tables", "forgets names"),
        ("travel", "ignores errors"),
    ],
)
def test_wrong_estimators_fail(check, fault):
    with warnings.catch_warnings(), pytest.raises((AssertionError, ValueError)):
        warnings.simplefilter("ignore")
        CHECKS[check](Centre(fault))


def test_estimators_without_missing_values_must_refuse_all_kinds():
    class Lax(LinearRegression):
        def fit(self, X, y):
            return super().fit(np.array(X, dtype=float), y)

    y = X @ [1.0, 2.0, 3.0]
    check_missing_equals_masked(make_pipeline(Centre(), LinearRegression()), HOLES, y)
    with pytest.raises(AssertionError, match="NaN is refused, but numpy.ma"):
        check_missing_equals_masked(Lax(), HOLES, y)


def test_regressors_have_the_unit_of_their_targets():
    y = X @ [1.0, 2.0, 3.0] + RNG.normal(size=40)
    check_scale_equivariance(LinearRegression(), X, y, rtol=1e-9)
    check_row_permutation(LinearRegression(), X, y)


def test_pipelines_are_checked_as_a_whole():
    pipeline = make_pipeline(SimpleImputer(), Centre())
    with pytest.raises(AssertionError, match="numpy.ma is not NaN"):
        # the imputer does not know masks
        check_missing_equals_masked(pipeline, HOLES)
