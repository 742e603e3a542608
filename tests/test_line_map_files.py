"""Maps of lines in FITS files: grid, beam, units, and what is wrong with a file."""

import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from skastro.datasets import make_line_maps
from skastro.decomposition import LineMapNMF
from skastro.io import read_line_maps, write_component_maps

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
