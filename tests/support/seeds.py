"""With how many seeds a check is tried: five, and twenty at night."""

from hypothesis import settings

SEEDS = range(20 if settings().max_examples > 50 else 5)
