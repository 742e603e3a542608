"""Bare arrays inside: what carries a unit is refused at the door."""


def refuse_units(values, name, expected=None):
    """Raise if values carry a unit, which numpy would strip in silence.

    Parameters
    ----------
    values : object
        What a user gave.
    name : str
        The parameter's name, for the message.
    expected : str, default=None
        The unit that it should be in, as astropy spells it.

    Raises
    ------
    TypeError
        If ``values`` has a unit.
    """
    unit = getattr(values, "unit", None)
    if unit is None:
        return
    remedy = "its bare values" if expected is None else f"{name}.to_value({expected!r})"
    raise TypeError(
        f"`{name}` carries the unit {unit}; inside estimators there are bare arrays, so"
        f" pass {remedy}."
    )
