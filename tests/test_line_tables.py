"""Tables of observed lines: columns, names, units, limits, and what is wrong."""

import warnings

import numpy as np
import pytest
from astropy import constants
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from numpy.testing import assert_allclose

from skastro.io import read_line_table, to_integrated_temperature
from skastro.molecular import Molecule, RadexModel, find_lines, line_catalogue
from skastro.parameter_space import ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval

KKMS = u.K * u.km / u.s
JYKMS = u.Jy * u.km / u.s
CO = {line.name: line.frequency * u.GHz for line in line_catalogue("CO")}
BEAM = 14 * u.arcsec
AREA = np.pi / (4 * np.log(2)) * BEAM**2


def atom(name, energies, weights, labels, upper, lower, frequencies):
    return Molecule(
        name=name,
        weight=12.0,
        energies=np.array(energies),
        statistical_weights=np.array(weights),
        quantum_numbers=tuple(labels),
        upper=np.array(upper),
        lower=np.array(lower),
        einstein_a=np.full(len(upper), 1e-7),
        frequencies=np.array(frequencies),
        collisions=(),
    )


ATOMS = {
    "C+": atom("C+", [0, 63.395], [2, 4], ["0.5", "1.5"], [1], [0], [1900.5369]),
    "C": atom(
        *("C", [0, 16.417, 43.413], [1, 3, 5], "012", [1, 2], [0, 1]),
        [492.160651, 809.34197],
    ),
    "O": atom(
        *("O", [0, 158.27, 226.98], [5, 3, 1], "210", [1, 2], [0, 1]),
        [4744.77749, 2060.06886],
    ),
}


def table(**columns):
    """Return a table of one row, CO(3-2) in 12 Jy km/s, but for what is said."""
    row = {"line": "CO(3-2)", "flux": 12.0, "error": 1.0, "unit": "Jy km/s"} | columns
    return Table(
        {
            name: value if np.ndim(value) else [value]
            for name, value in row.items()
            if value is not None
        }
    )


# -- the conversion


def test_jansky_is_what_astropy_has():
    for name in ("CO(1-0)", "CO(6-5)"):
        frequency = CO[name]
        expected = (1 * u.Jy).to_value(u.K, u.brightness_temperature(frequency, AREA))
        got = to_integrated_temperature(3 * JYKMS, frequency, beam=BEAM)
        assert got.unit == KKMS
        assert_allclose(got.value, 3 * expected)
        per_beam = to_integrated_temperature(3 * JYKMS / u.beam, frequency, beam=BEAM)
        assert_allclose(per_beam.value, 3 * expected)
    # by hand: c^2 / (2 k nu^2 Omega)
    law = constants.c**2 / (2 * constants.k_B * frequency**2 * AREA.to("sr") / u.sr)
    assert_allclose(got.value, (3 * u.Jy * law).to_value(u.K))


def test_jansky_is_what_radio_beam_has():
    radio_beam = pytest.importorskip("radio_beam")
    beam = radio_beam.Beam(9 * u.arcsec, 5 * u.arcsec, 20 * u.deg)
    expected = 2 * beam.jtok(CO["CO(3-2)"]).value
    for given in (beam, (9 * u.arcsec, 5 * u.arcsec), beam.sr):
        got = to_integrated_temperature(2 * JYKMS, CO["CO(3-2)"], beam=given)
        assert_allclose(got.value, expected)


def test_a_flux_is_the_integral_of_a_profile_over_frequency():
    """A Gaussian line in K, integrated over solid angle and frequency by quadrature."""
    frequency, width = CO["CO(3-2)"], 30 * u.km / u.s
    velocity = np.linspace(-200, 200, 4001) * u.km / u.s
    temperature = 2 * u.K * np.exp(-4 * np.log(2) * (velocity / width) ** 2)
    nu = frequency * (1 - velocity / constants.c)
    brightness = 2 * constants.k_B * temperature * frequency**2 / constants.c**2
    flux = (-np.trapezoid(brightness, nu) * AREA.to_value("sr")).to("W m-2")
    expected = np.trapezoid(temperature, velocity).to_value(KKMS)
    got = to_integrated_temperature(flux, frequency, beam=BEAM)
    assert_allclose(got.value, expected, rtol=1e-10)
    for unit in ("erg s-1 cm-2", "1e-18 W m-2", "Jy Hz", "Jy GHz"):
        got = to_integrated_temperature(flux.to(unit), frequency, beam=BEAM)
        assert_allclose(got.value, expected, rtol=1e-10)
    # surface brightness needs no beam, and an aperture is as good as one
    radiance = (flux / AREA).to("erg s-1 cm-2 sr-1")
    assert_allclose(to_integrated_temperature(radiance, frequency).value, expected)
    got = to_integrated_temperature(flux, frequency, solid_angle=AREA)
    assert_allclose(got.value, expected, rtol=1e-10)
    # over frequency, in K
    over = -np.trapezoid(temperature, nu).to("K MHz")
    assert_allclose(to_integrated_temperature(over, frequency).value, expected)


def test_what_a_flux_is_spread_over():
    frequency, flux = CO["CO(2-1)"], 50 * JYKMS
    mean = to_integrated_temperature(flux, frequency, beam=BEAM)
    # an aperture of twice the area halves the mean; what is per beam has its own
    half = to_integrated_temperature(flux, frequency, beam=BEAM, solid_angle=2 * AREA)
    assert_allclose(half / mean, 0.5)
    same = to_integrated_temperature(
        flux / u.beam, frequency, beam=BEAM, solid_angle=2 * AREA
    )
    assert_allclose(same / mean, 1.0)
    # a point-like source: the flux over its own solid angle
    small = 0.01 * u.arcsec
    inside = to_integrated_temperature(flux, frequency, beam=BEAM, source_size=small)
    alone = to_integrated_temperature(flux, frequency, beam=small)
    assert_allclose(inside / alone, 1.0, rtol=1e-5)
    # one that fills the beam
    wide = to_integrated_temperature(
        flux, frequency, beam=BEAM, source_size=np.inf * u.arcsec
    )
    assert_allclose(wide / mean, 1.0)
    # a Gaussian as wide as the beam, seen through it: half of its peak
    twice = to_integrated_temperature(3 * KKMS, frequency, beam=BEAM, source_size=BEAM)
    assert_allclose(twice.value, 6.0)


def test_antenna_temperatures_and_redshifts():
    got = to_integrated_temperature(3 * KKMS, CO["CO(1-0)"], efficiency=0.6)
    assert_allclose(got.value, 5.0)
    # L' = 3.25e7 S dv nu_obs^-2 D_L^2 (1 + z)^-3 (Solomon & Vanden Bout 2005) is this
    # intensity times the area of the beam at the source, D_A = D_L / (1 + z)^2
    z, distance = 2.3, 18500 * u.Mpc
    observed = CO["CO(3-2)"].to_value("GHz") / (1 + z)
    expected = 3.25e7 * 1.5 * observed**-2 * distance.value**2 * (1 + z) ** -3
    got = to_integrated_temperature(1.5 * JYKMS, CO["CO(3-2)"], beam=BEAM, redshift=z)
    area = (AREA.to_value("rad2") * (distance / (1 + z) ** 2) ** 2).to("pc2")
    assert_allclose((got * area).value, expected, rtol=2e-3)
    # the same as a flux, of which the frequency is as observed too
    flux = (1.5 * JYKMS / constants.c * observed * u.GHz).to("W m-2")
    same = to_integrated_temperature(flux, CO["CO(3-2)"], beam=BEAM, redshift=z)
    assert_allclose(same.value, got.value)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"intensity": 3.0}, TypeError, "`intensity` must be a linear Quantity"),
        ({"intensity": u.Dex(1, u.dex(JYKMS))}, TypeError, "must be a linear Quantity"),
        ({"intensity": 3 * u.Jy}, ValueError, "not integrated over the line"),
        ({"intensity": 3 * u.m}, ValueError, "is in m, which is no intensity"),
        ({}, ValueError, "a flux, which needs.*`beam`.*or `solid_angle`"),
        ({"intensity": 3 * JYKMS / u.beam}, ValueError, "per beam|needs `beam`"),
        ({"beam": 3}, TypeError, "`beam` must be a Quantity"),
        ({"beam": 3 * u.K}, TypeError, "`beam` carries the unit K"),
        ({"beam": -3 * u.arcsec}, ValueError, "`beam` must be positive"),
        ({"solid_angle": 3 * u.arcsec}, TypeError, "`solid_angle` carries.*arcsec"),
        ({"beam": BEAM, "efficiency": 0.5}, ValueError, "`efficiency` turns T_A"),
        (
            {"intensity": KKMS, "efficiency": 1.5},
            ValueError,
            r"lie in \(0, 1\], got 1.5",
        ),
        ({"intensity": KKMS, "source_size": BEAM}, ValueError, "needs `beam`"),
        ({"solid_angle": AREA, "source_size": BEAM}, ValueError, "were both given"),
        ({"frequency": 345.8}, TypeError, "`frequency` must be a Quantity"),
        ({"frequency": 3 * u.kg}, TypeError, "`frequency` carries the unit kg"),
        ({"redshift": -2.0}, ValueError, "`redshift` must be above -1"),
    ],
)
def test_conversions_that_cannot_be_made(params, error, message):
    params = {"intensity": 3 * JYKMS, "frequency": CO["CO(3-2)"]} | params
    if params["intensity"] is KKMS:
        params["intensity"] = 3 * KKMS
    with pytest.raises(error, match=message):
        to_integrated_temperature(params.pop("intensity"), **params)


# -- a table


def pdr():
    """Return what a photodissociation region emits, and the same as one may find it."""
    names = [
        "C+(1.5-0.5)",
        "C(1-0)",
        "C(2-1)",
        *(f"CO({j}-{j - 1})" for j in range(1, 7)),
    ]
    truth = np.array([310.0, 21.0, 14.5, 95.0, 120.0, 110.0, 80.0, 48.0, 22.0])
    error = 0.1 * truth
    given = ["[CII] 158um", "[CI] 1-0", "[C I] 3P2-3P1"]
    given += ["CO(1-0)", "12CO 2-1", "CO J=3-2", "CO (4–3)", "CO 5->4", "co(6-5)"]
    units = ["W m-2", "W m-2", "erg/s/cm^2", "Jy km/s", "Jy km/s", "Jy km/s"]
    units += ["Jy km/s", "10-18W/m2", "Jy km/s"]
    lines = {line.name: line for line in line_catalogue(molecules=ATOMS)}
    frequency = [lines[name].frequency for name in names]
    sr = AREA.to("sr").value
    rows = []
    for t, e, nu, unit in zip(truth, error, frequency, units, strict=True):
        # 2 k nu^2 / c^2 in Jy, and nu / c for fluxes
        jy = (2 * constants.k_B * u.K * (nu * u.GHz / constants.c) ** 2).to("Jy").value
        own = JYKMS
        scale = jy * sr
        if "W" in unit or "erg" in unit:
            scale *= (1 * JYKMS * nu * u.GHz / constants.c).to_value("W m-2")
            own = {"W m-2": u.Unit("W m-2"), "10-18W/m2": u.Unit("1e-18 W m-2")}.get(
                unit, u.Unit("erg s-1 cm-2")
            )
            scale *= u.Unit("W m-2").to(own)
        rows.append((t * scale, e * scale))
    flux, e_flux = np.array(rows).T
    return (
        names,
        truth,
        error,
        frequency,
        Table(
            {
                "Line": given,
                "Flux": [f"{f:.8g}" for f in flux[:-1]] + [f"<{flux[-1]:.8g}"],
                "e_Flux": MaskedColumn(e_flux, mask=[False] * 8 + [True]),
                "Unit": units,
                "theta_beam [arcsec]": np.full(9, BEAM.value),
                "Ref": list("aabbccddd"),
            }
        ),
    )


def test_a_table_of_mixed_units_is_one_call_from_a_retrieval():
    names, truth, error, frequency, given = pdr()
    lines = read_line_table(given, molecules=ATOMS)
    assert lines.lines == names and len(lines) == 9
    assert_allclose(lines.intensity, truth, rtol=1e-7)
    assert_allclose(lines.sigma[:-1], error[:-1])
    assert np.isnan(lines.sigma[-1])
    assert lines.upper_limit.tolist() == [False] * 8 + [True]
    assert_allclose(lines.frequency, frequency)
    assert lines.ignored == ["Ref"] and "columns not read: Ref" in repr(lines)

    # a linear model in place of the physics: all lines of one brightness
    class Model:
        output_unit = "K km / s"
        parameter_names = ["scale"]
        output_names = names

        def predict(self, theta):
            return theta * truth

    prior = ParameterSpace({"scale": Uniform(0, 2)})
    retrieval = BayesianRetrieval(
        Model(), prior, sampler="region", n_live_points=50, random_state=0
    )
    retrieval.fit(**lines.fit_arguments())
    # eight lines of 10 %, and the limit at the truth, exact, from above
    samples = retrieval.posterior_.samples
    assert samples.max() <= 1.0 and samples.mean() > 1 - 4 * 0.1 / np.sqrt(8)


def test_what_a_model_of_radiative_transfer_predicts_is_read_back():
    model = RadexModel(["CO(1-0)", "CO(3-2)", "HCN(4-3)"])
    truth = model.predict([[50.0, 1e5, 1e18, 1e15, 30.0, 0.1]])[0]
    given = Table({"species": ["CO", "CO", "HCN"], "J_up": [1, 3, 4]})
    given["I"] = truth * KKMS
    given["sigma"] = [10.0] * 3
    given["sigma"].unit = "%"
    lines = read_line_table(given)
    assert lines.lines == model.output_names
    assert_allclose(lines.intensity, truth)
    assert_allclose(lines.sigma, 0.1 * truth)


COLUMNS = [
    {"Transition": ["CO(3-2)"], "Intensity": [12.0], "Intensity_err": [1.0]},
    {"LINE": ["CO(3-2)"], "W": [12.0], "sigma_W": [1.0]},
    {"molecule": ["CO"], "transition": ["J=3-2"], "I": [12.0], "dI": [1.0]},
    {"freq": [345.796] * u.GHz, "flux": [12.0], "uncertainty": [1.0]},
    {"nu_GHz": [345.8], "flux": [12.0], "unc": [1.0]},
    {"Rest Freq (MHz)": [345796.0], "Int. flux": [12.0], "rms": [1.0]},
    {"wavelength [um]": [866.96], "Line flux": [12.0], "error": [1.0]},
    {"line": ["CO(3-2)"], "flux": ["12.0 ± 1.0"]},
    {"line": ["CO(3-2)"], "flux": ["1.2D1"], "e_flux": ["1.0d0"]},
    {"species": ["CO"], "transition": ["3-2"], "line": ["CO J=3-2"], "S_dv": [12.0],
     "e_S_dv": [1.0]},
]  # fmt: skip


@pytest.mark.parametrize("columns", COLUMNS)
def test_columns_as_people_name_them(columns):
    if columns.get("e_flux") == ["1.0d0"]:
        columns["e_flux"] = [1.0]
    lines = read_line_table(Table(columns), unit="K km/s")
    assert lines.lines == ["CO(3-2)"]
    assert_allclose([lines.intensity[0], lines.sigma[0]], [12.0, 1.0])


@pytest.mark.parametrize(
    "limit",
    [
        {"l_flux": "<"},
        {"Upper Limit": True},
        {"UL": 1},
        {"limit": "yes"},
        {"flux": "< 12.0"},
        {"flux": "<=12.0", "limit": "False"},
        {"flux_limit": "upper limit"},
    ],
)
def test_limits(limit):
    for error, sigma in ((1.0, 1.0), (np.nan, np.nan)):
        lines = read_line_table(table(unit="K km/s", error=error, **limit))
        assert lines.upper_limit.tolist() == [True]
        assert_allclose(lines.intensity, 12.0)
        assert_allclose(lines.sigma, sigma)


def test_detections_are_no_limits():
    given = {"line": ["CO(3-2)", "CO(2-1)"], "flux": [5.0, 2.0], "err": [0.5, 0.5]}
    for said in ([True, False], ["yes", "no"], [1, 0], ["True", "False"]):
        lines = read_line_table(given | {"Detected": said}, unit="K km/s")
        assert lines.upper_limit.tolist() == [False, True] and not lines.ignored


@pytest.mark.parametrize(
    ("limit", "unit", "expected"),
    [
        ({"upper_limit": [np.nan, 1.5]}, None, 1.5),
        ({"upper_limit": ["", "<1.5"]}, None, 1.5),
        ({"upper_limit": ["-", "< 1.0"]}, None, 1.0),
        ({"upper_limit": [0, 1.5]}, None, 1.5),
        ({"upper_limit": [np.nan, 1000.0]}, "mK km/s", 1.0),
        ({"upper_limit [K km/s]": [np.nan, 1.0]}, None, 1.0),
        ({"upper_limit_value": [np.nan, 1.0]}, None, 1.0),
    ],
)
def test_a_column_of_limits(limit, unit, expected):
    given = Table(
        {"line": ["CO(3-2)", "CO(2-1)"], "flux": [5.0, np.nan], "err": [0.5, np.nan]}
        | limit
    )
    given["flux"].unit = given["err"].unit = "K km/s"
    if unit is not None:
        given["upper_limit"].unit = unit
    lines = read_line_table(given)
    assert lines.upper_limit.tolist() == [False, True]
    assert_allclose(lines.intensity, [5.0, expected])
    assert not lines.ignored


def test_a_one_that_may_be_a_flag_or_a_limit_is_refused():
    given = {"line": ["CO(3-2)", "CO(2-1)"], "flux": [5.0, np.nan]}
    given |= {"err": [0.5, np.nan], "UL": [np.nan, 1.0]}
    with pytest.raises(ValueError, match="Row 1 .*may say that it is .*'limit_value'"):
        read_line_table(given, unit="K km/s")
    lines = read_line_table(given, unit="K km/s", columns={"limit_value": "UL"})
    assert_allclose(lines.intensity, [5.0, 1.0])
    flagged = given | {"flux": [5.0, 2.0]}
    assert_allclose(read_line_table(flagged, unit="K km/s").intensity, [5.0, 2.0])


def test_a_limit_in_its_own_unit():
    given = {"line": ["CO(3-2)"], "flux [K km/s]": [np.nan], "err": [np.nan]}
    lines = read_line_table(given | {"uplim [Jy km/s]": [9.0]}, beam=BEAM)
    expected = to_integrated_temperature(9 * JYKMS, CO["CO(3-2)"], beam=BEAM)
    assert_allclose(lines.intensity, expected.value)
    assert_allclose(lines.intensity, 9.0 * lines.factor)
    assert lines.units == ["Jy km / s"]


@pytest.mark.parametrize(
    "columns",
    [
        {"flux": [5.0], "err": ["10%"]},
        {"flux": [5.0], "err": ["10 %"]},
        {"flux": [5.0], "err_percent": [10.0]},
        {"flux": [5.0], "error (%)": [10.0]},
        {"flux": [5.0], "e_flux_pct": [10.0]},
        {"flux": ["5.0(0.5)"]},
        {"flux": ["5.0 (.5)"]},
        {"flux": ["50(5)e-1"]},
    ],
)
def test_errors_as_people_write_them(columns):
    lines = read_line_table({"line": ["CO(3-2)"]} | columns, unit="K km/s")
    assert_allclose([lines.intensity[0], lines.sigma[0]], [5.0, 0.5])
    assert not lines.ignored


def test_errors_in_a_unit_of_their_own():
    given = {"line": ["CO(3-2)", "CO(2-1)"], "flux": [90.0, 4.0], "err": [0.5, 0.25]}
    given |= {"unit": ["Jy km/s", "K km/s"]}
    lines = read_line_table(given, unit={"err": "K km/s"}, beam=BEAM)
    flux = to_integrated_temperature(90 * JYKMS, CO["CO(3-2)"], beam=BEAM).value
    assert_allclose(lines.intensity, [flux, 4.0])
    assert_allclose(lines.sigma, [0.5, 0.25])
    # and the other way round; temperatures alone are divided by the efficiency
    given |= {"unit": ["K km/s (TA*)", "Jy km/s"], "err": [9.0, 9.0]}
    lines = read_line_table(given, unit={"err": "Jy km/s"}, beam=BEAM, efficiency=0.5)
    expected = to_integrated_temperature(9 * JYKMS, CO["CO(3-2)"], beam=BEAM).value
    assert_allclose([lines.intensity[0], lines.sigma[0]], [180.0, expected])


def test_no_limits():
    for limit in (False, 0, "", "-", "det", "no", 0.0):
        assert not read_line_table(table(unit="K km/s", limit=limit)).upper_limit.any()


def test_what_was_not_observed_stays():
    given = Table(
        {"line": ["CO(3-2)", "CO(2-1)"], "flux": [12.0, np.nan], "error": [1.0, np.nan]}
    )
    lines = read_line_table(given, unit="K km/s")
    assert np.isnan(lines.intensity[1]) and not lines.upper_limit[1]
    assert "not observed" in repr(lines)


@pytest.mark.parametrize("suffix", ["ecsv", "csv", "fits", "vot", "mrt", "txt"])
def test_files(tmp_path, suffix):
    given = Table(
        {
            "line": ["CO(3-2)", "HCN(4-3)"],
            "flux": [12.0, 3.0],
            "e_flux": [1.0, 0.5],
            "l_flux": ["-", "<"],
        }
    )
    units = {"flux": "Jy km / s", "e_flux": "Jy km / s"}
    for name, unit in units.items():
        given[name].unit = unit
    path = tmp_path / f"lines.{suffix}"
    form = {"mrt": "ascii.mrt", "txt": "ascii.fixed_width", "vot": "votable"}.get(
        suffix
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given.write(path, format=form)
    # csv and plain text have no units
    unit = "Jy km/s" if suffix in ("csv", "txt") else None
    read = {"format": form} if suffix == "txt" else {}
    lines = read_line_table(path, unit=unit, beam=BEAM, **read)
    expected = to_integrated_temperature(
        [12, 3] * JYKMS, [345.796, 354.5054773] * u.GHz, beam=BEAM
    )
    assert_allclose(lines.intensity, expected.value, rtol=1e-5)
    assert lines.upper_limit.tolist() == [False, True]


def test_frames_and_tables_of_quantities():
    import pandas as pd
    import polars as pl

    bare = {"line": ["CO(3-2)", "CO(2-1)"], "flux": [3.0, 4.0], "err": [1.0, 0.1]}
    quantities = QTable(
        {**bare, "flux": [3.0, 4.0] * KKMS, "err": [1000, 100] * u.mK * u.km / u.s}
    )
    expected = read_line_table(quantities)
    assert_allclose(expected.intensity, [3, 4])
    assert_allclose(expected.sigma, [1, 0.1])
    frame = pd.DataFrame(bare).iloc[::-1].iloc[::-1].set_axis([7, 3])
    for given in (bare, frame, pl.DataFrame(bare)):
        lines = read_line_table(given, unit=KKMS)
        assert lines.lines == expected.lines
        assert_allclose(lines.intensity, expected.intensity)


def test_its_own_table_is_read_again():
    names, *_, given = pdr()
    lines = read_line_table(given, molecules=ATOMS)
    again = read_line_table(lines.to_table(), molecules=ATOMS)
    assert again.lines == lines.lines
    assert_allclose(again.intensity, lines.intensity)
    assert_allclose(again.sigma, lines.sigma)
    assert np.array_equal(again.upper_limit, lines.upper_limit)


# -- names and frequencies


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[CII]", "C+(1.5-0.5)"),
        ("[C II] 158 um", "C+(1.5-0.5)"),
        ("[C ii]", "C+(1.5-0.5)"),
        ("CII", "C+(1.5-0.5)"),
        ("[CII] 2P3/2-2P1/2", "C+(1.5-0.5)"),
        ("[CI](1-0)", "C(1-0)"),
        ("[CI] 609", "C(1-0)"),
        ("[CI] 370 micron", "C(2-1)"),
        ("[C I] ^{3}P_{2}→^{3}P_{1}", "C(2-1)"),
        ("[OI]63", "O(1-2)"),
        ("[O I] 145 µm", "O(0-1)"),
        ("HCO+ J = 4 − 3", "HCO+(4-3)"),
        ("hcn 4 to 3", "HCN(4-3)"),
        ("12C16O 3-2", "CO(3-2)"),
        ("CO_3-2", "CO(3-2)"),
        ("12C32S(2-1)", "CS(2-1)"),
        ("CO3-2", "CO(3-2)"),
        ("NH3(3,3)", "o-NH3(3_3_1-3_3_0)"),
        ("HCN-hfs 1-0", "HCN-hfs(1-0)"),
        ("CN(1_0.5-0_0.5)+CN 1_1.5-0_0.5", "CN(1_0.5-0_0.5)+CN(1_1.5-0_0.5)"),
    ],
)
def test_lines_by_name(text, name):
    lines = read_line_table(table(line=text), molecules=ATOMS, beam=BEAM)
    assert lines.lines == [name] and lines.given == [text]
    assert [line.name for line in find_lines(lines.lines, ATOMS)] == [name]


def test_lines_by_frequency():
    def by(**columns):
        return read_line_table(table(**columns), molecules=ATOMS, beam=BEAM).lines

    assert by(line=None, freq=[345.796] * u.GHz) == ["CO(3-2)"]
    assert by(line="", freq=[345795.99] * u.MHz) == ["CO(3-2)"]
    # as many digits as were written
    assert by(line=None, freq=[115.3] * u.GHz) == ["CO(1-0)"]
    assert by(line=None, wavelength=[157.741] * u.um) == ["C+(1.5-0.5)"]
    with pytest.raises(ValueError, match=r"158.0 um may be any of.*C\+\(1.5-0.5\)"):
        by(line=None, wavelength=[158] * u.um)
    # labels of another list, of a species that is known
    assert by(line="[CI] fine", freq=[492.16] * u.GHz) == ["C(1-0)"]
    got = read_line_table(
        table(line=None, nu_obs=[345.796 / 3.3] * u.GHz), beam=BEAM, redshift=2.3
    )
    assert got.lines == ["CO(3-2)"]
    with pytest.warns(UserWarning, match="Row 0.*'X 1' is no name.*taken to be CO.3-2"):
        assert by(line="X 1", freq=[345.796] * u.GHz) == ["CO(3-2)"]
    assert by(line="CO(3-2)", freq=[345.8] * u.GHz) == ["CO(3-2)"]


def test_of_two_files_of_a_species_the_plain_one_counts():
    def by(species=None, **columns):
        given = table(**columns)
        return read_line_table(given, beam=BEAM, species=species).lines

    hcn, so = [88.6316] * u.GHz, [219.949] * u.GHz
    assert by(line=None, freq=hcn) == ["HCN(1-0)"]
    assert by(line=None, freq=so) == ["SO(5_6-4_5)"]
    assert by(line=None, freq=so, species="SO-lowT") == ["SO-lowT(5_6-4_5)"]
    assert by(line="SO-lowT", freq=so) == ["SO-lowT(5_6-4_5)"]
    with pytest.raises(ValueError, match=r"any of \['HCN-hfs\(1_2-0_1\) at 88.6"):
        by(line=None, freq=hcn, species=["CO", "HCN-hfs"])
    with pytest.raises(ValueError, match="line, or all of them as 'HCl.1-0.', or give"):
        by(line=None, freq=[625.919] * u.GHz)
    with pytest.raises(ValueError, match="no line at 88.6316 GHz; the nearest is CO.1"):
        by(line=None, freq=hcn, species=["CO"])
    with pytest.raises(ValueError, match="Unknown species 'SO-low'"):
        by(line=None, freq=hcn, species="SO-low")


def test_a_frequency_tells_which_of_several_lines_is_meant():
    name, low = "CN 1-0", "OH+(1-0)"
    given = {"flux [K km/s]": [5.0, 1.0], "err": [1.0, 0.1], "line": [name, low]}
    lines = read_line_table(given | {"freq [GHz]": [113.49, 971.80]})
    assert lines.lines == ["CN(1_1.5-0_0.5)", "OH+(1_2-0_1)"]


def test_a_species_may_stand_in_the_column_of_lines():
    given = {"line": ["CO", "[CI]"], "transition": ["1-0", "3P1-3P0"]}
    given |= {"flux": [1.0, 2.0], "err": [0.1, 0.1]}
    assert read_line_table(given, unit="K km/s").lines == ["CO(1-0)", "C(1-0)"]
    given |= {"line": ["CO(1-0)", "CI 1-0"], "transition": ["1-0", "1-0"]}
    assert read_line_table(given, unit="K km/s").lines == ["CO(1-0)", "C(1-0)"]


@pytest.mark.parametrize(
    ("columns", "params", "message"),
    [
        ({"line": "CO(3-2)", "freq": [115.271] * u.GHz}, {},
         r"CO\(3-2\) at 345.796 GHz, but the row says 115.271 GHz, that of CO\(1-0\)"),
        ({"line": "AlO(5-4)"}, {}, "Row 0.*'AlO.5-4.': no molecule 'AlO'.*molecules="),
        ({"line": "CO(99-98)"}, {}, r"Row 0.*'CO\(99-98\)'. Did you mean 'CO\("),
        ({"line": "SIO(5-4)"}, {}, r"Row 0.*'SIO'.* Did you mean 'SiO\(5-4\)'\?"),
        ({"line": "13CO", "transition": "1-0"}, {}, "Row 0.*'13CO' is.*isotopologue"),
        ({"line": "CO"}, {}, "Row 0.*'CO' is a species and no line. CO has 'CO.1-0.'"),
        ({"line": "CN 1-0"}, {}, r"any of 2.*'CN\(1_0.5-0_0.5\)\+CN\(1_1.5-0_0.5\)'"),
        ({"line": "CO(1-0)+CS(1-0)"}, {}, "Row 0.*has lines of .'CO', 'CS'.; a sum"),
        ({"species": "CO", "line": "CO(1-0)+CO(1-0)"}, {}, "Row 0.* more than once"),
        ({"line": ""}, {}, "neither a name of its line nor a frequency"),
        ({"line": None, "freq": [200.0] * u.GHz}, {}, "no line at 200.0 GHz; the near"),
        ({"line": None, "freq": [345.8] * u.GHz}, {"tolerance": 0.3}, "may be any of"),
        ({"line": None, "freq": 345.8}, {}, "'freq' has no unit: call it 'freq .GHz.'"),
        ({"line": None, "freq": [3.0] * u.K}, {}, "'freq' is in K, which does not"),
        ({"line": None, "freq": [-3.0] * u.GHz}, {}, "must be positive"),
        ({"line": "CO(3-2)", "species": "CS"}, {}, r"is CO.3-2. by 'CO.3-2.', and CS"),
        ({}, {"tolerance": 2}, "`tolerance` must lie in"),
    ],
)  # fmt: skip
def test_lines_that_are_not_known(columns, params, message):
    with pytest.raises(ValueError, match=message):
        read_line_table(table(**columns), beam=BEAM, **params)


def test_lines_twice():
    rows = {"line": ["CO(3-2)"] * 2, "flux": [3.0, 4.0], "error": [1.0, 1.0]}
    with pytest.warns(UserWarning, match=r"Rows 0 and 1 .* are both CO\(3-2\)"):
        assert len(read_line_table(Table(rows), unit="K km/s")) == 2
    rows["Galaxy"] = ["NGC 1068", "NGC 253"]
    with pytest.raises(ValueError, match="2 objects by column 'Galaxy'.*'NGC 1068'"):
        read_line_table(Table(rows), unit="K km/s")


# -- units, beams, efficiencies


def test_units_of_columns_names_and_arguments():
    bare = {"line": ["CO(3-2)"], "error": [1.0]}
    for given, unit in (
        (Table({**bare, "flux": [3.0]}, units={"flux": "mK km/s"}), None),
        ({**bare, "flux [mK km/s]": [3.0]}, None),
        ({**bare, "Flux (mK km/s)": [3.0]}, None),
        ({**bare, "flux": [3.0]}, "mK km/s"),
        ({**bare, "flux": [3.0]}, {"flux": u.mK * u.km / u.s}),
        ({**bare, "flux": [3.0], "units": ["mK km/s"]}, None),
        ({**bare, "W (T_mb) [mK km/s]": [3.0]}, None),
    ):
        lines = read_line_table(given, unit=unit)
        assert_allclose([lines.intensity[0], lines.sigma[0]], [3e-3, 1e-3])
    twice = {**bare, "flux [K km/s]": [3.0], "unit": ["K km/s"]}
    with pytest.raises(ValueError, match="is in K km / s, and column 'unit' has"):
        read_line_table(twice)


def test_antenna_temperatures_need_an_efficiency():
    for columns in (
        {"flux": 3.0, "unit": "K km/s"},
        {"flux": 3.0, "unit": "K km/s (T_A*)"},
        {"flux": None, "I (TA*)": 3.0, "unit": "K km/s"},
    ):
        if "*" in str(columns):
            with pytest.raises(ValueError, match="Row 0 .* is in T_A.*pass `effic"):
                read_line_table(table(**columns))
        lines = read_line_table(table(**columns), efficiency=0.6)
        assert_allclose([lines.intensity[0], lines.sigma[0]], [5.0, 1 / 0.6])
    assert_allclose(
        read_line_table(table(flux=3.0, unit="K km/s (Tmb)")).intensity, 3.0
    )
    lines = read_line_table(table(unit="K km/s", flux=3.0, eta_mb=0.5))
    assert_allclose(lines.intensity, 6.0)
    # temperatures only are divided by it
    mixed = table(
        line=["CO(3-2)", "CO(2-1)"], flux=[3.0, 3.0], error=[1, 1],
        unit=["K km/s", "Jy km/s"],
    )  # fmt: skip
    lines = read_line_table(mixed, efficiency=0.5, beam=BEAM)
    expected = to_integrated_temperature(3 * JYKMS, CO["CO(2-1)"], beam=BEAM)
    assert_allclose(lines.intensity, [6.0, expected.value])


def test_beams_of_rows():
    two = {"line": ["CO(1-0)", "CO(3-2)"], "flux": [9.0, 9.0], "error": [1.0, 1.0]}
    two |= {"unit": ["Jy km/s", "Jy km/s/beam"]}
    expected = [
        to_integrated_temperature(9 * JYKMS, CO[name], beam=beam).value
        for name, beam in (("CO(1-0)", 21 * u.arcsec), ("CO(3-2)", 14 * u.arcsec))
    ]
    single = Table({**two, "HPBW": [21.0, 14.0] * u.arcsec})
    pair = Table(
        {**two, "bmaj": [24.5, 28] * u.arcsec, "BMIN": [0.3, 7 / 60] * u.arcmin}
    )
    area = Table({**two, "beam_area": np.array([21, 14]) ** 2 * AREA / BEAM.value**2})
    for given in (single, pair, area):
        with pytest.warns(
            UserWarning, match="Beams are 14 to 21 arcsec wide.*source_size"
        ):
            lines = read_line_table(given)
        assert_allclose(lines.intensity, expected)
        lines = read_line_table(given, source_size=np.inf * u.arcsec)
        assert_allclose(lines.intensity, expected)
    # of a small source, the flux alone counts
    tiny = read_line_table(single, source_size=0.01 * u.arcsec)
    ratio = (CO["CO(3-2)"] / CO["CO(1-0)"]) ** 2
    assert_allclose(tiny.intensity[0] / tiny.intensity[1], ratio, rtol=1e-5)
    each = read_line_table(
        Table(two), beam=[21, 14] * u.arcsec, source_size=np.inf * u.arcsec
    )
    assert_allclose(each.intensity, expected)
    with pytest.raises(ValueError, match="one for each of 2 rows, got shape .3,"):
        read_line_table(Table(two), beam=[1, 2, 3] * u.arcsec)


def test_bands():
    given = table(unit="K km/s", receiver="B7")
    assert "band" not in read_line_table(given).fit_arguments()
    lines = read_line_table(given, columns={"band": "receiver"})
    assert lines.fit_arguments()["band"].tolist() == ["B7"]
    assert lines.to_table()["band"][0] == "B7"


@pytest.mark.parametrize(
    ("columns", "params", "message"),
    [
        ({}, {}, "Row 0 .*'CO.3-2.': .*`beam`, if.*`solid_angle`"),
        ({"unit": None}, {}, "'flux' has no unit: pass unit='K km/s'"),
        ({"unit": "furlongs"}, {}, "Row 0.*'furlongs', which is no unit"),
        ({"unit": "MJY KM/S"}, {}, "may be mJy or MJy"),
        ({"unit": "dex(W/m2)"}, {}, "Row 0.*which is logarithmic: give the numbers"),
        ({"flux": [[3.0, 4.0]]}, {"beam": BEAM}, r"'flux' has shape .1, 2.; it must"),
        ({"unit": "Jy"}, {"beam": BEAM}, "Row 0.*not integrated over the line"),
        ({"unit": ""}, {}, "Row 0 .*no unit in column 'unit'"),
        ({}, {"unit": "K km/s"}, "'flux' is in K km / s, and column 'unit' has"),
        ({"flux": [3.0] * KKMS, "unit": None}, {"unit": "Jy km/s"},
         "in Jy km / s by `unit`, and in K km / s by its unit"),
        ({}, {"unit": {"flx": "K"}}, "`unit` has 'flx', which is no column"),
        ({"error": None}, {"beam": BEAM}, "has an intensity and no error.*columns="),
        ({"error": None, "sigm": 1.0}, {"beam": BEAM},
         "Did you mean columns={'error': 'sigm'}"),
        ({"error": np.nan}, {"beam": BEAM}, "Row 0 .*'CO.3-2.',.*'error' is blank"),
        ({"error": 0.0}, {"beam": BEAM}, "Row 0.*error 0, which must be positive"),
        ({"error": [1.0] * u.K}, {"beam": BEAM}, "'error', the errors, is in K, and"),
        ({"flux": ">3"}, {"beam": BEAM}, "Row 0 .* is a lower limit"),
        ({"limit": ">"}, {"beam": BEAM}, "Row 0 .* is a lower limit"),
        ({"limit": "maybe"}, {"beam": BEAM}, "'maybe' in column 'limit'"),
        ({"detected": 5.2}, {"beam": BEAM}, "5.2 in column 'detected', which must say"),
        ({"detected": True, "limit": True}, {"beam": BEAM},
         "a detection by column 'detected', and an upper limit by column 'limit'"),
        ({"limit": 3.2}, {"beam": BEAM}, "has an intensity, .*, and an upper limit"),
        ({"flux": "5.02(12)"}, {"beam": BEAM}, "'5.02.12.'.* may be 12, or 12 of"),
        ({"flux": "about 3"}, {"beam": BEAM}, "'about 3' in column 'flux'"),
        ({"flux": "3 ± 1"}, {"beam": BEAM}, "has its error twice"),
        ({"flux": "", "limit": True}, {"beam": BEAM}, "limit without a value"),
        ({"flux": "<0"}, {"beam": BEAM}, "has the intensity <0; it must be positive"),
        ({"flux": np.inf}, {"beam": BEAM}, "has the intensity inf"),
        ({"beam": [3] * u.arcsec}, {"beam": BEAM}, "`beam` was given, and.*'beam'"),
        ({"beam": 3}, {}, "'beam' has no unit: call it 'beam .arcsec.'"),
        ({"beam": [-3] * u.arcsec}, {}, "Row 0.*a beam in column 'beam' that is not"),
        ({"bmaj": [3] * u.arcsec}, {}, "one axis of the beam, 'bmaj', and not"),
        ({"bmaj": 3, "bmin": 3, "beam": 3}, {}, "has beams twice, 'beam' and 'bmaj'"),
        ({"intensity": 3.0}, {}, "2 columns that may be the flux: .'flux', 'inten"),
        ({"e_flux": 3.0}, {}, "2 columns that may be the error: .'error', 'e_flux'"),
        ({"flux": None}, {}, "no column of intensities.*columns={'flux'"),
        ({"flux": None, "flxu": 3.0}, {}, "Did you mean columns={'flux': 'flxu'}"),
        ({"line": None}, {}, "no column that says which lines"),
        ({}, {"columns": {"fluxx": "flux"}}, "'fluxx', which no column can.*'flux'"),
        ({}, {"columns": {"flux": "Flx"}}, "'Flx', which `table` has not.*'flux'"),
        ({}, {"efficiency": 0.5, "beam": BEAM}, "no row of `table` is a temperature"),
        ({"unit": "K km/s", "eta": np.nan}, {}, "Row 0 .*no efficiency in column"),
        ({"eta": 0.5, "unit": "K km/s"}, {"efficiency": 0.5}, "`efficiency` was given"),
        ({"unit": "K km/s"}, {"efficiency": 1.5}, "Row 0.*`efficiency` must lie"),
        ({}, {"redshift": -1}, "`redshift` must be above -1"),
        ({}, {"beam": BEAM, "source_size": [1, 2] * u.arcsec}, "`source_size` must be"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_named(columns, params, message):
    with pytest.raises(ValueError, match=message):
        read_line_table(table(**columns), **params)


def test_columns_that_are_said():
    given = table(unit="K km/s", intensity=4.0, e_intensity=0.5, freq=3.0)
    lines = read_line_table(
        given, columns={"flux": "intensity", "error": "e_intensity", "frequency": None}
    )
    assert_allclose([lines.intensity[0], lines.sigma[0]], [4.0, 0.5])
    assert lines.ignored == ["flux", "error", "freq"]


def test_what_is_no_table(tmp_path):
    with pytest.raises(TypeError, match="`table` must be a path"):
        read_line_table(3)
    with pytest.raises(FileNotFoundError, match="none.csv does not exist"):
        read_line_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="`table` has no rows"):
        read_line_table(table()[:0])
    with pytest.raises(TypeError, match="`species` must be a name or a sequence"):
        read_line_table(table(unit="K km/s"), species=3)
    with pytest.raises(TypeError, match="`columns` must be a mapping"):
        read_line_table(table(), columns=["flux"])
    text = tmp_path / "odd.fits"
    text.write_text("no FITS")
    with pytest.raises(ValueError, match="odd.fits cannot be read as a table"):
        read_line_table(text)


@pytest.mark.parametrize(
    ("columns", "params", "expected"),
    [
        ({"flux": [5.0]}, {"unit": "K km/s (TA*)", "efficiency": 0.5}, 10.0),
        ({"flux": [5.0]}, {"unit": {"flux": "TA* K km/s"}, "efficiency": 0.5}, 10.0),
        ({"Tmbdv [K km/s]": [5.0], "eta_mb": [0.5]}, {}, 5.0),
        ({"flux": [5.0], "unit": ["K km/s (Tmb)"], "eta_mb": [0.5]}, {}, 5.0),
        ({"flux [K km/s]": [5.0], "eta_mb": [0.5]}, {}, 10.0),
    ],
)
def test_a_temperature_has_the_scale_that_is_said_anywhere(columns, params, expected):
    given = {"line": ["CO(1-0)"], "err": [1.0]} | columns
    assert_allclose(read_line_table(given, **params).intensity, expected)
    if "unit" in params:
        with pytest.raises(ValueError, match=r"Row 0 .* is in T_A\*: pass `eff"):
            read_line_table(given, unit=params["unit"])


def test_rows_of_both_scales():
    given = {
        "line": ["CO(1-0)", "CO(3-2)"],
        "flux": [1.0, 2.0],
        "err": [0.1, 0.2],
        "unit": ["K km/s (TA*)", "K km/s (Tmb)"],
    }
    assert_allclose(read_line_table(given, efficiency=0.5).intensity, [2.0, 2.0])
    given["unit"][0] = given["unit"][1]
    with pytest.raises(ValueError, match="all say that they are T_mb"):
        read_line_table(given, efficiency=0.5)


@pytest.mark.parametrize("name", ["13CO 1-0", "CH3OH 8-7", "N2H+(1-0)", "H2O+"])
def test_a_species_without_a_file_is_not_what_is_at_its_frequency(name):
    given = {"line": [name], "freq [GHz]": [115.271], "flux [K km/s]": [5.0]}
    with pytest.raises(
        ValueError, match="Row 0.* no molecule .* is shipped or given.*molecules="
    ):
        read_line_table(given | {"err": [1.0]})


def test_lines_of_two_galaxies_are_no_table_of_one():
    given = {
        "galaxy": ["A", "B"],
        "line": ["CO 1-0", "CO 2-1"],
        "flux [K km/s]": [5.0, 3.0],
        "err": [1.0, 1.0],
    }
    with pytest.raises(ValueError, match="2 objects by column 'galaxy': choose one"):
        read_line_table(given)
