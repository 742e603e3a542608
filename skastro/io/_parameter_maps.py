"""Maps of retrieved parameters, written to FITS files."""

from ._map_files import check_map_shape, image_hdus, new_file, write_in_one_move


def write_parameter_maps(
    path, posteriors, *, wcs, map_shape, probability=0.6827, overwrite=False
):
    """Write maps of retrieved parameters, with their uncertainties, to a FITS file.

    Parameters
    ----------
    path : path-like
        The file.
    posteriors : Posteriors
        ``posterior_`` of a retrieval whose objects are the pixels of a map, row by
        row; pixels without data are NaN.
    wcs : astropy.wcs.WCS
        Celestial coordinates, as :func:`read_line_maps` returned.
    map_shape : tuple of int
        Rows and columns.
    probability : float, default=0.6827
        Probability of the credible intervals.
    overwrite : bool, default=False
        Whether to replace a file.

    Raises
    ------
    FileExistsError
        If the file exists, and is not to be replaced.
    ValueError
        If the map has not as many pixels as there are posteriors.

    See Also
    --------
    read_line_maps : Reads maps of lines.
    skastro.retrieval.Posteriors.to_table : The same as a table.

    Notes
    -----
    Extensions are the medians, such as ``TEMPERATURE``, the ends of the intervals,
    ``TEMPERATURE_LOWER`` and ``TEMPERATURE_UPPER``, with units in ``BUNIT``; and
    ``LOG_EVIDENCE``, ``LOG_EVIDENCE_ERR`` and ``EFFECTIVE_SAMPLE_SIZE``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from skastro.io import write_parameter_maps
    >>> from skastro.parameter_space import ParameterSpace, Uniform
    >>> from skastro.retrieval import Posterior, Posteriors
    >>> space = ParameterSpace({"temperature": Uniform(10, 200, "K")})
    >>> samples = space.sample(100, random_state=0)
    >>> ones = np.full(100, 0.01)
    >>> one = Posterior(space, samples, samples, ones, ones, 0.0, 0.1)
    >>> path = os.path.join(tempfile.mkdtemp(), "parameters.fits")
    >>> maps = Posteriors([one, None], space)
    >>> write_parameter_maps(path, maps, wcs=WCS(naxis=2), map_shape=(1, 2))
    >>> header = fits.getheader(path, "TEMPERATURE_UPPER")
    >>> header["NAXIS1"], header["BUNIT"]
    (2, 'K')
    """
    path = new_file(path, overwrite)
    check_map_shape(map_shape, len(posteriors), "posteriors")
    table = posteriors.to_table(probability)
    images, units = {}, {}
    for name in table.colnames:
        column = table[name]
        unit = getattr(column, "unit", None)
        key = name.upper()
        images[key] = column.value if unit is not None else column.data
        units[key] = "" if unit is None else unit.to_string("fits")
    header = wcs.to_header()
    header["CREDIBLE"] = (probability, "probability of LOWER to UPPER")
    write_in_one_move(image_hdus(images, map_shape, header, units), path)
