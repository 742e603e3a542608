import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skastro.datasets import load_synthetic_galaxy
from skastro.molecular import (
    RadexModel,
    fetch_lamda,
    find_lines,
    line_catalogue,
    load_molecule,
    read_lamda,
)
from skastro.molecular._escape_probability import ESCAPE_PROBABILITIES
from skastro.testing import gas

MOLECULES = ["CO", "CS", "HCN", "HCO+"]
REFERENCE = Path(__file__).parent / "data" / "radex_fortran_reference.npz"
DATA = files("skastro.molecular") / "data"
K_PER_GHZ = 0.04799243073366221  # h / k_B


def solve(molecule, *arguments, **parameters):
    return RadexModel([f"{molecule}(1-0)"], **parameters).solve(molecule, *arguments)


def planck_temperature(frequency, temperature):
    """Rayleigh-Jeans equivalent temperature of a black body [K]."""
    quantum = K_PER_GHZ * frequency
    return quantum / np.expm1(quantum / temperature)


# -- against other codes


def check_against_fortran(reference, molecule, share):
    temperature, density, column = reference[f"{molecule}_X"].T
    solution = solve(molecule, temperature, 10**density, 10**column)
    assert solution.converged.all()
    radiation = solution.radiation_temperature[:, :10]
    assert (radiation < 1.001 * temperature[:, None]).all()
    expected = reference[f"{molecule}_TR"]
    counts = reference[f"{molecule}_valid"][:, None] & (expected > 1e-3)
    error = np.abs(radiation / np.where(counts, expected, 1) - 1)[counts]
    assert np.median(error) < 1e-5
    # the rest are models where Fortran RADEX has stopped early: its lines zigzag with J
    assert np.quantile(error, share) < 5e-4
    # a second solution, valid everywhere: also where Fortran RADEX fails
    expected = reference[f"{molecule}_TR_batched"]
    counts = expected > 1e-3
    error = np.abs(radiation / np.where(counts, expected, 1) - 1)[counts]
    assert np.quantile(error, 0.995) < 1e-3
    assert error.max() < 0.05


@pytest.mark.parametrize("molecule", MOLECULES)
def test_fortran_radex(molecule):
    with np.load(REFERENCE) as reference:
        check_against_fortran(reference, molecule, share=0.98)


@pytest.mark.parametrize("molecule", MOLECULES)
def test_fortran_radex_on_all_reference_models(molecule, shared_data):
    with np.load(shared_data / "chem" / "radex_fortran_reference.npz") as reference:
        check_against_fortran(reference, molecule, share=0.99)


@pytest.mark.comparison
@pytest.mark.parametrize(
    ("geometry", "theirs"),
    [
        ("uniform sphere", "static sphere"),
        ("lvg", "LVG sphere"),
        ("slab", "LVG slab"),
    ],
)
def test_pythonradex(geometry, theirs):
    radiative_transfer = pytest.importorskip("pythonradex.radiative_transfer")
    source = radiative_transfer.Source(
        datafilepath=str(DATA / "hco+.dat"),
        geometry=theirs,
        line_profile_type="rectangular",
        width_v=1.0645e3,
        use_Ng_acceleration=True,
        treat_line_overlap=False,
        warn_negative_tau=False,
    )
    cases = [(30.0, 1e5, 1e13), (100.0, 1e4, 1e12), (15.0, 1e6, 1e14)]
    for temperature, density, column in cases:
        source.update_parameters(
            N=column * 1e4,
            Tkin=temperature,
            collider_densities={"H2": density * 1e6},
            ext_background=lambda nu: planck_radiance(nu, 2.73),
            T_dust=0,
            tau_dust=0,
        )
        source.solve_radiative_transfer()
        ours = solve("HCO+", temperature, density, column, geometry=geometry)
        assert_allclose(ours.excitation_temperature[0, :6], source.Tex[:6], rtol=2e-3)


def planck_radiance(nu, temperature):
    h, c, k = 6.62607015e-34, 299792458.0, 1.380649e-23
    return 2 * h * nu**3 / c**2 / np.expm1(h * nu / (k * temperature))


# -- against the thesis


@pytest.mark.parametrize("n_phases", [1, 2])
def test_thesis_direct_intensities(n_phases):
    """Tables 2.4 and 2.6: phases add after their filling factors."""
    galaxy = load_synthetic_galaxy(n_phases)
    intensity = RadexModel(galaxy.lines).predict(galaxy.theta).sum(axis=0)
    assert_allclose(intensity, galaxy.intensity, rtol=0.02)


# -- against analytic limits


@pytest.mark.parametrize("molecule", MOLECULES)
@pytest.mark.parametrize("geometry", ESCAPE_PROBABILITIES)
def test_dense_gas_is_in_local_thermodynamic_equilibrium(molecule, geometry):
    solution = solve(molecule, [20.0, 120.0], 1e15, 1e10, geometry=geometry)
    species = load_molecule(molecule)
    energies = species.energies * 1.438776877
    for populations, temperature in zip(solution.populations, (20, 120), strict=True):
        boltzmann = species.statistical_weights * np.exp(-energies / temperature)
        boltzmann /= boltzmann.sum()
        counts = boltzmann > 1e-20
        assert_allclose(populations[counts], boltzmann[counts], rtol=1e-5)


@pytest.mark.parametrize("molecule", MOLECULES)
def test_thick_line_in_lte_is_a_black_body(molecule):
    solution = solve(molecule, 50.0, 1e12, 1e20)
    frequencies = load_molecule(molecule).frequencies[:4]
    expected = planck_temperature(frequencies, 50) - planck_temperature(
        frequencies, 2.73
    )
    assert_allclose(solution.radiation_temperature[0, :4], expected, rtol=1e-3)


def test_thin_line_has_the_analytic_intensity():
    """T_R dv = h c^3 A N_u / (8 pi k nu^2), less what is absorbed of the background."""
    line = find_lines(["HCN(1-0)"])[0]
    column, width = 1e10, 20.0
    model = RadexModel(["HCN(1-0)"], background_temperature=0.1)
    intensity = model.predict([[60.0, 1e5, column, width, 1.0]])[0, 0]
    upper = model.solve("HCN", 60.0, 1e5, column / width).populations[0, line.upper]
    h, c, k = 6.62607015e-34, 299792458.0, 1.380649e-23
    nu = line.frequency * 1e9
    expected = (
        h * c**3 * line.einstein_a * column * 1e4 * upper / (8 * np.pi * k * nu**2)
    ) / 1e3  # K m/s to K km/s
    assert_allclose(intensity, expected, rtol=1e-3)


def test_gas_in_equilibrium_with_the_background_is_invisible():
    solution = solve("HCO+", 20.0, 1e5, 1e14, background_temperature=20.0)
    assert_allclose(solution.excitation_temperature[0, :8], 20.0, rtol=1e-6)
    assert_allclose(solution.radiation_temperature[0], 0.0, atol=1e-6)


def test_two_level_populations_by_hand(tmp_path):
    """One line, no trapping: x_u / x_l = (C_lu + A g n_bg) / (C_ul + A (1 + n_bg))."""
    path = tmp_path / "two.dat"
    path.write_text(
        "!\nTWO\n!\n10.0\n!\n2\n!\n 1 0.0 1.0 0\n 2 4.0 3.0 1\n!\n1\n!\n"
        " 1 2 1 1e-6 119.9 5.75\n!\n1\n!\n1 TWO-H2\n!\n1\n!\n2\n!\n 10.0 100.0\n!\n"
        " 1 2 1 1e-11 3e-11\n"
    )
    model = RadexModel(["TWO(1-0)"], molecules={"TWO": path})
    temperature, density = 55.0, 2e4
    down = density * 2e-11  # halfway between 10 and 100 K
    up = 3 * down * np.exp(-4 * 1.438776877 / temperature)
    background = 1 / np.expm1(4 * 1.438776877 / 2.73)
    ratio = (up + 3e-6 * background) / (down + 1e-6 * (1 + background))
    x = model.solve("TWO", temperature, density, 1e3).populations[0]
    assert_allclose(x[1] / x[0], ratio, rtol=1e-6)


@pytest.mark.parametrize("geometry", ESCAPE_PROBABILITIES)
def test_escape_probability(geometry):
    function = ESCAPE_PROBABILITIES[geometry]
    tau = np.concatenate([-np.logspace(-12, 0, 200), [0.0], np.logspace(-12, 4, 400)])
    if geometry == "lvg radex":  # has steps, which have a test of their own
        size = np.abs(tau)
        tau = tau[~((size > 0.019) & (size < 0.021)) & ~((size > 13.8) & (size < 14.2))]
    beta, slope = function(tau)
    assert_allclose(function(np.zeros(1))[0], 1.0)
    order = np.argsort(tau)
    assert (np.diff(beta[order]) <= 1e-12).all()
    step = 1e-4 * np.maximum(np.abs(tau), 1e-2)
    numerical = (function(tau + step)[0] - function(tau - step)[0]) / (2 * step)
    assert_allclose(slope, numerical, rtol=1e-4, atol=1e-7)


def test_uniform_sphere_series_meets_the_closed_form():
    function = ESCAPE_PROBABILITIES["uniform sphere"]
    below, above = function(np.array([0.2 - 1e-9])), function(np.array([0.2 + 1e-9]))
    assert_allclose(below[0], above[0], rtol=1e-8)
    assert_allclose(below[1], above[1], rtol=1e-5)


# -- invariants


@given(gas())
@settings(deadline=None, max_examples=40)
def test_any_gas_converges_to_physical_lines(properties):
    for molecule in ("HCO+", "CS"):
        solution = solve(molecule, *properties)
        assert solution.converged.all()
        assert_allclose(solution.populations.sum(axis=1), 1.0)
        assert (solution.populations > 0).all()
        radiation = solution.radiation_temperature
        assert (radiation < 1.1 * properties[0][:, None]).all()
        assert (radiation > -2.73).all()


@given(gas(n_models=6))
@settings(deadline=None, max_examples=10)
def test_models_do_not_depend_on_their_batch(properties):
    together = solve("CS", *properties).radiation_temperature
    alone = [
        solve("CS", *(p[i : i + 1] for p in properties)).radiation_temperature[0]
        for i in range(6)
    ]
    assert_allclose(together, alone, rtol=1e-5, atol=1e-12)


def test_intensity_scales_with_width_and_filling_factor():
    model = RadexModel(["CO(3-2)"], column_density="per line width")
    one = model.predict([[50.0, 1e5, 1e16, 1.0, 1.0]])
    assert_allclose(model.predict([[50.0, 1e5, 1e16, 30.0, 0.5]]), 15 * one)
    total = RadexModel(["CO(3-2)"]).predict([[50.0, 1e5, 30e16, 30.0, 0.5]])
    assert_allclose(total, 15 * one)


def test_lines_in_any_order():
    names = ["HCN(4-3)", "CO(6-5)", "HCO+(4-3)", "CO(3-2)"]
    model = RadexModel(names)
    assert model.parameter_names[2:5] == [
        "column_density_HCN",
        "column_density_CO",
        "column_density_HCO+",
    ]
    theta = [[80.0, 1e5, 1e15, 1e18, 1e14, 20.0, 1.0]]
    expected = [
        RadexModel([name]).predict([[80.0, 1e5, column, 20.0, 1.0]])[0, 0]
        for name, column in zip(names, (1e15, 1e18, 1e14, 1e18), strict=True)
    ]
    assert_allclose(model.predict(theta)[0], expected)


def test_data_frame_columns_are_taken_by_name():
    model = RadexModel(["CO(3-2)"])
    theta = np.array([[50.0, 1e5, 1e17, 10.0, 1.0], [70.0, 1e4, 1e18, 20.0, 0.5]])
    frame = pd.DataFrame(theta, columns=model.parameter_names)
    assert_array_equal(model.predict(frame[frame.columns[::-1]]), model.predict(theta))
    with pytest.raises(ValueError, match="lacks the columns"):
        model.predict(frame.drop(columns="density"))


def test_predict_needs_no_fit_and_fit_learns_nothing():
    model = RadexModel(["CO(3-2)"])
    theta = [[50.0, 1e5, 1e17, 10.0, 1.0]]
    assert_array_equal(model.predict(theta), clone(model).fit(theta).predict(theta))


# -- failures


def test_unconverged_models_are_nan_and_counted():
    model = RadexModel(["CO(3-2)", "CS(7-6)"], max_iter=2)
    with pytest.warns(ConvergenceWarning, match=r"some of 1 models .*CO: 1, CS: 1"):
        intensity = model.predict([[50.0, 1e5, 1e18, 1e14, 10.0, 1.0]])
    assert np.isnan(intensity).all()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, -5.0, "temperature must be positive"),
        (0, 5000.0, "cover 2 to 3000 K"),
        (1, np.nan, "density must be positive and finite"),
        (2, 0.0, "column_density_CO must be positive"),
        (3, -17.0, "not logarithms"),
        (4, 1.5, r"filling_factor must be in \[0, 1\]"),
    ],
)
def test_impossible_parameters(column, value, message):
    theta = np.array([[50.0, 1e5, 1e17, 10.0, 1.0]])
    theta[0, column] = value
    with pytest.raises(ValueError, match=message):
        RadexModel(["CO(3-2)"]).predict(theta)


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (["CO(3-1)"], ValueError, r"Unknown line 'CO\(3-1\)'. Did you mean"),
        (["hCN(4-3)"], ValueError, r"Did you mean 'HCN\(4-3\)'"),
        (["CO(3-2)", "CO(3-2)"], ValueError, "more than once"),
        ([], ValueError, "empty"),
        ("CO(3-2)", TypeError, "sequence"),
    ],
)
def test_bad_lines(lines, error, message):
    with pytest.raises(error, match=message):
        RadexModel(lines).predict([[50.0, 1e5, 1e17, 10.0, 1.0]])


def test_bad_models():
    theta = [[50.0, 1e5, 1e17, 10.0, 1.0]]
    with pytest.raises(ValueError, match="'geometry' parameter"):
        RadexModel(["CO(3-2)"], geometry="cube").predict(theta)
    with pytest.raises(ValueError, match="'column_density' parameter"):
        RadexModel(["CO(3-2)"], column_density="log").predict(theta)
    with pytest.raises(ValueError, match=r"shape \(n_models, 5\)"):
        RadexModel(["CO(3-2)"]).predict([[50.0, 1e5]])
    with pytest.raises(ValueError, match="'background_temperature' parameter"):
        RadexModel(["CO(3-2)"], background_temperature=0).predict(theta)
    with pytest.raises(TypeError, match="different units"):
        from astropy import units as u

        RadexModel(["CO(3-2)"]).predict(theta * u.K)
    with pytest.raises(ValueError, match="no line 'CO"):
        RadexModel(["CO(3-2)"]).encode_lines(["CO(1-0)"])


# -- molecule files and the catalogue


def test_catalogue():
    lines = {line.name: line for line in line_catalogue()}
    assert_allclose(lines["CO(1-0)"].frequency, 115.2712018)
    assert_allclose(lines["HCO+(4-3)"].upper_energy, 42.8, atol=0.05)
    assert (lines["CS(7-6)"].upper, lines["CS(7-6)"].lower) == (7, 6)
    assert {line.species for line in line_catalogue("CS")} == {"CS"}
    with pytest.raises(ValueError, match="Did you mean 'HCO"):
        line_catalogue("HCO")


@pytest.mark.parametrize("molecule", MOLECULES)
def test_molecule_files_are_consistent(molecule):
    species = load_molecule(molecule)
    gap = species.energies[species.upper] - species.energies[species.lower]
    assert_allclose(gap * 29.9792458, species.frequencies, rtol=2e-4)
    assert (np.diff(species.energies) > 0).all()
    for table in species.collisions:
        assert (np.diff(table.temperatures) > 0).all()
        assert (table.upper > table.lower).all()
        assert (table.rates >= 0).all()


def test_ortho_and_para_hydrogen():
    co = load_molecule("CO")
    assert [table.partner for table in co.hydrogen_collisions()] == ["p-H2", "o-H2"]
    # 10 and 200 K are in both tables: CO 1-0, thermal ortho-to-para ratio
    from skastro.molecular._collision_rates import CollisionRates
    from skastro.molecular._partners import check_partners, colliders

    temperature, partners = np.array([10.0, 200.0]), check_partners(["H2"])
    tables = colliders(co, "CO", partners)
    gas = {"temperature": temperature, "density": np.ones(2)}
    densities, ratio = partners.densities(gas), partners.ratio(gas)
    rates = CollisionRates(co, [t.table for t in tables], co.energies).matrices(
        temperature, np.stack([t.amount(densities, ratio) for t in tables])
    )[:, 0, 1]
    ortho = np.minimum(3, 9 * np.exp(-170.6 / np.array([10.0, 200.0])))
    para_rate, ortho_rate = (
        np.array([3.302e-11, 3.529e-11]),
        np.array([3.841e-11, 3.686e-11]),
    )
    ortho = ortho / (1 + ortho)
    assert_allclose(rates, para_rate * (1 - ortho) + ortho_rate * ortho, rtol=1e-3)


def test_lamda_file_by_path():
    model = RadexModel(["HCOp(4-3)"], molecules={"HCOp": DATA / "hco+.dat"})
    theta = [[50.0, 1e5, 1e14, 10.0, 1.0]]
    assert model.parameter_names[2] == "column_density_HCOp"
    assert_array_equal(model.predict(theta), RadexModel(["HCO+(4-3)"]).predict(theta))


@pytest.mark.parametrize("cut", [0, 5, 20, 60, 200])
def test_truncated_lamda_file_says_where(tmp_path, cut):
    lines = (DATA / "hco+.dat").read_text().splitlines()
    path = tmp_path / "cut.dat"
    path.write_text("\n".join(lines[:cut]))
    with pytest.raises(ValueError, match=r"cut\.dat, line \d+: expected"):
        read_lamda(path)


def test_unknown_molecules():
    with pytest.raises(ValueError, match="Did you mean 'HCO"):
        load_molecule("HCO")
    with pytest.raises(TypeError, match="mapping"):
        RadexModel(["CO(3-2)"], molecules=[1]).predict([[1.0] * 5])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e16, 0.0])
def test_solve_checks_its_gas(bad):
    model = RadexModel(["CO(3-2)"])
    for position, name in enumerate(["temperature", "density", "column_density"]):
        gas = [50.0, 1e5, 1e16]
        gas[position] = bad
        with pytest.raises(ValueError, match=f"`{name}` must be positive and finite"):
            model.solve("CO", *gas)


def test_astropy_table():
    table = pytest.importorskip("astropy.table")
    model = RadexModel(["CO(3-2)"])
    theta = np.array([[50.0, 1e5, 1e17, 10.0, 1.0]])
    assert_array_equal(
        model.predict(table.Table(theta, names=model.parameter_names)),
        model.predict(theta),
    )
    units = dict(
        zip(model.parameter_names, ["K", "m-3", "cm-2", "km/s", ""], strict=True)
    )
    scaled = theta * [1, 1e6, 1, 1, 1]
    quantities = table.QTable(scaled, names=model.parameter_names, units=units)
    assert_allclose(model.predict(quantities), model.predict(theta))
    columns = table.Table(scaled, names=model.parameter_names, units=units)
    backwards = columns[model.parameter_names[::-1]]
    assert_allclose(model.predict(backwards), model.predict(theta))
    columns["density"].unit = "K"
    with pytest.raises(TypeError, match="`density` carries the unit K, which is not"):
        model.predict(columns)
    masked = table.Table(theta, names=model.parameter_names, masked=True)
    masked["density"].mask[0] = True
    with pytest.raises(ValueError, match="missing values, and `density` has 1"):
        model.predict(masked)
    with pytest.raises(ValueError, match="missing values, and `theta` has 1"):
        model.predict(np.ma.array(theta, mask=theta == 50))


def test_checked_download(tmp_path):
    import hashlib

    content = Path(str(DATA / "hco+.dat")).read_bytes()
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "hco+.dat").write_bytes(content)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(folder))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hco+.dat"
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        molecule = fetch_lamda(url, digest, name="HCO+", path=tmp_path / "cache")
        assert molecule.line_names == load_molecule("HCO+").line_names
        with pytest.raises(ValueError, match="hash"):
            fetch_lamda(url, "sha256:" + "0" * 64, path=tmp_path / "other")
        server.shutdown()
