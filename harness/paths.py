"""The ways through a function's code: how many blocks lie between a block and the transfer that a run is to reach."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping

from stackemu.emu.code.function_code import Block, FunctionCode


class BlockGraph:
    """The basic blocks of one function, as a graph that is searched backwards."""

    def __init__(self, code: FunctionCode) -> None:
        """Link every block to those that control goes on to it from."""
        self._code = code
        self._block_of_end: dict[int, int] = {}
        self._predecessors: dict[int, list[int]] = {}
        for leader in sorted(code.leaders):
            block = code.block(leader)
            transfer = _transfer(block)
            if transfer is not None:
                self._block_of_end[transfer] = leader
            for successor in block.following:
                self._predecessors.setdefault(successor, []).append(leader)
        self._distances: dict[int, Mapping[int, int]] = {}

    def end_of(self, leader: int) -> int | None:
        """Return the address of the transfer that ends the block of a leader; None where the next just begins."""
        return _transfer(self._code.block(leader))

    def distances_to(self, transfer: int) -> Mapping[int, int]:
        """Return how many blocks there are to go from each leader to the block that ends at `transfer`.

        Leaders from which it cannot be reached are left out.
        """
        known = self._distances.get(transfer)
        if known is None:
            known = self._distances[transfer] = self._search(self._block_of_end.get(transfer))
        return known

    def _search(self, goal: int | None) -> dict[int, int]:
        if goal is None:
            return {}
        distances, pending = {goal: 0}, deque([goal])
        while pending:
            at = pending.popleft()
            for before in self._predecessors.get(at, ()):
                if before not in distances:
                    distances[before] = distances[at] + 1
                    pending.append(before)
        return distances


def frontier(code: FunctionCode, ran: Iterable[int], seen: Container[int]) -> Iterator[tuple[int, int]]:
    """Yield (address of a transfer that ran, leader never seen) for each leader that follows one of `ran`."""
    done: set[int] = set()
    for block in map(code.block, ran):
        transfer = _transfer(block)
        if transfer is None or transfer in done:
            continue
        done.add(transfer)
        yield from ((transfer, target) for target in block.following if target not in seen)


def _transfer(block: Block) -> int | None:
    """Return the address of the transfer that ends a block, None where there is none."""
    return block.instructions[-1].address if block.is_ended_by_transfer else None
