"""Data: datasets, splits, augmentation, and the loading of CIFAR-10."""

from minidl.data import augmentation
from minidl.data.augmentation import *
from minidl.data.dataset import Dataset, Standardizer
from minidl.data.images import images_from_rows, rows_from_images
from minidl.data.splits import train_validation_split

__all__ = ["Dataset", "Standardizer", "images_from_rows", "rows_from_images", "train_validation_split"]
__all__ += augmentation.__all__
