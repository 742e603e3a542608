"""Errors for names that do not exist, with the names that come closest."""

import difflib


def closest(name, known, n=3):
    """Return a sentence with the known names closest to a wrong one.

    Parameters
    ----------
    name : str
        What was asked for.
    known : iterable of str
        What there is.
    n : int, default=3
        At most so many suggestions.

    Returns
    -------
    hint : str
        ``" Did you mean 'a', 'b'?"``, or an empty string if nothing is close.
    """
    folded = {}
    for candidate in known:
        folded.setdefault(candidate.casefold(), candidate)
    matches = difflib.get_close_matches(name.casefold(), folded, n=n, cutoff=0.5)
    if not matches:
        return ""
    return " Did you mean " + ", ".join(repr(folded[match]) for match in matches) + "?"
