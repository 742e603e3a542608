"""Errors through stock searches: pipelines, scorers and splitters together."""

import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_validate,
)
from sklearn.pipeline import make_pipeline

from skastro.datasets import make_open_clusters
from skastro.decomposition import ProbabilisticPCA
from skastro.metric_learning import RSCA
from skastro.metrics import doppelganger_scorer
from skastro.model_selection import (
    ClusterKFold,
    LeaveOneClusterOut,
    cross_val_doppelganger_rates,
)
from skastro.testing import check_errors_travel

GRID = {"probabilisticpca__n_components": [3, 5]}


@pytest.fixture(scope="module")
def stars():
    return make_open_clusters(6, 40, n_field=250, n_features=120, random_state=0)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def likeness(aware=True):
    components = ProbabilisticPCA(5, with_covariance=aware, random_state=0)
    components.set_fit_request(sigma=True).set_transform_request(sigma=True)
    return make_pipeline(components, RSCA(with_covariance=aware))


@pytest.mark.parametrize("search", ["grid", "random", "halving by a parameter"])
def test_errors_in_searches(search, stars, routing):
    scorer = doppelganger_scorer.set_score_request(sigma=True)
    options = {"cv": LeaveOneClusterOut(), "scoring": scorer, "error_score": "raise"}
    if search == "grid":
        found = GridSearchCV(likeness(), GRID, n_jobs=2, **options)
    elif search == "random":
        found = RandomizedSearchCV(
            likeness(), GRID, n_iter=2, random_state=0, **options
        )
    else:
        resource = "probabilisticpca__max_iter"
        found = HalvingGridSearchCV(
            likeness(),
            GRID,
            resource=resource,
            min_resources=3,
            max_resources=9,
            **options,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of so few passes
        found.fit(stars.X, stars.y, sigma=stars.sigma)
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()
    assert -0.2 < found.best_score_ <= 0


def test_every_fold_gets_its_errors(stars, routing):
    scorer = doppelganger_scorer.set_score_request(sigma=True)
    check_errors_travel(
        likeness(), stars.X, stars.y, stars.sigma, cv=ClusterKFold(3), scoring=scorer
    )


def test_a_search_is_what_cross_validation_of_single_clusters_says(stars, routing):
    scorer = doppelganger_scorer.set_score_request(sigma=True)
    scores = cross_validate(
        likeness(),
        stars.X,
        stars.y,
        cv=LeaveOneClusterOut(),
        scoring=scorer,
        params={"sigma": stars.sigma},
        error_score="raise",
    )["test_score"]
    rates = cross_val_doppelganger_rates(
        likeness(), stars.X, stars.y, params={"sigma": stars.sigma}
    )
    np.testing.assert_allclose(-scores, rates.rates, atol=1e-12)


@pytest.mark.parametrize("aware", [False, True])
def test_nested_searches(aware, stars, routing):
    scorer = doppelganger_scorer.set_score_request(sigma=True)
    inner = GridSearchCV(likeness(aware), GRID, cv=ClusterKFold(2), scoring=scorer)
    outer = cross_validate(
        inner,
        stars.X,
        stars.y,
        cv=ClusterKFold(3),
        scoring=scorer,
        params={"sigma": stars.sigma},
        n_jobs=2,
        error_score="raise",
        return_estimator=True,
    )
    assert (-0.2 < outer["test_score"]).all()
    assert all(
        "probabilisticpca__n_components" in s.best_params_ for s in outer["estimator"]
    )


def own_score(estimator, X, y):
    return estimator.score(X, y)


def test_several_scores_and_importances(stars):
    pipeline = make_pipeline(ProbabilisticPCA(4, random_state=0), RSCA())
    scores = cross_validate(
        pipeline,
        stars.X,
        stars.y,
        cv=LeaveOneClusterOut(),
        scoring={"scorer": doppelganger_scorer, "own": own_score},
        error_score="raise",
    )
    assert_array_equal(scores["test_scorer"], scores["test_own"])
    Z = pipeline[0].fit_transform(stars.X)
    rsca = RSCA().fit(Z, stars.y)
    importance = permutation_importance(
        rsca, Z, stars.y, scoring=doppelganger_scorer, n_repeats=2, random_state=0
    )
    assert importance.importances_mean.argmax() == np.argmax(
        np.abs(rsca.components_).max(axis=0) * Z.std(axis=0)
    )


def test_frozen_and_found_metrics_are_scored_alike(stars):
    fitted = make_pipeline(ProbabilisticPCA(4, random_state=0), RSCA())
    fitted.fit(stars.X, stars.y)
    expected = doppelganger_scorer(fitted, stars.X, stars.y)
    frozen = FrozenEstimator(fitted)
    assert doppelganger_scorer(frozen, stars.X, stars.y) == expected
    search = GridSearchCV(fitted, {"rsca__n_components": [None]}, cv=ClusterKFold(2))
    search.fit(stars.X, stars.y)
    assert doppelganger_scorer(search, stars.X, stars.y) == expected


@pytest.mark.parametrize("cv", [3, KFold(3)])
def test_splitters_that_part_siblings_are_named(cv, stars):
    pipeline = make_pipeline(ProbabilisticPCA(3, random_state=0), RSCA())
    options = {"cv": cv, "scoring": doppelganger_scorer}
    with pytest.raises(ValueError, match="LeaveOneClusterOut or ClusterKFold"):
        cross_validate(pipeline, stars.X, stars.y, error_score="raise", **options)
    # by itself, scikit-learn makes NaN of it, and a warning of the words
    with pytest.warns(Warning, match="LeaveOneClusterOut or ClusterKFold"):
        scores = cross_validate(pipeline, stars.X, stars.y, **options)
    assert np.isnan(scores["test_score"]).all()


def test_halving_by_rows_says_that_it_cannot(stars):
    pipeline = make_pipeline(ProbabilisticPCA(3, random_state=0), RSCA())
    search = HalvingGridSearchCV(
        pipeline,
        {"probabilisticpca__n_components": [2, 3]},
        cv=LeaveOneClusterOut(),
        scoring=doppelganger_scorer,
        min_resources=30,
        error_score="raise",
        random_state=0,
    )
    with warnings.catch_warnings(), pytest.raises(ValueError, match="`resource`"):
        warnings.simplefilter("ignore", UserWarning)  # of clusters of one star
        search.fit(stars.X, stars.y)
