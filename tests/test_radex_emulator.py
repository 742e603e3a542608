import numpy as np
import pytest
from astropy import units as u
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from skastro.datasets import gas_prior
from skastro.emulation import EmulatorRegressor, ExtrapolationWarning
from skastro.metrics import error_factor
from skastro.molecular import RadexEmulator, RadexModel
from skastro.parameter_space import ParameterSpace, Uniform


def test_emulates_radex(co_emulator, co_radex, co_design_space):
    theta = co_design_space.sample(1000, random_state=1)
    true, emulated = co_radex.predict(theta), co_emulator.predict(theta)
    assert (error_factor(true, emulated, minimum=0.1) < 1.03).all()
    assert (emulated >= 0).all()


def test_known_physics_is_exact(co_emulator):
    one = co_emulator.predict([[50.0, 1e5, 1e16, 2.0, 1.0]])
    assert_allclose(co_emulator.predict([[50.0, 1e5, 1e16, 50.0, 0.5]]), 12.5 * one)


def test_column_densities_in_either_convention(co_radex, co_design_space, co_emulator):
    theta = co_design_space.sample_latin_hypercube(300, random_state=0)
    total = theta.copy()
    total[:, 2] *= total[:, 3]
    trees = ExtraTreesRegressor(10, random_state=0)
    per_width = RadexEmulator(
        co_radex.lines, trees, column_density="per line width"
    ).fit(theta, co_radex.predict(theta))
    of_line = RadexEmulator(co_radex.lines, trees).fit(
        total, RadexModel(co_radex.lines).predict(total)
    )
    assert_allclose(per_width.predict(theta), of_line.predict(total), rtol=1e-6)


def test_any_regressor_will_do(co_radex, co_design_space):
    theta = co_design_space.sample_latin_hypercube(500, random_state=0)
    intensity = co_radex.predict(theta)
    emulator = RadexEmulator(
        co_radex.lines,
        ExtraTreesRegressor(random_state=0),
        column_density="per line width",
    )
    assert emulator.fit(theta, intensity).score(theta, intensity) > 0.99


def test_one_emulator_a_species():
    rng = np.random.default_rng(0)
    theta = np.column_stack(
        [
            rng.uniform(20, 100, 50),
            10 ** rng.uniform(4, 6, 50),
            10 ** rng.uniform(14, 15, 50),
            10 ** rng.uniform(16, 18, 50),
            rng.uniform(5, 50, 50),
            rng.uniform(0.5, 1, 50),
        ]
    )
    lines = ["HCN(4-3)", "CO(3-2)", "HCN(1-0)"]
    emulator = RadexEmulator(lines, ExtraTreesRegressor(5, random_state=0))
    y = RadexModel(lines).predict(theta)
    y[3, 1] = np.nan  # one CO model without a solution
    with pytest.warns(UserWarning, match="1 of 50 models have no solution for CO"):
        emulator.fit(theta, y)
    assert list(emulator.estimators_) == ["HCN", "CO"]
    known = np.arange(50) != 3
    assert_allclose(emulator.predict(theta[known]), y[known], rtol=1e-5)


def test_extrapolation(co_emulator):
    hot = [[250.0, 1e5, 1e16, 10.0, 1.0]]
    assert not co_emulator.in_domain(hot)[0]
    with pytest.raises(ValueError, match="log10 temperature = 2.39"):
        co_emulator.predict(hot)
    from copy import deepcopy

    warned = deepcopy(co_emulator).set_params(extrapolation="warn")
    with pytest.warns(ExtrapolationWarning, match="outside the training range"):
        warned.predict(hot)


def test_bad_training_data(co_radex):
    theta = np.array([[50.0, 1e5, 1e16, 10.0, 0.5]])
    emulator = RadexEmulator(co_radex.lines, EmulatorRegressor())
    with pytest.raises(NotFittedError):
        emulator.predict(theta)
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        emulator.fit(theta, [[1.0]])
    with pytest.raises(ValueError, match="filling factor of 0"):
        emulator.fit(theta * [1, 1, 1, 1, 0], [[1.0, 1.0]])
    with pytest.raises(ValueError, match="no model with a solution for CO"):
        emulator.fit(theta, [[np.nan, 1.0]])
    emulator.set_params(faint_temperature=0)
    with pytest.raises(ValueError, match="faint_temperature"):
        emulator.fit(theta, [[1.0, 1.0]])
    with pytest.raises(TypeError, match=r"`y` carries the unit Jy"):
        from astropy import units as u

        RadexEmulator(co_radex.lines, EmulatorRegressor()).fit(
            theta, [[1.0, 1.0]] * u.Jy
        )


def test_a_new_design_of_the_same_prior_is_known(co_radex):
    """In either convention of column densities, whose ratios have thin corners."""
    space = ParameterSpace(
        gas_prior(["CO"]).parameters | {"filling_factor": Uniform(1e-3, 1)}
    )
    for convention in ("total", "per line width"):
        radex = RadexModel(co_radex.lines, column_density=convention)
        theta = space.sample_latin_hypercube(300, random_state=0)
        emulator = RadexEmulator(
            radex.lines,
            ExtraTreesRegressor(5, random_state=0),
            column_density=convention,
        ).fit(theta, radex.predict(theta))
        for seed in range(1, 6):
            again = space.sample_latin_hypercube(3000, random_state=seed)
            assert emulator.in_domain(again).all()
            assert np.isfinite(emulator.predict(again)).all()
        # what the design did not reach is not
        for name, factor in [("temperature", 1.1), ("density", 1.3)]:
            outside = again[:50].copy()
            column = space.names.index(name)
            outside[:, column] = factor * space.bounds[column, 1]
            assert not emulator.in_domain(outside).any()


def test_searches_over_few_models(co_design_space, co_radex):
    theta = co_design_space.sample_latin_hypercube(300, random_state=0)
    intensity = co_radex.predict(theta)
    emulator = RadexEmulator(
        co_radex.lines,
        EmulatorRegressor((32, 32), batch_size=64, random_state=0),
        column_density="per line width",
    )
    search = GridSearchCV(
        emulator, {"estimator__max_epochs": [2, 60]}, cv=5, error_score="raise"
    ).fit(theta, intensity)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_params_ == {"estimator__max_epochs": 60}
    # outermost models are judged as they are predicted
    train = theta[:, 0] < 150
    emulator.set_params(extrapolation="raise").fit(theta[train], intensity[train])
    with pytest.raises(ValueError, match="outside the training range"):
        emulator.predict(theta)
    assert np.isfinite(emulator.score(theta, intensity))
    nan = clone(emulator).set_params(extrapolation="nan")
    nan.fit(theta[train], intensity[train])
    predicted = nan.predict(theta)
    assert np.isnan(predicted[~nan.in_domain(theta)]).all()
    assert np.isfinite(predicted[nan.in_domain(theta)]).all()


def test_targets_carry_units_and_masks(co_design_space, co_radex):
    theta = co_design_space.sample_latin_hypercube(100, random_state=0)
    intensity = co_radex.predict(theta)
    trees = ExtraTreesRegressor(5, random_state=0)
    emulator = RadexEmulator(co_radex.lines, trees, column_density="per line width")
    expected = emulator.fit(theta, intensity).predict(theta)
    in_metres = (1000 * intensity) * u.Unit("K m / s")
    assert_allclose(emulator.fit(theta, in_metres).predict(theta), expected)
    with pytest.raises(TypeError, match="`y` carries the unit Jy"):
        emulator.fit(theta, intensity * u.Jy)
    holes = intensity.copy()
    holes[3] = np.nan
    masked = np.ma.array(np.where(np.isnan(holes), 1e9, holes), mask=np.isnan(holes))
    with pytest.warns(UserWarning, match="1 of 100 models have no solution"):
        expected = emulator.fit(theta, holes).predict(theta)
    with pytest.warns(UserWarning, match="1 of 100 models have no solution"):
        assert_array_equal(emulator.fit(theta, masked).predict(theta), expected)
