"""Runs a wake word's network in numpy: what onnxruntime would do, for a tenth of its memory.

A head always hears the same window, so every shape is known before the first run. The graph is gone through
once when it is made: each operator runs on zeros, whatever does not depend on the input becomes a constant,
and what is wrong is said then. What is left is a flat list of functions of arrays.

Holds nothing between runs: several threads may share one `Program`, and with it its weights. The arrays of a
run come to some 100 KB in the largest head, so they are freed together at its end. Never writes to stderr:
what is not a number comes out as such, and is the caller's business.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from pivoice.wake.fusion import fuse_normalizations
from pivoice.wake.onnx_file import Graph, Node, Value
from pivoice.wake.operators import MAKERS, OPSETS, SHAPES_ONLY, Array, Call, CannotRunError, Function, shown

__all__ = ["CannotRunError", "Program"]

_EXAMPLES_LIMIT = 2**28  # bytes of all arrays of one run; openwakeword's heads need 10,000

_Name = Hashable
"""A name from the file, or a tuple of the names of what an operator returns together."""
_Values = dict[_Name, Any]
_Step = tuple[Function, tuple[_Name, ...], _Name]
"""A function, what it reads, and what it makes."""


class Program:
    """A graph, checked and ready to run."""

    def __init__(self, graph: Graph, shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        """`shapes` says how large inputs are that the file leaves open; a size that nobody says is 1.

        The graph is not kept: the weights are, and those that no operator reads in the file's form are not.

        Raises:
            CannotRunError: it has operators that pivoice lacks, is damaged, or its shapes do not fit.
        """
        if graph.opset not in OPSETS:
            raise CannotRunError(
                f"uses version {graph.opset} of ONNX's operators; pivoice knows {OPSETS[0]} to {OPSETS[-1]}, "
                "so export it again with another (in torch: opset_version=18)"
            )
        unknown = sorted(set(_unknown_operators(graph)))
        if unknown:
            many = f"operators {', '.join(unknown[:8])}" if len(unknown) > 1 else f"operator {unknown[0]}"
            raise CannotRunError(f"uses the {many}, which pivoice does not run")
        builder = _Builder()
        examples = {value.name: _example(value, shapes or {}) for value in graph.inputs}
        with np.errstate(all="ignore"):
            self._plan = builder.plan(graph, {name: (array, False) for name, array in examples.items()})
        self.inputs = tuple(_described(name, array) for name, array in examples.items())
        """What a run is given, with the sizes that were left open."""
        self.outputs = tuple(_described(name, builder.found[name]) for name in self._plan.outputs)
        """What a run returns."""

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the outputs, in the order of `outputs`. Read only: some may be constants of the program.

        `inputs` has an array for each of `self.inputs`, of exactly that shape and type.
        """
        for value in self.inputs:
            array = inputs[value.name]
            assert array.shape == value.shape and array.dtype == value.dtype, (
                f"{value.name} is {value.dtype} {value.shape}, not {array.dtype} {array.shape}"
            )
        with np.errstate(all="ignore"):
            return [np.asarray(each) for each in self._plan.run(dict(inputs.items()))]


@dataclass(frozen=True)
class _Plan:
    """What is left of a graph: functions in their order."""

    steps: tuple[tuple[Function, _Name, tuple[_Name, ...] | None, _Name], ...]
    """Function, its only input, or else all of them, and what it makes."""
    constants: Mapping[_Name, Any]
    outputs: tuple[str, ...]
    reads: tuple[str, ...]
    """What a branch needs of the graph around it."""

    def run(self, values: _Values) -> list[Any]:
        """Return the outputs. `values` are the inputs, and are added to."""
        values.update(self.constants)
        for function, name, names, output in self.steps:
            # most have one input: to spell that out saves a microsecond in five
            values[output] = function(values[name]) if names is None else function(*map(values.get, names))
        return [values[name] for name in self.outputs]


class _Builder:
    """Goes through one graph: what it has found so far, and the steps that it leaves."""

    def __init__(self, around: Mapping[str, tuple[Array, bool]] | None = None, *, used: int = 0) -> None:
        """`around` is what the graph around a branch knows; `used` the bytes of its examples."""
        self._around = around or {}
        self._known: dict[str, tuple[Array, bool]] = {}  # an example, and whether it is the value itself
        self._steps: list[_Step] = []
        self._reads: dict[str, None] = {}
        self.used = used
        self.found: dict[str, Array] = {}

    def plan(self, graph: Graph, inputs: Mapping[str, tuple[Array, bool]]) -> _Plan:
        """Return what is left to do in each run."""
        for name, (array, constant) in inputs.items():
            self._learn(name, array, constant=constant)
        for name, array in graph.initializers.items():
            self._learn(name, array, constant=True)
        for node in fuse_normalizations(graph).nodes:
            try:
                self._add(node, graph.opset)
            except CannotRunError:
                raise
            except _WRONG as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise CannotRunError(
                    f"cannot be run: its operator {shown(node.op)} failed ({reason[:200]})"
                ) from error
        outputs = tuple(value.name for value in graph.outputs)
        self.found = {name: self._look_up(name)[0] for name in outputs}
        steps = _needed(self._steps, outputs)
        names = {name for _, inputs_of, _ in steps for name in inputs_of} | set(outputs)
        constants: dict[_Name, Any] = {
            name: array
            for name, (array, constant) in {**self._around, **self._known}.items()
            if constant and name in names
        }
        if "" in names:
            constants[""] = None
        reads = tuple(name for name in self._reads if name in names)
        return _Plan(tuple(_spelled(step) for step in steps), constants, outputs, reads)

    def _add(self, node: Node, opset: int) -> None:
        inputs = [(None, True) if not name else self._look_up(name) for name in node.inputs]
        call = Call(
            node,
            opset,
            inputs=[example for example, _ in inputs],
            constant=[constant for _, constant in inputs],
        )
        if node.op == "If":
            self._add_if(call)
            return
        function = MAKERS[node.op](call)
        left = [at for at in range(len(inputs)) if at not in call.taken]
        examples = function(*[call.inputs[at] for at in left])
        fixed = all(constant for _, constant in inputs) or node.op in SHAPES_ONLY
        self._emit(node, function, tuple(node.inputs[at] for at in left), examples, fixed=fixed)

    def _add_if(self, call: Call) -> None:
        """Add a step that runs one branch, or both branches' outcome when the choice is always the same."""
        branches = [call.attribute(name) for name in ("then_branch", "else_branch")]
        if not all(isinstance(branch, Graph) for branch in branches):
            raise call.fault("is without a branch")
        if call.is_constant(0):
            choice = bool(call.example(0).item())
            branches = [branches[0] if choice else branches[1]] * 2
        around = {**self._around, **self._known}
        plans = []
        outcomes: list[list[Array]] = []
        for branch in branches if branches[0] is not branches[1] else branches[:1]:
            builder = _Builder(around, used=self.used)
            plans.append(builder.plan(branch, {}))
            outcomes.append([builder.found[value.name] for value in branch.outputs])
            self.used = builder.used
        kinds = {tuple((each.shape, each.dtype) for each in outcome) for outcome in outcomes}
        if len(kinds) > 1 or len(outcomes[0]) < len(call.node.outputs):
            raise call.fault("has branches that make different shapes, which pivoice does not run")
        reads = tuple(dict.fromkeys(name for plan in plans for name in plan.reads))
        for name in reads:
            self._look_up(name)  # this graph may be a branch itself, and reads it for its own
        several = len(call.node.outputs) > 1

        def choose(condition: Array, *values: Any) -> Any:
            plan = plans[0] if len(plans) == 1 or condition else plans[1]
            found = plan.run(dict(zip(reads, values, strict=True)))
            return tuple(found) if several else found[0]

        examples = tuple(outcomes[0]) if several else outcomes[0][0]
        fixed = call.is_constant(0) and not reads
        self._emit(call.node, choose, (call.node.inputs[0], *reads), examples, fixed=fixed)

    def _emit(
        self, node: Node, function: Function, inputs: tuple[str, ...], examples: Any, *, fixed: bool
    ) -> None:
        """Note what a node makes; `fixed` when that is a constant, which needs no step."""
        several = isinstance(examples, tuple)
        for at, name in enumerate(node.outputs):
            if not name:
                continue
            if several and at >= len(examples):
                raise CannotRunError(f"cannot be run: its operator {shown(node.op)} has too many outputs")
            self._learn(name, examples[at] if several else examples, constant=fixed)
            if several and not fixed:
                self._steps.append((itemgetter(at), (node.outputs,), name))
            elif not several:
                break
        if not fixed:
            made: _Name = node.outputs if several else node.outputs[0]
            at = len(self._steps) - (len([name for name in node.outputs if name]) if several else 0)
            self._steps.insert(at, (function, inputs, made))

    def _learn(self, name: str, array: Any, *, constant: bool) -> None:
        if name in self._known or name in self._around:
            raise CannotRunError(f"is damaged: {name[:60]!r} is made twice")
        example = np.asarray(array)
        self.used += example.nbytes
        if self.used > _EXAMPLES_LIMIT:
            raise CannotRunError(f"needs more than {_EXAMPLES_LIMIT >> 20} MB to run, as no wake word does")
        self._known[name] = (example, constant)

    def _look_up(self, name: str) -> tuple[Array, bool]:
        if name in self._known:
            return self._known[name]
        if name not in self._around:
            raise CannotRunError(f"is damaged: it reads {name[:60]!r} before anything makes it")
        example, constant = self._around[name]
        if not constant:
            self._reads[name] = None
        return example, constant


# What makers and numpy raise for attributes of a wrong kind and shapes that do not fit.
_WRONG = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)


def _spelled(step: _Step) -> tuple[Function, _Name, tuple[_Name, ...] | None, _Name]:
    function, names, output = step
    return (function, names[0], None, output) if len(names) == 1 else (function, None, names, output)


def _needed(steps: Sequence[_Step], outputs: Sequence[str]) -> list[_Step]:
    """Return the steps without those whose result nobody reads."""
    wanted: set[_Name] = set(outputs)
    kept = []
    for step in reversed(steps):
        if step[2] in wanted:
            wanted.update(step[1])
            kept.append(step)
    return kept[::-1]


def _unknown_operators(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.domain or (node.op not in MAKERS and node.op != "If"):
            yield shown(f"{node.domain}.{node.op}" if node.domain else node.op)
        for meaning in node.attributes.values():
            if isinstance(meaning, Graph):
                yield from _unknown_operators(meaning)


def _example(value: Value, shapes: Mapping[str, tuple[int, ...]]) -> Array:
    """Return zeros like what an input will be."""
    if value.dtype is None or (value.shape is None and value.name not in shapes):
        raise CannotRunError(f"does not say what its input {value.name[:60]!r} is")
    declared = value.shape if value.shape is not None else shapes[value.name]
    shape = shapes.get(value.name, tuple(size if isinstance(size, int) else 1 for size in declared))
    fits = len(shape) == len(declared) and all(
        size == said or not isinstance(said, int) for size, said in zip(shape, declared, strict=False)
    )
    count = 1
    for size in shape[:16]:
        count *= size
    if not fits or len(shape) > 16 or not 0 <= count <= _EXAMPLES_LIMIT // 8 or min(shape, default=0) < 0:
        raise CannotRunError(f"has an input {value.name[:60]!r} of shape {declared}, where {shape} was meant")
    return np.zeros(shape, value.dtype)


def _described(name: str, example: Array) -> Value:
    return Value(name, example.dtype, example.shape)
