"""Operations for tests of minifilters' functions."""

from __future__ import annotations

from typing import Any

import pytest

from stackemu.emu.kernel.api.fltmgr.operations import new_callback_data, parameter_block

IRP = 1


class Operations:
    """Makes FLT_CALLBACK_DATA as the Filter Manager would, with a parameter block of the test's choice."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel

    def make(self, major: int, flags: int = IRP, file: int = 0, parameters: bytes = b"") -> Any:
        """Return FLT_CALLBACK_DATA of a new operation."""
        data = new_callback_data(self._kernel.context(), 0x85700000, file)
        data["Flags"] = flags
        block = self.block(data)
        block["MajorFunction"] = major
        self._kernel.host.write(block.at("Parameters"), parameters)
        return data

    def block(self, data: Any) -> Any:
        """Return the FLT_IO_PARAMETER_BLOCK of an operation."""
        return parameter_block(self._kernel.context(), data)


@pytest.fixture
def operations(kernel: Any) -> Operations:
    """Return the maker of this kernel's operations."""
    return Operations(kernel)
