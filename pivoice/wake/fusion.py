"""Finds the normalisation of a layer that was written as nine operators, and makes it one. PURE.

Exporters before version 17 of ONNX's operators, and so all of openwakeword's own heads, spell it out; run
one by one, the nine cost half as much again as the head's whole first matrix product (14 us each, x86-64).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pivoice.wake.onnx_file import Graph, Node

_LAST_AXIS = 18  # from this version on, the axes are an input, and LayerNormalization has long been there


def fuse_normalizations(graph: Graph) -> Graph:
    """Return the graph with each such nine as one LayerNormalization. Not in the branches of an If."""
    if graph.opset >= _LAST_AXIS:
        return graph
    finder = _Finder(graph)
    fused: dict[str, Node] = {}
    gone: set[str] = set()
    for node in graph.nodes:
        found = finder.ending_at(node) if node.op == "Add" else None
        if found:
            fused[node.outputs[0]] = found[0]
            gone |= found[1]
    nodes = (fused.get(node.outputs[0], node) if node.outputs else node for node in graph.nodes)
    return replace(graph, nodes=tuple(node for node in nodes if not gone.intersection(node.outputs)))


class _Finder:
    """Who makes what in a graph, and how often it is read."""

    def __init__(self, graph: Graph) -> None:
        self._makers = {name: node for node in graph.nodes for name in node.outputs}
        self._initializers = graph.initializers
        self._readings = Counter(value.name for value in graph.outputs)
        self._count(graph)

    def ending_at(self, shifted: Node) -> tuple[Node, set[str]] | None:
        """Return the one operator for the nine that end in this Add, and the names that nobody needs then.

        x - mean(x) -> off; off / sqrt(mean(off ** 2) + epsilon) * scale + shift
        """
        scaled = self._made_by(shifted, 0, "Mul")
        divided = scaled and self._made_by(scaled, 0, "Div")
        off = divided and self._made_by(divided, 0, "Sub", readings=2)
        mean = off and self._made_by(off, 1, "ReduceMean")
        root = divided and self._made_by(divided, 1, "Sqrt")
        widened = root and self._made_by(root, 0, "Add")
        variance = widened and self._made_by(widened, 0, "ReduceMean")
        squared = variance and self._made_by(variance, 0, "Pow")
        if not (scaled and divided and off and mean and root and widened and variance and squared):
            return None
        usual = all(
            tuple(each.attributes.get("axes", ())) == (-1,) and each.attributes.get("keepdims", 1) == 1
            for each in (mean, variance)
        )
        epsilon = self._number(widened, 1)
        same = squared.inputs[0] == off.outputs[0] and mean.inputs[:1] == off.inputs[:1]
        rows = all(self._is_row(node) for node in (scaled, shifted))
        if not (usual and same and rows and self._number(squared, 1) == 2 and epsilon is not None):
            return None
        inputs = (off.inputs[0], scaled.inputs[1], shifted.inputs[1])
        attributes: Mapping[str, object] = {"axis": -1, "epsilon": epsilon}
        inner = (scaled, divided, off, mean, root, widened, variance, squared)
        gone = {name for node in inner for name in node.outputs}
        return Node("LayerNormalization", "", inputs, shifted.outputs, attributes, shifted.name), gone

    def _made_by(self, node: Node, at: int, op: str, *, readings: int = 1) -> Node | None:
        """Return the operator that makes an input, if it is an `op` and read by nobody else."""
        if len(node.inputs) <= at or self._readings[node.inputs[at]] != readings:
            return None
        maker = self._makers.get(node.inputs[at])
        return maker if maker and maker.op == op and not maker.domain and len(maker.outputs) == 1 else None

    def _number(self, node: Node, at: int) -> float | None:
        """Return a constant input that is one number."""
        if len(node.inputs) <= at:
            return None
        maker = self._makers.get(node.inputs[at])
        array = self._initializers.get(node.inputs[at])
        if array is None and maker and maker.op == "Constant":
            array = maker.attributes.get("value")
        return float(array.item()) if isinstance(array, np.ndarray) and array.size == 1 else None

    def _is_row(self, node: Node) -> bool:
        """Return whether the second input is one number for each of the last axis. A branch's is not seen."""
        array = self._initializers.get(node.inputs[1]) if len(node.inputs) > 1 else None
        return array is not None and array.ndim == 1

    def _count(self, graph: Graph) -> None:
        for node in graph.nodes:
            self._readings.update(node.inputs)
            for meaning in node.attributes.values():
                if isinstance(meaning, Graph):
                    self._readings.update(value.name for value in meaning.outputs)
                    self._count(meaning)
