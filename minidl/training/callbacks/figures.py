"""LearningCurves and WeightTemplates: the figures of a run, drawn when training ends."""

from collections.abc import Sequence
from pathlib import Path

from minidl._core.errors import InputError
from minidl._core.spelling import check_known
from minidl._core.types import Figure, PathLike
from minidl._storage.files import make_folder
from minidl.nn.parameter import Parameter
from minidl.training.callback import Callback
from minidl.training.history import metrics
from minidl.training.trainer import Trainer


class _Figures(Callback):
    """Draws into a folder when training ends; what cannot be drawn must not show after hours, so it is tried before."""

    paths: dict[str, list[Path]]

    def __init__(self, directory: PathLike, *, prefix: str = "", title: str = "") -> None:
        self.directory = directory
        self.prefix = prefix
        self.title = title
        self.paths = {}

    def on_train_begin(self, trainer: Trainer) -> None:
        self.paths = {}
        make_folder(self.directory)

    def _write(self, name: str, figure: "Figure") -> None:
        """Write the figure, and note its paths under this name."""
        from minidl.plotting import save_figure

        self.paths[name] = save_figure(figure, Path(self.directory) / f"{self.prefix}{name}")

    def _title_of(self, trainer: Trainer) -> str:
        """Return the title, which without one of the user's is the name of the training data."""
        return self.title or getattr(trainer.train_data, "name", "")


class LearningCurves(_Figures):
    """Draw cost and loss over the epochs into ``cost.png``, ``cost.svg``, ``loss.png`` and ``loss.svg``.

    The files are written when training ends, also by Ctrl-C or an error, provided that one epoch was finished.

    Parameters
    ----------
    directory : str or PathLike
        Made if it is missing.
    prefix : str
        Put before each file name.
    title : str
        Of each figure; "" is the name of the training data.

    Attributes
    ----------
    paths : dict of str to list of Path
        What the last `fit` wrote, under ``"cost"`` and ``"loss"``.
    """

    def on_train_begin(self, trainer: Trainer) -> None:
        super().on_train_begin(trainer)
        # Saving a figure needs both.
        import matplotlib.backends.backend_agg
        import matplotlib.backends.backend_svg  # noqa: F401

    def on_train_end(self, trainer: Trainer) -> None:
        from minidl.plotting import plot_curves

        for quantity in ("cost", "loss"):
            if quantity in metrics(trainer.history.columns):
                self._write(quantity, plot_curves(trainer.history, quantity, title=self._title_of(trainer)))


class WeightTemplates(_Figures):
    """Draw the columns of a weight matrix as pictures into ``weights.png`` and ``weights.svg``.

    The files are written when training ends, also by Ctrl-C or an error, provided that one epoch was finished. What
    cannot be drawn is refused before the first epoch.

    Parameters
    ----------
    directory : str or PathLike
        Made if it is missing.
    prefix : str
        Put before each file name.
    title : str
        Of the figure; "" is the name of the training data.
    parameter : str, optional
        Path of the weight, such as ``"0.weight"``; None takes the model's first parameter, which must have two
        axes: the columns of a later one are no pictures of x.
    class_names : sequence of str, optional
        One a column; None takes those of the training data if there are as many as columns.
    image_shape : tuple of int, optional
        See `minidl.plotting.plot_weight_templates`.

    Attributes
    ----------
    paths : dict of str to list of Path
        What the last `fit` wrote, under ``"weights"``.

    Raises
    ------
    InputError
        When training begins: if there is no such parameter, or (as `ShapeError`) its columns are no images.
    """

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

    def _draw(self, trainer: Trainer) -> "Figure":
        from minidl.plotting import plot_weight_templates

        weight = self._find(trainer.model.parameters).value
        names = self.class_names
        if names is None:
            names = getattr(trainer.train_data, "class_names", ())
            names = names if weight.shape[1:] == (len(names),) else ()
        title = self._title_of(trainer)
        return plot_weight_templates(weight, class_names=names, image_shape=self.image_shape, title=title)

    def _find(self, parameters: dict[str, Parameter]) -> Parameter:
        path = next(iter(parameters), "") if self.parameter is None else self.parameter
        check_known("WeightTemplates", "parameter", path, parameters)
        shape = parameters[path].value.shape
        if self.parameter is None and len(shape) != 2:  # a matrix behind other weights does not see the pictures
            raise InputError(
                f"WeightTemplates: expected the model's first parameter to have two axes, got {path!r} of shape {shape}"
                f"; name another by parameter=, of {', '.join(parameters)}"
            )
        return parameters[path]
