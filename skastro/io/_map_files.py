"""FITS files of maps: what all of them share."""

from pathlib import Path

import numpy as np


def new_file(path, overwrite):
    """Return a path, if a file may be written there.

    Parameters
    ----------
    path : path-like
        The file.
    overwrite : bool
        Whether to replace one.

    Returns
    -------
    path : Path

    Raises
    ------
    FileExistsError
        If the file exists, and is not to be replaced.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists, and `overwrite` is False.")
    return path


def check_map_shape(map_shape, n_pixels, name):
    """Check that a map has the pixels of an array.

    Parameters
    ----------
    map_shape : tuple of int
        Rows and columns.
    n_pixels : int
        Rows of the array.
    name : str
        Its name, for the message.

    Raises
    ------
    ValueError
        If it has not.
    """
    if len(map_shape) != 2 or n_pixels != np.prod(map_shape):
        raise ValueError(
            f"`map_shape`={map_shape} has not the {n_pixels} pixels of `{name}`."
        )


def image_hdus(images, map_shape, header, units=None):
    """Return an empty primary HDU and one for each image.

    Parameters
    ----------
    images : dict of str to ndarray of shape (n_pixels,)
        Name of the extension to values.
    map_shape : tuple of int
        Rows and columns.
    header : astropy.io.fits.Header
        Of each.
    units : dict of str to str, default=None
        Their units, written as ``BUNIT``.

    Returns
    -------
    hdus : astropy.io.fits.HDUList
    """
    from astropy.io import fits

    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, values in images.items():
        own = header.copy()
        if units is not None and units.get(name):
            own["BUNIT"] = units[name]
        hdus.append(fits.ImageHDU(values.reshape(map_shape), own, name=name))
    return hdus


def write_in_one_move(hdus, path):
    """Write a file beside its place, then move it there: a kill leaves no half of one.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        What to write.
    path : Path
        The file.
    """
    partial = path.with_name("partial-" + path.name)
    hdus.writeto(partial, overwrite=True)
    partial.replace(path)
