"""What every room stands on; private, and free to change.

=====================  ===========================================================
`arrays`               units are refused at the door
`cloning`              clones that keep what is fitted elsewhere
`cluster_labels`       clusters, and who is of the field
`emulator_range`       the range that an emulator has learned
`estimator`            the base class of all estimators
`fits_files`           FITS files, with errors that name the file
`networks`             what trainings of networks share
`predictive_spread`    which regressors know how uncertain they are
`seeds`                random numbers that leave global generators alone
`sklearn_names`        the one place that imports scikit-learn's semi-private names
`suggestions`          names that come closest to a wrong one
`uncertain`            vectors with their error covariances
=====================  ===========================================================
"""

__all__ = []
