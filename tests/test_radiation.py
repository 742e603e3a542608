"""Escape, radiation fields, dust, equilibrium and blends of RadexModel."""

import numpy as np
import pytest
from astropy import units
from numpy.testing import assert_allclose

from skastro.molecular import (
    BlackBody,
    Dust,
    LineRatioModel,
    ModifiedBlackBody,
    MultiPhaseModel,
    RadexModel,
    TabulatedField,
    find_lines,
    load_molecule,
    read_lamda,
)
from skastro.molecular._escape_probability import ESCAPE_PROBABILITIES

K_PER_GHZ = 0.04799243073366221  # h / k_B
GAS = ([20.0, 60.0, 120.0], [1e3, 1e5, 1e6], [1e14, 1e15, 1e13])


def planck_intensity(frequency, temperature):
    """B_nu at a frequency in GHz [W m^-2 Hz^-1 sr^-1]."""
    h, c, k = 6.62607015e-34, 299792458.0, 1.380649e-23
    nu = frequency * 1e9
    return 2 * h * nu**3 / c**2 / np.expm1(h * nu / (k * temperature))


def photons(frequency, temperature):
    return 1 / np.expm1(K_PER_GHZ * frequency / temperature)


def solve(species="HCO+", gas=GAS, **settings):
    return RadexModel([f"{species}(1-0)"], **settings).solve(species, *gas)


def assert_same(one, other, rtol=1e-9):
    assert_allclose(one.populations, other.populations, rtol=rtol, atol=1e-30)
    assert_allclose(
        one.radiation_temperature, other.radiation_temperature, rtol=rtol, atol=1e-12
    )


# -- the escape probability of the Fortran program


def fortran(tau):
    """Function escprob, method 2, of matrix.f."""
    radius = tau / 2
    if abs(radius) < 0.01:
        return 1.0
    if abs(radius) < 7:
        return 2 * (1 - np.exp(-2.34 * radius)) / (4.68 * radius)
    return 2 / (radius * 4 * np.sqrt(np.log(radius / np.sqrt(np.pi))))


def test_expanding_sphere_is_that_of_the_program():
    tau = np.concatenate(
        [-np.logspace(-6, 0, 50), [0.0], np.logspace(-6, 5, 200), [0.0197, 13.92]]
    )
    size = np.abs(tau)
    away = ~((size > 0.0198) & (size < 0.0202)) & ~((size > 13.93) & (size < 14.07))
    beta, _ = ESCAPE_PROBABILITIES["lvg radex"](tau[away])
    assert_allclose(beta, [fortran(t) for t in tau[away]], rtol=1e-12)


@pytest.mark.parametrize("step", [0.02, 14.0, -0.02])
def test_expanding_sphere_is_continuous_at_the_steps(step):
    tau = np.linspace(0.98 * step, 1.02 * step, 400_001)
    beta, slope = ESCAPE_PROBABILITIES["lvg radex"](tau)
    assert np.abs(np.diff(beta)).max() < 1e-5
    # but for the four points at either end of the join
    numerical = np.gradient(beta, tau)
    far = np.abs(slope - numerical) > 1e-2 * np.abs(numerical) + 1e-5
    assert far.sum() <= 4


def test_models_at_the_steps_settle():
    """Columns so dense that many lines lie at either step."""
    column = np.logspace(12, 16.5, 1500)
    radex = RadexModel(["CO(1-0)"], geometry="lvg radex")
    solution = radex.solve("CO", 40.0, 3e3, column)
    assert solution.converged.all()
    size = np.abs(solution.tau)
    assert ((size > 0.0198) & (size < 0.0202)).any()
    # and the intensity grows with the column, over the steps too
    assert (np.diff(solution.radiation_temperature[:, 0]) > 0).all()


def test_ocs_at_moderate_depth(shared_data):
    """OCS(6-5) of a depth of 2.2: the program and the paper's Eq. 8 part by 10 %."""
    path = shared_data / "chem" / "lamda_more" / "ocs@xpol.dat"
    molecule, radiation = read_lamda(path, name="OCS"), {}
    for geometry in ("lvg", "lvg radex"):
        radex = RadexModel(["OCS(6-5)"], geometry=geometry, molecules={"OCS": molecule})
        solution = radex.solve("OCS", 50.0, 1e3, np.logspace(12, 18, 400))
        assert solution.converged.all()
        radiation[geometry] = np.interp(
            2.2, solution.tau[:, 5], solution.radiation_temperature[:, 5]
        )
    assert_allclose(radiation["lvg"], 15.22, rtol=1e-3)
    assert_allclose(radiation["lvg radex"], 16.80, rtol=1e-3)


# -- radiation fields


def test_fields_are_added_to_the_background():
    alone = solve(background_temperature=20.0)
    assert_same(solve(background_temperature=None, radiation=[BlackBody(20)]), alone)
    halves = [BlackBody(20, 0.5), BlackBody(20, 0.5, name="other")]
    assert_same(solve(background_temperature=None, radiation=halves), alone)
    both = solve(radiation=[BlackBody(30, 0.1)])
    molecule = load_molecule("HCO+")
    gap = molecule.energies[molecule.upper] - molecule.energies[molecule.lower]
    frequency = gap * 29.9792458
    total = photons(frequency, 2.73) + 0.1 * photons(frequency, 30)
    table = TabulatedField(
        frequency,
        total * planck_intensity(frequency, 9.0) / photons(frequency, 9.0),
    )
    assert_same(solve(background_temperature=None, radiation=[table]), both, 1e-7)


def test_modified_black_body_is_one_where_it_is_thick_and_diluted_where_thin():
    thick = [ModifiedBlackBody(25, 1e3, 100.0, beta=0)]
    assert_same(solve(radiation=thick), solve(radiation=[BlackBody(25)]))
    thin = [ModifiedBlackBody(25, 1e-7, 100.0, beta=0)]
    assert_same(solve(radiation=thin), solve(radiation=[BlackBody(25, 1e-7)]), 1e-6)


def test_optical_depth_of_dust_is_a_power_law():
    field = ModifiedBlackBody(25, 0.3, 200.0, beta=1.5)
    frequency = np.array([100.0, 200.0, 800.0])
    depth = 0.3 * np.array([0.5, 1.0, 4.0]) ** 1.5
    expected = -np.expm1(-depth) * photons(frequency, 25)
    assert_allclose(field._occupation(frequency, {}), expected)


def test_a_field_that_is_not_behind_excites_alone():
    excites = solve(radiation=[BlackBody(30, 0.3, behind=False)])
    behind = solve(radiation=[BlackBody(30, 0.3)])
    assert_allclose(excites.populations, behind.populations, rtol=1e-12)
    # what is behind is absorbed: by its photons at the line, times 1 - exp(-tau)
    molecule = load_molecule("HCO+")
    gap = (molecule.energies[molecule.upper] - molecule.energies[molecule.lower])[:5]
    frequency = gap * 29.9792458
    absorbed = K_PER_GHZ * frequency * 0.3 * photons(frequency, 30)
    absorbed = absorbed * -np.expm1(-behind.tau[:, :5])
    assert_allclose(
        excites.radiation_temperature[:, :5] - behind.radiation_temperature[:, :5],
        absorbed,
        rtol=1e-4,
    )


def test_lines_against_a_bright_field_are_in_absorption():
    radex = RadexModel(["HCO+(1-0)"], radiation=[BlackBody(100.0)])
    intensity = radex.predict([[20.0, 1e3, 1e14, 10.0, 1.0]])
    assert intensity[0, 0] < 0
    assert not radex.nonnegative_output
    assert RadexModel(["HCO+(1-0)"]).nonnegative_output
    assert not RadexModel(["HCO+(1-0)"], dust=Dust(30, 0.1, 100)).nonnegative_output
    own = RadexModel(["HCO+(1-0)"], molecules={"HCO+": load_molecule("HCO+")})
    assert not own.nonnegative_output


def test_values_that_are_free_are_parameters():
    radex = RadexModel(
        ["HCO+(1-0)"],
        ortho_para_ratio="free",
        radiation=[
            BlackBody("free", "free"),
            ModifiedBlackBody("free", "free", 300.0, beta="free", name="torus"),
        ],
        dust=Dust("free", "free", 300.0),
    )
    assert radex.parameter_names == [
        "temperature",
        "density",
        "ortho_para_ratio",
        "radiation_temperature",
        "radiation_dilution",
        "torus_temperature",
        "torus_optical_depth",
        "torus_beta",
        "dust_temperature",
        "dust_optical_depth",
        "column_density_HCO+",
        "line_width",
        "filling_factor",
    ]
    assert radex.parameter_units[3:10] == ["K", "", "K", "", "", "K", ""]
    theta = [
        [40.0, 1e5, 1.0, 15.0, 0.2, 30.0, 0.0, 1.7, 50.0, 0.1, 1e14, 5.0, 1.0],
        [60.0, 1e4, 3.0, 25.0, 0.0, 50.0, 0.5, 1.2, 20.0, 0.0, 1e15, 8.0, 0.5],
    ]
    together = radex.predict(theta)
    for row, intensity in zip(theta, together, strict=True):
        fixed = RadexModel(
            ["HCO+(1-0)"],
            radiation=[
                BlackBody(row[3], row[4]),
                ModifiedBlackBody(row[5], row[6], 300.0, beta=row[7], name="torus"),
            ],
            dust=Dust(row[8], row[9], 300.0),
        )
        alone = fixed.predict([[*row[:2], *row[10:]]])[0]
        assert_allclose(intensity, alone, rtol=1e-6)


# -- dust within


def test_no_dust_is_dust_of_no_depth():
    assert_same(solve(dust=Dust(40, 0, 100)), solve(), 1e-6)
    assert_same(solve(dust=Dust(40, 1e-12, 100)), solve(), 1e-6)


def test_gas_in_equilibrium_with_dust_and_background_is_invisible():
    solution = solve(
        gas=(20.0, 1e4, 1e15), dust=Dust(20.0, 2.0, 300), background_temperature=20.0
    )
    assert_allclose(solution.excitation_temperature[0, :8], 20.0, rtol=1e-6)
    assert_allclose(solution.radiation_temperature[0], 0.0, atol=1e-6)


def test_thick_dust_is_the_radiation_that_a_thin_gas_sees():
    """Its photons fill the source, and none of the background come in."""
    inside = solve(gas=(50.0, 1e3, 1e5), dust=Dust(35.0, 1e7, 100.0, beta=0))
    outside = solve(gas=(50.0, 1e3, 1e5), background_temperature=35.0)
    assert_allclose(inside.populations, outside.populations, rtol=1e-4)
    # the line is hidden: nothing is seen above the continuum of the dust
    assert_allclose(inside.radiation_temperature, 0, atol=1e-9)


def test_a_line_is_what_is_above_the_continuum():
    """With and without the line, by the formal solution of transfer."""
    dust, background = Dust(45.0, 0.4, 200.0, beta=1.6), 5.0
    solution = solve(dust=dust, background_temperature=background)
    molecule = load_molecule("HCO+")
    u, l = molecule.upper[:6], molecule.lower[:6]
    frequency = (molecule.energies[u] - molecule.energies[l]) * 29.9792458
    depth = 0.4 * (frequency / 200) ** 1.6
    tau = solution.tau[:, :6]
    in_line = photons(frequency, solution.excitation_temperature[:, :6])
    of_dust = photons(frequency, 45.0)
    source = (tau * in_line + depth * of_dust) / (tau + depth)
    behind = photons(frequency, background)
    on = behind * np.exp(-tau - depth) + source * -np.expm1(-tau - depth)
    off = behind * np.exp(-depth) + of_dust * -np.expm1(-depth)
    assert_allclose(
        solution.radiation_temperature[:, :6],
        K_PER_GHZ * frequency * (on - off),
        rtol=1e-5,
        atol=1e-9,
    )


@pytest.mark.comparison
def test_dust_against_pythonradex(tmp_path):
    radiative_transfer = pytest.importorskip("pythonradex.radiative_transfer")
    from importlib.resources import files

    source = radiative_transfer.Source(
        datafilepath=str(files("skastro.molecular") / "data" / "hco+.dat"),
        geometry="static sphere RADEX",
        line_profile_type="rectangular",
        width_v=1.0645e3,
        warn_negative_tau=False,
    )
    for temperature, density, column, dust_temperature, depth in [
        (30.0, 1e5, 1e13, 60.0, 0.3),
        (100.0, 1e4, 1e12, 20.0, 3.0),
        (20.0, 1e6, 1e14, 40.0, 0.05),
    ]:
        source.update_parameters(
            N=column * 1e4,
            Tkin=temperature,
            collider_densities={"H2": density * 1e6},
            ext_background=lambda nu: planck_intensity(nu / 1e9, 2.73),
            T_dust=dust_temperature,
            tau_dust=lambda nu, d=depth: d * (nu / 2e11) ** 1.8,
        )
        source.solve_radiative_transfer()
        ours = solve(
            gas=(temperature, density, column),
            dust=Dust(dust_temperature, depth, 200.0),
        )
        x = ours.populations[0]
        assert_allclose(x[:8], source.level_pop[:8], rtol=1e-3)
        # theirs is line and dust without the background behind
        frequency = source.emitting_molecule.nu0[:6] / 1e9
        total = source.emission_at_line_center("Rayleigh-Jeans")[:6]
        tau_dust = depth * (frequency / 200) ** 1.8
        continuum = photons(frequency, dust_temperature) * -np.expm1(-tau_dust)
        behind = photons(frequency, 2.73) * np.exp(-tau_dust)
        behind = behind * np.expm1(-ours.tau[0, :6])
        line = total + K_PER_GHZ * frequency * (behind - continuum)
        assert_allclose(ours.radiation_temperature[0, :6], line, rtol=5e-3, atol=1e-3)


# -- local thermodynamic equilibrium


def test_equilibrium_is_the_limit_of_dense_gas():
    gas = ([20.0, 120.0], 1e15, [1e12, 1e16])
    assert_same(solve(gas=gas, populations="lte"), solve(gas=gas), 1e-4)


def test_equilibrium_is_boltzmann_and_needs_no_rates():
    solution = solve(gas=([5.0, 900.0], 1.0, 1e12), populations="lte")
    molecule = load_molecule("HCO+")
    energies = molecule.energies * 1.438776877
    for x, temperature in zip(solution.populations, (5.0, 900.0), strict=True):
        boltzmann = molecule.statistical_weights * np.exp(-energies / temperature)
        boltzmann /= boltzmann.sum()
        counts = boltzmann > 1e-50
        assert_allclose(x[counts], boltzmann[counts], rtol=1e-6)
    no_rates = RadexModel(["CO(1-0)"], partners=("H2", "e"), populations="lte")
    assert no_rates.predict([[50.0, 1.0, 0.0, 1e16, 1.0, 1.0]]) > 0


# -- blends


@pytest.fixture
def hcn(shared_data):
    return read_lamda(shared_data / "chem" / "lamda_more" / "hcn@hfs.dat", name="HCN")


def test_a_hyperfine_line_is_the_sum_of_its_components(hcn):
    components = [i for i in range(len(hcn.upper)) if hcn.upper[i] in (1, 2, 3)]
    names = [hcn.line_names[i] for i in components]
    assert len(names) == 3
    settings = {"molecules": {"HCN": hcn}, "overlap": "ignore"}
    model = RadexModel(["HCN(1-0)", *names, "HCN(2-1)"], **settings)
    assert model.parameter_names[2] == "column_density_HCN"
    theta = [[15.0, 1e4, 1e13, 1.0, 1.0], [25.0, 1e6, 1e12, 2.0, 0.3]]
    intensity = model.predict(theta)
    assert_allclose(intensity[:, 0], intensity[:, 1:4].sum(axis=1))
    assert (intensity[:, 4] > 0).all()
    assert_allclose(
        RadexModel([names[1], "HCN(1-0)"], **settings).predict(theta),
        intensity[:, [2, 0]],
    )
    # thin, the blend is as bright as the line of a molecule without nuclear spin
    solution = model.solve("HCN", [15.0], 1e9, 1e9)
    plain = RadexModel(["HCN(1-0)"]).solve("HCN", [15.0], 1e9, 1e9)
    assert_allclose(
        solution.radiation_temperature[0, components].sum(),
        plain.radiation_temperature[0, 0],
        rtol=0.01,
    )


def test_a_sum_of_lines_by_name(shared_data):
    oh = read_lamda(shared_data / "chem" / "lamda_more" / "oh@hfs.dat", name="OH")
    names = list(oh.line_names[4:7])
    model = RadexModel(
        [*names, "+".join(names)], molecules={"OH": oh}, overlap="ignore"
    )
    intensity = model.predict([[100.0, 1e5, 3e14, 0.9, 1.0]])[0]
    assert_allclose(intensity[3], intensity[:3].sum())
    assert model.encode_lines(["+".join(names)])[0, 0] == 3
    for name, message in [
        (f"{names[0]}+CO(1-0)", r"has lines of \['CO', 'OH'\]; a sum"),
        (f"{names[0]}+{names[0]}", "names a line more than once"),
        (f"{names[0]}+OH(1-1)", "Unknown line 'OH"),
    ]:
        with pytest.raises(ValueError, match=message):
            RadexModel([name], molecules={"OH": oh}).parameter_names  # noqa: B018


def test_blends_are_known_by_any_of_their_names():
    names = ["HCN-hfs 1-0", "HCN-hfs(1_1-0_1)+HCN-hfs(1_0-0_1)"]
    model = RadexModel(names)
    assert model.output_names == ["HCN-hfs(1-0)", names[1]]
    assert model.output_names == [line.name for line in find_lines(names)]
    turned = "HCN-hfs 1_0-0_1 + HCN-hfs 1_1-0_1"
    encoded = model.encode_lines([turned, "HCN@hfs J=1-0", "HCN-hfs(1-0)"])
    assert encoded.ravel().tolist() == [1, 0, 0]
    ratios = LineRatioModel(model, [(turned, names[0])])
    assert ratios.output_names == [f"{names[1]}/HCN-hfs(1-0)"]
    with pytest.raises(ValueError, match=r"no line 'HCN-hfs\(1_1-0_1\)'"):
        model.encode_lines(["HCN-hfs(1_1-0_1)"])
    with pytest.raises(ValueError, match="more than once"):
        RadexModel([names[1], turned]).output_names  # noqa: B018


def test_lines_far_apart_are_no_blend(shared_data):
    """CN(1-0) is two groups of lines 0.3 GHz apart, and must be named."""
    cn = read_lamda(shared_data / "chem" / "lamda_more" / "cn.dat", name="CN")
    with pytest.raises(ValueError, match="line"):
        RadexModel(["CN(1-0)"], molecules={"CN": cn}).parameter_names  # noqa: B018
    assert find_lines(["CO(1-0)"])[0].index == 0


# -- errors


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: BlackBody(-3), ValueError, "`temperature` of BlackBody must be pos"),
        (lambda: BlackBody("hot"), ValueError, 'must be a number or "free", got'),
        (lambda: BlackBody(3, -1), ValueError, "`dilution` .* at least 0, got -1"),
        (lambda: BlackBody(3, 2), ValueError, "at most 1, .* higher temperature"),
        (
            lambda: TabulatedField([1, 2], [1, 1], 2.0),
            ValueError,
            "`dilution` of TabulatedField must be at most 1, .* higher intensities",
        ),
        (lambda: BlackBody(3, name=""), ValueError, "`name` of BlackBody"),
        (lambda: Dust(10, 0.1, 0.0), ValueError, "`frequency` of Dust must be pos"),
        (lambda: TabulatedField([1, 2], [1]), ValueError, "of one length"),
        (lambda: TabulatedField([2, 1], [1, 1]), ValueError, "that increase"),
        (lambda: TabulatedField([1, 2], [1, 0]), ValueError, "`intensity` of"),
    ],
)
def test_bad_sources(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"radiation": BlackBody(30)}, TypeError, "must be a sequence of radiation"),
        ({"radiation": [30]}, TypeError, r"must hold radiation fields \(BlackBody"),
        ({"dust": BlackBody(30)}, TypeError, "must be a Dust or None"),
        (
            {"radiation": [BlackBody("free"), BlackBody("free")]},
            ValueError,
            "two sources|Two sources of radiation have a parameter 'radiation_temp",
        ),
        ({"dust": Dust(30, 0.1, 100), "geometry": "lvg"}, ValueError, "needs the geom"),
        (
            {"radiation": [TabulatedField([50, 200], [1e-18, 1e-18])]},
            ValueError,
            "covers 50 to 200 GHz, but the lines of the species",
        ),
        ({"populations": "nlte"}, ValueError, "'populations' parameter"),
        ({"geometry": "radex"}, ValueError, "'geometry' parameter"),
    ],
)
def test_bad_settings(settings, error, message):
    with pytest.raises(error, match=message):
        RadexModel(["CO(1-0)"], **settings).predict([[50.0, 1e4, 1e16, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("name", "highest", "message"),
    [
        (
            "star_dilution",
            1.0,
            r"star_dilution`? must be in \[0, 1\], got 2.* part of the sky",
        ),
        (
            "electron_fraction",
            2.4,
            r"electron_fraction`? must be in \[0, 2.4\], got 50.*electrons=.density",
        ),
    ],
)
def test_free_values_are_physical(name, highest, message):
    """In theta as in the settings, of one phase, of several, and in `solve`."""
    radex = RadexModel(
        ["HCN(1-0)"],
        partners=("H2", "e"),
        electrons="fraction",
        radiation=[BlackBody(30, "free", name="star")],
    )
    gas = {"temperature": 50.0, "density": 1e4, "electron_fraction": 1e-4}
    gas |= {"star_dilution": 0.1, "column_density_HCN": 1e12}
    gas |= {"line_width": 2.0, "filling_factor": 1.0}
    assert list(gas) == radex.parameter_names
    assert np.isfinite(radex.predict([list({**gas, name: highest}.values())])).all()
    wrong = {**gas, name: 2.0 if highest == 1 else 50.0}
    with pytest.raises(ValueError, match=message):
        radex.predict([list(wrong.values())])
    two = MultiPhaseModel(radex, 2, shared=())
    with pytest.raises(ValueError, match=f"{name}_2 must be in"):
        two.predict([[*gas.values(), *wrong.values()]])
    given = {k: v for k, v in wrong.items() if k in radex.parameter_names[:4]}
    with pytest.raises(ValueError, match=message):
        radex.solve("HCN", column_density=1e12, **given)


def test_quantities_in_sources():
    from astropy import units as u

    with pytest.raises(TypeError, match="`temperature` carries the unit K"):
        BlackBody(30 * u.K)


@pytest.mark.parametrize(
    "frequency", [345 * units.GHz, 870 * units.um, "345", "free", None, True, 0.0]
)
def test_a_reference_frequency_is_a_number(frequency):
    for make in (Dust, ModifiedBlackBody):
        with pytest.raises(ValueError, match=f"`frequency` of {make.__name__} must be"):
            make(40.0, 0.1, frequency)
