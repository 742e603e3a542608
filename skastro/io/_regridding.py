"""Images onto a common grid, to a common beam and into a common unit."""

import numpy as np

from ._beams import beam_of
from ._images import frequency_of
from ._integrated import conversion_factor

#: Beams that differ by less than this, relatively, count as one.
_SAME_BEAM = 1e-3
#: Pixels may depart from squares by this much, where a map is convolved.
_SQUARE = 0.01
#: What a blank pixel's neighbours weigh where it stands between them.
_NEIGHBOURS = np.outer([1, 2, 1], [1, 2, 1]) / 16.0
#: Points along each side of a pixel, by which its blank part is measured.
_POINTS = 4
#: Pixels of a grid count as at most so many of an image's wide.
_LARGEST = 16.0
#: Rounding of positions, in pixels: whatever is nearer to an edge is on it, so that a
#: row of pixels that lies along an edge is on one side of it.
_ON_THE_EDGE = 1e-6


def onto(image, common, target, wcs, shape, errors=False):
    """Return an image of the common beam, unit and grid.

    Parameters
    ----------
    image : Image
        With its beam and unit.
    common : radio_beam.Beam or None
        The common beam; None leaves the image's.
    target : astropy.units.UnitBase
        The common unit.
    wcs : astropy.wcs.WCS
        The common grid.
    shape : tuple of int
        Its rows and columns.
    errors : bool, default=False
        Whether it holds errors.

    Returns
    -------
    data : ndarray of that shape
    """
    data = image.data
    if common is not None and not _same(image.beam, common):
        data = _convolved(image, common, errors)
    data = data * _factor(image, target, common)
    if data.shape == shape and image.wcs.wcs.compare(wcs.wcs, tolerance=1e-10):
        return data
    return _regridded(data, image.wcs, wcs, shape)


def _regridded(data, own, wcs, shape):
    """Interpolate onto a grid; a pixel is blank if half of it is blank, or outside.

    To interpolate linearly takes four neighbours, so that a blank pixel would blank
    whatever lies between it and the next ones.
    """
    from reproject import reproject_interp

    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    x, y = own.world_to_pixel(wcs.pixel_to_world(columns, rows))
    blank, part = np.isnan(data), np.zeros(shape)
    if blank.any() and not blank.all():
        part, size = _blank_part(blank, x, y)
        data = _filled(data, int(np.ceil(size / 2)) + 1)
    regridded = reproject_interp(
        (data, own), wcs, shape_out=shape, return_footprint=False
    )
    outside = np.zeros(shape, dtype=bool)
    for position, length in ((x, blank.shape[1]), (y, blank.shape[0])):
        outside |= np.abs(position - (length - 1) / 2) > length / 2 - _ON_THE_EDGE
    regridded[(part >= 0.5) | outside] = np.nan
    return regridded


def _blank_part(blank, x, y):
    """Return what part of each pixel is blank, and how large they are.

    They are those of another grid, and ``x`` and ``y`` where they are among those of
    ``blank``, whose size is 1. What lies beyond the image is no part of them.
    """
    # what a pixel's sides are, in pixels of the image
    steps = np.array([_gradient(axis) for axis in (x, y)])
    size = np.nanmedian(np.abs(steps).max(axis=(0, 1)))
    size = float(np.clip(np.nan_to_num(size), 1.0, _LARGEST))
    n = _POINTS * int(np.ceil(size - _ON_THE_EDGE))
    offsets = (np.arange(n) + 0.5) / n - 0.5
    found, inside = np.zeros(x.shape), np.zeros(x.shape)
    for down in offsets:
        for right in offsets:
            i = y + down * steps[1][0] + right * steps[1][1]
            j = x + down * steps[0][0] + right * steps[0][1]
            i, j = (np.floor(axis + 0.5 + _ON_THE_EDGE) for axis in (i, j))
            there = (i >= 0) & (i < blank.shape[0]) & (j >= 0) & (j < blank.shape[1])
            found[there] += blank[i[there].astype(int), j[there].astype(int)]
            inside += there
    return np.divide(found, inside, out=np.zeros(x.shape), where=inside > 0), size


def _gradient(values):
    """Return the steps along rows and columns; none where there is only one."""
    return [
        np.gradient(values, axis=axis)
        if values.shape[axis] > 1
        else np.zeros(values.shape)
        for axis in (0, 1)
    ]


def _filled(data, rounds):
    """Return data with blank pixels near others filled by these, to stand between."""
    from scipy.ndimage import convolve

    data = data.copy()
    for _ in range(rounds):
        blank = np.isnan(data)
        weight = convolve((~blank).astype(float), _NEIGHBOURS, mode="constant")
        total = convolve(np.where(blank, 0.0, data), _NEIGHBOURS, mode="constant")
        near = blank & (weight > 0.01)
        data[near] = total[near] / weight[near]
    return data


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

    areas = [None, None]
    per_beam = u.beam in image.unit.bases, u.beam in target.bases
    if any(per_beam) and (common is not None or per_beam[0] != per_beam[1]):
        # intensities for each beam become those for each steradian
        own = beam_of(image, True) if image.beam is None else image.beam
        areas = [own.sr.to_value("sr"), (own if common is None else common).sr.value]
    try:
        return conversion_factor(
            image.unit,
            target,
            frequency=lambda: _frequency(image),
            area=areas[0] if per_beam[0] else None,
            target_area=areas[1] if per_beam[1] else None,
        )
    except u.UnitConversionError as error:
        raise ValueError(
            f"{image.label}: BUNIT, {image.unit}, cannot be converted to {target}."
        ) from error


def _frequency(image):
    frequency = frequency_of(image)
    if frequency is None:
        raise ValueError(
            f"{image.label} has no frequency of the line (RESTFRQ), which its unit"
            " (BUNIT) needs to be converted."
        )
    return frequency
