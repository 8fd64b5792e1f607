"""LearningCurves and WeightTemplates: the figures of a run, drawn when training ends."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from minidl._core.checks import as_path
from minidl._core.errors import InputError
from minidl._core.spelling import check_known
from minidl._core.texts import check_text
from minidl._core.types import Figure, PathLike
from minidl._storage.files import check_file
from minidl.training.callback import Callback
from minidl.training.history import metrics
from minidl.training.trainer import Trainer


class _Figures(Callback):
    """Draws into a folder when training ends, and checks before training that it can."""

    paths: dict[str, list[Path]]
    _names: ClassVar[tuple[str, ...]]
    """The figures, each drawn into its own files."""

    def __init__(self, directory: PathLike, *, prefix: str = "", title: str = "") -> None:
        as_path("directory", directory)
        check_text("prefix", prefix)
        check_text("title", title)
        self.directory = directory
        self.prefix = prefix
        self.title = title
        self.paths = {}

    def on_train_begin(self, trainer: Trainer) -> None:
        self.paths = {}
        # The default title is the name of the training data.
        self._title = self.title or getattr(trainer.train_data, "name", "")
        for name, kind in itertools.product(self._names, ("png", "svg")):
            check_file(Path(self.directory) / f"{self.prefix}{name}.{kind}")
        # Saving a figure needs both.
        import matplotlib.backends.backend_agg
        import matplotlib.backends.backend_svg  # noqa: F401

    def _write(self, name: str, figure: Figure) -> None:
        """Write the figure, and note its paths under this name."""
        from minidl.plotting import save_figure

        self.paths[name] = save_figure(figure, Path(self.directory) / f"{self.prefix}{name}")


class LearningCurves(_Figures):
    """Draw cost and loss over the epochs into ``cost.png``, ``cost.svg``, ``loss.png`` and ``loss.svg``.

    The files are written when training ends, also after Ctrl-C or an error, if at least one epoch was finished.

    Parameters
    ----------
    directory : str or PathLike
        Created if it is missing.
    prefix : str
        Of each file name.
    title : str
        Of each figure; "" is the name of the training data.

    Attributes
    ----------
    paths : dict of str to list of Path
        What the last `fit` wrote, under ``"cost"`` and ``"loss"``.

    Raises
    ------
    InputError
        When training begins, if a file cannot be written.
    """

    _names = ("cost", "loss")

    def on_train_end(self, trainer: Trainer) -> None:
        from minidl.plotting import plot_curves

        for quantity in self._names:
            if quantity in metrics(trainer.history.columns):
                self._write(quantity, plot_curves(trainer.history, quantity, title=self._title))


class WeightTemplates(_Figures):
    """Draw the columns of a weight matrix as pictures into ``weights.png`` and ``weights.svg``.

    The files are written when training ends, also after Ctrl-C or an error, if at least one epoch was finished. What
    cannot be drawn is refused before the first epoch.

    Parameters
    ----------
    directory : str or PathLike
        Created if it is missing.
    prefix : str
        Of each file name.
    title : str
        Of the figure; "" is the name of the training data.
    parameter : str, optional
        Path of the weight, such as ``"0.weight"``; None is the model's first parameter, which must have two axes: the
        columns of a later one are not pictures of x.
    class_names : sequence of str, optional
        One per column; None takes those of the training data if their number matches.
    image_shape : tuple of int, optional
        See `minidl.plotting.plot_weight_templates`.

    Attributes
    ----------
    paths : dict of str to list of Path
        What the last `fit` wrote, under ``"weights"``.

    Raises
    ------
    InputError
        When training begins: if there is no such parameter, (as `ShapeError`) its columns are no images, or a file
        cannot be written.
    """

    _names = ("weights",)

    def __init__(
        self,
        directory: PathLike,
        *,
        prefix: str = "",
        title: str = "",
        parameter: str | None = None,
        class_names: Sequence[str] | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(directory, prefix=prefix, title=title)
        self.parameter = parameter
        self.class_names = class_names
        self.image_shape = image_shape

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        self._draw(trainer)

    def on_train_end(self, trainer: Trainer) -> None:
        if len(trainer.history):
            self._write("weights", self._draw(trainer))

    def _draw(self, trainer: Trainer) -> Figure:
        from minidl.plotting import plot_weight_templates

        parameters = trainer.model.parameters
        path = next(iter(parameters), "") if self.parameter is None else self.parameter
        check_known("WeightTemplates", "parameter", path, parameters)
        weight = parameters[path].value
        # A matrix after other weights is not applied to the pictures.
        if self.parameter is None and weight.ndim != 2:
            raise InputError(
                f"WeightTemplates: expected the model's first parameter to have two axes, got {path!r} of shape "
                f"{weight.shape}; name another by parameter=, of {', '.join(parameters)}"
            )
        names = self.class_names
        if names is None:
            names = getattr(trainer.train_data, "class_names", ())
            names = names if weight.shape[1:] == (len(names),) else ()
        return plot_weight_templates(weight, class_names=names, image_shape=self.image_shape, title=self._title)
