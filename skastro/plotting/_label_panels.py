"""Panels of labels against their truth, and what is drawn into them."""

import numpy as np


def label_panels(n_labels, n_columns):
    """Return pairs of axes, one above the other, of shape (2, n_labels)."""
    import matplotlib.pyplot as plt

    n_columns = min(n_columns, n_labels)
    n_rows = -(-n_labels // n_columns)
    figure, grid = plt.subplots(
        2 * n_rows,
        n_columns,
        figsize=(0.3 + 2.75 * n_columns, 0.2 + 3.4 * n_rows),
        squeeze=False,
        layout="constrained",
        gridspec_kw={"height_ratios": [2.1, 1] * n_rows},
    )
    figure.get_layout_engine().set(h_pad=0.04, hspace=0)
    pairs = grid.reshape(n_rows, 2, n_columns).swapaxes(0, 1).reshape(2, -1)
    for unused in pairs[:, n_labels:].flat:
        unused.remove()
    for ax, below in pairs[:, :n_labels].T:
        below.sharex(ax)
    return pairs[:, :n_labels]


def set_limits(ax, below, true, predicted, limit):
    """Set the limits, which a single star far from its label does not stretch."""
    low, high = true.min(), true.max()
    margin = 0.05 * (high - low) or limit
    low, high = low - margin, high + margin
    for panel in (ax, below):
        panel.set_xlim(low, high)
        panel.locator_params(nbins=4)
    ax.set_ylim(
        min(low, max(predicted.min() - margin, low - limit)),
        max(high, min(predicted.max() + margin, high + limit)),
    )
    below.set_ylim(-limit, limit)


def annotate(ax, text, **kwargs):
    """Write into the upper left corner, legible over stars."""
    from matplotlib.patheffects import withStroke

    ax.annotate(
        text,
        (0.03, 0.96),
        xycoords="axes fraction",
        va="top",
        zorder=5,
        path_effects=[withStroke(linewidth=2.5, foreground="w")],
        **{"fontsize": "small"} | kwargs,
    )


def density(ax, x, y, cmap):
    """Draw how many stars there are in hexagonal cells, of those in the panel."""
    columns = 40
    rows = round(columns * ax.bbox.height / ax.bbox.width / np.sqrt(3))
    return ax.hexbin(
        x,
        y,
        gridsize=(columns, max(4, rows)),
        extent=(*ax.get_xlim(), *ax.get_ylim()),
        mincnt=1,
        linewidths=0.1,
        cmap=cmap,
    )


def one_scale(densities, axes):
    """Give all densities one scale of colours."""
    if not densities:
        return
    from matplotlib.colors import LogNorm

    norm = LogNorm(1, max(2, *(cells.get_array().max() for cells in densities)))
    for cells in densities:
        cells.set_norm(norm)
    axes[0, 0].figure.colorbar(
        densities[0], ax=list(axes.flat), label="stars in a cell", aspect=40
    )


def typical_error(ax, error):
    """Draw a median error into the lower right corner."""
    if not np.isfinite(error):
        return
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    x = right - 0.06 * (right - left)
    y = low + 0.06 * (high - low) + error
    ax.errorbar(x, y, error, fmt="none", ecolor="k", elinewidth=1, capsize=2)
    ax.annotate(
        "median 1σ",
        (x, y),
        xytext=(-5, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize="x-small",
    )
