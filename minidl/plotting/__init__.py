"""Figures: curves of one run and of several, layers, classes, pictures, probabilities, and the files they become.

Only matplotlib's objects are used, never `pyplot`: no window, no display, no figure left open, no setting of the user's
changed. Importing this package does not import matplotlib.
"""

from minidl.plotting.classes import (
    plot_confusion_matrix,
    plot_most_confused,
    plot_per_class_accuracy,
    plot_true_class_probability,
)
from minidl.plotting.curves import plot_curves, plot_gradient_norms, plot_runs, plot_update_ratios
from minidl.plotting.gallery import plot_gallery, plot_weight_templates, template_images
from minidl.plotting.rates import plot_learning_rates, plot_schedule
from minidl.plotting.style import save_figure
from minidl.plotting.sweeps import plot_sweep

__all__ = [
    "plot_confusion_matrix",
    "plot_curves",
    "plot_gallery",
    "plot_gradient_norms",
    "plot_learning_rates",
    "plot_most_confused",
    "plot_per_class_accuracy",
    "plot_runs",
    "plot_schedule",
    "plot_sweep",
    "plot_true_class_probability",
    "plot_update_ratios",
    "plot_weight_templates",
    "save_figure",
    "template_images",
]
