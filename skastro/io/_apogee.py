"""Spectra of the APOGEE survey, in the files of its public releases."""

import re
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch
from tqdm.auto import tqdm

from ..preprocessing import censor_pixels
from ..utils.fits_files import column_names, opened, read_columns
from ._spectrum_sdss import visit_labels

#: Pixels of a combined spectrum, and those of its three detectors: 7,514 in all.
N_PIXELS = 8575
DETECTORS = ((246, 3274), (3585, 6080), (6344, 8335))
#: Bits of the pixel mask that make a pixel bad: BADPIX, CRPIX, SATPIX, UNFIXABLE,
#: BADDARK, BADFLAT, BADERR, NOSKY.
BAD_BITS = (0, 1, 2, 3, 4, 5, 6, 7)
#: STAR_BAD in ASPCAPFLAG.
STAR_BAD = 1 << 23
#: Labels that come first, if the release has them.
LABELS = (
    *("TEFF", "LOGG", "M_H", "ALPHA_M", "FE_H", "SNR", "VHELIO_AVG", "AK_TARG"),
    *("C_FE", "N_FE", "O_FE", "NA_FE", "MG_FE", "AL_FE", "SI_FE", "S_FE", "K_FE"),
    *("CA_FE", "TI_FE", "V_FE", "MN_FE", "NI_FE"),
)
#: The others: what else describes a star, each element, and errors and flags of both.
_MORE = ("VMICRO", "VMACRO", "VSINI", "VSCATTER", "VERR", "NVISITS", "RV_FLAG")
_FLAGS = ("ASPCAPFLAG", "STARFLAG", "ANDFLAG")
_ELEMENT = re.compile(r"(?!X_)[A-Z][A-Z0-9]{0,3}_(FE|H)")
_NAME = re.compile(r"aspcapStar-[^-]+-(?!l\d+c)(.+)\.fits$")


def read_apogee(
    spectra,
    allstar=None,
    members=None,
    *,
    pixel_masks=None,
    max_error=0.05,
    bad_bits=BAD_BITS,
    temperature=(4000, 5000),
    gravity=(1.5, 3.0),
    min_probability=0.8,
    label_names=None,
    out=None,
    verbose=0,
):
    """Read APOGEE spectra, labels and cluster memberships.

    Parameters
    ----------
    spectra : sequence of path
        ``aspcapStar`` files, continuum-normalised spectra of one star each. Where the
        two folders above a file are its field and telescope, as on the survey's
        server, they tell apart stars that were observed in several fields.
    allstar : path, default=None
        The ``allStar`` table. Without it there are no labels, and no cuts.
    members : path, default=None
        The ``occam_member`` table of open-cluster members. Without it every star is a
        field star.
    pixel_masks : sequence of path, default=None
        ``apStar`` or ``asStar`` files, one for each spectrum, whose masks say which
        pixels are bad.
    max_error : float, default=0.05
        Largest 1-sigma error of a pixel that is kept.
    bad_bits : sequence of int, default=(0, 1, 2, 3, 4, 5, 6, 7)
        Bits of the masks that make a pixel bad.
    temperature : tuple of two float, default=(4000, 5000)
        Range of effective temperature [K]; None for any.
    gravity : tuple of two float, default=(1.5, 3.0)
        Range of log g [dex]; None for any.
    min_probability : float, default=0.8
        Least membership probability ``CG_PROB`` (Cantat-Gaudin et al. 2018) of a
        cluster's star; others are field stars.
    label_names : sequence of str, default=None
        Columns of the allStar table that become labels; by default parameters, signal
        to noise, velocity, extinction, the abundances of all elements that the release
        has, their errors (``_ERR``) and flags (``_FLAG``), and the flags of the star.
    out : path, default=None
        Folder for ``X.npy`` and ``sigma.npy``, which are then mapped and not held in
        memory: 9 GB for 151,145 stars.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    data : Bunch
        With ``X``, flux of shape (n_stars, 7514), NaN where the error exceeds
        `max_error` or the mask says bad, and ``sigma``, its 1-sigma errors, both
        float32; ``y``, the number of the cluster of each star in ``cluster_names``, or
        -1; ``labels``, an astropy Table with a row for each star, its units as in the
        allStar table and NaN where unknown; ``wavelength`` (7514,) [Angstrom, vacuum];
        ``visits``, a Table with a row for each visit of each star, its ``velocity``
        [km/s], signal to noise and flag, by the headers of `pixel_masks`, None without
        them; and ``dropped``, a Table of the stars that were left out and why.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If a file lacks a header key or column, or is of another shape, or no star is
        left.

    See Also
    --------
    skastro.datasets.fetch_apogee : Downloads the files.
    read_spectra : Reads files of any survey; of apStar also the spectra of visits.
    skastro.preprocessing.censor_pixels : Sets bad pixels to NaN.

    Notes
    -----
    The cuts are those of the thesis. Stars that ASPCAP flags as STAR_BAD are left out,
    and so is a second spectrum of a star, that of lower signal to noise. Limits of
    the cuts are part of the ranges.

    References
    ----------
    .. [1] *Decoding Astronomical Spectra Using Machine Learning*, section 5.4.1.
    .. [2] Abdurro'uf et al. 2022, ApJS 259, 35: SDSS data release 17.
    .. [3] Myers et al. 2022, AJ 164, 85: OCCAM, the open clusters.

    Examples
    --------
    >>> from skastro.io import read_apogee
    >>> read_apogee(["aspcapStar-dr17-2M00000000+0000000.fits"])
    Traceback (most recent call last):
        ...
    FileNotFoundError: No file aspcapStar-dr17-2M00000000+0000000.fits.
    """
    if isinstance(spectra, str | Path):
        spectra = [spectra]
    spectra = [Path(path) for path in spectra]
    if not spectra:
        raise ValueError("`spectra` is empty: give the paths of aspcapStar files.")
    if pixel_masks is not None and len(pixel_masks) != len(spectra):
        raise ValueError(
            f"`pixel_masks` must have a file for each of the {len(spectra)} spectra,"
            f" got {len(pixel_masks)}."
        )
    for spectrum, mask in zip(spectra, pixel_masks or [], strict=False):
        if _star(spectrum)[0] not in Path(mask).name:
            raise ValueError(
                f"`pixel_masks` has {mask} for {spectrum}, which is another star."
            )
    for path in [*spectra, *(pixel_masks or []), allstar, members]:
        if path is not None and not Path(path).is_file():
            raise FileNotFoundError(f"No file {path}.")
    keep, labels, dropped = _select(spectra, allstar, temperature, gravity, label_names)
    if not len(keep):
        raise ValueError(
            f"No star is left of {len(spectra)}: {_reasons(dropped)}. Widen the cuts."
        )
    names, y = _memberships(labels["APOGEE_ID"], members, min_probability)
    pixels = np.concatenate([np.arange(*detector) for detector in DETECTORS])
    arrays = _Arrays((len(keep), len(pixels)), out)
    X, sigma = arrays.X, arrays.sigma
    visits = []
    wavelength = None
    for row, i in enumerate(tqdm(keep, desc="spectra", disable=not verbose)):
        flux, error, grid = _read_spectrum(spectra[i])
        if wavelength is None:
            wavelength = grid
        elif not np.allclose(grid, wavelength, rtol=1e-8):
            raise ValueError(
                f"{spectra[i]} has other wavelengths (CRVAL1, CDELT1) than"
                f" {spectra[keep[0]]}."
            )
        mask = None
        if pixel_masks is not None:
            mask, found = _read_mask(pixel_masks[i])
            mask = mask[None, pixels]
            visits += [
                {"APOGEE_ID": labels["APOGEE_ID"][row]} | visit for visit in found
            ]
        X[row] = censor_pixels(
            flux[None, pixels],
            error[None, pixels],
            max_error,
            mask,
            None if mask is None else bad_bits,
        )
        sigma[row] = error[pixels]
    X, sigma = arrays.finish()
    return Bunch(
        X=X,
        sigma=sigma,
        y=y,
        cluster_names=names,
        labels=labels,
        wavelength=wavelength[pixels],
        visits=None if pixel_masks is None else _visit_table(visits),
        dropped=dropped,
    )


class _Arrays:
    """Flux and errors, in memory or in files that are named when they are whole."""

    def __init__(self, shape, out):
        self.out = None if out is None else Path(out)
        if out is None:
            self.X, self.sigma = (np.empty(shape, np.float32) for _ in range(2))
            return
        self.out.mkdir(parents=True, exist_ok=True)
        self.X, self.sigma = (
            np.lib.format.open_memmap(
                self.out / f"{name}.part.npy", "w+", np.float32, shape
            )
            for name in ("X", "sigma")
        )

    def finish(self):
        """Return both arrays, mapped if they are in files."""
        if self.out is None:
            return self.X, self.sigma
        for array, name in ((self.X, "X"), (self.sigma, "sigma")):
            array.flush()
            (self.out / f"{name}.part.npy").replace(self.out / f"{name}.npy")
        return tuple(
            np.load(self.out / f"{name}.npy", mmap_mode="r+") for name in ("X", "sigma")
        )


def _read_spectrum(path):
    """Return flux, error and wavelengths of an aspcapStar file."""
    with opened(path) as hdus:
        if len(hdus) < 3:
            raise ValueError(
                f"{path} has {len(hdus)} HDU(s), not those of an aspcapStar file: HDU 1"
                " is the spectrum, HDU 2 its error."
            )
        flux, error = (np.asarray(hdus[i].data, dtype=np.float32) for i in (1, 2))
        for i, data in ((1, flux), (2, error)):
            if data.shape != (N_PIXELS,):
                raise ValueError(
                    f"{path}: HDU {i} has the shape {data.shape}, not ({N_PIXELS},)."
                )
        header = hdus[1].header
        for key in ("CRVAL1", "CDELT1"):
            if key not in header:
                raise ValueError(f"{path}: the header of HDU 1 has no {key}.")
        first = header.get("CRPIX1", 1)
        log = header["CRVAL1"] + header["CDELT1"] * (np.arange(N_PIXELS) + 1 - first)
    return flux, error, 10.0**log


def _read_mask(path):
    """Return the mask of the combined spectrum of an apStar file, and its visits."""
    with opened(path) as hdus:
        if len(hdus) < 4:
            raise ValueError(
                f"{path} has {len(hdus)} HDU(s), not those of an apStar file: HDU 3 is"
                " the pixel mask."
            )
        # the first row is the combination of the visits
        mask = np.atleast_2d(hdus[3].data)[0]
        if mask.shape != (N_PIXELS,) or mask.dtype.kind not in "iu":
            raise ValueError(
                f"{path}: HDU 3 must hold integers in rows of {N_PIXELS}, got"
                f" {mask.dtype} of shape {np.shape(hdus[3].data)}."
            )
        header = hdus[0].header
        n_visits = int(header.get("NVISITS", 0))
        visits = [visit_labels(header, n) for n in range(1, n_visits + 1)]
        return mask.astype(np.int64), visits


def _visit_table(visits):
    """Return visits of stars as a table."""
    from astropy.table import Table

    names = ["APOGEE_ID", *visit_labels({}, 1)]
    table = Table({name: [visit[name] for visit in visits] for name in names})
    for name in ("velocity", "velocity_error"):
        table[name].unit = "km / s"
    return table


def _select(spectra, allstar, temperature, gravity, label_names):
    """Return which spectra to read, their labels, and those left out."""
    from astropy.table import Table

    stars = [_star(path) for path in spectra]
    if allstar is None:
        repeated = _repeated(stars, range(len(stars)))
        keep = np.setdiff1d(np.arange(len(stars)), repeated)
        labels = Table({"APOGEE_ID": [stars[i][0] for i in keep]})
        out = [(i, "another spectrum of the star came first") for i in repeated]
        return keep, labels, _dropped(stars, out)
    ids = {star[0] for star in stars}
    if label_names is None:
        label_names = _all_labels(column_names(allstar))
    label_names = [name.upper() for name in label_names]
    asked_for = dict.fromkeys(["APOGEE_ID", "FIELD", "TELESCOPE", *label_names])
    needed = dict.fromkeys([*asked_for, "ASPCAPFLAG", "SNR", "TEFF", "LOGG"])
    catalogue = read_columns(allstar, needed)
    catalogue = catalogue[np.isin(catalogue["APOGEE_ID"], list(ids))]
    snr = np.nan_to_num(np.asarray(catalogue["SNR"], dtype=float), nan=-np.inf)
    found = {}
    for row, (star, field, telescope) in enumerate(
        zip(*(catalogue[c] for c in ("APOGEE_ID", "FIELD", "TELESCOPE")), strict=True)
    ):
        found.setdefault(star, []).append((field, telescope, row))
    rows, out = {}, []
    for i, (star, field, telescope) in enumerate(stars):
        entries = found.get(star, [])
        same = [row for f, t, row in entries if (f, t) == (field, telescope)]
        candidates = same or [row for _, _, row in entries]
        if not candidates:
            out.append((i, "not in the allStar table"))
            continue
        row = max(candidates, key=lambda row: snr[row])
        if catalogue["ASPCAPFLAG"][row] & STAR_BAD:
            out.append((i, "ASPCAPFLAG is STAR_BAD"))
        elif not _within(catalogue["TEFF"][row], temperature):
            out.append((i, "temperature"))
        elif not _within(catalogue["LOGG"][row], gravity):
            out.append((i, "gravity"))
        else:
            rows[i] = row
    repeated = _repeated(stars, sorted(rows, key=lambda i: -snr[rows[i]]))
    out += [(i, "another spectrum of the star is better") for i in repeated]
    keep = np.array(sorted(set(rows) - set(repeated)), dtype=int)
    labels = catalogue[[rows[i] for i in keep]][list(asked_for)]
    return keep, labels, _dropped(stars, out)


def _all_labels(names):
    """Return the columns of an allStar table that describe stars."""
    names = [name.upper() for name in names]
    values = [name for name in (*LABELS, *_MORE) if name in names]
    values += [name for name in names if _ELEMENT.fullmatch(name)]
    more = [f"{name}_{what}" for what in ("ERR", "FLAG") for name in values]
    wanted = dict.fromkeys((*values, *more, *_FLAGS))
    return [name for name in wanted if name in names]


def _repeated(stars, order):
    """Return which spectra are of stars that came before, in an order."""
    seen, repeated = set(), []
    for i in order:
        if stars[i][0] in seen:
            repeated.append(i)
        seen.add(stars[i][0])
    return repeated


def _star(path):
    """Return name, field and telescope of the star of a file."""
    match = _NAME.search(path.name)
    if not match:
        raise ValueError(
            f"{path} is not named as an aspcapStar file is:"
            " aspcapStar-<release>-<APOGEE_ID>.fits (data releases 16 and 17)."
        )
    parents = [parent.name for parent in path.parents[:2]]
    return match[1], *(parents + ["", ""])[:2]


def _within(value, limits):
    return limits is None or bool(limits[0] <= value <= limits[1])


def _dropped(stars, out):
    from astropy.table import Table

    out = sorted(out)
    return Table(
        {
            "APOGEE_ID": np.array([stars[i][0] for i, _ in out], dtype=str),
            "reason": np.array([reason for _, reason in out], dtype=str),
        }
    )


def _reasons(dropped):
    reasons, counts = np.unique(dropped["reason"], return_counts=True)
    return ", ".join(
        f"{n} for {str(r)!r}" for r, n in zip(reasons, counts, strict=True)
    )


def _memberships(ids, members, min_probability):
    """Return the names of the clusters, and the number of that of each star."""
    y = np.full(len(ids), -1)
    if members is None:
        return [], y
    table = read_columns(members, ["APOGEE_ID", "CLUSTER", "CG_PROB"])
    table = table[table["CG_PROB"] >= min_probability]
    cluster = dict(zip(table["APOGEE_ID"], table["CLUSTER"], strict=True))
    of_star = [cluster.get(star) for star in ids]
    names = sorted({str(name) for name in of_star if name is not None})
    number = {name: i for i, name in enumerate(names)}
    for row, name in enumerate(of_star):
        if name is not None:
            y[row] = number[str(name)]
    return names, y
