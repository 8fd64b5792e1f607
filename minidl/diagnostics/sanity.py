"""Sanity check before training: common faults of data, labels, initial weights and gradients."""

from dataclasses import dataclass

import numpy as np

from minidl._core.checks import check_type
from minidl._core.reprs import counted
from minidl._core.tables import html_table
from minidl.data.dataset import Dataset, check_dataset
from minidl.diagnostics.common import working_copy
from minidl.diagnostics.items import SanityItem, data_items, last_layer, model_items, near_one
from minidl.training.trainer import Trainer

_HEADER = ("item", "verdict", "finding and advice")


@dataclass(frozen=True)
class SanityReport:
    """The result of `sanity_check`. Print it.

    Attributes
    ----------
    items : list of SanityItem
        One for each check: its ``name``, ``verdict`` ("ok", "warning" or "fault") and ``sentence``.
    """

    items: list[SanityItem]

    @property
    def ok(self) -> bool:
        """Whether there is neither a fault nor a warning."""
        return not self.faults and not self.warnings

    @property
    def faults(self) -> list[SanityItem]:
        """Items that are certainly wrong."""
        return [item for item in self.items if item.verdict == "fault"]

    @property
    def warnings(self) -> list[SanityItem]:
        """Items that may be intended, but are usually mistakes."""
        return [item for item in self.items if item.verdict == "warning"]

    @property
    def sentence(self) -> str:
        """The numbers of faults and warnings."""
        bad = [items for items in (self.faults, self.warnings) if items]
        counts = [counted(len(items), items[0].verdict) for items in bad]
        return f"sanity check: {' and '.join(counts) or 'nothing looks wrong'}"

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        width = max(len(item.name) for item in self.items)
        lines = [f"  {item.verdict:7}  {item.name:{width}}  {item.sentence}" for item in self.items]
        return "\n".join([self.sentence, *lines])

    def _repr_html_(self) -> str:
        return f"<p>{self.sentence}</p>\n{html_table(_HEADER, self.items)}"


def sanity_check(trainer: Trainer, data: Dataset) -> SanityReport:
    """Look for common faults before a long training; the trainer and the data do not change.

    It checks whether the last layer fits the loss, the scale of x, the labels, equal rows with different labels,
    whether the labels are related to x, the initial loss (ln K for an untrained classifier), the gradient on four rows,
    dead and saturated hidden units, and whether the model can memorise 20 rows. It uses at most some thousand
    rows. It takes seconds (about ten for a large convolutional network); `check_model`, `dead_units` and `overfit_tiny`
    give more details.

    Parameters
    ----------
    trainer : Trainer
        Before or after its first `fit`. Its model is copied.
    data : Dataset
        The training data, exactly as for `fit`.

    Returns
    -------
    SanityReport
        Print it. Faults are reported, not raised.

    Raises
    ------
    InputError
        If `trainer` is not a Trainer, `data` is not a `Dataset` with at least one row, or the model cannot be copied.

    References
    ----------
    Karpathy, "CS231n: Convolutional neural networks for visual recognition", notes on neural networks part 3, "Before
    learning: sanity checks".

    Examples
    --------
    >>> from minidl import SGD, Dense, SoftmaxCrossEntropy, Model
    >>> data = Dataset(np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 3 + 1)
    >>> report = sanity_check(Trainer(Model(Dense(5, 3, rng=0), SoftmaxCrossEntropy()), SGD(0.1)), data)
    >>> print(report.faults[0].sentence)
    SoftmaxCrossEntropy(): targets: expected labels in 0..2, got 3 in row 2; class labels count from 0: subtract 1 \
from targets
    """
    check_type("sanity_check", "trainer", trainer, Trainer)
    check_dataset("sanity_check", data)
    model = working_copy("sanity_check", trainer.model)
    # An overflow shows in the measured values.
    with np.errstate(all="ignore"):
        items = last_layer(model, data)
        for item in data_items(model, data):
            items.append(item)
            if item.verdict == "fault":
                break
        if all(item.verdict != "fault" for item in items):
            # After a fault of the last layer or the data, the items about the model would only repeat it.
            items += model_items(model, near_one(data, items), trained=trainer.step > 0)
    return SanityReport(items)
