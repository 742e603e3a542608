"""Warnings that point to the line of the user, wherever they come from."""

import contextlib
import sys
import warnings
from pathlib import Path

import joblib
import sklearn

import skastro

#: Code that users do not write, and that stands between them and a warning.
_BETWEEN = (
    *(str(Path(p.__file__).parent) for p in (skastro, sklearn, joblib)),
    contextlib.__file__,
)


def warn(message, category=UserWarning):
    """Warn at the first line, from here outwards, that is neither ours nor sklearn's.

    Parameters
    ----------
    message : str
        What to say.
    category : type, default=UserWarning
        Kind of warning.
    """
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        frame, level = frame.f_back, level + 1
    # where there is none, as in a worker, the line itself will do
    warnings.warn(message, category, stacklevel=level if frame else 2)
