"""The operators of ONNX that pivoice runs, in numpy: all that exporters of wake words write, and a few more.

A maker is told everything that is known before the first run (`Call`) and returns what is left to be done
in each: a function of arrays. Adding one: write the maker in the file of its kind, put it into that file's
`MAKERS`, and compare it with onnxruntime in tests/wake/test_operators.py. `If` is in graph.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from pivoice.wake.operators import arithmetic, arrangement, products, quantised, recurrent, reductions
from pivoice.wake.operators.arrangement import SHAPES_ONLY
from pivoice.wake.operators.call import Array, Call, CannotRunError, Function, Maker, shown

__all__ = ["MAKERS", "OPSETS", "SHAPES_ONLY", "Array", "Call", "CannotRunError", "Function", "Maker", "shown"]

MAKERS: Mapping[str, Maker] = {
    **arithmetic.MAKERS,
    **arrangement.MAKERS,
    **products.MAKERS,
    **quantised.MAKERS,
    **recurrent.MAKERS,
    **reductions.MAKERS,
}
"""By ONNX's name, in ONNX's own domain."""

OPSETS = range(7, 27)
"""The versions whose meaning is known. Before 7, sums were broadcast by other rules; what comes later may
change what an operator means, and a head that then scores wrong would never say so."""
