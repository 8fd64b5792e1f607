"""PyTorch with its compiler: forward, loss and backward of a step in one compiled graph."""

import importlib
from typing import Any

from contestants import torch_eager
from tasks import Problem, Run

torch: Any = importlib.import_module("torch")


def epoch(problem: Problem) -> Run:
    return torch_eager.epoch(problem, torch.compile)
