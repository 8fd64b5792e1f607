"""All access to the disk: atomic writes, tensor files, locks, and the detection of file kinds."""
