"""Summaries of posteriors as tables with units."""


def summary_table(space, quantiles, numbers, probability):
    """Return medians and credible intervals, a row for each object.

    Parameters
    ----------
    space : ParameterSpace
        Names and units.
    quantiles : ndarray of shape (3, n_objects, n_parameters)
        Lower end, median, upper end.
    numbers : dict of str to array-like of shape (n_objects,)
        Further columns.
    probability : float
        Of the intervals; kept in the table's ``meta``.

    Returns
    -------
    table : astropy.table.QTable
    """
    from astropy import units as u
    from astropy.table import QTable

    lower, median, upper = quantiles
    table = QTable()
    for i, (name, unit) in enumerate(zip(space.names, space.units, strict=True)):
        unit = u.Unit(unit)
        table[name] = median[:, i] * unit
        table[f"{name}_lower"] = lower[:, i] * unit
        table[f"{name}_upper"] = upper[:, i] * unit
    for name, values in numbers.items():
        table[name] = values
    table.meta["probability"] = probability
    return table
