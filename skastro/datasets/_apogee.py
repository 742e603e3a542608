"""Download of APOGEE spectra from the survey's public server."""

from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch
from tqdm.auto import tqdm

from ..utils.fits_files import read_columns

_SERVER = "https://data.sdss.org/sas"
#: Folders and names of the files of each release.
_RELEASES = {
    "dr17": {
        "spectrum": "apogee/spectro/aspcap/dr17/synspec_rev1/{telescope}/{field}/"
        "aspcapStar-dr17-{star}.fits",
        "mask": "apogee/spectro/redux/dr17/stars/{telescope}/{field}/"
        "{prefix}-dr17-{star}.fits",
        "allstar": "apogee/spectro/aspcap/dr17/synspec_rev1/"
        "allStar-dr17-synspec_rev1.fits",
        "members": "apogee/vac/apogee-occam/occam_member-DR17.fits",
    },
    "dr16": {
        "spectrum": "apogee/spectro/aspcap/r12/l33/{telescope}/{field}/"
        "aspcapStar-r12-{star}.fits",
        "mask": "apogee/spectro/redux/r12/stars/{telescope}/{field}/"
        "{prefix}-r12-{star}.fits",
        "allstar": "apogee/spectro/aspcap/r12/l33/allStar-r12-l33.fits",
        "members": "apogee/vac/apogee-occam/occam_member-DR16.fits",
    },
}
#: What was downloaded and its SHA-256, to notice files that were damaged since.
_REGISTRY = "sha256.txt"


def fetch_apogee(
    stars,
    *,
    release="dr17",
    data_home=None,
    pixel_masks=False,
    catalogues=True,
    checksums=None,
    n_jobs=4,
    server=_SERVER,
    verbose=0,
):
    """Download APOGEE spectra of given stars, and the tables that describe them.

    Files that are there already, undamaged, are not downloaded again: a download that
    was stopped goes on where it was. What one file lacks does not stop the others.

    Parameters
    ----------
    stars : sequence of str, or of tuples (star, field, telescope), or table
        APOGEE names such as ``"2M00000211+6327470"``, which are looked up in the
        allStar table; or tuples with field and telescope, such as
        ``("2M00000211+6327470", "116+00", "apo25m")``; or a table or structured array
        with the columns ``APOGEE_ID``, ``FIELD`` and ``TELESCOPE``.
    release : {"dr16", "dr17"}, default="dr17"
        Data release. The thesis used the 16th.
    data_home : path, default=None
        Folder for the files; by default ``apogee`` in scikit-learn's data home.
    pixel_masks : bool, default=False
        Whether to download the apStar files too, which hold the pixel masks.
    catalogues : bool, default=True
        Whether to download the allStar table, of several GB, and the OCCAM table of
        open-cluster members.
    checksums : dict, default=None
        SHA-256 of files, by their path below the release's folder on the server. By
        default a file is trusted when it is downloaded, or first found, and checked
        against that from then on.
    n_jobs : int, default=4
        Downloads at once.
    server : str, default="https://data.sdss.org/sas"
        Where the releases are, to use a mirror.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    files : Bunch
        With ``spectra`` and ``pixel_masks``, lists of paths in the order of the stars,
        and ``allstar`` and ``members``, paths or None: the arguments of
        :func:`~skastro.io.read_apogee`.

    Raises
    ------
    ConnectionError
        If the server cannot be reached, or does not have a file; with what to do.
    ValueError
        If a name is not in the allStar table, or a file does not have its checksum.

    Examples
    --------
    >>> from skastro.datasets import fetch_apogee
    >>> fetch_apogee([], release="dr99")
    Traceback (most recent call last):
        ...
    ValueError: `release` must be one of ['dr16', 'dr17'], got 'dr99'.
    """
    if release not in _RELEASES:
        raise ValueError(
            f"`release` must be one of {sorted(_RELEASES)}, got {release!r}."
        )
    names = _RELEASES[release]
    folder = Path(data_home) if data_home else Path(get_data_home()) / "apogee"
    folder = folder / release
    folder.mkdir(parents=True, exist_ok=True)
    store = _Store(
        folder,
        f"{server.rstrip('/')}/{release}",
        {path: digest.lower() for path, digest in (checksums or {}).items()},
    )
    found = Bunch(spectra=[], pixel_masks=None, allstar=None, members=None)
    stars = _as_tuples(stars)
    if catalogues or any(field is None for _, field, _ in stars):
        found.allstar = store.fetch([names["allstar"]], 1, verbose)[0]
    if catalogues:
        found.members = store.fetch([names["members"]], 1, verbose)[0]
    if any(field is None for _, field, _ in stars):
        stars = _look_up(stars, found.allstar)
    for kind, key in [("spectrum", "spectra"), ("mask", "pixel_masks")]:
        if kind == "mask" and not pixel_masks:
            continue
        paths = [
            names[kind].format(
                star=star,
                field=field,
                telescope=telescope,
                prefix="asStar" if telescope == "lco25m" else "apStar",
            )
            for star, field, telescope in stars
        ]
        found[key] = store.fetch(paths, n_jobs, verbose)
    return found


class _Store:
    """A folder of downloaded files with their checksums."""

    def __init__(self, folder, url, checksums):
        self.folder = folder
        self.url = url
        self.checksums = checksums
        self.registry = folder / _REGISTRY
        if self.registry.exists():
            for line in self.registry.read_text().splitlines():
                if line.strip():
                    digest, path = line.split(maxsplit=1)
                    self.checksums.setdefault(path, digest.lower())

    def fetch(self, paths, n_jobs, verbose):
        """Download what is missing, and return where the files are."""
        unique = list(dict.fromkeys(paths))
        results = Parallel(
            n_jobs=n_jobs, prefer="threads", return_as="generator_unordered"
        )(delayed(self._fetch)(path) for path in unique)
        bar = tqdm(
            results, total=len(unique), desc="APOGEE", unit="file", disable=not verbose
        )
        errors = []
        for path, digest, error in bar:
            if error is not None:
                errors.append(error)
            elif digest != self.checksums.get(path):
                with self.registry.open("a") as registry:
                    registry.write(f"{digest} {path}\n")
                self.checksums[path] = digest
        if errors:
            more = (
                f" ({len(errors) - 1} more such error(s).)" if len(errors) > 1 else ""
            )
            raise type(errors[0])(f"{errors[0]}{more}") from errors[0]
        return [self.folder / path for path in paths]

    def _fetch(self, path):
        """Return a path with the checksum of its file, or with what went wrong."""
        import pooch

        where = self.folder / path
        known = self.checksums.get(path)
        if where.exists():
            digest = pooch.file_hash(where)
            if known in (None, digest):
                return path, digest, None
        url = f"{self.url}/{path}"
        part = where.with_name(where.name + ".part")
        where.parent.mkdir(parents=True, exist_ok=True)
        try:
            # to another name, so that a file with its name is a whole file
            download(url, part)
            digest = pooch.file_hash(part)
            if known not in (None, digest):
                raise ValueError(
                    f"{url} has the SHA-256 {digest}, expected {known}: it is damaged"
                    f" or has changed. Try again, or take its line out of"
                    f" {self.registry}."
                )
            part.replace(where)
        except OSError as error:  # requests' errors among them
            message = (
                f"{url} could not be downloaded ({error}). If there is no network, copy"
                f" the file to {where} on a machine that has one; if the server does"
                " not have it, check the name, the field and the telescope of the"
                " star. Files that were downloaded before are kept."
            )
            return path, None, ConnectionError(message)
        except ValueError as error:
            return path, None, error
        finally:
            part.unlink(missing_ok=True)
        return path, digest, None


def download(url, where):
    """Download one file."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    pooch.HTTPDownloader(timeout=60)(url, str(where), None)


def _as_tuples(stars):
    """Return (star, field, telescope) with None for what is to be looked up."""
    if isinstance(stars, str | bytes):
        raise ValueError(f"`stars` must be a sequence of stars, got {stars!r}.")
    names = getattr(stars, "colnames", None)  # astropy
    if names is None:
        names = getattr(getattr(stars, "dtype", None), "names", None)
    if names is None and hasattr(stars, "columns"):
        names = list(stars.columns)
    if names is not None:
        columns = ["APOGEE_ID", "FIELD", "TELESCOPE"]
        missing = [column for column in columns if column not in names]
        if missing:
            raise ValueError(f"`stars` has no column(s) {', '.join(missing)}.")
        return list(zip(*(_strings(stars[column]) for column in columns), strict=True))
    found = []
    for star in stars:
        if isinstance(star, bytes):
            star = star.decode()
        star = (str(star), None, None) if isinstance(star, str) else tuple(star)
        if len(star) != 3:
            raise ValueError(
                "`stars` must hold names, or tuples of name, field and telescope, got"
                f" {star}."
            )
        found.append(star)
    return found


def _strings(column):
    return [str(value).strip() for value in np.asarray(column).astype(str)]


def _look_up(stars, allstar):
    """Complete names by the field and telescope of their best spectrum."""
    wanted = [star for star, field, _ in stars if field is None]
    table = read_columns(allstar, ["APOGEE_ID", "FIELD", "TELESCOPE", "SNR"])
    table = table[np.isin(table["APOGEE_ID"], wanted)]
    best_last = np.argsort(np.nan_to_num(table["SNR"], nan=-np.inf), kind="stable")
    columns = (_strings(table[name][best_last]) for name in table.colnames[:3])
    places = {row[0]: row for row in zip(*columns, strict=True)}
    unknown = [star for star in wanted if star not in places]
    if unknown:
        raise ValueError(
            f"{len(unknown)} star(s) are not in {allstar}: {unknown[:5]}"
            f"{' …' if len(unknown) > 5 else ''}."
        )
    return [star if star[1] is not None else places[star[0]] for star in stars]
