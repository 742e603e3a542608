"""Retrievals of many objects: by either sampler, in parallel, killed and resumed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone

from skastro.parameter_space import LogUniform, Parameter, ParameterSpace, Uniform
from skastro.retrieval import (
    BayesianRetrieval,
    Posterior,
    Posteriors,
    _sampling_importance,
)
from skastro.retrieval._sampling import _alike


def linear(theta, X):
    return theta @ X.T


@pytest.fixture
def gaussian():
    """Linear models of Gaussian priors, whose posteriors and evidence are known."""
    rng = np.random.default_rng(0)
    n_lines, n_parameters, n_objects = 6, 4, 30
    X = rng.standard_normal((n_lines, n_parameters))
    prior = ParameterSpace(
        {f"p{i}": Parameter(stats.norm(0, 2)) for i in range(n_parameters)}
    )
    sigma = rng.uniform(0.2, 0.6, (n_lines, n_objects))
    theta = prior.sample(n_objects, random_state=1)
    y = X @ theta.T + sigma * rng.standard_normal(sigma.shape)
    y[rng.random(y.shape) < 0.15] = np.nan
    y[:2] = np.where(np.isnan(y[:2]), 0.0, y[:2])
    exact = []
    for i in range(n_objects):
        seen = np.isfinite(y[:, i])
        A, s, z = X[seen], sigma[seen, i], y[seen, i]
        covariance = np.linalg.inv(A.T @ (A / s[:, None] ** 2) + np.eye(4) / 4)
        mean = covariance @ A.T @ (z / s**2)
        marginal = stats.multivariate_normal(cov=4 * A @ A.T + np.diag(s**2))
        exact.append((mean, np.sqrt(np.diag(covariance)), marginal.logpdf(z)))
    return X, y, sigma, prior, exact


def test_importance_sampling_of_linear_models(gaussian):
    X, y, sigma, prior, exact = gaussian
    retrieval = BayesianRetrieval(linear, prior, sampler="importance", random_state=0)
    posteriors = retrieval.fit(X, y, sigma=sigma).posterior_
    mean, std, log_evidence = (np.array(part) for part in zip(*exact, strict=True))
    assert len(posteriors) == y.shape[1]
    ess = posteriors.effective_sample_size
    assert (ess > 200).all()
    # within five standard errors of the number of independent samples, thinned
    n = np.minimum(ess, retrieval.n_samples)[:, None]
    assert (np.abs(posteriors.mean() - mean) / std < 5 * n**-0.5).all()
    assert (np.abs(posteriors.std() / std - 1) < 5 * (2 * n) ** -0.5).all()
    pull = (retrieval.log_evidence_ - log_evidence) / retrieval.log_evidence_err_
    assert (np.abs(pull) < 5).all() and 0.3 < pull.std() < 2
    assert (retrieval.log_evidence_err_ < 0.1).all()


def test_only_objects_that_are_alike_share_draws():
    rng = np.random.default_rng(1)
    alike = rng.normal(size=(200, 256, 4)) + 0.1 * rng.normal(size=(200, 1, 4))
    apart = 0.3 * rng.normal(size=(20, 256, 4)) + rng.normal(size=(20, 1, 4))
    groups = _alike(list(range(200)), alike)
    assert sorted(i for group in groups for i in group) == list(range(200))
    assert min(map(len, groups)) > 40 and max(map(len, groups)) <= 64
    groups = _alike(list(range(20)), apart)
    assert np.mean([len(group) for group in groups]) < 1.5


def test_both_samplers_agree(gaussian):
    X, y, sigma, prior, _ = gaussian
    few = slice(0, 2)
    fits = [
        BayesianRetrieval(linear, prior, sampler=s, random_state=0, n_live_points=100)
        .fit(X, y[:, few], sigma=sigma[:, few])
        .posterior_
        for s in ("importance", "region")
    ]
    difference = fits[0].log_evidence - fits[1].log_evidence
    assert (np.abs(difference) < 4 * fits[1].log_evidence_err).all()
    assert_allclose(fits[0].mean(), fits[1].mean(), atol=0.3 * fits[0].std().max())


def test_importance_sampling_of_one_object(gaussian):
    X, y, sigma, prior, exact = gaussian
    y, sigma = y[:, 0], sigma[:, 0]
    seen = np.isfinite(y)
    retrieval = BayesianRetrieval(linear, prior, sampler="importance", random_state=3)
    retrieval.fit(X[seen], y[seen], sigma=sigma[seen])
    posterior = retrieval.posterior_
    assert isinstance(posterior, Posterior)
    assert abs(retrieval.log_evidence_ - exact[0][2]) < 0.1
    assert_allclose(posterior.mean(), exact[0][0], atol=0.15 * exact[0][1].max())
    assert len(posterior.samples) == int(np.ceil(posterior.effective_sample_size))


def test_narrow_banana():
    """A curved, thin posterior that no single Gaussian resembles."""
    prior = ParameterSpace({"a": Uniform(-3, 3), "b": Uniform(-5, 15)})

    def banana(theta, X):
        return np.stack([theta[:, 0], theta[:, 1] - theta[:, 0] ** 2], axis=1)

    y = np.zeros((2, 1))
    weight = np.array([[1.0], [100.0]])
    retrieval = BayesianRetrieval(banana, prior, sampler="importance", random_state=0)
    posterior = retrieval.fit([[0], [1]], y, sample_weight=weight).posterior_[0]
    # a is Gaussian, cut off by its prior; b follows from it
    cut = stats.truncnorm(-3, 3)
    log_evidence = np.log(stats.norm.cdf(3) - stats.norm.cdf(-3)) - np.log(6 * 20)
    assert abs(posterior.log_evidence - log_evidence) < 0.1
    assert abs(posterior.std()[0] - cut.std()) < 0.1
    assert abs(posterior.mean()[1] - cut.var()) < 0.15


def test_hard_objects_go_to_nested_sampling(gaussian, monkeypatch):
    monkeypatch.setattr(_sampling_importance, "_MAX_ROUNDS", 10)
    X, y, sigma, prior, exact = gaussian
    few = slice(0, 2)
    retrieval = BayesianRetrieval(
        linear,
        prior,
        sampler="importance",
        min_ess=1e6,  # none can have as many
        n_live_points=100,
        random_state=0,
    ).fit(X, y[:, few], sigma=sigma[:, few])
    log_evidence = np.array([e[2] for e in exact[few]])
    error = retrieval.log_evidence_err_
    assert (error > 0.02).all()  # of nested sampling
    assert (np.abs(retrieval.log_evidence_ - log_evidence) < 4 * error).all()


def test_workers_do_not_matter(gaussian):
    X, y, sigma, prior, _ = gaussian
    retrieval = BayesianRetrieval(linear, prior, sampler="importance", random_state=0)
    one = clone(retrieval).fit(X, y, sigma=sigma)
    two = clone(retrieval).set_params(n_jobs=2).fit(X, y, sigma=sigma)
    assert_array_equal(one.log_evidence_, two.log_evidence_)
    assert_array_equal(one.posterior_.quantile(0.5), two.posterior_.quantile(0.5))


def test_one_object_in_two_dimensions_is_that_object(gaussian):
    X, y, sigma, prior, _ = gaussian
    seen = np.isfinite(y[:, 0])
    retrieval = BayesianRetrieval(
        linear, prior, sampler="region", n_live_points=50, random_state=0
    )
    weight = sigma[seen, :1] ** -2
    flat = clone(retrieval).fit(X[seen], y[seen, 0], sample_weight=weight[:, 0])
    column = clone(retrieval).fit(X[seen], y[seen, :1], sample_weight=weight)
    assert column.log_evidence_ == flat.log_evidence_
    assert_array_equal(column.predict(X)[:, 0], flat.predict(X))


def test_predictions_of_many_objects(gaussian):
    X, y, sigma, prior, _ = gaussian
    y = y.copy()
    y[:, 7] = np.nan
    retrieval = BayesianRetrieval(linear, prior, sampler="importance", random_state=0)
    with pytest.warns(UserWarning, match="1 of 30 objects have no data"):
        retrieval.fit(X, y, sigma=sigma)
    mean, std = retrieval.predict(X, return_std=True)
    assert mean.shape == std.shape == y.shape
    seen = np.isfinite(y)
    assert (np.abs(mean - y)[seen] < 5 * np.hypot(sigma, std)[seen]).all()
    assert np.isnan(mean[:, 7]).all() and retrieval.posterior_[7] is None
    assert np.isnan(retrieval.log_evidence_[7])
    assert retrieval.posterior_.effective_sample_size[7] == 0


def test_models_without_solutions(gaussian):
    X, y, sigma, prior, _ = gaussian

    def half(theta, X):
        return np.where(theta[:, :1] > 0.0, linear(theta, X), np.nan)

    retrieval = BayesianRetrieval(half, prior, sampler="importance", random_state=0)
    with pytest.warns(UserWarning, match=r"no solution \(NaN\) in \d+ of \d+"):
        retrieval.fit(X, y[:, :4], sigma=sigma[:, :4])
    assert all((p.samples[:, 0] > 0).all() for p in retrieval.posterior_)


def test_bad_maps(gaussian):
    X, y, sigma, prior, _ = gaussian
    retrieval = BayesianRetrieval(linear, prior, random_state=0)
    with pytest.raises(ValueError, match="NaN for every line of every object"):
        retrieval.fit(X, np.full_like(y, np.nan), sigma=sigma)
    with pytest.raises(ValueError, match="`sigma` must have the shape of `y`"):
        retrieval.fit(X, y, sigma=sigma[:, :3])
    with pytest.raises(ValueError, match="finite and not negative"):
        retrieval.fit(X, y, sample_weight=-sigma)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        retrieval.fit(X[:3], y, sigma=sigma)
    with pytest.raises(ValueError, match="infinity"):
        retrieval.fit(X, np.where(np.isnan(y), np.inf, y), sigma=sigma)


# -- tables and files


def test_table_with_units():
    from astropy import units as u

    space = ParameterSpace(
        {"temperature": Uniform(10, 200, "K"), "density": LogUniform(1e4, 1e6, "cm-3")}
    )
    samples = space.sample(500, random_state=0)
    weights = np.full(500, 1 / 500)
    posterior = Posterior(space, samples, samples, weights, weights, -3.0, 0.1)
    table = Posteriors([posterior, None], space).to_table()
    assert table["temperature"].unit == u.K and table["density_lower"].unit == u.cm**-3
    lower, upper = posterior.credible_interval()
    assert_allclose(table["temperature_upper"][0].value, upper[0])
    assert_allclose(posterior.to_table()["density"].value, posterior.quantile(0.5)[1])
    assert np.isnan(table["temperature"][1]) and np.isnan(table["log_evidence"][1])


def test_files_without_pickle(tmp_path):
    space = ParameterSpace(
        {
            "a": Uniform(0, 1, "K", label="$a$"),
            "b": LogUniform(1, 10),
            "c": Parameter(stats.norm(1.0, scale=2.0), log=False),
            "d": Uniform(0, 1, "K", label="$d$"),
        },
        ordered=[("a", "d")],
    )
    samples = space.sample(50, random_state=0)
    weights = np.linspace(1, 2, 50) / 75
    posterior = Posterior(
        space, samples[:20], samples, weights, -weights, -3.0, 0.1, 12.5
    )
    posterior.save(tmp_path / "one.npz")
    again = Posterior.load(tmp_path / "one.npz")
    assert again.space.names == space.names and again.space.labels == space.labels
    assert again.space.ordered == space.ordered
    assert_allclose(again.space.bounds, space.bounds)
    for name in ("samples", "weighted_samples", "weights", "log_likelihoods"):
        assert_array_equal(getattr(again, name), getattr(posterior, name))
    assert again.effective_sample_size == 12.5 and again.log_evidence == -3.0
    several = Posteriors([None, posterior, posterior.thin(5), None], space)
    several.save(tmp_path / "several.npz")
    read = Posteriors.load(tmp_path / "several.npz")
    assert_array_equal(read.mean(), several.mean())
    assert read[0] is None and len(read[2].samples) == 5
    assert isinstance(several[1:3], Posteriors) and "2 of 4" in repr(several)
    with pytest.raises(ValueError, match="posteriors of 4 objects"):
        Posterior.load(tmp_path / "several.npz")
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match="no posterior that skastro wrote"):
        Posterior.load(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(ValueError, match="no posterior that skastro wrote"):
        Posteriors.load(tmp_path / "text.npz")
    with pytest.raises(ValueError, match="nothing to save"):
        Posteriors([None], space).save(tmp_path / "none.npz")


def test_thinning_keeps_the_distribution():
    space = ParameterSpace({"a": Uniform(-5, 5)})
    samples = space.sample(20_000, random_state=0)
    weights = stats.norm.pdf(samples[:, 0])
    weights /= weights.sum()
    posterior = Posterior(space, samples, samples, weights, np.log(weights), 0, 0)
    thin = posterior.thin(1000)
    assert len(thin.samples) == 1000
    assert_allclose(thin.mean(), posterior.mean(), atol=0.1)
    assert_allclose(thin.std(), posterior.std(), rtol=0.08)
    assert thin.effective_sample_size == posterior.effective_sample_size
    assert len(posterior.thin().samples) == np.ceil(posterior.effective_sample_size)


def test_arviz():
    arviz = pytest.importorskip("arviz")
    space = ParameterSpace({"a": Uniform(-5, 5)})
    samples = space.sample(100, random_state=0)
    weights = np.full(100, 0.01)
    posterior = Posterior(space, samples, samples, weights, weights, 0, 0)
    data = posterior.to_arviz()
    assert_allclose(float(arviz.summary(data)["mean"]["a"]), samples.mean(), atol=1e-2)


# -- long work


KILLED = """
import sys, time
import numpy as np
from skastro.parameter_space import ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval

def slow(theta, X):
    time.sleep(0.0015)
    return theta @ X.T

prior = ParameterSpace({"a": Uniform(-5, 5), "b": Uniform(-5, 5)})
X, y = np.load(sys.argv[2]), np.load(sys.argv[3])
BayesianRetrieval(
    slow, prior, sigma=0.3, sampler=sys.argv[4], log_dir=sys.argv[1],
    n_live_points=60, random_state=0,
).fit(X, y)
"""


# the points of the object under way may be unreadable
@pytest.mark.filterwarnings("ignore:The points of a killed run cannot be read")
@pytest.mark.parametrize(("sampler", "n_objects"), [("importance", 600), ("region", 6)])
def test_map_survives_a_kill(tmp_path, sampler, n_objects):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4, 2))
    y = X @ rng.uniform(-2, 2, (2, n_objects)) + 0.3 * rng.standard_normal(
        (4, n_objects)
    )
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    folder = tmp_path / "run"
    arguments = [folder, tmp_path / "X.npy", tmp_path / "y.npy", sampler]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *map(str, arguments)])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(folder.glob("objects/*.npz"))) >= 3:
            break
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before it was killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = {p: p.stat().st_mtime_ns for p in folder.glob("objects/[co]*.npz")}
    calls = [0]

    def counted(theta, X):
        calls[0] += len(theta)
        return theta @ X.T

    prior = ParameterSpace({"a": Uniform(-5, 5), "b": Uniform(-5, 5)})
    settings = {"sigma": 0.3, "sampler": sampler, "n_live_points": 60}
    fresh = BayesianRetrieval(counted, prior, random_state=0, **settings).fit(X, y)
    all_calls, calls[0] = calls[0], 0
    resumed = BayesianRetrieval(
        counted, prior, random_state=0, log_dir=folder, **settings
    ).fit(X, y)
    assert calls[0] < all_calls
    assert {p: p.stat().st_mtime_ns for p in done} == done  # none was done again
    if sampler == "importance":
        assert_array_equal(resumed.log_evidence_, fresh.log_evidence_)
        assert_array_equal(resumed.posterior_.mean(), fresh.posterior_.mean())
    else:  # the object that was under way continues from its own points
        same = resumed.log_evidence_ == fresh.log_evidence_
        assert same.sum() >= n_objects - 1
        error = np.hypot(resumed.log_evidence_err_, fresh.log_evidence_err_)
        difference = np.abs(resumed.log_evidence_ - fresh.log_evidence_)
        assert (difference < 4 * error).all()
    with pytest.raises(ValueError, match="another problem"):
        BayesianRetrieval(
            counted, prior, random_state=0, log_dir=folder, **settings
        ).fit(X, y + 1)


def test_points_stay_until_the_result_is_on_the_disk(monkeypatch, tmp_path):
    def full(*arguments, **more):
        raise OSError("no space left on device")

    def run():
        prior = ParameterSpace({"a": Uniform(-5, 5)})
        retrieval = BayesianRetrieval(
            lambda theta, X: theta @ X.T, prior, sigma=0.3, n_live_points=60,
            log_dir=tmp_path, random_state=0, objects="columns",
        )  # fmt: skip
        return retrieval.fit([[1.0], [2.0]], [[1.0, 3.0], [2.0, 6.0]])

    points = tmp_path / "objects" / "nested-0000000" / "results" / "points.hdf5"
    with monkeypatch.context() as patch:
        patch.setattr("skastro.retrieval._sampling.write_posteriors", full)
        with pytest.raises(OSError, match="no space"):
            run()
    assert points.exists()
    run()
    assert not points.parent.parent.exists()


def test_unreadable_points_start_again(gaussian, tmp_path):
    X, y, sigma, prior, _ = gaussian
    seen = np.isfinite(y[:, 0])
    data = X[seen], y[seen, 0], sigma[seen, 0]
    retrieval = BayesianRetrieval(
        linear,
        prior,
        sampler="region",
        n_live_points=50,
        log_dir=tmp_path,
        random_state=0,
    )
    first = clone(retrieval).fit(*data)
    points = tmp_path / "results" / "points.hdf5"
    points.write_bytes(points.read_bytes()[:96])
    with pytest.warns(UserWarning, match="points of a killed run cannot be read"):
        again = clone(retrieval).fit(*data)
    assert again.log_evidence_ == first.log_evidence_


class Watcher:
    """A callback that counts steps, and would end the fit at the first."""

    def __init__(self):
        self.n_steps = 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.n_steps += context.parent is not None
        return context.parent is not None


@pytest.mark.parametrize("sampler", ["importance", "region"])
def test_callbacks_see_objects_and_do_not_stop_them(gaussian, sampler):
    pytest.importorskip("sklearn.callback", reason="came with scikit-learn 1.9")
    X, y, sigma, prior, _ = gaussian
    retrieval = BayesianRetrieval(
        linear, prior, sampler=sampler, n_live_points=50, random_state=0
    )
    alone = clone(retrieval).fit(X, y[:, :2], sigma=sigma[:, :2])
    watcher = Watcher()
    watched = clone(retrieval).set_callbacks(watcher)
    with pytest.warns(UserWarning, match="A callback asked to stop") as caught:
        watched.fit(X, y[:, :2], sigma=sigma[:, :2])
    assert watcher.n_steps == 2 and caught[0].filename == __file__
    assert_array_equal(watched.posterior_.mean(), alone.posterior_.mean())
    if sampler == "region":  # of one object, a step for each thousand evaluations
        watcher = Watcher()
        one = clone(retrieval).set_callbacks(watcher)
        with pytest.warns(UserWarning, match="A callback asked to stop") as caught:
            one.fit(X, y[:, 0], sigma=sigma[:, 0])
        assert watcher.n_steps == one.n_calls_ // 1000 > 0
        assert caught[0].filename == __file__


def test_bar_counts_objects(gaussian, capsys):
    X, y, sigma, prior, _ = gaussian
    retrieval = BayesianRetrieval(linear, prior, sampler="importance", random_state=0)
    retrieval.fit(X, y[:, :5], sigma=sigma[:, :5])
    assert capsys.readouterr() == ("", "")
    retrieval.set_params(verbose=1).fit(X, y[:, :5], sigma=sigma[:, :5])
    captured = capsys.readouterr()
    assert captured.out == "" and "5/5" in captured.err
