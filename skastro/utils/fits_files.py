"""FITS files of surveys, with errors that name the file."""

from contextlib import contextmanager

import numpy as np


@contextmanager
def opened(path, memmap=True):
    """Open a FITS file; whatever is wrong with it, name it.

    Scaled integers, and those with BLANK, cannot be mapped into memory.
    """
    from astropy.io import fits

    try:
        with fits.open(path, memmap=memmap) as hdus:
            yield hdus
    except (OSError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a readable FITS file: {error}") from error


def column_names(path):
    """Return the names of the columns of a table file."""
    with opened(path) as hdus:
        names = getattr(hdus[1].data, "names", None) if len(hdus) > 1 else None
    if names is None:
        raise ValueError(f"{path} has no table in HDU 1.")
    return list(names)


def read_columns(path, names):
    """Return columns of a table file, with NaN where the survey has -9999."""
    from astropy.table import Table

    with opened(path) as hdus:
        data = hdus[1].data if len(hdus) > 1 else None
        if getattr(data, "names", None) is None:
            raise ValueError(f"{path} has no table in HDU 1.")
        known = {name.upper(): name for name in data.names}
        missing = [name for name in names if name.upper() not in known]
        if missing:
            raise ValueError(
                f"{path}: the table in HDU 1 has no column(s) {', '.join(missing)}."
            )
        table = Table()
        for name in dict.fromkeys(names):
            column = np.array(data[known[name.upper()]])
            if column.dtype.kind in "SU":
                column = np.char.strip(column.astype(str))
            elif column.dtype.kind == "f":
                column = column.astype(column.dtype.newbyteorder("="))
                column[column < -9000] = np.nan
            table[name] = column
            table[name].unit = data.columns[known[name.upper()]].unit or None
    return table
