"""Objects that exist before the driver does anything."""

from __future__ import annotations

import struct
from typing import Any

from stackemu.emu.kernel.objects import file_object

OWNER = 0xA5DE0123


def test_filters_hang_their_contexts_on_the_stream_of_any_open_file(kernel: Any) -> None:
    # FsRtlSupportsPerStreamContexts and FsRtlGetPerStreamContextPointer of ntifs.h look at FsContext.
    header = file_object(kernel.context())["FsContext"]
    flags, _possible, flags2 = kernel.host.read(header + 4, 3)
    assert (flags & 0x40, flags2 & 0x02) == (0x40, 0x02)
    assert kernel.call("FsRtlLookupPerStreamContextInternal", header, OWNER, 0) == 0
    context = kernel.text(struct.pack("<5I", 0, 0, OWNER, 0, 0xA5DE1100))
    assert kernel.call("FsRtlInsertPerStreamContext", header, context) == 0
    assert kernel.call("FsRtlLookupPerStreamContextInternal", header, OWNER, 0) == context
