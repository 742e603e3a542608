"""One spectrum of a file, and what its file says of it."""

from dataclasses import dataclass, field

import numpy as np

#: Speed of light [km/s].
LIGHT = 299792.458
#: Of SDSS, DESI and LAMOST: velocities and coordinates that are not known.
UNKNOWN = -9000


@dataclass
class Row:
    """One spectrum: arrays in order of wavelength, and what is known of them."""

    name: str
    wavelength: np.ndarray
    flux: np.ndarray
    layout: str
    sigma: np.ndarray | None = None
    mask: np.ndarray | None = None
    medium: str = "unknown"
    frame: str = "unknown"
    scale: str = "unknown"
    unit: str = ""
    extension: str = ""
    labels: dict = field(default_factory=dict)

    def finish(self, path):
        """Check shapes, sort by wavelength, and leave numpy's own types."""
        self.wavelength = np.asarray(self.wavelength, dtype=np.float64)
        self.flux = native(self.flux)
        for name in ("flux", "sigma", "mask"):
            array = getattr(self, name)
            if array is not None and np.shape(array) != self.wavelength.shape:
                raise ValueError(
                    f"{path}, {self.extension}: {name} has the shape"
                    f" {np.shape(array)}, wavelengths {self.wavelength.shape}."
                )
        order = np.argsort(self.wavelength, kind="stable")
        if not np.array_equal(order, np.arange(len(order))):
            self.wavelength, self.flux = self.wavelength[order], self.flux[order]
            if self.sigma is not None:
                self.sigma = np.asarray(self.sigma)[order]
            if self.mask is not None:
                self.mask = np.asarray(self.mask)[order]
        if not len(order) or not np.all(np.diff(self.wavelength) > 0):
            raise ValueError(
                f"{path}, {self.extension}: wavelengths must be finite, and no two the"
                " same."
            )
        if not self.wavelength[0] > 0:
            raise ValueError(
                f"{path}, {self.extension}: wavelengths must be positive, got"
                f" {self.wavelength[0]:g} Angstrom."
            )
        return self


@dataclass
class Options:
    """What `read_spectra` was asked for, for the readers of the layouts."""

    layout: str | None = None
    normalised: bool | None = None
    visits: bool = False
    any_exposure: bool = False
    medium: str | None = None
    frame: str | None = None
    wavelength_unit: str | None = None
    columns: dict = field(default_factory=dict)


def native(array):
    """Return floats in the machine's order, in single precision if they are so."""
    array = np.asarray(array)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 4:
        return array.astype(np.float32)
    return array.astype(np.float64)


def from_ivar(ivar):
    """Return 1-sigma errors, NaN where an inverse variance is not positive."""
    ivar = native(ivar)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((ivar > 0) & np.isfinite(ivar), 1 / np.sqrt(ivar), np.nan)


def bits(mask):
    """Return a mask as integers: some surveys store bit patterns as floats."""
    mask = np.asarray(mask)
    if mask.dtype.kind == "f":
        mask = np.where(np.isfinite(mask), mask, 0)
    return mask.astype(np.int64)


def number(source, *keys):
    """Return the first of several header cards or columns that is a number, or NaN."""
    for key in keys:
        try:
            value = float(source[key])
        except (KeyError, TypeError, ValueError):
            continue
        return value if np.isfinite(value) and value > UNKNOWN else np.nan
    return np.nan


def text(source, *keys):
    """Return the first of several header cards or columns that says something."""
    for key in keys:
        try:
            value = source[key]
        except KeyError:
            continue
        value = value.decode() if isinstance(value, bytes) else str(value)
        if value.strip():
            return value.strip()
    return ""


def columns_of(hdu):
    """Return the columns of a table by their names in lower case; {} for an image."""
    names = getattr(getattr(hdu, "columns", None), "names", None) or []
    return {name.lower(): name for name in names}


def column(path, hdu, name, row=None):
    """Return a column of a table, or its cell in a row; say what there is if not."""
    names = columns_of(hdu)
    if name.lower() not in names:
        raise ValueError(
            f"{path}, HDU {hdu.name or '1'}: no column {name!r} among"
            f" {sorted(names.values()) or 'none: it is not a table'}."
        )
    values = hdu.data[names[name.lower()]]
    return values if row is None else values[row]


def image(path, hdus, index, shape=None):
    """Return an image of a file, of a shape if one is given."""
    if len(hdus) <= index:
        raise ValueError(f"{path} has {len(hdus)} HDU(s), and HDU {index} is needed.")
    data = hdus[index].data
    if data is None or data.dtype.names is not None:
        raise ValueError(f"{path}: HDU {index} holds no image.")
    if shape is not None and data.shape != shape:
        raise ValueError(
            f"{path}: HDU {index} has the shape {data.shape}, not {shape}."
        )
    return data


def linear_axis(path, header, n_pixels, log10=False):
    """Return wavelengths of pixels by CRVAL1, CDELT1 (or CD1_1) and CRPIX1."""
    step = header.get("CDELT1", header.get("CD1_1"))
    if step is None or "CRVAL1" not in header:
        missing = "CRVAL1" if step is not None else "CDELT1 or CD1_1"
        raise ValueError(f"{path}: the header has no {missing}.")
    # a reference pixel of 0 means the first one (GALAH DR3)
    reference = header.get("CRPIX1", 1) or 1
    axis = header["CRVAL1"] + step * (np.arange(n_pixels) + 1 - reference)
    return 10.0**axis if log10 else axis


def want_normalised(path, options, available, what):
    """Return whether to take a normalised flux, if the layout has both."""
    if options.normalised and not available:
        raise ValueError(
            f"{path}: {what} has no normalised flux. Read it as it is, and normalise"
            " it (`ContinuumNormalizer`); or leave `normalised` at None."
        )
    return bool(options.normalised)


def refuse_flux(path, options, what):
    """Refuse `normalised=False` where a layout has normalised flux only."""
    if options.normalised is False:
        raise ValueError(
            f"{path}: {what} has normalised flux only, and `normalised` is False."
        )


def refuse_visits(path, options, what, instead=""):
    """Refuse `visits=True` where a layout has none."""
    if options.visits:
        raise ValueError(f"{path}: {what} has no spectra of visits.{instead}")
