"""Maps on the sky."""


def label_map(axes, wcs, last):
    """Label the axes of a map.

    Parameters
    ----------
    axes : matplotlib Axes
        With ``projection=wcs``.
    wcs : astropy.wcs.WCS or None
        Celestial coordinates.
    last : bool
        Whether the horizontal axis has a label too.
    """
    if wcs is None:
        axes.set_ylabel("row")
        if last:
            axes.set_xlabel("column")
        return
    longitude, latitude = axes.coords
    name = {"pos.eq.ra": "RA", "pos.eq.dec": "Dec"}
    physical = wcs.world_axis_physical_types
    latitude.set_axislabel(name.get(physical[1], physical[1]), minpad=0.3)
    longitude.set_axislabel(
        name.get(physical[0], physical[0]) if last else "", minpad=0.6
    )
    longitude.set_ticks(number=3)
    longitude.set_ticklabel_visible(last)
