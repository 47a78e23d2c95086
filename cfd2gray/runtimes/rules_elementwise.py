"""Rules for primitives that work element by element."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from cfd2gray.runtimes.graph import ONNX_TYPE, Value
from cfd2gray.runtimes.registry import RULES, rule

for _primitive, _operator in {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow", "rem": "Mod",
    "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "tanh": "Tanh", "logistic": "Sigmoid", "neg": "Neg", "abs": "Abs",
    "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round", "erf": "Erf", "sin": "Sin", "cos": "Cos",
}.items():  # fmt: skip
    RULES[_primitive] = lambda writer, _, inputs, operator=_operator: writer.graph.elementwise(operator, *inputs)

for _primitive, _operator in {
    "gt": "Greater", "lt": "Less", "ge": "GreaterOrEqual", "le": "LessOrEqual", "eq": "Equal",
}.items():  # fmt: skip
    RULES[_primitive] = lambda writer, _, inputs, operator=_operator: writer.graph.elementwise(
        operator, *inputs, dtype="bool"
    )

for _primitive, _operator in {"and": "And", "or": "Or", "not": "Not", "xor": "Xor"}.items():
    RULES[_primitive] = lambda writer, _, inputs, operator=_operator: writer.graph.elementwise(operator, *inputs)


@rule("ne")
def _ne(writer: Any, _: Any, inputs: list[Value]) -> Value:
    return writer.graph.elementwise("Not", writer.graph.elementwise("Equal", *inputs, dtype="bool"))


@rule("square")
def _square(writer: Any, _: Any, inputs: list[Value]) -> Value:
    return writer.graph.elementwise("Mul", inputs[0], inputs[0])


@rule("rsqrt")
def _rsqrt(writer: Any, _: Any, inputs: list[Value]) -> Value:
    return writer.graph.elementwise("Reciprocal", writer.graph.elementwise("Sqrt", inputs[0]))


@rule("integer_pow")
def _integer_pow(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    if equation.params["y"] == 2:
        return _square(writer, equation, inputs)
    power = writer.graph.constant(np.array(equation.params["y"], inputs[0].dtype))
    return writer.graph.elementwise("Pow", inputs[0], power)


@rule("select_n")
def _select(writer: Any, _: Any, inputs: list[Value]) -> Value:
    which, no, yes = inputs
    compared, scaled = writer.origin(which, "gt"), writer.origin(no, "mul")
    if compared and scaled and compared[0] is yes and _number(compared[1]) == 0.0:
        slopes = [_number(part) for part in scaled if part is not yes]
        if len(slopes) == 1 and slopes[0] is not None:
            return writer.graph.elementwise("LeakyRelu", yes, alpha=slopes[0])
    return writer.graph.elementwise("Where", which, yes, no, dtype=yes.dtype)


def _number(value: Value) -> float | None:
    """The one number that a constant consists of."""
    return None if value.constant is None or value.constant.size != 1 else float(value.constant.reshape(()))


@rule("stop_gradient", "copy", "copy_p", "optimization_barrier", "reduce_precision", "sharding_constraint")
def _same(_: Any, __: Any, inputs: list[Value]) -> list[Value]:
    return inputs


@rule("convert_element_type")
def _convert(writer: Any, equation: Any, inputs: list[Value]) -> Value:
    (value,), dtype = inputs, np.dtype(equation.params["new_dtype"]).name
    if value.dtype == dtype:
        return value
    if value.size is not None:
        return dataclasses.replace(value, dtype=dtype)
    return writer.graph.elementwise("Cast", value, to=ONNX_TYPE[dtype], dtype=dtype)


@rule("dim_as_value")
def _size(_: Any, equation: Any, __: list[Value]) -> Value:
    return Value("", (), (), equation.outvars[0].aval.dtype.name, size=equation.params["dim"])
