"""The pickles of checkpoints, read as plain values: nothing is imported, called or built that they name.

A pickle is a program. Of its instructions only those are followed that put numbers, texts, lists and dictionaries
together; what it would import stays a name, what it would call stays a ``Call``. Every instruction adds one small
value at most, so memory and time are bounded by the number of instructions, which is bounded itself.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Instructions of all pickles of a file: a state dict takes about 30 a tensor.
MOST_INSTRUCTIONS = 500_000


class PickleError(ValueError):
    """A pickle that holds something else than plain values and tensors, or too much of it."""


@dataclass(frozen=True, eq=False)
class Name:
    """What a pickle would import.

    Attributes:
        name: module and member, e.g. ``torch.FloatStorage``.
    """

    name: str


@dataclass(frozen=True, eq=False)
class Call:
    """What a pickle would call.

    Attributes:
        name: as of ``Name``.
        arguments: plain values, names, calls and stored data.
    """

    name: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Stored:
    """What a pickle refers to and the file holds outside of it.

    Attributes:
        reference: as the file's writer named it.
    """

    reference: Any


class Pickles:
    """Reads the pickles that follow each other in some bytes.

    Args:
        data: the bytes; what follows the last pickle is not looked at.
    """

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)
        self._left = MOST_INSTRUCTIONS

    @property
    def position(self) -> int:
        """Number of bytes read so far."""
        return self._stream.tell()

    def next(self) -> Any:
        """Return the next pickle's value.

        Raises:
            PickleError: damaged, longer than a checkpoint's, or with instructions that plain values do not need.
        """
        machine = _Machine()
        try:
            for instruction, argument, _ in pickletools.genops(self._stream):
                self._left -= 1
                if self._left < 0:
                    raise PickleError(f"more than {MOST_INSTRUCTIONS:,} instructions")
                machine.follow(instruction.name, argument)
        except PickleError:
            raise
        except (ValueError, LookupError, TypeError, OverflowError) as error:
            raise PickleError(f"damaged: {str(error)[:80]}") from error
        return machine.pop()


class _Machine:
    """Stack and memory of one pickle."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memory: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            self._put_tuple(self._take(len(self._stack) - _TUPLES[name]))
        elif (act := _ACTIONS.get(name)) is not None:
            act(self, argument)
        elif name not in _IGNORED:
            raise PickleError(f"the instruction {name}, which no plain checkpoint needs")

    def pop(self) -> Any:
        return self._take(len(self._stack) - 1)[0]

    def _take(self, start: int) -> list[Any]:
        if start < (self._marks[-1] if self._marks else 0):
            raise PickleError("damaged: an empty stack")
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def _put_tuple(self, items: list[Any]) -> None:
        self._stack.append(tuple(items))

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _marked(self) -> list[Any]:
        if not self._marks:
            raise PickleError("damaged: no mark")
        return self._take(self._marks.pop())

    def _remember(self, index: Any) -> None:
        value = self.pop()
        self._memory[len(self._memory) if index is None else index] = value
        self._stack.append(value)

    def _recall(self, index: Any) -> None:
        self._stack.append(self._memory[index])

    def _name(self, argument: Any) -> None:
        self._stack.append(Name(argument.replace(" ", ".")))

    def _name_of_stack(self, _: Any) -> None:
        module, member = self._take(len(self._stack) - 2)
        if not isinstance(module, str) or not isinstance(member, str):
            raise PickleError("damaged: an import without a name")
        self._stack.append(Name(f"{module}.{member}"))

    def _store(self, _: Any) -> None:
        self._stack.append(Stored(self.pop()))

    def _call(self, _: Any) -> None:
        called, arguments = self._take(len(self._stack) - 2)
        if not isinstance(called, Name) or not isinstance(arguments, tuple):
            raise PickleError("damaged: a call of nothing")
        # An ordered dictionary is filled afterwards, as a plain one is.
        made: Any = {} if called.name == ORDERED and not arguments else Call(called.name, arguments)
        self._stack.append(made)

    def _set_state(self, _: Any) -> None:
        # Of a state dict it is the versions of its layers, which nobody asks for.
        self.pop()

    def _set_item(self, _: Any) -> None:
        self._update(self._take(len(self._stack) - 2))

    def _set_items(self, _: Any) -> None:
        self._update(self._marked())

    def _update(self, items: list[Any]) -> None:
        into = self._stack[-1]
        if not isinstance(into, dict) or len(items) % 2:
            raise PickleError("damaged: items of no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Of other keys, nested ones say, the checksum alone could take for ever.
            if not isinstance(key, str | int):
                raise PickleError("a dictionary whose keys are neither texts nor whole numbers")
            into[key] = value

    def _append(self, _: Any) -> None:
        self._extend([self.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._marked())

    def _extend(self, items: list[Any]) -> None:
        into = self._stack[-1]
        if not isinstance(into, list):
            raise PickleError("damaged: items of no list")
        into.extend(items)

    def _marked_tuple(self, _: Any) -> None:
        self._put_tuple(self._marked())


ORDERED = "collections.OrderedDict"
_VALUES = {
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("SHORT_BINSTRING", "BINSTRING", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = {"PROTO", "FRAME", "STOP"}
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine._mark,
    "TUPLE": _Machine._marked_tuple,
    "BINPUT": _Machine._remember,
    "LONG_BINPUT": _Machine._remember,
    "MEMOIZE": _Machine._remember,
    "BINGET": _Machine._recall,
    "LONG_BINGET": _Machine._recall,
    "GLOBAL": _Machine._name,
    "STACK_GLOBAL": _Machine._name_of_stack,
    "BINPERSID": _Machine._store,
    "REDUCE": _Machine._call,
    "BUILD": _Machine._set_state,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
}
