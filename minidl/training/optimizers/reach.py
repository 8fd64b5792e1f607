"""Check that a schedule fits a run: it must not end before the run, nor the run before its warm-up."""

import copy
from contextlib import suppress

from minidl._core.errors import InputError
from minidl.training.optimizers.schedules import PiecewiseConstant, Schedule


def schedule_fault(schedule: Schedule, done: int, left: int, per_epoch: int) -> str:
    """Return why `schedule` does not fit `left` more steps after `done` steps; "" if it fits."""
    last, middle = done + left, done + left // 2
    end, warmup = schedule.ends_after, schedule.warmup_ends_after
    # One more step is harmless: a cosine of n steps has n + 1 rates.
    if end is not None and last > end + 1:
        return f"ends after step {end} of {last}, and all later steps have a rate of {schedule(last - 1):.2g}"
    # A later fit may continue the warm-up of an earlier one, and a loop of fits begins with a fit of one epoch.
    if not done and per_epoch < last < warmup:
        return f"has a warm-up of {warmup} steps, but the run ends after step {last}"
    if isinstance(schedule, PiecewiseConstant) and schedule.falls and schedule.boundaries[-1] < per_epoch < last:
        return f"makes its last change at step {schedule.boundaries[-1]} of {last}, in the first epoch"
    first = again = (0.1, 0.1)
    # An error of a user's schedule is raised again at its own step.
    with suppress(Exception):
        twin = copy.deepcopy(schedule)
        first, again = ((twin(done), twin(middle)) for _ in range(2))
    if repr(first) != repr(again):
        got = f"{first} and then {again} for steps {done} and {middle}"
        raise InputError(f"{schedule!r}: expected a rate that depends on the step alone; got {got}")
    return f"has a rate of 0 at step {middle + 1} of {last}" if first[1] == 0.0 else ""
