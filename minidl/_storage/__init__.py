"""The one door to the disk: files that are written whole or not at all, tensors, and what a file is."""
