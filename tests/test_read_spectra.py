"""Files in the surveys' documented layouts: values, media, frames, errors and masks."""

import sys
import types

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import InverseVariance
from astropy.table import QTable, Table
from numpy.testing import assert_allclose, assert_array_equal

from skastro.io import Spectra, read_spectra

C = 299792.458
LOGLAM = 3.5523 + 1e-4 * np.arange(6)


def write(path, *hdus):
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList(list(hdus)).writeto(path, overwrite=True)
    return path


def table(columns, name="", **header):
    """Columns of (format, array), or (format, array, unit)."""
    made = [
        fits.Column(key, spec[0], array=spec[1], unit=spec[2] if spec[2:] else None)
        for key, spec in columns.items()
    ]
    hdu = fits.BinTableHDU.from_columns(made, name=name)
    hdu.header.update(header)
    return hdu


def image(data, name="", **header):
    hdu = fits.ImageHDU(np.asarray(data), name=name)
    hdu.header.update(header)
    return hdu


def primary(data=None, **header):
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(header)
    return hdu


def vectors(arrays, fmt="E"):
    """Return columns of one row, whose cells are vectors."""
    return {key: (f"{len(v)}{fmt}", [v]) for key, v in arrays.items()}


# Sloan --------------------------------------------------------------------------------


def spec(path, start=0, z=1e-4, **changed):
    """Write COADD and SPALL of spec-PLATE-MJD-FIBER.fits."""
    n = 5
    arrays = {
        "flux": ("E", np.arange(1.0, n + 1)),
        "loglam": ("E", LOGLAM[0] + 1e-4 * (start + np.arange(n))),
        "ivar": ("E", [4.0, 0.0, 4.0, 4.0, 4.0]),
        "and_mask": ("J", [0, 0, 1 << 23, 1 << 20, 0]),
        "or_mask": ("J", [1 << 23, 0, 1 << 23, 1 << 20, 0]),
        "wdisp": ("E", np.ones(n)),
        "sky": ("E", np.ones(n)),
        "model": ("E", np.ones(n)),
    } | changed
    fit = {
        "CLASS": ("6A", ["STAR"]),
        "SUBCLASS": ("6A", ["K1"]),
        "Z": ("E", [z]),
        "Z_ERR": ("E", [1e-5]),
        "SN_MEDIAN_ALL": ("E", [30.0]),
    }
    header = {"VACUUM": True, "PLUG_RA": 10.0, "PLUG_DEC": -5.0, "MJD": 55555}
    return write(path, primary(**header), table(arrays, "COADD"), table(fit, "SPALL"))


def test_sdss_spec(tmp_path):
    path = spec(tmp_path / "spec-4055-55359-0010.fits")
    spectra = read_spectra(path)
    assert isinstance(spectra, Spectra)
    assert spectra.names == ["4055-55359-0010"]
    # no data, and bright sky in all exposures
    assert_array_equal(spectra.X, [[1, np.nan, np.nan, 4, 5]])
    assert_array_equal(spectra.sigma, [[0.5, np.nan, np.nan, 0.5, 0.5]])
    assert spectra.X.dtype == spectra.sigma.dtype == np.float32
    assert_array_equal(spectra.mask, [[0, 0, 1 << 23, 1 << 20, 0]])
    assert_allclose(spectra.wavelength, 10 ** LOGLAM[:5], rtol=1e-6)
    row = spectra.table[0]
    stated = (row["layout"], row["medium"], row["frame"], row["scale"], row["unit"])
    assert stated[:4] == ("sdss spec", "vacuum", "heliocentric", "calibrated")
    assert u.Unit(stated[4]) == u.Unit("1e-17 erg s-1 cm-2 Angstrom-1")
    assert_allclose(spectra.velocity, [C * 1e-4], rtol=1e-6)
    assert_allclose(row["velocity_error"], C * 1e-5, rtol=1e-6)
    assert (row["ra"], row["snr"], row["subclass"]) == (10.0, 30.0, "K1")
    assert not spectra.normalised[0]


def test_bits_are_chosen_by_name_and_number(tmp_path):
    path = spec(tmp_path / "spec-1-2-3.fits")

    def missing(**options):
        return np.flatnonzero(np.isnan(read_spectra(path, **options).X[0])).tolist()

    assert missing() == [1, 2]
    assert missing(bad_bits=()) == [1]
    assert missing(bad_bits=["SCATTEREDLIGHT"]) == [1, 3]
    assert missing(bad_bits=[20, "BRIGHTSKY"]) == [1, 2, 3]
    assert missing(bad_bits="all") == [1, 2, 3]
    assert missing(bad_bits={"sdss spec": [20]}) == [1, 3]
    assert missing(bad_bits={"desi": [0]}) == [1, 2]
    assert missing(any_exposure=True) == [0, 1, 2]
    with pytest.raises(ValueError, match="'BRIGHT_SKY'.*Did you mean 'BRIGHTSKY'"):
        missing(bad_bits=["BRIGHT_SKY"])
    with pytest.raises(ValueError, match="names, or 0 to 62, got -1"):
        missing(bad_bits=[-1])
    with pytest.raises(ValueError, match="`bad_bits` has layout 'sdss'"):
        missing(bad_bits={"sdss": [1]})


def test_pieces_of_one_grid_are_shifted_by_whole_pixels(tmp_path):
    paths = [spec(tmp_path / f"spec-1-2-{i}.fits", start=3 * i) for i in range(2)]
    spectra = read_spectra(paths)
    assert spectra.wavelength.shape == (8,)
    assert_allclose(spectra.wavelength, 10 ** (LOGLAM[0] + 1e-4 * np.arange(8)), 1e-6)
    assert_array_equal(spectra.X[0], [1, np.nan, np.nan, 4, 5, *[np.nan] * 3])
    assert_array_equal(spectra.X[1], [*[np.nan] * 3, 1, np.nan, np.nan, 4, 5])
    assert "2 of 8 pixels, one grid" in repr(spectra)
    # half a pixel is another grid, and stays one
    paths.append(spec(tmp_path / "spec-1-2-9.fits", start=0.5))
    spectra = read_spectra(paths)
    assert spectra.wavelength.shape == spectra.X.shape == (3, 5)
    assert "a grid for each" in repr(spectra)
    assert_allclose(spectra.wavelength[2, 0], 10 ** (LOGLAM[0] + 5e-5), rtol=1e-6)


def test_air_where_a_header_says_so(tmp_path):
    path = spec(tmp_path / "spec-1-2-3.fits")
    fits.setval(path, "VACUUM", value=False)
    assert read_spectra(path).medium == ["air"]
    with pytest.raises(ValueError, match=r"medium \['air'\].*`medium` is 'vacuum'"):
        read_spectra(path, medium="vacuum")


def apogee_axis(n):
    return 10 ** (4.179 + 6e-6 * np.arange(n))


APOGEE_WCS = {"CRVAL1": 4.179, "CDELT1": 6e-6, "CRPIX1": 1, "CTYPE1": "LOG-LINEAR"}


def apstar(path, n_visits):
    n, rows = 6, 1 if n_visits == 1 else n_visits + 2
    flux = 100.0 * (1 + np.arange(rows))[:, None] + np.zeros(n)
    error = np.full((rows, n), 2.0)
    error[:, 1] = 1e10
    mask = np.zeros((rows, n), dtype=">i4")
    mask[0, 2], mask[-1, 3] = 1 << 7, 1 << 12
    if rows == 1:
        flux, error, mask = flux[0], error[0], mask[0]
    header = {"OBJID": "2M15000439+2645333", "NVISITS": n_visits, "VHELIO": -25.4}
    header |= {"VERR": 0.16, "VSCATTER": 0.46, "SNR": 47.3, "STARFLAG": 4608}
    for i in range(1, n_visits + 1):
        header |= {f"VHELIO{i}": -25.0 - i, f"VERR{i}": 0.3, f"SNRVIS{i}": 10.0 + i}
        header |= {f"DATE{i}": f"2013-04-{i:02}T07:20:55"}
    hdus = [image(a, **APOGEE_WCS) for a in (flux.astype("f4"), error.astype("f4"))]
    return write(path, primary(**header), *hdus, image(mask, **APOGEE_WCS))


def test_apstar(tmp_path):
    path = apstar(tmp_path / "apStar-r5-2M15000439+2645333.fits", 3)
    spectra = read_spectra(path)
    assert spectra.names == ["2M15000439+2645333"]
    assert_allclose(spectra.wavelength, apogee_axis(6))
    assert_array_equal(spectra.X, [[100, np.nan, np.nan, 100, 100, 100]])
    assert_array_equal(np.isnan(spectra.sigma), np.isnan(spectra.X))
    assert (spectra.medium[0], spectra.frame[0]) == ("vacuum", "rest")
    row = spectra.table[0]
    assert (row["velocity"], row["velocity_scatter"], row["n_visits"]) == (
        *(-25.4, 0.46),
        3,
    )
    visits = read_spectra(path, visits=True)
    # the first two rows are combinations
    assert_array_equal(visits.X[:, 0], [300, 400, 500])
    assert_array_equal(visits.velocity, [-26, -27, -28])
    assert_array_equal(visits.table["snr"], [11, 12, 13])
    assert visits.table["date"][2] == "2013-04-03T07:20:55"
    assert_array_equal(np.isnan(visits.X[2]), [0, 1, 0, 0, 0, 0])
    strict = read_spectra(path, visits=True, bad_bits=["SIG_SKYLINE"])
    assert_array_equal(np.isnan(strict.X[2]), [0, 1, 0, 1, 0, 0])


@pytest.mark.parametrize("visits", [False, True])
def test_a_star_of_one_visit_has_one_row(tmp_path, visits):
    path = apstar(tmp_path / "apStar-r5-x.fits", 1)
    spectra = read_spectra(path, visits=visits)
    assert_array_equal(spectra.X[:, 0], [100])
    assert spectra.velocity == [-26.0 if visits else -25.4]


def test_aspcapstar(tmp_path):
    arrays = (np.linspace(0.8, 1, 6), np.full(6, 0.01), np.ones(6))
    arrays[1][4] = 1e10
    hdus = [image(a.astype("f4"), **APOGEE_WCS) for a in arrays]
    fit = {
        "TEFF": ("E", [4500.0]),
        "LOGG": ("E", [2.0]),
        "FE_H": ("E", [-9999.99]),
        "VHELIO_AVG": ("E", [12.5]),
        "ASPCAPFLAG": ("J", [1 << 7]),
    }
    path = tmp_path / "aspcapStar-dr17-2M00000001+0000001.fits"
    write(path, primary(), *hdus, table(fit))
    spectra = read_spectra(path)
    assert spectra.names == ["2M00000001+0000001"]
    assert spectra.normalised[0]
    assert_array_equal(np.isnan(spectra.X[0]), [0, 0, 0, 0, 1, 0])
    row = spectra.table[0]
    assert (row["teff"], row["velocity"], row["aspcapflag"]) == (4500, 12.5, 128)
    assert np.isnan(row["fe_h"])
    with pytest.raises(ValueError, match="has normalised flux only"):
        read_spectra(path, normalised=False)
    with pytest.raises(ValueError, match="no spectra of visits. The apStar file has"):
        read_spectra(path, visits=True)


def mwm_table(name, crval, cdelt, rows, visit, flags=0.0):
    n, k = 4, len(rows)
    arrays = {
        "sdss_id": ("K", [54321] * k),
        "telescope": ("6A", ["apo25m"] * k),
        "snr": ("E", [50.0] * k),
        "flux": (f"{n}E", np.outer(rows, [1.0, 2, 3, 4])),
        "ivar": (f"{n}E", np.tile([0.25, 0.25, 0.0, 0.25], (k, 1))),
        # astra stores bit patterns as floats
        "pixel_flags": (f"{n}E", np.tile([0.0, 0.0, 0.0, flags], (k, 1))),
        "continuum": (f"{n}E", np.full((k, n), 2.0)),
    }
    if visit:
        arrays |= {"in_stack": ("L", [True] * (k - 1) + [False]) if k else ("L", [])}
        arrays |= {"mjd": ("J", np.arange(k) + 59000), "xcsao_v_rad": ("E", [7.0] * k)}
    else:
        axis = 10 ** (crval + cdelt * np.arange(n))
        arrays |= {"wavelength": (f"{n}E", np.tile(axis, (k, 1)))}
        arrays |= {"v_rad": ("E", [8.0] * k), "e_v_rad": ("E", [0.5] * k)}
    cards = {"CRVAL": crval, "CDELT": cdelt, "CTYPE": "LOG-LINEAR", "CRPIX": 1}
    return table(arrays, name, CUNIT="Angstrom (Vacuum)", **cards)


def mwm(path, visit):
    many = [1.0, 2.0] if visit else [1.0]
    return write(
        path,
        primary(V_ASTRA="0.6.0", SDSS_ID=54321, GAIA3_ID=99, RA=1.0, DEC=2.0),
        mwm_table("BOSS/APO", 3.5523, 1e-4, many, visit, flags=float(1 << 23)),
        mwm_table("BOSS/LCO", 3.5523, 1e-4, [], visit),
        mwm_table("APOGEE/APO", 4.179, 6e-6, many, visit, flags=float(1 << 1)),
        mwm_table("APOGEE/LCO", 4.179, 6e-6, [], visit),
    )


def test_mwmstar(tmp_path):
    path = mwm(tmp_path / "mwmStar-0.6.0-54321.fits", visit=False)
    spectra = read_spectra(path)
    assert list(spectra.table["layout"]) == ["mwm boss", "mwm apogee"]
    assert spectra.names == ["54321"] * 2
    assert list(spectra.frame) == ["rest"] * 2
    assert_allclose(spectra.wavelength[:, 0], [10**3.5523, 10**4.179], rtol=1e-6)
    # BOSS flags are those of any visit, and say nothing by default
    assert_array_equal(spectra.X, [[1, 2, np.nan, 4], [1, 2, np.nan, np.nan]])
    assert_array_equal(spectra.sigma[0], [2, 2, np.nan, 2])
    assert_array_equal(spectra.velocity, [8, 8])
    bits = {"mwm boss": ["BRIGHTSKY"], "mwm apogee": ()}
    both = read_spectra(path, bad_bits=bits)
    assert_array_equal(np.isnan(both.X[:, 3]), [True, False])
    only = read_spectra(path)[1]
    assert_allclose(only.wavelength, 10 ** (4.179 + 6e-6 * np.arange(4)))
    only = read_spectra(path, layout="mwm apogee", normalised=True)
    assert_array_equal(only.X, [[0.5, 1, np.nan, np.nan]])
    assert_array_equal(only.sigma, [[1, 1, np.nan, np.nan]])
    assert only.normalised[0] and only.table["unit"][0] == ""
    with pytest.raises(ValueError, match="The mwmVisit file has them"):
        read_spectra(path, visits=True)


def test_mwmvisit_knows_which_visits_are_at_rest(tmp_path):
    path = mwm(tmp_path / "mwmVisit-0.6.0-54321.fits", visit=True)
    spectra = read_spectra(path, layout="mwm boss")
    assert_allclose(spectra.wavelength, 10 ** (3.5523 + 1e-4 * np.arange(4)))
    assert_array_equal(spectra.X[:, 0], [1, 2])
    assert list(spectra.frame) == ["rest", "heliocentric"]
    assert_array_equal(spectra.table["mjd"], [59000, 59001])
    empty = mwm_table("BOSS/APO", 3.5523, 1e-4, [], True)
    write(path, primary(V_ASTRA="0.6.0", SDSS_ID=54321), empty)
    with pytest.raises(ValueError, match=r"no spectrum of BOSS or APOGEE.*\(0 rows\)"):
        read_spectra(path)


# LAMOST, GALAH, DESI, Gaia ------------------------------------------------------------

LAMOST = {
    "TELESCOP": "LAMOST",
    "OBSID": 101001,
    "VACUUM": True,
    "CLASS": "STAR",
    "SUBCLASS": "G2",
    "Z": -1e-4,
    "Z_ERR": 1e-5,
    "SNRG": 40.0,
    "RA": 3.0,
    "DEC": 4.0,
}


def test_lamost_image_of_releases_1_to_5(tmp_path):
    wavelength = 10 ** LOGLAM[:4]
    rows = [[1, 2, 3, 4], [4, 0, 4, 4], wavelength, [0, 0, 2, 0], [1, 0, 2, 0]]
    data = np.array(rows, dtype="f4")
    path = write(tmp_path / "spec-55859-F5902_sp01-001.fits", primary(data, **LAMOST))
    spectra = read_spectra(path)
    assert spectra.names == ["101001"]
    assert_array_equal(spectra.X, [[1, np.nan, np.nan, 4]])
    assert_array_equal(spectra.sigma, [[0.5, np.nan, np.nan, 0.5]])
    assert_allclose(spectra.wavelength, wavelength, rtol=1e-6)
    assert list(spectra.table["scale"]) == ["relative"]
    assert spectra.medium[0] == "vacuum"
    assert_allclose(spectra.velocity, [-C * 1e-4])
    exposures = read_spectra(path, any_exposure=True)
    assert_array_equal(np.isnan(exposures.X[0]), [1, 1, 1, 0])
    with pytest.raises(ValueError, match="its bits have no names, give numbers"):
        read_spectra(path, bad_bits=["BADCCD"])
    with pytest.raises(ValueError, match="no normalised flux.*ContinuumNormalizer"):
        read_spectra(path, normalised=True)
    data[2] = [5, 1, 2, 3]
    write(path, primary(data, **LAMOST))
    with pytest.raises(ValueError, match="row 3 of HDU 0 must hold wavelengths"):
        read_spectra(path)


def lamost_cells(axis, scale=1.0, **more):
    n = len(axis)
    cells = {
        "FLUX": scale * np.arange(2.0, n + 2),
        "IVAR": np.array([4.0, 0.0] + [4.0] * (n - 2)),
        "WAVELENGTH": axis,
        "ANDMASK": np.array([0.0] * (n - 1) + [4.0]),
        "ORMASK": np.array([0.0] * (n - 1) + [4.0]),
    }
    return cells | more


def test_lamost_table(tmp_path):
    axis = 10 ** LOGLAM[:4]
    cells = lamost_cells(axis, NORMALIZATION=np.full(4, 0.5))
    path = tmp_path / "spec-56591-EG000023N024031M01_sp01-010.fits.gz"
    write(path, primary(**LAMOST), table(vectors(cells), "COADD"))
    spectra = read_spectra(path)
    assert spectra.table["layout"][0] == "lamost lrs"
    assert_array_equal(spectra.X, [[2, np.nan, 4, np.nan]])
    assert_array_equal(spectra.sigma[0, [0, 2]], [0.5, 0.5])
    normalised = read_spectra(path, normalised=True)
    # with the same relative errors
    assert_allclose(normalised.X[0, [0, 2]], [0.5, 0.5])
    assert_allclose(normalised.sigma[0, [0, 2]], [0.125, 0.0625])
    assert normalised.normalised[0]


def test_lamost_medium_resolution(tmp_path):
    blue, red = np.array([5000.0, 5001, 5002]), np.array([6500.0, 6501, 6502])

    def long(axis, scale, mask):
        # a row for each pixel, as releases 7 and 8 have it
        cells = lamost_cells(axis, scale)
        cells["LOGLAM"] = np.log10(cells.pop("WAVELENGTH"))
        if mask == "PIXMASK":
            del cells["ORMASK"]
            cells["PIXMASK"] = cells.pop("ANDMASK")
        return {key: ("D", value) for key, value in cells.items()}

    hdus = [
        table(long(red, 10.0, ""), "COADD_R"),
        table(long(blue, 1.0, ""), "COADD_B"),
    ]
    for i in (1, 2):
        for arm, axis in (("B", blue), ("R", red)):
            cells = long(axis, 100.0 * i, "PIXMASK")
            hdus.append(table(cells, f"{arm}-8442014{i}", SNR=9.0 + i))
    path = write(tmp_path / "med-58625-NT1_sp01-001.fits", primary(**LAMOST), *hdus)
    spectra = read_spectra(path)
    assert spectra.table["layout"][0] == "lamost mrs"
    assert_allclose(spectra.wavelength, [*blue, *red])
    assert_array_equal(spectra.X, [[2, np.nan, np.nan, 20, np.nan, np.nan]])
    visits = read_spectra(path, visits=True)
    assert_array_equal(visits.X[:, [0, 3]], [[200, 200], [400, 400]])
    assert list(visits.table["visit"]) == ["84420141", "84420142"]
    assert_array_equal(visits.table["snr"], [10, 11])
    write(path, primary(**LAMOST), *hdus[2:])
    with pytest.raises(ValueError, match="no combined spectrum.*`visits=True`"):
        read_spectra(path)
    write(path, primary(**LAMOST), hdus[0])
    with pytest.raises(ValueError, match="this LAMOST file has no spectra of visits"):
        read_spectra(path, visits=True)
    with pytest.raises(
        ValueError, match=r"of layout \['lamost mrs'\], and `layout` is"
    ):
        read_spectra(path, layout="lamost lrs")


GALAH_WCS = {1: (4713.0, 0.046), 2: (5648.0, 0.0547), 4: (7585.0, 0.0735)}
STAR = "170418003701205"


def galah_dr3(folder, camera, cut=0, v=30.0, star=STAR):
    crval, cdelt = GALAH_WCS[camera]
    # the survey counts the first pixel as 0, which the standard counts as 1
    cards = {"CRVAL1": crval, "CDELT1": cdelt, "CRPIX1": 0, "ORIGIN": "GALAH"}
    relative = np.array([0.1, 0.2, 0.3, 0.0])
    rest = dict(cards, CDELT1=cdelt * (1 - v / C))
    rest["CRVAL1"] = (crval + cut * cdelt) * (1 - v / C)
    return write(
        folder / f"{star}{camera}.fits",
        primary(1000.0 * camera * np.ones(4), **cards),
        image(relative, "input_sigma", **cards),
        image(1200.0 * np.ones(4), "no_sky", **cards),
        image(relative, "no_sky_sigma", **cards),
        image(0.9 * np.ones(4 - cut), "normalised", **rest),
    )


def test_galah_dr3(tmp_path):
    paths = [galah_dr3(tmp_path, 2), galah_dr3(tmp_path, 1)]
    spectra = read_spectra(paths)
    # one row for both cameras, in order of wavelength
    assert spectra.names == [STAR]
    first, step = np.array([GALAH_WCS[1], GALAH_WCS[2]]).T
    axis = (first[:, None] + step[:, None] * np.arange(4)).ravel()
    assert_allclose(spectra.wavelength, axis, rtol=1e-12)
    assert_array_equal(spectra.X, [[1e3] * 3 + [np.nan] + [2e3] * 3 + [np.nan]])
    # errors are relative
    assert_allclose(spectra.sigma[0, :3], [100, 200, 300])
    assert_allclose(spectra.sigma[0, 4:7], [200, 400, 600])
    row = spectra.table[0]
    assert (row["medium"], row["frame"], row["scale"]) == (
        "air",
        "barycentric",
        "counts",
    )
    assert row["extension"] == "camera 1, 2"


def test_galah_dr3_normalised_is_at_rest_and_cut(tmp_path):
    path = galah_dr3(tmp_path, 4, cut=1)
    spectra = read_spectra(path, normalised=True)
    crval, cdelt = GALAH_WCS[4]
    shifted = (crval + cdelt * np.arange(1, 4)) * (1 - 30 / C)
    assert_allclose(spectra.wavelength, shifted, rtol=1e-9)
    assert (spectra.frame[0], spectra.table["scale"][0]) == ("rest", "normalised")
    # the errors of its pixels are the last ones
    assert_allclose(spectra.sigma, [[0.18, 0.27, np.nan]])
    with fits.open(path) as hdus:
        write(tmp_path / f"{STAR}1.fits", *hdus[:4])
    with pytest.raises(ValueError, match="galah dr3 file has no normalised flux"):
        read_spectra(tmp_path / f"{STAR}1.fits", normalised=True)


def test_galah_dr4(tmp_path):
    cards = {"CRVAL1": 4713.0, "CDELT1": 0.046, "CRPIX1": 1, "RVCOM": -12.5}
    names = ("normalized", "relative_error", "sky", "teluric", "scattered")
    values = (np.full(3, 0.9), [0.01, -1.0, 0.02], *[np.ones(3)] * 3)
    hdus = [image(v, name, **cards) for name, v in zip(names, values, strict=True)]
    path = write(tmp_path / f"{STAR}1.fits", primary(np.full(3, 500.0), **cards), *hdus)
    spectra = read_spectra(path)
    assert_allclose(spectra.sigma, [[5, np.nan, 10]])
    assert_allclose(spectra.X, [[500, np.nan, 500]])
    normalised = read_spectra(path, normalised=True)
    assert_allclose(normalised.X, [[0.9, np.nan, 0.9]])
    assert_allclose(normalised.sigma, [[0.009, np.nan, 0.018]])
    # of both, as release 4 has it
    assert spectra.frame[0] == normalised.frame[0] == "barycentric"
    assert_array_equal(spectra.velocity, [-12.5])
    assert spectra.table["layout"][0] == "galah dr4"


def test_stars_with_fewer_cameras_keep_their_own_grids(tmp_path):
    other = "170418003701206"
    paths = [galah_dr3(tmp_path, 1), galah_dr3(tmp_path, 2)]
    paths.append(galah_dr3(tmp_path, 4, star=other))
    spectra = read_spectra(paths)
    assert spectra.names == [STAR, other]
    assert spectra.X.shape == spectra.wavelength.shape == (2, 8)
    assert_array_equal(np.isnan(spectra.wavelength[1]), [0] * 4 + [1] * 4)
    assert np.isnan(spectra.X[1, 4:]).all()
    # alone it has its own pixels, and one grid
    alone = spectra[1]
    assert alone.names == [other] and alone.wavelength.shape == (4,)
    assert alone.X.shape == alone.sigma.shape == alone.mask.shape == (1, 4)
    assert "25.0% missing" in repr(spectra)
    assert len(spectra[spectra.table["name"] == other]) == 1


def desi(path, drop=None, shift=0.0):
    """Two arms that overlap in two pixels, of three targets."""
    fibres = {
        "TARGETID": ("K", [39633297352951412, -1695072, 5]),
        "COADD_FIBERSTATUS": ("J", [0, 512, 0]),
        "TARGET_RA": ("D", [1.0, 2.0, 3.0]),
        "TARGET_DEC": ("D", [4.0, 5.0, 6.0]),
        "OBJTYPE": ("3A", ["TGT", "SKY", "TGT"]),
    }
    hdus = [primary(INFIL000="spectra-sv1-dark-1.fits"), table(fibres, "FIBERMAP")]
    arms = {"B": 3600 + 0.8 * np.arange(4), "R": 3601.6 + 0.8 * np.arange(4) + shift}
    for arm, axis in arms.items():
        flux = np.full((3, 4), 1.0 if arm == "B" else 4.0, dtype="f4")
        ivar = np.full((3, 4), 1.0 if arm == "B" else 3.0, dtype="f4")
        mask = np.zeros((3, 4), dtype=np.int32)
        if arm == "R":
            mask[2, 0] = 1 << 2
            mask[1, 3] = 1 << 8
            ivar[0, 3] = 0
        for kind, data in zip(
            ("WAVELENGTH", "FLUX", "IVAR", "MASK"),
            (axis, flux, ivar, mask),
            strict=True,
        ):
            if f"{arm}_{kind}" != drop:
                hdus.append(image(data, f"{arm}_{kind}"))
    return write(path, *hdus)


def test_desi(tmp_path):
    spectra = read_spectra(desi(tmp_path / "coadd-sv1-dark-1.fits"))
    assert spectra.names == ["39633297352951412", "-1695072", "5"]
    assert_allclose(spectra.wavelength, 3600 + 0.8 * np.arange(6))
    # where arms overlap: the weighted mean of (1, 1) and (4, 3), its error
    assert_allclose(spectra.X[0], [1, 1, 3.25, 3.25, 4, np.nan])
    assert_allclose(spectra.sigma[0, :4], [1, 1, 0.5, 0.5])
    # a flagged arm leaves the other one alone
    assert_allclose(spectra.X[2, :4], [1, 1, 1, 3.25])
    assert_allclose(spectra.sigma[2, 2], 1)
    assert spectra.mask[2, 2] == 0
    assert np.isnan(spectra.X[1, 5])
    assert spectra.mask[1, 5] == 1 << 8
    kept = read_spectra(tmp_path / "coadd-sv1-dark-1.fits", bad_bits=["COSMIC"])
    assert_allclose(kept.X[1, 5], 4)
    assert list(spectra.table["objtype"]) == ["TGT", "SKY", "TGT"]
    assert_array_equal(spectra.table["coadd_fiberstatus"], [0, 512, 0])
    assert_array_equal(spectra.table["ra"], [1, 2, 3])
    assert (spectra.medium[0], spectra.frame[0]) == ("vacuum", "barycentric")


def test_desi_that_is_not_whole(tmp_path):
    path = desi(tmp_path / "coadd-1.fits", drop="R_MASK")
    with pytest.raises(ValueError, match=r"coadd-1.fits has no HDU\(s\) R_MASK"):
        read_spectra(path)
    desi(path, shift=0.3)
    with pytest.raises(ValueError, match="not on one grid of 0.8 Angstrom"):
        read_spectra(path)


def test_gaia_rvs_of_one_source(tmp_path):
    axis = np.linspace(846, 870, 2401)
    flux = np.where(np.arange(2401) < 2, np.nan, 0.9)
    table = QTable(
        {
            "wavelength": axis * u.nm,
            "flux": flux,
            "flux_error": np.where(np.isnan(flux), np.nan, 0.01),
        },
        meta={"source_id": 4911590910260264960},
    )
    table.write(tmp_path / "a.ecsv")
    table.write(tmp_path / "c.xml", format="votable")
    table.meta = {}
    table.write(tmp_path / "b.fits")
    spectra = read_spectra([tmp_path / name for name in ("a.ecsv", "b.fits")])
    assert spectra.names == ["4911590910260264960", "b"]
    assert_allclose(spectra.wavelength, 10 * axis)
    assert_array_equal(np.isnan(spectra.X).sum(axis=1), [2, 2])
    row = spectra.table[0]
    assert (row["layout"], row["medium"], row["frame"]) == (
        "gaia rvs",
        "vacuum",
        "rest",
    )
    assert spectra.normalised.all()
    votable = read_spectra(tmp_path / "c.xml")
    assert_allclose(votable.X, spectra.X[:1])
    with pytest.raises(ValueError, match="RVS spectra has normalised flux only"):
        read_spectra(tmp_path / "a.ecsv", normalised=False)


def test_gaia_xp_of_several_sources(tmp_path):
    ids = [5, 3]
    vectors_ = {
        "source_id": np.array(ids),
        "ra": [10.0, 20.0],
        "flux": np.outer([1e-17, 2e-17], np.ones(343)),
        "flux_error": np.full((2, 343), 1e-19),
    }
    Table(vectors_).write(tmp_path / "raw.fits")
    long = Table(
        {
            "source_id": np.repeat(ids, 343),
            "wavelength": np.tile(np.linspace(336, 1020, 343), 2),
            "flux": np.repeat([1e-17, 2e-17], 343),
            "flux_error": np.full(686, 1e-19),
        }
    )
    long.write(tmp_path / "long.csv")
    for name in ("raw.fits", "long.csv"):
        spectra = read_spectra(tmp_path / name)
        assert spectra.names == ["5", "3"]
        assert_allclose(spectra.wavelength, np.linspace(3360, 10200, 343))
        assert_allclose(spectra.X[:, 0], [1e-17, 2e-17])
        assert list(spectra.table["layout"]) == ["gaia xp"] * 2
        assert u.Unit(spectra.table["unit"][0]) == u.W / u.m**2 / u.nm
    assert_array_equal(read_spectra(tmp_path / "raw.fits").table["ra"], [10, 20])
    Table({"bp_coefficients": [[1.0]], "rp_coefficients": [[1.0]]}).write(
        tmp_path / "continuous.ecsv"
    )
    with pytest.raises(ValueError, match="continuous XP spectra.*GaiaXPy"):
        read_spectra(tmp_path / "continuous.ecsv")


# Archives, images and tables ----------------------------------------------------------


def eso(
    path,
    ucd="em.wl;obs.atmos",
    rows=1,
    unit="nm",
    extra=(),
    err=(0.1, 0.2, 0),
    **header,
):
    axis = np.array([480.0, 480.01, 480.02])
    cells = {
        "WAVE": ("3D", [axis] * rows, unit),
        "FLUX": ("3E", [[1.0, 2, 3]] * rows, "adu"),
        "ERR": ("3E", [err] * rows, "adu"),
        "QUAL": ("3J", [[0, 1, 0]] * rows, ""),
    } | dict(extra)
    hdu = table(cells, "SPECTRUM", VOCLASS="SPECTRUM v1.0", NELEM=3)
    for i, value in enumerate((ucd, "phot.flux.density;em.wl", "stat.error"), start=1):
        hdu.header[f"TUCD{i}"] = value
    cards = {"PRODCATG": "SCIENCE.SPECTRUM", "OBJECT": "HD 1", "SPECSYS": "BARYCENT"}
    return write(path, primary(**cards | header), hdu)


def test_eso(tmp_path):
    spectra = read_spectra(eso(tmp_path / "ADP.fits", RA=7.0, SNR=55.0))
    assert spectra.names == ["HD 1"]
    assert_allclose(spectra.wavelength, [4800, 4800.1, 4800.2])
    assert_array_equal(spectra.X, [[1, np.nan, np.nan]])
    row = spectra.table[0]
    assert (row["medium"], row["frame"], row["scale"]) == (
        "air",
        "barycentric",
        "relative",
    )
    assert (row["unit"], row["snr"]) == ("adu", 55)
    assert_array_equal(
        read_spectra(tmp_path / "ADP.fits", bad_bits=()).X, [[1, 2, np.nan]]
    )
    vacuum = eso(tmp_path / "b.fits", ucd="em.wl", unit="angstrom", CONTNORM=True)
    spectra = read_spectra(vacuum)
    assert spectra.medium[0] == "vacuum"
    assert spectra.normalised[0]
    assert_allclose(spectra.wavelength, [480, 480.01, 480.02])
    with pytest.raises(ValueError, match=r"CONTNORM = T\) has normalised flux only"):
        read_spectra(vacuum, normalised=False)
    # HARPS has a column of errors, and none in it
    without = eso(tmp_path / "d.fits", err=(np.nan,) * 3)
    spectra = read_spectra(without)
    assert spectra.sigma is None
    assert_array_equal(spectra.X, [[1, np.nan, 3]])
    calibrated = eso(tmp_path / "c.fits", FLUXCAL="ABSOLUTE")
    assert read_spectra(calibrated).table["scale"][0] == "calibrated"


def test_eso_that_breaks_the_standard(tmp_path):
    path = eso(tmp_path / "ADP.fits", rows=2)
    with pytest.raises(ValueError, match="HDU 1 has 2 rows"):
        read_spectra(path)
    eso(path, unit="km/s")
    with pytest.raises(ValueError, match="HDU 1: column 'WAVE' must be a wavelength"):
        read_spectra(path)
    second = {"FLUX_B": ("3E", [[5.0, 5, 5]], "adu")}
    eso(path, extra=second)
    with fits.open(path, "update") as hdus:
        hdus[1].header["TUCD5"] = "phot.flux.density;em.wl;meta.main"
    # the main one, where there are two
    assert_array_equal(read_spectra(path).X, [[5, np.nan, np.nan]])
    with fits.open(path, "update") as hdus:
        hdus[1].header["TUCD3"] = "meta.code"
    with pytest.raises(ValueError, match=r"one column of errors \(UCD 'stat.error'"):
        with fits.open(path, "update") as hdus:
            hdus[1].header["TTYPE3"] = "NOISE"
        read_spectra(path)


def test_images_with_a_dispersion_axis(tmp_path):
    path = tmp_path / "star.fits"
    linear = {"CRVAL1": 5000.0, "CD1_1": 0.5, "CRPIX1": 2, "OBJECT": "HD 2"}
    write(path, primary(np.ones(3), CUNIT1="Angstrom", **linear))
    spectra = read_spectra(path)
    assert_allclose(spectra.wavelength, [4999.5, 5000, 5000.5])
    assert spectra.sigma is None
    row = spectra.table[0]
    assert (row["name"], row["medium"], row["frame"]) == ("HD 2", "unknown", "unknown")
    stated = read_spectra(path, medium="air", frame="rest", normalised=True)
    assert (stated.medium[0], stated.frame[0]) == ("air", "rest")
    assert stated.normalised[0]
    # IRAF's logarithmic axis, in its own words for the unit
    log = {"CRVAL1": 3.58, "CDELT1": 1e-4, "CRPIX1": 1, "DC-FLAG": 1}
    words = {"WAT1_001": "wtype=linear label=Wavelength units=angstroms"}
    errors = image([0.1, 0.0, 0.2], "SIGMA")
    write(path, primary(np.ones(3), CTYPE1="LINEAR", **log, **words), errors)
    spectra = read_spectra(path)
    assert_allclose(spectra.wavelength, 10 ** (3.58 + 1e-4 * np.arange(3)))
    assert_allclose(spectra.sigma, [[0.1, np.nan, 0.2]])
    # the standard's, which is another one: Greisen et al. 2006
    standard = {"CTYPE1": "AWAV-LOG", "CUNIT1": "nm", "CRVAL1": 500.0, "CDELT1": 0.01}
    ivar = image([4.0, 16, 0], "IVAR")
    write(path, primary(np.ones(3), CRPIX1=1, **standard), ivar)
    spectra = read_spectra(path)
    assert_allclose(spectra.wavelength, 5000 * np.exp(np.arange(3) * 0.01 / 500))
    assert spectra.medium[0] == "air"
    assert_allclose(spectra.sigma, [[0.5, 0.25, np.nan]])
    with pytest.raises(ValueError, match=r"medium \['air'\], and `medium` is 'vacuum'"):
        read_spectra(path, medium="vacuum")
    vacuum = {"CTYPE1": "WAVE", "CUNIT1": "nm", "CRVAL1": 500.0, "CDELT1": 0.01}
    write(path, primary(np.ones(3), **vacuum), image([4.0, 9, 0], "VARIANCE"))
    spectra = read_spectra(path)
    assert spectra.medium[0] == "vacuum"
    assert_allclose(spectra.wavelength, [5000, 5000.1, 5000.2])
    assert_allclose(spectra.sigma, [[2, 3, np.nan]])


def test_images_that_do_not_say_enough(tmp_path):
    path = tmp_path / "star.fits"
    linear = {"CRVAL1": 5000.0, "CDELT1": 0.5}
    write(path, primary(np.ones(3), **linear))
    with pytest.raises(ValueError, match="neither CUNIT1 nor WAT1_001"):
        read_spectra(path)
    assert_allclose(
        read_spectra(path, wavelength_unit="Angstrom").wavelength[1], 5000.5
    )
    write(path, primary(np.ones(3), CUNIT1="Angstrom", **linear, **{"DC-FLAG": -1}))
    with pytest.raises(ValueError, match="DC-FLAG must be 0 .* got -1"):
        read_spectra(path)
    # rows of spSpec files, for one, are flux, errors and masks
    rows = np.arange(6.0).reshape(2, 3)
    write(path, primary(rows, CUNIT1="Angstrom", **linear))
    with pytest.raises(ValueError, match="has 2 rows, and nothing says that they are"):
        read_spectra(path)
    write(path, primary(rows, CUNIT1="Angstrom", APNUM1="1 1", **linear))
    assert_array_equal(read_spectra(path).X, rows)
    sky = primary(np.ones(3), CUNIT1="Angstrom", **linear)
    write(path, sky, image(np.ones(4), "ERR"))
    with pytest.raises(ValueError, match=r"HDU ERR has the shape \(1, 4\)"):
        read_spectra(path)
    write(path, sky, image(np.ones(3), "ERR"), image(np.ones(3), "VARIANCE"))
    with pytest.raises(ValueError, match=r"\['ERR', 'VARIANCE'\] may all be errors"):
        read_spectra(path)
    with pytest.raises(ValueError, match="`bad_bits` is given, and no file has a mask"):
        write(path, sky)
        read_spectra(path, bad_bits=[1])


def multispec(specs, **more):
    cards = {"CTYPE1": "MULTISPE", "CTYPE2": "MULTISPE", "CDELT1": 1.0, "WCSDIM": 2}
    text = "wtype=multispec " + " ".join(
        f'spec{i + 1} = "{spec}"' for i, spec in enumerate(specs)
    )
    cards["WAT1_001"] = "wtype=multispec label=Wavelength units=angstroms"
    for i in range(0, len(text), 68):
        cards[f"WAT2_{i // 68 + 1:03}"] = text[i : i + 68]
    return cards | more


def test_multispec(tmp_path):
    path = tmp_path / "echelle.fits"
    # linear, logarithmic with a redshift, and Legendre polynomials of 1 to 5
    specs = (
        "1 1 0 5000.0 0.5 5 0.0 10.5 20.5",
        "2 2 1 3.7 0.0001 5 0.001 10.5 20.5",
        "3 3 2 6000.0 1.0 5 0.0 10.5 20.5 1.0 0.0 2 3 1.0 5.0 6002.0 2.0 0.1",
    )
    data = np.arange(4 * 3 * 5, dtype="f4").reshape(4, 3, 5) + 1
    bands = {
        f"BANDID{i + 1}": name for i, name in enumerate(("spectrum", "raw", "sky"))
    }
    write(path, primary(data, **multispec(specs, BANDID4="sigma - x", **bands)))
    spectra = read_spectra(path)
    assert len(spectra) == 3
    assert_array_equal(spectra.X, data[0])
    assert_array_equal(spectra.sigma, data[3])
    pixel = np.arange(5)
    assert_allclose(spectra.wavelength[0], 5000 + 0.5 * pixel)
    assert_allclose(spectra.wavelength[1], 10 ** (3.7 + 1e-4 * pixel) / 1.001)
    x = (pixel - 2) / 2
    assert_allclose(spectra.wavelength[2], 6002 + 2 * x + 0.05 * (3 * x**2 - 1))
    assert spectra.table["extension"][1] == "aperture 2"
    raw = specs[0].replace("1 1 0", "1 1 -1")
    write(path, primary(data[:, :1], **multispec([raw])))
    with pytest.raises(ValueError, match="aperture 1 has no dispersion solution"):
        read_spectra(path)
    short = specs[0].replace("0.5 5", "0.5 4")
    write(path, primary(data[:, :1], **multispec([short])))
    with pytest.raises(ValueError, match="aperture 1 has 4 of 5 pixels"):
        read_spectra(path)
    spline = specs[2].replace("1.0 0.0 2 3 1.0 5.0", "1.0 0.0 3 3 1.0 5.0")
    write(path, primary(data, **multispec((*specs[:2], spline))))
    with pytest.raises(
        ValueError, match="aperture 3 has a dispersion function of type 3"
    ):
        read_spectra(path)
    write(path, primary(data, **multispec(specs[:2])))
    with pytest.raises(ValueError, match=r"WAT2 describes 2 aperture\(s\).*has 3"):
        read_spectra(path)


def test_tables_as_people_write_them(tmp_path):
    axis = [5002.0, 5000.0, 5001.0]
    numbers = np.column_stack([axis, [3.0, 1, 2], [0.3, 0.1, 0.2]])
    np.savetxt(tmp_path / "a.txt", numbers)
    np.savetxt(
        tmp_path / "b.csv",
        numbers,
        delimiter=",",
        header="Wave,Flux,e_Flux",
        comments="",
    )
    for name in ("a.txt", "b.csv"):
        with pytest.raises(ValueError, match="has no unit. Give `wavelength_unit`"):
            read_spectra(tmp_path / name)
        spectra = read_spectra(tmp_path / name, wavelength_unit="Angstrom")
        # in order of wavelength
        assert_allclose(spectra.wavelength, [5000, 5001, 5002])
        assert_allclose(spectra.X, [[1, 2, 3]])
        assert_allclose(spectra.sigma, [[0.1, 0.2, 0.3]])
        assert spectra.names == [name[0]]
    data = {"lambda": axis * u.AA, "flux": [3.0, 1, 2] * u.Jy, "ivar": [4.0, 0, 16]}
    path = tmp_path / "c.fits"
    QTable(data).write(path)
    spectra = read_spectra(path)
    assert_allclose(spectra.X, [[np.nan, 2, 3]])
    assert_allclose(spectra.sigma, [[np.nan, 0.25, 0.5]])
    assert spectra.table["unit"][0] == "Jy"
    # vectors in one row, by names of one's own
    odd = {"ll": ("3D", [np.log10(axis)]), "f": ("3E", [[3.0, 1, 2]])}
    odd |= {"v": ("3E", [[0.09, 0.01, 0.04]]), "bad": ("3J", [[0, 1, 0]])}
    write(path, primary(OBJECT="HD 3"), table(odd))
    columns = {"loglam": "LL", "flux": "f", "variance": "v", "mask": "bad"}
    spectra = read_spectra(path, layout="table", columns=columns)
    assert spectra.names == ["HD 3"]
    assert_allclose(spectra.wavelength, [5000, 5001, 5002])
    assert_allclose(spectra.sigma, [[np.nan, 0.2, 0.3]], rtol=1e-6)


def test_tables_that_do_not_say_enough(tmp_path):
    path = tmp_path / "a.ecsv"

    def written(**data):
        QTable({"wavelength": [1.0, 2] * u.nm} | data).write(path, overwrite=True)
        return path

    with pytest.raises(ValueError, match="no columns of wavelength and flux among"):
        read_spectra(written(counts=[1.0, 2]))
    with pytest.raises(ValueError, match=r"\['error', 'sigma'\] may all be the error"):
        read_spectra(written(flux=[1.0, 2], error=[1.0, 1], sigma=[1.0, 1]))
    with pytest.raises(ValueError, match="it has error and ivar; say by"):
        read_spectra(written(flux=[1.0, 2], error=[1.0, 1], ivar=[1.0, 1]))
    read_spectra(path, columns={"ivar": None})
    with pytest.raises(ValueError, match="`columns` has 'fluxes'.*Did you mean 'flux'"):
        read_spectra(path, columns={"fluxes": "flux"})
    with pytest.raises(ValueError, match="no column 'Flx' among.*Did you mean 'flux'"):
        read_spectra(path, columns={"flux": "Flx"})
    with pytest.raises(ValueError, match="no spectra of visits"):
        read_spectra(path, visits=True)
    QTable({"wavelength": [1.0, 1] * u.nm, "flux": [1.0, 2]}).write(
        path, overwrite=True
    )
    with pytest.raises(ValueError, match="no two the same"):
        read_spectra(path)
    QTable({"wavelength": [-1.0, 1] * u.nm, "flux": [1.0, 2]}).write(
        path, overwrite=True
    )
    with pytest.raises(ValueError, match="must be positive, got -10 Angstrom"):
        read_spectra(path)


class ReadBySpecutils:
    """What specutils gives: units on everything, and one mask."""

    def __init__(self, axis, flux, uncertainty=None, mask=None, meta=()):
        self.spectral_axis, self.flux = axis, flux
        self.uncertainty, self.mask, self.meta = uncertainty, mask, dict(meta)


def test_specutils_where_it_is_asked_for(tmp_path, monkeypatch):
    path = tmp_path / "other.fits"
    write(path, primary())
    monkeypatch.setitem(sys.modules, "specutils", None)
    with pytest.raises(ImportError, match=r"pip install .skastro\[specutils\]"):
        read_spectra(path, layout="specutils")
    axis = [3e15, 2e15, 1e15] * u.Hz
    flux = [[1.0, 2, 3], [4, 5, 6]] * u.Jy
    ivar = InverseVariance(np.array([[4.0, 0, 4], [4, 4, 4]]))
    bad = np.array([[False] * 3, [True, False, False]])
    found = [ReadBySpecutils(axis, flux, ivar, bad, {"header": {"OBJECT": "HD 4"}})]
    found.append(ReadBySpecutils([1, 2, 3] * u.um, [7.0, 8, 9] * u.Jy))

    class SpectrumList:
        def read(path):
            if not found:
                raise OSError("no loader")
            return found

    package = types.SimpleNamespace(SpectrumList=SpectrumList)
    monkeypatch.setitem(sys.modules, "specutils", package)
    spectra = read_spectra(path, layout="specutils", medium="vacuum")
    assert spectra.names == ["HD 4", "HD 4", "other"]
    # in order of wavelength
    assert_allclose(spectra.wavelength[0], 2.99792458e18 / np.array([3e15, 2e15, 1e15]))
    assert_array_equal(spectra.X, [[1, np.nan, 3], [np.nan, 5, 6], [7, 8, 9]])
    assert_array_equal(spectra.sigma[1], [np.nan, 0.5, 0.5])
    assert list(spectra.table["unit"]) == ["Jy"] * 3
    assert list(spectra.medium) == ["vacuum"] * 3
    found[1] = ReadBySpecutils([1, 2, 3] * u.s, [7.0, 8, 9] * u.Jy)
    with pytest.raises(ValueError, match="spectrum 1: its axis is in s"):
        read_spectra(path, layout="specutils")
    found.clear()
    with pytest.raises(ValueError, match="specutils does not read .*: no loader"):
        read_spectra(path, layout="specutils")


# All together -------------------------------------------------------------------------


def test_many_surveys_at_once(tmp_path, capsys):
    paths = [
        spec(tmp_path / "spec-1-2-3.fits"),
        galah_dr3(tmp_path, 1),
        apstar(tmp_path / "apStar-r5-x.fits", 2),
    ]
    spectra = read_spectra(paths, verbose=1)
    assert "spectra" in capsys.readouterr().err
    assert list(spectra.medium) == ["vacuum", "air", "vacuum"]
    assert list(spectra.frame) == ["heliocentric", "barycentric", "rest"]
    assert spectra.X.shape == spectra.wavelength.shape == (3, 6)
    assert_array_equal(np.isfinite(spectra.wavelength).sum(axis=1), [5, 4, 6])
    assert spectra.table["file"][1] == str(paths[1])
    assert np.isnan(spectra.table["ra"][1])
    assert spectra.table["class"][1] == ""
    text = repr(spectra)
    assert "1 galah dr3: 4713.0 to 4713.1 Angstrom (air, barycentric), counts" in text
    assert len(text.splitlines()) == 4
    with pytest.raises(
        ValueError, match=r"'BADPIX'.*of layout 'sdss spec'.*`bad_bits="
    ):
        read_spectra(paths, bad_bits=["BADPIX"])


def test_air_and_vacuum_are_no_one_grid(tmp_path):
    paths = [
        eso(tmp_path / "air.fits"),
        eso(tmp_path / "vacuum.fits", ucd="em.wl"),
    ]
    assert read_spectra(paths).wavelength.ndim == 2
    assert read_spectra(paths[:1] * 2).wavelength.ndim == 1


def test_files_that_lack_what_their_layout_has(tmp_path):
    path = tmp_path / "spec-1-2-3.fits"
    n = 5
    columns = {"or_mask": ("J", np.zeros(n)), "and_mask": ("2J", np.zeros((n, 2)))}
    with pytest.raises(ValueError, match=r"HDU COADD: mask has the shape \(5, 2\)"):
        read_spectra(spec(path, **columns))
    spec(path)
    with fits.open(path, "update") as hdus:
        hdus[1].header["TTYPE5"] = "other"
    with pytest.raises(ValueError, match="HDU COADD: no column 'or_mask' among"):
        read_spectra(path, any_exposure=True)
    apstar(path, 2)
    with fits.open(path) as hdus:
        hdus[2].data = hdus[2].data[:2]
        write(tmp_path / "apStar.fits", *hdus)
    with pytest.raises(ValueError, match="HDUs 1 to 3 must have one shape"):
        read_spectra(tmp_path / "apStar.fits")
    path = galah_dr3(tmp_path, 1)
    with fits.open(path) as hdus:
        hdus[1].data = hdus[1].data[:2]
        write(path, *hdus)
    with pytest.raises(ValueError, match="has 4 pixels, its relative errors in HDU 1"):
        read_spectra(path)
    with fits.open(path) as hdus:
        hdus[1].data = None
        write(path, *hdus)
    with pytest.raises(ValueError, match="HDU 1 holds no image"):
        read_spectra(path)
    path = galah_dr3(tmp_path, 2)
    fits.delval(path, "CDELT1")
    with pytest.raises(ValueError, match="header has no CDELT1 or CD1_1"):
        read_spectra(path)
    path = mwm(tmp_path / "mwmVisit-0.6.0-54321.fits", visit=True)
    fits.delval(path, "CRVAL", extname="BOSS/APO")
    with pytest.raises(ValueError, match="HDU BOSS/APO: neither a column 'wavelength'"):
        read_spectra(path)
    path = desi(tmp_path / "coadd-1.fits")
    with fits.open(path) as hdus:
        hdus["R_FLUX"].data = hdus["R_FLUX"].data[:2]
        write(path, *hdus)
    with pytest.raises(ValueError, match=r"has the shape \(2, 4\), not \(3, 4\)"):
        read_spectra(path)
    write(path, primary(), image(np.ones(3)))
    with pytest.raises(ValueError, match=r"HDU 1 : an image of \(3,\)"):
        read_spectra(path)
    with pytest.raises(ValueError, match=r"no table with the columns \['f'\]"):
        read_spectra(path, layout="table", columns={"flux": "f"})
    empty = fits.BinTableHDU.from_columns([fits.Column("TARGETID", "K", array=[])])
    empty.name = "FIBERMAP"
    arm = [image(np.ones((0, 3)), f"B_{kind}") for kind in ("FLUX", "IVAR", "MASK")]
    write(path, primary(), empty, image(3600 + np.arange(3.0), "B_WAVELENGTH"), *arm)
    with pytest.raises(ValueError, match=r"No spectrum in 1 file\(s\)"):
        read_spectra(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="No file nowhere.fits"):
        read_spectra("nowhere.fits")
    with pytest.raises(ValueError, match="`paths` is empty"):
        read_spectra([])
    page = tmp_path / "page.fits"
    page.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="page.fits is not a readable FITS file"):
        read_spectra(page)
    binary = tmp_path / "noise.dat"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="noise.dat is not a table that astropy reads"):
        read_spectra(binary)
    path = tmp_path / "other.fits"
    write(path, primary(), table({"A": ("E", [1.0]), "B": ("E", [2.0])}, "STUFF"))
    with pytest.raises(ValueError) as error:
        read_spectra(path)
    message = str(error.value)
    assert "HDU 1 STUFF: a table of A, B" in message
    assert "'sdss spec' (spec-*)" in message
    with pytest.raises(
        ValueError, match=r"not of layout 'desi'.*HDU 0 PRIMARY: no data"
    ):
        read_spectra(path, layout="desi")
    with pytest.raises(ValueError, match="got 'sdss specs'. Did you mean 'sdss spec'"):
        read_spectra(path, layout="sdss specs")
    with pytest.raises(ValueError, match="`medium` must be None or one of .*'vaccum'"):
        read_spectra(path, medium="vaccum")
    text = tmp_path / "a.txt"
    text.write_text("1 2\n3 4\n")
    with pytest.raises(ValueError, match="not a FITS file, as layout 'desi'"):
        read_spectra(text, layout="desi")
