"""Nodes of an ONNX graph, one after the other, and its constants, which are written to a file as they come.

Names of values are numbers, unless the reader of the graph should know them. A large constant is external
data: the graph has its place in the file. So neither the memory of the export nor the 2 GiB of a protobuf
message limits the size of a model.
"""

from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from xmcpipe.ops.rounding import decoded

OPSET = 20  # the first with Gelu; onnxruntime 1.17 has it
IR_VERSION = 9  # of that opset
SMALLEST_EXTERNAL = 1024  # bytes; smaller constants are in the graph
ALIGNMENT = 4096  # bytes: a runtime may map the file into memory
Array = npt.NDArray[Any]


class Constants:
    """The constants of a graph; large ones are in `file`, called `location` by the graph."""

    def __init__(self, file: BinaryIO, location: str) -> None:
        self.tensors: list[TensorProto] = []
        self._file, self._location = file, location

    def add(self, array: Array, name: str = "") -> str:
        """Write a constant; returns its name."""
        array = np.asarray(array, order="C")
        tensor = TensorProto()
        tensor.name = name or f"constant_{len(self.tensors)}"
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.dims.extend(array.shape)
        if array.nbytes < SMALLEST_EXTERNAL:
            tensor.raw_data = array.tobytes()
        else:
            self._write(tensor, array)
        self.tensors.append(tensor)
        return str(tensor.name)

    def _write(self, tensor: Any, array: Array) -> None:
        self._file.write(bytes(-self._file.tell() % ALIGNMENT))
        place = {"location": self._location, "offset": self._file.tell(), "length": array.nbytes}
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in place.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, str(value)
        self._file.write(array.data)


class Nodes:
    """The nodes of a graph, or of the body of a loop in it, which may use all values of the graph."""

    def __init__(self, constants: Constants, prefix: str = "value") -> None:
        self.constants, self.nodes = constants, list[NodeProto]()
        self._prefix, self._count, self._small = prefix, 0, dict[tuple[int, ...], str]()

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """A node with one output; returns the name of the output, `name` if it is given."""
        (output,) = self.add_many(kind, *inputs, names=(name,), **attributes)
        return output

    def add_many(self, kind: str, *inputs: str, names: tuple[str, ...], **attributes: Any) -> list[str]:
        """A node with an output for each of `names`; "" lets the name be a number."""
        outputs = [name or self._new_name() for name in names]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs

    def constant(self, array: Array) -> str:
        """A constant of any size."""
        return self.constants.add(array)

    def numbers(self, *values: int) -> str:
        """An int64 constant [n], as shapes and axes are given."""
        if values not in self._small:
            self._small[values] = self.constants.add(np.array(values, np.int64))
        return self._small[values]

    def body(self, prefix: str) -> "Nodes":
        """Nodes for the body of a loop."""
        return Nodes(self.constants, prefix)

    def scan(
        self, body: "Nodes", inputs: list[ValueInfoProto], outputs: list[ValueInfoProto], parts: list[str]
    ) -> list[str]:
        """Run `body` for each element of the first axis of `parts`; returns its `outputs`, stacked.

        `inputs` are the names and types that these elements have in the body.
        """
        graph = helper.make_graph(body.nodes, "body", inputs, outputs)
        names = tuple("" for _ in outputs)
        return self.add_many("Scan", *parts, names=names, body=graph, num_scan_inputs=len(parts))

    def _new_name(self) -> str:
        self._count += 1
        return f"{self._prefix}_{self._count}"


def array_of(tensor: Any) -> Array:
    """The values of a torch tensor, float32."""
    found: Array = decoded(tensor.detach(), torch.float32).cpu().numpy()
    return found


def zeros(nodes: Nodes, shape: str) -> str:
    """A float32 tensor of zeros, of this shape, int64 [n]."""
    return nodes.add("ConstantOfShape", shape, value=numpy_helper.from_array(np.zeros(1, np.float32)))


def value(name: str, array_type: Any, *sizes: int | str | None) -> ValueInfoProto:
    """A named value with a NumPy dtype and sizes; a string or None is a size that varies."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(array_type)), sizes)


def model_of(nodes: Nodes, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> ModelProto:
    """The whole graph as a model; the loops in it have no constants of their own."""
    assert all(_has_no_constants(node) for node in nodes.nodes)
    graph: GraphProto = helper.make_graph(
        nodes.nodes, "xmcpipe", inputs, outputs, initializer=nodes.constants.tensors
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, producer_name="xmcpipe", opset_imports=[opset], ir_version=IR_VERSION)


def _has_no_constants(node: Any) -> bool:
    graphs = [each.g for each in node.attribute if each.type == AttributeProto.GRAPH]
    return not any(len(graph.initializer) for graph in graphs)
