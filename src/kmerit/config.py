"""Configs: one pydantic base, TOML in, overrides, presets; and what is registered by name."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Strict, ValidationError
from pydantic_core import ErrorDetails

from kmerit.errors import ConfigError, UnknownName, short

Tree = dict[str, Any]
"""What TOML spells: tables of tables, lists and plain values."""

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

Several = Annotated[tuple[T, ...], Strict(False)]
"""A tuple, which TOML spells as a list."""

BUNDLED = "bundled:"
"""Before the name of a config that comes with kmerit."""

_EXPECTATIONS = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "int_type": "a whole number",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "model_type": "a table",
    "multiple_of": "a multiple of {multiple_of}",
    "string_pattern_mismatch": "a name of letters, digits, '.', '_', '-'",
    "string_type": "text in quotes",
    "too_short": "at least {min_length} of them",
    "tuple_type": "a list",
}
"""What is said of each of pydantic's error types."""


class Table(BaseModel):
    """A TOML table, base of all configs: frozen, no unknown keys, no value converted silently.

    Example:
        >>> class Trial(Table):
        ...     counts: Several[int] = (1, 5)
        >>> Trial.parse({"counts": [1, 20]})
        Trial(counts=(1, 20))
        >>> Trial(counts=("all",))
        Traceback (most recent call last):
        kmerit.errors.ConfigError: counts[0]: expected a whole number, got 'all'.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    if not TYPE_CHECKING:  # the type checker knows the fields better

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise _config_error(type(self), values, error, "") from None

        __init__.__pydantic_base_init__ = True  # a table inside another is checked as a part of that one

    @classmethod
    def parse(cls, tree: Mapping[str, Any], inside: str = "") -> Self:
        """Check a tree of values; see `check`."""
        return check(cls, tree, inside)


def bundled_configs() -> dict[str, Path]:
    """List the configs that come with kmerit, which read no other files: by name, the file.

    Example:
        >>> list(bundled_configs())
        ['audit', 'demo', 'distances', 'fair', 'leakage', 'negatives', 'paper', 'paper-mini', 'planted', 'regimes']
    """
    folder = Path(str(files("kmerit"))) / "assets" / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def read_toml(path: Path | str | None, overrides: Sequence[str] = ()) -> Tree:
    """Read a TOML file and apply overrides.

    Args:
        path: The file, or ``bundled:NAME``; without one the overrides are all there is.
        overrides: ``"trial.draws=3"``: a key path and a TOML value; a bare word is taken as a string.

    Raises:
        UnknownName: No bundled config has that name.
        ConfigError: The file is missing or not TOML, or an override is not KEY=VALUE.
    """
    try:
        tree = {} if path is None else tomllib.loads(_locate(path).read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, IsADirectoryError) as error:
        stem = Path(str(path)).stem
        near = stem if stem in bundled_configs() else "demo"
        raise ConfigError(
            f"There is no config file {str(path)!r}. kmerit comes with {BUNDLED}{near}; more: kmerit list configs"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    for override in overrides:
        merge(tree, parse_override(override))
    return tree


def _locate(path: Path | str) -> Path:
    name = str(path).removeprefix(BUNDLED)
    if name == str(path):
        return Path(path)
    if name not in bundled_configs():
        raise UnknownName("bundled config", name, bundled_configs(), see="kmerit list configs")
    return bundled_configs()[name]


def parse_override(text: str) -> Tree:
    """Read ``KEY.PATH=VALUE``.

    Raises:
        ConfigError: It is not of that form.

    Example:
        >>> parse_override("trial.counts=[0, 20]"), parse_override("compute.device=cpu")
        ({'trial': {'counts': [0, 20]}}, {'compute': {'device': 'cpu'}})
    """
    key, _, value = (part.strip() for part in text.partition("="))
    for candidate in (value, json.dumps(value)):
        try:
            return tomllib.loads(f"{key} = {candidate}")
        except tomllib.TOMLDecodeError:
            if not value:
                break
    raise ConfigError(f"--set {text!r}: expected KEY=VALUE, such as --set trial.draws=3.")


def merge(into: Tree, tree: Mapping[str, Any]) -> None:
    """Write the values of one tree over another, in place, table by table."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def check(model: type[Model], tree: Mapping[str, Any], inside: str = "") -> Model:
    """Validate a tree against a model.

    Args:
        model: A pydantic model.
        tree: The values.
        inside: The table's own key path, for messages.

    Raises:
        ConfigError: The first thing that is wrong, unknown keys before anything else.

    Example:
        >>> class Trial(Table):
        ...     replicates: int = 5
        >>> check(Trial, {"replicate": 3}, inside="trial")
        Traceback (most recent call last):
        kmerit.errors.ConfigError: Unknown key 'trial.replicate'. Did you mean 'replicates'?
    """
    try:
        return model.model_validate(dict(tree))
    except ValidationError as error:
        raise _config_error(model, tree, error, inside) from None


def _config_error(model: type[BaseModel], tree: Mapping[str, Any], error: ValidationError, inside: str) -> ConfigError:
    problems = error.errors(include_url=False)
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    if unknown:
        return ConfigError(_unknown_key(model, _keys(tree, unknown[0]), inside))
    return ConfigError(_wrong_value(tree, problems, inside))


def _unknown_key(model: type[BaseModel], keys: Sequence[str | int], inside: str) -> str:
    known_keys = list(_table_at(model, keys[:-1]).model_fields)
    near = difflib.get_close_matches(str(keys[-1]), known_keys, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(known_keys)}."
    return f"Unknown key {_spell(keys, inside)!r}. {hint}"


def _wrong_value(tree: Mapping[str, Any], problems: list[ErrorDetails], inside: str) -> str:
    """Put into one sentence what every member of a union says of the deepest key that is wrong."""
    deepest = max((_keys(tree, problem) for problem in problems), key=len)
    deepest_problems = [problem for problem in problems if _keys(tree, problem) == deepest]
    where = _spell(deepest, inside)
    if deepest_problems[0]["type"] == "missing":
        return f"The key {where!r} is missing."
    if deepest_problems[0]["type"] == "value_error":
        text = deepest_problems[0]["msg"].removeprefix("Value error, ")
        return f"{where}: {text}." if where else f"{text}."
    expected = " or ".join(dict.fromkeys(_expectation(problem) for problem in deepest_problems))
    return f"{where}: expected {expected}, got {short(deepest_problems[0]['input'])}."


def _expectation(problem: ErrorDetails) -> str:
    context = {key: f"{v:g}" if isinstance(v, float) else v for key, v in problem.get("ctx", {}).items()}
    return _EXPECTATIONS.get(problem["type"], problem["msg"]).format(**context)


def _keys(tree: Any, problem: ErrorDetails) -> tuple[str | int, ...]:
    """Keep of a problem's location the parts that stand in the TOML; pydantic adds the members of unions."""
    keys: list[str | int] = []
    for part in problem["loc"]:
        if _has(tree, part):
            tree = tree[part]
            keys.append(part)
    return (*keys, problem["loc"][-1]) if problem["type"] == "missing" else tuple(keys)


def _has(tree: Any, part: str | int) -> bool:
    return part in tree if isinstance(tree, Mapping) else isinstance(tree, list | tuple) and isinstance(part, int)


def _table_at(annotation: Any, keys: Sequence[str | int]) -> type[BaseModel]:
    """Find the model of a nested table; tables may be named in a table, or stand in a list."""
    for key in keys:
        is_container = get_origin(annotation) in (dict, list, tuple)
        annotation = _item(annotation) if is_container else _table(annotation).model_fields[str(key)].annotation
    return _table(annotation)


def _item(annotation: Any) -> Any:
    return get_args(annotation)[1 if get_origin(annotation) is dict else 0]


def _table(annotation: Any) -> type[BaseModel]:
    """Pick the table out of ``Table | Literal["none"] | None``."""
    kinds = (annotation, *get_args(annotation))
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))


def _spell(keys: Sequence[str | int], inside: str) -> str:
    text = inside
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def discover(package: ModuleType, attribute: str, group: str) -> dict[str, Any]:
    """Gather the objects of a registry by their names, in alphabetical order; ours come before others' of that name.

    Args:
        package: Its modules hold one object each.
        attribute: What each module calls its object; the object has a ``name``.
        group: The entry-point group in which other packages name theirs.

    Example:
        >>> from importlib import import_module
        >>> list(discover(import_module("kmerit.models.families"), "FAMILY", "kmerit.families"))[:3]
        ['bert', 'borzoi', 'caduceus']
    """
    names = [module.name for module in iter_modules(package.__path__)]
    own = [getattr(import_module(f"{package.__name__}.{name}"), attribute) for name in names]
    plugins = [point.load() for point in entry_points(group=group)]
    return {item.name: item for item in sorted([*plugins, *own], key=lambda item: str(item.name))}
