"""An emulated kernel without a processor: memory in a dictionary, driver code as Python functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest
from made_images import code_section, made_image

from stackemu.emu.image import Image
from stackemu.emu.inputs import Input, Style
from stackemu.emu.kernel.call import ApiCall, BadAddress, Context
from stackemu.emu.kernel.exports import find_api
from stackemu.emu.kernel.families import ROLES, perform
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.kernel.state import KernelState

PAGE = 0x1000
SUCCESS = Input(0, Style.ZEROS, True)
FAILURE = Input(0, Style.ZEROS, False)

DriverCode = Callable[..., int]


@dataclass
class PlainHost:
    """Memory that comes into being as zeros, except the first 64 KiB; driver code by its address."""

    code: dict[int, DriverCode] = field(default_factory=dict)
    pages: dict[int, bytearray] = field(default_factory=dict)
    invoked: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    def _page(self, address: int) -> bytearray:
        if not 0x10000 <= address < 0x1_0000_0000:
            raise BadAddress(address & 0xFFFFFFFF)
        return self.pages.setdefault(address & -PAGE, bytearray(PAGE))

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._page(at)[at % PAGE] for at in range(address, address + size))

    def write(self, address: int, data: bytes) -> None:
        for index, byte in enumerate(data):
            self._page(address + index)[(address + index) % PAGE] = byte

    def invoke(
        self, address: int, arguments: Sequence[int], *, ecx: int | None, edx: int | None, ebp: int | None
    ) -> int:
        self.invoked.append((address, tuple(arguments)))
        code = self.code.get(address)
        return code(*arguments) if code is not None else 0

    def invoke_apart(self, address: int, arguments: Sequence[int]) -> int:
        return self.invoke(address, arguments, ecx=None, edx=None, ebp=None)

    def leave(self, address: int, *, esp: int, ebp: int | None, eax: int | None) -> NoReturn:
        raise AssertionError(f"left for {address:#x}")

    def registers(self) -> dict[str, int]:
        return dict.fromkeys(("EAX", "EBX", "ECX", "EDX", "ESI", "EDI", "EBP", "ESP", "EIP", "EFLAGS"), 0)


class PlainKernel:
    """Calls kernel functions by name, as a driver with `image` would."""

    SUCCESS = SUCCESS
    FAILURE = FAILURE

    def __init__(self, image: Image) -> None:
        self.host = PlainHost()
        self.state = KernelState(image)
        self.calls = 0

    def context(self, source: Input = SUCCESS) -> Context:
        self.calls += 1
        return Context(self.host, self.state, source, self.calls - 1)

    def call(self, name: str, *arguments: int, source: Input = SUCCESS, library: str = "ntoskrnl.exe") -> int:
        """Return EAX of a call; `arguments` are in the order of the prototype."""
        return self.call64(name, *arguments, source=source, library=library) & 0xFFFFFFFF

    def call64(self, name: str, *arguments: int, source: Input = SUCCESS, library: str = "ntoskrnl.exe") -> int:
        """Return EDX:EAX of a call."""
        api = find_api(library, name)
        in_registers = api.register_arguments if api is not None else 0
        padded = (*(argument & 0xFFFFFFFF for argument in arguments), *([0] * 16))
        call = ApiCall(
            host=self.host,
            kernel=self.state,
            source=source,
            ordinal=self.calls,
            name=name,
            api=api,
            arguments=padded,
            stack_words=padded[in_registers:],
            call_registers=(0, *padded[:2]),
            return_address=0,
        )
        self.calls += 1
        perform(call)
        return call.eax & 0xFFFFFFFF | (call.edx or 0) << 32

    def arguments(self, root: Root, source: Input = SUCCESS) -> Words:
        """Return the arguments that the kernel calls a root with."""
        return ROLES[root.kind](self.context(source), root)

    @property
    def roots(self) -> list[Root]:
        return list(self.state.records.roots)

    def unicode(self, text: str) -> int:
        """Return the address of a new UNICODE_STRING."""
        context = self.context()
        address = context.allocate(8)
        context.put_counted(address, text.encode("utf-16-le"))
        return address

    def text(self, data: bytes) -> int:
        """Return the address of new memory that holds `data`."""
        address = self.context().allocate(len(data))
        self.host.write(address, data)
        return address


@pytest.fixture
def kernel() -> PlainKernel:
    """Return the kernel of a driver whose only code lies at 0xA5DE1000 to 0xA5DE1FFF."""
    text = code_section(bytes(0x1000), 0x1000)
    return PlainKernel(made_image((text,), path=Path("sample.sys"), entry=0x1000))
