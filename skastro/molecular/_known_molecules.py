"""The molecules that a call knows: those that are given, and the shipped ones."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ._lamda import read_lamda
from ._molecule import Molecule
from ._shipped import SHIPPED, load_molecule


class Molecules(Mapping):
    """The given molecules and the shipped ones, read when they are asked for.

    Parameters
    ----------
    given : mapping
        Species name to LAMDA file or :class:`Molecule`; a shipped species named here
        is replaced.
    """

    def __init__(self, given):
        self._given = {}
        for name, source in given.items():
            if not isinstance(source, Molecule):
                path = Path(str(source))
                if not path.is_file():
                    raise FileNotFoundError(
                        f"`molecules` gives for {name!r} the file {str(path)!r},"
                        f" which {'is a folder' if path.is_dir() else 'does not exist'}"
                        f" ({path.absolute()})."
                    )
                source = _read_once(path, path.stat().st_mtime_ns, name)
            self._given[name] = source

    def __getitem__(self, name):
        if name in self._given:
            return self._given[name]
        if name in SHIPPED:
            return load_molecule(name)
        raise KeyError(name)

    def __contains__(self, name):
        return name in self._given or name in SHIPPED

    def __iter__(self):
        yield from SHIPPED
        yield from (name for name in self._given if name not in SHIPPED)

    def __len__(self):
        return len(SHIPPED.keys() | self._given.keys())


def as_molecules(molecules):
    """Return a mapping of the given molecules and the shipped ones.

    Parameters
    ----------
    molecules : mapping or None
        Species name to LAMDA file or :class:`Molecule`; a shipped species named here
        is replaced.

    Returns
    -------
    known : Molecules
        Shipped files are read when they are asked for.
    """
    if isinstance(molecules, Molecules):
        return molecules
    if molecules is not None and not isinstance(molecules, Mapping):
        raise TypeError(
            "`molecules` must be a mapping from species name to a LAMDA file or a"
            f" Molecule, got {type(molecules).__name__}."
        )
    return Molecules(molecules or {})


@lru_cache(maxsize=64)
def _read_once(path, modified, name):
    """Read a file again only if it has changed."""
    return read_lamda(path, name=name)
