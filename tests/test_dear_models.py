"""Retrievals by few calls of a dear model, placed by a surrogate."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR

from skastro.emulation import SimulationGrid
from skastro.parameter_space import ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval
from skastro.retrieval._forward_model import Predictions
from skastro.retrieval._surrogate_lines import SurrogateLines
from skastro.retrieval._surrogate_proposal import Proposal

PRIOR = ParameterSpace({"a": Uniform(-1, 1), "b": Uniform(0.5, 2.5)})
X = np.zeros((2, 1))
Y, SIGMA = np.array([3.0, 2.0]), np.array([0.3, 0.2])
CUBIC = make_pipeline(PolynomialFeatures(3), Ridge(1e-6))


def curved(theta, X):
    """Two lines: their curve of equal likelihood is a banana."""
    a, b = theta.T
    return np.stack([b + 2 * a**2, b], axis=1) + 1.0


def exact(y=Y, possible=lambda a, b: True):
    """Evidence and mean by brute force."""
    a, b = ((np.arange(1000) + 0.5) / 1000 * w + s for w, s in ((2, -1), (2, 0.5)))
    theta = np.stack(np.meshgrid(a, b), axis=-1).reshape(-1, 2)
    density = np.exp(stats.norm(y, SIGMA).logpdf(curved(theta, X)).sum(axis=1))
    density *= np.where(possible(*theta.T), 1.0, 0.0)
    return np.log(density.mean()), density @ theta / density.sum()


class Counted:
    """A model that remembers what it was called for."""

    def __init__(self, model=curved):
        self.model, self.theta = model, []

    def __call__(self, theta, X):
        self.theta.extend(map(tuple, theta))
        return self.model(theta, X)


def retrieve(model=curved, y=Y, **parameters):
    parameters = {
        "max_calls": 2000,
        "min_ess": 150,
        "surrogate": CUBIC,
        "random_state": 0,
    } | parameters
    retrieval = BayesianRetrieval(model, PRIOR, sampler="importance", **parameters)
    return retrieval.fit(X, y, sigma=SIGMA)


@pytest.fixture(scope="module")
def counted():
    model = Counted()
    return model, retrieve(model)


def test_evidence_and_posterior(counted):
    _, retrieval = counted
    log_evidence, mean = exact()
    p = retrieval.posterior_
    assert p.effective_sample_size >= retrieval.min_ess
    assert p.log_evidence_err < 0.082
    assert abs(p.log_evidence - log_evidence) < 4 * p.log_evidence_err
    error = p.std() / np.sqrt(p.effective_sample_size)
    assert (np.abs(p.mean() - mean) < 5 * error).all()


def test_every_call_is_counted_and_kept(counted):
    model, retrieval = counted
    calls = retrieval.calls_
    assert isinstance(calls, SimulationGrid)
    assert retrieval.n_calls_ == len(model.theta) == len(calls.parameters) < 1500
    assert_array_equal(np.sort(model.theta, axis=0), np.sort(calls.parameters, axis=0))
    assert len(np.unique(calls.parameters, axis=0)) == retrieval.n_calls_
    theta, lines = calls.training_data()
    assert_allclose(lines, curved(theta, X))


def test_a_hopeless_surrogate_costs_calls_and_not_accuracy(counted):
    retrieval = retrieve(surrogate=DummyRegressor(), min_ess=100)
    p = retrieval.posterior_
    assert abs(p.log_evidence - exact()[0]) < 4 * p.log_evidence_err
    efficiency = p.effective_sample_size / retrieval.n_calls_
    good = counted[1]
    assert efficiency < good.posterior_.effective_sample_size / good.n_calls_


def test_max_calls_is_kept():
    model = Counted()
    with pytest.warns(UserWarning, match=r"`max_calls`=150 .*, with an effective"):
        retrieval = retrieve(model, max_calls=150, min_ess=1000)
    assert retrieval.n_calls_ == len(model.theta) == 150
    assert retrieval.posterior_.effective_sample_size < 1000


def test_no_call_is_spent_on_checks(tmp_path):
    class Emitter(Counted):
        """A model with `predict`, of which other retrievals ask for a probe."""

        def predict(self, theta):
            return self(theta, X)

    model = Emitter()
    retrieval = BayesianRetrieval(
        model,
        PRIOR,
        sampler="importance",
        max_calls=60,
        surrogate=CUBIC,
        log_dir=tmp_path,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="stopped at `max_calls`=60"):
        retrieval.fit([[0], [1]], Y, sigma=SIGMA)
    assert retrieval.n_calls_ == len(model.theta) == 60


def test_models_without_a_solution_are_recorded():
    def fails(theta, X):
        if (theta[:, 0] > 0.6).any():
            raise ArithmeticError("no convergence")
        lines = curved(theta, X)
        lines[theta[:, 0] > 0.3] = np.nan
        return lines

    with pytest.warns(UserWarning, match="had no solution"):
        retrieval = retrieve(fails, min_ess=100)
    p, calls = retrieval.posterior_, retrieval.calls_
    log_evidence, _ = exact(possible=lambda a, b: a <= 0.3)
    assert abs(p.log_evidence - log_evidence) < 4 * p.log_evidence_err
    assert p.weighted_samples[:, 0].max() <= 0.3
    failed = np.isnan(calls.outputs).all(axis=1)
    assert_array_equal(failed, calls.parameters[:, 0] > 0.3)
    assert len(calls.failures) == (calls.parameters[:, 0] > 0.6).sum()
    assert all(calls.parameters[f.index, 0] > 0.6 for f in calls.failures)
    # it is learned where there is none
    assert failed[-100:].mean() < 0.5 * failed[:128].mean()


def test_a_model_that_always_fails_says_why():
    def broken(theta, X):
        raise FileNotFoundError("radex.inp")

    with pytest.raises(ValueError, match=r"first 128 calls.*FileNotFoundError: radex"):
        retrieve(broken)


@pytest.mark.parametrize(
    "regressor",
    [ExtraTreesRegressor(5), make_pipeline(StandardScaler(), SVR(C=100, epsilon=0.01))],
)
def test_any_regressor_may_be_the_surrogate(regressor):
    """One of one output too, and one left to chance is reproducible."""
    theta = PRIOR.sample(300, random_state=0)
    calls = Predictions(curved(theta, X), None, None)
    surrogate = SurrogateLines(regressor, PRIOR, SIGMA, seed=3)
    first, second = (surrogate.taught(theta, calls) for _ in range(2))
    probe = PRIOR.sample(100, random_state=1)
    lines, error, stated = first.with_error(np.array([0.1, 0.0])).predict(probe)
    assert_array_equal(lines, second.predict(probe)[0])
    assert np.median(np.abs(lines / curved(probe, X) - 1)) < 0.05
    assert_allclose(error[:, 0], 0.1 * np.hypot(SIGMA[0], lines[:, 0]))
    assert not error[:, 1].any() and not stated
    assert not hasattr(regressor, "n_features_in_")


def test_objects_share_all_calls():
    model = Counted()
    y = np.array([[3.0, 2.0], [np.nan, np.nan], [4.0, 2.2]])
    with pytest.warns(UserWarning, match="1 of 3 objects have no data"):
        retrieval = retrieve(model, y, min_ess=100, objects="rows")
    assert retrieval.n_calls_ == len(model.theta) <= 2000
    for i in (0, 2):
        difference = retrieval.log_evidence_[i] - exact(y[i])[0]
        assert abs(difference) < 4 * retrieval.log_evidence_err_[i]
    assert np.isnan(retrieval.log_evidence_[1])


def test_calls_in_parallel_are_the_same(counted):
    """And to the bit, as everything is of one seed."""
    with parallel_config("threading"):
        retrieval = retrieve(n_jobs=2)
    for first, second in zip(
        (retrieval.calls_.parameters, retrieval.posterior_.weights),
        (counted[1].calls_.parameters, counted[1].posterior_.weights),
        strict=True,
    ):
        assert_array_equal(first, second)
    assert clone(retrieval).surrogate is not CUBIC


def test_more_calls_continue_a_run(tmp_path):
    model = Counted()
    with pytest.warns(UserWarning, match="stopped at `max_calls`=100"):
        retrieve(model, max_calls=100, log_dir=tmp_path)
    assert len(model.theta) == 100
    # though not told the seed of the first
    retrieval = retrieve(model, log_dir=tmp_path, random_state=None)
    assert retrieval.posterior_.effective_sample_size >= 150
    assert retrieval.n_calls_ == len(model.theta) == len(set(model.theta)) > 100


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
import test_dear_models as t
def slow(theta, X):
    time.sleep(0.1)  # a task of each call
    with open({log!r}, "a") as file:
        file.writelines(f"{{a!r}} {{b!r}}\\n" for a, b in theta.tolist())
    time.sleep(0.0 if len(sys.argv) > 1 else 0.05)
    return t.curved(theta, X)
t.retrieve(slow, log_dir={folder!r}, max_calls=140, min_ess=1000)
"""


def test_no_call_is_lost_or_made_twice_in_a_kill(tmp_path):
    log, folder = tmp_path / "log.txt", tmp_path / "run"
    code = SLOW.format(
        tests=os.path.dirname(__file__), log=str(log), folder=str(folder)
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 120
    while not log.exists() or len(log.read_text().splitlines()) < 5:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    def logged(theta, X):
        with log.open("a") as file:
            file.writelines(f"{a!r} {b!r}\n" for a, b in theta.tolist())
        return curved(theta, X)

    with pytest.warns(UserWarning, match="stopped at `max_calls`=140"):
        retrieval = retrieve(logged, log_dir=folder, max_calls=140, min_ess=1000)
    calls = log.read_text().splitlines()
    # but for those that the kill was in the middle of
    assert 0 <= len(calls) - len(set(calls)) <= 2
    assert len(set(calls)) == retrieval.n_calls_ == 140


def test_a_folder_of_another_run_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="stopped at `max_calls`"):
        retrieve(log_dir=tmp_path, max_calls=40)
    with pytest.raises(ValueError, match="other settings"):
        retrieve(log_dir=tmp_path, max_calls=40, surrogate=Ridge())
    # of the same settings, but not where this run would have begun
    design = tmp_path / "calls" / "design-0000.npy"
    np.save(design, np.load(design)[::-1])
    with pytest.raises(ValueError, match="design-0000.npy' are not where this run"):
        retrieve(log_dir=tmp_path, max_calls=40)


def test_surrogate_needs_max_calls():
    with pytest.raises(ValueError, match=r"sampler='importance' with `max_calls`"):
        retrieve(max_calls=None)


def test_intensity_of_draws_is_exact():
    """It integrates to their number, wherever the target and the mixture are."""
    rng = np.random.default_rng(0)

    def log_likelihoods(z):
        # two modes, and the wide likelihood is wider
        distance = np.minimum(np.abs(z[:, 0] - 1.5), np.abs(z[:, 0] + 0.5))
        return np.stack([-0.5 * (distance / s) ** 2 for s in (0.3, 0.1)])

    proposal = Proposal(log_likelihoods, lambda z: 0.0, rng.normal(size=(9, 1)), 0, rng)
    edges = np.linspace(-4, 4, 33)
    fine = np.linspace(-4, 4, 32 * 400 + 1)
    middle = 0.5 * (fine[1:] + fine[:-1])
    z, layer = proposal.draw(4000, rng)
    assert z.shape == (4000, 1)
    density = np.exp(layer.log_intensity(middle[:, None])) * np.diff(fine)
    expected = density.reshape(32, 400).sum(axis=1)
    assert_allclose(expected.sum(), 4000, rtol=0.05)
    found = np.histogram(z[:, 0], edges)[0]
    assert (np.abs(found - expected) < 5 * np.sqrt(expected + 1)).all()
