"""APOGEE files in the survey's layout: read, and fetched from a local server."""

import functools
import http.server
import threading

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.testing import assert_allclose, assert_array_equal

from skastro.datasets import fetch_apogee
from skastro.io import read_apogee
from skastro.io._apogee import LABELS

N = 8575
STARS = {
    "2M00000001+0000001": ("M67", "apo25m", 4500.0, 2.0, 200.0, 0),
    "2M00000002+0000002": ("M67", "apo25m", 4600.0, 2.5, 150.0, 0),
    "2M00000003+0000003": ("N188", "apo25m", 4700.0, 2.5, 150.0, 0),
    "2M00000004+0000004": ("100+10", "lco25m", 4800.0, 2.9, 90.0, 0),
    "2M00000005+0000005": ("100+10", "lco25m", 5600.0, 2.9, 90.0, 0),
    "2M00000006+0000006": ("100+10", "lco25m", 4500.0, 4.5, 90.0, 0),
    "2M00000007+0000007": ("100+10", "lco25m", 4500.0, 2.0, 90.0, 1 << 23),
    "2M00000008+0000008": ("100+10", "lco25m", -9999.0, 2.0, 90.0, 0),
}
ASPCAP = "dr17/apogee/spectro/aspcap/dr17/synspec_rev1"


def spectrum(path, flux, error, **header):
    path.parent.mkdir(parents=True, exist_ok=True)
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(a.astype(">f4")) for a in (flux, error))]
    hdus.append(fits.ImageHDU(flux.astype(">f4")))  # the best fit
    hdus[1].header.update({"CRVAL1": 4.179, "CDELT1": 6e-6, "CRPIX1": 1} | header)
    fits.HDUList(hdus).writeto(path, overwrite=True)


@pytest.fixture(scope="module")
def server_root(tmp_path_factory):
    """The survey's server in small."""
    root = tmp_path_factory.mktemp("sas")
    rng = np.random.default_rng(0)
    for i, (star, (field, telescope, *_)) in enumerate(STARS.items()):
        flux, error = rng.normal(1, 0.01, N), np.full(N, 0.01)
        flux[:246], error[:246] = 0, 1e10  # off the detectors
        error[300], error[301] = 0.2, 0.05
        flux[400] = 0.5 + i
        spectrum(
            root / ASPCAP / telescope / field / f"aspcapStar-dr17-{star}.fits",
            flux,
            error,
        )
        mask = np.zeros((3, N), dtype=">i4")
        mask[0, 500], mask[0, 501], mask[1, 502] = 1 << 2, 1 << 12, 1
        prefix = "asStar" if telescope == "lco25m" else "apStar"
        path = root / "dr17/apogee/spectro/redux/dr17/stars" / telescope / field
        path.mkdir(parents=True, exist_ok=True)
        images = [fits.ImageHDU(np.ones((3, N))) for _ in range(2)]
        header = fits.Header({"NVISITS": 2, "VHELIO1": -20.0, "VHELIO2": -21.0})
        hdus = [fits.PrimaryHDU(header=header), *images, fits.ImageHDU(mask)]
        fits.HDUList(hdus).writeto(path / f"{prefix}-dr17-{star}.fits")
    # one star twice, in two fields
    again = "2M00000001+0000001"
    spectrum(
        root / ASPCAP / "apo1m" / "other" / f"aspcapStar-dr17-{again}.fits",
        np.ones(N),
        np.full(N, 0.01),
    )
    rows = [(star, *values) for star, values in STARS.items()]
    rows.append((again, "other", "apo1m", 4510.0, 2.0, 50.0, 0))
    names = ["APOGEE_ID", "FIELD", "TELESCOPE", "TEFF", "LOGG", "SNR", "ASPCAPFLAG"]
    table = Table(rows=rows, names=names)
    for label in LABELS:
        if label not in names:
            table[label] = np.full(len(table), 0.1, dtype="f4")
    table["MG_FE"][1] = -9999.99
    table["TEFF"].unit = "K"
    table.write(root / ASPCAP / "allStar-dr17-synspec_rev1.fits")
    occam = Table(
        rows=[
            ("2M00000001+0000001 ", "M 67", 0.9),
            ("2M00000002+0000002 ", "M 67", 1.0),
            ("2M00000003+0000003 ", "NGC 188", 0.95),
            ("2M00000004+0000004 ", "NGC 188", 0.3),
        ],
        names=["APOGEE_ID", "CLUSTER", "CG_PROB"],
    )
    vac = root / "dr17/apogee/vac/apogee-occam"
    vac.mkdir(parents=True)
    occam.write(vac / "occam_member-DR17.fits")
    return root


class Quiet(http.server.SimpleHTTPRequestHandler):
    requested = []

    def log_message(self, *args):
        self.requested.append(self.path)


@pytest.fixture
def server(server_root):
    handler = functools.partial(Quiet, directory=str(server_root))
    Quiet.requested.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def files(server_root):
    return (
        sorted((server_root / ASPCAP).rglob("aspcapStar*.fits")),
        server_root / ASPCAP / "allStar-dr17-synspec_rev1.fits",
        server_root / "dr17/apogee/vac/apogee-occam/occam_member-DR17.fits",
    )


def test_read(files):
    data = read_apogee(*files)
    assert data.X.shape == data.sigma.shape == (4, 7514)
    assert data.X.dtype == data.sigma.dtype == np.float32
    ids = list(data.labels["APOGEE_ID"])
    assert data.cluster_names == ["M 67", "NGC 188"]
    cluster = dict(zip(ids, data.y, strict=True))
    assert cluster == {
        "2M00000001+0000001": 0,
        "2M00000002+0000002": 0,
        "2M00000003+0000003": 1,
        "2M00000004+0000004": -1,
    }
    # bin 246 of the grid is the first of the blue detector
    assert_allclose(data.wavelength[0], 10 ** (4.179 + 6e-6 * 246))
    assert_allclose(data.wavelength[-1], 10 ** (4.179 + 6e-6 * 8334))
    star = ids.index("2M00000003+0000003")
    assert data.X[star, 400 - 246] == 2.5
    assert np.isnan(data.X[star, 300 - 246])
    assert not np.isnan(data.X[star, 301 - 246])
    assert np.isnan(data.X).sum() == 4
    assert_allclose(data.sigma[star, 300 - 246], 0.2)
    assert data.labels["TEFF"].unit == "K"
    assert np.isnan(data.labels["MG_FE"][ids.index("2M00000002+0000002")])
    # of the star with two spectra, the better one
    assert data.labels["SNR"][ids.index("2M00000001+0000001")] == 200
    reasons = dict(zip(data.dropped["APOGEE_ID"], data.dropped["reason"], strict=True))
    assert reasons == {
        "2M00000001+0000001": "another spectrum of the star is better",
        "2M00000005+0000005": "temperature",
        "2M00000006+0000006": "gravity",
        "2M00000007+0000007": "ASPCAPFLAG is STAR_BAD",
        "2M00000008+0000008": "temperature",
    }


def test_cuts_are_parameters(files):
    data = read_apogee(
        *files, temperature=None, gravity=(1, 5), min_probability=0.2, max_error=0.5
    )
    assert len(data.X) == 7
    assert np.isnan(data.X).sum() == 0
    assert np.sum(data.y == 1) == 2


def test_any_labels(files):
    data = read_apogee(*files, label_names=["fe_h", "ASPCAPFLAG"])
    assert data.labels.colnames == [
        *("APOGEE_ID", "FIELD", "TELESCOPE", "FE_H", "ASPCAPFLAG")
    ]
    assert len(data.X) == 4


def test_all_labels_that_a_release_has(files, tmp_path):
    stars = Table.read(files[1])
    for name in ("CE_FE", "CE_FE_ERR", "TEFF_ERR", "FE_H_ERR", "CE_FE_SPEC", "X_H"):
        stars[name] = np.full(len(stars), 0.25, dtype="f4")
    stars["CE_FE_FLAG"] = np.arange(len(stars))
    stars["STARFLAG"] = np.full(len(stars), 4)
    stars.remove_column("V_FE")
    stars.write(tmp_path / "allStar.fits")
    labels = read_apogee(files[0], tmp_path / "allStar.fits", files[2]).labels
    new = ["CE_FE", "TEFF_ERR", "FE_H_ERR", "CE_FE_ERR", "CE_FE_FLAG"]
    known = [name for name in LABELS if name != "V_FE"]
    assert labels.colnames == [
        *("APOGEE_ID", "FIELD", "TELESCOPE", *known),
        *(*new, "ASPCAPFLAG", "STARFLAG"),
    ]
    assert_allclose(labels["CE_FE"], 0.25)
    assert labels["STARFLAG"].dtype.kind == "i"


def test_limits_are_in_the_ranges(files):
    data = read_apogee(*files, temperature=(4500, 4700), min_probability=0.95)
    assert sorted(data.labels["TEFF"]) == [4500, 4600, 4700]
    assert data.cluster_names == ["M 67", "NGC 188"]
    assert np.sum(data.y >= 0) == 2


def test_a_star_is_nobodys_sibling_twice(files):
    data = read_apogee(files[0], members=files[2])
    ids = list(data.labels["APOGEE_ID"])
    assert len(ids) == len(set(ids)) == 8
    assert list(data.dropped["reason"]) == ["another spectrum of the star came first"]


def test_pixel_masks(files, server_root):
    spectra = [f for f in files[0] if "M67" in str(f) or "lco25m" in str(f)]
    masks = [
        next(
            (server_root / "dr17/apogee/spectro/redux").rglob(
                f"a?Star*{f.stem[-9:]}.fits"
            )
        )
        for f in spectra
    ]
    data = read_apogee(spectra, *files[1:], pixel_masks=masks)
    assert_array_equal(
        np.isnan(data.X[:, 499 - 246 : 503 - 246]), [[False, True, False, False]] * 3
    )
    # and the headers of those files know the visits
    assert list(data.visits["visit"]) == [1, 2] * 3
    assert list(data.visits["APOGEE_ID"][::2]) == list(data.labels["APOGEE_ID"])
    assert_array_equal(data.visits["velocity"], [-20, -21] * 3)
    assert np.isnan(data.visits["snr"]).all()
    assert data.visits["velocity"].unit == "km / s"
    data = read_apogee(spectra, *files[1:], pixel_masks=masks, bad_bits=[12])
    assert_array_equal(
        np.isnan(data.X[:, 499 - 246 : 503 - 246]), [[False, False, True, False]] * 3
    )


def test_without_tables_and_on_disk(files, tmp_path, capsys):
    data = read_apogee(files[0], out=tmp_path / "arrays", verbose=1)
    assert "spectra" in capsys.readouterr().err
    assert isinstance(data.X, np.memmap)
    assert data.visits is None
    assert data.X.shape == (8, 7514)
    assert_array_equal(data.y, -1)
    stored = np.load(tmp_path / "arrays" / "X.npy")
    assert_array_equal(stored, data.X)
    # another read replaces the files, and leaves open arrays whole
    fewer = read_apogee(files[0][1:3], out=tmp_path / "arrays")
    assert_array_equal(stored, data.X)
    assert fewer.X.shape == (2, 7514)
    # and one that fails does neither
    bad = tmp_path / "aspcapStar-dr17-2M1.fits"
    bad.write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="2M1.fits is not a readable FITS file"):
        read_apogee([*files[0][1:3], bad], out=tmp_path / "arrays")
    assert_array_equal(np.load(tmp_path / "arrays" / "X.npy"), fewer.X)


def test_bad_files(files, tmp_path, server_root):
    good = files[0][0]
    with pytest.raises(FileNotFoundError, match="No file nowhere"):
        read_apogee(["nowhere/aspcapStar-dr17-2M.fits"])
    with pytest.raises(ValueError, match="is empty"):
        read_apogee([])
    with pytest.raises(ValueError, match="a file for each of the 9 spectra, got 1"):
        read_apogee(files[0], pixel_masks=[good])
    other = tmp_path / "star.fits"
    other.write_bytes(good.read_bytes())
    with pytest.raises(ValueError, match="not named as an aspcapStar file"):
        read_apogee([other])
    bad = tmp_path / "aspcapStar-dr17-2M1.fits"
    fits.PrimaryHDU(np.ones(N)).writeto(bad)
    with pytest.raises(ValueError, match=r"2M1.fits has 1 HDU\(s\)"):
        read_apogee([bad])
    spectrum(bad, np.ones(100), np.ones(100))
    with pytest.raises(ValueError, match=r"HDU 1 has the shape \(100,\)"):
        read_apogee([bad])
    spectrum(bad, np.ones(N), np.ones(N))
    with fits.open(bad, "update") as hdus:
        del hdus[1].header["CDELT1"]
    with pytest.raises(ValueError, match="2M1.fits: the header of HDU 1 has no CDELT1"):
        read_apogee([bad])
    spectrum(bad, np.ones(N), np.ones(N), CRVAL1=4.2)
    with pytest.raises(ValueError, match="2M1.fits has other wavelengths"):
        read_apogee([good, bad])
    with pytest.raises(ValueError, match=r"no column\(s\) FIELD, TELESCOPE"):
        read_apogee(files[0], files[2])
    with pytest.raises(
        ValueError, match=r"No star is left of 9: .*\d for 'temperature'"
    ):
        read_apogee(*files, temperature=(1, 2))
    with pytest.raises(ValueError, match="has no table in HDU 1"):
        read_apogee(files[0], good)
    with pytest.raises(ValueError, match="which is another star"):
        read_apogee([good], pixel_masks=[tmp_path / "apStar-dr17-2M1.fits"])
    short = tmp_path / f"apStar-dr17-{good.stem[-18:]}.fits"
    fits.HDUList([fits.PrimaryHDU()]).writeto(short)
    with pytest.raises(ValueError, match="HDU 3 is the pixel mask"):
        read_apogee([good], pixel_masks=[short])
    images = [fits.ImageHDU(np.ones((2, N))) for _ in range(3)]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(short, overwrite=True)
    with pytest.raises(ValueError, match="HDU 3 must hold integers.*got >f8"):
        read_apogee([good], pixel_masks=[short])


def test_fetch_by_name_and_read(server, tmp_path):
    stars = list(STARS)[:4]
    found = fetch_apogee(stars, data_home=tmp_path, pixel_masks=True, server=server)
    data = read_apogee(
        found.spectra, found.allstar, found.members, pixel_masks=found.pixel_masks
    )
    assert list(data.labels["APOGEE_ID"]) == stars
    assert_array_equal(data.y, [0, 0, 1, -1])
    # the second time nothing is asked for
    n_requests = len(Quiet.requested)
    assert n_requests == 10
    fetch_apogee(stars, data_home=tmp_path, pixel_masks=True, server=server)
    assert len(Quiet.requested) == n_requests


def test_fetch_resumes_and_notices_damage(server, tmp_path, capsys):
    table = Table(
        rows=[(star, *STARS[star][:2]) for star in list(STARS)[:3]],
        names=["APOGEE_ID", "FIELD", "TELESCOPE"],
    )
    options = {"data_home": tmp_path, "catalogues": False, "server": server}
    first = fetch_apogee(table[:1], **options)
    assert first.allstar is None
    found = fetch_apogee(table, verbose=1, **options)
    assert "APOGEE" in capsys.readouterr().err
    assert sum("0000001" in path for path in Quiet.requested) == 1
    good = found.spectra[1].read_bytes()
    found.spectra[1].write_bytes(good[:1000])
    again = fetch_apogee(table, **options)
    assert again.spectra[1].read_bytes() == good
    assert len(Quiet.requested) == 4
    wrong = {str(found.spectra[2].relative_to(tmp_path / "dr17")): "0" * 64}
    with pytest.raises(ValueError, match="expected 000.*damaged"):
        fetch_apogee(table, checksums=wrong, **options)


def test_fetch_goes_on_past_what_is_missing(server, tmp_path):
    stars = [("2M1", "nowhere", "apo25m")]
    stars += [(star, *STARS[star][:2]) for star in list(STARS)[:3] * 2]
    options = {"data_home": tmp_path, "catalogues": False, "server": server}
    with pytest.raises(ConnectionError, match="2M1.fits could not be downloaded"):
        fetch_apogee(stars, **options)
    assert not list(tmp_path.rglob("*.part"))
    n_requests = len(Quiet.requested)
    found = fetch_apogee(stars[1:], **options)
    assert len(Quiet.requested) == n_requests
    assert len(set(Quiet.requested)) == 4
    assert found.spectra[0] == found.spectra[3]


def test_fetch_takes_files_that_were_copied(server, tmp_path):
    star = [(next(iter(STARS)), "M67", "apo25m")]
    options = {"data_home": tmp_path, "catalogues": False}
    found = fetch_apogee(star, server=server, **options)
    (tmp_path / "dr17" / "sha256.txt").unlink()
    nobody = "http://127.0.0.1:9"
    again = fetch_apogee(star, server=nobody, **options)
    assert again.spectra == found.spectra
    # a file that is not as it was stays until there is a better one
    found.spectra[0].write_bytes(b"damaged")
    with pytest.raises(ConnectionError):
        fetch_apogee(star, server=nobody, **options)
    assert found.spectra[0].exists()


def test_fetch_errors_say_what_to_do(server, tmp_path):
    options = {"data_home": tmp_path, "catalogues": False}
    star = [("2M1", "nowhere", "apo25m")]
    with pytest.raises(ConnectionError, match="check the name, the field"):
        fetch_apogee(star, server=server, **options)
    with pytest.raises(ConnectionError, match="no network, copy the file to"):
        fetch_apogee(star, server="http://127.0.0.1:9", **options)
    with pytest.raises(ValueError, match=r"1 star\(s\) are not in .*2M9"):
        fetch_apogee(["2M9"], server=server, data_home=tmp_path)
    with pytest.raises(ValueError, match="a sequence of stars, got '2M9'"):
        fetch_apogee("2M9", server=server, **options)
    with pytest.raises(ValueError, match="name, field and telescope, got"):
        fetch_apogee([("2M9", "M67")], server=server, **options)
    with pytest.raises(ValueError, match=r"no column\(s\) FIELD, TELESCOPE"):
        fetch_apogee(Table({"APOGEE_ID": ["2M1"]}), server=server, **options)
