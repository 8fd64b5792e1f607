"""With how many seeds a check is tried: a few by day, and many at night."""

from hypothesis import settings

NIGHT = settings().max_examples > 50
SEEDS = range(20 if NIGHT else 2)
# For what goes wrong by chance.
MANY = range(200 if NIGHT else 5)
