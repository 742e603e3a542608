import json
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skastro.datasets import (
    chemical_prior,
    gas_prior,
    load_synthetic_galaxy,
    load_uclchem_grid,
)
from skastro.emulation import EmulatorRegressor, ExtrapolationWarning
from skastro.io import load_estimator, save_estimator
from skastro.metrics import error_factor, log_evidence_scorer
from skastro.molecular import (
    AbundanceEmulator,
    ChemicalModel,
    LineRatioModel,
    MultiPhaseModel,
    RadexModel,
    chemical_features,
)
from skastro.retrieval import BayesianRetrieval

SPECIES = ["CO", "HCN", "HCO+", "CS"]


@pytest.fixture(scope="module")
def grid():
    return load_uclchem_grid(SPECIES)


@pytest.fixture(scope="module")
def abundances(grid):
    train = ~grid.test
    network = EmulatorRegressor((48, 48, 48), n_members=2, random_state=0)
    emulator = AbundanceEmulator(grid.species, network)
    return emulator.fit(grid.theta[train], grid.log_abundance[train])


@pytest.fixture(scope="module")
def galaxy():
    return load_synthetic_galaxy(1)


@pytest.fixture(scope="module")
def model(abundances, galaxy):
    return ChemicalModel(
        abundances, RadexModel(galaxy.lines, column_density="per line width")
    )


def rows(galaxy, names):
    return np.array([[phase[name] for name in names] for phase in galaxy.phases])


# -- the grid


def test_grid(grid):
    assert grid.test.sum() == 250
    assert grid.parameter_names == chemical_prior().names[:6]
    assert np.isfinite(grid.log_abundance).all() and (grid.log_abundance < 0).all()
    lower, upper = chemical_prior().select(grid.parameter_names).bounds.T
    assert ((grid.theta >= 0.999 * lower) & (grid.theta <= 1.001 * upper)).all()
    everything = load_uclchem_grid()
    assert_allclose(
        everything.log_abundance[:, everything.species.index("HCO+")],
        grid.log_abundance[:, 2],
    )
    # carbon in CO alone is no more than there is, in proportion to the metallicity
    carbon = 10 ** grid.log_abundance[:, 0] / grid.theta[:, 2]
    assert carbon.max() < 1.1 * np.median(carbon[grid.theta[:, 3] > 50])


def test_grid_has_the_points_of_the_thesis(grid, abundances):
    """Abundances at its three cases, which were computed with the same set-up."""
    for n_phases in (1, 2):
        galaxy = load_synthetic_galaxy(n_phases)
        predicted = abundances.predict(rows(galaxy, grid.parameter_names))
        known = [[p["log_abundance"][s] for s in SPECIES] for p in galaxy.phases]
        assert_allclose(predicted, known, atol=0.03)


def test_unknown_species():
    with pytest.raises(ValueError, match=r"no species 'HCO'.*Did you mean 'HCO\+'"):
        load_uclchem_grid(["HCO"])
    with pytest.raises(TypeError, match="sequence of names"):
        load_uclchem_grid("CO")


# -- the emulator of abundances


def test_abundances_are_learned(grid, abundances):
    """A factor of 1.13 and 1.3 for 95 % of the models is the thesis' own accuracy."""
    test = grid.test
    factors = error_factor(
        grid.log_abundance[test], abundances.predict(grid.theta[test]), log10=True
    )
    assert (factors < 1.05).all()


def test_spread_tells_the_error(grid, abundances):
    test = grid.test
    mean, std = abundances.predict(grid.theta[test], return_std=True)
    error = np.abs(mean - grid.log_abundance[test])
    # the spread of two members is noisy, but of the right size
    assert 0.3 < np.median(error) / np.median(std) < 3
    wide = std > np.median(std, axis=0)
    assert error[wide].mean() > 1.5 * error[~wide].mean()


def test_features_are_physical():
    theta = np.array([[100.0, 1e5, 0.5, 2.0, 10.0, 30.0]])
    features = chemical_features(theta)[0]
    assert_allclose(features[:6], np.log10(theta[0]))
    assert_allclose(features[6:10], [100.0, 0.01, 2.0, 0.5])
    assert_allclose(features[10], np.log10(30 / 1e5))
    assert_allclose(features[11], np.log10(10 * np.exp(-3.6) + 1e-6))
    frame = pd.DataFrame(theta, columns=chemical_prior().names[:6])
    assert_allclose(chemical_features(frame[frame.columns[::-1]])[0], features)


def test_features_in_a_pipeline(grid):
    pipeline = make_pipeline(
        FunctionTransformer(chemical_features), KNeighborsRegressor(3)
    )
    plain = KNeighborsRegressor(3)
    train, test = ~grid.test, grid.test
    for estimator in (pipeline, plain):
        estimator.fit(grid.theta[train], grid.log_abundance[train])
    scores = [
        e.score(grid.theta[test], grid.log_abundance[test]) for e in (pipeline, plain)
    ]
    assert scores[0] > scores[1]


def test_one_regressor_a_species(grid):
    some = slice(0, 500)
    theta, y = grid.theta[some], grid.log_abundance[some]
    together = AbundanceEmulator(SPECIES, KNeighborsRegressor(3)).fit(theta, y)
    apart = AbundanceEmulator(
        SPECIES, KNeighborsRegressor(3), separate_species=True, n_jobs=2
    ).fit(theta, y)
    assert len(together.estimators_) == 1 and len(apart.estimators_) == 4
    assert_allclose(apart.predict(theta), together.predict(theta), rtol=1e-6)


def test_bad_training_of_abundances(grid):
    some = slice(0, 100)
    theta, y = grid.theta[some], grid.log_abundance[some]
    emulator = AbundanceEmulator(SPECIES, KNeighborsRegressor(3))
    with pytest.raises(NotFittedError):
        emulator.predict(theta)
    with pytest.raises(ValueError, match=r"shape \(100, 4\)"):
        emulator.fit(theta, y[:, :2])
    with pytest.raises(ValueError, match="decimal logarithms"):
        emulator.fit(theta, 100 + y)
    failed = y.copy()
    failed[3] = np.nan
    with pytest.warns(UserWarning, match="1 of 100 models have no abundances"):
        emulator.fit(theta, failed)
    with pytest.raises(ValueError, match="no model with abundances"):
        emulator.fit(theta, np.full_like(y, np.nan))
    emulator.fit(theta, y)
    with pytest.raises(ValueError, match="needs an ensemble"):
        emulator.predict(theta, return_std=True)
    hot = theta[:1] * [10, 1, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="temperature = "):
        emulator.predict(hot)
    with pytest.warns(ExtrapolationWarning):
        emulator.set_params(extrapolation="warn").predict(hot)
    assert np.isnan(emulator.set_params(extrapolation="nan").predict(hot)).all()
    assert not emulator.in_domain(hot)[0]
    with pytest.raises(ValueError, match="density must be positive"):
        emulator.predict(theta * [1, -1, 1, 1, 1, 1])


# -- chemistry and radiative transfer


@pytest.mark.parametrize("n_phases", [1, 2])
def test_direct_intensities_of_the_thesis(model, n_phases):
    """Tables 2.4 and 2.6, computed there with UCLCHEM and RADEX themselves."""
    galaxy = load_synthetic_galaxy(n_phases)
    phases = rows(galaxy, model.parameter_names)
    assert_allclose(model.predict(phases).sum(axis=0), galaxy.intensity, rtol=0.06)


def test_columns_follow_from_the_abundances(model, galaxy):
    theta = rows(galaxy, model.parameter_names)
    log_abundance = model.predict_log_abundance(theta)
    columns = 10**log_abundance * 1.6e21 * theta[:, [3]]
    radex = RadexModel(galaxy.lines)
    gas = np.hstack([theta[:, :2], columns, theta[:, 6:]])
    assert_allclose(model.predict(theta), radex.predict(gas), rtol=1e-6)
    total = ChemicalModel(model.abundances, radex)
    assert_allclose(total.predict(theta), model.predict(theta), rtol=1e-6)


def test_uncertainty_of_abundances_is_carried_through(model, galaxy):
    """Against the scatter of intensities of scattered abundances."""
    theta = rows(galaxy, model.parameter_names)
    intensity, std = model.predict(theta, return_std=True)
    mean, spread = model.abundances.predict(theta[:, :6], return_std=True)
    rng = np.random.default_rng(0)
    drawn = mean + spread * rng.standard_normal((400, 4))
    gas = model._gas(np.repeat(theta, 400, axis=0), drawn)
    scattered = model.radiative_transfer.predict(gas)
    assert_allclose(scattered.std(axis=0), std[0], rtol=0.2)
    assert_allclose(scattered.mean(axis=0), intensity[0], rtol=0.02)


def test_species_that_the_chemistry_lacks(abundances):
    radex = RadexModel(["HCN(4-3)"])
    only_co = deepcopy(abundances)
    only_co.species = ["CO", "HNC", "HCO+", "CS"]
    with pytest.raises(ValueError, match="has lines of HCN, but.*Did you mean 'HNC'"):
        ChemicalModel(only_co, radex).predict([[100, 1e5, 1, 10, 1, 1, 10, 0.5]])


def test_extrapolation_of_a_chemical_model(model, galaxy):
    theta = rows(galaxy, model.parameter_names)
    hot = np.concatenate([theta, theta * [10, 1, 1, 1, 1, 1, 1, 1]])
    assert model.in_domain(hot).tolist() == [True, False]
    with pytest.raises(ValueError, match="temperature = 1500"):
        model.predict(hot)
    # radiative transfer itself has a range of its own
    cold = np.concatenate([theta, theta * [1, 1, 2.4, 1, 1, 1, 1, 1]])
    with pytest.raises(ValueError, match="metallicity = 2.16"):
        model.predict(cold)
    quiet = deepcopy(model).set_params(extrapolation="nan")
    assert np.isnan(quiet.predict(cold)[1]).all()
    assert np.isfinite(quiet.predict(cold)[0]).all()
    assert model.abundances.extrapolation == "raise"


def test_wide_columns_cover_what_chemistry_gives(abundances):
    prior = chemical_prior()
    theta = prior.sample_latin_hypercube(4000, random_state=0)
    radex = RadexModel(
        [f"{s}(4-3)" for s in ("CO", "HCN", "HCO+")] + ["CS(7-6)"],
        column_density="per line width",
    )
    model = ChemicalModel(abundances, radex)
    gas = model._gas(theta, model.predict_log_abundance(theta))
    lower, upper = gas_prior(column_densities="chemical").bounds[2:6].T
    assert ((gas[:, 2:6] > lower) & (gas[:, 2:6] < upper)).all()
    with pytest.raises(ValueError, match='must be "free" or "chemical"'):
        gas_prior(column_densities="wide")


def test_nearer_to_direct_than_the_thesis(model, galaxy, shared_data):
    """Tables 2.7 and 2.8: the four best models of NGC 1068, emulated and direct."""
    cases = json.loads((shared_data / "chem" / "cases.json").read_text())
    keys = ["T", "n", "mZ", "A_V", "chi", "zeta", "dv", "f"]
    theta = np.array([[row[key] for key in keys] for row in cases["table_2_7"]])

    def table(name):
        stored = cases["table_2_8"][name]
        return np.array([[row[line] for line in galaxy.lines] for row in stored])

    direct = np.log(table("direct"))
    ours = np.abs(np.log(model.predict(theta)) - direct)
    thesis = np.abs(np.log(table("emul")) - direct)
    assert (ours < thesis).mean() > 0.75


# -- several phases


def test_phases_add_up(model):
    two = MultiPhaseModel(model, 2)
    assert two.parameter_names[:2] == ["metallicity", "line_width"]
    assert len(two.parameter_names) == len(two.parameter_units) == 14
    galaxy = load_synthetic_galaxy(2)
    phases = rows(galaxy, model.parameter_names)
    # metallicity and line width, then what each phase has of its own
    own = [0, 1, 3, 4, 5, 7]
    theta = np.concatenate([phases[0, [2, 6]], phases[0, own], phases[1, own]])[None]
    assert_allclose(two.predict(theta)[0], model.predict(phases).sum(axis=0))
    _, std = two.predict(theta, return_std=True)
    assert_allclose(std[0], model.predict(phases, return_std=True)[1].sum(axis=0))
    assert two.in_domain(theta)[0]
    theta[0, 2] = 500.0
    assert not two.in_domain(theta)[0]
    assert two.encode_lines(["CO(6-5)"]).tolist() == [[1.0]]


def test_nothing_shared():
    one = RadexModel(["CO(3-2)"])
    two = MultiPhaseModel(one, 3, shared=())
    assert len(two.parameter_names) == 15
    theta = np.tile([50.0, 1e5, 1e17, 10.0, 0.2], 3)[None]
    assert_allclose(two.predict(theta), 3 * one.predict(theta[:, :5]))


def test_prior_of_phases(model):
    two = MultiPhaseModel(model, 2)
    prior = two.prior(chemical_prior(), order_by="density")
    assert prior.names == two.parameter_names
    theta = prior.sample(2000, random_state=0)
    first, second = (theta[:, prior.names.index(f"density_{i}")] for i in (1, 2))
    assert (first <= second).all()
    free = two.prior(chemical_prior())
    assert free.ordered is None
    with pytest.raises(ValueError, match="`order_by` must be a parameter"):
        two.prior(chemical_prior(), order_by="metallicity")
    with pytest.raises(ValueError, match="must have the parameters of one phase"):
        two.prior(gas_prior())


# -- ratios


def test_ratios_are_ratios(model):
    pairs = [("CO(6-5)", "CO(3-2)"), ("HCN(4-3)", "CS(7-6)")]
    ratios = LineRatioModel(model, pairs)
    theta = chemical_prior().sample(50, random_state=0)
    theta[:, 7] = 0.5
    lines = model.predict(theta)
    expected = np.log10(lines[:, [1, 2]] / lines[:, [0, 4]])
    assert_allclose(ratios.predict(theta), expected)
    # whatever the filling factor is
    assert_allclose(ratios.predict(theta * [1, 1, 1, 1, 1, 1, 1, 0.1]), expected)
    mean, std = ratios.predict(theta, return_std=True)
    assert_allclose(mean, expected)
    assert (std > 0).all()
    seen, sigma = ratios.transform(lines.T, 0.1 * lines.T)
    assert_allclose(seen.T, expected)
    assert_allclose(sigma, np.sqrt(2) * 0.1 / np.log(10))
    assert ratios.in_domain(theta).all() and ratios.output_unit == "dex"
    spelled = LineRatioModel(model, [("12CO 6-5", "CO J=3-2"), ("hcn 4-3", "CS7-6")])
    assert spelled.output_names == ratios.output_names
    assert_allclose(spelled.predict(theta), expected)


def test_ratios_in_a_retrieval(co_emulator):
    """A ratio does not know the filling factor."""
    ratios = LineRatioModel(co_emulator, [("CO(6-5)", "CO(3-2)")])
    prior = gas_prior(["CO"])
    retrieval = BayesianRetrieval(ratios, prior, sampler="importance", random_state=0)
    y, sigma = ratios.transform([900.0, 700.0], [90.0, 70.0])
    X = ratios.encode_lines(["CO(6-5)/CO(3-2)"])
    retrieval.fit(X, y, sigma=sigma)
    assert_allclose(retrieval.predict(X), y, atol=0.05)
    std = retrieval.posterior_.std()
    assert_allclose(std[prior.names.index("filling_factor")], 12**-0.5, atol=0.03)
    assert_allclose(std[prior.names.index("line_width")], 99 * 12**-0.5, rtol=0.15)


def test_bad_ratios(model):
    for ratios, message in (
        ([("CO(6-5)", "CO(9-8)")], r"the line 'CO\(9-8\)'"),
        ([("CO(6-5)", "CO(6-5)")], "pairs of different"),
        (["CO(6-5)"], "pairs of different"),
    ):
        with pytest.raises(ValueError, match=message):
            LineRatioModel(model, ratios).predict([[100, 1e5, 1, 10, 1, 1, 10, 0.5]])
    ratios = LineRatioModel(model, [("CO(6-5)", "CO(3-2)")])
    with pytest.raises(ValueError, match=r"'CO 6-5'\), which are both CO\(6-5\)"):
        LineRatioModel(model, [("CO(6-5)", "CO 6-5")]).output_names  # noqa: B018
    for wrong in ("CO(6-5)/CO(3-2)", 3):
        with pytest.raises(TypeError, match="`ratios` must be a sequence of pairs"):
            LineRatioModel(model, wrong).output_names  # noqa: B018
    with pytest.raises(ValueError, match="must be positive for a ratio"):
        ratios.transform([1.0, -1.0, 1, 1, 1], [1.0] * 5)
    with pytest.raises(ValueError, match="a row for each of 5 lines"):
        ratios.transform([1.0], [1.0])


def test_abundances_in_a_file(abundances, tmp_path):
    path = tmp_path / "abundances.safetensors"
    save_estimator(abundances, path)
    again = load_estimator(path)
    theta = chemical_prior().sample(20, random_state=0)[:, :6]
    assert (again.predict(theta) == abundances.predict(theta)).all()
    assert again.in_domain(theta).tolist() == abundances.in_domain(theta).tolist()
    assert again.output_names == abundances.output_names


def test_number_of_phases_is_searched(co_emulator):
    """Two phases, one of them hidden in no line, against one: the evidence decides."""
    two = MultiPhaseModel(co_emulator, 2)
    one_prior = gas_prior(["CO"])
    y = np.array([900.0, 700.0])
    search = GridSearchCV(
        BayesianRetrieval(co_emulator, one_prior, sampler="importance", random_state=0),
        [
            # a bare emulator would be cloned, and forget what it has learned
            {"forward_model": [FrozenEstimator(co_emulator)], "prior": [one_prior]},
            {
                "forward_model": [two],
                "prior": [two.prior(one_prior, order_by="temperature")],
            },
        ],
        scoring=log_evidence_scorer,
        cv=[([0, 1], [0, 1])],
    ).fit(co_emulator.encode_lines(co_emulator.lines), y, sigma=0.1 * y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and np.ptp(scores) < 3
    assert search.best_estimator_.predict([[0]]) > 0
