"""Convolution: bugs in where its backward looks, and in what it adds up."""

from dataclasses import replace

import numpy as np

from minidl import Conv2D, Layer
from planted.fault import FAIL_CONTRACT, PASS, family, signed

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
        tap += part

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
            part = dy @ self.kernel(i, j).T
            self.put(tap, part[:, : tap.shape[1], : tap.shape[2]])
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


conv = family("layer", arguments, "x")


conv(41, "the kernel's pixels one by one, windows that overlap", PASS, padding=1)(PixelByPixel)


@conv(
    42,
    "the same with stride, dilation and groups",
    PASS,
    stride=2,
    dilation=(2, 1),
    groups=2,
    outputs=4,
    padding="same",
)
class WithEverything(PixelByPixel):
    pass


@conv(37, "an even kernel with padding same: the odd row is at the bottom", PASS, kernel=2, padding="same")
class EvenKernelSame(PixelByPixel):
    pass


@conv(40, "dx as a correlation with the turned kernel, by the layer itself", PASS, padding=(1, 2))
class Itself(Conv2D):
    pass


@conv(43, "the weight in another memory order", PASS)
class FortranWeight(Conv2D):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.weight = self.weight.__class__(np.asfortranarray(self.weight.value), dtype=np.float64)
        self._parameters["weight"] = self.weight


@conv(37, "dx is cut from the top left corner: the padding is forgotten", padding=1)
class CropAtCorner(PixelByPixel):
    def crop(self, padded, windows, height, width):
        return padded[:, :height, :width]


@conv(37, "dx is cut one row too late", padding=(1, 0))
class CropTooLate(PixelByPixel):
    def crop(self, padded, windows, height, width):
        return padded[:, 2 : height + 2]


@conv(37, "for padding same with an even kernel, backward has the odd row at the top", kernel=2, padding="same")
class OddRowAtTop(PixelByPixel):
    def crop(self, padded, windows, height, width):
        return padded[:, 1 : height + 1, :width]


@conv(37, "the stride is one too small in backward", stride=2, kernel=2)
class StrideOffByOne(PixelByPixel):
    def windows_of(self, windows):
        return replace(windows, stride=(1, 1))

    def put(self, tap, part):
        tap[:, : part.shape[1], : part.shape[2]] += part


@conv(38, "what no window sees is missing from dx", FAIL_CONTRACT, stride=3, kernel=2, tensor="")
class RestMissing(PixelByPixel):
    def crop(self, padded, windows, height, width):
        rows, columns = windows.output_size(height, width)
        return padded[:, : 3 * rows - 1, : 3 * columns - 1]


@conv(38, "what no window sees is put at the top instead of the bottom", stride=2, kernel=2)
class RestAtTop(PixelByPixel):
    def crop(self, padded, windows, height, width):
        return np.roll(padded, 1, axis=1)


@conv(39, "height and width of the stride are exchanged in backward", stride=(1, 2), kernel=2)
class ExchangedStride(PixelByPixel):
    def windows_of(self, windows):
        return replace(windows, stride=windows.stride[::-1])

    def put(self, tap, part):
        rows, columns = min(tap.shape[1], part.shape[1]), min(tap.shape[2], part.shape[2])
        tap[:, :rows, :columns] += part[:, :rows, :columns]


@conv(39, "height and width of the kernel are exchanged for the gradient of a square kernel", tensor="weight", kernel=2)
class ExchangedKernel(PixelByPixel):
    def weight_gradient(self, taps, dy):
        return super().weight_gradient(taps, dy).swapaxes(0, 1)


@conv(40, "the kernel is not turned", padding=1, kernel=3)
class NotTurned(PixelByPixel):
    def kernel(self, i, j):
        return super().kernel(2 - i, 2 - j)


@conv(40, "the kernel is turned in height alone", padding=1, kernel=3)
class TurnedHalf(PixelByPixel):
    def kernel(self, i, j):
        return super().kernel(i, 2 - j)


@conv(40, "the weight's gradient is turned", tensor="weight")
class GradientTurned(PixelByPixel):
    def weight_gradient(self, taps, dy):
        return super().weight_gradient(taps, dy)[::-1, ::-1]


@conv(41, "windows that overlap overwrite each other")
class Overwritten(PixelByPixel):
    def put(self, tap, part):
        tap[...] = part


@conv(42, "the dilation is forgotten in dx", dilation=(2, 1), kernel=2)
class NoDilation(PixelByPixel):
    def windows_of(self, windows):
        return replace(windows, dilation=(1, 1))

    def put(self, tap, part):
        tap[:, : part.shape[1], : part.shape[2]] += part


@conv(42, "all groups get the kernel of the first in dx", groups=2, outputs=4)
class OneGroup(PixelByPixel):
    def kernel(self, i, j):
        kernel = super().kernel(i, j)
        kernel[1:, 2:] = kernel[:1, :2]
        return kernel


@conv(42, "the outputs of the groups are interleaved in the weight's gradient", tensor="weight", groups=2, outputs=4)
class Interleaved(PixelByPixel):
    def weight_gradient(self, taps, dy):
        return super().weight_gradient(taps, dy[..., [0, 2, 1, 3]])


@conv(43, "dy is read as if it lay row by row in memory", FAIL_CONTRACT)
class ReadsMemory(PixelByPixel):
    def backward(self, dy):
        return super().backward(dy.ravel(order="K").reshape(dy.shape))


@conv(14, "the bias's gradient is summed over the images alone", tensor="bias")
class BiasOfOnePixel(PixelByPixel):
    def bias_gradient(self, dy):
        return dy.sum(axis=0)[0, 0]


@conv(14, "the bias's gradient is a mean over the pixels", tensor="bias")
class BiasMean(PixelByPixel):
    def bias_gradient(self, dy):
        return dy.sum(axis=0).mean(axis=(0, 1))


@conv(62, "the weight's gradient is that of the last image", tensor="weight")
class LastImage(PixelByPixel):
    def weight_gradient(self, taps, dy):
        return super().weight_gradient((tap[-1:] for tap in taps), dy[-1:])
