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

__all__: list[str] = []
for _part in (classes, curves, gallery, rates, style, sweeps):
    __all__ += _part.__all__
