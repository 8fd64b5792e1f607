"""Figures: curves of one run and of several, layers, classes, pictures, probabilities, and the files they become.

Only matplotlib's objects are used, never `pyplot`: no window, no display, no figure left open, no setting of the user's
changed. Importing this package does not import matplotlib.
"""

from minidl.plotting import classes, curves, gallery, rates, style, sweeps
from minidl.plotting.classes import *
from minidl.plotting.curves import *
from minidl.plotting.gallery import *
from minidl.plotting.rates import *
from minidl.plotting.style import *
from minidl.plotting.sweeps import *

__all__ = classes.__all__ + curves.__all__ + gallery.__all__ + rates.__all__ + style.__all__ + sweeps.__all__
