"""Whether a schedule goes with a run: does it end before the run does, or the run before its warm-up?"""

import copy
from contextlib import suppress

from minidl._core.errors import InputError
from minidl.training.optimizers.schedules import PiecewiseConstant, Schedule


def fault_of(schedule: Schedule, done: int, left: int, per_epoch: int) -> str:
    """Return what makes `schedule` unfit for `left` steps more than those that are done; "" if nothing does."""
    last, middle = done + left, done + left // 2
    end, warmup = schedule.ends_after, schedule.warmup_ends_after
    # One step more does no harm: a cosine has steps + 1 from its first rate to its last.
    if end is not None and last > end + 1:
        return f"ends after step {end} of {last}, and the rest has a rate of {schedule(last - 1):.2g}"
    # A later fit may continue a warm-up that the first one began, and a loop of fits has a first one of one epoch.
    if not done and per_epoch < last < warmup:
        return f"has a warm-up of {warmup} steps, but the run ends after step {last}"
    if isinstance(schedule, PiecewiseConstant) and schedule.falls and schedule.boundaries[-1] < per_epoch < last:
        return f"falls for the last time after step {schedule.boundaries[-1]} of {last}, within the first epoch"
    first = again = (0.1, 0.1)
    # What a user's own schedule raises belongs to the step at which it does.
    with suppress(Exception):
        twin = copy.deepcopy(schedule)
        first, again = ((twin(done), twin(middle)) for _ in range(2))
    if repr(first) != repr(again):
        got = f"{first} and then {again} for steps {done} and {middle}"
        raise InputError(f"{schedule!r}: expected a rate by the step alone, the same when asked again; got {got}")
    return f"has a rate of 0 at step {middle + 1} of {last}" if first[1] == 0.0 else ""
