"""The mutants, one file for each family of classes."""
