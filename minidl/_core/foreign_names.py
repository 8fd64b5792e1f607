"""Foreign names: hints for names of PyTorch, Keras and scikit-learn that minidl calls differently or does not have."""

from collections.abc import Iterable, Mapping
from typing import Any

from minidl._core.spelling import nearest


def _by_name(table: Mapping[str, str]) -> dict[str, str]:
    """Return the table turned around: from each name to its answer."""
    return {name: answer for answer, names in table.items() for name in names.split()}


_PUBLIC = _by_name(
    {
        "use Dense": "Linear LazyLinear FullyConnected",
        "subclass Layer": "Module",
        "use Sequential, Residual and Parallel": "Add Concatenate ModuleList",
        "use GlobalAvgPool2D": "AdaptiveAvgPool2d AdaptiveAveragePooling2D",
        "minidl has no recurrent layers yet": "RNN LSTM GRU SimpleRNN Bidirectional",
        "minidl has no embedding and no attention yet": "Embedding MultiheadAttention MultiHeadAttention Transformer",
        "minidl has no such layer yet; subclass Layer": (
            "GroupNorm PReLU Conv1D Conv1d Conv3D ConvTranspose2d Conv2DTranspose UpSampling2D Dropout2d"
        ),
        "use SoftmaxCrossEntropy, which takes logits": (
            "CrossEntropyLoss NLLLoss CategoricalCrossentropy SparseCategoricalCrossentropy"
        ),
        "use SigmoidCrossEntropy or BinaryCrossEntropy, which take logits": "BCELoss BCEWithLogitsLoss",
        "use BatchNorm": "BatchNormalization",
        "use LayerNorm": "LayerNormalization",
        "use AvgPool2D": "AveragePooling2D",
        "use ExponentialDecay": "ExponentialLR",
        "use a Regularizer, such as L2": "Regularization weight_decay",
        "use MeanSquaredError": "MSE MSELoss mean_squared_error",
        "use MeanAbsoluteError": "MAE L1Loss mean_absolute_error",
        "use Huber": "HuberLoss SmoothL1Loss",
        "use SiLU": "Swish",
        "use Sequential() without that layer": "Identity",
        "inputs are arrays; give the first layer its input size": "Input InputLayer",
        "use NumPy arrays": "Tensor tensor Variable",
        "use Dataset(x, y) and its batches": "DataLoader TensorDataset",
        "use Checkpoint": "ModelCheckpoint",
        "pass a schedule as the learning rate, such as StepDecay": "LearningRateScheduler LambdaLR StepLR MultiStepLR",
        "forward stores values for backward only with train=True": "no_grad inference_mode GradientTape",
        "use the classes directly, such as minidl.SGD and minidl.ReLU": "optim functional activations",
        "use Standardizer": "StandardScaler MinMaxScaler",
        "use train_validation_split": "train_test_split random_split",
        "use minidl.sklearn": "MLPClassifier MLPRegressor LogisticRegression",
        "use minidl.datasets": "load_cifar10 cifar10 load_data CIFAR10 torchvision",
        "use save_weights and load_weights of the Model": "save load save_model load_model",
        "use summary() of the Model": "summary",
        "pass rng= to each layer and to the Trainer": "seed set_seed manual_seed random",
        "pass integer labels; losses need no one-hot rows": "to_categorical one_hot OneHotEncoder",
        "use Xavier": "GlorotUniform GlorotNormal glorot_uniform glorot_normal xavier_uniform_ xavier_normal_",
        "use He": "HeNormal HeUniform he_normal he_uniform kaiming_normal kaiming_normal_ kaiming_uniform_",
        "use check_layer, check_loss, check_model or check_function": "check_gradient check_gradients check_grad",
        "use Trainer(model, optimizer).fit(...)": "fit compile train",
        "minidl runs on the CPU, with NumPy": "cuda device gpu backend",
    }
)

_MEMBERS = _by_name(
    {
        # ---- training
        "write Trainer(model, optimizer).fit(data, epochs=..., batch_size=...)": "fit compile fit_generator minimize "
        "train_on_batch apply_gradients partial_fit",
        "it is called fit": "Trainer.train",
        "call it on the model, trainer.model": (
            "Trainer.evaluate Trainer.predict Trainer.predict_proba Trainer.score Trainer.test Trainer.save_weights"
        ),
        "pass train=True to forward, as Trainer.fit does; predict and evaluate never train": "training train eval",
        "pass batch_size= and epochs= to Trainer.fit": "batch_size epochs max_epochs",
        "it is called epochs": "nb_epoch n_epochs num_epochs",
        "it is called validation; train_validation_split makes it": "validation_data validation_split eval_set",
        "it is called batch_size, an argument of Trainer.fit": "steps_per_epoch",
        "add ProgressBar() to the callbacks of the Trainer": "Trainer.verbose",
        "it is an argument of Trainer": "callbacks optimizer",
        "call stop() of the trainer": "stop_training should_stop",
        "read trainer.epoch": "current_epoch",
        "read trainer.step": "global_step",
        "read optimizer.current_learning_rate": "get_lr get_last_lr",
        # ---- optimizers
        "it is called learning_rate, an argument of the optimizer": "lr learning_rate eta",
        "pass L2(...) as the regularizer of the Model, or use AdamW": "weight_decay",
        "they are called beta1 and beta2": "betas",
        "it is called epsilon": "eps",
        "call zero_grad() of each parameter; compute_gradients does it for you": "zero_grad",
        "learning_rate is an attribute of the optimizer": "param_groups",
        "it is called 'every'": "step_size",
        "it is called 'factor'": "gamma decay_rate",
        # ---- models
        "it is called loss, an argument of Model": "loss_fn loss_function criterion",
        "it is an argument of Model": "Trainer.loss Trainer.regularizer",
        "it is called regularizer, an argument of Model": "kernel_regularizer regularization penalty",
        "accuracy is measured automatically; a callback can measure more": "metrics",
        "write model.network": "Model.net Model.module",
        "write model.network.layers": "Model.layers Model.modules Model.children",
        "write model.parameters, a dict by path": "Model.named_parameters Model.trainable_variables "
        "Model.trainable_weights Model.variables",
        "write named_parameters(), a dict by path": (
            "Layer.parameters Layer.weights Layer.trainable_variables Layer.trainable_weights"
        ),
        "use weights() and set_weights(...) of the Model": "get_weights",
        "use save_weights(path) of the Model; the callback Checkpoint saves a run": "save state_dict",
        "use load_weights(path) of the Model; Trainer.fit resumes from a Checkpoint": "load load_state_dict",
        "predict returns labels, and predict_proba their probabilities": "predict_classes predict_log_proba "
        "decision_function",
        "use evaluate(Dataset(x, y))": "score",
        "use compute_gradients(x, y)": "Model.backward",
        "minidl runs on the CPU, with NumPy": "cuda to cpu device gpu",
        "pass all layers at once: Sequential(layer, layer)": "add append insert extend pop",
        # ---- layers
        "call freeze() or unfreeze(), or set trainable of one Parameter": "trainable requires_grad requires_grad_",
        "it is called weight": "kernel w W",
        "it is called bias": "b use_bias bias_initializer",
        "it is called weight_init": "kernel_initializer init initializer",
        "it is called forward": "call",
        "the constructor makes the parameters": "build",
        "it is called out_features, after in_features": "units",
        "it is called out_channels, after in_channels": "filters",
        "the first argument of a layer is its number of inputs": "input_shape input_dim input_size",
        "it is called features": "normalized_shape num_features",
        "it is called pool_size": "MaxPool2D.kernel_size AvgPool2D.kernel_size",
        "Flatten always keeps axis 0": "start_dim",
        "it is called rate in Dropout, and probability in an augmentation": "p",
        "add an activation layer after it, such as ReLU()": "activation",
        "it is an argument of the constructor; make a new object": "rng weight_init dtype",
        "read its value, an array": "numpy item detach Parameter.shape Parameter.dtype Parameter.size",
        # ---- losses and regularizers
        "a loss is always the mean over the batch": "reduction",
        "a loss takes logits": "from_logits",
        "it is called class_weights": "SoftmaxCrossEntropy.weight pos_weight",
        "it is called strength": "lam lambda_ alpha l2 l1",
        # ---- checks
        "each derivative has its own step and error bar": "step delta tol atol rtol tolerance "
        + " ".join(f"check_{kind}.eps" for kind in ("layer", "loss", "model", "regularizer", "function")),
        # ---- data
        "it is called value in a Parameter, and x and y in a Dataset": "data",
        "it is called y": "labels targets target",
        "it is called x": "features inputs X",
        "read x.shape or y.shape": "shape",
        "use train_validation_split": "split",
        "it is called validation": "test_size validation_size",
        "use batches(batch_size)": "batch",
        "Trainer.fit shuffles in every epoch": "shuffle",
        "call it: scale(x)": "Standardizer.transform",
        "write scale = Standardizer().fit(x), then scale(x)": "fit_transform",
        "compute x * scale.std + scale.mean": "inverse_transform",
        "it is called mean": "mean_",
        "it is called std": "scale_ var_",
        "Standardizer always does both": "with_mean with_std",
        "use map(function), which returns a Dataset with new x": "transform",
        "read a column, such as history['loss']": "history History.epoch History.loss History.params",
        "this prints nothing; the callback ProgressBar shows progress": "verbose",
    }
)


def public(name: str, known: Iterable[str]) -> str:
    """Return the hint for a name that the package does not have, or ""."""
    return _hint(_PUBLIC.get(name), name, known, 0.8)


def member(name: str, owner: Any, known: Iterable[str]) -> str:
    """Return the hint for an attribute or argument that `owner`, a class or function, does not have, or ""."""
    owned = [f"{one.__name__}.{name}" for one in getattr(owner, "__mro__", [owner])]
    return _hint(next((_MEMBERS[key] for key in (*owned, name) if key in _MEMBERS), None), name, known, 0.65)


def _hint(answer: str | None, name: str, known: Iterable[str], cutoff: float) -> str:
    """Return the end of an error message: the answer, or a known name that is nearly the same."""
    answer = answer or "".join(f"did you mean {near!r}?" for near in nearest(name, known, 1, cutoff=cutoff))
    return f"; {answer}" if answer else ""
