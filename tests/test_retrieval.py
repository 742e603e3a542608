import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_predict

from skastro.datasets import gas_prior, load_ngc1068
from skastro.emulation import EmulatorRegressor
from skastro.metrics import log_evidence_scorer
from skastro.molecular import RadexEmulator, RadexModel
from skastro.parameter_space import LogUniform, Parameter, ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval, Posterior

LINE_PRIOR = ParameterSpace({"slope": Uniform(-5, 5), "offset": Uniform(-5, 5)})


def linear(theta, X):
    return theta @ X.T


def linear_gaussian(n_parameters, prior_sigma=2.0):
    """A linear model with Gaussian noise and prior: posterior and evidence known."""
    rng = np.random.default_rng(n_parameters)
    X = rng.standard_normal((2 * n_parameters, n_parameters))
    sigma = rng.uniform(0.2, 0.5, len(X))
    y = X @ rng.standard_normal(n_parameters) + sigma * rng.standard_normal(len(X))
    prior = ParameterSpace(
        {f"p{i}": Parameter(stats.norm(0, prior_sigma)) for i in range(n_parameters)}
    )
    precision = X.T @ (X / sigma[:, None] ** 2) + np.eye(n_parameters) / prior_sigma**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ X.T @ (y / sigma**2)
    marginal = prior_sigma**2 * X @ X.T + np.diag(sigma**2)
    log_evidence = stats.multivariate_normal(cov=marginal).logpdf(y)
    return X, y, sigma, prior, mean, covariance, log_evidence


@pytest.fixture(scope="module")
def line_retrieval(straight_line):
    """Few live points do: errors of the evidence are told with it."""
    X, y, line = straight_line
    retrieval = BayesianRetrieval(
        line, LINE_PRIOR, sigma=0.1, n_live_points=100, random_state=0
    )
    return retrieval.fit(X, y)


@pytest.mark.parametrize(
    ("n_parameters", "sampler"),
    [(2, "region"), (2, "slice"), (5, "slice"), (5, "region")],
)
def test_linear_gaussian(n_parameters, sampler):
    X, y, sigma, prior, mean, covariance, log_evidence = linear_gaussian(n_parameters)
    retrieval = BayesianRetrieval(
        linear, prior, sampler=sampler, n_live_points=200, random_state=1
    ).fit(X, y, sigma=sigma)
    posterior = retrieval.posterior_
    assert abs(retrieval.log_evidence_ - log_evidence) < 3 * retrieval.log_evidence_err_
    std = np.sqrt(np.diag(covariance))
    n = posterior.effective_sample_size
    assert n > 400
    # 3 standard errors of mean and standard deviation from n independent samples
    assert_allclose((posterior.mean() - mean) / std, 0, atol=3 * n**-0.5 + 0.03)
    assert_allclose(posterior.std() / std, 1, atol=3 * (2 * n) ** -0.5 + 0.03)
    correlation = np.corrcoef(posterior.samples.T)
    assert_allclose(correlation, covariance / np.outer(std, std), atol=0.15)


def test_evidence_of_a_uniform_prior_pays_for_its_volume(straight_line, line_retrieval):
    X, y, line = straight_line
    narrow = line_retrieval
    wide_prior = ParameterSpace({"slope": Uniform(-50, 50), "offset": Uniform(-5, 5)})
    wide = clone(narrow).set_params(prior=wide_prior).fit(X, y)
    difference = narrow.log_evidence_ - wide.log_evidence_
    error = np.hypot(narrow.log_evidence_err_, wide.log_evidence_err_)
    assert 3 * error < np.log(10)  # no difference would be told
    assert abs(difference - np.log(10)) < 3 * error


def test_units_of_the_data_do_not_matter_but_in_the_evidence(
    straight_line, line_retrieval
):
    """Scaling y, sigma and parameters by c divides Z by c per datum."""
    X, y, line = straight_line
    first = line_retrieval
    scaled_prior = ParameterSpace(
        {"slope": Uniform(-500, 500), "offset": Uniform(-500, 500)}
    )
    scaled = clone(first).set_params(prior=scaled_prior, sigma=10.0).fit(X, 100 * y)
    assert_allclose(scaled.posterior_.mean(), 100 * first.posterior_.mean(), rtol=1e-6)
    assert_allclose(
        scaled.log_evidence_, first.log_evidence_ - len(y) * np.log(100), atol=1e-6
    )


def test_weights_are_inverse_variances(straight_line):
    X, y, line = straight_line
    retrieval = BayesianRetrieval(
        line, LINE_PRIOR, sigma=0.2, n_live_points=50, random_state=0
    )
    by_sigma = clone(retrieval).fit(X, y)
    by_weight = clone(retrieval).set_params(sigma=None)
    by_weight.fit(X, y, sample_weight=np.full(len(y), 25.0))
    assert_allclose(by_weight.log_evidence_, by_sigma.log_evidence_)
    without = clone(retrieval).fit(X[:-1], y[:-1])
    zero = clone(without).fit(X, y, sample_weight=[1, 1, 1, 1, 1, 0])
    assert_allclose(zero.log_evidence_, without.log_evidence_)


def test_posterior_predictive(straight_line, line_retrieval):
    X, y, _ = straight_line
    retrieval = line_retrieval
    draws = retrieval.posterior_predictive(X)
    assert draws.shape == (len(retrieval.posterior_), len(X))
    mean, std = retrieval.predict(X, return_std=True)
    design = np.column_stack([X, np.ones(len(X))])
    expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    assert_allclose(mean, expected, atol=0.02)
    hat = design @ np.linalg.inv(design.T @ design) @ design.T
    assert_allclose(std, 0.1 * np.sqrt(np.diag(hat)), rtol=0.15)
    assert retrieval.score(X, y) > 0.95


def test_held_out_lines(straight_line):
    X, y, line = straight_line
    retrieval = BayesianRetrieval(
        line, LINE_PRIOR, sigma=0.1, n_live_points=50, random_state=0
    )
    held_out = cross_val_predict(retrieval, X, y, cv=LeaveOneOut())
    assert_allclose(held_out, y, atol=0.4)


def test_held_out_lines_of_a_fitted_emulator(co_emulator, co_radex):
    """A clone keeps its forward model fitted, in every meta-estimator."""
    y = co_radex.predict([[60.0, 5e4, 3e16, 30.0, 0.7]])[0]
    X = co_radex.encode_lines(co_radex.lines)
    retrieval = BayesianRetrieval(
        co_emulator,
        gas_prior(["CO"]),
        sigma=100.0,
        n_live_points=60,
        n_steps=5,
        frac_remain=0.5,
        random_state=0,
    )
    held_out = cross_val_predict(retrieval, X, y, cv=LeaveOneOut())
    assert (held_out > 0).all()
    copied = clone(retrieval).forward_model
    assert copied.estimators_ is co_emulator.estimators_
    copied.set_params(extrapolation="ignore")
    assert co_emulator.extrapolation != "ignore"
    search = GridSearchCV(
        retrieval,
        {"forward_model": [FrozenEstimator(co_emulator), FrozenEstimator(co_radex)]},
        scoring=log_evidence_scorer,
        cv=[([0, 1], [0, 1])],
    ).fit(X, y)
    assert np.ptp(search.cv_results_["mean_test_score"]) < 3


def test_prior_is_matched_to_the_names_of_a_data_frame():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(0, 1, (300, 3)), columns=["density", "T", "z"])
    emulator = EmulatorRegressor((16,), max_epochs=300, random_state=0)
    emulator.fit(frame, 10 * frame["density"] + frame["z"])
    prior = ParameterSpace({n: Uniform(0, 1) for n in ("T", "z", "density")})
    retrieval = BayesianRetrieval(
        emulator, prior, sigma=0.1, n_live_points=100, random_state=0
    ).fit([[0]], [6.5])
    density = retrieval.posterior_.samples[:, 2]
    assert abs(density.mean() - 0.6) < 0.03
    assert density.std() < 0.06


def test_posterior_summaries():
    X, y, sigma, prior, mean, covariance, _ = linear_gaussian(2)
    retrieval = BayesianRetrieval(linear, prior, random_state=0)
    posterior = retrieval.fit(X, y, sigma=sigma).posterior_
    std = np.sqrt(np.diag(covariance))
    assert_allclose(posterior.quantile(0.5), mean, atol=0.15 * std.max())
    lower, upper = posterior.credible_interval()
    assert_allclose((upper - lower) / (2 * std), 1, atol=0.1)
    lower, upper = posterior.credible_interval(0.95)
    assert_allclose((upper - lower) / (2 * 1.96 * std), 1, atol=0.1)
    assert_allclose(posterior.weights.sum(), 1)
    assert_allclose(posterior.best, mean, atol=0.3 * std.max())
    text = posterior.summary()
    assert "68 % interval" in text and "ln Z = " in text
    assert "ln Z" in repr(posterior)
    with pytest.raises(ValueError, match="`q` must lie in"):
        posterior.quantile(50)
    again = pickle.loads(pickle.dumps(posterior))
    assert_array_equal(again.samples, posterior.samples)


# -- with models of molecular lines


def test_emulator_posterior_is_that_of_radex(co_emulator, co_radex):
    """The emulator's posterior, weighted to be RADEX's, keeps its medians."""
    truth = np.array([[60.0, 5e4, 3e16, 30.0, 0.7]])
    y = co_radex.predict(truth)[0]
    X = co_radex.encode_lines(["CO(3-2)", "CO(6-5)"])
    retrieval = BayesianRetrieval(
        co_emulator, gas_prior(["CO"]), n_live_points=200, n_steps=10, random_state=0
    ).fit(X, y, sigma=0.1 * y)
    posterior = retrieval.posterior_
    kept = posterior.weights > 1e-6
    samples, weights = posterior.weighted_samples[kept], posterior.weights[kept]

    def log_likelihood(model):
        return -0.5 * (((model.predict(samples) - y) / (0.1 * y)) ** 2).sum(axis=1)

    # the likelihoods that the run recorded are those of the emulator, as well as tables
    # of it know it
    recorded = posterior.log_likelihoods[kept]
    constant = -np.log(0.1 * y * np.sqrt(2 * np.pi)).sum()
    difference = recorded - log_likelihood(co_emulator) - constant
    assert abs(np.average(difference, weights=weights)) < 0.01
    assert np.average(difference**2, weights=weights) < 0.05**2
    ratio = np.exp(log_likelihood(co_radex) - log_likelihood(co_emulator))
    # the evidence ratio is the mean of the likelihood ratio
    assert abs(np.log(np.average(ratio, weights=weights))) < 0.05
    exact = Posterior(
        posterior.space, samples, samples, weights * ratio / (weights @ ratio), 0, 0, 0
    )
    low, high = exact.shown(exact.credible_interval())
    shift = exact.shown(exact.quantile(0.5)) - posterior.shown(posterior.quantile(0.5))
    assert (np.abs(shift) < 0.2 * (high - low) / 2).all()


def test_prior_is_matched_by_name(co_emulator, co_radex):
    prior = gas_prior(["CO"])
    shuffled = prior.select(prior.names[::-1])
    y = co_radex.predict([[60.0, 5e4, 3e16, 30.0, 0.7]])[0]
    X = co_radex.encode_lines(co_radex.lines)
    retrieval = BayesianRetrieval(
        co_emulator, shuffled, n_live_points=50, n_steps=5, random_state=0
    ).fit(X, y, sigma=0.1 * y)
    assert retrieval.posterior_.names == shuffled.names
    assert_allclose(retrieval.predict(X), y, rtol=0.2)
    assert (retrieval.posterior_.samples[:, -1] > 10).all()


@pytest.fixture
def ngc1068(co_emulator):
    """A retrieval of the two CO lines, and its arguments."""
    galaxy = load_ngc1068()
    X = co_emulator.encode_lines(galaxy.lines[:2])
    retrieval = BayesianRetrieval(co_emulator, gas_prior(["CO"]), random_state=0)
    return retrieval, X, galaxy.intensity[:2], galaxy.sigma[:2] ** -2


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda r, X, y, w: (r, X, y * [1, -1], w),
            ValueError,
            r"negative by more than 3 sigma for \['CO\(6-5\)'\]",
        ),
        (lambda r, X, y, w: (r, X, y * np.nan, w), ValueError, "NaN for every line"),
        (lambda r, X, y, w: (r, X, y[:1], w), ValueError, "inconsistent numbers"),
        (
            lambda r, X, y, w: (r, X + 1, y, w),
            ValueError,
            "positions among the 2 outputs",
        ),
        (
            lambda r, X, y, w: (r, X + 0.5, y, w),
            ValueError,
            "positions among the 2 outputs",
        ),
        (lambda r, X, y, w: (r, np.hstack([X, X]), y, w), ValueError, "one column"),
        (
            lambda r, X, y, w: (r, X, y, None),
            ValueError,
            "pass sigma=..., the 1-sigma errors",
        ),
        (lambda r, X, y, w: (r, X, y, -w), ValueError, "and not negative, got -"),
        (lambda r, X, y, w: (r, X, y, 0 * w), ValueError, "zero"),
    ],
)
def test_bad_data(ngc1068, change, error, message):
    retrieval, X, y, weight = change(*ngc1068)
    with pytest.raises(error, match=message):
        retrieval.fit(X, y, sample_weight=weight)


@pytest.mark.parametrize(
    ("name", "parameter", "message"),
    [
        (
            "temperature",
            Uniform(5, 500, "K"),
            r"reaches outside the range.*temperature above 2.* K",
        ),
        (
            "density",
            LogUniform(1e10, 1e12, "m-3"),
            "in m-3, but `forward_model` takes it in cm-3",
        ),
        ("line_width", Uniform(1, 100, "parsnips"), "no unit that astropy knows"),
        ("filling_factor", Uniform(0, 1, "K"), "in K, but .* in no unit"),
    ],
)
def test_bad_priors(ngc1068, name, parameter, message):
    retrieval, X, y, weight = ngc1068
    prior = ParameterSpace(retrieval.prior.parameters | {name: parameter})
    with pytest.raises(ValueError, match=message):
        retrieval.set_params(prior=prior).fit(X, y, sample_weight=weight)


def test_misnamed_priors(ngc1068):
    retrieval, X, y, weight = ngc1068
    parameters = dict(retrieval.prior.parameters)
    parameters["temprature"] = parameters.pop("temperature")
    with pytest.raises(
        ValueError, match="lacks 'temperature'.*Did you mean 'temprature'"
    ):
        retrieval.set_params(prior=ParameterSpace(parameters)).fit(
            X, y, sample_weight=weight
        )
    parameters["temperature"] = parameters["temprature"]
    with pytest.raises(ValueError, match="which `forward_model` does not take"):
        retrieval.set_params(prior=ParameterSpace(parameters)).fit(
            X, y, sample_weight=weight
        )


def test_unit_mix_ups(ngc1068):
    from astropy import units as u

    retrieval, X, y, weight = ngc1068
    with pytest.raises(
        TypeError, match="unit Jy km / s.*predicts K km / s.*skastro.io"
    ):
        retrieval.fit(X, y * u.Unit("Jy km / s"), sample_weight=weight)
    with pytest.raises(TypeError, match="`sample_weight` carries the unit"):
        retrieval.fit(X, y, sample_weight=weight / u.Jy**2)
    with pytest.raises(TypeError, match=r"`lower` carries the unit K, which is not cm"):
        Uniform(10 * u.K, 20 * u.K, "cm-3")
    with pytest.raises(TypeError, match=r"`density` carries the unit 1 / m3.*'cm-3'"):
        RadexModel(["CO(3-2)"]).solve("CO", 50.0, 1e11 / u.m**3, 1e16)
    with pytest.raises(TypeError, match="`X` carries the unit K"):
        EmulatorRegressor().fit(X * u.K, y)


def test_noisy_zero_is_a_fair_datum(ngc1068):
    """A negative intensity within its error is a non-detection, not a mistake."""
    retrieval, X, y, _ = ngc1068
    retrieval.set_params(n_live_points=60, n_steps=5, frac_remain=0.5)
    retrieval.fit(X, [y[0], -10.0], sample_weight=[1e-4, 1e-2])
    assert retrieval.predict(X)[1] < 60


def test_forward_model_of_the_wrong_shape(straight_line):
    X, y, _ = straight_line
    retrieval = BayesianRetrieval(
        lambda theta, X: theta[:, 0], LINE_PRIOR, sigma=1.0, random_state=0
    )
    with pytest.raises(ValueError, match=r"must return shape \(\d+, 6\).*\(n_draws"):
        retrieval.fit(X, y)


def test_forward_model_without_solutions_is_counted(straight_line):
    X, y, line = straight_line

    def half(theta, X):
        return np.where(theta[:, :1] > 1.0, line(theta, X), np.nan)

    retrieval = BayesianRetrieval(
        half, LINE_PRIOR, sigma=0.3, n_live_points=100, random_state=0
    )
    with pytest.warns(UserWarning, match=r"no solution \(NaN\) in \d+ of \d+"):
        retrieval.fit(X, y)
    assert retrieval.posterior_.samples[:, 0].min() > 1.0


def test_no_solution_anywhere_is_an_error():
    model = RadexModel(["CO(3-2)"], column_density="per line width", max_iter=2)
    retrieval = BayesianRetrieval(
        model, gas_prior(["CO"]), n_live_points=30, random_state=0
    )
    with pytest.raises(ValueError, match=r"no solution \(NaN\) in any of \d+"):
        retrieval.fit([[0]], [100.0], sigma=10.0)


def test_total_column_densities_in_a_retrieval():
    """N/dv reaches further than a design of N and dv: that corner is impossible."""
    prior = ParameterSpace(
        {
            "temperature": Uniform(10, 200, "K"),
            "density": LogUniform(1e4, 1e6, "cm-3"),
            "column_density_CO": LogUniform(1e15, 1e19, "cm-2"),
            "line_width": Uniform(1, 100, "km / s"),
            "filling_factor": Uniform(0.1, 1),
        }
    )
    theta = prior.sample_latin_hypercube(1000, random_state=0)
    radex = RadexModel(["CO(3-2)"])
    emulator = RadexEmulator(
        ["CO(3-2)"], EmulatorRegressor((16, 16), max_epochs=100, random_state=0)
    ).fit(theta, radex.predict(theta))
    retrieval = BayesianRetrieval(
        emulator, prior, n_live_points=50, n_steps=5, random_state=0
    )
    y = radex.predict([[60.0, 5e4, 1e18, 30.0, 0.7]])[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The forward model had no solution")
        retrieval.fit([[0]], y, sigma=0.1 * y)
    assert_allclose(retrieval.predict([[0]]), y, rtol=0.1)
    assert emulator.extrapolation == "raise"


def test_absorption_lines_are_fair_data():
    """Against a bright background cold gas is seen in absorption."""
    lines = ["HCO+(1-0)"]
    radex = RadexModel(
        lines, background_temperature=30.0, column_density="per line width"
    )
    assert not radex.nonnegative_output and RadexModel(lines).nonnegative_output
    prior = gas_prior(["HCO+"])
    space = ParameterSpace(prior.parameters | {"filling_factor": Uniform(0.01, 1)})
    theta = space.sample_latin_hypercube(500, random_state=0)
    y = radex.predict(theta)
    assert y.min() < 0 < y.max()
    emulator = RadexEmulator(
        lines,
        EmulatorRegressor((32, 32), max_epochs=300, random_state=0),
        column_density="per line width",
    ).fit(theta, y)
    assert emulator.predict(theta).min() < 0.8 * y.min()
    assert not emulator.nonnegative_output


# -- how it runs


def test_quiet_by_default_and_a_bar_if_asked(straight_line, capsys):
    X, y, line = straight_line
    retrieval = BayesianRetrieval(
        line, LINE_PRIOR, sigma=0.1, n_live_points=50, random_state=0
    )
    retrieval.fit(X, y)
    assert capsys.readouterr() == ("", "")
    retrieval.set_params(verbose=1).fit(X, y)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "nested sampling" in captured.err and "best ln L=" in captured.err


def test_early_stop_is_not_silent(straight_line):
    X, y, line = straight_line
    retrieval = BayesianRetrieval(
        line, LINE_PRIOR, sigma=0.1, max_calls=500, random_state=0
    )
    with pytest.warns(UserWarning, match="stopped at `max_calls`=500"):
        retrieval.fit(X, y)


def test_finished_run_is_read_back(straight_line, tmp_path):
    X, y, line = straight_line
    calls = []

    def counted(theta, X):
        calls.append(len(theta))
        return line(theta, X)

    retrieval = BayesianRetrieval(
        counted,
        LINE_PRIOR,
        sigma=0.1,
        n_live_points=100,
        log_dir=tmp_path / "run",
        random_state=0,
    ).fit(X, y)
    first, evidence = sum(calls), retrieval.log_evidence_
    calls.clear()
    again = clone(retrieval).fit(X, y)
    assert sum(calls) < 0.1 * first
    assert abs(again.log_evidence_ - evidence) < 0.1
    with pytest.raises(ValueError, match="another problem"):
        clone(retrieval).fit(X, y + 1)
    other_model = clone(retrieval).set_params(
        forward_model=lambda theta, X: counted(theta, X) + 0.01
    )
    with pytest.raises(ValueError, match="another problem"):
        other_model.fit(X, y)
    with pytest.raises(ValueError, match="other settings"):
        clone(retrieval).set_params(n_steps=99).fit(X, y)


KILLED = """
import sys, time
import numpy as np
from skastro.parameter_space import ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval, Posterior

def slow_line(theta, X):
    time.sleep(0.01)
    return theta[:, :1] * X[:, 0] + theta[:, 1:]

prior = ParameterSpace({"slope": Uniform(-5, 5), "offset": Uniform(-5, 5)})
X, y = np.load(sys.argv[2])
retrieval = BayesianRetrieval(
    slow_line, prior, sigma=0.1, n_live_points=100, log_dir=sys.argv[1], random_state=0
)
retrieval.fit(X[:, None], y)
"""


def test_resumes_after_a_kill(straight_line, line_retrieval, tmp_path):
    X, y, line = straight_line
    run, data = tmp_path / "run", tmp_path / "data.npy"
    np.save(data, np.stack([X[:, 0], y]))
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(run), str(data)])
    points = run / "results" / "points.hdf5"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if points.exists() and points.stat().st_size > 30_000:
            break
        time.sleep(0.05)
    assert process.poll() is None, "the run ended before it was killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    calls = []

    def counted(theta, X):
        calls.append(len(theta))
        return line(theta, X)

    fresh = line_retrieval
    resumed = clone(fresh).set_params(forward_model=counted, log_dir=run).fit(X, y)
    assert sum(calls) < fresh.n_calls_
    error = np.hypot(resumed.log_evidence_err_, fresh.log_evidence_err_)
    assert abs(resumed.log_evidence_ - fresh.log_evidence_) < 3 * error


RANKS = """
import sys
from pathlib import Path
import numpy as np
from mpi4py import MPI
from skastro.parameter_space import ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval

prior = ParameterSpace({"slope": Uniform(-5, 5), "offset": Uniform(-5, 5)})
X, y = np.load(sys.argv[2])
retrieval = BayesianRetrieval(
    lambda theta, X: theta[:, :1] * X[:, 0] + theta[:, 1:],
    prior, sigma=0.1, n_live_points=100, log_dir=sys.argv[1], random_state=0, verbose=1,
).fit(X[:, None], y)
found = [retrieval.log_evidence_, retrieval.log_evidence_err_, MPI.COMM_WORLD.size]
np.save(Path(sys.argv[2]).with_name(f"rank{MPI.COMM_WORLD.rank}.npy"), found)
"""


def test_one_run_on_two_processes(straight_line, line_retrieval, tmp_path):
    pytest.importorskip("mpi4py")
    mpiexec = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which(
        "mpiexec"
    )
    if mpiexec is None:
        pytest.skip("mpiexec is not installed")
    X, y, _ = straight_line
    data = tmp_path / "data.npy"
    np.save(data, np.stack([X[:, 0], y]))
    command = [mpiexec, "-n", "2", sys.executable, "-c", RANKS]
    done = subprocess.run(
        [*command, str(tmp_path / "run"), str(data)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("nested sampling: 0.00call") <= 1  # one bar
    first, second = (np.load(tmp_path / f"rank{rank}.npy") for rank in (0, 1))
    assert first[2] == 2
    assert_array_equal(first, second)
    alone = line_retrieval
    error = np.hypot(first[1], alone.log_evidence_err_)
    assert abs(first[0] - alone.log_evidence_) < 3 * error
