"""LSTM, GRU and plain recurrent networks: one step after the other, both directions at once. PURE.

Directions and batch are two axes of every array, so that a bidirectional network costs half of two. The
sums over the inputs of all steps are one matrix product before the first step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pivoice.wake.operators.call import Array, Call, Function, Maker

_DEFAULT_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


@dataclass(frozen=True)
class _Weights:
    """A network's weights, and how its inputs lie."""

    steps: int
    batch: int
    hidden: int
    directions: int
    backward: tuple[int, ...]
    """Which directions begin at the end."""
    of_input: Array
    """Inputs x (directions x gates x hidden)."""
    of_state: Array
    """Directions x hidden x (gates x hidden)."""
    shift: Array
    """Directions x 1 x (gates x hidden), to be added before the first step."""
    state_shift: Array
    """The same, of what the state is multiplied to."""

    def sums(self, x: Array) -> Array:
        """Return what the inputs contribute: steps x directions x batch x (gates x hidden)."""
        product = x.reshape(self.steps * self.batch, -1).dot(self.of_input)
        shape = (self.steps, self.batch, self.directions, -1)
        sums: Array = product.reshape(shape).transpose(0, 2, 1, 3) + self.shift
        for direction in self.backward:
            sums[:, direction] = sums[::-1, direction].copy()
        return sums

    def start(self, given: Array | None) -> Array:
        """Return the first state: what the file says, or zeros."""
        if given is None:
            return np.zeros((self.directions, self.batch, self.hidden), self.of_state.dtype)
        return given

    def output(self, states: Array) -> Array:
        """Return the states of all steps as ONNX lays them out. Overwrites `states`."""
        for direction in self.backward:
            states[:, direction] = states[::-1, direction].copy()
        return states


def _weights_of(call: Call, gates: int) -> _Weights:
    kind = call.node.op
    direction = call.attribute("direction", "forward")
    directions = 2 if direction == "bidirectional" else 1
    usual = _DEFAULT_ACTIVATIONS[kind] * directions
    given = [name.capitalize() for name in call.attribute("activations", usual)]
    if given != usual or call.attribute("clip") or call.attribute("input_forget", 0):
        raise call.fault("has other activations than the usual, which pivoice does not run")
    call.refuse(layout=0)  # onnxruntime does not run another either
    if call.example(0).ndim != 3:
        raise call.fault(f"is given the shape {call.example(0).shape}")
    steps, batch, width = call.example(0).shape
    call.example(1), call.example(2)  # must be there
    of_input, of_state, shift = call.take(1), call.take(2), call.take(3)
    assert of_input is not None and of_state is not None
    hidden = of_state.shape[-1]
    rows = gates * hidden
    if of_input.shape != (directions, rows, width) or of_state.shape != (directions, rows, hidden):
        raise call.fault(f"has weights of {of_input.shape} and {of_state.shape} for {width} inputs")
    both = np.zeros((directions, 2 * rows), of_input.dtype) if shift is None else shift
    lengths = call.take(4)
    if both.shape != (directions, 2 * rows) or (lengths is not None and (lengths != steps).any()):
        raise call.fault("has sequences of different lengths, or summands of another size")
    call.bound((steps, batch, directions, rows))
    return _Weights(
        steps=steps,
        batch=batch,
        hidden=hidden,
        directions=directions,
        backward={"reverse": (0,), "bidirectional": (1,)}.get(direction, ()),
        of_input=np.asfortranarray(of_input.reshape(directions * rows, width).T),
        of_state=np.ascontiguousarray(of_state.transpose(0, 2, 1)),
        shift=both[:, None, :rows].copy(),
        state_shift=both[:, None, rows:].copy(),
    )


def _lstm(call: Call) -> Function:
    """Gates in ONNX's order: input, output, forget, cell."""
    if call.has(7):
        raise call.fault("has peepholes, which pivoice does not run")
    weights = _weights_of(call, 4)
    hidden = weights.hidden
    # A sigmoid is a tanh of half the sum, halved and moved up: with the weights of three gates halved here,
    # one tanh does for all four in each step.
    scale = np.repeat(np.array([0.5, 0.5, 0.5, 1.0], weights.of_state.dtype), hidden)
    shift = (weights.shift + weights.state_shift) * scale
    scaled = _Weights(
        **{
            **vars(weights),
            "of_input": np.asfortranarray(weights.of_input * np.tile(scale, weights.directions)),
            "of_state": weights.of_state * scale,
            "shift": shift,
        }
    )
    whole = (weights.directions, weights.batch, 4 * hidden)
    factors = np.broadcast_to(scale, whole).copy()
    summands = np.where(factors < 1, factors, factors.dtype.type(0))
    opened = [slice(at * hidden, (at + 1) * hidden) for at in range(4)]

    def lstm(x: Array, first: Array | None = None, first_cell: Array | None = None, *_: Any) -> Any:
        sums = scaled.sums(x)
        state, cell = scaled.start(first), scaled.start(first_cell)
        states = np.empty((scaled.steps, *state.shape), state.dtype)
        gates = np.empty(whole, state.dtype)
        taken, given, kept, new = (gates[..., part] for part in opened)
        for sum_, made in zip(sums, states, strict=True):
            np.matmul(state, scaled.of_state, out=gates)
            np.add(gates, sum_, out=gates)
            np.tanh(gates, out=gates)
            np.multiply(gates, factors, out=gates)
            np.add(gates, summands, out=gates)
            cell = kept * cell
            cell += taken * new
            state = np.multiply(given, np.tanh(cell), out=made)
        last = state.copy()
        return scaled.output(states), last, cell

    return lstm


def _gru(call: Call) -> Function:
    """Gates in ONNX's order: update, reset, hidden."""
    weights = _weights_of(call, 3)
    hidden, both = weights.hidden, 2 * weights.hidden
    one = weights.of_state.dtype.type(1)
    reset_after = bool(call.attribute("linear_before_reset", 0))
    of_gates = np.ascontiguousarray(weights.of_state[..., :both])
    of_new = np.ascontiguousarray(weights.of_state[..., both:])
    before = weights.state_shift.copy()
    after = before[..., both:].copy()
    if reset_after:
        before[..., both:] = 0  # this much is reset with the state
    else:
        after[:] = 0

    def gru(x: Array, first: Array | None = None, *_: Any) -> Any:
        sums = weights.sums(x) + before
        state = weights.start(first)
        states = np.empty((weights.steps, *state.shape), state.dtype)
        for sum_, made in zip(sums, states, strict=True):
            gates = np.matmul(state, of_gates)
            gates += sum_[..., :both]
            gates = np.reciprocal(np.exp(-gates) + one)
            update, reset = gates[..., :hidden], gates[..., hidden:]
            new = (
                reset * (np.matmul(state, of_new) + after)
                if reset_after
                else np.matmul(reset * state, of_new)
            )
            new += sum_[..., both:]
            np.tanh(new, out=new)
            state = np.add(new, update * (state - new), out=made)
        last = state.copy()
        return weights.output(states), last

    return gru


def _rnn(call: Call) -> Function:
    weights = _weights_of(call, 1)

    def rnn(x: Array, first: Array | None = None, *_: Any) -> Any:
        sums = weights.sums(x)
        state = weights.start(first)
        states = np.empty((weights.steps, *state.shape), state.dtype)
        for step in range(weights.steps):
            state = np.tanh(
                np.matmul(state, weights.of_state) + (sums[step] + weights.state_shift), out=states[step]
            )
        last = state.copy()
        return weights.output(states), last

    return rnn


MAKERS: dict[str, Maker] = {"GRU": _gru, "LSTM": _lstm, "RNN": _rnn}
