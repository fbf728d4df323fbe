"""Generic tables (RTL_GENERIC_TABLE, RTL_AVL_TABLE): sorted elements in memory that the driver's routine returned.

The driver's compare, allocate and free routines are called as the pages of RtlInitializeGenericTable(Avl) and its
like promise. Order is kept here; in memory the nodes form a tree whose every left child is null, which is a tree
in order all the same. Node headers: TABLE_ENTRY_HEADER, whose user data begins at offset 24 behind splay links and
insertion links, and at offset 16 behind balanced links.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.call import MAX_COPY, ApiCall
from stackemu.emu.kernel.layouts import View

LESS_THAN, GREATER_THAN = 0, 1
"""RTL_GENERIC_COMPARE_RESULTS; any other answer counts as equal."""
EMPTY_TREE, FOUND_NODE, INSERT_AS_LEFT, INSERT_AS_RIGHT = range(4)
"""TABLE_SEARCH_RESULT."""
STATUS_NO_MORE_MATCHES, STATUS_NO_MATCH = 0xC0000273, 0xC0000272
MAX_MATCHES = 4096
"""Elements that one search asks a match routine about, at most."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs between the two kinds of table."""

    layout: str
    header: int
    """Bytes of a node before the user's data."""
    link_order: tuple[int, int, int]
    """Offsets of a node's parent, left and right link."""


_SPLAY = _Kind("RTL_GENERIC_TABLE", 24, (0, 4, 8))
_AVL = _Kind("RTL_AVL_TABLE", 16, (0, 4, 8))
_INSERT_ORDER = 12
"""Offset of the LIST_ENTRY in a node of a splay table."""


@dataclass(slots=True)
class Tables:
    """The nodes of each table in order, by the table's address."""

    nodes: dict[int, list[int]] = field(default_factory=dict)
    cursors: dict[int, int] = field(default_factory=dict)
    """The node that a splay table's enumeration returned last."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table and the call that works on it."""

    call: ApiCall
    kind: _Kind
    view: View

    @classmethod
    def of(cls, call: ApiCall, kind: _Kind) -> _Table:
        """Return the table that is the call's first argument."""
        return cls(call, kind, call.view(kind.layout, call.arguments[0]))

    @property
    def address(self) -> int:
        return self.view.address

    @property
    def nodes(self) -> list[int]:
        return self.call.state(Tables).nodes.setdefault(self.address, [])

    def compare(self, buffer: int, node: int) -> int:
        """Return what the driver's routine says of two elements, the caller's first."""
        routine = self.view["CompareRoutine"]
        return self.call.invoke(routine, self.address, buffer, node + self.kind.header)

    def search(self, buffer: int) -> tuple[int, int]:
        """Return where the element belongs in order, and the TABLE_SEARCH_RESULT."""
        nodes = self.nodes
        low, high, result = 0, len(nodes), EMPTY_TREE
        while low < high:
            middle = (low + high) // 2
            answer = self.compare(buffer, nodes[middle])
            if answer == LESS_THAN:
                high, result = middle, INSERT_AS_LEFT
            elif answer == GREATER_THAN:
                low, result = middle + 1, INSERT_AS_RIGHT
            else:
                return middle, FOUND_NODE
        return low, result

    def find(self, buffer: int) -> int | None:
        """Return the index of an element, None when it is not in the table."""
        position, result = self.search(buffer)
        return position if result == FOUND_NODE else None

    def index(self, node: int) -> int | None:
        """Return the index of a node, None for an address that is none of the table's."""
        nodes = self.nodes
        return nodes.index(node) if node in nodes else None

    def data(self, index: int | None) -> int:
        """Return the address of an element's data, 0 where there is none."""
        nodes = self.nodes
        return nodes[index] + self.kind.header if index is not None and 0 <= index < len(nodes) else 0

    def insert(self, position: int, buffer: int, size: int) -> int:
        """Add an element in memory of the driver's; returns its data's address, 0 when it got no memory."""
        size = min(size, MAX_COPY)
        node = self.call.invoke(self.view["AllocateRoutine"], self.address, size + self.kind.header)
        if not node:
            return 0
        self.call.write(node, bytes(self.kind.header))
        if size:
            self.call.write(node + self.kind.header, self.call.read(buffer, size))
        self.nodes.insert(position, node)
        self._link(position)
        self._link(position + 1)
        if self.kind is _SPLAY:
            _insert_tail(self.call, self.view.at("InsertOrderList"), node + _INSERT_ORDER)
        self._count()
        return node + self.kind.header

    def remove(self, index: int) -> None:
        """Take an element out and give its memory to the driver's routine."""
        node = self.nodes.pop(index)
        before = self.nodes[index - 1] if index else 0
        self._link(index)
        if index == len(self.nodes) and before:
            self.call.put_u32(before + self.kind.link_order[2], 0)
        if self.kind is _SPLAY:
            _remove_entry(self.call, node + _INSERT_ORDER)
            cursors = self.call.state(Tables).cursors
            if cursors.get(self.address) == node:
                cursors[self.address] = before
        else:
            if self.view["RestartKey"] == node:
                self.view["RestartKey"] = before
            self.view["DeleteCount"] += 1
        self._count()
        self.call.invoke(self.view["FreeRoutine"], self.address, node)

    def _link(self, index: int) -> None:
        """Make the node at `index` its predecessor's right child, or the root."""
        nodes = self.nodes
        node = nodes[index] if index < len(nodes) else 0
        parent_at, _, right_at = self.kind.link_order
        if not index:
            parent = node if self.kind is _SPLAY else self.view.at("BalancedRoot")
            self.view["TableRoot" if self.kind is _SPLAY else "BalancedRoot.RightChild"] = node
        else:
            parent = nodes[index - 1]
            self.call.put_u32(parent + right_at, node)
        if node:
            self.call.put_u32(node + parent_at, parent)

    def _count(self) -> None:
        self.view["NumberGenericTableElements"] = len(self.nodes)
        self.view["WhichOrderedElement"] = 0
        self.view["OrderedPointer"] = self.view.at("InsertOrderList") if self.kind is _SPLAY else 0
        if self.kind is _AVL:
            self.view["DepthOfTree"] = len(self.nodes).bit_length()


def _insert_tail(call: ApiCall, head: int, entry: int) -> None:
    last = call.u32(head + 4)
    call.put_u32(entry, head)
    call.put_u32(entry + 4, last)
    call.put_u32(last, entry)
    call.put_u32(head + 4, entry)


def _remove_entry(call: ApiCall, entry: int) -> None:
    following, before = call.u32(entry), call.u32(entry + 4)
    call.put_u32(before, following)
    call.put_u32(following + 4, before)


def _initialize(call: ApiCall, kind: _Kind) -> None:
    address, compare, allocate, free, context = call.arguments[:5]
    view = call.view(kind.layout, address)
    view.clear()
    if kind is _SPLAY:
        head = view.at("InsertOrderList")
        view["InsertOrderList.Flink"] = view["InsertOrderList.Blink"] = view["OrderedPointer"] = head
    else:
        view["BalancedRoot.Parent"] = view.at("BalancedRoot")
    view["CompareRoutine"], view["AllocateRoutine"], view["FreeRoutine"] = compare, allocate, free
    view["TableContext"] = context
    tables = call.state(Tables)
    tables.nodes[address] = []
    tables.cursors.pop(address, None)


def _put_result(call: ApiCall, out: int, *, is_new: bool) -> None:
    if out:
        call.put_u8(out, is_new)


def _insert_at(table: _Table, position: int, result: int) -> None:
    _, buffer, size, is_new = table.call.arguments[:4]
    if result == FOUND_NODE:
        table.call.eax = table.data(position)
        _put_result(table.call, is_new, is_new=False)
        return
    table.call.eax = table.insert(position, buffer, size)
    _put_result(table.call, is_new, is_new=table.call.eax != 0)


def _insert(call: ApiCall, kind: _Kind) -> None:
    table = _Table.of(call, kind)
    _insert_at(table, *table.search(call.arguments[1]))


def _insert_full(call: ApiCall, kind: _Kind) -> None:
    """The position is what RtlLookupElementGenericTableFull(Avl) told."""
    table = _Table.of(call, kind)
    node, result = call.arguments[4:6]
    position = table.index(node) or 0
    _insert_at(table, position + (result == INSERT_AS_RIGHT), result)


def _lookup(call: ApiCall, kind: _Kind) -> None:
    table = _Table.of(call, kind)
    call.eax = table.data(table.find(call.arguments[1]))


def _lookup_full(call: ApiCall, kind: _Kind) -> None:
    table = _Table.of(call, kind)
    _, buffer, node_out, result_out = call.arguments[:4]
    position, result = table.search(buffer)
    call.put_u32(result_out, result)
    if result != EMPTY_TREE:
        call.put_u32(node_out, table.nodes[position - (result == INSERT_AS_RIGHT)])
    if result == FOUND_NODE:
        call.eax = table.data(position)


def _delete(call: ApiCall, kind: _Kind) -> None:
    table = _Table.of(call, kind)
    index = table.find(call.arguments[1])
    if index is not None:
        table.remove(index)
        call.eax = 1


def _delete_node(call: ApiCall, kind: _Kind) -> None:
    table = _Table.of(call, kind)
    index = table.index(call.arguments[1])
    if index is not None:
        table.remove(index)


def _element(call: ApiCall, kind: _Kind) -> None:
    """The element with a number: in the order of insertion in splay tables, in sorted order in balanced ones."""
    table, number = _Table.of(call, kind), call.arguments[1]
    if number >= len(table.nodes):
        return
    if kind is _AVL:
        call.eax = table.data(number)
        return
    entry = table.view.at("InsertOrderList")
    for _ in range(number + 1):
        entry = call.u32(entry)
    call.eax = entry - _INSERT_ORDER + kind.header


def _count(call: ApiCall, kind: _Kind) -> None:
    call.eax = call.view(kind.layout, call.arguments[0])["NumberGenericTableElements"]


def _is_empty(call: ApiCall, kind: _Kind) -> None:
    field_name = "TableRoot" if kind is _SPLAY else "NumberGenericTableElements"
    call.eax = int(call.view(kind.layout, call.arguments[0])[field_name] == 0)


# -- enumeration --


def _following(table: _Table, node: int) -> int | None:
    """Return the index behind a node, that of the first element for no node, None at the end."""
    index = table.index(node) if node else -1
    following = index + 1 if index is not None else 0
    return following if following < len(table.nodes) else None


def _enumerate(call: ApiCall, kind: _Kind) -> None:
    """The kernel remembers how far the enumeration came: in RestartKey, or in which node is the tree's root."""
    table = _Table.of(call, kind)
    cursors = call.state(Tables).cursors
    key = table.view["RestartKey"] if kind is _AVL else cursors.get(table.address, 0)
    index = _following(table, 0 if call.arguments[1] & 0xFF else key)
    call.eax = table.data(index)
    if index is None:
        return
    if kind is _AVL:
        table.view["RestartKey"] = table.nodes[index]
    else:
        cursors[table.address] = table.nodes[index]


def _enumerate_by_key(call: ApiCall, kind: _Kind) -> None:
    table, key = _Table.of(call, kind), call.arguments[1]
    index = _following(table, call.u32(key))
    call.eax = table.data(index)
    if index is not None:
        call.put_u32(key, table.nodes[index])


def _first_match(call: ApiCall, kind: _Kind) -> None:
    """Of elements that compare equal the first in order; its node is the key to go on from."""
    table, (_, buffer, key) = _Table.of(call, kind), call.arguments[:3]
    index = table.find(buffer)
    if index is None:
        return
    while index and table.compare(buffer, table.nodes[index - 1]) not in (LESS_THAN, GREATER_THAN):
        index -= 1
    call.put_u32(key, table.nodes[index])
    call.eax = table.data(index)


def _enumerate_like_a_directory(call: ApiCall, kind: _Kind) -> None:
    table = _Table.of(call, kind)
    _, match, match_data, goes_on, key, delete_count, buffer = call.arguments[:7]
    index = table.index(call.u32(key))
    if index is None or call.u32(delete_count) != table.view["DeleteCount"]:
        position, result = table.search(buffer)
        index = position + (goes_on != 0 and result == FOUND_NODE)
    elif goes_on:
        index += 1
    call.put_u32(delete_count, table.view["DeleteCount"])
    for at in range(index, min(len(table.nodes), index + MAX_MATCHES)):
        call.put_u32(key, table.nodes[at])
        status = call.invoke(match, table.address, table.data(at), match_data) if match else 0
        if status == STATUS_NO_MORE_MATCHES:
            return
        if status != STATUS_NO_MATCH:
            call.eax = table.data(at)
            return


def _of(kind: _Kind, behaviour: Callable[[ApiCall, _Kind], None]) -> Callable[[ApiCall], None]:
    return lambda call: behaviour(call, kind)


_FUNCTIONS: Mapping[str, Callable[[ApiCall, _Kind], None]] = {
    "RtlInitializeGenericTable": _initialize,
    "RtlInsertElementGenericTable": _insert,
    "RtlInsertElementGenericTableFull": _insert_full,
    "RtlLookupElementGenericTable": _lookup,
    "RtlLookupElementGenericTableFull": _lookup_full,
    "RtlDeleteElementGenericTable": _delete,
    "RtlGetElementGenericTable": _element,
    "RtlNumberGenericTableElements": _count,
    "RtlIsGenericTableEmpty": _is_empty,
    "RtlEnumerateGenericTable": _enumerate,
    "RtlEnumerateGenericTableWithoutSplaying": _enumerate_by_key,
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **{name: _of(_SPLAY, behaviour) for name, behaviour in _FUNCTIONS.items()},
    **{f"{name}Avl": _of(_AVL, behaviour) for name, behaviour in _FUNCTIONS.items()},
    "RtlDeleteElementGenericTableAvlEx": _of(_AVL, _delete_node),
    "RtlLookupFirstMatchingElementGenericTableAvl": _of(_AVL, _first_match),
    "RtlEnumerateGenericTableLikeADirectory": _of(_AVL, _enumerate_like_a_directory),
}
