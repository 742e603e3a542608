"""Tables of observed lines, as people write them, ready for a retrieval."""

from dataclasses import dataclass, field

import numpy as np

from ..utils.arrays import is_table
from ._line_cells import Cells
from ._line_columns import find_columns
from ._line_rows import rows_of
from ._line_scale import Scale
from ._line_values import values_of


@dataclass(frozen=True, eq=False, repr=False)
class LineTable:
    """Lines of one object, in the unit and the terms of a retrieval.

    Attributes
    ----------
    lines : list of str
        Names, as :func:`~skastro.molecular.find_lines` gives them.
    intensity : ndarray of shape (n_lines,)
        Integrated main-beam temperature [K km/s]; the limit of an upper limit; NaN
        where the table has none.
    sigma : ndarray of shape (n_lines,)
        1-sigma errors [K km/s]; NaN for a limit without one, which is exact.
    upper_limit : ndarray of bool of shape (n_lines,)
        Which are upper limits.
    frequency : ndarray of shape (n_lines,)
        Rest frequencies, from the catalogue [GHz].
    factor : ndarray of shape (n_lines,)
        What one of the table's unit is in K km/s.
    given : list of str
        What the table calls the lines.
    units : list of str
        What it has them in.
    band : ndarray of shape (n_lines,) or None
        Labels of receiver bands.
    columns : dict of str to str
        Which column was taken for what.
    ignored : list of str
        Columns that were not read.

    See Also
    --------
    read_line_table : Makes one of these.
    """

    lines: list
    intensity: np.ndarray
    sigma: np.ndarray
    upper_limit: np.ndarray
    frequency: np.ndarray
    factor: np.ndarray
    given: list
    units: list
    band: np.ndarray | None = None
    columns: dict = field(default_factory=dict)
    ignored: list = field(default_factory=list)

    def fit_arguments(self):
        """Return what `BayesianRetrieval.fit` takes: ``fit(**table.fit_arguments())``.

        Returns
        -------
        arguments : dict
            ``X``, ``y``, ``sigma``, ``upper_limit``, and ``band`` if there are labels,
            which need a ``calibration_error`` of the retrieval.
        """
        arguments = {
            "X": list(self.lines),
            "y": self.intensity,
            "sigma": self.sigma,
            "upper_limit": self.upper_limit,
        }
        return arguments if self.band is None else arguments | {"band": self.band}

    def to_table(self):
        """Return the lines as a table with units.

        Returns
        -------
        table : astropy.table.Table
            That :func:`read_line_table` reads again.
        """
        from astropy.table import Table

        table = Table(
            {
                "line": list(self.lines),
                "frequency": self.frequency,
                "intensity": self.intensity,
                "sigma": self.sigma,
                "upper_limit": self.upper_limit,
                "given_name": list(self.given),
                "given_unit": list(self.units),
                "factor": self.factor,
            },
            units={"frequency": "GHz", "intensity": "K km / s", "sigma": "K km / s"},
        )
        if self.band is not None:
            table["band"] = self.band
        return table

    def __len__(self):
        return len(self.lines)

    def __repr__(self):
        rows = [("line", "GHz", "K km/s", "", "as given")]
        for i, name in enumerate(self.lines):
            mark = "<" if self.upper_limit[i] else " "
            value = f"{mark} {self.intensity[i]:.4g}"
            if np.isnan(self.intensity[i]):
                value = "  not observed"
            error = "" if np.isnan(self.sigma[i]) else f"± {self.sigma[i]:.2g}"
            given = f"{self.given[i]} [{self.units[i]}]".strip()
            rows.append((name, f"{self.frequency[i]:.6g}", value, error, given))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        text = [
            "  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            for row in rows
        ]
        if self.ignored:
            text.append(f"  columns not read: {', '.join(self.ignored)}")
        head = f"LineTable of {len(self)} lines"
        return "\n".join([head, *(line.rstrip() for line in text)])


def read_line_table(
    table,
    *,
    molecules=None,
    species=None,
    unit=None,
    beam=None,
    solid_angle=None,
    source_size=None,
    efficiency=None,
    redshift=0.0,
    tolerance=1e-4,
    columns=None,
    format=None,
):
    """Read a table of observed lines, and bring it to K km/s of main-beam temperature.

    Columns are known by the names that people give them, whatever their case:

    * ``line``, or ``species`` and ``transition``, or ``frequency``, ``wavelength``;
    * ``flux``, ``intensity``, ``I``, ``W``: the integral over the line;
    * ``error``, ``sigma``, ``e_flux``, ``flux_err``, in a unit of its own or in per
      cent (``err_percent``, ``"10%"``); a flux may also be ``"3.2 ± 0.4"`` or
      ``"3.2(0.4)"``;
    * ``limit``, ``upper_limit``, ``l_flux``: true, or ``<``, or the limit itself where
      there is no flux; or ``detected``, false; a flux may also be ``"<3.2"``;
    * ``unit``, of each row; else that of the column, which its name may hold,
      ``"flux [Jy km/s]"``, or the parameter `unit`;
    * ``beam``, ``HPBW``, ``theta_beam``, or ``bmaj`` and ``bmin``; ``solid_angle``;
      ``efficiency``, ``eta_mb``.

    See :ref:`the user guide <line_tables>`.

    Parameters
    ----------
    table : path-like, Table or data frame
        A table with a row for each line, or a file of one that astropy reads: ECSV,
        CSV, VOTable, FITS, machine-readable, and others.
    molecules : mapping, default=None
        Molecules beside the shipped ones, as for
        :func:`~skastro.molecular.line_catalogue`.
    species : str or sequence of str, default=None
        Which lines may be, in rows that are known by their frequency alone. By default
        all that are known; where a species has two files with a line there, such as
        ``HCN`` and ``HCN-hfs`` or ``SO`` and ``SO-lowT``, it is that of the plain name.
    unit : str, Unit or dict, default=None
        Unit of the intensities, where the table has none; or units of several columns
        by their names, ``{"flux": "Jy km/s", "beam": "arcsec"}``.
    beam, solid_angle, source_size : default=None
        As for :func:`to_integrated_temperature`; one for all rows, where the table has
        none of its own.
    efficiency : float, default=None
        By which temperatures are divided, as they are in T_A*. Other intensities have
        no part in it.
    redshift : float, default=0.0
        As for :func:`to_integrated_temperature`. Frequencies are at rest, but for a
        column called ``nu_obs``, ``obs_freq``, and the like.
    tolerance : float, default=1e-4
        By which frequencies may differ from the catalogue's, relatively; 1e-4 is
        30 km/s. Half a unit of the last digit that is written is always allowed.
    columns : mapping, default=None
        Columns by what they are, ``{"flux": "W_mb", "band": "receiver"}``, which goes
        before their names; None says that there is none. Bands are read only so.
    format : str, default=None
        Of the file, as ``Table.read`` has it; by default as the file's name says.

    Returns
    -------
    lines : LineTable
        Names, intensities, errors and limits. A row without an intensity stays, as not
        observed.

    Raises
    ------
    ValueError
        If columns, units, lines or values are not known, disagree, or may be meant in
        two ways. Messages name row and column.
    TypeError
        If something is of the wrong kind.

    Warns
    -----
    UserWarning
        If a line is known by its frequency only, and named otherwise; if a line is
        there twice; or if beams differ, and nothing is said of the source's size.

    See Also
    --------
    to_integrated_temperature : The conversion alone.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from skastro.io import read_line_table
    >>> table = Table({
    ...     "Line": ["CO 3-2", "HCN J=4-3", "CO(6-5)"],
    ...     "Flux": ["120", "<1.3e-19", "80.5"],
    ...     "e_Flux": [12.0, 4e-20, 9.0],
    ...     "Unit": ["Jy km/s", "W m-2", "K km/s"],
    ...     "HPBW [arcsec]": [14.0, 14.0, 14.0],
    ... })
    >>> lines = read_line_table(table)
    >>> lines
    LineTable of 3 lines
      line      GHz      K km/s            as given
      CO(3-2)   345.796    6.257   ± 0.63  CO 3-2 [Jy km / s]
      HCN(4-3)  354.505  < 0.5454  ± 0.17  HCN J=4-3 [W / m2]
      CO(6-5)   691.473    80.5    ± 9     CO(6-5) [K km / s]

    From there to a retrieval it is one call,
    ``retrieval.fit(**lines.fit_arguments())``.
    """
    table = _table(table, format)
    found = find_columns(list(table.colnames), columns)
    cells = Cells(table, found, unit)
    if not redshift > -1:
        raise ValueError(f"`redshift` must be above -1, got {redshift!r}.")
    scale = Scale(
        cells,
        beam=beam,
        solid_angle=solid_angle,
        source_size=source_size,
        efficiency=efficiency,
        redshift=redshift,
    )
    lines, given = rows_of(cells, molecules, tolerance, redshift, species)
    values = values_of(cells, given, scale.units)
    factor = scale.factors(lines, given, values.units, values.role)
    of_errors = factor
    if "error" in values.sigma_role:
        of_errors = scale.factors(lines, given, values.sigma_units, values.sigma_role)
    band = None
    if "band" in cells:
        band = np.array(["" if cell is None else cell for cell in cells.of("band")])
    return LineTable(
        lines=[line.name for line in lines],
        intensity=values.intensity * factor,
        sigma=values.sigma * of_errors,
        upper_limit=values.limit,
        frequency=np.array([line.frequency for line in lines]),
        factor=factor,
        given=given,
        units=[unit.to_string() for unit in values.units],
        band=band,
        columns=found,
        ignored=cells.others(),
    )


def _table(source, format):
    """Return an astropy table of whatever was given."""
    from astropy.table import Table

    if is_table(source):
        table = Table(source)
    elif hasattr(source, "iloc"):
        table = Table.from_pandas(source.reset_index(drop=True))
    elif hasattr(source, "to_dict") and hasattr(source, "columns"):  # polars
        table = Table({name: source[name].to_list() for name in source.columns})
    elif isinstance(source, dict):
        table = Table(source)
    else:
        table = _from_file(source, format)
    if not len(table) or not table.colnames:
        raise ValueError("`table` has no rows.")
    return table


def _from_file(path, format):
    import os
    from pathlib import Path

    from astropy.io.registry import IORegistryError
    from astropy.table import Table

    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            "`table` must be a path, an astropy Table or a data frame, got"
            f" {type(path).__name__}."
        )
    if not Path(path).exists():
        raise FileNotFoundError(f"`table`: {path} does not exist.")
    if format is None and str(path).lower().endswith(".mrt"):
        format = "ascii.mrt"
    error = None
    try:
        return Table.read(path, format=format)
    except IORegistryError:  # the name says nothing
        if format is not None:
            raise
    except (ValueError, OSError, KeyError, IndexError) as raised:
        error = raised
    if error is None:
        try:
            table = Table.read(path, format="ascii")
            if len(table):
                return table
        except (ValueError, OSError) as raised:  # of each format that was tried
            error = raised
    raise ValueError(
        f"{path} cannot be read as a table. Say its `format`, as"
        " astropy.table.Table.read has it, or read it yourself and pass the Table."
    ) from error
