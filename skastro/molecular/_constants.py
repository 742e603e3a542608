"""Physical constants (CODATA 2018, CGS) and the conventions of RADEX."""

import math

from scipy import constants

#: h c / k_B [K cm]: converts a wavenumber in cm^-1 to a temperature.
WAVENUMBER_TO_KELVIN = constants.h * constants.c / constants.k * 100.0
#: Speed of light [cm/s].
SPEED_OF_LIGHT = constants.c * 100.0
#: Area of a Gaussian profile of unit height and unit FWHM, sqrt(pi) / (2 sqrt(ln 2)),
#: rounded to 1.0645 as RADEX has it.
GAUSSIAN_AREA = 1.0645
#: Temperature of the cosmic microwave background as RADEX has it [K].
CMB_TEMPERATURE = 2.73
#: 8 pi
EIGHT_PI = 8.0 * math.pi
#: Column density of hydrogen nuclei per magnitude of visual extinction [cm^-2 / mag],
#: thesis, section 2.2.3.
HYDROGEN_PER_EXTINCTION = 1.6e21
#: h / k_B [K / GHz]: converts a frequency to a temperature.
GHZ_TO_KELVIN = constants.h * constants.giga / constants.k
#: 2 h / c^2 [W m^-2 Hz^-1 sr^-1 GHz^-3]: times frequency cubed, the intensity of one
#: photon a mode.
INTENSITY_OF_A_PHOTON = 2 * constants.h / constants.c**2 * constants.giga**3
#: The amplification of inverted lines is capped at this optical depth.
TAU_MIN = -1.0
