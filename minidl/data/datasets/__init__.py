"""Datasets: CIFAR-10 from whichever source is available, and synthetic images for machines without a network."""

from typing import TYPE_CHECKING

from minidl.data.datasets.cifar10 import load_cifar10, load_cifar10_course_split, load_cifar10_split
from minidl.data.datasets.synthetic import synthetic_images

# Hidden from type checkers, as in minidl/__init__.py.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        raise AttributeError(f"minidl.datasets has no {name!r}; available: {', '.join(__all__)}")


__all__ = ["load_cifar10", "load_cifar10_course_split", "load_cifar10_split", "synthetic_images"]
