"""Convolution: bugs in where its backward looks, and in what it adds up."""

from dataclasses import replace

import numpy as np

from minidl import Conv2D, Layer
from planted.fault import FAIL_CONTRACT, PASS, After, Family
from planted.numbers import signed

IMAGES = signed(2, 5, 4, 2)


class PixelByPixel(Conv2D):
    """Right: a backward that takes the kernel's pixels one by one, in steps that a bug can replace."""

    def windows_of(self, windows):
        return windows

    def kernel(self, i, j):
        """Return what takes all channels to all outputs there: blocks, one for each group."""
        c, o = self.in_channels // self.groups, self.out_channels // self.groups
        kernel = np.zeros((self.in_channels, self.out_channels))
        for g in range(self.groups):
            kernel[g * c : (g + 1) * c, g * o : (g + 1) * o] = self.weight.value[i, j, :, g * o : (g + 1) * o]
        return kernel

    def put(self, tap, part):
        """Add what fits: with other windows than those of forward, a part may be too large."""
        rows, columns = min(tap.shape[1], part.shape[1]), min(tap.shape[2], part.shape[2])
        tap[:, :rows, :columns] += part[:, :rows, :columns]

    def crop(self, padded, windows, height, width):
        return windows.interior(padded, height, width)

    def bias_gradient(self, dy):
        return dy.sum(axis=(0, 1, 2))

    def backward(self, dy):
        (x,) = self.kept()
        height, width = x.shape[1:3]
        right = self._windows(x.shape[1:])
        self.weight.add_grad(self.weight_gradient(right.taps(right.pad(x, 0.0)), dy))
        self.bias.add_grad(self.bias_gradient(dy))
        windows = self.windows_of(right)
        padded = np.zeros_like(right.pad(x, 0.0), dtype=dy.dtype)
        for (i, j), tap in zip(np.ndindex(self.kernel_size), windows.taps(padded), strict=True):
            self.put(tap, dy @ self.kernel(i, j).T)
        return self.crop(padded, windows, height, width)

    def weight_gradient(self, taps, dy):
        gradient = np.empty(self.weight.value.shape)
        c, o = self.in_channels // self.groups, self.out_channels // self.groups
        for (i, j), tap in zip(np.ndindex(self.kernel_size), taps, strict=True):
            for g in range(self.groups):
                pixels = tap[..., g * c : (g + 1) * c].reshape(-1, c)
                outputs = slice(g * o, (g + 1) * o)
                gradient[i, j, :, outputs] = pixels.T @ dy[..., outputs].reshape(-1, o)
        return gradient

    backward_parameters = Layer.backward_parameters


def arguments(cls, kernel=(2, 3), outputs=3, x=IMAGES, **options):
    return cls(x.shape[-1], outputs, kernel, rng=0, **options), x


conv = Family("layer", arguments)


@conv(43, "the weight in another memory order", PASS)
class FortranWeight(Conv2D):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        weight = self.weight.__class__(np.asfortranarray(self.weight.value), dtype=np.float64)
        self._parameters["weight"] = weight
        self.weight = weight


@conv(38, "what no window sees is missing from dx", FAIL_CONTRACT, stride=3, kernel=2)
class RestMissing(PixelByPixel):
    def crop(self, padded, windows, height, width):
        rows, columns = windows.output_size(height, width)
        return padded[:, : 3 * rows - 1, : 3 * columns - 1]


@conv(42, "all groups get the kernel of the first in dx", groups=2, outputs=4)
class OneGroup(PixelByPixel):
    def kernel(self, i, j):
        kernel = super().kernel(i, j)
        kernel[1:, 2:] = kernel[:1, :2]
        return kernel


# fmt: off
conv.row(41, "PixelByPixel", "the kernel's pixels one by one, windows that overlap", PixelByPixel, {}, PASS, padding=1)
conv.row(42, "WithEverything", "the same with stride, dilation and groups", PixelByPixel, {}, PASS, stride=2,
    dilation=(2, 1), groups=2, outputs=4, padding="same")
conv.row(37, "EvenKernelSame", "an even kernel with padding same: the odd row is at the bottom", PixelByPixel, {}, PASS,
    kernel=2, padding="same")
conv.row(40, "Itself", "dx as a correlation with the turned kernel, by the layer itself", Conv2D, {}, PASS,
    padding=(1, 2))
conv.row(37, "StrideOffByOne", "the stride is one too small in backward", PixelByPixel,
    {"windows_of": lambda self, windows: replace(windows, stride=(1, 1))}, stride=2, kernel=2)
conv.row(39, "ExchangedStride", "height and width of the stride are exchanged in backward", PixelByPixel,
    {"windows_of": lambda self, windows: replace(windows, stride=windows.stride[::-1])}, stride=(1, 2), kernel=2)
conv.row(42, "NoDilation", "the dilation is forgotten in dx", PixelByPixel,
    {"windows_of": lambda self, windows: replace(windows, dilation=(1, 1))}, dilation=(2, 1), kernel=2)
conv.row(41, "Overwritten", "windows that overlap overwrite each other", PixelByPixel,
    {"put": lambda self, tap, part: np.copyto(tap, part)})
conv.row(37, "CropAtCorner", "dx is cut from the top left corner: the padding is forgotten", PixelByPixel,
    {"crop": lambda self, padded, windows, height, width: padded[:, :height, :width]}, padding=1)
conv.row(37, "CropTooLate", "dx is cut one row too late", PixelByPixel,
    {"crop": lambda self, padded, windows, height, width: padded[:, 2 : height + 2]}, padding=(1, 0))
conv.row(37, "OddRowAtTop", "for padding same with an even kernel, backward has the odd row at the top", PixelByPixel,
    {"crop": lambda self, padded, windows, height, width: padded[:, 1 : height + 1, :width]}, kernel=2, padding="same")
conv.row(38, "RestAtTop", "what no window sees is put at the top instead of the bottom", PixelByPixel,
    {"crop": lambda self, padded, windows, height, width: np.roll(padded, 1, axis=1)}, stride=2, kernel=2)
conv.row(39, "ExchangedKernel", "height and width of the kernel are exchanged for the gradient of a square kernel",
    PixelByPixel,
    {"weight_gradient": After(lambda self, gradient, taps, dy: gradient.swapaxes(0, 1))},
    tensor="weight", kernel=2)
conv.row(40, "NotTurned", "the kernel is not turned", PixelByPixel,
    {"kernel": lambda self, i, j: PixelByPixel.kernel(self, 2 - i, 2 - j)}, padding=1, kernel=3)
conv.row(40, "TurnedHalf", "the kernel is turned in height alone", PixelByPixel,
    {"kernel": lambda self, i, j: PixelByPixel.kernel(self, i, 2 - j)}, padding=1, kernel=3)
conv.row(40, "GradientTurned", "the weight's gradient is turned", PixelByPixel,
    {"weight_gradient": After(lambda self, gradient, taps, dy: gradient[::-1, ::-1])}, tensor="weight")
conv.row(42, "Interleaved", "the outputs of the groups are interleaved in the weight's gradient", PixelByPixel,
    {"weight_gradient": lambda self, taps, dy: PixelByPixel.weight_gradient(self, taps, dy[..., [0, 2, 1, 3]])},
    tensor="weight", groups=2, outputs=4)
conv.row(43, "ReadsMemory", "dy is read as if it lay row by row in memory", PixelByPixel,
    {"backward": lambda self, dy: PixelByPixel.backward(self, dy.ravel(order="K").reshape(dy.shape))}, FAIL_CONTRACT)
conv.row(14, "BiasOfOnePixel", "the bias's gradient is summed over the images alone", PixelByPixel,
    {"bias_gradient": lambda self, dy: dy.sum(axis=0)[0, 0]}, tensor="bias")
conv.row(14, "BiasMean", "the bias's gradient is a mean over the pixels", PixelByPixel,
    {"bias_gradient": lambda self, dy: dy.sum(axis=0).mean(axis=(0, 1))}, tensor="bias")
conv.row(62, "LastImage", "the weight's gradient is that of the last image", PixelByPixel,
    {"weight_gradient": lambda self, taps, dy: PixelByPixel.weight_gradient(self, (tap[-1:] for tap in taps), dy[-1:])},
    tensor="weight")
# fmt: on
