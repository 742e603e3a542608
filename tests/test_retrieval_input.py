"""What a retrieval may be given: names of lines, masks, errors, limits, objects."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from skastro.emulation import EmulatorRegressor
from skastro.io import to_integrated_temperature
from skastro.metrics import log_evidence_scorer
from skastro.parameter_space import ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval

PRIOR = ParameterSpace({"slope": Uniform(-5, 5), "offset": Uniform(-5, 5)})
X, Y = np.arange(5.0)[:, None], np.array([1.1, 2.9, 5.0, 1e3, 9.1])
SEEN = np.arange(5) != 3


def line(theta, X):
    return theta[:, :1] * X[:, 0] + theta[:, 1:]


def straight(**params):
    params = {"n_live_points": 100, "random_state": 0} | params
    return BayesianRetrieval(line, PRIOR, **params)


class Lines:
    """A model with a catalogue of lines, whose intensities are in K km/s."""

    output_names = ["CO(3-2)", "CO(6-5)", "CS(7-6)"]
    output_unit = "K km / s"

    def encode_lines(self, lines):
        return np.array([[self.output_names.index(name)] for name in lines], float)

    def predict(self, theta):
        return theta @ [[1.0, 2.0, 0.5], [1.0, 0.0, 3.0]]


@pytest.mark.parametrize("sampler", ["region", "slice", "importance"])
@pytest.mark.parametrize("kind", ["masked", "NaN", "infinite error", "weight 0"])
def test_a_line_that_was_not_observed_is_absent(kind, sampler):
    """To the last bit: whatever stands in its place."""
    sigma, y, given = np.full(5, 0.1), Y, {}
    if kind == "masked":
        y = np.ma.array(Y, mask=~SEEN)
    elif kind == "NaN":
        y = np.where(SEEN, Y, np.nan)
    elif kind == "infinite error":
        sigma = np.where(SEEN, 0.1, np.inf)
    given = {"sigma": sigma}
    if kind == "weight 0":
        given = {"sample_weight": np.where(SEEN, 100.0, 0.0)}
    expected = straight(sampler=sampler).fit(X[SEEN], Y[SEEN], sigma=0.1)
    found = straight(sampler=sampler).fit(X, y, **given)
    if kind == "weight 0":  # 1 / sqrt(100) is not 0.1 to the last bit
        assert_allclose(found.log_evidence_, expected.log_evidence_, rtol=1e-6)
        return
    assert_array_equal(found.posterior_.samples, expected.posterior_.samples)
    assert found.log_evidence_ == expected.log_evidence_


def test_errors_have_one_name():
    found = straight().fit(X[SEEN], Y[SEEN], sigma=[0.1, 0.2, 0.1, 0.1])
    weights = np.array([0.1, 0.2, 0.1, 0.1]) ** -2
    same = straight().fit(X[SEEN], Y[SEEN], sample_weight=weights)
    assert_allclose(found.posterior_.mean(), same.posterior_.mean(), rtol=1e-6)
    default = straight(sigma=0.3).fit(X[SEEN], Y[SEEN])
    assert_allclose(
        straight(sigma=9.0).fit(X[SEEN], Y[SEEN], sigma=0.3).log_evidence_,
        default.log_evidence_,
    )
    with pytest.raises(ValueError, match="`sigma` and `sample_weight` were both"):
        straight().fit(X, Y, sigma=0.1, sample_weight=np.full(5, 100.0))
    with pytest.raises(ValueError, match="No uncertainties: pass sigma="):
        straight().fit(X, Y)
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="sigma"):
            straight().fit(X[SEEN], Y[SEEN], sigma=[0.1, bad, 0.1, 0.1])


def test_a_weight_beyond_all_others_is_noticed():
    with pytest.warns(UserWarning, match="effective sample size is .*one line's error"):
        straight(sampler="importance", min_ess=1).fit(
            X[SEEN], Y[SEEN], sample_weight=[1e40, 1, 1, 1]
        )


def test_lines_by_their_names():
    model, prior = Lines(), PRIOR
    y = [3.0, 4.0, 4.0]
    by_position = BayesianRetrieval(model, prior, random_state=0, n_live_points=100)
    by_position.fit(model.encode_lines(model.output_names), y, sigma=0.3)
    for names in (
        model.output_names,
        np.array(model.output_names)[:, None],
        pd.Series(model.output_names),
        pd.DataFrame({"line": model.output_names}),
        ["CO 3-2", "12CO J=6-5", "CS7-6"],
    ):
        found = BayesianRetrieval(model, prior, random_state=0, n_live_points=100)
        found.fit(names, y, sigma=0.3)
        assert found.log_evidence_ == by_position.log_evidence_
    assert_array_equal(found.predict(["CS(7-6)"]), by_position.predict([[2.0]]))
    assert found.posterior_predictive(["CO(6-5)"]).shape[1] == 1
    assert found.prior_predictive(["CO(6-5)"], 7, random_state=0)[1].shape == (7, 1)
    with pytest.raises(ValueError, match="CO\\(6-6\\).*Did you mean"):
        found.predict(["CO(6-6)"])


def test_names_of_lines_are_cross_validated():
    names = np.array(Lines.output_names)[:, None]
    y = np.array([3.0, 4.0, 4.0])
    retrieval = BayesianRetrieval(
        Lines(), PRIOR, sigma=0.3, n_live_points=100, random_state=0
    )
    predicted = cross_val_predict(retrieval, names, y, cv=LeaveOneOut())
    assert predicted.shape == (3,)
    assert np.isfinite(predicted).all()
    with sklearn.config_context(enable_metadata_routing=True):
        retrieval = BayesianRetrieval(
            Lines(), PRIOR, n_live_points=100, random_state=0
        ).set_fit_request(sigma=True)
        routed = cross_val_predict(
            retrieval, names, y, cv=LeaveOneOut(), params={"sigma": np.full(3, 0.3)}
        )
    assert_array_equal(routed, predicted)


def test_intensities_in_their_unit():
    y = np.array([3.0, 4.0, 4.0])
    expected = BayesianRetrieval(Lines(), PRIOR, n_live_points=100, random_state=0)
    expected.fit(Lines.output_names, y, sigma=0.3)
    found = sklearn.clone(expected).fit(
        Lines.output_names, 1000 * y * u.Unit("K m / s"), sigma=300 * u.Unit("K m / s")
    )
    assert_allclose(found.posterior_.mean(), expected.posterior_.mean(), rtol=1e-9)
    # what would do is named, and does
    jansky = u.Unit("Jy km / s")
    with pytest.raises(TypeError, match="`y` carries the unit Jy km / s, and .*to_int"):
        sklearn.clone(expected).fit(Lines.output_names, y * jansky, sigma=0.3)
    with pytest.raises(TypeError, match="`sigma` carries the unit Jy.*read_line_table"):
        sklearn.clone(expected).fit(Lines.output_names, y, sigma=0.3 * jansky)
    beam, nu = 10 * u.arcsec, [115.27, 230.54, 345.80] * u.GHz
    one = to_integrated_temperature(np.ones(3) * jansky, nu, beam=beam).value
    flux, error = y / one * jansky, 0.3 / one * jansky
    found = sklearn.clone(expected).fit(
        Lines.output_names,
        to_integrated_temperature(flux, nu, beam=beam),
        sigma=to_integrated_temperature(error, nu, beam=beam),
    )
    assert_allclose(found.posterior_.mean(), expected.posterior_.mean(), rtol=1e-9)
    with pytest.raises(TypeError, match="`y` carries the unit K"):
        straight().fit(X[SEEN], Y[SEEN] * u.K, sigma=0.1)


def objects(n):
    rng = np.random.default_rng(0)
    theta = rng.uniform(-2, 2, (n, 2))
    return line(theta, X[:4]) + 0.1 * rng.normal(size=(n, 4))


def test_objects_along_either_axis():
    rows = objects(3)
    rows[1, 2] = np.nan
    sigma = np.full(rows.shape, 0.1)
    sigma[2] = 0.3
    options = {"sampler": "importance", "min_ess": 20}
    as_rows = straight(**options).fit(X[:4], rows, sigma=sigma)
    as_columns = straight(**options).fit(X[:4], rows.T, sigma=sigma.T)
    assert_array_equal(as_rows.posterior_.mean(), as_columns.posterior_.mean())
    square = objects(4)
    with pytest.raises(ValueError, match=r"square.*Set `objects` to 'columns' or"):
        straight(**options).fit(X[:4], square, sigma=0.1)
    named = straight(objects="rows", **options).fit(X[:4], square, sigma=0.1)
    turned = straight(objects="columns", **options).fit(X[:4], square.T, sigma=0.1)
    assert_array_equal(named.posterior_.mean(), turned.posterior_.mean())
    assert named.predict(X).shape == turned.predict(X).shape == (5, 4)


@pytest.mark.parametrize("sampler", ["region", "importance"])
def test_limits_need_no_error_of_their_own(sampler):
    """The model must then be below: a truncated normal, in one parameter."""

    def level(theta, X):
        return np.repeat(theta, len(X), axis=1)

    prior = ParameterSpace({"level": Uniform(-5, 5)})
    for error in (np.nan, np.inf):
        retrieval = BayesianRetrieval(
            level, prior, sampler=sampler, n_live_points=400, random_state=0
        ).fit(
            [[0.0], [1.0]],
            [1.0, 0.8],
            sigma=[0.5, error],
            upper_limit=[False, True],
        )
        samples = retrieval.posterior_.samples[:, 0]
        assert samples.max() <= 0.8
        expected = norm.cdf((0.8 - 1.0) / 0.5) - norm.cdf((-5 - 1.0) / 0.5)
        difference = abs(retrieval.log_evidence_ - np.log(expected / 10))
        assert difference < 3 * retrieval.log_evidence_err_ + 0.01


def test_evidence_is_a_score_of_searches():
    retrieval = straight(sigma=0.1).fit(X[SEEN], Y[SEEN])
    assert log_evidence_scorer(retrieval, X, Y) == retrieval.log_evidence_
    assert repr(log_evidence_scorer) == "log_evidence_scorer"


def test_range_and_convergence_are_told_apart():
    """Once a fit, where an emulator knows but a part of the prior."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(-5, 5, (400, 2))
    emulator = EmulatorRegressor((16,), max_epochs=60, random_state=0)
    emulator.fit(theta, line(theta, X[:3]))
    # less than 1 % of the prior is outside
    prior = ParameterSpace({"slope": Uniform(-5.1, 5), "offset": Uniform(-5, 5)})
    retrieval = BayesianRetrieval(emulator, prior, n_live_points=100, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        retrieval.fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 3.0], sigma=0.2)
    assert not [w for w in caught if "converge" in str(w.message)]
    assert len(caught) <= 1


NO_MPI = """
import sys
import numpy as np
from skastro.parameter_space import ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval

retrieval = BayesianRetrieval(
    lambda theta, X: theta @ X.T,
    ParameterSpace({"a": Uniform(-5, 5)}),
    sigma=1.0,
    n_live_points=50,
    random_state=0,
    verbose=int(sys.argv[1]),
)
print(retrieval.fit([[1.0], [2.0]], [1.0, 2.0]).posterior_.mean().shape)
"""


@pytest.mark.parametrize("verbose", [0, 1])
def test_mpi_without_a_library_is_left_alone(tmp_path, verbose):
    package = tmp_path / "mpi4py"
    package.mkdir()
    (package / "__init__.py").write_text("")
    broken = 'raise RuntimeError("cannot load MPI library")\n'
    (package / "MPI.py").write_text(broken)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + NO_MPI
    run = subprocess.run(
        [sys.executable, "-c", code, str(verbose)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "(1,)"
    assert ("MPI is left alone" in run.stderr) == bool(verbose)
