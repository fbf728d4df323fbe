"""Name providers: what they are asked to generate and normalize, and in which buffers."""

from __future__ import annotations

from typing import Any

import pytest

from stackemu.emu.kernel.roots import Root

ROUTINE = 0xA5DE1100


def _role(kernel: Any, kind: str) -> tuple[int, ...]:
    return tuple(kernel.arguments(Root(ROUTINE, "", kind, ())).stack)


def test_a_name_to_generate_has_a_buffer_that_can_be_grown(kernel: Any) -> None:
    *_, name = _role(kernel, "flt-generate-name")
    assert kernel.context().u16(name) == 0
    room, buffer = kernel.context().u16(name + 2), kernel.context().u32(name + 4)
    kernel.host.write(buffer, b"a\0b\0")
    kernel.context().put_u16(name, 4)
    assert kernel.call("FltCheckAndGrowNameControl", name, room) == 0
    assert kernel.context().u32(name + 4) == buffer
    assert kernel.call("FltCheckAndGrowNameControl", name, 2 * room) == 0
    assert (kernel.context().u16(name + 2), kernel.context().unicode(name)) == (2 * room, "ab")
    assert kernel.call("FltCheckAndGrowNameControl", name, 4 * room, source=kernel.FAILURE) >= 0xC0000000
    assert kernel.context().u16(name + 2) == 2 * room


@pytest.mark.parametrize(("kind", "before"), [("flt-normalize-name", 1), ("flt-normalize-name-ex", 2)])
def test_a_component_to_normalize_comes_with_its_parent_and_the_length_of_the_volume(
    kernel: Any, kind: str, before: int
) -> None:
    parent, volume_length, component, buffer, room, _, context = _role(kernel, kind)[before:]
    path = kernel.context().unicode(parent)
    assert path[: volume_length // 2] == "\\Device\\HarddiskVolume1"
    assert path[volume_length // 2] == "\\"
    assert "\\" not in kernel.context().unicode(component)
    assert kernel.host.read(buffer, room) == bytes(room)
    assert kernel.context().u32(context) == 0


def test_a_normalization_context_is_cleaned_up_where_it_lies(kernel: Any) -> None:
    (place,) = _role(kernel, "flt-normalize-cleanup")
    assert kernel.context().u32(place)
