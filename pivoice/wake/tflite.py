"""TensorFlow Lite models, run by the C library that pymicro-wakeword brings: ctypes, every answer checked.

The package's own binding checks none: a file that is no model crashes the process, and the library
writes to stderr. Here the one is an error with a sentence, and the other is kept quiet. One `Network` is
one state; several may share a `Model`, which holds the weights. A `Network` belongs to one thread at a
time. Computes on the calling thread, which lets go of Python's lock meanwhile. The only file that knows
the library.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from ctypes import c_char_p, c_float, c_int, c_int32, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class _Scale(ctypes.Structure):
    _fields_ = (("scale", c_float), ("zero_point", c_int32))


_Report = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_void_p)  # user data, format, va_list

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {  # out of c_api.h of TensorFlow Lite 2.x
    "TfLiteModelCreateFromFileWithErrorReporter": (c_void_p, [c_char_p, _Report, c_void_p]),
    "TfLiteModelDelete": (None, [c_void_p]),
    "TfLiteInterpreterOptionsCreate": (c_void_p, []),
    "TfLiteInterpreterOptionsDelete": (None, [c_void_p]),
    "TfLiteInterpreterOptionsSetNumThreads": (None, [c_void_p, c_int32]),
    "TfLiteInterpreterOptionsSetErrorReporter": (None, [c_void_p, _Report, c_void_p]),
    "TfLiteInterpreterCreate": (c_void_p, [c_void_p, c_void_p]),
    "TfLiteInterpreterDelete": (None, [c_void_p]),
    "TfLiteInterpreterAllocateTensors": (c_int, [c_void_p]),
    "TfLiteInterpreterInvoke": (c_int, [c_void_p]),
    "TfLiteInterpreterGetInputTensorCount": (c_int32, [c_void_p]),
    "TfLiteInterpreterGetOutputTensorCount": (c_int32, [c_void_p]),
    "TfLiteInterpreterGetInputTensor": (c_void_p, [c_void_p, c_int32]),
    "TfLiteInterpreterGetOutputTensor": (c_void_p, [c_void_p, c_int32]),
    "TfLiteTensorType": (c_int, [c_void_p]),
    "TfLiteTensorNumDims": (c_int32, [c_void_p]),
    "TfLiteTensorDim": (c_int32, [c_void_p, c_int32]),
    "TfLiteTensorByteSize": (c_size_t, [c_void_p]),
    "TfLiteTensorQuantizationParams": (_Scale, [c_void_p]),
    "TfLiteTensorCopyFromBuffer": (c_int, [c_void_p, c_void_p, c_size_t]),
    "TfLiteTensorCopyToBuffer": (c_int, [c_void_p, c_void_p, c_size_t]),
}
_QUANTIZED = {3: np.dtype(np.uint8), 9: np.dtype(np.int8)}  # kTfLiteUInt8, kTfLiteInt8
_TYPES = {1: "float32", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8", 10: "float16"}


_keep_quiet = _Report(lambda *_: None)
"""Takes what the library would write to stderr; each of its answers is checked."""


class ModelError(ValueError):
    """A file cannot be run; the text goes after its name: "is no TensorFlow Lite model"."""


class Library:
    """The C library, loaded."""

    def __init__(self, path: Path) -> None:
        """Raises OSError: it is not there, not for this system, or not the one that was expected."""
        self.calls = ctypes.CDLL(str(path))
        try:
            for name, (result, arguments) in _SIGNATURES.items():
                call = getattr(self.calls, name)
                call.restype, call.argtypes = result, arguments
        except AttributeError as error:
            raise OSError(f"{path} is another library than was expected ({error})") from error


class Model:
    """A file's weights, shared by every network made of it."""

    def __init__(self, library: Library, path: Path) -> None:
        """Raises ModelError: the file is none."""
        self.library = library
        self.path = path
        self.pointer: int | None = library.calls.TfLiteModelCreateFromFileWithErrorReporter(
            os.fsencode(path), _keep_quiet, None
        )
        if not self.pointer:
            raise ModelError("is no TensorFlow Lite model, or damaged or cut short")
        weakref.finalize(self, library.calls.TfLiteModelDelete, self.pointer).atexit = False


class Tensor:
    """What goes into a network, or comes out of it: real numbers, kept as 8-bit ones."""

    def __init__(self, library: Library, pointer: int) -> None:
        """Raises ModelError: it is not kept in 8 bits."""
        calls = library.calls
        self.pointer = pointer
        self.shape = tuple(
            calls.TfLiteTensorDim(pointer, n) for n in range(calls.TfLiteTensorNumDims(pointer))
        )
        kind = calls.TfLiteTensorType(pointer)
        if kind not in _QUANTIZED:
            name = _TYPES.get(kind, f"of type {kind}")
            raise ModelError(f"is a model of another kind: {name} {list(self.shape)}, not 8-bit numbers")
        self.dtype = _QUANTIZED[kind]
        quantization = calls.TfLiteTensorQuantizationParams(pointer)
        self.scale, self.zero_point = float(quantization.scale), int(quantization.zero_point)
        self.bytes = calls.TfLiteTensorByteSize(pointer)


class Network:
    """One model, running: with what its layers remember of the calls before. One input, one output."""

    def __init__(self, model: Model) -> None:
        """Raises ModelError: the library cannot run it, or it is not one of 8-bit numbers."""
        self._model = model
        self._calls = model.library.calls
        self._start()

    def reset(self) -> None:
        """Forget every call before. About 0.1 ms; the weights stay where they are."""
        self._delete()  # the layers' memories are resources of the interpreter; nothing else clears them
        self._start()

    def run(self, values: NDArray[Any]) -> float:
        """Return the first number that comes out when `values`, as the input keeps them, go in."""
        assert (
            values.dtype == self.input.dtype
            and values.nbytes == self.input.bytes
            and values.flags.c_contiguous
        )
        calls, out = self._calls, self._result
        status = (
            calls.TfLiteTensorCopyFromBuffer(self.input.pointer, values.ctypes.data, values.nbytes)
            or calls.TfLiteInterpreterInvoke(self._interpreter)
            or calls.TfLiteTensorCopyToBuffer(self.output.pointer, out.ctypes.data, out.nbytes)
        )
        assert status == 0, f"TensorFlow Lite cannot run {self._model.path}: status {status}"
        return (float(out[0]) - self.output.zero_point) * self.output.scale

    def _start(self) -> None:
        calls = self._calls
        options = calls.TfLiteInterpreterOptionsCreate()
        calls.TfLiteInterpreterOptionsSetNumThreads(options, 1)
        calls.TfLiteInterpreterOptionsSetErrorReporter(options, _keep_quiet, None)
        self._interpreter: int | None = calls.TfLiteInterpreterCreate(self._model.pointer, options)
        calls.TfLiteInterpreterOptionsDelete(options)
        if not self._interpreter:
            raise ModelError("has layers that the library does not know")
        # the finalizer holds the model: weights may not go before what computes with them
        self._delete = weakref.finalize(self, _delete_interpreter, self._model, self._interpreter)
        self._delete.atexit = False
        if calls.TfLiteInterpreterAllocateTensors(self._interpreter):
            raise ModelError("is a model of another kind: it cannot be set up as it stands")
        counts = (
            calls.TfLiteInterpreterGetInputTensorCount(self._interpreter),
            calls.TfLiteInterpreterGetOutputTensorCount(self._interpreter),
        )
        if counts != (1, 1):
            raise ModelError(f"is a model of another kind: {counts[0]} inputs, {counts[1]} outputs")
        self.input = Tensor(self._model.library, calls.TfLiteInterpreterGetInputTensor(self._interpreter, 0))
        self.output = Tensor(
            self._model.library, calls.TfLiteInterpreterGetOutputTensor(self._interpreter, 0)
        )
        self._result = np.zeros(self.output.bytes, self.output.dtype)


def _delete_interpreter(model: Model, pointer: int) -> None:
    model.library.calls.TfLiteInterpreterDelete(pointer)
