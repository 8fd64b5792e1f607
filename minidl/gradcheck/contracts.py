"""Contract probes: rules that are exact, and need no numerical derivative.

*Purity* is what numerical derivatives rest on: calls agree, change nothing that is not theirs, return finite arrays.
It ends at the first finding. *Behaviour* is how a layer answers other uses than one forward and one backward: each
probe gives at most one finding. What is handed in is a float64 copy, and left as it was found.
"""

from minidl.gradcheck.contracts_behaviour import behaviour_of_layer
from minidl.gradcheck.contracts_loss import (
    behaviour_of_loss,
    behaviour_of_regularizer,
    purity_of_loss,
    purity_of_regularizer,
)
from minidl.gradcheck.contracts_purity import purity_of_layer

__all__ = [
    "behaviour_of_layer",
    "behaviour_of_loss",
    "behaviour_of_regularizer",
    "purity_of_layer",
    "purity_of_loss",
    "purity_of_regularizer",
]
