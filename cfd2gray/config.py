"""Reading a config file and its overrides: every key known, every type kept, mistakes named."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import json
import pathlib
import types
from collections.abc import Sequence
from typing import Any

import ml_collections


def load_config(spec: str, overrides: Sequence[str] = ()) -> ml_collections.ConfigDict:
    """The config of ``spec`` with ``overrides`` applied, locked.

    Args:
      spec: A Python file with ``get_config()``, optionally ``FILE:argument`` for ``get_config(argument)``; or the bare
        name of a config that ships with the package (``tiny``).
      overrides: ``"model.width=32"`` strings; the value is a Python literal or plain text.

    Raises:
      ValueError: For a missing file, an unknown key (with the nearest known one) or a value of another type.
    """
    path, _, argument = spec.partition(":")
    module = load_module(path)
    if not hasattr(module, "get_config"):
        raise ValueError(f"{path}: a config file must define get_config(); see configs/default.py")
    config = module.get_config(argument) if argument else module.get_config()
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign:
            raise ValueError(f"--config.{override}: an override needs a value, as in --config.{override}=1")
        set_key(config, key, _literal(text))
    return config.lock()


def load_module(path: str) -> types.ModuleType:
    """The module of a ``.py`` file, or of a shipped config's name. Raises ``ValueError`` when there is none or it fails."""
    if path.endswith(".py"):
        file = pathlib.Path(path)
        if not file.is_file():
            raise ValueError(f"{path}: no such config file; shipped configs can be named bare, as in --config tiny")
        spec = importlib.util.spec_from_file_location(f"cfd2gray_config_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise ValueError(f"{path}: this config file does not run ({type(error).__name__}: {error})") from error
        return module
    try:
        return importlib.import_module(f"cfd2gray.configs.{path}")
    except ModuleNotFoundError as error:
        known = ", ".join(sorted(shipped_configs()))
        raise ValueError(f"--config {path}: neither a .py file nor a shipped config ({known})") from error


def shipped_configs() -> list[str]:
    """Names of the configs inside the package."""
    folder = pathlib.Path(importlib.import_module("cfd2gray.configs").__file__).parent
    return [file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")]


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)


def set_key(config: ml_collections.ConfigDict, key: str, value: Any) -> None:
    """Set ``a.b.c`` in place, keeping the type that the default has.

    Raises:
      ValueError: For an unknown key, naming the nearest one, or a value that does not fit the default's type.
    """
    flat = flatten(config)
    if key not in flat:
        near = difflib.get_close_matches(key, flat, n=1, cutoff=0.0)
        raise ValueError(f"config has no key {key!r}; did you mean {near[0]!r}?")
    *path, last = key.split(".")
    holder = config
    for part in path:
        holder = holder[part]
    old = holder[last]
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    if old is not None and type(value) is not type(old):
        raise ValueError(
            f"config.{key} is {type(old).__name__} (default {old!r}), got {type(value).__name__} {value!r}"
        )
    with config.unlocked():
        holder[last] = value


def flatten(config: ml_collections.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """``{"a.b": value}`` of every leaf."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def to_json(config: ml_collections.ConfigDict) -> str:
    """JSON of the config as stored beside a run; `from_json` reads it back."""
    return json.dumps(flatten(config), indent=1)


def from_json(text: str) -> ml_collections.ConfigDict:
    """The config written by `to_json`, over today's defaults, so that keys added since have their default."""
    config = load_config("default").unlock()
    for key, value in json.loads(text).items():
        set_key(config, key, _tuples(value))
    return config.lock()


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
