"""Factorisations of line maps, their scenes, and figures of merit."""

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from skastro.datasets import make_line_maps
from skastro.decomposition import LineMapNMF, LineMapNMFEnsemble
from skastro.decomposition._nmf_base import Problem
from skastro.decomposition._nmf_consensus import fits_equally, overlap
from skastro.decomposition._nmf_hals import factorise
from skastro.decomposition._nmf_runs import random_start
from skastro.metrics import component_mae, match_components
from skastro.model_selection import choose_n_components, held_out_entries_scorer
from skastro.model_selection._line_maps import _held_out
from skastro.testing import (
    check_empty_rows_do_not_matter,
    check_errors_travel,
    check_missing_equals_masked,
    check_refit_identical,
    check_row_permutation,
    check_scale_equivariance,
    check_single_precision,
    check_tables,
    line_maps,
)


@pytest.fixture(scope="module")
def data():
    return make_line_maps(map_shape=(20, 20), random_state=0)


def run(X, sigma=None, penalties=(0.0,) * 4, max_iter=4000, tol=1e-10):
    problem = Problem(X, sigma)
    V, H = random_start(problem, 3, 0)
    history = np.empty(max_iter)
    loss, _ = factorise(
        problem.lines,
        problem.weights,
        problem.square,
        V,
        H,
        penalties,
        max_iter,
        tol,
        True,
        history,
    )
    return problem, V, H, loss, history[~np.isnan(history)]


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize("l2", [0.0, 1e-3])
def test_loss_is_scikit_learns_from_one_start(l2):
    rng = np.random.default_rng(0)
    # of exact rank, so that both have one minimum to find
    X = rng.uniform(size=(60, 3)) @ rng.uniform(size=(3, 8)) + rng.uniform(
        0, 1e-2, size=(60, 8)
    )
    problem, V, H, loss, _ = run(X, penalties=(0.0, l2 * 8, 0.0, l2 * 60))
    V0, H0 = random_start(problem, 3, 0)
    W, C, _ = non_negative_factorization(
        X,
        W=np.ascontiguousarray(V0.T),
        H=H0,
        n_components=3,
        init="custom",
        tol=1e-9,
        max_iter=20_000,
        alpha_W=l2,
        alpha_H=l2,
    )

    def objective(W, C):
        square = np.sum((X - W @ C) ** 2)
        return square + l2 * 8 * np.sum(W**2) + l2 * 60 * np.sum(C**2)

    assert loss == pytest.approx(np.sum((X - V.T @ H) ** 2), rel=1e-8)
    assert objective(V.T, H) <= objective(W, C) * (1 + 1e-6) + 1e-9


@given(seed=st.integers(0, 10**6), weighted=st.booleans())
@settings(max_examples=20, deadline=None)
def test_objective_never_rises(seed, weighted):
    rng = np.random.default_rng(seed)
    X = rng.exponential(size=(40, 6))
    sigma = rng.uniform(0.1, 3, size=X.shape) if weighted else None
    *_, history = run(X, sigma, (0.01, 0.1, 0.02, 0.3), max_iter=60)
    assert np.all(np.diff(history) <= 1e-12 * history[:-1])


def test_equal_weights_and_none_are_the_same(data):
    X = np.maximum(data.X, 0)
    _, _, _, plain, _ = run(X, max_iter=100)
    _, _, _, weighted, _ = run(X, np.full(X.shape, 2.0), max_iter=100)
    assert weighted == pytest.approx(plain, rel=1e-6)


def test_entries_of_no_weight_are_missing(data):
    gaps = data.X.copy()
    gaps[::3, 2] = np.nan
    huge = np.where(np.isnan(gaps), 1e6, 1.0)
    missing = LineMapNMF(solver="hals", scale_lines=False, tol=1e-9, random_state=0)
    unknown = LineMapNMF(solver="hals", scale_lines=False, tol=1e-9, random_state=0)
    # the same start needs the same mean
    filled = np.where(np.isnan(gaps), 0.0, gaps)
    missing.fit(gaps, sigma=np.ones(gaps.shape))
    unknown.fit(filled, sigma=huge)
    assert_allclose(missing.components_, unknown.components_, rtol=1e-4, atol=1e-6)


@given(maps=line_maps(), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_units_of_lines_and_order_of_pixels_do_not_matter(maps, seed):
    X, _ = maps
    rng = np.random.default_rng(seed)
    units = 10 ** rng.uniform(-2, 2, size=X.shape[1])
    order = rng.permutation(len(X))
    model = LineMapNMF(2, tol=1e-7, max_iter=3000, random_state=0)
    one = model.fit(X)
    rebuilt = one.inverse_transform(one.transform(X))
    assert np.all(one.components_ >= 0) and np.all(one.transform(X) >= 0)
    assert_allclose(one.transform(X[order]), one.transform(X)[order], atol=1e-6)
    other = LineMapNMF(2, tol=1e-7, max_iter=3000, random_state=0).fit(X * units)
    again = other.inverse_transform(other.transform(X * units)) / units
    assert_allclose(again / rebuilt.max(0), rebuilt / rebuilt.max(0), atol=1e-3)


def test_components_of_the_scenes_are_found():
    data = make_line_maps(random_state=1)
    model = LineMapNMFEnsemble(n_members=30, random_state=0).fit(data.X)
    errors = [component_mae(data.components, c) for c in model.member_components_]
    assert np.mean(np.array(errors) <= 0.1) > 0.5
    assert component_mae(data.components, model.components_) < 0.01
    assert model.components_std_.shape == (3, 10) and 0.9 < model.stability_ <= 1


def test_two_components_merge_the_two_most_alike():
    data = make_line_maps(random_state=0)
    two = LineMapNMF(2, alpha_maps=1e-3, random_state=0).fit(data.X).components_
    mean = two.mean(axis=1, keepdims=True)
    true = data.components / data.components.mean(axis=1, keepdims=True)
    nearest = np.abs(true[:, None] - two / mean).mean(axis=2).argmin(axis=1)
    assert nearest[0] == nearest[1] != nearest[2]


@pytest.mark.parametrize("scene", ["protostellar", "high_z"])
@pytest.mark.parametrize("seed", [0, 1])
def test_number_of_components_is_found(scene, seed):
    X = make_line_maps(scene, map_shape=(20, 20), random_state=seed).X
    chosen = choose_n_components(LineMapNMF(), X, random_state=seed)
    assert chosen.best == 3 and chosen.errors.shape == (5, 8)
    # predictions are bounded, so that no error outweighs all others beyond measure
    brightest = X.max(axis=0) / X.clip(0).mean(axis=0)
    assert chosen.errors.max() < np.max(brightest) ** 2


@pytest.mark.parametrize("scene", ["protostellar", "high_z"])
@pytest.mark.parametrize("snr", [10, 100, 1000])
def test_the_most_distinct_members_halve_the_error_of_plain_runs(scene, snr):
    data = make_line_maps(scene, map_shape=(30, 30), snr=snr, random_state=0)
    X, true = data.X, data.components
    ensemble = LineMapNMFEnsemble(n_jobs=2, random_state=0).fit(X)
    plain = [
        component_mae(true, LineMapNMF(random_state=i).fit(X).components_)
        for i in range(9)
    ]
    found = component_mae(true, ensemble.components_)
    assert found <= np.median(plain) / 2
    starts = LineMapNMF(
        solver="hals", alpha_maps=1e-3, n_init=100, select="distinct", random_state=0
    )
    assert component_mae(true, starts.fit(X).components_) <= np.median(plain) / 2


def test_overlap_and_what_fits():
    V = np.array([[1.0, 0, 0, 0], [1.0, 1, 0, 0], [0, 0, 0, 0]])
    H = np.array([[1.0, 0], [0, 2.0], [1.0, 1.0]])
    half = np.sqrt(0.5)
    # the third has no map, and so is like the others
    expected = half**2 + (1 + half) ** 2 + (1 + half) ** 2
    assert_allclose(overlap(V, H), expected)
    # units of maps and profiles do not matter
    assert_allclose(overlap(V * [[2.0], [5], [1]], H * [[7.0], [1], [3]]), expected)
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 2, size=(50, 10))
    negligible = 1e-5 * np.sum(X**2)
    problem = Problem(X, None)
    least = 1e6
    losses = [
        least,
        least * 10 / 7 + 0.99 * negligible,
        least * 10 / 7 + 1.01 * negligible,
    ]
    assert fits_equally(problem, losses, 3).tolist() == [True, True, False]
    assert fits_equally(problem, losses, 10).all()
    X[:, :4] = np.nan
    assert fits_equally(Problem(X, None), [1.0, 6 / 3, 2.5], 3).tolist() == [
        *(True, True, False)
    ]


def test_ensemble_ranks_by_loss_or_overlap(data):
    params = {"n_members": 20, "random_state": 0}
    by_loss = LineMapNMFEnsemble(select="loss", **params).fit(data.X)
    assert by_loss.kept_.sum() == 10
    losses, kept = by_loss.member_losses_, by_loss.kept_
    assert losses[kept].max() <= losses[~kept].min()
    distinct = LineMapNMFEnsemble(keep=0.2, **params).fit(data.X)
    assert_allclose(distinct.member_losses_, losses)
    assert distinct.kept_.sum() == 4 and distinct.fitting_[distinct.kept_].all()
    others = distinct.fitting_ & ~distinct.kept_
    overlaps = distinct.member_overlaps_
    assert overlaps[distinct.kept_].max() <= overlaps[others].min()


def test_search_over_components_and_penalties(data):
    everything = [(np.arange(len(data.X)),) * 2]
    search = GridSearchCV(
        LineMapNMF(random_state=0),
        {"n_components": [1, 2], "alpha_maps": [0.0, 1e-3]},
        scoring=held_out_entries_scorer,
        cv=everything,
    ).fit(data.X)
    assert search.best_params_["n_components"] == 2


def test_matching_is_by_shape_alone():
    true = np.array([[1.0, 2, 3], [3, 2, 1], [1, 5, 1]])
    assert match_components(true, true[[2, 0, 1]] * 7).tolist() == [1, 2, 0]
    assert component_mae(true, true[[2, 0, 1]] * 7) == pytest.approx(0, abs=1e-12)
    # profiles 1/2, 1, 3/2 against 1, 1, 1: a mean difference of 1/3
    assert component_mae([[1, 2, 3]], [[4, 4, 4]]) == pytest.approx(1 / 3)


def test_scenes():
    data = make_line_maps("high_z", snr=None)
    assert_allclose(data.X, data.contributions @ data.components)
    noisy = make_line_maps("high_z", random_state=0)
    noise = (noisy.X - data.X).std(axis=0)
    assert_allclose(noise, data.X.mean(axis=0) / 100, rtol=0.1)
    gaps = make_line_maps(blank_fraction=0.2, random_state=0)
    assert np.isnan(gaps.X).mean() == pytest.approx(0.2, abs=0.01)
    with pytest.raises(ValueError, match="scene"):
        make_line_maps("nowhere")


def test_bad_input(data):
    X = data.X
    with pytest.raises(ValueError, match=r"No line of X has a positive intensity"):
        LineMapNMF().fit(-np.abs(X))
    with pytest.raises(ValueError, match=r"Line\(s\) 3 .*not observed in any pixel"):
        LineMapNMF().fit(np.where(np.arange(10) == 3, np.nan, X))
    with pytest.raises(ValueError, match="All pixels of X are blank"):
        LineMapNMF().fit(np.full_like(X, np.nan))
    with pytest.raises(ValueError, match=r"reshape\(-1, 10\)"):
        LineMapNMF().fit(X.reshape(20, 20, 10))
    with pytest.raises(ValueError, match="`y` has the shape of X.*sigma="):
        LineMapNMF().fit(X, 0.1 * X)
    with pytest.raises(ValueError, match="must be positive"):
        LineMapNMF().fit(X, sigma=np.zeros_like(X))
    with pytest.raises(ValueError, match="takes neither NaN nor `sigma`"):
        LineMapNMF(solver="cd").fit(X, sigma=np.ones_like(X))
    with pytest.raises(ValueError, match="negative value"):
        LineMapNMF(clip_negative=False).fit(X - 1)
    with pytest.warns(UserWarning, match="trivial"):
        LineMapNMF(4, random_state=0).fit(np.abs(X[:, :3]))
    with pytest.raises(ValueError, match="two positive numbers"):
        LineMapNMFEnsemble(alpha_maps=(1.0, 0.1)).fit(X)
    blank = X.copy()
    blank[5] = np.nan
    assert np.isnan(LineMapNMF(random_state=0).fit_transform(blank)[5]).all()


@pytest.mark.parametrize("scene", ["protostellar", "high_z"])
@pytest.mark.parametrize("noise_seed", [1, 2])
@pytest.mark.parametrize(
    "cv", [3, KFold(3, shuffle=True, random_state=0), 5, "all pixels"]
)
def test_searches_find_the_number_of_components(scene, noise_seed, cv):
    """Also where folds are blocks of the sky, of which some lack a component."""
    data = make_line_maps(scene, random_state=noise_seed)
    if cv == "all pixels":
        cv = [(np.arange(len(data.X)),) * 2]
    search = GridSearchCV(
        LineMapNMF(random_state=0),
        {"n_components": [2, 3, 4]},
        scoring=held_out_entries_scorer,
        cv=cv,
        error_score="raise",
    ).fit(data.X)
    assert search.best_params_ == {"n_components": 3}


def test_held_out_entries_are_predicted_by_least_squares(data):
    """Pixel by pixel, with a solver of its own; the profiles are the true ones."""
    scene = make_line_maps("protostellar", map_shape=(20, 20), snr=None)
    sigma = 0.01 * scene.X.mean(axis=0)
    X = scene.X + sigma * np.random.default_rng(0).normal(size=scene.X.shape)
    nmf = LineMapNMF(3, random_state=0).fit(X)
    nmf.components_ = scene.components
    rng, squares = np.random.RandomState(0), []
    for mask in _held_out(X, sigma, 0.1, 3, rng):
        brightest = np.where(mask, 0, X).max(axis=0)
        for x, held in zip(X, mask, strict=True):
            A = (scene.components / sigma).T
            maps = np.linalg.lstsq(A[~held], (x / sigma)[~held], rcond=None)[0]
            predicted = np.clip(maps @ scene.components, 0, brightest)
            squares.extend((((x - predicted) / sigma) ** 2)[held])
    score = held_out_entries_scorer(nmf, X, sigma=sigma)
    assert score == pytest.approx(-np.log(np.mean(squares)), abs=0.01)


def test_errors_are_routed_to_the_scorer(data):
    sigma = np.random.default_rng(0).uniform(0.5, 2, data.X.shape) * data.X.mean(axis=0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = LineMapNMF(3, random_state=0).set_fit_request(sigma=True)
        scorer = held_out_entries_scorer.set_score_request(sigma=True)
    check_errors_travel(
        model, data.X, np.zeros(len(data.X)), sigma, cv=3, scoring=scorer
    )


def test_nothing_to_hold_out_is_an_error(data):
    nmf = LineMapNMF(1, random_state=0).fit(data.X)
    lonely = np.full((5, 10), np.nan)
    lonely[:, 0] = 1
    with pytest.raises(ValueError, match="two or more lines"):
        held_out_entries_scorer(nmf, lonely)


@pytest.mark.filterwarnings("ignore:.*no positive intensity in any pixel")
def test_a_dark_line_does_not_hide_the_number_of_components(data):
    X = np.insert(data.X, 2, -0.1, axis=1)
    chosen = choose_n_components(
        LineMapNMF(), X, n_components=(1, 2, 3), n_splits=4, n_starts=2, random_state=0
    )
    assert chosen.best == 3 and np.isfinite(chosen.errors).all()
    with pytest.raises(ValueError, match="can be held out"):
        choose_n_components(LineMapNMF(), data.X[:, :1], n_components=(1,))


def test_scorer_says_what_it_takes(data):
    nmf = LineMapNMF(2, random_state=0).fit(data.X)
    with pytest.raises(TypeError, match="LineMapNMFEnsemble.*got Pipeline"):
        held_out_entries_scorer(make_pipeline(nmf), data.X)
    with pytest.raises(ValueError, match="X has 4 lines, but LineMapNMF was fitted"):
        held_out_entries_scorer(nmf, data.X[:, :4])
    with pytest.raises(NotFittedError):
        held_out_entries_scorer(LineMapNMF(), data.X)


def test_held_out_entries_have_no_unit(data):
    """Also if a line is dark in all pixels of the test, which then tell nothing."""
    nmf = LineMapNMF(2, random_state=0).fit(data.X)
    X = data.X.copy()
    X[:, 3] = -np.abs(X[:, 3])
    score = held_out_entries_scorer(nmf, X)
    for unit in (2.0**-40, 2.0**40):
        scaled = clone(nmf).fit(data.X * unit)
        assert held_out_entries_scorer(scaled, X * unit) == pytest.approx(score)
    with pytest.raises(ValueError, match="can be held out"):
        held_out_entries_scorer(nmf, -np.abs(X))


@pytest.mark.parametrize("model", [LineMapNMF, LineMapNMFEnsemble])
def test_dark_lines_are_zero_and_do_not_move_the_rest(model, data):
    options = {"n_members": 5} if model is LineMapNMFEnsemble else {}
    options |= {"random_state": 0}
    plain = model(3, **options).fit(data.X)
    X = np.insert(data.X, 2, -0.1, axis=1)
    with pytest.warns(UserWarning, match=r"Line\(s\) 2 of X have no positive"):
        nmf = model(3, **options).fit(X)
    assert not nmf.components_[:, 2].any()
    assert_array_equal(np.delete(nmf.components_, 2, axis=1), plain.components_)
    assert_array_equal(nmf.transform(X), plain.transform(data.X))
    assert not nmf.inverse_transform(nmf.transform(X))[:, 2].any()
    assert nmf.score(X) < 1
    if model is LineMapNMFEnsemble:
        assert not nmf.components_std_[:, 2].any()
        assert nmf.member_components_.shape == (5, 3, 11)


MODELS = [
    LineMapNMF(2, random_state=0),
    LineMapNMF(2, solver="hals", n_init=3, select="distinct", random_state=0),
    LineMapNMFEnsemble(2, n_members=4, random_state=0),
]


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=5, deadline=None)
@given(line_maps(), st.booleans())
def test_masked_is_missing(model, made, with_sigma):
    X = made[0].copy()
    X[::7, 1] = X[3, :2] = np.nan
    sigma = np.abs(made[0]).mean(axis=0) if with_sigma else None
    check_missing_equals_masked(model, X, sigma=sigma)
    check_empty_rows_do_not_matter(model, X, sigma=sigma, rtol=0)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("with_sigma", [False, True])
def test_unit_does_not_matter(model, with_sigma, data):
    X, sigma = data.X, 0.01 * data.X.mean(axis=0) if with_sigma else None
    if with_sigma and model is MODELS[0]:
        model = clone(model).set_params(solver="hals")
    check_scale_equivariance(model, X, sigma=sigma, degree=0)
    check_single_precision(model, X, sigma=sigma, degree=0, rtol=0.02)
    check_row_permutation(model, X, sigma=sigma, rtol=1e-4)
    check_refit_identical(model, X, **({"sigma": sigma} if with_sigma else {}))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rows", [1, 30])
def test_maps_that_say_nothing_are_refused(model, rows):
    X = np.tile([1.0, 2, 3, 4], (rows, 1))
    X[-1, 0] = np.nan
    message = "minimum of 2" if rows == 1 else "X does not vary"
    with pytest.raises(ValueError, match=message):
        model.fit(X)


@pytest.mark.parametrize("with_sigma", [False, True])
@pytest.mark.parametrize("k", [2, 3])
def test_exact_maps_need_no_more_components_than_they_have(k, with_sigma):
    """One that is not needed fades, and its profile does not grow out of numbers."""
    rng = np.random.default_rng(0)
    X = np.outer(rng.uniform(0.1, 1, 100), rng.uniform(0.1, 1, 6))
    sigma = 0.1 if with_sigma else None
    ensemble = LineMapNMFEnsemble(k, n_members=30, random_state=0).fit(X, sigma=sigma)
    assert np.isfinite(ensemble.components_).all() and ensemble.fitting_.all()
    assert np.all(ensemble.member_losses_ < 1e-6 * X.size)
    one = LineMapNMF(k, solver="hals", alpha_maps=1e-3, n_init=4, random_state=0)
    maps = one.fit_transform(X, sigma=sigma)
    assert_allclose(one.inverse_transform(maps), X, rtol=0.05)


@pytest.mark.parametrize("model", MODELS)
def test_score_has_no_unit_though_a_line_is_dark(model, data):
    rng = np.random.default_rng(0)
    X = np.insert(data.X, 2, -rng.uniform(size=len(data.X)), axis=1)
    plain = clone(model).fit(data.X).score(data.X)
    for unit in (2.0**-40, 1.0, 2.0**40):
        with pytest.warns(UserWarning, match="no positive"):
            scored = clone(model).fit(X * unit)
        assert scored.score(X * unit) == plain


def test_warnings_point_at_the_caller(data):
    with pytest.warns(UserWarning, match="trivial") as caught:
        LineMapNMF(4, random_state=0).fit(np.abs(data.X[:, :3]))
    assert caught[0].filename == __file__


def test_tables_are_taken(data):
    check_tables(MODELS[0], data.X)


class StopAfter:
    """Ends a fit after so many steps."""

    def __init__(self, n):
        self.n, self.seen = n, 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.seen += context.task_name == "run"
        return self.seen >= self.n


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_callbacks_see_and_stop_members(data, n_jobs):
    pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")
    ensemble = LineMapNMFEnsemble(3, n_members=60, n_jobs=n_jobs, random_state=0)
    plain = clone(ensemble).fit(data.X)
    watcher = StopAfter(99)
    watched = clone(ensemble).set_callbacks(watcher).fit(data.X)
    assert watcher.seen == 60
    assert_array_equal(watched.components_, plain.components_)
    stopped = clone(ensemble).set_callbacks(StopAfter(5)).fit(data.X)
    n = len(stopped.member_losses_)
    # those that had begun are finished, and threads are ahead of who counts
    assert 5 <= n < 60
    assert len(stopped.member_components_) == len(stopped.member_alphas_) == n
    assert_array_equal(stopped.member_losses_, plain.member_losses_[:n])


def test_bars_of_pipelines_and_searches_do_not_fail(data):
    callback = pytest.importorskip(
        "sklearn.callback", reason="callbacks came with scikit-learn 1.9"
    )
    pytest.importorskip("rich")
    nmf = LineMapNMF(2, n_init=2, random_state=0)
    plain = clone(nmf).fit(data.X)
    # bars are registered with the outermost estimator
    pipeline = make_pipeline(nmf).set_callbacks(callback.ProgressBar())
    assert_array_equal(pipeline.fit(data.X)[-1].components_, plain.components_)
    search = GridSearchCV(
        nmf, {"n_components": [1, 2]}, cv=2, scoring=held_out_entries_scorer
    ).set_callbacks(callback.ProgressBar())
    found = search.fit(data.X).best_estimator_
    assert_array_equal(found.components_, plain.components_)
