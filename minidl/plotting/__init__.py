"""Figures: learning curves, learning rates, weight templates, probabilities, and the files they are saved in.

Only matplotlib's objects are used, never `pyplot`: no window, no display, no figure left open, no setting of the user's
changed. Importing this package does not import matplotlib.
"""

from minidl.plotting.curves import plot_curves, plot_schedule
from minidl.plotting.probabilities import plot_true_class_probability
from minidl.plotting.style import save_figure
from minidl.plotting.templates import plot_weight_templates, template_images

__all__ = [
    "plot_curves",
    "plot_schedule",
    "plot_true_class_probability",
    "plot_weight_templates",
    "save_figure",
    "template_images",
]
