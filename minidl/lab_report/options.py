"""The options of the main job."""

import argparse
import shlex
from collections.abc import Callable


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the main job to `parser`; `settled` makes up its mind about them."""
    kinds = ["auto", "cifar10", "synthetic"]
    auto = "auto: CIFAR-10 if it is available, else synthetic"
    parser.add_argument("--dataset", choices=kinds, default="auto", help=auto)
    parser.add_argument("--data-dir", help="folder or archive that holds CIFAR-10 (default: the cache, then downloads)")
    folder = "folder for the report (default: runs/cifar_softmax, with --quick runs/cifar_softmax_quick)"
    parser.add_argument("--out", help=folder)
    parser.add_argument("--epochs", type=count(1), metavar="N", help="default: 40, with --quick 5")
    parser.add_argument("--seed", type=count(0), default=42, metavar="N", help="default: %(default)s")
    parser.add_argument("--seeds", type=count(1), default=1, metavar="K", help="repeat over K seeds, from --seed on")
    parser.add_argument("--author", default="", metavar="NAME", help="stands below the title of the report")
    parser.add_argument("--quick", action="store_true", help="in seconds: few images, synthetic unless said otherwise")


def settled(parser: argparse.ArgumentParser, options: argparse.Namespace) -> argparse.Namespace:
    """Return the options with nothing left open; those that contradict each other end the program with status 2."""
    if options.data_dir is not None and options.dataset == "synthetic":
        parser.error("argument --data-dir: the synthetic images are drawn, not read; drop it or --dataset synthetic")
    options.epochs = options.epochs if options.epochs is not None else 5 if options.quick else 40
    # A folder of its own: a quick try must not replace the real report.
    options.out = options.out or f"runs/cifar_softmax{'_quick' if options.quick else ''}"
    return options


def command(options: argparse.Namespace, cifar10: bool) -> str:
    """Return the command that does the same job again, on the same kind of images."""
    words = ["minidl", "report", "--dataset", "cifar10" if cifar10 else "synthetic"]
    words += ["--quick"] * options.quick
    values = {"data_dir": options.data_dir, "epochs": options.epochs, "seed": options.seed, "seeds": options.seeds}
    for name, value in (values | {"author": options.author, "out": options.out}).items():
        words += [f"--{name.replace('_', '-')}", str(value)] if value not in (None, "") else []
    return shlex.join(words)


def count(minimum: int) -> Callable[[str], int]:
    """Return what makes an option of a text: a whole number that is at least `minimum`."""

    def read(text: str) -> int:
        number = int(text)
        if number < minimum:
            raise argparse.ArgumentTypeError(f"expected an integer >= {minimum}, got {number}")
        return number

    # argparse names the function where `int` fails: invalid int value.
    read.__name__ = "int"
    return read
