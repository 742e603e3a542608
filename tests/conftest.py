from pathlib import Path

import numpy as np
import pytest

from skastro.datasets import gas_prior
from skastro.emulation import EmulatorRegressor
from skastro.molecular import RadexEmulator, RadexModel
from skastro.parameter_space import ParameterSpace, Uniform

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """Folder of reference data that is not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def co_design_space():
    return ParameterSpace(
        gas_prior(["CO"]).parameters | {"filling_factor": Uniform(1e-3, 1)}
    )


@pytest.fixture(scope="session")
def co_radex():
    return RadexModel(["CO(3-2)", "CO(6-5)"], column_density="per line width")


@pytest.fixture(scope="session")
def co_emulator(co_design_space, co_radex):
    """An emulator of two CO lines, good to about a per cent."""
    theta = co_design_space.sample_latin_hypercube(3000, random_state=0)
    emulator = RadexEmulator(
        co_radex.lines,
        EmulatorRegressor((48, 48, 48), max_epochs=150, random_state=0),
        column_density="per line width",
    )
    return emulator.fit(theta, co_radex.predict(theta))


@pytest.fixture(scope="session")
def straight_line():
    """Data on a straight line: X, y, and the forward model."""
    X = np.linspace(-1, 1, 6)[:, None]
    y = 1.5 * X[:, 0] - 0.5 + 0.1 * np.array([1, -1, 0.5, 0, -0.5, 1])
    return X, y, line


def line(theta, X):
    return theta[:, :1] * X[:, 0] + theta[:, 1:]
