"""Datasets: CIFAR-10 from whichever source is available, and pictures drawn here for a machine without a network."""

from minidl.data.datasets.cifar10 import load_cifar10, load_cifar10_course_split, load_cifar10_split
from minidl.data.datasets.synthetic import synthetic_images

__all__ = ["load_cifar10", "load_cifar10_course_split", "load_cifar10_split", "synthetic_images"]
