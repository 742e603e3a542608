"""Maps of lines in FITS files: grid, beam, units, and what is wrong with a file."""

import dataclasses
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.constants import c
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from skastro.datasets import make_line_maps
from skastro.decomposition import LineMapNMF
from skastro.io import read_line_maps, write_component_maps
from skastro.molecular import load_molecule

radio_beam = pytest.importorskip("radio_beam")
pytest.importorskip("reproject")

PIXEL = 0.5 / 3600
FREQUENCY = 115.2712018e9


def celestial(shape, rotation=0.0, pixel=PIXEL):
    """Return a tangential projection about (40, -0.01), turned by an angle [deg]."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 40.0, -0.01
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    c, s = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    wcs.wcs.cd = pixel * np.array([[-c, s], [s, c]])
    return wcs


def image(data, beam=(3, 2, 30), unit="K km/s", rotation=0.0, pixel=PIXEL, **keys):
    header = celestial(np.shape(data)[-2:], rotation, pixel).to_header()
    if beam is not None:
        header.update(BMAJ=beam[0] / 3600, BMIN=beam[1] / 3600, BPA=float(beam[2]))
    if unit is not None:
        header["BUNIT"] = unit
    header.update(keys)
    return fits.PrimaryHDU(np.asarray(data, dtype=float), header)


def point_source(beam, shape=(101, 101), rotation=0.0):
    """Return the image of a point source of 1 Jy, in Jy/beam."""
    wcs = celestial(shape, rotation)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    xi, eta = (
        wcs.wcs.cd @ [(columns - shape[1] // 2).ravel(), (rows - shape[0] // 2).ravel()]
    ) * 3600
    pa = np.deg2rad(beam[2])
    along = xi * np.sin(pa) + eta * np.cos(pa)
    across = xi * np.cos(pa) - eta * np.sin(pa)
    exponent = (along / beam[0]) ** 2 + (across / beam[1]) ** 2
    data = np.exp(-4 * np.log(2) * exponent).reshape(shape)
    return image(data, beam, "Jy/beam", rotation, RESTFRQ=FREQUENCY)


@pytest.mark.parametrize("rotation", [0.0, 35.0])
def test_point_sources_have_the_common_beam_and_keep_their_flux(rotation):
    common = radio_beam.Beam(6 * u.arcsec, 4 * u.arcsec, 70 * u.deg)
    data = read_line_maps(
        {
            "a": point_source((3, 2, 30), rotation=rotation),
            "b": point_source((4, 2.5, 100), rotation=-10.0),
        },
        beam=common,
        reference="a",
    )
    expected = point_source((6, 4, 70), rotation=rotation).data.ravel()
    # b is interpolated onto a's grid
    assert_allclose(data.X[:, 0], expected, atol=2e-4)
    inside = ~np.isnan(data.X[:, 1])
    assert inside.mean() > 0.7
    assert_allclose(data.X[inside, 1], expected[inside], atol=2e-2)
    assert data.unit == u.Jy / u.beam and data.beam == common


def test_the_largest_beam_gives_grid_and_beam_by_default():
    data = read_line_maps(
        {"a": point_source((3, 2, 30)), "b": point_source((5, 5, 0), (61, 71))}
    )
    assert data.map_shape == (61, 71) and data.lines == ["a", "b"]
    assert_allclose(data.beam.major.to_value("arcsec"), 5, rtol=1e-6)
    # a map that has the beam and the grid is not touched
    assert_allclose(
        data.X[:, 1], point_source((5, 5, 0), (61, 71)).data.ravel(), rtol=1e-15
    )
    assert_allclose(data.X[:, 0], data.X[:, 1], atol=2e-4)
    assert data.sigma is None and data.mask.all()


def test_units_agree_with_radio_beam():
    source = point_source((3, 2, 30), (21, 21))
    beam = radio_beam.Beam(3 * u.arcsec, 2 * u.arcsec, 30 * u.deg)
    kelvin = source.data * beam.jtok(FREQUENCY * u.Hz).value
    data = read_line_maps({"a": source}, unit="K")
    assert_allclose(data.X[:, 0], kelvin.ravel(), rtol=1e-10)
    # products of units, as CASA, AIPS and others write them
    for unit in ("Jy/beam.km/s", "JY/BEAM km/s", "Jy km / (beam s)"):
        source.header["BUNIT"] = unit
        data = read_line_maps({"a": source}, unit="K km/s")
        assert_allclose(data.X[:, 0], kelvin.ravel(), rtol=1e-10)
    back = read_line_maps({"a": image(kelvin, unit="K", RESTFRQ=FREQUENCY)}, unit="mK")
    assert_allclose(back.X[:, 0], 1e3 * kelvin.ravel())
    # the same in other intensities, and back into those for each beam
    area = beam.sr.to_value("sr")
    data = read_line_maps(
        {"a": image(kelvin, unit="K", RESTFRQ=FREQUENCY)}, unit="MJy/sr"
    )
    assert_allclose(data.X[:, 0], source.data.ravel() / area / 1e6, rtol=1e-10)
    data = read_line_maps(
        {"a": image(kelvin, unit="K", RESTFRQ=FREQUENCY)}, unit="Jy/beam", beam="keep"
    )
    assert_allclose(data.X[:, 0], source.data.ravel(), rtol=1e-10)
    for unit, power in (("erg/s/cm2/sr", -3), ("W m-2 sr-1", 0)):
        data = read_line_maps({"a": image([[2.0]], unit=unit)}, unit="W m-2 sr-1")
        assert_allclose(data.X, [[2 * 10.0**power]])


def test_gradients_survive_regridding_and_blanks_stay():
    shape = (80, 90)
    wcs = celestial(shape)
    ra, dec = wcs.pixel_to_world_values(*np.meshgrid(np.arange(90), np.arange(80)))
    plane = 5 + 1e4 * (ra - 40) + 2e4 * (dec + 0.01)
    blank = plane.copy()
    blank[10:20, 10:20] = np.nan
    other = celestial((20, 24), rotation=20.0, pixel=4 * PIXEL)
    data = read_line_maps(
        {"a": image(plane, None), "b": image(blank, None)},
        beam="keep",
        reference=(other, (20, 24)),
    )
    ra, dec = other.pixel_to_world_values(*np.meshgrid(np.arange(24), np.arange(20)))
    expected = (5 + 1e4 * (ra - 40) + 2e4 * (dec + 0.01)).ravel()
    seen = ~np.isnan(data.X[:, 0])
    # the outermost half pixel has no neighbour to interpolate with
    inside = np.abs(wcs.world_to_pixel_values(ra, dec)[0] - 44.5) < 44
    inside &= np.abs(wcs.world_to_pixel_values(ra, dec)[1] - 39.5) < 39
    inside = inside.ravel()
    assert inside.mean() > 0.7 and not np.isnan(data.X[inside, 0]).any()
    assert_allclose(data.X[inside, 0], expected[inside], rtol=1e-6)
    assert np.isnan(data.X[seen, 1]).any() and data.beam is None
    assert np.array_equal(data.mask, seen) and not seen.all()
    # a kernel fills no blank, and takes nothing from one
    flat = np.ones((60, 60))
    flat[20:30, 20:25] = np.nan
    data = read_line_maps({"a": image(flat)}, beam=5 * u.arcsec)
    assert np.array_equal(np.isnan(data.X[:, 0]), np.isnan(flat.ravel()))
    assert_allclose(data.X[data.mask], 1.0)


def test_errors_are_those_of_noise_as_coarse_as_the_beam():
    rng = np.random.default_rng(0)
    beam = 4 * PIXEL * 3600
    noise = gaussian_filter(rng.normal(size=(400, 400)), 4 / np.sqrt(8 * np.log(2)))
    noise /= noise.std()
    error = np.ones_like(noise)
    error[:3] = np.nan
    data = read_line_maps(
        {"a": image(noise, (beam, beam, 0))},
        errors={"a": image(error, None, None)},
        beam=2 * beam * u.arcsec,
    )
    assert_allclose(np.nanmean(data.sigma), 0.5, rtol=1e-6)
    assert_allclose(np.nanstd(data.X), 0.5, rtol=0.05)
    assert np.array_equal(np.isnan(data.X), np.isnan(data.sigma))
    assert np.isnan(data.X).sum() == 3 * 400


def test_files_extensions_and_degenerate_axes(tmp_path):
    path = tmp_path / "maps.fits"
    first = image(np.ones((1, 1, 8, 9)))
    second = fits.ImageHDU(2 * np.ones((8, 9)), image(np.ones((8, 9))).header, "MOM0")
    fits.HDUList([first, second]).writeto(path)
    data = read_line_maps({"a": path, "b": (path, "MOM0"), "c": (str(path), 1)})
    assert_allclose(data.X[0], [1, 2, 2])
    assert data.map_shape == (8, 9)


FAR = celestial((4, 4)), (4, 4)
FAR[0].wcs.crval = 200.0, 30.0


def strange(key=None, value=None, **kwargs):
    hdu = image(np.ones((8, 9)), **kwargs)
    if key is not None:
        if value is None:
            del hdu.header[key]
        else:
            hdu.header[key] = value
    return hdu


@pytest.mark.parametrize(
    "hdu, params, message",
    [
        (strange(unit=None), {}, "no unit .BUNIT"),
        (strange("BUNIT", "furlongs"), {}, "BUNIT is 'furlongs'"),
        (strange(unit="K"), {"unit": "m"}, "BUNIT, K, cannot be converted to m"),
        (strange(unit="K"), {"unit": "Jy/beam"}, "RESTFRQ"),
        (strange(unit="K"), {"unit": "nothing"}, "`unit`='nothing'"),
        (strange(beam=None), {}, "no beam .BMAJ, BMIN, BPA"),
        (strange(), {"beam": 2.5 * u.arcsec}, "is not larger than"),
        (strange(), {"beam": 2.5 * u.K}, "not an angle"),
        (strange("CTYPE1", "LINEAR"), {}, "CTYPE1"),
        (image(np.ones((3, 8, 9))), {}, "cube: NAXIS3 is 3"),
        (strange(), {"reference": "c"}, "`reference`='c'"),
        (strange(), {"reference": FAR}, "no pixel on the common grid"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(hdu, params, message, tmp_path):
    path = tmp_path / "odd.fits"
    hdu.writeto(path)
    with pytest.raises(ValueError, match=message) as error:
        read_line_maps({"a": path}, **params)
    if not message.startswith(("`", "not an")):
        assert "odd.fits" in str(error.value)


def test_pixels_must_be_square_where_maps_are_convolved():
    hdu = image(np.ones((8, 9)))
    hdu.header["CDELT1"] = 1.5 * hdu.header["CDELT1"]
    with pytest.raises(ValueError, match="pixels must be square"):
        read_line_maps({"a": hdu}, beam=5 * u.arcsec)
    assert read_line_maps({"a": hdu}).X.shape == (72, 1)


def test_bad_arguments(tmp_path, monkeypatch):
    hdu = image(np.ones((8, 9)))
    with pytest.raises(TypeError, match="`maps` must be a dict"):
        read_line_maps([hdu])
    with pytest.raises(TypeError, match="`beam` must be"):
        read_line_maps({"a": hdu}, beam=3.0)
    with pytest.raises(TypeError, match="`reference` must be"):
        read_line_maps({"a": hdu}, reference=3)
    with pytest.raises(ValueError, match="must have the lines of `maps`"):
        read_line_maps({"a": hdu}, errors={"b": hdu})
    with pytest.raises(ValueError, match="errors of a.*NAXIS1"):
        read_line_maps({"a": hdu}, errors={"a": image(np.ones((9, 9)))})
    with pytest.raises(ValueError, match="72 error.s. that are zero or negative"):
        read_line_maps({"a": hdu}, errors={"a": image(np.zeros((8, 9)))})
    with pytest.raises(FileNotFoundError, match="the map of a, does not exist"):
        read_line_maps({"a": tmp_path / "none.fits"})
    text = tmp_path / "text.fits"
    text.write_text("no FITS")
    with pytest.raises(ValueError, match="text.fits is not a readable FITS file"):
        read_line_maps({"a": text})
    path = tmp_path / "map.fits"
    hdu.writeto(path)
    with pytest.raises(ValueError, match="no extension 'MOM0' .EXTNAME"):
        read_line_maps({"a": (path, "MOM0")})
    monkeypatch.setitem(sys.modules, "reproject", None)
    with pytest.raises(ImportError, match=r"skastro\[maps\]"):
        read_line_maps({"a": hdu})


# -- files as AIPS and CASA write them


def integers(**keys):
    """Return an image of scaled integers, 3 K km/s but for one blank pixel."""
    hdu = image(np.ones((8, 9)))
    data = np.full((8, 9), 20, dtype=np.int16)
    data[2, 3] = -32768
    hdu = fits.PrimaryHDU(data, hdu.header)
    hdu.header.update(BSCALE=0.1, BZERO=1.0, BLANK=-32768, **keys)
    return hdu


def written(path, *hdus):
    fits.HDUList(list(hdus)).writeto(path, overwrite=True)
    return path


def test_scaled_integers_with_blanks(tmp_path):
    # astropy applies scale and zero to what it is given: write the numbers raw
    path = tmp_path / "aips.fits"
    hdu = integers()
    raw = hdu.data
    header = fits.Header(
        [c for c in hdu.header.cards if c.keyword not in "BSCALE BZERO"]
    )
    fits.PrimaryHDU(raw, header).writeto(path)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header.update(BSCALE=0.1, BZERO=1.0, BLANK=-32768)
    with fits.open(path, memmap=True) as hdus:
        with pytest.raises(ValueError, match="memory-mapped"):
            hdus[0].data  # noqa: B018
    expected = np.full((8, 9), 3.0)
    expected[2, 3] = np.nan
    assert_allclose(read_line_maps({"a": path}).X[:, 0], expected.ravel())
    # also as an HDU of a file that is mapped into memory
    with fits.open(path, memmap=True) as hdus:
        data = read_line_maps({"a": hdus[0]})
    assert_allclose(data.X[:, 0], expected.ravel())


def test_an_hdu_that_was_changed_counts_as_it_is(tmp_path):
    path = written(tmp_path / "a.fits", image(np.ones((8, 9))))
    with fits.open(path) as hdus:
        hdus[0].data = 2 * hdus[0].data
        assert_allclose(read_line_maps({"a": hdus[0]}).X, 2)
    with fits.open(path) as hdus:
        hdus[0].header["BUNIT"] = "mK km/s"
        assert read_line_maps({"a": hdus[0]}).unit == u.mK * u.km / u.s


def beams(major, minor, angle, unit="arcsec"):
    columns = [
        fits.Column(name, "1E", unit=unit if name != "BPA" else "deg", array=values)
        for name, values in (("BMAJ", major), ("BMIN", minor), ("BPA", angle))
    ]
    n = len(major)
    columns += [fits.Column(name, "1J", array=np.arange(n)) for name in ("CHAN", "POL")]
    return fits.BinTableHDU.from_columns(columns, name="BEAMS")


def test_beams_of_casa(tmp_path):
    plane = image(np.ones((1, 1, 8, 9)), beam=None, CASAMBM=True)
    one = beams([4.0, 4.004, 0.0, 4.002], [3, 3, 0, 3], [30.0, 30.1, 0.0, -149.9])
    path = written(tmp_path / "casa.fits", plane, one)
    data = read_line_maps({"a": path})
    assert_allclose(data.beam.major.to_value("arcsec"), 4.002, rtol=1e-6)
    assert_allclose(data.beam.minor.to_value("arcsec"), 3)
    # radio_beam reads the unit of the table too
    degrees = beams([4 / 3600], [3 / 3600], [30.0], "DEGREES")
    written(path, plane, degrees)
    theirs = radio_beam.Beams.from_fits_bintable(degrees)[0]
    with fits.open(path) as hdus:
        ours = read_line_maps({"a": hdus[0]}).beam
    assert_allclose(ours.sr.value, theirs.sr.value)
    # without the keyword too; but a beam of the header's own goes before
    del plane.header["CASAMBM"]
    written(path, plane, one)
    assert read_line_maps({"a": path}).beam.major > 3.9 * u.arcsec
    plane.header.update(BMAJ=5 / 3600, BMIN=5 / 3600, BPA=0.0)
    written(path, plane, one)
    assert_allclose(read_line_maps({"a": path}).beam.major.to_value("arcsec"), 5)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (beams([4.0, 4.5], [3, 3], [0, 0]), "2 beams .BEAMS., which are not one: BMAJ"),
        (beams([4.0, 4.0], [3, 3], [0, 20]), "which are not one"),
        (beams([0.0], [0], [0]), "no plane has a beam"),
        (beams([4.0], [3], [0], None), "have no unit of BMAJ"),
        (None, "a table BEAMS .CASAMBM., which the file has not"),
    ],
)  # fmt: skip
def test_beams_that_are_none(table, message, tmp_path):
    plane = image(np.ones((8, 9)), beam=None, CASAMBM=True)
    hdus = [plane] if table is None else [plane, table]
    path = written(tmp_path / "casa.fits", *hdus)
    with pytest.raises(ValueError, match=f"casa.fits.*{message}"):
        read_line_maps({"a": path})
    if "unit" not in message:
        assert read_line_maps({"a": path}, beam="keep").beam is None


def test_beams_of_planes_that_turn_but_are_round_are_one(tmp_path):
    plane = image(np.ones((8, 9)), beam=None, CASAMBM=True)
    path = written(tmp_path / "a.fits", plane, beams([4.0, 4.0], [4, 4], [0, 70]))
    assert_allclose(read_line_maps({"a": path}).beam.major.to_value("arcsec"), 4)


def test_beams_of_histories():
    hdu = image(np.ones((8, 9)), beam=None)
    hdu.header["HISTORY"] = (
        "AIPS   CLEAN BMAJ=  1.9999E-03 BMIN=  1.8000E-03 BPA=   9.00"
    )
    hdu.header["HISTORY"] = (
        "AIPS   CLEAN BMAJ=  1.7599E-03 BMIN=  1.5740E-03 BPA=   2.61"
    )
    ours = read_line_maps({"a": hdu}).beam
    assert ours == radio_beam.Beam.from_fits_history(hdu.header)
    assert_allclose(ours.minor.to_value("deg"), 1.574e-3)
    # as IMAGR notes parameters, which are no beam; and without blanks
    hdu.header["HISTORY"] = "IMAGR BMAJ = 3.0"
    assert read_line_maps({"a": hdu}).beam == ours
    hdu.header["HISTORY"] = "AIPS   CLEAN BMAJ=1.0D-03 BMIN=1.0D-03 BPA=-45.0"
    assert_allclose(read_line_maps({"a": hdu}).beam.major.to_value("deg"), 1e-3)
    casa = image(np.ones((8, 9)), beam=None)
    casa.header["HISTORY"] = (
        "> restoration: 1.34841 by 0.830715 (arcsec) at pa 82.8827 (deg)"
    )
    beam = read_line_maps({"a": casa}).beam
    assert_allclose(beam.major.to_value("arcsec"), 1.34841)
    assert_allclose(beam.pa.to_value("deg"), 82.8827)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("JY/BEAM.KM/S", "Jy km / (beam s)"),
        ("JY/BEAM*M/S", "Jy m / (beam s)"),
        ("JY/BEAM M/S", "Jy m / (beam s)"),
        ("K.M/S", "K m / s"),
        ("K*KM/S", "K km / s"),
        ("KELVIN KM/S", "K km / s"),
        ("K.HZ", "K Hz"),
        ("W/M**2/SR", "W / (m2 sr)"),
    ],
)
def test_units_in_upper_case(text, unit):
    hdu = image([[2.0]], unit=text, RESTFRQ=FREQUENCY)
    data = read_line_maps({"a": hdu}, unit=unit)
    assert_allclose(data.X, 2.0)
    assert data.unit == u.Unit(unit)


def test_a_unit_that_may_be_two_is_refused():
    with pytest.raises(
        ValueError, match="BUNIT is 'MJY/BEAM', which may be mJy or MJy"
    ):
        read_line_maps({"a": image([[2.0]], unit="MJY/BEAM")})


def test_moments_over_frequency_become_those_over_velocity():
    """The integral of one profile, over either axis, by quadrature."""
    velocity = np.linspace(-100, 100, 2001) * u.km / u.s
    profile = np.exp(-((velocity / (20 * u.km / u.s)) ** 2).value) * u.K
    frequency = u.Quantity(FREQUENCY, "Hz") * (1 - velocity / c)
    moment = np.trapezoid(profile, velocity).to_value("K km/s")
    over_frequency = -np.trapezoid(profile, frequency).to_value("K Hz")
    hdu = image([[over_frequency]], unit="K Hz", RESTFRQ=FREQUENCY)
    data = read_line_maps({"a": hdu})
    assert data.unit == u.K * u.km / u.s
    assert_allclose(data.X, moment)
    hdu.header["BUNIT"] = "K.MHz"
    assert_allclose(read_line_maps({"a": hdu}, unit="K km/s").X, 1e6 * moment)
    kept = read_line_maps({"a": hdu}, unit="K Hz")
    assert_allclose(kept.X, 1e6 * over_frequency)
    # fluxes of beams, and of the sky
    beam = radio_beam.Beam(3 * u.arcsec, 2 * u.arcsec, 30 * u.deg)
    per_kelvin = 1 / beam.jtok(FREQUENCY * u.Hz).value
    hdu = image([[over_frequency * per_kelvin]], unit="Jy/beam Hz", RESTFRQ=FREQUENCY)
    assert_allclose(read_line_maps({"a": hdu}, unit="K km/s").X, moment)
    radiance = over_frequency * per_kelvin * 1e-26 / beam.sr.value
    hdu = image([[radiance]], unit="W m-2 sr-1", RESTFRQ=FREQUENCY)
    assert_allclose(read_line_maps({"a": hdu}, unit="K km/s").X, moment)
    del hdu.header["RESTFRQ"]
    with pytest.raises(ValueError, match="RESTFRQ"):
        read_line_maps({"a": hdu}, unit="K km/s")
    with pytest.raises(ValueError, match="BUNIT, K, cannot be converted to K km"):
        read_line_maps({"a": image([[1.0]], unit="K")}, unit="K km/s")
    hdu = image([[-over_frequency]], unit="K Hz", RESTFRQ=FREQUENCY)
    with pytest.warns(
        UserWarning, match="negative on the whole.*multiply the map by -1"
    ):
        assert_allclose(read_line_maps({"a": hdu}).X, -moment)


def test_a_rest_frequency_of_another_line_is_told():
    hdu = image(np.ones((8, 9)), RESTFRQ=FREQUENCY)
    with pytest.warns(
        UserWarning,
        match="RESTFRQ is 115.271 GHz, that of CO.1-0., but.* called 'CO 3-2'",
    ):
        read_line_maps({"CO 3-2": hdu})
    read_line_maps({"CO(1-0)": hdu, "something else": hdu})
    hdu.header["RESTFREQ"] = hdu.header.pop("RESTFRQ") / 1e9
    with pytest.warns(UserWarning, match="RESTFRQ is 1.15271e-07 GHz, but"):
        read_line_maps({"CO(1-0)": hdu})
    # so is that of another species, in a species of which no line is meant
    hdu = image(np.ones((8, 9)), RESTFRQ=FREQUENCY)
    with pytest.warns(UserWarning, match="that of CO.1-0., .*'HCN', and HCN has no"):
        read_line_maps({"HCN": hdu})
    with pytest.warns(UserWarning, match="that of CO.1-0., .*'13CO 1-0', a species th"):
        read_line_maps({"13CO 1-0": hdu})
    read_line_maps({"CO": hdu})


def test_a_rest_frequency_beside_a_line_may_be_that_of_another_species():
    """Two lines 150 km/s apart."""
    carbon = load_molecule("CO")
    near = dataclasses.replace(carbon, frequencies=carbon.frequencies * 1.0005)
    hdu = image(np.ones((8, 9)), RESTFRQ=FREQUENCY)
    with pytest.warns(UserWarning, match=r"that of CO\(1-0\), .*'XO\(1-0\)'"):
        read_line_maps({"XO(1-0)": hdu}, molecules={"XO": near})
    hdu.header["RESTFRQ"] = FREQUENCY * 1.0005
    data = read_line_maps({"XO J=1-0": hdu}, molecules={"XO": near})
    assert data.lines == ["XO(1-0)"]
    with pytest.warns(UserWarning, match=r"that of XO\(1-0\), .*'CO 1-0'"):
        read_line_maps({"CO 1-0": hdu}, molecules={"XO": near})


def test_lines_have_the_names_of_the_catalogue():
    hdu, other = image(np.ones((8, 9))), image(np.full((8, 9), 2.0))
    maps = {"CO 3-2": hdu, "my line": hdu, "HCN-hfs 1-0": other}
    data = read_line_maps(
        maps,
        errors={"HCN-hfs(1-0)": hdu, "12CO J=3-2": hdu, "my line": hdu},
        reference="CO J=3-2",
    )
    assert data.lines == ["CO(3-2)", "my line", "HCN-hfs(1-0)"]
    assert_allclose(data.X[0], [1, 1, 2])
    with pytest.raises(ValueError, match=r"CO\(3-2\) twice, as 'CO 3-2' and 'CO\(3-2"):
        read_line_maps({"CO 3-2": hdu, "CO(3-2)": other})
    with pytest.raises(ValueError, match=r"`reference`='CO 3-1' .* Did you mean 'CO\("):
        read_line_maps({"CO 3-2": hdu}, reference="CO 3-1")


# -- blank pixels


GRIDS = {
    "the same, to rounding": ((41, 41), {"shift": (1e-9, 0)}, 1),
    "a third of a pixel off": ((41, 41), {"shift": (0.3, 0.2)}, 1),
    "turned": ((41, 41), {"rotation": 30.0}, 1),
    "four times finer": ((160, 160), {"pixel": PIXEL / 4}, 16),
    "three times coarser": ((15, 15), {"pixel": 3 * PIXEL}, 0),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_a_blank_pixel_stays_as_large_as_it_is(grid):
    from reproject import reproject_interp

    shape, params, expected = GRIDS[grid]
    shift = params.pop("shift", (0, 0)) if "shift" in params else (0, 0)
    wcs = celestial(shape, params.get("rotation", 0.0), params.get("pixel", PIXEL))
    wcs.wcs.crpix += shift
    own = celestial((41, 41))
    y, x = np.mgrid[:41, :41] - 20.0
    plane = 5 + 0.1 * x - 0.2 * y
    holed = plane.copy()
    holed[20, 20] = np.nan
    data = read_line_maps(
        {"whole": image(plane, None), "holed": image(holed, None)},
        beam="keep",
        reference=(wcs, shape),
    )
    whole, holed_map = data.X.T
    grown = np.isnan(holed_map) & ~np.isnan(whole)
    assert grown.sum() == expected
    # what reproject leaves of it
    theirs = reproject_interp(
        (holed, own), wcs, shape_out=shape, return_footprint=False
    ).ravel()
    assert (np.isnan(theirs) & ~np.isnan(whole)).sum() > grown.sum()
    # and elsewhere the same: a hole's own place is taken by the mean around it
    assert_allclose(holed_map[~grown], whole[~grown], atol=0.01)
    far = ~np.isnan(theirs)
    assert_allclose(holed_map[far], theirs[far], atol=1e-9)


@pytest.mark.parametrize("shift", [(0.5, 0), (0, -0.5), (0.5, 0.5), (0.4375, 0.125)])
def test_edges_along_rows_of_pixels_are_straight(shift):
    """Of the image, and of a blank part: rounding does not decide pixel by pixel."""
    plane = np.ones((40, 30))
    holed = plane.copy()
    holed[10:20, 5:15] = np.nan
    wcs = celestial(plane.shape)
    wcs.wcs.crpix += shift
    data = read_line_maps(
        {"whole": image(plane, None), "holed": image(holed, None)},
        beam="keep",
        reference=(wcs, plane.shape),
    )
    whole, blank = np.isnan(data.X.T.reshape(2, *plane.shape))
    # along each row and column as along the next
    outside = whole.all(axis=0)[None, :] | whole.all(axis=1)[:, None]
    assert np.array_equal(whole, outside)
    hole = blank & ~whole
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    # but for corners, of which a quarter is blank
    assert hole[np.ix_(rows[1:-1], columns)].all()
    assert hole[np.ix_(rows, columns[1:-1])].all()
    # a pixel that lies half in the image is no better than one half in a blank part
    for axis, offset in ((1, shift[0]), (0, shift[1])):
        lost = whole.all(axis=1 - axis).sum()
        assert lost == (1 if abs(offset) == 0.5 else 0)
    assert abs(rows.size - 10) + abs(columns.size - 10) <= 2


def test_large_blanks_keep_their_area():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :60]
    data = rng.normal(size=(60, 60))
    data[(x - 30) ** 2 + (y - 28) ** 2 < 150] = np.nan
    for pixel, rotation in ((PIXEL, 20.0), (PIXEL / 3, 5.0), (2.5 * PIXEL, 40.0)):
        n = int(100 * PIXEL / pixel)
        got = read_line_maps(
            {"a": image(np.nan_to_num(data), None), "b": image(data, None)},
            beam="keep",
            reference=(celestial((n, n), rotation, pixel), (n, n)),
        )
        area = np.isnan(got.X[:, 1]).sum() - np.isnan(got.X[:, 0]).sum()
        assert_allclose(area * (pixel / PIXEL) ** 2, np.isnan(data).sum(), rtol=0.05)


def test_components_are_written_with_coordinates_and_profiles(tmp_path):
    scene = make_line_maps(map_shape=(20, 25), random_state=0)
    maps = {
        line: image(x.reshape(20, 25), (3, 3, 0), "K km/s")
        for line, x in zip(scene.lines, scene.X.T, strict=True)
    }
    data = read_line_maps(maps)
    assert_allclose(data.X, scene.X)
    nmf = LineMapNMF(3, random_state=0)
    contributions = nmf.fit_transform(data.X)
    path = tmp_path / "components.fits"
    params = {
        "wcs": data.wcs,
        "map_shape": data.map_shape,
        "components": nmf.components_,
        "components_std": 0.1 * nmf.components_,
        "lines": data.lines,
        "unit": data.unit,
        "beam": data.beam,
    }
    write_component_maps(path, contributions, **params)
    assert [p.name for p in tmp_path.iterdir()] == ["components.fits"]
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus[1:]] == [
            *("COMPONENT1", "COMPONENT2", "COMPONENT3", "PROFILES")
        ]
        assert_allclose(hdus[2].data.ravel(), contributions[:, 1])
        assert WCS(hdus[2].header).wcs.compare(data.wcs.wcs, tolerance=1e-12)
        assert radio_beam.Beam.from_fits_header(hdus[2].header) == data.beam
    table = Table.read(path, hdu="PROFILES")
    assert list(table["LINE"]) == data.lines
    assert_allclose(table["COMPONENT3"], nmf.components_[2])
    assert_allclose(table["COMPONENT3_STD"], 0.1 * nmf.components_[2])
    assert table["COMPONENT3"].unit == u.K * u.km / u.s
    with pytest.raises(FileExistsError, match="`overwrite` is False"):
        write_component_maps(path, contributions, **params)
    write_component_maps(path, contributions, overwrite=True, **params)
    for changed, message in (
        ({"map_shape": (20, 20)}, "`map_shape`"),
        ({"names": ["a", "a", "b"]}, "`names` must be 3 different"),
        ({"lines": None}, "`components` must have the shape"),
        ({"components_std": np.ones((3, 2))}, "`components_std` must have"),
    ):
        with pytest.raises(ValueError, match=message):
            write_component_maps(
                tmp_path / "b.fits", contributions, **{**params, **changed}
            )
    assert not (tmp_path / "b.fits").exists()
