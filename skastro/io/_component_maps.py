"""Maps of gas components, written to FITS files."""

import numpy as np
from sklearn.utils import check_array

from ._map_files import check_map_shape, image_hdus, new_file, write_in_one_move


def write_component_maps(
    path,
    contributions,
    *,
    wcs,
    map_shape,
    components=None,
    components_std=None,
    lines=None,
    unit="",
    beam=None,
    names=None,
    overwrite=False,
):
    """Write maps of gas components, and their profiles, to a FITS file.

    Parameters
    ----------
    path : path-like
        The file.
    contributions : array-like of shape (n_pixels, n_components)
        What `transform` of a factorisation returned.
    wcs : astropy.wcs.WCS
        Celestial coordinates, as :func:`read_line_maps` returned.
    map_shape : tuple of int
        Rows and columns.
    components : array-like of shape (n_components, n_lines), default=None
        Profiles, which become a table with a row for each line.
    components_std : array-like of shape (n_components, n_lines), default=None
        Their uncertainties.
    lines : sequence of str, default=None
        Names of the lines; needed with `components`.
    unit : str or astropy Unit, default=""
        Unit of the profiles.
    beam : radio_beam.Beam, default=None
        Written as ``BMAJ``, ``BMIN``, ``BPA``.
    names : sequence of str, default=None
        Names of the components, which become names of extensions; by default
        ``COMPONENT1`` and so on.
    overwrite : bool, default=False
        Whether to replace a file.

    Raises
    ------
    FileExistsError
        If the file exists, and is not to be replaced.
    ValueError
        If shapes do not fit each other, or names are not different.

    See Also
    --------
    read_line_maps : Reads the maps of lines.

    Notes
    -----
    The file is written beside its place and then moved, so that a kill leaves no half
    of one.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from skastro.io import write_component_maps
    >>> path = os.path.join(tempfile.mkdtemp(), "components.fits")
    >>> maps = np.ones((6, 2))
    >>> write_component_maps(path, maps, wcs=WCS(naxis=2), map_shape=(2, 3))
    >>> fits.getdata(path, "COMPONENT2").shape
    (2, 3)
    """
    path = new_file(path, overwrite)
    contributions = check_array(
        contributions, ensure_all_finite="allow-nan", input_name="contributions"
    )
    n_pixels, n_components = contributions.shape
    check_map_shape(map_shape, n_pixels, "contributions")
    if names is None:
        names = [f"COMPONENT{i + 1}" for i in range(n_components)]
    if len(set(names)) != n_components or len(names) != n_components:
        raise ValueError(
            f"`names` must be {n_components} different names, got {list(names)}."
        )
    header = wcs.to_header()
    if beam is not None:
        header.update(beam.to_header_keywords())
    hdus = image_hdus(dict(zip(names, contributions.T, strict=True)), map_shape, header)
    if components is not None:
        hdus.append(_profiles(names, components, components_std, lines, unit))
    write_in_one_move(hdus, path)


def _profiles(names, components, components_std, lines, unit):
    """Return the table of profiles."""
    from astropy.io import fits
    from astropy.table import Table
    from astropy.units import Unit

    table = Table()
    components = np.asarray(components, dtype=float)
    n_lines = 0 if lines is None else len(lines)
    if components.shape != (len(names), n_lines):
        raise ValueError(
            f"`components` must have the shape ({len(names)}, n_lines) with a name in"
            f" `lines` for each line; got shape {components.shape}, {n_lines} names."
        )
    table["LINE"] = list(lines)
    for name, profile in zip(names, components, strict=True):
        table[name] = profile
        table[name].unit = Unit(unit)
    if components_std is not None:
        components_std = np.asarray(components_std, dtype=float)
        if components_std.shape != components.shape:
            raise ValueError(
                f"`components_std` must have the shape of `components`,"
                f" {components.shape}, got {components_std.shape}."
            )
        for name, deviation in zip(names, components_std, strict=True):
            table[name + "_STD"] = deviation
            table[name + "_STD"].unit = Unit(unit)
    hdu = fits.table_to_hdu(table)
    hdu.name = "PROFILES"
    return hdu
