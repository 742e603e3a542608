"""The frame of latent variables in which loadings are the simplest functions of labels.

A spectrum's likelihood knows the loadings L(u) up to rotations R(u) of the latent
variables, one for each u. An abundance is to have the same axis at all labels, and how
a spectrum responds to it is a smooth function of these: of all frames, the one is
chosen in which the loadings need the fewest terms of a polynomial.
"""

import numpy as np

#: Rows at whose labels loadings are compared, at least; and for each term.
_ROWS, _ROWS_PER_TERM = 600, 10
#: Directions among the bins that are kept, in which loadings are largest.
_DIRECTIONS = 80


def simplest_frame(loadings, noise, phi):
    r"""Return rotations, one for each row, to the frame of the simplest loadings.

    Minimises :math:`\sum_b \ln(|L_b|^2 + e)` over the terms of the loadings but the
    constant, and what no term takes up, over rotations by Cayley's transform of
    antisymmetric matrices that are polynomials of the labels themselves. It is the
    penalty of terms whose prior variances are fitted (automatic relevance
    determination): large terms may stay, small ones vanish.

    Parameters
    ----------
    loadings : ndarray of shape (n_terms, k, n_bins)
        Coefficients of orthonormal polynomials, the constant first.
    noise : ndarray of shape (n_bins,)
        Variance of the bins.
    phi : ndarray of shape (n_rows, n_terms)
        The polynomials at each row's labels.

    Returns
    -------
    rotations : ndarray of shape (n_rows, k, k)
        Of latent variables: ``rotations @ z``.
    """
    import torch

    n_terms, k, n_bins = loadings.shape
    flat = (loadings / np.sqrt(noise)).reshape(n_terms * k, n_bins).astype(np.float64)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    main = vectors[:, -_DIRECTIONS:] * np.sqrt(np.maximum(values[-_DIRECTIONS:], 0))
    n_rows = max(_ROWS, _ROWS_PER_TERM * n_terms)
    few = np.linspace(0, len(phi) - 1, min(n_rows, len(phi))).astype(int)
    terms = torch.from_numpy(phi[few])
    projection = torch.linalg.pinv(terms)
    at_rows = torch.tensordot(terms, torch.from_numpy(main.reshape(n_terms, k, -1)), 1)
    # the energy that noise gives to a term
    error = n_bins * k / len(phi)
    i, j = np.triu_indices(k, 1)
    angles = torch.zeros((n_terms - 1, len(i)), dtype=torch.float64, requires_grad=True)
    unit = torch.eye(k, dtype=torch.float64)

    def rotations(terms):
        half = torch.zeros((len(terms), k, k), dtype=torch.float64)
        half[:, i, j] = terms[:, 1:] @ angles / 2
        half = half - half.transpose(1, 2)
        return torch.linalg.solve(unit - half, unit + half)

    def complexity():
        rotated = rotations(terms) @ at_rows
        coefficients = torch.tensordot(projection, rotated, 1)
        rest = rotated - torch.tensordot(terms, coefficients, 1)
        energies = coefficients[1:].square().sum(dim=(1, 2))
        left = rest.square().sum() / len(rest)
        return torch.log(energies + error).sum() + torch.log(left + error)

    optimizer = torch.optim.LBFGS(
        [angles], max_iter=30, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        value = complexity()
        value.backward()
        return value

    optimizer.step(closure)
    with torch.no_grad():
        return rotations(torch.from_numpy(phi)).numpy()
