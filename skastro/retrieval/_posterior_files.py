"""Posteriors in files that anyone may open: npz and JSON, no pickle."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import stats

from ..parameter_space import LogUniform, Parameter, ParameterSpace, Uniform

_FORMAT = "skastro posterior 1"
_ARRAYS = ("samples", "weighted_samples", "weights", "log_likelihoods")
_NUMBERS = ("log_evidence", "log_evidence_err", "effective_sample_size")


def describe_space(space):
    """Return what JSON can hold of a prior.

    Parameters
    ----------
    space : ParameterSpace
        Of distributions of scipy.stats.

    Returns
    -------
    description : dict

    Raises
    ------
    TypeError
        If a distribution is not one that scipy.stats has by name.
    """
    parameters = {}
    for name in space.names:
        parameter = space[name]
        kind = type(parameter).__name__
        if kind in ("Uniform", "LogUniform"):
            entry = {"bounds": list(parameter.bounds)}
        else:
            frozen, kind = parameter.distribution, "Parameter"
            family = frozen.dist.name
            if not hasattr(stats, family):
                raise TypeError(
                    f"The distribution {family!r} of {name!r} is not one of"
                    " scipy.stats; a file without code cannot hold it."
                )
            entry = {
                "family": family,
                "args": [float(a) for a in frozen.args],
                "kwds": {k: float(v) for k, v in frozen.kwds.items()},
                "log": bool(parameter.log),
            }
        parameters[name] = {"kind": kind, **entry} | {
            "unit": parameter.unit,
            "label": parameter.label,
        }
    ordered = None if space.ordered is None else [list(g) for g in space.ordered]
    return {"parameters": parameters, "ordered": ordered}


def restore_space(description):
    """Return the prior that :func:`describe_space` described.

    Parameters
    ----------
    description : dict
        What it returned.

    Returns
    -------
    space : ParameterSpace
    """
    parameters = {}
    for name, entry in description["parameters"].items():
        look = {"label": entry["label"]}
        if entry["kind"] == "Parameter":
            frozen = getattr(stats, entry["family"])(*entry["args"], **entry["kwds"])
            parameters[name] = Parameter(
                frozen, entry["unit"], log=entry["log"], **look
            )
        else:
            cls = Uniform if entry["kind"] == "Uniform" else LogUniform
            parameters[name] = cls(*entry["bounds"], entry["unit"], **look)
    ordered = description["ordered"]
    if ordered is not None:
        ordered = [tuple(group) for group in ordered]
    return ParameterSpace(parameters, ordered=ordered)


def write_posteriors(path, posteriors, **more):
    """Write posteriors of one prior to an npz file, in one move.

    Parameters
    ----------
    path : path-like
        The file.
    posteriors : list of Posterior or None
        Anything with a posterior's attributes; None for an object without one.
    **more : dict
        What else JSON can hold.
    """
    path = Path(path)
    known = [p for p in posteriors if p is not None]
    header = {"format": _FORMAT, "known": [p is not None for p in posteriors], **more}
    # samples that are all there is are written once
    header["alike"] = [p.samples is p.weighted_samples for p in known]
    if known:
        header["space"] = describe_space(known[0].space)
    arrays = {"header": np.array(json.dumps(header))}
    for name in _NUMBERS:
        arrays[name] = np.array([getattr(p, name) for p in known], dtype=float)
    for name in _ARRAYS:
        parts = [getattr(p, name) for p in known]
        if name == "samples":
            pairs = zip(parts, header["alike"], strict=True)
            parts = [part[:0] if alike else part for part, alike in pairs]
        arrays[name] = np.concatenate(parts) if parts else np.empty(0)
        arrays[f"n_{name}"] = np.array([len(part) for part in parts], dtype=int)
    partial = path.with_name(f"partial-{path.name}")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(path)


def read_posteriors(path):
    """Read a file of :func:`write_posteriors`.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    posteriors : list of dict or None
        The arguments of each :class:`Posterior`, without its prior.
    space : ParameterSpace or None
        The prior; None where no object has a posterior.
    header : dict
        What was written beside them.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as stored:
            arrays = dict(stored)
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != _FORMAT:
            raise KeyError(header["format"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{str(path)!r} is no posterior that skastro wrote, or of a newer version."
        ) from error
    space = restore_space(header["space"]) if "space" in header else None
    parts = {
        name: np.split(arrays[name], np.cumsum(arrays[f"n_{name}"])[:-1])
        for name in _ARRAYS
    }
    posteriors, k = [], 0
    for known in header["known"]:
        if not known:
            posteriors.append(None)
            continue
        own = {name: parts[name][k] for name in _ARRAYS}
        if header.get("alike", ())[k : k + 1] == [True]:
            own["samples"] = own["weighted_samples"]
        posteriors.append(own | {name: float(arrays[name][k]) for name in _NUMBERS})
        k += 1
    return posteriors, space, header


@lru_cache(maxsize=2)
def _read_once(path, written):
    """Read a file, and keep it in memory while its posteriors are asked for.

    Parameters
    ----------
    path : str
        The file.
    written : tuple of int
        Which of the files that had this name in turn it is.

    Returns
    -------
    posteriors : list of dict or None
    """
    return read_posteriors(path)[0]


class StoredPosterior:
    """A posterior in a file of many, which is read when it is asked for.

    Parameters
    ----------
    path : str
        The file.
    index : int
        Which of its objects.
    space : ParameterSpace
        The prior.
    numbers : dict of str to float
        Evidence, its error, and the effective sample size.
    """

    def __init__(self, path, index, space, numbers):
        self._path, self._index, self._space = path, index, space
        self.log_evidence = numbers["log_evidence"]
        self.log_evidence_err = numbers["log_evidence_err"]
        self.effective_sample_size = numbers["effective_sample_size"]

    def load(self):
        """Return the posterior itself.

        Returns
        -------
        posterior : Posterior
        """
        from ._posterior import Posterior

        found = Path(self._path).stat()
        read = _read_once(self._path, (found.st_mtime_ns, found.st_ino, found.st_size))
        return Posterior(self._space, **read[self._index])

    def __reduce__(self):
        """Pickle the posterior, and not where it is."""
        posterior = self.load()
        return type(posterior), (
            posterior.space,
            *(getattr(posterior, name) for name in (*_ARRAYS, *_NUMBERS)),
        )


def read_stored(path, space):
    """Look up posteriors of a file without reading them.

    Parameters
    ----------
    path : path-like
        The file.
    space : ParameterSpace
        Their prior.

    Returns
    -------
    posteriors : list of StoredPosterior or None
    header : dict
        What was written beside them.
    """
    with np.load(Path(path), allow_pickle=False) as stored:
        header = json.loads(str(stored["header"]))
        numbers = {name: stored[name].tolist() for name in _NUMBERS}
    posteriors, k = [], 0
    for i, known in enumerate(header["known"]):
        posteriors.append(None)
        if known:
            own = {name: values[k] for name, values in numbers.items()}
            posteriors[i] = StoredPosterior(str(path), i, space, own)
            k += 1
    return posteriors, header
