"""scikit-learn: estimators around a function that builds a model, for pipelines, grid search and cross-validation."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from minidl._core.attributes import is_function
from minidl._core.checks import as_fraction, check_type, check_unmasked
from minidl._core.errors import InputError, ShapeError
from minidl._core.types import Array
from minidl.data.dataset import Dataset
from minidl.data.splits import train_validation_split
from minidl.nn.model import Model
from minidl.training.callback import Callback
from minidl.training.optimizers import Adam, Optimizer, Schedule
from minidl.training.trainer import Trainer

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError('minidl.sklearn needs scikit-learn >= 1.6; run: pip install "minidl[sklearn]"') from error

__all__ = ["NeuralNetClassifier", "NeuralNetRegressor"]

_BUILD = "build__"
# Other dtypes are converted to the first.
_DTYPES = (np.float64, np.float32)


class _NeuralNet(BaseEstimator):
    """Base class of both estimators: their settings, and the building and training of a model."""

    def __init__(
        self,
        build: Callable[..., Model],
        build_params: dict[str, Any] | None = None,
        *,
        optimizer: Callable[..., Optimizer] = Adam,
        learning_rate: float | Schedule = 0.01,
        epochs: int = 20,
        batch_size: int = 32,
        validation_fraction: float = 0.0,
        callbacks: Sequence[Callback] = (),
        random_state: Any = None,
    ) -> None:
        self.build = build
        self.build_params = build_params
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.callbacks = callbacks
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name; with `deep`, also the items of `build_params`, as ``build__name``."""
        params: dict[str, Any] = super().get_params(deep)
        if deep and isinstance(self.build_params, dict):
            params |= {_BUILD + name: value for name, value in self.build_params.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Change settings; ``build__name`` sets the item `name` of `build_params`."""
        for_build = {name.removeprefix(_BUILD): params.pop(name) for name in list(params) if name.startswith(_BUILD)}
        super().set_params(**params)
        if for_build:
            # A new dict, since the old one belongs to the caller.
            self.build_params = {**(self.build_params or {}), **for_build}
        return self

    def _train(self, x: Array, targets: Array, outputs: int, *, stratify: bool) -> None:
        """Build a model with this number of `outputs` and train it."""
        name = type(self).__name__
        for argument, wanted in [("build", "a function that returns a Model"), ("optimizer", "a class such as SGD")]:
            if not is_function(value := getattr(self, argument)):
                raise InputError(f"{name}: expected {argument} to be {wanted}, got {value!r:.80}")
        if self.build_params is not None:
            check_type(name, "build_params", self.build_params, dict)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = int(check_random_state(seed).randint(2**31 - 1))
        model = self.build(x.shape[1], outputs, np.random.default_rng(seed), **(self.build_params or {}))
        check_type(name, "the result of build", model, Model)
        if (shape := model.forward(x[:1]).shape) != (1, outputs):
            raise ShapeError(f"{name}: expected a model from build with {outputs} outputs per row, got {shape[1:]}")
        train, validation = Dataset(x, targets), None
        if fraction := as_fraction("validation_fraction", self.validation_fraction):
            train, validation = train_validation_split(train, fraction, seed, stratify)
        # Copies, since state from training must not change the settings.
        optimizer = self.optimizer(copy.deepcopy(self.learning_rate))
        trainer = Trainer(model, optimizer, copy.deepcopy(self.callbacks), seed)
        # In cross-validation the user cannot choose the size of the last batch.
        self.history_ = trainer.fit(
            train, validation, epochs=self.epochs, batch_size=self.batch_size, drop_last="merge"
        )
        self.model_ = model
        self.n_iter_ = len(self.history_)

    def _checked(self, X: Any, y: Any, **options: Any) -> tuple[Array, Array]:
        """Return the validated training data."""
        # scikit-learn would ignore a mask.
        check_unmasked("X", X)
        check_unmasked("y", y)
        least = 2 if self.validation_fraction else 1
        return validate_data(self, X, y, dtype=_DTYPES, ensure_min_samples=least, **options)

    def _rows(self, X: Any) -> Array:
        """Return the validated rows for a prediction."""
        check_is_fitted(self)
        check_unmasked("X", X)
        return validate_data(self, X, dtype=_DTYPES, reset=False)


class NeuralNetClassifier(ClassifierMixin, _NeuralNet):
    """A classifier for scikit-learn: each `fit` builds a new model and trains it.

    With an integer `random_state` the result equals, bit for bit, that of
    ``model = build(n_features, n_classes, numpy.random.default_rng(random_state), **build_params)`` and
    ``Trainer(model, optimizer(learning_rate), rng=random_state).fit(..., drop_last="merge")``, with the sorted classes
    numbered from 0.

    Parameters
    ----------
    build : callable
        ``build(n_features, n_outputs, rng, **build_params)`` returns a new `Model` that takes rows of shape
        (n_features,) and has one output per class; `rng` is a `numpy.random.Generator` for the weights. Define it at
        the top level of a module, so that the estimator can be pickled.
    build_params : dict, optional
        Further arguments of `build`. Each is also a setting of its own: ``set_params(build__units=64)``, or
        ``{"build__units": [32, 64]}`` in a grid.
    optimizer : callable
        ``optimizer(learning_rate)`` returns a new `Optimizer`: a class, or ``functools.partial(SGD, momentum=0.9)``.
    learning_rate : float or Schedule
    epochs, batch_size : int
        See `Trainer.fit`. If the last batch would be a single row, that row joins the batch before it, so that
        `BatchNorm` also works with 129 rows in batches of 32.
    validation_fraction : float
        In [0, 1): the fraction of the rows that is not used for training but evaluated after each epoch, for callbacks
        that monitor ``val_loss``.
    callbacks : sequence of Callback
        Each fit uses copies.
    random_state : int, RandomState or None
        Determines the weights, the split and every shuffle.

    Attributes
    ----------
    model_ : Model
    history_ : History
    classes_ : array of the labels' dtype, shape (n_classes,)
        The labels, sorted; output k is for ``classes_[k]``.
    n_iter_ : int
        Number of epochs trained.
    n_features_in_ : int
    feature_names_in_ : array of str
        Set if all columns of X had names.

    Examples
    --------
    >>> from minidl import Dense, Model, SoftmaxCrossEntropy
    >>> def softmax(n_features, n_classes, rng):
    ...     return Model(Dense(n_features, n_classes, rng=rng), SoftmaxCrossEntropy())
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), ["low", "low", "high", "high"]
    >>> net = NeuralNetClassifier(softmax, learning_rate=0.1, epochs=200, random_state=0).fit(X, y)
    >>> net.predict([[0.5], [2.5]])
    array(['low', 'high'], dtype='<U4')
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new model.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
            Dense and finite.
        y : array_like, shape (n,)
            Labels: integers, strings, booleans.

        Raises
        ------
        ValueError
            If X, y or a setting is invalid.
        """
        x, y = self._checked(X, y)
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        self._train(x, labels, len(classes), stratify=True)
        self.classes_ = classes
        return self

    def predict(self, X: Any) -> Array:
        """Return the label of each row, shape (n,)."""
        x = self._rows(X)
        return self.classes_[self.model_.predict(x)]

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class of `classes_` for each row, shape (n, n_classes)."""
        x = self._rows(X)
        return self.model_.predict_proba(x)


class NeuralNetRegressor(RegressorMixin, _NeuralNet):
    """A regressor for scikit-learn: each `fit` builds a new model and trains it.

    Parameters
    ----------
    build, build_params, optimizer, learning_rate, epochs, batch_size, validation_fraction, callbacks, random_state
        See `NeuralNetClassifier`; the model has one output, and a loss such as `MeanSquaredError`.

    Attributes
    ----------
    model_, history_, n_iter_, n_features_in_, feature_names_in_
        See `NeuralNetClassifier`.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new model for finite numbers `y`, shape (n,); see `NeuralNetClassifier.fit`."""
        x, y = self._checked(X, y, y_numeric=True)
        self._train(x, y.reshape(-1, 1), 1, stratify=False)
        return self

    def predict(self, X: Any) -> Array:
        """Return the prediction for each row, shape (n,)."""
        x = self._rows(X)
        return self.model_.predict(x)[:, 0]
