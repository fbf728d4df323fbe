"""Generic tables: the driver's routines are called, elements are kept in order in the driver's memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

COMPARE, ALLOCATE, FREE, MATCH = 0xA5DE1100, 0xA5DE1200, 0xA5DE1300, 0xA5DE1400
LESS, GREATER, EQUAL = range(3)
EMPTY, FOUND, AS_LEFT, AS_RIGHT = range(4)
HEADERS = {"": 24, "Avl": 16}

each_kind = pytest.mark.parametrize("kind", ["", "Avl"])


class Driver:
    """A driver with a table of 32-bit numbers."""

    def __init__(self, kernel: Any, kind: str) -> None:
        self.kernel, self.kind = kernel, kind
        self.table = kernel.text(b"\xcc" * 64)
        self.sizes: list[int] = []
        self.allocated: list[int] = []
        self.freed: list[int] = []
        kernel.host.code.update({COMPARE: self.compare, ALLOCATE: self.allocate, FREE: self.free})
        kernel.call(f"RtlInitializeGenericTable{kind}", self.table, COMPARE, ALLOCATE, FREE, 0x1234)

    def number(self, address: int) -> int:
        return int.from_bytes(self.kernel.host.read(address, 4), "little")

    def compare(self, table: int, first: int, second: int) -> int:
        assert table == self.table
        a, b = self.number(first), self.number(second)
        return LESS if a < b else GREATER if a > b else EQUAL

    def allocate(self, table: int, size: int) -> int:
        self.sizes.append(size)
        self.allocated.append(self.kernel.text(b"\xcc" * size))
        return self.allocated[-1]

    def free(self, table: int, node: int) -> int:
        self.freed.append(node)
        return 0

    def call(self, name: str, *arguments: int) -> int:
        return int(self.kernel.call(f"{name}{self.kind}", self.table, *arguments))

    def key(self, number: int) -> int:
        return int(self.kernel.text(struct.pack("<I", number)))

    def insert(self, number: int) -> tuple[int, int]:
        is_new = self.kernel.text(b"\xcc")
        address = self.call("RtlInsertElementGenericTable", self.key(number), 4, is_new)
        return address, self.kernel.host.read(is_new, 1)[0]

    def enumerate(self, following: Callable[[bool], int]) -> list[int]:
        found = []
        address = following(True)
        while address:
            found.append(self.number(address))
            address = following(False)
        return found

    def sorted(self) -> list[int]:
        return self.enumerate(lambda restarts: self.call("RtlEnumerateGenericTable", restarts))


@each_kind
def test_an_element_lies_behind_the_header_of_the_drivers_memory(kernel: Any, kind: str) -> None:
    driver = Driver(kernel, kind)
    address, is_new = driver.insert(7)
    assert (address, is_new) == (driver.allocated[0] + HEADERS[kind], 1)
    assert driver.sizes == [HEADERS[kind] + 4]
    assert driver.insert(7) == (address, 0)
    assert driver.call("RtlNumberGenericTableElements") == 1
    assert driver.call("RtlLookupElementGenericTable", driver.key(7)) == address
    assert driver.call("RtlLookupElementGenericTable", driver.key(8)) == 0


@each_kind
def test_without_memory_nothing_is_inserted(kernel: Any, kind: str) -> None:
    driver = Driver(kernel, kind)
    kernel.host.code[ALLOCATE] = lambda table, size: 0
    assert driver.insert(7) == (0, 0)
    assert driver.call("RtlIsGenericTableEmpty") == 1


@each_kind
def test_enumeration_is_in_order_by_both_ways(kernel: Any, kind: str) -> None:
    driver, key = Driver(kernel, kind), kernel.text(bytes(4))
    for number in (5, 1, 9, 3, 7):
        driver.insert(number)
    assert driver.sorted() == [1, 3, 5, 7, 9]
    name = "RtlEnumerateGenericTableWithoutSplaying"
    assert driver.enumerate(lambda restarts: driver.call(name, key)) == [1, 3, 5, 7, 9]


@each_kind
def test_deleting_gives_the_memory_back_and_emptying_by_enumeration_works(kernel: Any, kind: str) -> None:
    driver = Driver(kernel, kind)
    for number in (5, 1, 9):
        driver.insert(number)
    assert driver.call("RtlDeleteElementGenericTable", driver.key(4)) == 0
    assert driver.call("RtlDeleteElementGenericTable", driver.key(5)) == 1
    assert driver.freed == [driver.allocated[0]]
    assert driver.sorted() == [1, 9]
    while element := driver.call("RtlEnumerateGenericTable", 1):
        assert driver.call("RtlDeleteElementGenericTable", element) == 1
    assert sorted(driver.freed) == sorted(driver.allocated)
    assert driver.call("RtlIsGenericTableEmpty") == 1


@each_kind
def test_links_in_memory_are_a_tree_in_order(kernel: Any, kind: str) -> None:
    driver = Driver(kernel, kind)
    for number in (5, 1, 9, 3):
        driver.insert(number)
    driver.call("RtlDeleteElementGenericTable", driver.key(9))

    def numbers(node: int) -> list[int]:
        if not node:
            return []
        _, left, right = struct.unpack("<3I", kernel.host.read(node, 12))
        return [*numbers(left), driver.number(node + HEADERS[kind]), *numbers(right)]

    assert numbers(driver.number(driver.table + (0 if kind == "" else 8))) == [1, 3, 5]


@each_kind
def test_a_full_lookup_says_where_a_full_insertion_goes(kernel: Any, kind: str) -> None:
    driver, node, result = Driver(kernel, kind), kernel.text(bytes(4)), kernel.text(bytes(4))
    for number, seen in ((5, EMPTY), (1, AS_LEFT), (9, AS_RIGHT), (5, FOUND)):
        key = driver.key(number)
        driver.call("RtlLookupElementGenericTableFull", key, node, result)
        assert driver.number(result) == seen
        driver.call("RtlInsertElementGenericTableFull", key, 4, 0, driver.number(node), seen)
    assert driver.sorted() == [1, 5, 9]


def test_elements_by_number_are_in_order_of_insertion_in_splay_tables_only(kernel: Any) -> None:
    for kind, expected in (("", [5, 1, 9]), ("Avl", [1, 5, 9])):
        driver = Driver(kernel, kind)
        for number in (5, 1, 9):
            driver.insert(number)
        elements = [driver.call("RtlGetElementGenericTable", index) for index in range(4)]
        assert [driver.number(address) for address in elements[:3]] == expected
        assert elements[3] == 0


def test_a_directory_like_enumeration_asks_the_match_routine(kernel: Any) -> None:
    driver = Driver(kernel, "Avl")
    for number in range(1, 7):
        driver.insert(number)
    kernel.host.code[MATCH] = lambda table, data, context: 0 if driver.number(data) % context == 0 else 0xC0000272
    key, deletions, buffer = kernel.text(bytes(4)), kernel.text(bytes(4)), driver.key(0)
    name = "RtlEnumerateGenericTableLikeADirectory"
    found = driver.enumerate(
        lambda restarts: kernel.call(name, driver.table, MATCH, 2, not restarts, key, deletions, buffer)
    )
    assert found == [2, 4, 6]
