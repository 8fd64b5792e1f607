"""Tools for testing the classes that users write: strategies, common checks, and a state machine for call orders.

Needs the ``test`` extra; ``import minidl`` never imports this.
"""

try:
    import hypothesis  # noqa: F401
except ImportError as error:
    raise ImportError('minidl.testing needs Hypothesis; install it with: pip install "minidl[test]"') from error

from minidl.testing.arrays import batches, bounded, extremes, labels, logits, off_kinks, shapes, ties, zeros
from minidl.testing.callback_contract import check_callback_contract
from minidl.testing.contract import ContractError
from minidl.testing.drawing_contract import check_augmentation_contract, check_initializer_contract
from minidl.testing.model_contract import check_layer_contract, check_loss_contract, check_regularizer_contract
from minidl.testing.optimizer_contract import check_optimizer_contract, check_schedule_contract
from minidl.testing.parametrize import contract_report, parametrize_checks
from minidl.testing.stateful import layer_machine
from minidl.testing.strategies import given_layer_cases, given_loss_cases, layer_cases, loss_cases

__all__ = [
    "ContractError",
    "batches",
    "bounded",
    "check_augmentation_contract",
    "check_callback_contract",
    "check_initializer_contract",
    "check_layer_contract",
    "check_loss_contract",
    "check_optimizer_contract",
    "check_regularizer_contract",
    "check_schedule_contract",
    "contract_report",
    "extremes",
    "given_layer_cases",
    "given_loss_cases",
    "labels",
    "layer_cases",
    "layer_machine",
    "logits",
    "loss_cases",
    "off_kinks",
    "parametrize_checks",
    "shapes",
    "ties",
    "zeros",
]
