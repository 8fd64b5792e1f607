"""What a forward keeps for its backward."""

from minidl._core.errors import CallOrderError
from minidl._core.types import Array


class ForwardMemory:
    """One slot that `forward` fills and `backward` empties: stale values can never be used twice."""

    _kept: tuple[Array, ...] | None = None

    def keep(self, *arrays: Array) -> None:
        """Keep `arrays` for the next backward, in place of what was kept before."""
        self._kept = arrays

    def kept(self) -> tuple[Array, ...]:
        """Return what the last forward kept, and forget it.

        Raises
        ------
        CallOrderError
            If there was no such forward, or a backward has already used it.
        """
        if self._kept is None:
            raise CallOrderError(
                f"{self!r}: backward needs a forward before it (a layer's with train=True), and each forward allows "
                "one backward"
            )
        kept, self._kept = self._kept, None
        return kept
