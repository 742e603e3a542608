"""Labels that a user asks to see, and their units."""

from ..labels._labels import label_number


def label_numbers(labels, names, parameter):
    """Return the numbers of labels that were asked for, all of them if none was.

    Parameters
    ----------
    labels : iterable of str or int, or None
        Their names or numbers.
    names : list of str
        Of all labels.
    parameter : str
        Where a user gave them, for messages.

    Returns
    -------
    numbers : list of int
    """
    if labels is None:
        return list(range(len(names)))
    if isinstance(labels, str):
        labels = [labels]
    return [label_number(key, names, parameter) for key in labels]


def label_units(units, names):
    """Return the unit of every label, empty where there is none.

    Parameters
    ----------
    units : dict or None
        Of labels, by name or number, their units.
    names : list of str
        Of all labels.

    Returns
    -------
    units : list of str
    """
    out = [""] * len(names)
    for key, unit in (units or {}).items():
        out[label_number(key, names, "units")] = str(unit)
    return out
