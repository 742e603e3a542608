"""What a forward model says of its own structure, and what of it can be integrated."""

from dataclasses import dataclass

import numpy as np

from ..parameter_space import LogUniform, Uniform
from ..utils.suggestions import closest

#: Shared parameters that tables are made of at most, and scales that are one amplitude.
_MOST_SHARED, _MOST_SCALES = 3, 2
#: Models that a statement is tried on, and what rounding may make of it.
_N_PROBES, _ROUNDING = 16, 1e-3


@dataclass(frozen=True)
class Structure:
    """Parameters of a prior by what they do, as positions among its columns.

    Parameters
    ----------
    shared : tuple of int
        What all lines depend on.
    scales : tuple of int
        What all lines are proportional to.
    separable : dict of int to tuple of int
        What acts on some outputs of the model only: their positions.
    """

    shared: tuple
    scales: tuple
    separable: dict

    @property
    def integrated(self):
        """Columns that need not be sampled."""
        return [*self.separable, *self.scales]


def _stated(model, attribute):
    """Return what a model states, or an empty thing of its kind."""
    stated = getattr(model, attribute, None)
    if stated is None:
        return {}
    if isinstance(stated, str):
        raise TypeError(
            f"`{attribute}` of `forward_model` must hold names of parameters, got"
            f" {stated!r}."
        )
    return dict.fromkeys(stated) if attribute == "scale_parameters" else dict(stated)


def _column(name, attribute, prior):
    """Return the column of a parameter that a model names."""
    if name not in prior.names:
        raise ValueError(
            f"`{attribute}` of `forward_model` names {name!r}, which is no parameter of"
            f" `prior`; there are {prior.names}." + closest(str(name), prior.names)
        )
    return prior.names.index(name)


def _outputs(lines, name, output_names):
    """Return the positions of the outputs that a separable parameter acts on."""
    positions = []
    for line in [lines] if isinstance(lines, str) else lines:
        if isinstance(line, (int, np.integer)):
            positions.append(int(line))
            continue
        if output_names is None or line not in output_names:
            raise ValueError(
                f"`separable_parameters` of `forward_model` has {line!r} for {name!r},"
                f" which is none of its outputs, {output_names}."
            )
        positions.append(list(output_names).index(line))
    return tuple(positions)


def read_structure(forward, prior):
    """Return the structure that a forward model states, after trying it.

    Parameters
    ----------
    forward : ForwardModel
        Whose model may have ``scale_parameters``, names of parameters that all outputs
        are proportional to; and ``separable_parameters``, a mapping from the name of
        a parameter to the outputs, by name or position, that alone depend on it.
    prior : ParameterSpace
        The prior.

    Returns
    -------
    structure : Structure or None
        None if there is nothing to integrate.

    Raises
    ------
    ValueError
        If what the model states is not so, or names what it does not have.
    """
    model = forward.model
    if not hasattr(model, "predict"):
        return None
    scales = [
        _column(name, "scale_parameters", prior)
        for name in _stated(model, "scale_parameters")
    ]
    output_names = getattr(model, "output_names", None)
    separable = {
        _column(name, "separable_parameters", prior): _outputs(
            lines, name, output_names
        )
        for name, lines in _stated(model, "separable_parameters").items()
    }
    if not scales and not separable:
        return None
    _try(forward, prior, scales, separable)
    ordered = {name for group in prior.ordered or () for name in group}
    # those in order are not independent, and amplitudes are positive numbers
    free = [i for i, name in enumerate(prior.names) if name not in ordered]
    scales = [i for i in scales if i in free and prior.bounds[i, 0] >= 0]
    scales = tuple(scales[:_MOST_SCALES])
    separable = {
        i: lines for i, lines in separable.items() if i in free and i not in scales
    }
    shared = tuple(
        i for i in range(len(prior)) if i not in scales and i not in separable
    )
    return Structure(shared, scales, separable)


def has_tables(structure, prior):
    """Tell whether tables of the shared parameters can be made.

    They must be few, and, as the separable ones, uniform or log-uniform: a table is
    even in quantiles, which are coarse in the tails of other distributions.
    """
    return (
        structure is not None
        and not prior.ordered
        and bool(structure.separable)
        and len(structure.shared) <= _MOST_SHARED
        and all(
            isinstance(prior[prior.names[i]], (Uniform, LogUniform))
            for i in (*structure.shared, *structure.separable)
        )
    )


def _try(forward, prior, scales, separable):
    """Raise where what a model states is not so."""
    u = prior.sample_latin_hypercube(2 * _N_PROBES, random_state=0)
    theta, other = u[:_N_PROBES], u[_N_PROBES:]
    before = forward.outputs(theta)
    for column, lines in separable.items():
        beyond = [line for line in lines if not 0 <= line < before.shape[1]]
        if beyond:
            raise ValueError(
                f"`separable_parameters` of `forward_model` has output {beyond[0]} for"
                f" {prior.names[column]!r}, but there are outputs 0 to"
                f" {before.shape[1] - 1}."
            )
    size = np.nanmax(np.abs(before), axis=0, initial=0.0)

    def differs(after, expected):
        with np.errstate(invalid="ignore"):
            wrong = np.abs(after - expected) > _ROUNDING * (np.abs(expected) + size)
        return wrong.any(axis=0)

    for column in scales:
        moved = theta.copy()
        moved[:, column] = other[:, column]
        factor = (moved[:, column] / theta[:, column])[:, None]
        if differs(forward.outputs(moved), factor * before).any():
            raise ValueError(
                f"`scale_parameters` of `forward_model` names {prior.names[column]!r},"
                " but its outputs are not proportional to it."
            )
    taken = {}
    for column, lines in separable.items():
        name = prior.names[column]
        twice = [line for line in lines if line in taken]
        if twice:
            raise ValueError(
                f"`separable_parameters` of `forward_model` has output {twice[0]} for"
                f" {taken[twice[0]]!r} and for {name!r}; an output depends on one of"
                " them at most."
            )
        taken |= dict.fromkeys(lines, name)
        moved = theta.copy()
        moved[:, column] = other[:, column]
        wrong = np.flatnonzero(differs(forward.outputs(moved), before))
        wrong = [int(line) for line in wrong if line not in lines]
        if wrong:
            raise ValueError(
                f"`separable_parameters` of `forward_model` says that {name!r} acts on"
                f" outputs {list(lines)} only, but outputs {wrong} depend on it too."
            )
