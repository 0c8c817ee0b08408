"""The convolution that makes the image, from many channels to one: taken apart for a CPU, with the same result.

A CPU computes 16 channels of output at once, and would throw 15 away. So the kernel's rows become channels of their
own, which are summed afterwards, and of two columns of the image side by side each has its own: 14 of 16 for 7 x 7.
And the reflection around the image is not laid around all channels, which copies them: its rows are added before the
sum, where few channels are left, and its columns only to strips at the left and right end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.openvino_graph import convolutions, weights_of
from mr2ct.openvino_library import openvino, operators

COLUMNS = 3  # axis of (batch, channel, row, column)


def split_convolutions_to_one_channel(model: openvino.Model) -> None:
    """Take convolutions with a single channel of output apart, in place, the reflection before them included.

    On one core the last convolution, 0.4 % of a generator's arithmetic, takes 45 ms of 700 as a whole, 14 to 20 by rows
    and 12 by rows and pairs of columns; laying the reflection around 64 channels takes 4 (benchmarks/LOG.md).
    """
    for node in convolutions(model):
        kernel = weights_of(node)  # (outputs, inputs, rows, columns)
        if kernel is None or len(kernel) != 1 or kernel.shape[2] == 1:
            continue
        attributes = [node.get_attributes()[name] for name in ("strides", "pads_begin", "pads_end", "dilations")]
        shape = list(node.get_output_partial_shape(0))
        if attributes != [[1, 1], [0, 0], [0, 0], [1, 1]] or any(size.is_dynamic for size in shape[2:]):
            continue
        image = _apart(node, kernel, shape[2].get_length(), shape[3].get_length())
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(image.output(0))
    model.validate_nodes_and_infer_types()


def _apart(node: openvino.Node, kernel: NDArray[np.float32], height: int, width: int) -> Any:
    """(batch, 1, height, width): what the convolution computes."""
    rows = kernel.shape[2]
    at_once = 2 if width % 2 == 0 else 1
    each_row = _each_row(kernel, at_once)
    if _reflects(node.input_value(0).get_node(), kernel, width):
        inside = node.input_value(0).get_node().input_value(0)
        by_rows = _add_rows(_convolve_reflecting(inside, each_row, at_once, width), rows // 2)
    else:
        by_rows = _convolve(node.input_value(0), each_row, at_once)
    summed = _convolve(by_rows, _sum_over_rows(rows, at_once), 1)  # (batch, at_once, height, width / at_once)
    if at_once == 1:
        return summed
    return operators.reshape(operators.transpose(summed, [0, 2, 3, 1]), [-1, 1, height, width], False)


def _each_row(kernel: NDArray[np.float32], at_once: int) -> NDArray[np.float32]:
    """(at_once x rows, inputs, 1, columns + at_once - 1): each row of a kernel, at each of the places side by side."""
    _, inputs, rows, columns = kernel.shape
    each = np.zeros((at_once, rows, inputs, 1, columns + at_once - 1), np.float32)
    for place in range(at_once):
        each[place, :, :, 0, place : place + columns] = kernel[0].transpose(1, 0, 2)
    return each.reshape(at_once * rows, inputs, 1, -1)


def _sum_over_rows(rows: int, at_once: int) -> NDArray[np.float32]:
    """(at_once, at_once x rows, rows, 1): a kernel's row is as far down in the image as it is in the kernel."""
    one_below_the_other = np.eye(rows, dtype=np.float32)
    places = np.eye(at_once, dtype=np.float32)
    kernel: NDArray[np.float32] = np.einsum("pq,rs->pqrs", places, one_below_the_other)
    return kernel.reshape(at_once, at_once * rows, rows, 1)


def _reflects(padding: openvino.Node, kernel: NDArray[np.float32], width: int) -> bool:
    """Whether a node lays just the reflection around an image that keeps a convolution's output as large as it is."""
    _, _, rows, columns = kernel.shape
    if padding.get_type_name() != "Pad" or padding.get_attributes()["pad_mode"] != "reflect":
        return False
    around = [end.get_node() for end in padding.input_values()[1:3]]
    fits = rows % 2 == columns % 2 == 1 and 1 < columns <= width // 4  # two strips and something between them
    return fits and all(
        end.get_type_name() == "Constant" and end.data.tolist() == [0, 0, rows // 2, columns // 2] for end in around
    )


def _convolve_reflecting(x: openvino.Output, each_row: NDArray[np.float32], at_once: int, width: int) -> Any:
    """(batch, at_once x rows, height, width / at_once) of x, (batch, inputs, height, width), with columns reflected.

    The convolution itself lays zeros around, which costs nothing; where they show, at the ends, strips of x are
    convolved again with the true reflection.
    """
    reach = (each_row.shape[3] - at_once) // 2
    end = reach + reach % at_once  # columns of the image that are computed from a strip
    left = operators.pad(_columns(x, 0, end + reach), [0, 0, 0, reach], [0, 0, 0, 0], "reflect")
    right = operators.pad(_columns(x, width - end - reach, width), [0, 0, 0, 0], [0, 0, 0, reach], "reflect")
    middle = _columns(_convolve(x, each_row, at_once, zeros=reach), end // at_once, (width - end) // at_once)
    ends = [_convolve(strip, each_row, at_once) for strip in (left, right)]
    return operators.concat([ends[0], middle, ends[1]], COLUMNS)


def _convolve(x: Any, kernel: NDArray[np.float32], step: int, zeros: int = 0) -> Any:
    """step: of columns. zeros: columns of them laid around."""
    return operators.convolution(x, kernel, [1, step], [0, zeros], [0, zeros], [1, 1])


def _columns(x: Any, first: int, after: int) -> Any:
    return operators.slice(x, [first], [after], [1], [COLUMNS])


def _add_rows(x: Any, reach: int) -> Any:
    return operators.pad(x, [0, 0, reach, 0], [0, 0, reach, 0], "reflect")
