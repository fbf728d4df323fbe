"""Native hooks that measure the stack: low-water marks and shadow call stacks at block speed; the loop of fuzzing."""

UNKNOWN_BLOCK: int
"""Stopped before a block that `add_block` has not described; `unknown_block` names it."""
BUDGET: int
"""Stopped because the instruction budget is spent."""
FRAMES: int
"""Stopped because the shadow stack is full."""
STACK_LEFT: int
"""Stopped because ESP left the stack that `begin` named."""

EVENT_FINISHED: int
"""No executions are left, or the deadline has passed."""
EVENT_FIND: int
"""An execution has ended that showed something new."""
EVENT_UNKNOWN_BLOCK: int
"""The probe has to be told what a block does; the execution goes on with the next `run`."""
EVENT_STOPPED: int
"""The code stopped anywhere else than at its return."""
EVENT_CODE_CHANGED: int
"""The last execution had changed code, which is back now: translations of it are to be forgotten."""

def bare_loop(emu_start: int, engine: int, begin: int, until: int, count: int, /) -> None:
    """Call uc_emu_start (an address) `count` times and do nothing else: the floor that benchmarks compare with."""

class Probe:
    """One emulator's probe; it must outlive the hook that was installed with `hook` and `user_data`."""

    def __init__(self, reg_read: int, mem_read: int, emu_stop: int, esp_register: int, stepping: bool) -> None:
        """Take the addresses of uc_reg_read, uc_mem_read and uc_emu_stop, and Unicorn's number of ESP.

        `stepping` selects the reference: a hook for every instruction (UC_HOOK_CODE) that decodes nothing,
        in place of the one for every block (UC_HOOK_BLOCK).
        """
    @property
    def hook(self) -> int:
        """The address of the native callback."""
    @property
    def reference_block_hook(self) -> int:
        """The address of the callback for every block that the reference mode needs besides `hook`."""
    @property
    def user_data(self) -> int:
        """What the callback is to be given as its user data."""
    @property
    def esp(self) -> int:
        """ESP at the entry of the pending block, as the probe tracks it."""
    @property
    def low(self) -> int:
        """The low-water mark: the lowest ESP seen in this run."""
    @property
    def own(self) -> int:
        """Bytes below its own entry ESP that the root function's own instructions reached."""
    @property
    def focus_depth(self) -> int:
        """Bytes below its own entry ESP that a frame of the focus reached, callees included; 0 without a focus."""
    @property
    def focus_returned(self) -> bool:
        """Whether the frame of the focus that went deepest has been left."""
    @property
    def instructions(self) -> int:
        """Instructions that ran to their end."""
    @property
    def exact(self) -> bool:
        """False when the run has to be repeated with `stepping`: what a block did inside is not known well enough."""
    @property
    def pending(self) -> tuple[int, int] | None:
        """Address and size of the block under way, whose effect is not counted yet."""
    @property
    def unknown_block(self) -> tuple[int, int]:
        """Address and size of the block that stopped the run with UNKNOWN_BLOCK."""
    def set_functions(self, ranges: bytes) -> None:
        """Take all functions as pairs of 32-bit start and end addresses, ascending; forgets all blocks."""
    def add_block(
        self,
        address: int,
        size: int,
        count: int,
        low: int,
        has_delta: bool,
        delta: int,
        tail_low: int,
        transfer: int,
        align: int,
        align_at: int,
        aligned_low: int,
        exact: bool,
        peak: int = 0,
        tail_peak: int = 0,
        /,
    ) -> None:
        """Describe a block; the fields are those of `blockeffect.BlockEffect`.

        `peak` and `tail_peak`: how many bytes, at most, ESP rises above its value at the block's entry and
        at its exit before it comes down again; 0 where it does not. A run in which that left a frame is
        inexact. Offsets that do not fit into 32 bits make the block inexact.
        """
    def forget(self) -> None:
        """Forget every block, after code was changed."""
    def begin(self, entry: int, esp: int, stack_base: int, stack_size: int, budget: int, focus: int = 0, /) -> None:
        """Start a run of the function at `entry`, with ESP pointing at its return address.

        With a `focus`, the entry of another function, the low-water mark and the chain are those of its frames.
        """
    def resume(self, esp: int, address: int, /) -> None:
        """Go on at `address` after Python stood in for a function and set ESP."""
    def enter(self, function: int, esp: int, return_address: int, is_call: bool = True, /) -> bool:
        """Account for a call that Python makes; False when the shadow stack is full.

        `is_call` False: the function on top did not ask for it, as when it raised an exception.
        """
    def take_calls(self) -> list[tuple[int, int]]:
        """Return (address behind the call, entry called) of calls seen for the first time since the last time."""
    def leave_stack(self, base: int, size: int, /) -> tuple[int, int, int, int]:
        """Stop measuring: code runs on another stack from here on, which lies at lower addresses.

        Returns what `return_to_stack` is to be given.
        """
    def return_to_stack(self, state: tuple[int, int, int, int], /) -> None:
        """Go on measuring the stack that `leave_stack` left."""
    def cut(self, low: int, count: int, exact: bool = True, /) -> None:
        """End the pending block early: `count` of its instructions ran and reached the ESP `low`.

        `exact` False: they may have reached a lower one.
        """
    def arrive(self, engine: int, address: int, /) -> None:
        """Commit the pending block: control left it for `address`, which cannot be run."""
    def take_reason(self) -> int:
        """Return why the probe stopped the emulator (0: it did not) and clear it."""
    def seen(self) -> bytes:
        """Return the addresses of the blocks seen in this run, 32 bits each, in order of first execution."""
    def chain(self) -> list[tuple[int, int]]:
        """Return the frames at the low-water mark, outermost first: function entry and ESP at its entry."""
    def marks(self) -> list[tuple[int, int, int, bool]]:
        """Return what each function that ran reached in any of its frames, as (entry, own, depth, is over).

        `own` and `depth` are bytes below the frame's entry ESP; `is over` tells whether the frame that went deepest
        was left before the run ended.
        """

class Recorder:
    """The general registers before every instruction of a run; it must outlive its hook."""

    def __init__(self, reg_read: int, registers: tuple[int, int, int, int, int, int, int, int]) -> None:
        """Take the address of uc_reg_read, and Unicorn's numbers of EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI."""
    @property
    def hook(self) -> int:
        """The address of the callback for every instruction (UC_HOOK_CODE)."""
    @property
    def user_data(self) -> int:
        """What the callback is to be given as its user data."""
    @property
    def count(self) -> int:
        """How many instructions were recorded."""
    def begin(self, limit: int, /) -> None:
        """Start anew; what comes after `limit` instructions is not recorded."""
    def steps(self) -> bytes:
        """Return the address and the eight registers of each instruction, 32 bits each."""

class Registers:
    """General registers of an engine, 32 bits each, by Unicorn's numbers."""

    def __init__(self, engine: int, reg_read: int, reg_write: int) -> None:
        """Take the addresses of the engine, of uc_reg_read and of uc_reg_write."""
    def read(self, number: int, /) -> int:
        """Return what a register holds."""
    def write(self, number: int, value: int, /) -> None:
        """Change a register."""

class Executor:
    """Runs one function on one input after the other; it must outlive its hook and the memory that it mapped.

    Sizes are in bytes; what `map`, `unmap` return are Unicorn's error codes.
    """

    def __init__(
        self,
        probe: Probe,
        engine: int,
        emu_start: int,
        reg_read: int,
        reg_write: int,
        context_restore: int,
        mem_map_ptr: int,
        mem_unmap: int,
        eip_register: int,
    ) -> None:
        """Take a probe that knows all functions, and the addresses of the engine and of Unicorn's functions."""
    @property
    def write_hook(self) -> int:
        """The address of the callback for memory that is written."""
    @property
    def read_hook(self) -> int:
        """The address of the callback for memory that is read, which only a log needs."""
    @property
    def user_data(self) -> int:
        """What both callbacks are to be given as their user data."""
    @property
    def number(self) -> int:
        """The number of the present execution, or of the next one."""
    @property
    def native(self) -> int:
        """How many executions of the plan never stopped."""
    @property
    def reasons(self) -> int:
        """Why the last execution is a find: bits of `fuzzing.Reason`."""
    @property
    def error(self) -> int:
        """What uc_emu_start returned last."""
    @property
    def exact(self) -> bool:
        """Whether the probe's figures are exact, and no code was changed."""
    def map(self, address: int, size: int, permissions: int, holds_code: bool, /) -> int:
        """Map zeros."""
    def unmap(self, address: int, size: int, /) -> int:
        """Undo a `map` of the same range."""
    def will_write(self, address: int, size: int, is_own: bool = True, /) -> None:
        """Take note of a write that does not come from the code; `is_own` False: the input's own content."""
    def will_read(self, address: int, size: int, /) -> None:
        """Take note of a read that does not come from the code."""
    def read(self, address: int, size: int, /) -> bytes | None:
        """Return what memory holds, None where not all of it is mapped; nothing is logged."""
    def write(self, address: int, data: bytes, /) -> bool:
        """Change memory, whatever its protection; False where not all of it is mapped."""
    def start_log(self, ignores_written: bool, /) -> None:
        """Start to log what is read; with `ignores_written` only what nobody wrote since."""
    def take_log(self) -> list[tuple[int, int]]:
        """End the log; returns (address, size) of reads, a few more than once."""
    def prepare(
        self,
        entry: int,
        esp: int,
        return_stub: int,
        budget: int,
        stack_base: int,
        stack_size: int,
        usable_stack: int,
        context: int,
        /,
    ) -> None:
        """Let executions start from what memory holds now, and from a context of Unicorn's, whose address is given.

        `usable_stack`: what a run may use of the stack and still have returned, in bytes.
        """
    def set_slots(self, slots: bytes, values: bytes, pointers: bytes, tokens: tuple[bytes, ...], /) -> None:
        """Take the slots to mutate, as 32-bit words (destination, address or register, size, kind): slots.h.

        `values`: what they hold in the parent, 64 bytes each; `pointers`: 32-bit addresses to try.
        """
    def plan(self, seed: int, first: int, count: int, is_judged: bool = True, /) -> None:
        """Plan `count` executions, numbered from `first`; nothing is taken note of those that are not judged."""
    def draw(self, seed: int, number: int, /) -> None:
        """Change slots as the execution with this number does, and run nothing."""
    def run(self, deadline: float, /) -> int:
        """Go on until there is something to tell (EVENT_...); `deadline` is a time of `time.monotonic`."""
    def finish(self, outcome: int, /) -> bool:
        """End the execution that stopped; `outcome` tells endings apart. Returns whether it is a find."""
    def skip(self) -> None:
        """End the execution that stopped without looking at what it showed."""
    def abandon(self) -> bool:
        """Give up the plan and put memory back; returns whether code was changed."""
    def changed(self) -> list[tuple[int, bytes]]:
        """Return (index, value) of the slots that the present execution, or the last, changed."""
    def known(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Return edges, paths and outcomes as (key: 64 bits, value: 32, zero: 32), and four words a function."""
    def teach(self, edges: bytes, paths: bytes, outcomes: bytes, deepest: bytes, /) -> None:
        """Take over what another executor knows."""
    def unlearn(self) -> None:
        """Forget all that is known."""
