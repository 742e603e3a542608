import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from skastro.emulation import EmulatorRegressor
from skastro.io import load_estimator, save_estimator
from skastro.molecular import (
    BlackBody,
    Dust,
    ModifiedBlackBody,
    RadexEmulator,
    TabulatedField,
)

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, (80, 3))
Y = np.column_stack([X[:, 0] ** 2, X[:, 1]])


@pytest.mark.parametrize("y", [Y, Y[:, 0]], ids=["two outputs", "one output"])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"n_members": 2, "activation": "selu"}, {"separate_outputs": True}],
    ids=["plain", "ensemble", "separate"],
)
def test_emulator_comes_back_to_the_last_bit(tmp_path, y, parameters):
    emulator = EmulatorRegressor(
        (8, 4), max_epochs=3, random_state=0, extrapolation="raise", **parameters
    ).fit(X, y)
    path = tmp_path / "emulator.safetensors"
    save_estimator(emulator, path)
    again = load_estimator(path)
    assert again.get_params() == emulator.get_params()
    for points in (X, X.astype(np.float32)):
        assert_array_equal(again.predict(points), emulator.predict(points))
    assert_array_equal(again.predict_gradient(X), emulator.predict_gradient(X))
    assert_array_equal(again.in_domain(3 * X), emulator.in_domain(3 * X))
    with pytest.raises(ValueError, match="outside the training range"):
        again.predict(X + 5)
    assert_array_equal(clone(again).fit(X, y).predict(X), emulator.predict(X))


def test_feature_names_come_back(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["T", "n", "N"])
    emulator = EmulatorRegressor((4,), max_epochs=1).fit(frame, Y)
    save_estimator(emulator, tmp_path / "named")
    again = load_estimator(tmp_path / "named")
    assert_array_equal(again.predict(frame), emulator.predict(frame))
    assert list(again.feature_names_in_) == ["T", "n", "N"]


def test_radex_emulator_comes_back(tmp_path, co_emulator, co_design_space):
    path = tmp_path / "co.safetensors"
    save_estimator(co_emulator, path)
    again = load_estimator(path)
    theta = co_design_space.sample(100, random_state=0)
    assert_array_equal(again.predict(theta), co_emulator.predict(theta))
    assert repr(again) == repr(co_emulator)
    with pytest.raises(ValueError, match="log10 temperature"):
        again.predict([[500.0, 1e5, 1e16, 10.0, 1.0]])


def test_radiation_and_dust_come_back(tmp_path):
    settings = {
        "partners": ("H2", "e"),
        "radiation": [
            BlackBody(np.float32(2.5), dilution="free", behind=False),
            ModifiedBlackBody("free", 0.1, np.float64(345.0), name="torus"),
            TabulatedField(np.array([1.0, 1e5]), np.array([1e-18, 0.1 / 3]), 0.5),
        ],
        "dust": Dust("free", 0.1, 345.0),
    }
    emulator = RadexEmulator(
        ["CN(1_1.5-0_0.5)"], EmulatorRegressor((4,), max_epochs=1), **settings
    )
    names, rng = emulator.parameter_names, np.random.default_rng(0)
    theta = rng.uniform(0.5, 1.0, (60, len(names)))
    theta[:, names.index("temperature")] *= 100
    save_estimator(emulator.fit(theta, theta[:, :1]), tmp_path / "dusty")
    again = load_estimator(tmp_path / "dusty")
    assert again.parameter_names == names
    assert again.parameter_units == emulator.parameter_units
    assert_array_equal(again.predict(theta), emulator.predict(theta))
    assert again.dust == emulator.dust
    assert again.radiation[:2] == settings["radiation"][:2]
    table, own = again.radiation[2], settings["radiation"][2]
    assert_array_equal(table.frequency, own.frequency)
    assert_array_equal(table.intensity, own.intensity)
    assert (table.dilution, table.name, table.behind) == (0.5, "table", True)
    assert clone(again).fit(theta, theta[:, :1]).parameter_names == names

    class Lamp(BlackBody):
        """Code, which the file cannot hold."""

    emulator.set_params(radiation=[Lamp("free"), *settings["radiation"][1:]])
    with pytest.raises(TypeError, match="has radiation="):
        save_estimator(emulator, tmp_path / "lamp")


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(NotFittedError):
        save_estimator(EmulatorRegressor(), path)
    with pytest.raises(TypeError, match="got Ridge"):
        save_estimator(Ridge().fit(X, Y), path)

    class Own(torch.nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.layer = torch.nn.Linear(n_features, n_outputs)

        def forward(self, X):
            return self.layer(X)

    own = EmulatorRegressor(module=Own, max_epochs=1).fit(X, Y)
    with pytest.raises(TypeError, match="has module="):
        save_estimator(own, path)
    theta = [[50.0, 1e5, 1e16, 10.0, 1.0], [60.0, 1e5, 1e16, 10.0, 1.0]]
    trees = RadexEmulator(["CO(3-2)"], ExtraTreesRegressor(2)).fit(
        theta, [[1.0], [2.0]]
    )
    with pytest.raises(TypeError, match="got ExtraTreesRegressor"):
        save_estimator(trees, path)
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path):
    from safetensors.numpy import save_file

    text = tmp_path / "notes.txt"
    text.write_text("not tensors")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_estimator(text)
    other = tmp_path / "other.safetensors"
    save_file({"a": np.ones(3)}, other)
    with pytest.raises(ValueError, match="was not written by skastro"):
        load_estimator(other)
