"""Maps of lines in FITS files, on one grid and of one beam."""

import numpy as np
from sklearn.utils import Bunch
from tqdm.auto import tqdm

from ..utils.suggestions import closest
from ..utils.warn import warn
from ._beams import beam_of
from ._images import frequency_of, read_image, unit_of
from ._integrated import kind_of
from ._line_matching import Matcher, Place
from ._regridding import onto

#: Frequencies that differ by less than this, relatively, may be of one line.
_SAME_LINE = 1e-3
#: A line so close to a frequency, relatively, is at it: 30 km/s.
_CLOSE = 1e-4


def read_line_maps(
    maps,
    *,
    molecules=None,
    errors=None,
    reference=None,
    beam=None,
    unit=None,
    verbose=0,
):
    """Read maps of several lines, and bring them onto one grid and to one beam.

    Each map is convolved to the common beam, put in the common unit, and interpolated
    onto the common grid, in this order. A pixel is NaN if half of it lies in pixels
    that are. Needs the optional packages reproject and
    radio-beam: ``pip install "skastro[maps]"``.

    Parameters
    ----------
    maps : dict of str to path, HDU, or tuple of path and extension
        The image of each line, by the line's name. Without an extension it is the
        first image of the file. Axes of length one are left out. Names of known lines
        may be spelled as for :func:`~skastro.molecular.find_lines`, and become those
        of the catalogue; others stay as they are.
    molecules : mapping, default=None
        Molecules beside the shipped ones, as for
        :func:`~skastro.molecular.line_catalogue`.
    errors : dict, default=None
        Maps of 1-sigma errors, by the same names. Their beam and unit are those of
        the line's map where their headers have none.
    reference : str or tuple of WCS and shape, default=None
        The line whose grid is taken, or a celestial `~astropy.wcs.WCS` with numbers of
        rows and columns. By default the line of the largest beam, or the first one if
        `beam` is "keep".
    beam : radio_beam.Beam, Quantity or "keep", default=None
        Beam that maps are convolved to; a Quantity is the full width at half maximum
        of a round one. By default the smallest common beam of all maps. With "keep"
        maps are not convolved.
    unit : str or astropy Unit, default=None
        Unit of the result; that of the first map by default, or K km/s where that is
        K Hz. Between intensities and brightness temperatures, and between integrals
        over frequency and velocity, headers need ``RESTFRQ``. Widths of channels count
        as positive.
    verbose : int, default=0
        Whether to show a progress bar over maps.

    Returns
    -------
    data : Bunch
        With ``X`` of shape (n_pixels, n_lines), row by row of the map, NaN where a line
        was not observed; ``sigma``, its errors, or None; ``mask`` (n_pixels,), True for
        pixels where any line was; ``lines``, their names; ``map_shape``, rows and
        columns; ``wcs``, the celestial coordinates; ``beam``, the common beam or None;
        and ``unit``, an astropy Unit.

    Raises
    ------
    ImportError
        If an optional package is missing.
    ValueError
        If a file cannot be read, its image is a cube, its header lacks the
        coordinates, beam, unit or frequency that are needed, units do not fit, the beam
        is smaller than that of a map, a map does not overlap with the grid, or a line
        is there in two spellings. Messages name the file and the header key.

    Warns
    -----
    UserWarning
        If a header's ``RESTFRQ`` is not that of the line that the map is called after,
        or is that of a line of another species; or if an integral over frequency is
        negative on the whole.

    See Also
    --------
    write_component_maps : Writes what a factorisation found.
    skastro.decomposition.LineMapNMF : Separates the maps.

    Notes
    -----
    Noise of a map is taken to be as coarse as its beam, so that its errors fall as the
    root of the ratio of the areas of the beams. An entry without an error is missing.

    A beam is that of ``BMAJ``, ``BMIN``, ``BPA``; or of CASA's table ``BEAMS``, whose
    beams must agree within 1 %, and the middle one is taken; or the last that AIPS or
    CASA noted in the history.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from skastro.io import read_line_maps
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-1 / 3600, 1 / 3600]
    >>> header = wcs.to_header()
    >>> header.update(BMAJ=3 / 3600, BMIN=2 / 3600, BPA=30.0, BUNIT="K km/s")
    >>> co = fits.PrimaryHDU(np.ones((40, 30)), header)
    >>> header.update(BMAJ=4 / 3600, BMIN=4 / 3600, BPA=0.0)
    >>> cs = fits.PrimaryHDU(np.ones((40, 30)), header)
    >>> data = read_line_maps({"CO(1-0)": co, "CS(2-1)": cs})
    >>> data.X.shape, data.map_shape, data.beam.major.to_value("arcsec").round(2)
    ((1200, 2), (40, 30), np.float64(4.0))
    """
    _check_extra()
    matcher = Matcher(molecules, _SAME_LINE)
    maps, lines, called = _by_line("maps", maps, matcher)
    images = {name: read_image(called[name], x) for name, x in maps.items()}
    convolved = not (isinstance(beam, str) and beam == "keep")
    for image in images.values():
        image.unit = unit_of(image)
        image.beam = beam_of(image, convolved)
    _check_frequencies(images, lines, called, matcher)
    common = _common_beam(images, beam) if convolved else None
    target = _target_unit(unit, next(iter(images.values())))
    wcs, shape = _grid(images, reference, matcher)
    error_images = {} if errors is None else _errors(errors, images, matcher)
    X, sigma = [], []
    for name, image in tqdm(images.items(), desc="maps", disable=not verbose):
        X.append(onto(image, common, target, wcs, shape))
        if errors is not None:
            sigma.append(onto(error_images[name], common, target, wcs, shape, True))
        if np.isnan(X[-1]).all():
            raise ValueError(
                f"{image.label} has no pixel on the common grid (CRVAL1, CRVAL2)."
            )
    X = np.stack([x.ravel() for x in X], axis=1)
    if errors is not None:
        sigma = np.stack([x.ravel() for x in sigma], axis=1)
        unknown = np.isnan(X) | np.isnan(sigma)
        X[unknown] = sigma[unknown] = np.nan
    return Bunch(
        X=X,
        sigma=sigma if errors is not None else None,
        mask=~np.isnan(X).all(axis=1),
        lines=list(images),
        map_shape=shape,
        wcs=wcs,
        beam=common,
        unit=target,
    )


def _check_extra():
    try:
        import radio_beam  # noqa: F401
        import reproject  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"read_line_maps needs {error.name}, which is not installed:"
            ' pip install "skastro[maps]".'
        ) from error


def _line(name, matcher):
    """Return the line that a name means, or None."""
    found = matcher.named(name)[0] if isinstance(name, str) else ()
    return found[0] if len(found) == 1 else None


def _by_line(parameter, maps, matcher):
    """Return maps by the catalogue's names of their lines; lines; names as written."""
    if not isinstance(maps, dict) or not maps:
        raise TypeError(
            f"`{parameter}` must be a dict of names of lines and their images, got"
            f" {type(maps).__name__ if maps else maps!r}."
        )
    named, lines, written = {}, {}, {}
    for name, source in maps.items():
        line = _line(name, matcher)
        own = name if line is None else line.name
        if own in named:
            raise ValueError(
                f"`{parameter}` has the line {own} twice, as {written[own]!r} and"
                f" {name!r}; keep one of them."
            )
        named[own], lines[own], written[own] = source, line, name
    return named, lines, written


def _check_frequencies(images, lines, called, matcher):
    """Warn of a rest frequency that is that of another line, and of falling axes."""
    from astropy.units import Hz

    for name, image in images.items():
        frequency = frequency_of(image)
        if frequency is not None:
            place = Place(frequency.to_value("GHz"), 0.0, "")
            wrong = _disagreement(called[name], lines[name], place, matcher)
            if wrong is not None:
                there = matcher.near(place)
                of = f", that of {there[0].name}" if there else ""
                warn(
                    f"{image.label}: RESTFRQ is {place.frequency:.6g} GHz{of}, but the"
                    f" map is called {called[name]!r}, {wrong}. If the file is the"
                    " right one, correct its header, by which units are converted.",
                )
        kind = kind_of(image.unit)
        if kind is not None and kind[1] == Hz and np.nansum(image.data) < 0:
            warn(
                f"{image.label}: its integral over frequency (BUNIT, {image.unit}) is"
                " negative on the whole. If the sum went along a falling axis, its"
                " sign is that of the channels' width: multiply the map by -1.",
            )


def _disagreement(name, line, place, matcher):
    """Return what a map's name says, if its rest frequency says otherwise."""
    if line is not None:
        at = f"and {line.name} is at {line.frequency:.6g} GHz"
        if not matcher.agrees(line, place):
            return at
        if matcher.agrees(line, place, _CLOSE):
            return None
        near = [x for x in matcher.near(place) if x.species != line.species]
        return at if near and matcher.agrees(near[0], place, _CLOSE) else None
    species = matcher.named(name)[1] if isinstance(name, str) else None
    if species is not None:
        wrong = not matcher.near(place, species) and matcher.near(place)
        return f"and {species} has no line there" if wrong else None
    if not matcher.is_species_of(name):
        return None
    near = matcher.near(place)
    if near and matcher.agrees(near[0], place, _CLOSE):
        return (
            "a species that is not known here; give its file, molecules={species: file}"
        )
    return None


# -- what all maps have in common


def _common_beam(images, beam):
    """Return the beam that maps are convolved to."""
    from astropy.units import Quantity, UnitConversionError
    from radio_beam import Beam, Beams

    if beam is None:
        beams = Beams(beams=[image.beam for image in images.values()])
        return beams[0] if len(beams) == 1 else beams.common_beam()
    if isinstance(beam, Beam):
        return beam
    if isinstance(beam, Quantity):
        try:
            return Beam(beam.to("deg"))
        except (UnitConversionError, TypeError) as error:
            raise ValueError(f"`beam`={beam} is not an angle.") from error
    raise TypeError(
        f'`beam` must be a radio_beam.Beam, a Quantity, None or "keep", got {beam!r}.'
    )


def _target_unit(unit, first):
    from astropy.units import Hz, K, Unit, km, s

    if unit is None:
        # over frequency, equal temperatures of two lines would differ
        over_frequency = kind_of(first.unit) == (K, Hz)
        return K * km / s if over_frequency else first.unit
    try:
        return Unit(unit)
    except (ValueError, TypeError) as error:
        raise ValueError(f"`unit`={unit!r} is no unit.") from error


def _grid(images, reference, matcher):
    """Return the coordinates and shape of the common grid."""
    from astropy.wcs import WCS

    if reference is None:
        widths = [
            0.0 if image.beam is None else image.beam.major.to_value("deg")
            for image in images.values()
        ]
        reference = list(images)[int(np.argmax(widths))]
    if isinstance(reference, str):
        line = _line(reference, matcher)
        image = images.get(reference if line is None else line.name)
        if image is None:
            raise ValueError(
                f"`reference`={reference!r} is none of the lines {list(images)}."
                + closest(reference, [str(name) for name in images])
            )
        return image.wcs, image.data.shape
    if (
        not isinstance(reference, tuple)
        or len(reference) != 2
        or not isinstance(reference[0], WCS)
    ):
        raise TypeError(
            "`reference` must be the name of a line, or a WCS and a shape, got"
            f" {reference!r}."
        )
    wcs, shape = reference
    if not wcs.has_celestial or len(shape) != 2:
        raise ValueError(
            "`reference` must be a celestial WCS and numbers of rows and columns."
        )
    return wcs.celestial, tuple(int(n) for n in shape)


def _errors(errors, images, matcher):
    """Return the maps of errors."""
    errors = _by_line("errors", errors, matcher)[0]
    if set(errors) != set(images):
        raise ValueError(
            f"`errors` must have the lines of `maps`, {list(images)}, got"
            f" {list(errors)}."
        )
    read = {}
    for name, source in errors.items():
        image, line = read_image(f"errors of {name}", source), images[name]
        if image.data.shape != line.data.shape:
            raise ValueError(
                f"{image.label} must have the shape of the map (NAXIS1, NAXIS2),"
                f" {line.data.shape}, got {image.data.shape}."
            )
        if np.any(image.data <= 0):
            raise ValueError(
                f"{image.label} has {np.count_nonzero(image.data <= 0)} error(s) that"
                " are zero or negative; errors must be positive, or NaN where there is"
                " no measurement."
            )
        image.unit = unit_of(image) if "BUNIT" in image.header else line.unit
        image.beam = line.beam
        read[name] = image
    return read
