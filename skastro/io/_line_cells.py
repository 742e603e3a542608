"""The cells of a table of lines, by what its columns are."""

import numpy as np

from ._line_columns import column_unit

#: What stands for nothing.
BLANK = {"", "-", "--", "---", "...", "…", "nan", "none", "null", "n/a", "na"}


class Cells:
    """The cells of a table of lines.

    Parameters
    ----------
    table : astropy.table.Table
        The table.
    found : dict of str to str
        From what a column is to its name.
    units : str, Unit or dict
        Of the intensities, or of several columns.
    """

    def __init__(self, table, found, units):
        self.names = list(table.colnames)
        self._table, self._found = table, found
        self._units = units if isinstance(units, dict) else {"flux": units}
        for name in self._units:
            if name not in self.names and name not in found:
                raise ValueError(
                    f"`unit` has {name!r}, which is no column; there are {self.names}."
                )

    def __len__(self):
        return len(self._table)

    def __contains__(self, role):
        return role in self._found

    def name(self, role):
        """Return the name of a column."""
        return self._found[role]

    def others(self):
        """Return the names of columns that are nothing of ours."""
        return [name for name in self.names if name not in self._found.values()]

    def row(self, i):
        """Return how messages call a row."""
        return f"Row {i} of `table`"

    def of(self, role):
        """Return texts or numbers of a column, None where masked, blank or absent."""
        if role not in self:
            return [None] * len(self)
        return self.column(self._found[role])

    def column(self, name):
        """Return texts or numbers of a column by its name."""
        column = self._table[name]
        if column.ndim != 1:
            raise ValueError(
                f"Column {name!r} has shape {column.shape}; it must hold one value a"
                " row."
            )
        mask = np.ma.getmaskarray(column) if hasattr(column, "mask") else None
        cells = []
        for i, cell in enumerate(column):
            cell = cell.decode() if isinstance(cell, bytes) else cell
            if isinstance(cell, (np.float64, np.integer, np.bool_)):
                cell = cell.item()
            cell = str(cell).strip() if isinstance(cell, str) else cell
            blank = (mask is not None and mask[i]) or cell is None
            blank = blank or (isinstance(cell, str) and cell.lower() in BLANK)
            cells.append(None if blank or cell != cell else cell)
        return cells

    def unit(self, role):
        """Return the unit of a column, or None."""
        name = self._found[role]
        return column_unit(self._table[name], name, role, self._units)

    def words(self, role):
        """Return what is said of a column's unit, by its name, itself and a user."""
        name = self._found[role]
        said = [name, getattr(self._table[name], "unit", None)]
        said += [self._units.get(name), self._units.get(role)]
        return " ".join(str(text) for text in said if text is not None)

    def number(self, cell, i, role):
        """Return a cell as a number."""
        try:
            return float(cell)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self.row(i)} has {cell!r} in column {self._found[role]!r}, which is"
                " no number."
            ) from error

    def numbers(self, role):
        """Return a column as numbers, NaN where blank."""
        return np.array(
            [
                np.nan if cell is None else self.number(cell, i, role)
                for i, cell in enumerate(self.of(role))
            ]
        )

    def quantities(self, role, unit, equivalencies=()):
        """Return the numbers of a column in a unit, NaN where blank."""
        from astropy.units import UnitConversionError

        name, own = self._found[role], self.unit(role)
        if own is None:
            raise ValueError(
                f"Column {name!r} has no unit: call it '{name} [{unit}]' if it is in"
                f" {unit}, or pass unit={{{name!r}: '{unit}'}}."
            )
        try:
            return own.to(unit, self.numbers(role), equivalencies)
        except UnitConversionError as error:
            raise ValueError(
                f"Column {name!r} is in {own}, which does not convert to {unit}."
            ) from error
