"""Which of two values of a quantity is better, by the end of its name."""

LARGER_IS_BETTER = ("accuracy", "acc", "f1", "auc", "precision", "recall", "r2")
SMALLER_IS_BETTER = ("loss", "cost", "error", "mae", "mse")
