import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skastro.datasets import (
    chemical_prior,
    gas_prior,
    load_ngc1068,
    load_synthetic_galaxy,
)
from skastro.molecular import RadexModel


@pytest.fixture(scope="module")
def cases(shared_data):
    return json.loads((shared_data / "chem" / "cases.json").read_text())


def test_ngc1068_is_that_of_table_2_8(cases):
    galaxy = load_ngc1068()
    observed = cases["table_2_8"]["observed_NGC1068_EastKnot"]
    assert dict(zip(galaxy.lines, galaxy.intensity, strict=True)) == observed
    assert_allclose(galaxy.sigma, 0.2 * galaxy.intensity)


def test_priors_are_those_of_table_2_2(cases):
    """Where table and text disagree: log-uniform, and metallicities from 0.2."""
    names = {
        "temperature": "T",
        "density": "n",
        "metallicity": "mZ",
        "visual_extinction": "A_V",
        "radiation_field": "chi",
        "ionisation_rate": "zeta",
        "line_width": "dv",
        "filling_factor": "f",
    } | {f"column_density_{s}": f"N({s})/dv" for s in ("CO", "CS", "HCN", "HCO+")}
    for space in (gas_prior(), chemical_prior()):
        for name in space.names:
            kind, lower, upper = cases["table_2_2_priors"][names[name]]
            assert space[name].bounds == (lower, upper)
            assert kind == "uniform" or space[name].log


def test_priors_fit_the_models():
    radex = RadexModel(load_ngc1068().lines, column_density="per line width")
    prior = gas_prior()
    assert prior.names == radex.parameter_names
    assert prior.units == radex.parameter_units


def test_synthetic_galaxies_are_those_of_the_thesis(cases):
    for n_phases, table in ((1, "table_2_4"), (2, "table_2_6")):
        galaxy = load_synthetic_galaxy(n_phases)
        direct = cases[table]["direct"]
        assert dict(zip(galaxy.lines, galaxy.intensity, strict=True)) == direct
    short = {"temperature": "T", "density": "n", "visual_extinction": "A_V"}
    for phase, true in zip(
        load_synthetic_galaxy(2).phases,
        cases["table_2_5_two_phase"]["phases"],
        strict=True,
    ):
        assert all(phase[name] == true[key] for name, key in short.items())
        assert phase["filling_factor"] == true["f"]


def test_columns_follow_from_abundances():
    (theta,) = load_synthetic_galaxy(1).theta
    assert_allclose(theta[2], 10**-3.6234 * 1.6e21 * 40)
    assert_allclose(np.log10(theta[5]), -7.4933 + np.log10(1.6e21 * 40))


def test_bad_arguments():
    with pytest.raises(ValueError, match="`n_phases` must be 1 or 2, got 3"):
        load_synthetic_galaxy(3)
    with pytest.raises(ValueError, match="without a range in Table 2.2"):
        gas_prior(["CO", "SiO"])
