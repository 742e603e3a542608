"""Scorers as objects: requests, pickles, stock searches."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, cross_validate

from skastro.utils.scorers import scorer

X = np.arange(12.0)[:, None]
SIGMA = np.linspace(1, 2, 12)


@scorer("sigma")
def mean_error(estimator, X, y, sigma=None):
    """Return the power of the estimator times the mean error of the rows."""
    return estimator.power * (1.0 if sigma is None else float(np.mean(sigma)))


class Power(TransformerMixin, BaseEstimator):
    def __init__(self, power=1):
        self.power = power

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X**self.power


def asking(**requests):
    with sklearn.config_context(enable_metadata_routing=True):
        return mean_error.set_score_request(**requests)


def test_it_looks_like_the_function():
    assert mean_error.__name__ == "mean_error"
    assert "mean error" in mean_error.__doc__
    assert repr(mean_error) == "mean_error"
    assert mean_error(Power(3), X) == 3.0
    assert mean_error(Power(3), X, sigma=None) == 3.0
    assert mean_error(Power(3), X, sigma=SIGMA) == pytest.approx(4.5)


def test_requests_make_another_scorer():
    asked = asking(sigma=True)
    assert repr(asked) == "mean_error.set_score_request(sigma=True)"
    assert repr(mean_error) == "mean_error"
    again = pickle.loads(pickle.dumps(asked))
    assert repr(again) == repr(asked)
    assert again(Power(2), X, sigma=SIGMA) == asked(Power(2), X, sigma=SIGMA)
    assert pickle.loads(pickle.dumps(mean_error))(Power(2), X) == 2.0


def test_unknown_metadata_are_named():
    with pytest.raises(TypeError, match=r"mean_error takes.*\['sigma'\].*\['mask'\]"):
        mean_error(Power(), X, mask=None)
    with pytest.raises(TypeError, match=r"can request \['sigma'\], not \['mask'\]"):
        mean_error.set_score_request(mask=True)
    with pytest.raises(RuntimeError, match="enable_metadata_routing=True"):
        mean_error.set_score_request(sigma=True)
    for no_request in (3, "two words"):
        with pytest.raises(ValueError, match="valid identifier"):
            asking(sigma=no_request)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_searches_pass_metadata_on(n_jobs):
    asked = asking(sigma=True)
    folds = [(np.arange(6), np.arange(6, 12)), (np.arange(6, 12), np.arange(6))]
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(
            Power(), {"power": [1, 2]}, scoring=asked, cv=folds, n_jobs=n_jobs
        ).fit(X, sigma=SIGMA)
        several = cross_validate(
            Power(2),
            X,
            cv=folds,
            scoring={"with": asked, "without": mean_error.set_score_request(sigma="e")},
            params={"sigma": SIGMA},
        )
    means = [SIGMA[6:].mean(), SIGMA[:6].mean()]
    for fold, mean in enumerate(means):
        found = search.cv_results_[f"split{fold}_test_score"]
        np.testing.assert_allclose(found, [mean, 2 * mean])
    assert search.best_params_ == {"power": 2}
    np.testing.assert_allclose(several["test_with"], 2 * np.array(means))
    np.testing.assert_allclose(several["test_without"], 2.0)


def test_metadata_that_nobody_asked_for_are_an_error():
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(UnsetMetadataPassedError, match=r"mean_error\.set_score_request"),
    ):
        GridSearchCV(Power(), {"power": [1]}, scoring=mean_error, cv=2).fit(
            X, sigma=SIGMA
        )
