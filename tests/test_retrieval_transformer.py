"""Retrieval as a transformer: rows are objects."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from astropy import units as u
from astropy.table import Table
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skastro.decomposition import LineMapNMF
from skastro.parameter_space import LogUniform, ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval, RetrievalTransformer
from skastro.retrieval._problem import Outcome, Problems
from skastro.retrieval._sampling import Solver

LINES = ["a 1-0", "a 2-1", "b 1-0", "b 2-1"]


class TwoSpecies:
    """Lines of two species in one gas: temperature is shared, columns are not."""

    parameter_names = ["temperature", "column_a", "column_b", "filling"]
    output_names = LINES
    separable_parameters = {"column_a": LINES[:2], "column_b": LINES[2:]}
    scale_parameters = ["filling"]
    nonnegative_output = True
    output_unit = "K km / s"

    def __init__(self, slope=1.0):
        self.slope = slope
        self.n_models = 0

    def predict(self, theta):
        self.n_models += len(theta)
        t, a, b, filling = np.asarray(theta).T
        upper = np.exp(-self.slope * 15 / t)
        lines = [t * (1 - np.exp(-n * w)) for n in (a, b) for w in (1, upper)]
        return filling[:, None] * np.stack(lines, axis=1)


PRIOR = ParameterSpace(
    {
        "temperature": Uniform(10, 60),
        "column_a": LogUniform(0.1, 10),
        "column_b": LogUniform(0.1, 10),
        "filling": Uniform(0.2, 1),
    }
)
#: a straight line through points at 0, 1 and 2
STRAIGHT = ParameterSpace({"offset": Uniform(-40, 40), "slope": Uniform(-40, 40)})


def straight(theta, X):
    return theta[:, :1] + theta[:, 1:] * X[:, 0]


class Seeds(np.random.RandomState):
    """A generator whose next integers are known."""

    def __init__(self, *seeds):
        super().__init__(0)
        self.seeds = list(seeds)

    def randint(self, *bounds):
        return self.seeds.pop(0)


@pytest.fixture(scope="module")
def catalogue():
    theta = PRIOR.sample(6, random_state=0)
    X = TwoSpecies().predict(theta)
    sigma = 0.1 * X + 0.2
    X = np.maximum(X + sigma * np.random.default_rng(0).normal(size=X.shape), 0)
    X[1, 2] = np.nan
    return X, sigma


@pytest.fixture(scope="module")
def fitted(catalogue):
    X, sigma = catalogue
    return RetrievalTransformer(TwoSpecies(), PRIOR, random_state=0).fit(X, sigma=sigma)


@pytest.fixture(scope="module")
def summaries(fitted, catalogue):
    X, sigma = catalogue
    return fitted.transform(X, sigma=sigma)


# -- what is found


def retrieval(transformer, i, X, sigma, **given):
    """Return the retrieval of an object that draws what the transformer draws."""
    limit = given.get("upper_limit", np.zeros(X.shape, dtype=bool))
    known = np.where(np.isnan(sigma), 0.0, sigma)
    problem = Problems(transformer, X, known, limit, transformer._band)[i]
    rows = transformer._rows
    first = [i, *(k for k in range(len(X)) if k != i)]
    return BayesianRetrieval(
        transformer.forward_model,
        PRIOR,
        sampler="importance",
        objects="rows",
        random_state=Seeds(rows._seed, rows.seed_of(problem)),
    ).fit(
        LINES,
        X[first],
        sigma=sigma[first],
        **{name: values[first] for name, values in given.items()},
    )


@pytest.mark.parametrize("i", [0, 1])
def test_it_is_the_retrieval_of_each_object(fitted, catalogue, i):
    """To the last bit, from the same draws."""
    X, sigma = catalogue
    found = retrieval(fitted, i, X, sigma)
    assert found.integrated_parameters_ == fitted.integrated_parameters_
    expected, own = found.posterior_[0], fitted.posteriors(X, sigma=sigma)[i]
    assert_array_equal(own.samples, expected.samples)
    assert own.log_evidence == expected.log_evidence
    assert_array_equal(own.log_likelihoods, expected.log_likelihoods)


def test_limits_are_those_of_the_retrieval(catalogue):
    X, sigma = catalogue
    limit = np.zeros(X.shape, dtype=bool)
    limit[0, 3] = limit[2, 1] = True
    exact = sigma.copy()
    exact[2, 1] = np.nan
    transformer = RetrievalTransformer(TwoSpecies(), PRIOR, random_state=0)
    found = transformer.fit_transform(X, sigma=exact, upper_limit=limit)
    for i in (0, 2):
        expected = retrieval(transformer, i, X, exact, upper_limit=limit)
        assert found[i, -3] == expected.log_evidence_[0]


def test_posterior_and_evidence_of_a_straight_line():
    """They are known: of a Gaussian with a flat prior that is far wider."""
    rng = np.random.default_rng(1)
    A = np.column_stack([np.ones(3), np.arange(3)])
    X = rng.normal(size=(4, 2)) @ A.T + rng.normal(size=(4, 3))
    found = RetrievalTransformer(
        straight, STRAIGHT, sigma=1.0, min_ess=4000, n_samples=4000, random_state=0
    ).fit_transform(X)
    covariance = np.linalg.inv(A.T @ A)
    best = X @ A @ covariance
    spread = np.sqrt(np.diag(covariance))
    for k in range(2):
        median, lower, upper = found[:, 3 * k : 3 * k + 3].T
        assert_allclose(median, best[:, k], atol=0.1 * spread[k])
        assert_allclose(lower, best[:, k] - spread[k], atol=0.1 * spread[k])
        assert_allclose(upper, best[:, k] + spread[k], atol=0.1 * spread[k])
    density = stats.norm(0, 1).logpdf(X - best @ A.T).sum(axis=1)
    volume = 2 * np.pi * np.sqrt(np.linalg.det(covariance)) / 80**2
    assert_allclose(found[:, -3], density + np.log(volume), atol=5 * found[:, -2].max())
    assert np.all(found[:, -1] >= 4000)


def test_shared_draws_are_those_of_a_retrieval_of_them_all():
    X = np.random.default_rng(0).normal(size=(5, 3))
    retrieval = BayesianRetrieval(
        straight, STRAIGHT, sampler="importance", objects="rows", random_state=3
    ).fit(np.arange(3.0)[:, None], X, sigma=0.5)
    transformer = RetrievalTransformer(
        straight, STRAIGHT, sigma=0.5, share_draws=True, random_state=3
    )
    table = retrieval.posterior_.to_table()
    found = transformer.fit_transform(X)
    names = list(transformer.get_feature_names_out())
    assert names == table.colnames
    assert_array_equal(found, np.column_stack([table[name] for name in names]))


# -- rows


def test_rows_do_not_know_of_each_other(fitted, catalogue, summaries):
    """Though some need finer tables than those of the fit, which are kept."""
    X, sigma = catalogue
    sharp = np.vstack([sigma, sigma / 30])
    both = np.vstack([X, X])
    model, before = fitted.forward_model, fitted.forward_model.n_models
    assert_array_equal(fitted.transform(X, sigma=sigma), summaries)
    assert model.n_models == before
    every = fitted.transform(both, sigma=sharp)
    assert model.n_models > before
    assert_array_equal(every[: len(X)], summaries)
    before = model.n_models
    last = fitted.transform(both[::-1][:2], sigma=sharp[::-1][:2])
    assert_array_equal(last, every[::-1][:2])
    assert model.n_models == before


def test_tables_become_as_fine_as_the_data(catalogue):
    """A fit to poor data does not blur good data."""
    X, sigma = catalogue
    X = TwoSpecies().predict(PRIOR.sample(6, random_state=0))
    few, sharp = X[:1], sigma[:1] / 10
    coarse = RetrievalTransformer(TwoSpecies(), PRIOR, random_state=0)
    coarse.fit(X, sigma=5 * sigma)
    truth = BayesianRetrieval(
        TwoSpecies(), PRIOR, sampler="importance", random_state=1, min_ess=1000
    ).fit(LINES, few[0], sigma=sharp[0])
    own = coarse.posteriors(few, sigma=sharp)[0]
    tolerance = 5 * (own.log_evidence_err + truth.log_evidence_err_)
    assert abs(own.log_evidence - truth.log_evidence_) < tolerance


def test_missing_is_masked_is_infinite(fitted, catalogue, summaries):
    X, sigma = catalogue
    masked = np.ma.masked_invalid(X)
    masked.data[masked.mask] = 1e30
    assert_array_equal(fitted.transform(masked, sigma=sigma), summaries)
    infinite = np.where(np.isnan(X), np.inf, sigma)
    assert_array_equal(fitted.transform(masked.data, sigma=infinite), summaries)


def test_without_data(fitted, catalogue, summaries):
    X, sigma = catalogue
    X = np.vstack([X, np.full((1, 4), np.nan)])
    sigma = np.vstack([sigma, sigma[:1]])
    with pytest.warns(UserWarning, match="1 of 7 objects have no data"):
        found = fitted.transform(X, sigma=sigma)
    assert_array_equal(found[:-1], summaries)
    assert np.isnan(found[-1, :-1]).all() and found[-1, -1] == 0
    with pytest.warns(UserWarning, match="no data"):
        assert fitted.posteriors(X, sigma=sigma)[-1] is None
    with pytest.warns(UserWarning, match="no data"):
        score = fitted.score(X, sigma=sigma)
    assert score == np.mean(summaries[:, -3])
    with pytest.warns(UserWarning, match="no data"):
        score = fitted.score(X, sigma=sigma, sample_weight=[2, 1, 0, 0, 0, 0, 9])
    assert_allclose(score, np.average(summaries[:2, -3], weights=[2, 1]))
    with pytest.raises(ValueError, match="nothing was observed"):
        clone(fitted).fit(X[-1:], sigma=1.0)
    with pytest.raises(ValueError, match="nothing to score"):
        fitted.score(X[-1:], sigma=1.0)


def test_without_a_solution(monkeypatch):
    """One object alone has a model that is NaN, and is a row of NaN."""
    prior = ParameterSpace({"offset": Uniform(1, 2)})
    own = RetrievalTransformer(
        lambda theta, X: theta + 0 * X[:, 0], prior, sigma=0.5, random_state=0
    )
    limit = np.array([[False, True], [False, True]])
    exact = np.array([[0.5, np.inf], [0.5, np.inf]])
    X = np.array([[1.5, 1.8], [1.5, 0.5]])
    monkeypatch.setattr(Solver, "one", lambda *_, **__: Outcome(None, "nested"))
    with pytest.warns(UserWarning, match="none below limits without an error"):
        found = own.fit(X, sigma=exact, upper_limit=limit).transform(X, exact, limit)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1, :-1]).all() and found[1, -1] == 0
    with pytest.warns(UserWarning, match="limits without an error"):
        assert own.score(X, sigma=exact, upper_limit=limit) == -np.inf


def test_pickled_and_parallel(fitted, catalogue, summaries):
    X, sigma = catalogue
    copied = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(copied.transform(X, sigma=sigma), summaries)
    copied.n_jobs = 2
    with parallel_config("threading"):
        assert_array_equal(copied.transform(X, sigma=sigma), summaries)


# -- columns


def test_columns_by_name(catalogue):
    """In any order, and not all of them."""
    X, sigma = catalogue
    frame = pd.DataFrame(X, columns=LINES)[[LINES[3], LINES[0]]]
    own = RetrievalTransformer(TwoSpecies(), PRIOR, random_state=0)
    found = own.fit_transform(frame, sigma=sigma[:, [3, 0]])
    assert_array_equal(own.lines_, [[3.0], [0.0]])
    given = clone(own).set_params(lines=[LINES[3], LINES[0]])
    bare = X[:, [3, 0]]
    assert_array_equal(given.fit_transform(bare, sigma=sigma[:, [3, 0]]), found)
    with pytest.raises(ValueError, match=r"'a 3-2'.*Did you mean"):
        clone(own).fit(frame.rename(columns={LINES[0]: "a 3-2"}), sigma=1.0)
    with pytest.raises(ValueError, match="2 columns, and `forward_model` 4 outputs"):
        clone(own).fit(bare, sigma=1.0)
    with pytest.raises(ValueError, match="each column of X, of which there are 4"):
        clone(given).fit(X, sigma=1.0)


def test_quantities_and_tables(fitted, catalogue, summaries):
    X, sigma = catalogue
    unit = u.K * u.km / u.s
    assert_allclose(
        fitted.transform(1e3 * X * u.K * u.m / u.s, sigma=sigma * unit)[:, 0],
        summaries[:, 0],
        rtol=0.2,
    )
    table = Table(1e3 * X * u.K * u.m / u.s, names=LINES)
    errors = Table(sigma * unit, names=LINES)
    own = clone(fitted).fit(table, sigma=errors)
    assert list(own.feature_names_in_) == LINES
    assert_allclose(own.transform(table, sigma=errors)[:, -3], summaries[:, -3], atol=1)
    with pytest.raises(TypeError, match="unit"):
        fitted.transform(X * u.Jy, sigma=sigma)


def test_names_out(fitted, catalogue):
    X, sigma = catalogue
    frame = clone(fitted).set_output(transform="pandas").fit_transform(X, sigma=sigma)
    assert list(frame.columns[:4]) == [
        "temperature",
        "temperature_lower",
        "temperature_upper",
        "column_a",
    ]
    assert list(frame.columns[-3:]) == [
        "log_evidence",
        "log_evidence_err",
        "effective_sample_size",
    ]
    lower, upper = frame["temperature_lower"], frame["temperature_upper"]
    assert ((lower < frame["temperature"]) & (frame["temperature"] < upper)).all()
    wide = clone(fitted).set_params(probability=0.95).set_output(transform="pandas")
    wide = wide.fit_transform(X, sigma=sigma)
    assert (wide["temperature_lower"] < lower).all()
    assert_array_equal(wide["temperature"], frame["temperature"])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, "No uncertainties"),
        ({"sigma": 0.0}, "`sigma` must be positive"),
        ({"sigma": np.ones((2, 4))}, "`sigma` must have the shape of X"),
        ({"sigma": 1.0, "upper_limit": np.full((6, 4), 2)}, "must be boolean"),
        ({"sigma": 1.0, "upper_limit": np.zeros((6, 3), bool)}, "shape of X"),
    ],
)
def test_errors_that_are_none(fitted, catalogue, given, match):
    with pytest.raises(ValueError, match=match):
        fitted.transform(catalogue[0], **given)


def test_what_cannot_be(fitted, catalogue):
    with pytest.raises(ValueError, match=r"negative by more than 5 sigma in row 0"):
        fitted.transform(-catalogue[0] - 10, sigma=1.0)
    with pytest.raises(ValueError, match="by name"):
        clone(fitted).fit(*catalogue)
    with pytest.raises(ValueError, match="`calibration_error` is 0"):
        clone(fitted).set_params(band=[0, 0, 1, 1]).fit(catalogue[0], sigma=1.0)
    with pytest.raises(ValueError, match="a label for each of 4"):
        clone(fitted).set_params(band=[0], calibration_error=0.1).fit(
            catalogue[0], sigma=1.0
        )


def test_bands_are_those_of_the_retrieval(catalogue):
    X, sigma = catalogue
    own = RetrievalTransformer(
        TwoSpecies(), PRIOR, calibration_error=0.2, band=list("xxyy"), random_state=0
    )
    found = own.fit_transform(X[:2], sigma=sigma[:2])
    expected = BayesianRetrieval(
        TwoSpecies(),
        PRIOR,
        sampler="importance",
        calibration_error=0.2,
        objects="rows",
        random_state=0,
    ).fit(LINES, X[:2], sigma=sigma[:2], band=list("xxyy"))
    error = np.hypot(found[:, -2], expected.log_evidence_err_)
    assert_allclose(found[:, -3], expected.log_evidence_, atol=5 * error.max())


# -- pipelines and searches


def test_pipeline_and_search(catalogue):
    """Errors are routed; the search finds the model that made the data."""
    X, sigma = catalogue
    X = np.nan_to_num(X, nan=1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        own = RetrievalTransformer(TwoSpecies(), PRIOR, min_ess=100, random_state=0)
        for method in ("fit", "transform", "score"):
            getattr(own, f"set_{method}_request")(sigma=True)
        pipeline = make_pipeline(FunctionTransformer(), own)
        found = pipeline.fit(X, sigma=sigma).transform(X, sigma=sigma)
        assert_array_equal(found, own.fit(X, sigma=sigma).transform(X, sigma=sigma))
        models = [FrozenEstimator(TwoSpecies(slope)) for slope in (8.0, 1.0)]
        search = GridSearchCV(
            pipeline, {"retrievaltransformer__forward_model": models}, cv=2
        ).fit(X, sigma=sigma)
    assert search.best_index_ == 1
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_clones_keep_their_model():
    rng = np.random.default_rng(0)
    emulator = Ridge().fit(rng.uniform(size=(40, 2)), rng.uniform(size=(40, 3)))
    own = clone(RetrievalTransformer(emulator, STRAIGHT))
    assert own.forward_model.predict([[0.5, 0.5]]).shape == (1, 3)


def test_gas_components_are_objects():
    """Profiles of a factorisation are retrieved, and not its maps."""
    rng = np.random.default_rng(0)
    profiles = TwoSpecies().predict([[15, 1, 5, 0.9], [50, 5, 0.3, 0.9]])
    X = rng.uniform(size=(200, 2)) @ profiles
    nmf = LineMapNMF(2, random_state=0).fit(X)
    own = RetrievalTransformer(TwoSpecies(), PRIOR, random_state=0)
    assert own.fit_transform(nmf.components_, sigma=3.0).shape == (2, 15)
    with pytest.raises(ValueError, match="`components_`, are objects"):
        make_pipeline(nmf, own.set_params(sigma=1.0)).fit(X)
