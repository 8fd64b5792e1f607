"""Before a long training: what is most often wrong with data, labels, initial weights and gradients."""

from dataclasses import dataclass

import numpy as np

from minidl._core.checks import check_type
from minidl._core.reprs import counted
from minidl._core.tables import html_table
from minidl.data.dataset import Dataset, check_dataset
from minidl.diagnostics.common import working_copy
from minidl.diagnostics.items import SanityItem, data_items, last_layer, model_items, near_one
from minidl.training.trainer import Trainer

_HEADER = ("what", "verdict", "what was found, and what to do")


@dataclass(frozen=True)
class SanityReport:
    """What `sanity_check` found; print it.

    Attributes
    ----------
    items : list of SanityItem
        One for each thing that was looked at: its ``name``, ``verdict`` ("ok", "warning" or "fault") and ``sentence``.
    """

    items: list[SanityItem]

    @property
    def ok(self) -> bool:
        """Whether there is neither a fault nor a warning."""
        return not self.faults and not self.warnings

    @property
    def faults(self) -> list[SanityItem]:
        """What cannot be right."""
        return [item for item in self.items if item.verdict == "fault"]

    @property
    def warnings(self) -> list[SanityItem]:
        """What may be intended, but is usually a mistake."""
        return [item for item in self.items if item.verdict == "warning"]

    @property
    def sentence(self) -> str:
        """How many faults and warnings there are."""
        bad = [found for found in (self.faults, self.warnings) if found]
        told = [counted(len(found), found[0].verdict) for found in bad]
        return f"sanity check: {' and '.join(told) or 'nothing looks wrong'}"

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        width = max(len(item.name) for item in self.items)
        lines = [f"  {item.verdict:7}  {item.name:{width}}  {item.sentence}" for item in self.items]
        return "\n".join([self.sentence, *lines])

    def _repr_html_(self) -> str:
        return f"<p>{self.sentence}</p>\n{html_table(_HEADER, self.items)}"


def sanity_check(trainer: Trainer, data: Dataset) -> SanityReport:
    """Look for what is most often wrong before a long training; nothing of the trainer's or the data's changes.

    It looks at whether the loss takes what the last layer gives, the scale of x, the labels, equal rows with different
    labels, whether labels have anything to do with x, the initial loss (of a classifier that knows nothing: ln K), the
    gradient on four rows, hidden units that are dead or saturated, and whether 20 rows can be memorised. Large
    sets are judged by some thousand of their rows. It takes seconds (a large convolutional network some ten);
    `check_model`, `dead_units` and `overfit_tiny` look closer.

    Parameters
    ----------
    trainer : Trainer
        Before its first `fit`, or later. Its model is copied.
    data : Dataset
        What it is to be trained on, just as `fit` gets it.

    Returns
    -------
    SanityReport
        What is wrong raises nothing: print the report.

    Raises
    ------
    InputError
        If it is no trainer, the data is no `Dataset` with at least one row, or the model cannot be copied.

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
    # What overflows shows in what is measured.
    with np.errstate(all="ignore"):
        items = last_layer(model, data)
        for item in data_items(model, data):
            items.append(item)
            if item.verdict == "fault":
                break
        if all(item.verdict != "fault" for item in items):
            # After a fault the network would only be blamed for the last layer, or for the data.
            items += model_items(model, near_one(data, items), trained=trainer.step > 0)
    return SanityReport(items)
