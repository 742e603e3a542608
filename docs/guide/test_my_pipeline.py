"""A test file as a user of skastro would write it, for a pipeline of their own."""

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from sklearn.pipeline import make_pipeline

from skastro.datasets import make_open_clusters
from skastro.decomposition import ProbabilisticPCA
from skastro.metric_learning import RSCA
from skastro.metrics import doppelganger_scorer
from skastro.model_selection import LeaveOneClusterOut
from skastro.testing import (
    check_empty_rows_do_not_matter,
    check_errors_travel,
    check_missing_equals_masked,
    check_refit_identical,
    check_row_permutation,
    check_scale_equivariance,
    check_tables,
    incomplete_data,
)


def likeness():
    """Return the pipeline: components of spectra, then the metric of open clusters."""
    with sklearn.config_context(enable_metadata_routing=True):
        components = ProbabilisticPCA(4, with_covariance=True, random_state=0)
        components.set_fit_request(sigma=True).set_transform_request(sigma=True)
    return make_pipeline(components, RSCA(with_covariance=True))


@pytest.fixture(scope="module")
def stars():
    """Return spectra with gaps, their errors, and clusters."""
    return make_open_clusters(6, 40, n_field=200, n_features=120, random_state=0)


def test_fits_can_be_repeated(stars):
    check_refit_identical(likeness(), stars.X, stars.y, sigma=stars.sigma)


def test_stars_do_not_depend_on_each_other(stars):
    check_row_permutation(likeness(), stars.X, stars.y, sigma=stars.sigma)


def test_masks_are_what_they_say(stars):
    check_missing_equals_masked(likeness(), stars.X, stars.y, sigma=stars.sigma)


def test_units_do_not_matter(stars):
    check_scale_equivariance(
        likeness(), stars.X, stars.y, degree=0, rtol=1e-6, sigma=stars.sigma
    )


def test_tables_keep_their_names(stars):
    complete = np.nan_to_num(stars.X[:, :40], nan=1.0)
    sigma = stars.sigma[:, :40]
    check_tables(likeness(), complete, stars.y, sigma=sigma)


def test_errors_reach_every_fold(stars):
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = doppelganger_scorer.set_score_request(sigma=True)
    check_errors_travel(
        likeness(),
        stars.X,
        stars.y,
        stars.sigma,
        cv=LeaveOneClusterOut(),
        scoring=scorer,
    )


@settings(max_examples=5, deadline=None)
@given(incomplete_data())
def test_empty_spectra_do_no_harm(X):
    check_empty_rows_do_not_matter(ProbabilisticPCA(2, random_state=0), X, rtol=1e-3)
