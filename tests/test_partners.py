"""Collision partners of RadexModel, and what follows it by name."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor

from skastro.datasets import chemical_prior, gas_prior
from skastro.emulation import ExtrapolationWarning
from skastro.molecular import (
    BlackBody,
    ChemicalModel,
    Dust,
    LineRatioModel,
    ModifiedBlackBody,
    MultiPhaseModel,
    RadexEmulator,
    RadexModel,
    TabulatedField,
    read_lamda,
)
from skastro.retrieval import BayesianRetrieval
from skastro.retrieval._forward_model import ForwardModel

#: An ion of two levels, 4 cm^-1 apart, with rates for five partners. Those of H+ are
#: for 100 K alone.
ION = """!
X+
!
10.0
!
2
!
 1 0.0 2.0 0
 2 4.0 4.0 1
!
1
!
 1 2 1 1e-6 119.9 5.75
!
5
"""
for code, temperatures, rates in [
    (2, "10.0 100.0", "1e-11 3e-11"),
    (3, "10.0 100.0", "2e-11 4e-11"),
    (5, "20.0 200.0", "5e-11 5e-11"),
    (4, "10.0 1000.0", "1e-6 1e-7"),
    (7, "100.0", "7e-10"),
]:
    ION += f"!\n{code} rates\n!\n1\n!\n{len(rates.split())}\n!\n{temperatures}\n!\n"
    ION += f" 1 2 1 {rates}\n"
GAP = 4 * 1.438776877  # K


@pytest.fixture(scope="module")
def ion(tmp_path_factory):
    path = tmp_path_factory.mktemp("lamda") / "ion.dat"
    path.write_text(ION)
    return read_lamda(path, name="X+")


def model(ion, partners, **settings):
    return RadexModel(["X+(1-0)"], partners=partners, molecules={"X+": ion}, **settings)


def upper_to_lower(temperature, down):
    """Populations of the ion without trapping, by hand."""
    up = 2 * down * np.exp(-GAP / temperature)
    background = 1 / np.expm1(GAP / 2.73)
    return (up + 2e-6 * background) / (down + 1e-6 * (1 + background))


def ratio(solution):
    return solution.populations[:, 1] / solution.populations[:, 0]


def test_two_levels_by_hand(ion):
    """Each partner's rates, at its density, halfway between its temperatures."""
    partners = ("e", "o-H2", "H", "p-H2")
    solution = model(ion, partners).solve(
        "X+",
        55.0,
        column_density=1e3,
        density_e=0.1,
        density_ortho_H2=300.0,
        density_para_H2=100.0,
        density_H=50.0,
    )
    down = 0.1 * (1e-6 - 9e-7 / 22) + 300 * 3e-11 + 100 * 2e-11 + 50 * 5e-11
    assert_allclose(ratio(solution), upper_to_lower(55.0, down), rtol=1e-6)


@pytest.mark.parametrize(("given", "o_to_p"), [("thermal", None), (0.7, 0.7)])
def test_ortho_para_ratio_by_hand(ion, given, o_to_p):
    solution = model(ion, ["H2"], ortho_para_ratio=given).solve("X+", 55.0, 1e4, 1e3)
    if o_to_p is None:
        o_to_p = min(3.0, 9 * np.exp(-170.6 / 55.0))
    down = 1e4 * (2e-11 + 3e-11 * o_to_p) / (1 + o_to_p)
    assert_allclose(ratio(solution), upper_to_lower(55.0, down), rtol=1e-6)
    free = model(ion, ["H2"], ortho_para_ratio="free")
    assert free.parameter_names[:3] == ["temperature", "density", "ortho_para_ratio"]
    free = free.solve("X+", 55.0, 1e4, 1e3, ortho_para_ratio=o_to_p)
    assert_allclose(ratio(free), ratio(solution), rtol=1e-12)


def test_hydrogen_apart_adds_up_to_hydrogen():
    """Of CO, whose file tells ortho from para, and of HCO+, whose file does not."""
    gas = gas_prior(["CO", "HCO+"]).sample(20, random_state=0)
    lines = ["CO(3-2)", "HCO+(4-3)"]
    together = RadexModel(lines, column_density="per line width").predict(gas)
    thermal = np.minimum(3.0, 9 * np.exp(-170.6 / gas[:, 0]))
    para = gas[:, 1] / (1 + thermal)
    apart = np.insert(gas, 1, gas[:, 1] - para, axis=1)
    apart[:, 2] = para
    radex = RadexModel(
        lines, partners=("o-H2", "p-H2"), column_density="per line width"
    )
    assert radex.parameter_names[1:3] == ["density_ortho_H2", "density_para_H2"]
    assert_allclose(radex.predict(apart), together, rtol=1e-5)


def test_electron_fraction_counts_molecules_and_atoms(ion):
    partners = ("H", "H2", "e")
    by_fraction = model(ion, partners, electrons="fraction")
    assert by_fraction.parameter_names == [
        "temperature",
        "density_H",
        "density",
        "electron_fraction",
        "column_density_X+",
        "line_width",
        "filling_factor",
    ]
    assert by_fraction.parameter_units[:4] == ["K", "cm-3", "cm-3", ""]
    gas = [[50.0, 200.0, 300.0, 1e-3, 1e13, 2.0, 1.0]]
    counted = [[50.0, 200.0, 300.0, 0.5, 1e13, 2.0, 1.0]]
    assert_allclose(by_fraction.predict(gas), model(ion, partners).predict(counted))


def test_a_partner_that_is_not_there_does_nothing(ion):
    with_electrons = model(ion, ("H2", "e"), electrons="fraction")
    gas = [[50.0, 300.0, 0.0, 1e13, 2.0, 1.0]]
    without = model(ion, ("H2",)).predict(np.delete(gas, 2, axis=1))
    assert_allclose(with_electrons.predict(gas), without, rtol=1e-12)
    # nor does it if it is as good as absent, which no step hides
    gas[0][2] = 1e-15
    assert_allclose(with_electrons.predict(gas), without, rtol=1e-8)
    with pytest.raises(
        ValueError, match=r"no partner of X\+: the densities of H and e are all 0\."
    ):
        model(ion, ("H", "e")).predict([[50.0, 0.0, 0.0, 1e13, 2.0, 1.0]])
    with pytest.raises(ValueError, match="density must be positive"):
        model(ion, ("H2",)).predict([[50.0, 0.0, 1e13, 2.0, 1.0]])
    with pytest.raises(ValueError, match="density_e must be at least 0 and finite"):
        model(ion, ("H", "e")).predict([[50.0, 1.0, -1.0, 1e13, 2.0, 1.0]])


def test_missing_rates(ion):
    lines, theta = ["X+(1-0)", "CO(1-0)"], [[50.0, 1e3, 1.0, 1e13, 1e15, 2.0, 1.0]]
    settings = {"partners": ("H2", "e"), "molecules": {"X+": ion}}
    with pytest.raises(
        ValueError, match=r"CO has no collision rates with e; its file has them with"
    ):
        RadexModel(lines, **settings).predict(theta)
    with pytest.raises(ValueError, match="CO has no collision rates with e"):
        RadexModel(lines, **settings).fit(theta)
    for choice in ("ignore", {"CO": ["e"]}):
        predicted = RadexModel(lines, missing_rates=choice, **settings).predict(theta)
        alone = RadexModel(["CO(1-0)"]).predict([[50.0, 1e3, 1e15, 2.0, 1.0]])
        assert_allclose(predicted[0, 1], alone[0, 0])
    for choice, message in [
        ({"X+": ["e"]}, "CO has no collision rates with e"),
        ({"CS": ["e"]}, "`missing_rates` names 'CS'; this model has the species"),
        ({"CO": ["He"]}, "`missing_rates` lets 'He' not count for CO, but"),
    ]:
        with pytest.raises(ValueError, match=message):
            RadexModel(lines, missing_rates=choice, **settings).predict(theta)
    with pytest.raises(TypeError, match="must map a species to a sequence"):
        RadexModel(lines, missing_rates={"CO": "e"}, **settings).predict(theta)
    with pytest.raises(ValueError, match="with none of `partners`"):
        RadexModel(["CO(1-0)"], partners=("e",), missing_rates="ignore").predict(
            [[50.0, 1.0, 1e15, 2.0, 1.0]]
        )


def test_temperatures_beyond_the_rates(ion):
    """Each partner has its own range; what is held is the end of its table."""
    column, width = 1e3, 1.0
    theta = [[t, 1e3, 0.1, column, width, 1.0] for t in (15.0, 150.0, 55.0)]
    beyond = r"rates of X\+ with H cover 20 to 200 K, but 1 of 3 temperatures .* 15 K"
    with pytest.raises(ValueError, match=beyond):
        model(ion, ("H", "e")).predict(theta)
    held = model(ion, ("H", "e"), rate_extrapolation="hold")
    with pytest.warns(ExtrapolationWarning, match=r"1 of 3 models .* \(20 to 200 K\)"):
        assert np.isfinite(held.predict(theta)).all()
    with pytest.warns(ExtrapolationWarning, match="H "):
        solution = held.solve(
            "X+", 15.0, density_H=1e3, density_e=0, column_density=1.0
        )
    assert_allclose(ratio(solution), upper_to_lower(15.0, 1e3 * 5e-11), rtol=1e-6)
    # one warning a call, whatever the number of partners and species
    many = RadexModel(
        ["X+(1-0)", "CO(1-0)"],
        partners=("H2", "H+"),
        missing_rates="ignore",
        molecules={"X+": ion},
        rate_extrapolation="hold",
    )
    with pytest.warns(ExtrapolationWarning) as caught:
        many.predict([[250.0, 1e3, 1.0, 1e3, 1e15, 1.0, 1.0]])
    assert len(caught) == 1
    assert "p-H2 (10 to 100 K)" in str(caught[0].message)
    assert "H+ (100 to 100 K)" in str(caught[0].message)


def test_a_table_of_one_temperature(ion):
    protons = model(ion, ("H+",))
    solution = protons.solve("X+", 100.0, column_density=1e3, **{"density_H+": 2.0})
    expected = upper_to_lower(100.0, 2 * 7e-10)
    assert_allclose(ratio(solution), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"X\+ with H\+ are for 100 K alone, but 1 of"):
        protons.predict([[90.0, 2.0, 1e13, 1.0, 1.0]])
    held = clone(protons).set_params(rate_extrapolation="hold")
    with pytest.warns(ExtrapolationWarning, match="rates at the ends"):
        solution = held.solve("X+", 40.0, column_density=1e3, **{"density_H+": 2.0})
    assert_allclose(ratio(solution), upper_to_lower(40.0, 2 * 7e-10), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"partners": "H2"}, TypeError, "must be a sequence of collision partners"),
        ({"partners": ()}, ValueError, "`partners` is empty"),
        ({"partners": ("electrons",)}, ValueError, "partners are .* Did you mean 'e'"),
        ({"partners": ("electron",)}, ValueError, "Did you mean 'e'"),
        ({"partners": ("e-",)}, ValueError, "Did you mean 'e'"),
        ({"partners": ("Para-H2",)}, ValueError, "Did you mean 'p-H2'"),
        ({"partners": ("protons",)}, ValueError, "Did you mean 'H.'"),
        ({"partners": ("h2",)}, ValueError, "Did you mean 'H2'"),
        ({"partners": ("H", "H")}, ValueError, "more than once"),
        ({"partners": ("H2", "p-H2")}, ValueError, "count molecular hydrogen twice"),
        ({"electrons": "fraction"}, ValueError, "has no electrons"),
        (
            {"partners": ("He", "e"), "electrons": "fraction"},
            ValueError,
            "has neither",
        ),
        (
            {"partners": ("H", "e"), "ortho_para_ratio": 3},
            ValueError,
            "no H2 to be split",
        ),
        ({"ortho_para_ratio": -1}, ValueError, "'ortho_para_ratio' parameter"),
        ({"electrons": "few"}, ValueError, "'electrons' parameter"),
        ({"rate_extrapolation": "warn"}, ValueError, "'rate_extrapolation' parameter"),
        ({"missing_rates": "warn"}, ValueError, "'missing_rates' parameter"),
    ],
)
def test_contradictions(settings, error, message):
    with pytest.raises(error, match=message):
        RadexModel(["CO(1-0)"], **settings).fit([[50.0, 1e4, 1e16, 1.0, 1.0]])


def test_a_partner_of_two_tables_is_named_once():
    """CO has rates with ortho- and para-H2, which are one density here."""
    radex = RadexModel(["CO(1-0)"], partners=("H2", "e"), missing_rates="ignore")
    with pytest.raises(ValueError, match=r"of CO: the density of H2 is 0\.$"):
        radex.predict([[50.0, 0.0, 10.0, 1e16, 1.0, 1.0]])


def test_solve_names_what_it_lacks(ion):
    radex = model(ion, ("H", "e"))
    with pytest.raises(ValueError, match=r"lacks \['density_e'\]; this model takes"):
        radex.solve("X+", 50.0, density_H=1.0, column_density=1.0)
    with pytest.raises(ValueError, match=r"has \['density'\]; this model takes"):
        radex.solve("X+", 50.0, 1e4, 1.0, density_H=1.0, density_e=1.0)
    with pytest.raises(ValueError, match="`density_e` must be at least 0 and finite"):
        radex.solve("X+", 50.0, column_density=1.0, density_H=1.0, density_e=-1.0)


def test_every_file_with_each_of_its_partners_is_thermal_when_dense(shared_data):
    """Detailed balance; also of rates that a file lists from a lower level up."""
    for path in sorted((shared_data / "chem" / "lamda_more").glob("*.dat")):
        molecule = read_lamda(path, name="X")
        for table in molecule.collisions:
            radex = RadexModel(
                [molecule.line_names[0]],
                partners=(table.partner,),
                molecules={"X": molecule},
            )
            temperature = table.temperatures[len(table.temperatures) // 2]
            gas = {radex.parameter_names[1]: 1e20}
            solution = radex.solve("X", temperature, column_density=1e3, **gas)
            assert solution.converged.all(), path.name
            energies = molecule.energies * 1.438776877
            boltzmann = molecule.statistical_weights * np.exp(-energies / temperature)
            # of the levels that this partner connects
            n_levels, pairs = molecule.n_levels, (table.upper, table.lower)
            ones = np.ones(len(table.upper))
            graph = coo_array((ones, pairs), shape=(n_levels, n_levels))
            label = connected_components(graph, directed=False)[1]
            counts = (boltzmann / boltzmann.sum() > 1e-15) & (label == label[0])
            populations = solution.populations[0, counts]
            departure = populations / populations.sum() / boltzmann[counts]
            departure *= boltzmann[counts].sum()
            assert_allclose(departure, 1, rtol=1e-3, err_msg=f"{path.name} {table}")


@pytest.mark.parametrize(
    ("file", "geometry", "gas"),
    [
        ("sio.dat", "lvg", (838.1, 524.8, 1.46e14)),
        ("SO-pH2.dat", "uniform sphere", (44.610, 8686.5, 3.3937e16)),
        ("o2.dat", "slab", (283.57, 8686.5, 3.129e21)),
        ("ph2cs.dat", "uniform sphere", (253.48, 8686.5, 1.309e17)),
    ],
)
def test_inverted_lines_at_their_cap_settle(shared_data, file, geometry, gas):
    """Newton's steps went to and fro over the cap, and the models came back as NaN."""
    path = shared_data / "chem" / "lamda_more" / file
    molecule = read_lamda(path, name="X")
    temperature, density, column = gas
    partner = "o-H2" if file.startswith("ph2") else molecule.collisions[0].partner
    radex = RadexModel(
        [molecule.line_names[0]],
        partners=(partner,),
        geometry=geometry,
        molecules={"X": molecule},
    )
    given = {radex.parameter_names[1]: density}
    solution = radex.solve("X", temperature, column_density=column, **given)
    assert solution.converged.all()
    x = solution.populations
    # it is a solution: nothing more moves, from there or from a little beside it
    solver, around = solver_of(radex, molecule, partner)
    rates = solver._collisions.matrices(np.array([temperature]), np.array([[density]]))
    down, up, *_ = solver._line_rates(x, np.array([column]), around)
    residual, gross = solver._imbalance(x, rates, rates.sum(axis=1), down, up)
    assert_allclose(residual[x > 1e-20] / gross[x > 1e-20], 0, atol=1e-6)


def solver_of(radex, molecule, partner):
    from skastro.molecular._radiation import surroundings
    from skastro.molecular._statistical_equilibrium import StatisticalEquilibrium

    tables = [t for t in molecule.collisions if t.partner == partner]
    solver = StatisticalEquilibrium(molecule, tables, radex.geometry)
    return solver, surroundings(solver.line_temperatures, 2.73, None, None, {})


# -- what follows by name


HCN = {
    "lines": ["HCN(1-0)", "HCN(4-3)"],
    "partners": ("H2", "e"),
    "electrons": "fraction",
    "column_density": "per line width",
}


@pytest.fixture(scope="module")
def hcn_prior():
    return gas_prior(model=RadexModel(**HCN))


def test_prior_of_a_model(hcn_prior):
    radex = RadexModel(**HCN)
    assert hcn_prior.names == radex.parameter_names
    assert [hcn_prior[n].unit for n in hcn_prior.names[:3]] == ["K", "cm-3", ""]
    co = RadexModel(["CO(1-0)"], column_density="per line width")
    assert gas_prior(["CO"]) == gas_prior(model=co)
    for given in (radex.parameter_names, co.parameter_names[0]):
        with pytest.raises(TypeError, match="`model` must be a model of gas itself"):
            gas_prior(model=given)
    with pytest.raises(TypeError, match="give a model of gas as `model`"):
        gas_prior(co)
    with pytest.raises(ValueError, match="several phases is the `prior` method"):
        gas_prior(model=MultiPhaseModel(co, 2))


@pytest.mark.parametrize("column_density", ["total", "per line width"])
@pytest.mark.parametrize("wrap", [None, LineRatioModel, RadexEmulator])
def test_prior_is_that_of_a_retrieval(ion, column_density, wrap):
    """Of a model with all that can be free, in its units, whatever the names."""
    settings = {
        "column_density": column_density,
        "partners": ("o-H2", "p-H2", "H", "He", "H+", "e"),
        "radiation": [
            BlackBody("free", "free", name="star"),
            ModifiedBlackBody(*["free"] * 2, 345.0, *["free"] * 2, name="torus"),
            TabulatedField([1, 1e5], [1e-18, 1e-18], "free", name="lamp"),
        ],
        "dust": Dust("free", "free", 345.0, "free", name="grains"),
        "molecules": {"X+": ion},
    }
    lines = ["X+(1-0)", "CO(1-0)", "CO(2-1)", "SiO(1-0)"]
    radex = RadexModel(lines, missing_rates="ignore", **settings)
    forward = radex
    if wrap is LineRatioModel:
        forward = LineRatioModel(radex, [("CO(2-1)", "CO(1-0)")])
    elif wrap is RadexEmulator:
        forward = RadexEmulator(lines, ExtraTreesRegressor(), **settings)
    prior = gas_prior(model=forward)
    assert prior.names == forward.parameter_names
    assert prior.units == forward.parameter_units
    hot, cold = prior["star_temperature"].bounds, prior["torus_temperature"].bounds
    assert hot[1] >= 5e4 > cold[1]
    assert prior["grains_temperature"].bounds == cold
    assert prior["lamp_dilution"].bounds[1] == 1.0
    assert prior["torus_beta"].bounds == prior["grains_beta"].bounds == (1.0, 2.5)


def test_prior_of_columns_spans_those_of_the_thesis():
    """Total columns have the range of the table at line widths of 1 to 100 km/s."""
    for kind in ("free", "chemical"):
        total, narrow = (
            gas_prior(
                model=RadexModel(["CO(3-2)", "C(1-0)"], column_density=column_density),
                column_densities=kind,
            )
            for column_density in ("total", "per line width")
        )
        widths = np.array(narrow["line_width"].bounds)
        assert_allclose(
            total["column_density_CO"].bounds,
            # chemistry gives total columns, which the widest line has the lowest of
            np.array(narrow["column_density_CO"].bounds)
            * (widths if kind == "free" else widths[::-1]),
        )
    theta = total.sample_latin_hypercube(50, random_state=0)
    assert np.isfinite(RadexModel(["CO(3-2)", "C(1-0)"]).predict(theta)).all()


def test_emulator_learns_what_the_model_takes(hcn_prior):
    radex = RadexModel(**HCN)
    emulator = RadexEmulator(
        HCN["lines"],
        ExtraTreesRegressor(5, random_state=0),
        **{k: v for k, v in HCN.items() if k != "lines"},
    )
    assert emulator.parameter_names == radex.parameter_names
    theta = hcn_prior.sample_latin_hypercube(200, random_state=0)
    theta[:, -1] = np.maximum(theta[:, -1], 1e-3)
    intensity = radex.predict(theta)
    emulator.fit(theta, intensity)
    assert_allclose(emulator.predict(theta), intensity, rtol=1e-5, atol=1e-7)
    assert emulator.domains_["HCN"].shape == (2, 4)
    outside = theta[:1].copy()
    outside[0, 2] = 0.1
    assert not emulator.in_domain(outside)[0]
    with pytest.raises(ValueError, match="log10 electron_fraction = -1 where"):
        emulator.predict(outside)
    outside[0, 2] = 0.0
    for method in (emulator.predict, emulator.in_domain):
        with pytest.raises(ValueError, match="`electron_fraction` is 0 in 1 of 1"):
            method(outside)


def test_data_frames_are_taken_by_name(hcn_prior):
    radex, theta = RadexModel(**HCN), hcn_prior.sample(3, random_state=0)
    frame = pd.DataFrame(theta, columns=radex.parameter_names)
    assert_array_equal(radex.predict(frame[frame.columns[::-1]]), radex.predict(theta))


def test_phases_and_ratios(hcn_prior):
    radex = RadexModel(**HCN)
    two = MultiPhaseModel(radex, 2, shared=("line_width", "electron_fraction"))
    assert two.parameter_names[:3] == ["electron_fraction", "line_width"] + [
        "temperature_1"
    ]
    prior = two.prior(hcn_prior, order_by="density")
    theta = prior.sample(4, random_state=0)
    column = {name: theta[:, i] for i, name in enumerate(prior.names)}
    expected = 0
    for phase in "12":
        names = radex.parameter_names
        own = [column.get(n, column.get(f"{n}_{phase}")) for n in names]
        expected = expected + radex.predict(np.stack(own, axis=1))
    ordered = theta[:, [prior.names.index(n) for n in two.parameter_names]]
    assert_allclose(two.predict(ordered), expected)
    ratios = LineRatioModel(two, [("HCN(4-3)", "HCN(1-0)")])
    assert_allclose(
        ratios.predict(ordered)[:, 0], np.log10(expected[:, 1] / expected[:, 0])
    )
    assert two.extrapolation == ratios.extrapolation == "ignore"
    # phases without electrons have none: no phase is a partner by its number
    without = MultiPhaseModel(RadexModel(["CO(3-2)"]), 2)
    with pytest.raises(ValueError, match="density_2 must be positive"):
        without.predict([[1.0, 50, 1e4, 1e16, 1, 50, 0, 1e16, 1]])


class Abundances:
    """Abundances per hydrogen nucleus that do not depend on anything."""

    has_spread = True

    def __init__(self, **log_abundances):
        self.output_names = [name.replace("_", "-") for name in log_abundances]
        self.values = list(log_abundances.values())

    def fit(self, X, y=None):
        return self

    def predict(self, theta, return_std=False):
        mean = np.tile(self.values, (len(theta), 1))
        return (mean, np.full_like(mean, 0.01)) if return_std else mean


CHEMISTRY = [50.0, 1e4, 1.0, 5.0, 1.0, 1.0]
COLUMN = 1e-8 * 1.6e21 * 5


def test_chemistry_takes_partners_as_parameters():
    """Those whose abundance it does not predict."""
    radex = RadexModel(**{**HCN, "column_density": "total"})
    model = ChemicalModel(Abundances(HCN=-8.0), radex)
    assert model.parameter_names[6:] == [
        "electron_fraction",
        "line_width",
        "filling_factor",
    ]
    assert len(model.parameter_units) == len(model.parameter_names)
    expected = radex.predict([[50.0, 1e4, 1e-5, COLUMN, 2.0, 0.5]])
    assert_allclose(model.predict([[*CHEMISTRY, 1e-5, 2.0, 0.5]]), expected)
    prior = chemical_prior(model=model)
    assert prior.names == model.parameter_names
    assert prior.units == model.parameter_units
    assert prior.select(prior.names[:6]) == chemical_prior().select(prior.names[:6])
    with pytest.raises(TypeError, match="`model` must be a model of gas itself"):
        chemical_prior(model=model.parameter_names)


@pytest.mark.parametrize("ratio", ["thermal", 0.5, "free"])
def test_kinds_of_hydrogen_are_parts_of_that_of_chemistry(ratio):
    """CO with o- and p-H2 apart is CO with H2 of the same ratio."""
    apart = RadexModel(["CO(3-2)"], partners=("o-H2", "p-H2"))
    one = RadexModel(["CO(3-2)"], ortho_para_ratio=ratio)
    abundances = Abundances(CO=-8.0)
    theta = [[*CHEMISTRY, *[0.7] * (ratio == "free"), 2.0, 0.5]]
    models = [
        ChemicalModel(abundances, apart, ortho_para_ratio=ratio),
        ChemicalModel(abundances, one),
    ]
    assert models[0].parameter_names == models[1].parameter_names
    assert_allclose(models[0].predict(theta), models[1].predict(theta), rtol=1e-9)
    wrong = ChemicalModel(abundances, one, ortho_para_ratio=3.0)
    with pytest.raises(ValueError, match="neither o-H2 nor p-H2 apart; set it in"):
        wrong.predict(theta)
    wrong = ChemicalModel(abundances, apart, ortho_para_ratio="normal")
    with pytest.raises(ValueError, match="'ortho_para_ratio' parameter"):
        wrong.predict(theta)


@pytest.mark.parametrize("electrons", ["density", "fraction"])
@pytest.mark.parametrize("molecules", [None, 0.4])
def test_partners_that_chemistry_predicts(ion, electrons, molecules):
    """Their densities are its own, per hydrogen nucleus; none is a parameter."""
    radex = model(ion, ("H2", "H", "e"), electrons=electrons)
    known = {"H": -1.0, "E_": -4.0, "X+": -8.0}
    known |= {} if molecules is None else {"H2": np.log10(molecules)}
    chemical = ChemicalModel(Abundances(**known), radex)
    assert chemical.parameter_names[6:] == ["line_width", "filling_factor"]
    nuclei = 1e4 / (molecules or 0.5)
    density = {"H": 0.1 * nuclei, "e": 1e-4 * nuclei}
    if electrons == "fraction":
        density["e"] /= 1e4 + density["H"]
    gas = [50.0, 1e4, density["H"], density["e"], COLUMN, 2.0, 0.5]
    theta = [[*CHEMISTRY, 2.0, 0.5]]
    intensity, std = chemical.predict(theta, return_std=True)
    assert_allclose(intensity, radex.predict([gas]))
    # the column and each of the partners are uncertain by themselves
    moved = np.array([gas] * 3)
    moved[0, 4] *= 10**0.01
    moved[1, 2] *= 10**0.01
    if electrons == "fraction":
        moved[1, 3] *= (1e4 + density["H"]) / (1e4 + moved[1, 2])
    moved[2, 3] *= 10**0.01
    change = radex.predict(moved) - intensity
    assert_allclose(std[0], np.sqrt((change**2).sum(axis=0)), rtol=1e-6)


@pytest.mark.parametrize("phases", [1, 2])
def test_retrieval_holds_rates_without_a_word_a_batch(ion, phases):
    """A model that holds rates stays so inside phases, and does not warn each time."""
    radex = model(ion, ("H", "e"), rate_extrapolation="hold")
    prior = gas_prior(model=radex)
    forward = radex if phases == 1 else MultiPhaseModel(radex, phases)
    if phases == 2:
        prior = forward.prior(prior)
    retrieval = BayesianRetrieval(
        forward, prior, sampler="importance", min_ess=20, random_state=0
    )
    with pytest.warns(ExtrapolationWarning, match="Of a design of the prior") as said:
        retrieval.fit(forward.encode_lines(["X+(1-0)"]), [5.0], sigma=[1.0])
    assert len(said) == 1
    assert radex.rate_extrapolation == "hold"


@pytest.mark.parametrize("wrap", ["alone", "phases", "chemistry"])
def test_no_model_is_solved_that_cannot_warn(ion, monkeypatch, wrap):
    """A retrieval asks a design of its prior for warnings; not where there are none."""
    asked = []

    def dark(self, theta, return_std=False):
        asked.append(len(theta))
        return np.zeros((len(theta), len(self.lines))), None

    monkeypatch.setattr(RadexModel, "_intensity", dark)

    def n_asked(radex):
        asked.clear()
        forward, prior = radex, gas_prior(model=radex)
        if wrap == "phases":
            forward = MultiPhaseModel(radex, 2)
            prior = forward.prior(prior)
        elif wrap == "chemistry":
            species = dict.fromkeys(radex._resolved()[1], -8.0)
            forward = ChemicalModel(Abundances(**species), radex)
            prior = chemical_prior(model=forward)
        ForwardModel(forward, prior)
        return sum(asked)

    held = {"rate_extrapolation": "hold"}
    assert n_asked(RadexModel(["CO(3-2)"])) == 0
    assert n_asked(RadexModel(["CN(1_0.5-0_0.5)"], overlap="ignore")) == 0
    assert n_asked(model(ion, ("H2",), populations="lte", **held)) == 0
    assert n_asked(RadexModel(["CN(1_0.5-0_0.5)"])) >= 512
    assert n_asked(model(ion, ("H2",), **held)) >= 512


def test_parameters_are_kept_as_they_are():
    from pickle import dumps, loads

    settings = {
        "partners": ["p-H2", "o-H2"],
        "missing_rates": {"CO": ["p-H2"]},
        "radiation": [BlackBody("free"), TabulatedField([1, 1e5], [1e-18, 1e-18])],
    }
    radex = RadexModel(["CO(1-0)"], **settings)
    theta = [[50.0, 1e4, 1e4, 10.0, 1e16, 1.0, 1.0]]
    expected = radex.predict(theta)
    for name, value in settings.items():
        assert getattr(radex, name) is value
    assert_array_equal(clone(radex).fit(theta).predict(theta), expected)
    assert_array_equal(loads(dumps(radex)).predict(theta), expected)


@pytest.mark.comparison
def test_pythonradex_with_four_partners(shared_data):
    radiative_transfer = pytest.importorskip("pythonradex.radiative_transfer")
    path = shared_data / "chem" / "lamda_more" / "c.dat"
    source = radiative_transfer.Source(
        datafilepath=str(path),
        geometry="static sphere",
        line_profile_type="rectangular",
        width_v=1.0645e3,
        warn_negative_tau=False,
    )
    radex = RadexModel(
        ["C(1-0)"],
        partners=("H", "e", "o-H2", "p-H2"),
        molecules={"C": read_lamda(path, name="C")},
    )

    def background(nu):
        h, c, k = 6.62607015e-34, 299792458.0, 1.380649e-23
        return 2 * h * nu**3 / c**2 / np.expm1(h * nu / (k * 2.73))

    for temperature, hydrogen, column in [(30, 1e3, 1e17), (150, 1e5, 1e18)]:
        densities = {"H": hydrogen, "e": 1e-4 * hydrogen}
        densities |= {"ortho-H2": 0.3 * hydrogen, "para-H2": 0.1 * hydrogen}
        source.update_parameters(
            N=column * 1e4,
            Tkin=temperature,
            collider_densities={k: v * 1e6 for k, v in densities.items()},
            ext_background=background,
            T_dust=0,
            tau_dust=0,
        )
        source.solve_radiative_transfer()
        ours = radex.solve(
            "C",
            temperature,
            column_density=column,
            density_H=hydrogen,
            density_e=1e-4 * hydrogen,
            density_ortho_H2=0.3 * hydrogen,
            density_para_H2=0.1 * hydrogen,
        )
        assert_allclose(ours.populations[0], source.level_pop, rtol=1e-3)


def test_a_pair_of_levels_with_two_lines(ion):
    """Listed twice with half the rate, a line is as one where it is thin."""
    molecule = replace(
        ion,
        upper=ion.upper.repeat(2),
        lower=ion.lower.repeat(2),
        einstein_a=ion.einstein_a.repeat(2) / 2,
        frequencies=ion.frequencies.repeat(2),
    )
    radex = RadexModel(
        ["X+(1-0)"], molecules={"X+": molecule}, partners=["H"], overlap="ignore"
    )
    solution = radex.solve("X+", 50.0, column_density=1e3, density_H=100.0)
    down = 100 * 5e-11
    assert_allclose(ratio(solution), upper_to_lower(50.0, down), rtol=1e-6)
    # and it settles where it is thick, to the derivative of both
    thick = radex.solve("X+", 50.0, column_density=1e17, density_H=100.0)
    assert thick.converged.all()
    assert thick.n_iter[0] < 15
