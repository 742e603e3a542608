"""One image of a FITS file: its pixels, coordinates, unit and beam."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.fits_files import opened
from ._beams import beam_table
from ._units import parse_unit


@dataclass
class Image:
    """One image: its name in messages, pixels, header, coordinates, unit and beam."""

    label: str
    data: np.ndarray
    header: Any
    wcs: Any
    #: the table of beams of its planes, if the file has one
    beams: Any = None
    unit: Any = None
    beam: Any = None


def read_image(name, source):
    """Return the image of a path, a path and an extension, or an HDU."""
    if hasattr(source, "header"):
        label = f"The map of {name}"
        with _file_of(source) as (hdus, again):
            # what was looked at may have been changed
            data = source if again is None or "data" in vars(source) else again
            return _image(label, data, hdus, source.header)
    path, extension = source if isinstance(source, tuple) else (source, None)
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}, the map of {name}, does not exist.")
    with opened(path, memmap=False) as hdus:
        if extension is None:
            images = [hdu for hdu in hdus if hdu.is_image and hdu.header["NAXIS"] > 0]
            if not images:
                raise ValueError(f"{path} has no image (NAXIS is 0 in every HDU).")
            return _image(str(path), images[0], hdus)
        if isinstance(extension, int):
            known = extension < len(hdus)
        else:
            known = extension in hdus
        if not known:
            raise ValueError(
                f"{path} has no extension {extension!r} (EXTNAME); it has"
                f" {[hdu.name for hdu in hdus]}."
            )
        return _image(f"{path}[{extension}]", hdus[extension], hdus)


@contextmanager
def _file_of(hdu):
    """Open the file that an HDU comes from once more, if it comes from one.

    It may be mapped into memory, as scaled integers cannot be, and its beams are
    elsewhere in the file.
    """
    info = hdu.fileinfo() if hasattr(hdu, "fileinfo") else None
    name = None if info is None else info["file"].name
    if name is None or not Path(name).exists():
        yield (), None
        return
    with opened(name, memmap=False) as hdus:
        there = [
            other for other in hdus if other.fileinfo()["datLoc"] == info["datLoc"]
        ]
        yield hdus, there[0] if there else None


def _image(label, hdu, hdus, header=None):
    from astropy.wcs import WCS, FITSFixedWarning

    header = hdu.header if header is None else header
    if not hdu.is_image or hdu.data is None:
        raise ValueError(f"{label} is no image (NAXIS).")
    shape = hdu.data.shape
    if len(shape) < 2:
        raise ValueError(f"{label} is no image: NAXIS is {len(shape)}.")
    for i, length in enumerate(shape[:-2]):
        if length > 1:
            raise ValueError(
                f"{label} is a cube: NAXIS{len(shape) - i} is {length}. Integrate it"
                " over the line first."
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(header)
        except ValueError as error:
            raise ValueError(
                f"{label}: its coordinates cannot be read (CTYPE1, CTYPE2, …): {error}"
            ) from error
    if not wcs.has_celestial:
        raise ValueError(f"{label} has no celestial coordinates (CTYPE1, CTYPE2).")
    if (wcs.wcs.lng, wcs.wcs.lat) != (0, 1):
        raise ValueError(
            f"{label}: longitude and latitude must be the first two axes, in this"
            f" order; CTYPE1 is {wcs.wcs.ctype[0]!r}, CTYPE2 {wcs.wcs.ctype[1]!r}."
        )
    data = np.array(hdu.data.reshape(shape[-2:]), dtype=np.float64)
    data[~np.isfinite(data)] = np.nan
    return Image(label, data, header, wcs.celestial, beam_table(label, hdu, hdus))


def unit_of(image):
    """Return the unit of an image's header."""
    text = str(image.header.get("BUNIT", "")).strip()
    if not text:
        raise ValueError(f"{image.label} has no unit (BUNIT).")
    try:
        return parse_unit(text)
    except ValueError as error:
        raise ValueError(f"{image.label}: BUNIT is {text!r}, {error}.") from error


def frequency_of(image):
    """Return the rest frequency of an image's header, or None."""
    from astropy import units as u

    for key in ("RESTFRQ", "RESTFREQ"):
        value = image.header.get(key)
        if isinstance(value, (int, float)) and value > 0:
            return value * u.Hz
    return None
