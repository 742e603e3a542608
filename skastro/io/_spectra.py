"""Spectra of many files, of any survey, in arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ._spectrum_grids import pack
from ._spectrum_layouts import LAYOUTS, bad_bits_of, check_layout, read_file
from ._spectrum_rows import Options
from ._spectrum_surveys import join_galah

_MEDIA = ("vacuum", "air")
_FRAMES = ("rest", "barycentric", "heliocentric", "topocentric")


@dataclass(frozen=True, eq=False, repr=False)
class Spectra:
    """Spectra of several files, with what the files say of them.

    Attributes
    ----------
    X : ndarray of shape (n_spectra, n_pixels)
        Flux in the units of the files (``table["unit"]``), NaN where a pixel is bad or
        not observed. In single precision if all files are.
    sigma : ndarray of shape (n_spectra, n_pixels) or None
        1-sigma errors in the same units, NaN where X is; None if no file has any.
    wavelength : ndarray of shape (n_pixels,) or (n_spectra, n_pixels)
        Wavelengths [Angstrom]; those of each spectrum where grids differ, NaN where a
        spectrum has ended.
    mask : ndarray of int of shape (n_spectra, n_pixels)
        Bit patterns as in the files; 0 where there are none.
    table : astropy.table.Table
        A row for each spectrum: ``name``, ``layout``, ``file``, ``extension``,
        ``medium``, ``frame``, ``scale``, ``unit``, ``velocity`` [km/s], and what else
        the files say (``ra``, ``dec``, ``snr``, ``teff``, …); NaN or "" where unknown.

    See Also
    --------
    read_spectra : Makes one of these.
    """

    X: np.ndarray
    sigma: np.ndarray | None
    wavelength: np.ndarray
    mask: np.ndarray
    table: object

    @property
    def names(self):
        """List of str: names or identifiers of the objects."""
        return [str(name) for name in self.table["name"]]

    @property
    def medium(self):
        """Ndarray of str: what wavelengths are in: "vacuum", "air" or "unknown"."""
        return np.asarray(self.table["medium"])

    @property
    def frame(self):
        """Ndarray of str: "rest", that of an observer, or "unknown"."""
        return np.asarray(self.table["frame"])

    @property
    def normalised(self):
        """Ndarray of bool: which spectra are divided by their continuum."""
        return np.asarray(self.table["scale"]) == "normalised"

    @property
    def velocity(self):
        """Ndarray: radial velocities by the files [km/s], NaN where unknown."""
        return np.asarray(self.table["velocity"], dtype=float)

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        """Return some of the spectra: a slice, indices or a mask."""
        rows = np.atleast_1d(np.arange(len(self))[rows])
        wavelength, pixels = self.wavelength, slice(None)
        if wavelength.ndim == 2:
            wavelength = wavelength[rows]
            pixels = slice(int(np.isfinite(wavelength).sum(axis=1).max(initial=0)))
            wavelength = wavelength[:, pixels]
            same = len(rows) and np.all(wavelength == wavelength[0])
            if same and len(set(self.medium[rows])) == 1:
                wavelength = wavelength[0]
        return Spectra(
            X=self.X[rows, pixels],
            sigma=None if self.sigma is None else self.sigma[rows, pixels],
            wavelength=wavelength,
            mask=self.mask[rows, pixels],
            table=self.table[rows],
        )

    def __repr__(self):
        grid = "one grid" if self.wavelength.ndim == 1 else "a grid for each"
        text = [f"Spectra: {len(self)} of {self.X.shape[1]} pixels, {grid}"]
        columns = ("layout", "medium", "frame", "scale")
        kinds = list(zip(*(self.table[name] for name in columns), strict=True))
        for kind in dict.fromkeys(kinds):
            some = self[np.array([other == kind for other in kinds])]
            missing = np.isnan(some.X) & np.isfinite(some.wavelength)
            missing = missing.sum() / (
                np.broadcast_to(np.isfinite(some.wavelength), some.X.shape).sum()
            )
            layout, medium, frame, scale = kind
            text.append(
                f"  {len(some)} {layout}: {np.nanmin(some.wavelength):.1f} to"
                f" {np.nanmax(some.wavelength):.1f} Angstrom ({medium}, {frame}),"
                f" {scale}, {missing:.1%} missing"
            )
        return "\n".join(text)


def read_spectra(
    paths,
    *,
    layout=None,
    normalised=None,
    visits=False,
    bad_bits=None,
    any_exposure=False,
    medium=None,
    frame=None,
    wavelength_unit=None,
    columns=None,
    verbose=0,
):
    """Read spectra of surveys, archives and one's own, in the layouts of their files.

    The layout of each file is recognised: SDSS, BOSS and SDSS-V, APOGEE, LAMOST, GALAH,
    DESI, Gaia, ESO's archive, images with a dispersion axis, and tables. See
    :ref:`the user guide <spectra>` for what each holds.

    Parameters
    ----------
    paths : path or sequence of path
        Files, of which some (DESI, mwmVisit, tables of Gaia) hold many spectra, and
        four of GALAH one.
    layout : str, default=None
        Layout of all files, such as ``"sdss spec"``; by default each is recognised. Of
        ``"mwm boss"`` and ``"mwm apogee"``, only those spectra are read;
        ``"specutils"`` reads by that package, where it is installed.
    normalised : bool, default=None
        Whether to take a flux that the survey has normalised (GALAH, LAMOST since
        release 7, mwmStar and mwmVisit). By default the main flux: normalised for
        aspcapStar, Gaia RVS and files of ESO that say so. For tables and images, what
        they hold.
    visits : bool, default=False
        Whether to read single visits where a file also has their combination (apStar,
        LAMOST at medium resolution).
    bad_bits : sequence of str or int, "all", or dict, default=None
        Bits of the pixel masks, by name or number, that make a pixel bad; "all" of
        them, or ``()`` for none. A dict has those of each layout. By default as the
        user guide has it.
    any_exposure : bool, default=False
        Whether to take the mask of what was bad in any exposure (``or_mask``), and not
        in all (``and_mask``), where a file has both.
    medium : {"vacuum", "air"}, default=None
        What wavelengths are in, for tables, images and other files that do not say.
    frame : {"rest", "barycentric", "heliocentric", "topocentric"}, default=None
        The frame of those wavelengths.
    wavelength_unit : str, default=None
        Unit of wavelengths in tables and images without one.
    columns : mapping, default=None
        Columns of tables by what they are, ``{"wavelength": "wl", "error": "noise"}``;
        also ``"flux"``, ``"loglam"``, ``"ivar"``, ``"variance"`` and ``"mask"``. None
        says that there is none. By default their usual names are known.
    verbose : int, default=0
        Whether to show a progress bar.

    Returns
    -------
    spectra : Spectra
        Flux, errors, wavelengths, masks, and a table of what the files say.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ImportError
        If `layout` is "specutils", and that is not installed.
    ValueError
        If a file is of no known layout, or lacks what its layout has; or if what was
        asked for is not in it. It names the file, the HDU, and what was found.

    See Also
    --------
    read_apogee : APOGEE's spectra with labels and clusters, of one release.
    skastro.preprocessing.censor_pixels : Sets pixels of large errors to NaN.

    Notes
    -----
    A pixel is NaN, and so is its error, where its mask has a bad bit, or its error or
    inverse variance is zero, negative or not finite, or its flux is not finite.

    Spectra stay on their own grids: nothing is interpolated. Where grids of one layout
    are pieces of one with equal steps in the wavelength or its logarithm, as those of
    SDSS and LAMOST are, spectra are shifted by whole pixels to it, and `wavelength` is
    of one dimension. Otherwise it has a row for each spectrum, and
    ``SpectrumResampler`` brings them to a common grid.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import QTable
    >>> from astropy import units as u
    >>> from skastro.io import read_spectra
    >>> star = QTable({
    ...     "wavelength": [500.0, 500.1, 500.2] * u.nm,
    ...     "flux": [1.0, 0.8, 0.9],
    ...     "error": [0.01, 0.01, 0.0],
    ... })
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "star.ecsv"
    ...     star.write(path)
    ...     spectra = read_spectra(path, medium="air", frame="rest", normalised=True)
    >>> spectra
    Spectra: 1 of 3 pixels, one grid
      1 table: 5000.0 to 5002.0 Angstrom (air, rest), normalised, 33.3% missing
    >>> spectra.X
    array([[1. , 0.8, nan]])
    """
    paths = _checked_paths(paths)
    check_layout(layout)
    _check_choice("medium", medium, _MEDIA)
    _check_choice("frame", frame, _FRAMES)
    _check_bits(bad_bits)
    options = Options(
        layout=layout,
        normalised=normalised,
        visits=visits,
        any_exposure=any_exposure,
        medium=medium,
        frame=frame,
        wavelength_unit=wavelength_unit,
        columns=dict(columns or {}),
    )
    rows, files = [], []
    for path in tqdm(paths, desc="spectra", disable=not verbose):
        found = read_file(path, options)
        _check_stated(path, found, options)
        for row in found:
            # spectra of one grid share it
            if rows and np.array_equal(row.wavelength, rows[-1].wavelength):
                row.wavelength = rows[-1].wavelength
            rows.append(row)
        files += [path] * len(found)
    if not rows:
        raise ValueError(
            f"No spectrum in {len(paths)} file(s): their tables are empty."
        )
    if bad_bits not in (None, "all", ()) and all(row.mask is None for row in rows):
        raise ValueError("`bad_bits` is given, and no file has a mask of pixels.")
    rows, files = join_galah(rows, files)
    wavelength, X, sigma, mask = pack(rows)
    _censor(rows, X, sigma, mask, bad_bits)
    return Spectra(X, sigma, wavelength, mask, _table(rows, files))


def _checked_paths(paths):
    if isinstance(paths, str | Path):
        paths = [paths]
    paths = [Path(path) for path in paths]
    if not paths:
        raise ValueError("`paths` is empty: give the paths of files with spectra.")
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"No file {path}.")
    return paths


def _check_choice(name, value, known):
    if value is not None and value not in known:
        raise ValueError(
            f"`{name}` must be None or one of {list(known)}, got {value!r}."
        )


def _check_stated(path, rows, options):
    """Refuse what a file contradicts."""
    for name in ("medium", "frame"):
        asked = getattr(options, name)
        found = {getattr(row, name) for row in rows}
        if asked is not None and found - {asked}:
            raise ValueError(
                f"{path} has wavelengths of {name} {sorted(found)}, and `{name}` is"
                f" {asked!r}. It is for files that do not say, and converts nothing."
            )


def _check_bits(bad_bits):
    if isinstance(bad_bits, dict):
        for layout in bad_bits:
            if layout not in LAYOUTS:
                raise ValueError(
                    f"`bad_bits` has layout {layout!r}, which is none of"
                    f" {list(LAYOUTS)}."
                )


def _censor(rows, X, sigma, mask, bad_bits):
    """Set bad pixels and their errors to NaN."""
    patterns = {}
    for i, row in enumerate(rows):
        # a layout whose files have no mask has no bits to choose
        if row.mask is None:
            pattern = 0
        else:
            if row.layout not in patterns:
                patterns[row.layout] = bad_bits_of(row.layout, bad_bits)
            pattern = patterns[row.layout]
        bad = ~np.isfinite(X[i]) | ((mask[i] & pattern) != 0)
        if row.sigma is not None:
            bad |= ~(np.isfinite(sigma[i]) & (sigma[i] > 0))
        X[i, bad] = np.nan
        if sigma is not None:
            sigma[i, bad] = np.nan


def _table(rows, files):
    """Return what is known of spectra: a column for each thing."""
    from astropy.table import Table

    known = {
        "name": [row.name for row in rows],
        "layout": [row.layout for row in rows],
        "file": [str(path) for path in files],
        "extension": [row.extension for row in rows],
        "medium": [row.medium for row in rows],
        "frame": [row.frame for row in rows],
        "scale": [row.scale for row in rows],
        "unit": [row.unit for row in rows],
    }
    labels = dict.fromkeys(["velocity", *(key for row in rows for key in row.labels)])
    for key in labels:
        values = [row.labels.get(key) for row in rows]
        if any(isinstance(value, str) for value in values):
            known[key] = ["" if value is None else str(value) for value in values]
        else:
            known[key] = np.array(
                [np.nan if value is None else value for value in values], dtype=float
            )
    table = Table(known)
    for key in labels:
        if key.startswith("velocity"):
            table[key].unit = "km / s"
        elif key in ("ra", "dec"):
            table[key].unit = "deg"
    return table
