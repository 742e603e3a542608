"""What every room stands on; private, and free to change.

=====================  ===========================================================
`arrays`               the one door for data: masks, tables, units, scale
`cloning`              clones that keep what is fitted elsewhere
`cluster_labels`       clusters, and who is of the field
`emulator_range`       the range that an emulator has learned
`estimator`            the base class of all estimators
`fits_files`           FITS files, with errors that name the file
`networks`             what trainings of networks share
`predictive_spread`    which regressors know how uncertain they are
`progress`             the course of a long fit: a bar, and callbacks
`scorers`              scorers that take errors along
`seeds`                random numbers that leave global generators alone
`sigma`                the door for errors
`sklearn_names`        the one place that imports scikit-learn's semi-private names
`suggestions`          names that come closest to a wrong one
`uncertain`            vectors with their error covariances
=====================  ===========================================================
"""

__all__ = []
