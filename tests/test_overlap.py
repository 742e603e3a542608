"""Lines of one species that lie on top of each other."""

import warnings
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import ExtraTreesRegressor

from skastro.molecular import (
    BlackBody,
    Dust,
    OverlapWarning,
    RadexEmulator,
    RadexModel,
    line_catalogue,
    load_molecule,
)
from skastro.molecular._emission import blend_temperature
from skastro.molecular._molecule import Collisions, Molecule
from skastro.molecular._overlapping_lines import OverlappingLines, WideLines

K_PER_GHZ = 0.04799243073366221  # h / k_B
C_KM_S = 299792.458
HYPERFINE = "HCN-hfs"


def photons(frequency, temperature):
    return 1 / np.expm1(K_PER_GHZ * frequency / temperature)


def mean_over_velocity(molecule, lines, width, function):
    """Return an integral over the profiles of lines, per width, on a fine grid.

    ``function`` takes which lines are there at each velocity.
    """
    frequency = molecule.frequencies[lines]
    velocity = C_KM_S * np.log(frequency / frequency.mean())
    ends = velocity.min() - width, velocity.max() + width
    grid, step = np.linspace(*ends, 40_001, retstep=True)
    there = np.abs(grid[:, None] - velocity) < width / 2
    return function(there.astype(float)).sum() * step / width


def components(molecule, upper, lower):
    """Return the transitions between levels of J."""
    j = [label.strip("'").split("_")[0] for label in molecule.quantum_numbers]
    ends = zip(molecule.upper, molecule.lower, strict=True)
    return np.array(
        [i for i, (u, l) in enumerate(ends) if (j[u], j[l]) == (upper, lower)]
    )


# -- what is seen of a blend


@pytest.mark.parametrize(
    "settings",
    [{}, {"dust": Dust(60.0, 0.3, 200.0), "radiation": [BlackBody(8.0, 0.5)]}],
    ids=["gas", "dust and radiation"],
)
def test_profiles_add_up_and_not_lines(settings):
    model = RadexModel([f"{HYPERFINE}(3-2)"], overlap="ignore", **settings)
    molecule = load_molecule(HYPERFINE)
    lines = components(molecule, "3", "2")
    temperature, density, column, line_width = 20.0, 1e6, 3e14, 2.0
    solution = model.solve(HYPERFINE, temperature, density, column / line_width)
    tau = solution.tau[0, lines]
    frequency = molecule.frequencies[lines].mean()
    source = photons(frequency, solution.excitation_temperature[0, lines])
    behind, depth, dust = photons(frequency, 2.73), 0.0, 0.0
    if settings:
        behind += 0.5 * photons(frequency, 8.0)
        depth, dust = 0.3 * (frequency / 200.0) ** 1.8, photons(frequency, 60.0)

    def seen(there):
        line = there @ tau
        total = np.maximum(line + depth, 1e-30)
        inside = (there @ (tau * source) + depth * dust) / total * -np.expm1(-total)
        on = inside + behind * np.exp(-total)
        return on - behind * np.exp(-depth) + dust * np.expm1(-depth)

    width = 1.0645 * line_width
    expected = mean_over_velocity(molecule, lines, width, seen)
    predicted = model.predict([[temperature, density, column, line_width, 0.5]])
    assert tau.max() > 3
    assert_allclose(
        predicted[0, 0], 0.5 * width * K_PER_GHZ * frequency * expected, rtol=2e-3
    )


@pytest.mark.parametrize("overlap", ["ignore", "include"])
def test_no_blend_outshines_a_black_body(overlap):
    model = RadexModel([f"{HYPERFINE}(3-2)"], overlap=overlap)
    molecule = load_molecule(HYPERFINE)
    lines = components(molecule, "3", "2")
    frequency = molecule.frequencies[lines].mean()
    limit = photons(frequency, 20.0) - photons(frequency, 2.73)
    for line_width in (0.2, 2.0, 30.0):
        width = 1.0645 * line_width
        covered = mean_over_velocity(molecule, lines, width, lambda t: t.any(axis=1))
        theta = [[20.0, 1e10, n * line_width, line_width, 1.0] for n in (1e15, 1e20)]
        thick, thickest = model.predict(theta)[:, 0] / width / K_PER_GHZ / frequency
        assert thick < limit * covered
        assert_allclose(thickest, limit * covered, rtol=2e-3)


def test_inverted_lines_amplify_together_by_no_more_than_one():
    tau = np.array([[-0.8, -0.7], [0.4, 2.0]])
    emission = np.array([[2.0, 3.0], [2.0, 9.0]])
    behind, energy = np.full(2, 0.3), np.full(2, 4.8)
    found = blend_temperature(
        np.arange(2),
        np.array([1.0, 5.0]),
        np.array([100.0, 100.0]),
        np.zeros((2, 2)),
        energy,
        tau,
        emission,
        behind,
    )
    capped = (5.0 + 0.3) * np.expm1(1.0)
    thick = (11.0 / 2.4 - 0.3) * -np.expm1(-2.4)
    assert_allclose(found, [4.8 * capped, 4.8 * thick])


# -- excitation


def artificial(degenerate):
    """Return levels of weights 1, 3 and 5, the upper ones in one or in two parts."""
    parts = [(0, 1.0), *((1, 1.0), (1, 2.0)), *((2, 2.0), (2, 3.0))]
    if not degenerate:
        parts = [(0, 1.0), (1, 3.0), (2, 5.0)]
    rung, weight = (np.array(values) for values in zip(*parts, strict=True))
    # what leaves a part for all of a rung below goes to its parts by their weights
    pairs = [
        (u, l) for u in range(len(parts)) for l in range(u) if rung[u] == rung[l] + 1
    ]
    upper, lower = np.array(pairs).T
    share = weight[lower] / np.array([1.0, 3.0, 5.0])[rung[lower]]
    energies = np.array([0.0, 3.0, 9.0])[rung]
    frequencies = (energies[upper] - energies[lower]) * C_KM_S / 1e4
    temperatures = np.array([10.0, 100.0])
    rates = 1e-11 * share * np.ones((2, 1))
    return Molecule(
        name="X",
        weight=20.0,
        energies=energies,
        statistical_weights=weight,
        quantum_numbers=tuple(f"{r}_{i}" for i, r in enumerate(rung)),
        upper=upper,
        lower=lower,
        einstein_a=np.array([2e-5, 2e-4])[rung[lower]] * share,
        frequencies=frequencies,
        collisions=(Collisions("H2", temperatures, upper, lower, rates, ""),),
        n_hyperfine=1,
    )


@pytest.mark.parametrize("dust", [None, Dust(40.0, 0.5, 90.0)], ids=["gas", "dust"])
def test_components_at_one_frequency_are_one_line(dust):
    gas = [(20.0, 1e3, 1e15), (60.0, 1e4, 3e13), (90.0, 1e2, 1e16)]
    theta = [[*own, 3.0, 1.0] for own in gas]
    whole = RadexModel(
        ["X(1_1-0_0)", "X(2_2-1_1)"], molecules={"X": artificial(False)}, dust=dust
    )
    parts = RadexModel(
        ["X(1-0)", "X(2-1)"],
        molecules={"X": artificial(True)},
        dust=dust,
        overlap="include",
    )
    expected = whole.predict(theta)
    assert_allclose(parts.predict(theta), expected, rtol=1e-6)
    apart = parts.set_params(overlap="ignore").predict(theta)
    assert (np.abs(apart / expected - 1).max(axis=1) > 0.01).all()


def test_hyperfine_structure_does_not_matter_in_broad_lines():
    """Collision rates of the two files differ by some percent."""
    gas = [(20.0, 1e5, 1e15), (20.0, 1e6, 1e14)]
    theta = [[t, n, 500 * c, 500.0, 1.0] for t, n, c in gas]
    plain = RadexModel(["HCN(1-0)", "HCN(3-2)"]).predict(theta)
    names = [f"{HYPERFINE}(1-0)", f"{HYPERFINE}(3-2)"]
    model = RadexModel(names, overlap="include")
    assert_allclose(model.predict(theta), plain, rtol=0.1)
    apart = model.set_params(overlap="ignore").predict(theta)
    assert (np.abs(apart / plain - 1).max(axis=1) > 0.3).all()


def test_lines_that_are_apart_stay_as_they_are():
    """Components of CN are further apart than 20 km/s."""
    theta = np.array([[30.0, 1e4, 1e15, w, 1.0] for w in (0.3, 5.0, 15.0, 300.0)])
    names = [line.name for line in line_catalogue("CN")[:5]]
    model = RadexModel(names, overlap="ignore")
    apart = model.predict(theta)
    included = model.set_params(overlap="include").predict(theta)
    assert_array_equal(included[:3], apart[:3])
    assert (included[3] != apart[3]).all()


def test_derivatives_are_those_of_the_rates():
    """Newton's method needs all of them, of lines that overlap in part."""
    model = RadexModel([f"{HYPERFINE}(1-0)"], dust=Dust(30.0, 0.5, 300.0))
    solver = model._solver(HYPERFINE, OverlappingLines)
    n_levels = solver.molecule.n_levels
    around = WideLines(
        model._around(solver, {}), solver.molecule, np.array([0.3, 5.0, 40.0]), None
    )
    column, nothing = np.array([1e13, 1e15, 1e12]), np.zeros((3, n_levels, n_levels))
    jacobian = nothing.copy()
    x = solver._thermal(np.array([20.0, 30.0, 10.0]))
    x = x * np.exp(0.3 * np.sin(np.arange(x.size)).reshape(x.shape))

    def flow(x):
        down, up, *_ = solver._line_rates(x, column, around)
        return solver._imbalance(x, nothing, nothing[0, :3], down, up)[0]

    _, _, *derivatives = solver._line_rates(x, column, around)
    solver._fill_jacobian(jacobian, nothing[0, :3], *derivatives)
    for level in range(0, n_levels, 3):
        step = np.zeros_like(x)
        step[:, level] = 1e-5 * x[:, level]
        slope = (flow(x + step) - flow(x - step)) / (2 * step[:, [level]])
        scale = np.abs(slope).max(axis=1, keepdims=True)
        assert_allclose(jacobian[:, :, level] / scale, slope / scale, atol=1e-6)


def test_thick_and_thin_gas_settles():
    rng = np.random.default_rng(0)
    column, width = 10 ** rng.uniform(12, 17, 200), 10 ** rng.uniform(-1, 2, 200)
    column[0], width[0] = 2e16, 0.17  # thousands thick, and far from equilibrium
    gas = rng.uniform(10, 30, 200), 10 ** rng.uniform(2, 7, 200), column / width
    model = RadexModel([f"{HYPERFINE}(1-0)"], overlap="include")
    solution = model.solve(HYPERFINE, *gas, line_width=width)
    assert solution.converged.all()
    assert np.median(solution.n_iter) < 12
    with pytest.raises(ValueError, match=r"The gas lacks \['line_width'\]"):
        model.solve(HYPERFINE, *gas)


@pytest.mark.comparison
def test_overlap_against_pythonradex():
    radiative_transfer = pytest.importorskip("pythonradex.radiative_transfer")
    from importlib.resources import files

    model = RadexModel([f"{HYPERFINE}(1-0)"], overlap="include")
    temperature, density, column, line_width = 20.0, 1e5, 1e14, 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = radiative_transfer.Source(
            datafilepath=str(files("skastro.molecular") / "data" / "hcn@hfs.dat"),
            geometry="static sphere RADEX",
            line_profile_type="rectangular",
            width_v=1.0645e3 * line_width,
            treat_line_overlap=True,
            warn_negative_tau=False,
        )
        source.update_parameters(
            N=column * 1e4,
            Tkin=temperature,
            collider_densities={"H2": density * 1e6},
            ext_background=lambda nu: (
                1.4745e-50 * nu**3 * photons(nu / 1e9, 2.73)  # 2 h / c^2
            ),
            T_dust=0,
            tau_dust=0,
        )
        profiles = [t.line_profile for t in source.emitting_molecule.rad_transitions]
        edges = np.unique([(p.nu_min, p.nu_max) for p in profiles])

        # theirs are of samples, and good to 1 % or worse
        def average(function, profile):
            own = edges[(edges >= profile.nu_min) & (edges <= profile.nu_max)]
            values = function((own[1:] + own[:-1]) / 2)
            return (values * np.diff(own)).sum() / np.ptp(own)

        for profile in profiles:
            profile.average_over_phi_nu = partial(average, profile=profile)
        source.solve_radiative_transfer()
    gas = HYPERFINE, temperature, density, column / line_width
    ours = model.solve(*gas, line_width=line_width).populations[0, :12]
    apart = model.set_params(overlap="ignore").solve(*gas).populations[0, :12]
    assert_allclose(ours, source.level_pop[:12], rtol=1e-3)
    assert np.abs(apart / source.level_pop[:12] - 1).max() > 0.3


def test_only_where_photons_that_escape_a_line_escape():
    theta = [[20.0, 1e4, 1e15, 3.0, 1.0]]
    for geometry in ("lvg", "lvg radex", "slab"):
        model = RadexModel(["HCN(1-0)"], overlap="include", geometry=geometry)
        with pytest.raises(ValueError, match="needs the geometry 'uniform sphere'"):
            model.predict(theta)
    # there is nothing to include in equilibrium
    model.set_params(populations="lte").predict(theta)


# -- warnings


def told(model, theta):
    with pytest.warns(OverlapWarning) as caught:
        model.predict(theta)
    assert len(caught) == 1
    return str(caught[0].message)


THICK = [[20.0, 1e6, 1e16, 10.0, 1.0]]


def test_a_warning_names_the_line_that_is_asked_for():
    both = [[*THICK[0][:2], 1e16, 1e15, 10.0, 1.0]]
    message = told(RadexModel(["CO(1-0)", f"{HYPERFINE}(3-2)"]), both)
    assert message.startswith("HCN-hfs(3-2) has components that overlap")
    message = told(RadexModel([f"{HYPERFINE}(1_2-0_1)"]), THICK)
    assert message.startswith(
        "HCN-hfs(1_2-0_1) and HCN-hfs(1_1-0_1) overlap where they are thick: they are"
        " 4.84 km/s apart"
    )
    assert '"HCN-hfs(1_2-0_1)+HCN-hfs(1_1-0_1)"' in message
    alone = "OH(3/2_1+_2PI3/2-3/2_2-_2PI3/2)"
    message = told(RadexModel([alone]), THICK)
    assert message.startswith("OH has lines that overlap where they are thick, though")
    assert 'overlap="include" treats it' in message


def test_who_is_not_told():
    narrow_or_thin = [[10.0, 1e3, 1e12, 0.01, 1.0], [15.0, 1e4, 1e11, 0.5, 1.0]]
    for settings, theta in [
        ({}, narrow_or_thin),
        ({"overlap": "ignore"}, THICK),
        ({"overlap": "include"}, THICK),
        ({"populations": "lte"}, THICK),  # of which profiles are all that matters
    ]:
        RadexModel([f"{HYPERFINE}(3-2)"], **settings).predict(theta)
    with pytest.raises(ValueError, match="in 1 of 3 models, the first in row 2"):
        RadexModel([f"{HYPERFINE}(3-2)"], overlap="raise").predict(
            [*narrow_or_thin, *THICK]
        )


def test_a_loop_is_told_once():
    model = RadexModel([f"{HYPERFINE}(3-2)"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for line_width in (1.0, 3.0, 10.0):
            model.predict([[20.0, 1e6, 1e16, line_width, 1.0]] * int(line_width))
    assert [warning.category for warning in caught] == [OverlapWarning]


# -- emulators


@pytest.fixture(scope="module")
def broad_gas():
    rng = np.random.default_rng(0)
    columns = 10 ** rng.uniform(12, 15, (2, 300))
    width = 10 ** rng.uniform(-0.3, 1.5, 300)
    return np.column_stack(
        [
            rng.uniform(10, 30, 300),
            10 ** rng.uniform(4, 6, 300),
            *(columns * width),
            width,
            np.ones(300),
        ]
    )


def test_an_emulator_of_a_blend_learns_the_line_width(broad_gas):
    lines = [f"{HYPERFINE}(1-0)", "CO(1-0)"]
    intensity = RadexModel(lines, overlap="ignore").predict(broad_gas)
    emulator = RadexEmulator(lines, ExtraTreesRegressor(30, random_state=0))
    with pytest.warns(OverlapWarning, match=r"^HCN-hfs\(1-0\) has components"):
        emulator.fit(broad_gas, intensity)
    n_features = {name: box.shape[1] for name, box in emulator.domains_.items()}
    assert n_features == {HYPERFINE: 4, "CO": 3}
    # equal column densities per line width, in lines that overlap and that do not
    theta = np.array([[20.0, 1e5, 3e14 * w, 1e14 * w, w, 1.0] for w in (1.0, 25.0)])
    narrow, broad = emulator.predict(theta) / theta[:, [4]]
    assert broad[1] == narrow[1]
    assert broad[0] < 0.7 * narrow[0]
    truth = RadexModel(lines, overlap="ignore").predict(theta) / theta[:, [4]]
    assert_allclose([narrow, broad], truth, rtol=0.3)


def test_an_emulator_of_narrow_lines_knows_no_broad_ones(broad_gas):
    lines = [f"{HYPERFINE}(1-0)"]
    theta = np.delete(broad_gas, 3, axis=1)
    theta[:, 3] = np.minimum(theta[:, 3], 4.0)
    intensity = RadexModel(lines, overlap="ignore").predict(theta)
    trees = ExtraTreesRegressor(5, random_state=0)
    emulator = RadexEmulator(lines, trees, overlap="ignore").fit(theta, intensity)
    assert emulator.domains_[HYPERFINE].shape[1] == 3
    assert emulator.in_domain(theta).all()
    broad = theta[:1] * [1, 1, 10.0 / theta[0, 3], 10.0 / theta[0, 3], 1]
    assert not emulator.in_domain(broad)[0]
    with pytest.raises(ValueError, match="log10 line_width = 1 where"):
        emulator.predict(broad)


def test_an_emulator_of_lines_that_excite_each_other(broad_gas):
    theta = np.delete(broad_gas, 3, axis=1)
    intensity = RadexModel([f"{HYPERFINE}(1_2-0_1)"], overlap="ignore").predict(theta)
    for overlap, n_features in (("ignore", 3), ("include", 4)):
        emulator = RadexEmulator(
            [f"{HYPERFINE}(1_2-0_1)"],
            ExtraTreesRegressor(2, random_state=0),
            overlap=overlap,
        ).fit(theta, intensity)
        assert emulator.domains_[HYPERFINE].shape[1] == n_features
    with pytest.raises(ValueError, match="overlap where they are thick"):
        emulator.set_params(overlap="raise").fit(theta, intensity)
