"""Witnesses: a measured figure's run as a file that repeats it anywhere. Schema `stackemu.witness/2`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from stackemu.emu.calls import Arguments
from stackemu.emu.errors import InputError
from stackemu.emu.input_codec import decode, encode
from stackemu.emu.inputs import Input
from stackemu.emu.kernel.roots import Root
from stackemu.emu.observation import Observation
from stackemu.emu.symbols.function import Function
from stackemu.harness.contexts import MAX_STEPS, Context, Step
from stackemu.harness.printable import path_text
from stackemu.harness.runs import FunctionRuns, RunSettings
from stackemu.harness.session import Driver

SCHEMA = "stackemu.witness/2"
MAX_FILE = 1 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9_@$?.-]+")
_LONGEST_NAME = 80


class WitnessDriver(msgspec.Struct, frozen=True, kw_only=True):
    """The image that the witness belongs to."""

    path: str
    sha256: str


class WitnessRoot(msgspec.Struct, frozen=True, kw_only=True):
    """The role that the kernel calls the run's function in."""

    rva: int
    role: str
    kind: str
    context: tuple[int, ...]


class WitnessArguments(msgspec.Struct, frozen=True, kw_only=True):
    """How the run's function is called where it has no role: C types, or whether a word is a pointer."""

    stack: tuple[bool | str | None, ...]
    ecx: bool | str | None
    edx: bool | str | None


class WitnessStep(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the kernel makes before the run."""

    root: WitnessRoot
    input: str
    """Where every unknown byte of the call comes from: the bytes of `emu.input_codec`, in hexadecimal."""
    label: str
    """The same for people: it counts for nothing."""


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """One run, and what it showed of the function at `rva`: bytes below its entry's ESP."""

    schema: str = SCHEMA
    driver: WitnessDriver
    function: str
    rva: int
    caller: int
    """RVA of the function that the run calls: `rva` itself, or one that comes to call it."""
    root: WitnessRoot | None
    arguments: WitnessArguments | None
    alignment: Annotated[int, msgspec.Meta(ge=0, lt=64)]
    """Bytes that ESP is below a multiple of 64 at the run's entry."""
    input: str
    """Where every unknown byte of the run comes from: the bytes of `emu.input_codec`, in hexadecimal."""
    label: str
    """The same for people: it counts for nothing."""
    seed: int
    budget: int
    initialise: bool
    own: int
    depth: int
    outcome: str
    """How the run ended (`Outcome`)."""
    why: str | None
    before: tuple[WitnessStep, ...] = ()
    """What comes before the run, each from the state that the one before left; the figures are the run's alone."""


def witness_of(driver: Driver, function: Function, runs: FunctionRuns, settings: RunSettings) -> Witness | None:
    """Return the witness of a function's deepest run, None where it has none."""
    if runs.context is None or runs.best is None:
        return None
    return witness_for(driver, function.name, function.rva, runs.context, runs.best, settings)


def witness_for(
    driver: Driver, name: str, rva: int, context: Context, observation: Observation, settings: RunSettings
) -> Witness:
    """Return the witness of one run, which showed `observation` of the function at an RVA."""
    way, base = context.way, driver.image.base
    return Witness(
        driver=WitnessDriver(path=path_text(driver.image.path), sha256=driver.image.sha256),
        function=name,
        rva=rva,
        caller=context.caller,
        root=_root(way, base) if isinstance(way, Root) else None,
        arguments=_arguments(way),
        alignment=context.alignment,
        input=encode(context.source).hex(),
        label=context.source.label,
        seed=settings.seed,
        budget=settings.budget,
        initialise=settings.initialise,
        own=observation.own,
        depth=observation.depth,
        outcome=observation.outcome.value,
        why=observation.why,
        before=tuple(_step(step, base) for step in context.before),
    )


def input_size(context: Context) -> int:
    """Return how many bytes the input of a run takes, with those of the calls before it."""
    return sum(len(encode(source)) for source in (context.source, *(step.source for step in context.before)))


def _step(step: Step, base: int) -> WitnessStep:
    return WitnessStep(root=_root(step.root, base), input=encode(step.source).hex(), label=step.source.label)


def _root(root: Root, base: int) -> WitnessRoot:
    return WitnessRoot(rva=root.address - base, role=root.role, kind=root.kind, context=root.context)


def _arguments(way: Arguments | Root) -> WitnessArguments | None:
    if isinstance(way, Root):
        return None
    return WitnessArguments(stack=way.stack, ecx=way.ecx, edx=way.edx)


def context_of(witness: Witness, base: int) -> Context:
    """Return what repeats a witness's run in an image at `base`.

    Raises:
        ValueError: an input is none, or there are too many steps.
    """
    arguments = witness.arguments
    way: Arguments | Root = Arguments()
    if witness.root is not None:
        way = _root_of(witness.root, base)
    elif arguments is not None:
        way = Arguments(arguments.stack, arguments.ecx, arguments.edx)
    if len(witness.before) > MAX_STEPS:
        raise ValueError(f"{len(witness.before)} steps before the run, of at most {MAX_STEPS}")
    before = tuple(Step(_root_of(step.root, base), _input_of(step.input)) for step in witness.before)
    return Context(witness.caller, way, witness.alignment, _input_of(witness.input), before)


def _input_of(text: str) -> Input:
    data = bytes.fromhex(text)
    if data.hex() != text:  # Inputs are told apart by their text, so there is one text for each.
        raise ValueError("an input that is not written in lower-case hexadecimal without spaces")
    return decode(data)


def _root_of(root: WitnessRoot, base: int) -> Root:
    return Root(base + root.rva, root.role, root.kind, root.context)


def load_witness(path: Path) -> Witness:
    """Read a witness.

    Raises:
        InputError: the file cannot be read or is none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}") from error
    try:
        if len(data) > MAX_FILE:
            raise ValueError(f"more than {MAX_FILE} bytes")
        witness = msgspec.json.decode(data, type=Witness)
        if witness.schema != SCHEMA:
            raise ValueError(f"schema {witness.schema}")
        context_of(witness, 0)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InputError(
            str(path), f"not a witness: {error}", "'stackemu run DRIVER --witnesses DIR' writes some"
        ) from error
    return witness


def file_name(witness: Witness) -> str:
    """Return a name for a witness's file, safe on every file system: the function's, and its RVA against clashes."""
    name = _UNSAFE.sub("_", witness.function)[:_LONGEST_NAME]
    return f"{name}-{witness.rva:x}.json"


def to_json(witness: Witness) -> bytes:
    """Return the witness as JSON, indented, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(witness), indent=2) + b"\n"


def witness_files(
    driver: Driver, functions: Iterable[Function], runs: Mapping[int, FunctionRuns], settings: RunSettings
) -> dict[str, bytes]:
    """Return the witnesses of all functions that were measured, by the names of their files."""
    found = (witness_of(driver, one, runs[one.rva], settings) for one in functions if one.rva in runs)
    return {file_name(witness): to_json(witness) for witness in found if witness is not None}
