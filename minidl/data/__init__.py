"""On which data: sets of rows, how they are split, changed and loaded."""

from minidl.data.augmentation import Augmentation, Brightness, Contrast, Cutout, Mirror, RandomCrop, Shift
from minidl.data.dataset import Dataset, Standardizer
from minidl.data.images import images_from_rows, rows_from_images
from minidl.data.splits import train_validation_split

__all__ = [
    "Augmentation",
    "Brightness",
    "Contrast",
    "Cutout",
    "Dataset",
    "Mirror",
    "RandomCrop",
    "Shift",
    "Standardizer",
    "images_from_rows",
    "rows_from_images",
    "train_validation_split",
]
