"""One image of a FITS file: its pixels, coordinates, unit and beam."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.fits_files import opened

#: Beams that differ by less than this, relatively, count as one.
_SAME_BEAM = 1e-3
#: Pixels may depart from squares by this much, where a map is convolved.
_SQUARE = 0.01


@dataclass
class Image:
    """One image: its name in messages, pixels, header, coordinates, unit and beam."""

    label: str
    data: np.ndarray
    header: Any
    wcs: Any
    unit: Any = None
    beam: Any = None


def read_image(name, source):
    """Return the image of a path, a path and an extension, or an HDU."""
    if hasattr(source, "header"):
        return _image(f"The map of {name}", source)
    path, extension = source if isinstance(source, tuple) else (source, None)
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}, the map of {name}, does not exist.")
    with opened(path) as hdus:
        if extension is None:
            images = [hdu for hdu in hdus if hdu.is_image and hdu.header["NAXIS"] > 0]
            if not images:
                raise ValueError(f"{path} has no image (NAXIS is 0 in every HDU).")
            return _image(str(path), images[0])
        if isinstance(extension, int):
            known = extension < len(hdus)
        else:
            known = extension in hdus
        if not known:
            raise ValueError(
                f"{path} has no extension {extension!r} (EXTNAME); it has"
                f" {[hdu.name for hdu in hdus]}."
            )
        return _image(f"{path}[{extension}]", hdus[extension])


def _image(label, hdu):
    from astropy.wcs import WCS, FITSFixedWarning

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
            wcs = WCS(hdu.header)
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
    return Image(label, data, hdu.header, wcs.celestial)


def unit_of(image):
    from astropy.units import Unit

    text = str(image.header.get("BUNIT", "")).strip()
    if not text:
        raise ValueError(f"{image.label} has no unit (BUNIT).")
    # "JY/BEAM" is AIPS'; in CASA's "Jy/beam.km/s" each slash divides by one unit
    plain = re.sub(r"\bJY\b", "Jy", re.sub(r"\bBEAM\b", "beam", text))
    plain = re.sub(r"/\s*([A-Za-z]+)(\d*)", lambda m: f" {m[1]}-{m[2] or 1} ", plain)
    plain = re.sub(r"(?<=\w)\s*\.\s*(?=[A-Za-z])", " ", plain)
    try:
        return Unit(plain)
    except ValueError as error:
        raise ValueError(
            f"{image.label}: BUNIT is {text!r}, which is no unit."
        ) from error


def beam_of(image, needed):
    """Return the beam of a header, None if it has none and needs none."""
    from radio_beam import Beam
    from radio_beam.beam import NoBeamException

    try:
        beam = Beam.from_fits_header(image.header)
    except (NoBeamException, TypeError, ValueError) as error:
        if not needed:
            return None
        raise ValueError(
            f"{image.label} has no beam (BMAJ, BMIN, BPA); add it, or give"
            ' `beam`="keep" if all maps have one beam already.'
        ) from error
    if needed and not beam.sr.value > 0:
        raise ValueError(f"{image.label}: the beam has no area (BMAJ, BMIN).")
    return beam


# -- onto the common grid


def onto(image, common, target, wcs, shape, errors=False):
    """Return an image of the common beam, unit and grid."""
    from reproject import reproject_interp

    data = image.data
    if common is not None and not _same(image.beam, common):
        data = _convolved(image, common, errors)
    data = data * _factor(image, target, common)
    if data.shape == shape and image.wcs.wcs.compare(wcs.wcs, tolerance=1e-10):
        return data
    return reproject_interp(
        (data, image.wcs), wcs, shape_out=shape, return_footprint=False
    )


def _same(beam, other):
    """Whether two beams are one."""
    axes = np.array(
        [[b.major.to_value("deg"), b.minor.to_value("deg")] for b in (beam, other)]
    )
    alike = np.allclose(axes[0], axes[1], rtol=_SAME_BEAM)
    turn = np.sin((beam.pa - other.pa).to_value("rad"))
    # the angle counts as far as the beam is longer than wide
    return alike and abs(turn) * (axes[1, 0] / axes[1, 1] - 1) < _SAME_BEAM


def _convolved(image, common, errors):
    """Convolve to the common beam; errors fall as noise as coarse as the beam does."""
    from astropy import units as u
    from astropy.convolution import convolve_fft
    from astropy.wcs.utils import proj_plane_pixel_scales
    from radio_beam import Beam
    from radio_beam.utils import BeamError

    try:
        kernel = common.deconvolve(image.beam)
    except BeamError as error:
        raise ValueError(
            f"{image.label}: the common beam, {_describe(common)}, is not larger than"
            f" that of the map (BMAJ, BMIN, BPA), {_describe(image.beam)}."
        ) from error
    scales = proj_plane_pixel_scales(image.wcs)
    if abs(scales[0] / scales[1] - 1) > _SQUARE:
        raise ValueError(
            f"{image.label}: pixels must be square to be convolved; they are"
            f" {scales[0]:.6g} by {scales[1]:.6g} deg (CDELT1, CDELT2)."
        )
    # the direction of the kernel's long axis, in pixels
    matrix = image.wcs.pixel_scale_matrix / scales[0]
    east, north = np.sin(kernel.pa.to_value("rad")), np.cos(kernel.pa.to_value("rad"))
    x, y = np.linalg.solve(matrix, [east, north])
    turned = Beam(kernel.major, kernel.minor, np.arctan2(-x, y) * u.rad)
    data = convolve_fft(
        image.data**2 if errors else image.data,
        turned.as_kernel(scales[0] * u.deg),
        fill_value=np.nan,
        nan_treatment="interpolate",
        preserve_nan=True,
        normalize_kernel=True,
        allow_huge=True,
    )
    if not errors:
        return data
    return np.sqrt(np.maximum(data, 0) * (image.beam.sr / common.sr).to_value(""))


def _describe(beam):
    major, minor = (axis.to_value("arcsec") for axis in (beam.major, beam.minor))
    return f"{major:.4g} by {minor:.4g} arcsec at {beam.pa.to_value('deg'):.4g} deg"


def _factor(image, target, common):
    """Return what one of the image's unit is in the common one."""
    from astropy import units as u

    unit, factor = image.unit, 1.0
    per_beam = u.beam in unit.bases, u.beam in target.bases
    if any(per_beam) and (common is not None or per_beam[0] != per_beam[1]):
        # intensities for each beam become those for each steradian
        own = beam_of(image, True) if image.beam is None else image.beam
        if per_beam[0]:
            unit = unit * u.beam / u.sr
            factor /= own.sr.to_value("sr")
        if per_beam[1]:
            target = target * u.beam / u.sr
            factor *= (own if common is None else common).sr.to_value("sr")
    if unit.is_equivalent(target):
        return factor * unit.to(target)
    intensity = u.Jy / u.sr
    for mine, other in ((intensity, u.K), (u.K, intensity)):
        rest = unit / mine, target / other
        if rest[0].is_equivalent(rest[1]):
            temperature = u.brightness_temperature(_frequency(image))
            return factor * rest[0].to(rest[1]) * mine.to(other, 1, temperature)
    raise ValueError(
        f"{image.label}: BUNIT, {image.unit}, cannot be converted to {target}."
    )


def _frequency(image):
    from astropy import units as u

    for key in ("RESTFRQ", "RESTFREQ"):
        if image.header.get(key, 0) and image.header[key] > 0:
            return image.header[key] * u.Hz
    raise ValueError(
        f"{image.label} has no frequency of the line (RESTFRQ), which its unit"
        " (BUNIT) needs to be converted."
    )
