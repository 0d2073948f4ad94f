"""What an operator is told when a graph is made ready to run, and what it answers with. PURE.

All shapes are fixed by then: a head always hears the same window. So whatever follows from shapes, weights
and attributes is worked out once, here, and what is left for each run is a function of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pivoice.wake.onnx_file import Node, NotAModelError

Array = NDArray[Any]
Function = Callable[..., Any]
"""Takes the inputs that were not taken from the call, in order; one left out is None. Returns the output,
or a tuple of them. May return what it was given, never write into it."""
Maker = Callable[["Call"], Function]

_WHOLE_LIMIT = 4096  # numbers; beyond, copies would cost more memory than they save time
_SIZE_LIMIT = 2**22  # numbers in one array: 16 MB; the largest that a head makes have some thousand


class CannotRunError(NotAModelError):
    """The file is a model, but not one that pivoice runs. Its text is why, as the end of a sentence."""


def shown(name: str) -> str:
    """Return a name from a file as it may be shown: short, and without what steers a terminal."""
    return name[:60] if name.isprintable() else ascii(name[:60])


class Call:
    """One operator in its place in a graph: its attributes, and what its inputs look like."""

    def __init__(
        self, node: Node, opset: int, *, inputs: Sequence[Array | None], constant: Sequence[bool]
    ) -> None:
        """`inputs` are examples of the right shape and type, or the values themselves where `constant`."""
        self.node = node
        self.opset = opset
        self.inputs = inputs
        self._constant = constant
        self.taken: set[int] = set()

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return what the file says of `name`."""
        return self.node.attributes.get(name, default)

    def has(self, index: int) -> bool:
        """Return whether there is such an input."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def example(self, index: int) -> Array:
        """Return an array like those that this input will be."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise self.fault(f"is without its input {index + 1}")
        return found

    def is_constant(self, index: int) -> bool:
        """Return whether the input is the same in every run, and there at all."""
        return self.has(index) and self._constant[index]

    def take(self, index: int) -> Array | None:
        """Return a constant input and leave it out of what the function is given. None: was left out.

        Raises:
            CannotRunError: it is computed in each run, and the shape of something would depend on it.
        """
        self.taken.add(index)
        if not self.has(index):
            return None
        if not self._constant[index]:
            raise self.fault("makes shapes depend on what is heard, which pivoice does not run")
        return self.example(index)

    def take_integers(self, index: int, attribute: str) -> list[int] | None:
        """Return a row of whole numbers: an attribute in older files, a constant input in newer ones."""
        found = self.take(index)
        row = self.attribute(attribute) if found is None else found.ravel().tolist()
        return None if row is None else [int(each) for each in row]

    def take_whole(self, index: int, shape: tuple[int, ...]) -> Array | None:
        """Return a constant input in the whole of `shape`, if that is small and the input not of each run.

        numpy adds two arrays of one shape in a third of the time of two that it must match (0.5 us, 1.3 us).
        """
        if not self.is_constant(index) or math.prod(shape) > _WHOLE_LIMIT:
            return None
        self.taken.add(index)
        return np.broadcast_to(self.example(index), shape).copy()

    def axis(self, given: int, rank: int) -> int:
        """Return `given` counted from the front."""
        if not -rank <= given < rank:
            raise self.fault(f"has the axis {given} of an array of {rank} axes")
        return given % rank

    def bound(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return `shape`, once it is certain that there is memory for it."""
        if any(size < 0 for size in shape) or len(shape) > 16 or math.prod(shape) > _SIZE_LIMIT:
            raise self.fault("makes an array that no wake word needs")
        return tuple(shape)

    def refuse(self, **forms: object) -> None:
        """Raise for the attributes that are given and say other than this."""
        for name, usual in forms.items():
            if self.attribute(name, usual) != usual:
                raise self.fault(f"has {name} {self.attribute(name)!r}, which pivoice does not run")

    def fault(self, problem: str) -> CannotRunError:
        """Return the error that this operator `problem`."""
        return CannotRunError(f"cannot be run: its operator {shown(self.node.op)} {problem}")
