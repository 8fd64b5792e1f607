"""A good loop written by hand in float32: one product per line, without its own threads."""

import numpy as np
from contestants.numpy_same import loop
from tasks import Problem, Run


def epoch(problem: Problem) -> Run:
    return loop(problem, np.matmul, iter, np.asarray, 1000)
