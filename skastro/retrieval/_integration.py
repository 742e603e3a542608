"""What of a retrieval is integrated, by what its forward model says of itself."""

from dataclasses import replace

from ..utils.warn import warn
from ._scale_sampler import ScaleSampler, integrable_scale
from ._structure import has_tables, read_structure
from ._table_sampler import TableSampler, can_sample, demands_of


def integrate(solver, problems, seed, verbose=0):
    """Let a solver integrate what it can.

    Separable parameters are, with all scales, where the rest is in tables; else one
    scale is, where its integral is known.

    Parameters
    ----------
    solver : Solver
        What the objects have in common.
    problems : Problems
        The objects.
    seed : int
        Of the draws that all objects begin with.
    verbose : int, default=0
        1 shows how many models tables take.

    Returns
    -------
    solver : Solver
        The same, if there is nothing to integrate.
    names : list of str
        Of the parameters that are integrated.
    """
    forward, prior, X, with_std = (
        solver.forward,
        solver.prior,
        solver.X,
        solver.with_std,
    )
    structure = read_structure(forward, prior)
    observed = problems.observed()
    if has_tables(structure, prior) and can_sample(observed):
        demands = demands_of(observed, len(X))
        tables = TableSampler(
            forward, prior, structure, X, demands, with_std, seed, verbose
        )
        if demands.allow(tables.made.error):
            names = [prior.names[i] for i in structure.integrated]
            return replace(solver, tables=tables), names
        warn(
            f"Some line is known to {demands.smallest_error:.2g} of its intensity,"
            f" which tables of `forward_model`, good to {tables.made.error:.2g}, are"
            " too coarse for: its separable parameters are sampled with the rest, which"
            " takes longer."
        )
    column = integrable_scale(structure, prior, observed, with_std)
    if column is None:
        return solver, []
    scale = ScaleSampler(forward, prior, column, X)
    return replace(solver, scale=scale), [prior.names[column]]
