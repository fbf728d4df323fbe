/* The native probe: what Unicorn calls at every block (or, in the reference mode, at every instruction).
 *
 * It keeps the low-water mark of ESP, a shadow call stack, the frames that stood on it at the low-water
 * mark, an instruction count with a budget, and the set of blocks seen. It never calls into Python: when it
 * meets a block that it does not know it stops the emulator, Python describes the block, and the emulator
 * runs on; the same block then fires again.
 *
 * A block's effect is committed when the next block begins, since only then is it certain that it ran to
 * its end; a block that a fault cut short is committed by Python, instruction by instruction.
 *
 * Speed comes from doing little at most blocks: each remembers the block that followed it, so that the next
 * look-up is one comparison; a block that leaves ESP alone is only counted; and ESP is read from the emulator
 * only behind instructions whose result decoding cannot know. Where a block did something that its summary
 * does not tell apart, the run is marked inexact, and Python repeats it in the reference mode.
 *
 * Unicorn's two functions come in as addresses, so that nothing here is linked against its library; their
 * signatures and those of the hooks are Unicorn 2.1's (unicorn.h: uc_reg_read, uc_emu_stop,
 * uc_cb_hookcode_t). */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "recorder.h"
#include "shadow_stack.h"

typedef int (*reg_read_fn)(void *uc, int regid, void *value);
typedef int (*emu_stop_fn)(void *uc);
typedef int (*mem_read_fn)(void *uc, uint64_t address, void *bytes, uint64_t size);

enum { TRANSFER_PLAIN, TRANSFER_CALL, TRANSFER_RETURN };

enum reason {
    REASON_NONE,
    REASON_UNKNOWN_BLOCK,
    REASON_BUDGET,
    REASON_FRAMES,
    REASON_STACK_LEFT,
};

#define MAX_BLOCKS (1u << 19) /* 60 MiB */

#define MAX_CALLS 4096u

struct call {
    uint32_t return_address, function;
};

struct block {
    uint32_t address, size;
    uint32_t count;          /* instructions */
    uint32_t epoch;          /* the run that saw it last */
    uint32_t next_address;   /* the block that followed it last time, */
    uint32_t next_size;
    struct block *next;      /* so that most look-ups are one comparison */
    uint32_t function;       /* the function whose code it is */
    bool active;             /* touches ESP or transfers control across functions */
    bool opaque;             /* ESP at exit has to be read */
    bool exact;
    bool rises;              /* peak or tail_peak is not 0 */
    bool entry;              /* a function's first block */
    uint8_t transfer;
    int32_t low, delta, tail_low;
    int32_t peak, tail_peak; /* how far ESP rises in between: above its values at entry, and at exit */
    uint32_t align;
    int32_t align_at, aligned_low;
};

typedef struct {
    PyObject_HEAD
    reg_read_fn reg_read;
    emu_stop_fn emu_stop;
    mem_read_fn mem_read;
    int esp_register;

    struct shadow_stack stack;

    struct block **table;    /* open addressing; capacity a power of two */
    uint32_t table_mask, block_count;
    struct block idle;       /* stands in for "no block is under way" */
    struct block *pending;

    uint32_t epoch;
    uint32_t *seen;
    uint32_t seen_count, seen_capacity;
    struct call calls[MAX_CALLS]; /* some more than once: a pair is noted whenever the callee changes */
    uint32_t call_count;
    bool out_of_memory;

    uint64_t instructions, budget;
    enum reason reason;
    uint32_t unknown_address, unknown_size;
    bool inexact;

    /* the reference mode */
    bool stepping;
    uint32_t step_address, step_size, step_owner;
    bool step_valid;
} Probe;

static inline uint32_t hash(uint32_t address)
{
    return (address * 0x9E3779B1u) >> 7;
}

static struct block *find_block(Probe *p, uint32_t address, uint32_t size)
{
    for (uint32_t i = hash(address) & p->table_mask; p->table[i]; i = (i + 1) & p->table_mask)
        if (p->table[i]->address == address && p->table[i]->size == size)
            return p->table[i];
    return NULL;
}

/* Whether a call that arrived at an entry calls a function: code that calls the next instruction only reads
 * its own address, unless a function is known to begin there. */
static bool is_callee(uint32_t address, uint32_t owner, uint32_t return_address)
{
    return address != return_address || owner != NO_FUNCTION;
}

static void stop(Probe *p, void *uc, enum reason reason)
{
    p->reason = reason;
    p->emu_stop(uc);
}

/* Whether ESP rose above a frame, or left the stack, inside a block that brought it back below: the reference
 * sees when, here only the highest value is known. */
static bool loses_frame(const struct shadow_stack *s, const struct block *done, uint32_t leaving, uint32_t low)
{
    int64_t peak = (int64_t)s->esp + done->peak;
    uint32_t depth = s->depth;

    if (done->tail_peak && (int64_t)leaving + done->tail_peak > peak)
        peak = (int64_t)leaving + done->tail_peak;
    if (peak > (int64_t)s->base + s->size)
        return true;
    if (depth > 0 && peak > s->frames[depth].esp && low < s->frames[depth].esp)
        return true;
    while (depth > 0 && leaving > s->frames[depth].esp)
        depth--;
    return depth > 0 && peak > s->frames[depth].esp;
}

/* Account for a block that ran to its end, now that control has arrived at `address`. */
static void commit(Probe *p, void *uc, const struct block *done, uint32_t address, const struct block *next)
{
    struct shadow_stack *s = &p->stack;
    uint32_t low = s->esp + (uint32_t)done->low;
    uint32_t leaving = s->esp + (uint32_t)done->delta;

    if (done->align) {
        uint32_t aligned = ((s->esp + (uint32_t)done->align_at) & (0u - done->align)) + (uint32_t)done->aligned_low;
        if (aligned < low)
            low = aligned;
    }
    if (done->opaque) {
        leaving = 0;
        p->reg_read(uc, p->esp_register, &leaving);
        if (leaving + (uint32_t)done->tail_low < low)
            low = leaving + (uint32_t)done->tail_low;
    }
    if (__builtin_expect(!on_stack(s, low) || !on_stack(s, leaving), 0)) {
        p->inexact = true; /* where in the block it left, only the reference can tell */
        stop(p, uc, REASON_STACK_LEFT);
        return;
    }
    if (!done->exact || (done->rises && loses_frame(s, done, leaving, low)))
        p->inexact = true;
    reach(s, low, done->function);
    s->esp = leaving;
    uint32_t end = done->address + done->size;
    if (done->transfer == TRANSFER_CALL && next->entry && is_callee(address, next->function, end)) {
        if (!push_frame(s, address, next->function, end))
            stop(p, uc, REASON_FRAMES);
    } else {
        settle(s, done->transfer == TRANSFER_RETURN ? address : 0);
    }
}

static void note_seen(Probe *p, struct block *block)
{
    block->epoch = p->epoch;
    if (p->seen_count == p->seen_capacity) {
        uint32_t capacity = p->seen_capacity ? 2 * p->seen_capacity : 1024;
        uint32_t *grown = realloc(p->seen, capacity * sizeof *grown);
        if (!grown) {
            p->out_of_memory = true;
            return;
        }
        p->seen = grown;
        p->seen_capacity = capacity;
    }
    p->seen[p->seen_count++] = block->address;
}

static void on_block(void *uc, uint64_t address64, uint32_t size, void *user)
{
    Probe *p = user;
    uint32_t address = (uint32_t)address64;
    struct block *done = p->pending;
    struct block *next;

    if (__builtin_expect(done->next_address == address && done->next_size == size, 1)) {
        next = done->next;
    } else {
        next = find_block(p, address, size);
        if (!next) {
            p->unknown_address = address;
            p->unknown_size = size;
            stop(p, uc, REASON_UNKNOWN_BLOCK);
            return;
        }
        done->next_address = address;
        done->next_size = size;
        done->next = next;
        if (done->transfer == TRANSFER_CALL && next->entry && p->call_count < MAX_CALLS)
            p->calls[p->call_count++] = (struct call){done->address + done->size, address};
    }
    p->instructions += done->count;
    p->pending = next;
    if (done->active)
        commit(p, uc, done, address, next);
    if (__builtin_expect(next->epoch != p->epoch, 0))
        note_seen(p, next);
    if (__builtin_expect(p->instructions >= p->budget, 0) && p->reason == REASON_NONE) {
        p->pending = &p->idle;
        stop(p, uc, REASON_BUDGET);
    }
}

/* The reference: ESP is read before every instruction, and calls and returns are recognised by what they
 * did to the stack, without decoding anything. */
static void on_instruction(void *uc, uint64_t address64, uint32_t size, void *user)
{
    Probe *p = user;
    struct shadow_stack *s = &p->stack;
    uint32_t address = (uint32_t)address64, esp = 0;
    uint32_t owner = owner_of(s, address);

    p->reg_read(uc, p->esp_register, &esp);
    if (!on_stack(s, esp)) {
        stop(p, uc, REASON_STACK_LEFT);
        return;
    }
    if (p->step_valid) {
        p->instructions++;
        uint32_t expected = p->step_address + p->step_size;
        bool jumped = address != expected;
        bool called = false;

        reach(s, esp, p->step_owner);
        if (esp == s->esp - 4 && is_entry(s, address, owner) && is_callee(address, owner, expected)) {
            uint32_t word = 0;
            p->mem_read(uc, esp, &word, sizeof word);
            called = word == expected;
        }
        s->esp = esp;
        if (called) {
            if (!push_frame(s, address, owner, expected))
                stop(p, uc, REASON_FRAMES);
        } else {
            settle(s, jumped ? address : 0);
        }
    }
    s->esp = esp;
    p->step_valid = true;
    p->step_address = address;
    p->step_size = size;
    p->step_owner = owner;
}

/* The reference notes blocks too, and ends at the same place as block mode when the budget is spent. */
static void on_reference_block(void *uc, uint64_t address64, uint32_t size, void *user)
{
    Probe *p = user;
    uint32_t address = (uint32_t)address64;
    struct block *block = find_block(p, address, size);

    if (!block) {
        p->unknown_address = address;
        p->unknown_size = size;
        stop(p, uc, REASON_UNKNOWN_BLOCK);
        return;
    }
    if (block->epoch != p->epoch)
        note_seen(p, block);
    if (p->instructions + p->step_valid >= p->budget && p->reason == REASON_NONE) {
        on_instruction(uc, address64, 0, p);
        stop(p, uc, REASON_BUDGET);
    }
}

/* ---- the Python type ---- */

/* Control arrived at code that the emulator cannot run (a stand-in for a function, or data): account for
 * the block that led there. */
static void arrive(Probe *p, void *uc, uint32_t address)
{
    static const struct block outside = {.function = NO_FUNCTION, .entry = true, .exact = true};
    const struct block *done = p->pending;

    if (p->stepping) {
        on_instruction(uc, address, 0, p);
        return;
    }
    p->pending = &p->idle;
    p->instructions += done->count;
    if (done->active)
        commit(p, uc, done, address, &outside);
}

static bool grow_table(Probe *p)
{
    uint32_t capacity = (p->table_mask + 1) * 2;
    struct block **grown = calloc(capacity, sizeof *grown);

    if (!grown)
        return false;
    for (uint32_t i = 0; i <= p->table_mask; i++) {
        if (!p->table[i])
            continue;
        uint32_t slot = hash(p->table[i]->address) & (capacity - 1);
        while (grown[slot])
            slot = (slot + 1) & (capacity - 1);
        grown[slot] = p->table[i];
    }
    free(p->table);
    p->table = grown;
    p->table_mask = capacity - 1;
    return true;
}

static void drop_blocks(Probe *p)
{
    for (uint32_t i = 0; p->table && i <= p->table_mask; i++) {
        free(p->table[i]);
        p->table[i] = NULL;
    }
    p->block_count = 0;
    memset(&p->idle, 0, sizeof p->idle);
    p->idle.exact = true;
    p->idle.function = NO_FUNCTION;
    p->pending = &p->idle;
}

/* Keep a copy of `block`; NULL when there is no memory. */
static struct block *insert_block(Probe *p, const struct block *block)
{
    if (p->block_count * 2 > p->table_mask && !grow_table(p))
        return NULL;
    struct block *added = malloc(sizeof *added);
    if (!added)
        return NULL;
    *added = *block;
    uint32_t slot = hash(block->address) & p->table_mask;
    while (p->table[slot])
        slot = (slot + 1) & p->table_mask;
    p->table[slot] = added;
    p->block_count++;
    return added;
}

/* Forget every block but the one under way: code that never stops making blocks gets no more memory. */
static bool start_over(Probe *p)
{
    bool under_way = p->pending != &p->idle;
    struct block pending = *p->pending;

    drop_blocks(p);
    if (!under_way)
        return true;
    pending.next = NULL;
    pending.next_address = pending.next_size = 0;
    struct block *kept = insert_block(p, &pending);
    if (kept)
        p->pending = kept;
    return kept != NULL;
}

static void probe_dealloc(Probe *p)
{
    PyTypeObject *type = Py_TYPE(p);

    drop_blocks(p);
    free_stack(&p->stack);
    free(p->table);
    free(p->seen);
    type->tp_free((PyObject *)p);
}

static PyObject *probe_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"reg_read", "mem_read", "emu_stop", "esp_register", "stepping", NULL};
    unsigned long long reg_read, mem_read, emu_stop;
    int esp_register, stepping;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "KKKip", names, &reg_read, &mem_read, &emu_stop, &esp_register,
                                     &stepping))
        return NULL;
    Probe *p = (Probe *)type->tp_alloc(type, 0);
    if (!p)
        return NULL;
    p->reg_read = (reg_read_fn)(uintptr_t)reg_read;
    p->mem_read = (mem_read_fn)(uintptr_t)mem_read;
    p->emu_stop = (emu_stop_fn)(uintptr_t)emu_stop;
    p->esp_register = esp_register;
    p->stepping = stepping;
    p->table_mask = 1023;
    p->table = calloc(p->table_mask + 1, sizeof *p->table);
    if (!p->table || !make_stack(&p->stack)) {
        Py_DECREF(p);
        return PyErr_NoMemory();
    }
    drop_blocks(p);
    return (PyObject *)p;
}

static PyObject *probe_set_functions(Probe *p, PyObject *args)
{
    const char *data;
    Py_ssize_t size;

    if (!PyArg_ParseTuple(args, "y#", &data, &size))
        return NULL;
    if (size % (Py_ssize_t)sizeof(struct range)) {
        PyErr_SetString(PyExc_ValueError, "functions must be pairs of 32-bit start and end addresses");
        return NULL;
    }
    if (!set_functions(&p->stack, (const struct range *)data, (uint32_t)((size_t)size / sizeof(struct range))))
        return PyErr_NoMemory();
    drop_blocks(p);
    Py_RETURN_NONE;
}

static bool fits(long long value)
{
    return value >= INT32_MIN && value <= INT32_MAX;
}

static PyObject *probe_add_block(Probe *p, PyObject *args)
{
    struct block block = {0};
    int has_delta, exact, transfer;
    long long low, delta, tail_low, align_at, aligned_low, peak = 0, tail_peak = 0;

    if (!PyArg_ParseTuple(args, "IIILpLLiILLp|LL", &block.address, &block.size, &block.count, &low, &has_delta,
                          &delta, &tail_low, &transfer, &block.align, &align_at, &aligned_low, &exact, &peak,
                          &tail_peak))
        return NULL;
    if (find_block(p, block.address, block.size))
        Py_RETURN_NONE;
    if (fits(low) && fits(delta) && fits(tail_low) && fits(align_at) && fits(aligned_low) && fits(peak)
        && fits(tail_peak)) {
        block.low = (int32_t)low;
        block.delta = (int32_t)delta;
        block.tail_low = (int32_t)tail_low;
        block.align_at = (int32_t)align_at;
        block.aligned_low = (int32_t)aligned_low;
        block.peak = (int32_t)peak;
        block.tail_peak = (int32_t)tail_peak;
    } else {
        has_delta = exact = false; /* code that moves ESP across the whole address space */
        block.align = 0;
    }
    block.opaque = !has_delta;
    block.exact = exact;
    block.rises = block.peak || block.tail_peak;
    block.transfer = (uint8_t)transfer;
    block.function = owner_of(&p->stack, block.address);
    block.entry = is_entry(&p->stack, block.address, block.function);
    block.active = block.low || block.delta || block.rises || block.opaque || block.align
        || block.transfer != TRANSFER_PLAIN || !exact;
    if (p->block_count >= MAX_BLOCKS && !start_over(p))
        return PyErr_NoMemory();
    if (!insert_block(p, &block))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *probe_forget(Probe *p, PyObject *Py_UNUSED(ignored))
{
    drop_blocks(p);
    Py_RETURN_NONE;
}

static PyObject *probe_begin(Probe *p, PyObject *args)
{
    uint32_t entry, esp, stack_base, stack_size, focus = 0;
    unsigned long long budget;

    if (!PyArg_ParseTuple(args, "IIIIK|I", &entry, &esp, &stack_base, &stack_size, &budget, &focus))
        return NULL;
    p->pending = &p->idle;
    p->idle.next = NULL;
    p->idle.next_address = 0;
    p->idle.next_size = 0;
    p->epoch++;
    p->seen_count = 0;
    p->out_of_memory = false;
    p->stack.base = stack_base;
    p->stack.size = stack_size;
    begin_stack(&p->stack, entry, esp, focus);
    p->instructions = 0;
    p->budget = budget;
    p->reason = REASON_NONE;
    p->inexact = false;
    p->step_valid = false;
    Py_RETURN_NONE;
}

/* Take up the run again after Python served what control arrived at: `esp` and `address` are where it goes on. */
static PyObject *probe_resume(Probe *p, PyObject *args)
{
    uint32_t esp, address;

    if (!PyArg_ParseTuple(args, "II", &esp, &address))
        return NULL;
    p->pending = &p->idle;
    p->stack.esp = esp;
    settle(&p->stack, address);
    p->step_valid = false;
    Py_RETURN_NONE;
}

/* Account for a call that Python makes: ESP points at the return address. False: too many frames. */
static PyObject *probe_enter(Probe *p, PyObject *args)
{
    uint32_t function, esp, return_address;
    int is_call = true;

    if (!PyArg_ParseTuple(args, "III|p", &function, &esp, &return_address, &is_call))
        return NULL;
    p->pending = &p->idle;
    reach(&p->stack, esp, NOT_DRIVER);
    p->stack.esp = esp;
    p->step_valid = false;
    if (!push_frame(&p->stack, function, owner_of(&p->stack, function), return_address))
        Py_RETURN_FALSE;
    if (!is_call)
        detach(&p->stack);
    Py_RETURN_TRUE;
}

/* From here on the code runs on another stack, at lower addresses, which is not measured. Returns what
 * return_to_stack wants back. */
static PyObject *probe_leave_stack(Probe *p, PyObject *args)
{
    struct shadow_stack *s = &p->stack;
    uint32_t base, size;

    if (!PyArg_ParseTuple(args, "II", &base, &size))
        return NULL;
    if (s->low_fresh)
        keep_chain(s);
    PyObject *state = Py_BuildValue("(IIII)", s->low, s->base, s->size, s->depth);
    s->low = 0; /* nothing is lower */
    s->base = base;
    s->size = size;
    return state;
}

static PyObject *probe_return_to_stack(Probe *p, PyObject *args)
{
    struct shadow_stack *s = &p->stack;
    uint32_t low, base, size, depth;

    if (!PyArg_ParseTuple(args, "(IIII)", &low, &base, &size, &depth))
        return NULL;
    while (s->depth > depth)
        pop_frame(s);
    s->low = low;
    s->base = base;
    s->size = size;
    p->pending = &p->idle;
    p->step_valid = false;
    Py_RETURN_NONE;
}

/* Account for the part of the pending block that ran, given the lowest ESP of that part. */
static PyObject *probe_cut(Probe *p, PyObject *args)
{
    uint32_t low, count;
    int exact = true;

    if (!PyArg_ParseTuple(args, "II|p", &low, &count, &exact))
        return NULL;
    if (!exact || (p->pending->rises && loses_frame(&p->stack, p->pending, low, low)))
        p->inexact = true;
    if (on_stack(&p->stack, low))
        reach(&p->stack, low, p->pending == &p->idle ? p->step_owner : p->pending->function);
    else
        p->inexact = true;
    p->instructions += count;
    p->pending = &p->idle;
    Py_RETURN_NONE;
}

static PyObject *probe_arrive(Probe *p, PyObject *args)
{
    unsigned long long engine;
    uint32_t address;

    if (!PyArg_ParseTuple(args, "KI", &engine, &address))
        return NULL;
    arrive(p, (void *)(uintptr_t)engine, address);
    Py_RETURN_NONE;
}

static PyObject *probe_take_reason(Probe *p, PyObject *Py_UNUSED(ignored))
{
    enum reason reason = p->reason;

    p->reason = REASON_NONE;
    return PyLong_FromLong(reason);
}

static PyObject *probe_seen(Probe *p, PyObject *Py_UNUSED(ignored))
{
    if (p->out_of_memory)
        return PyErr_NoMemory();
    return PyBytes_FromStringAndSize((const char *)p->seen, (Py_ssize_t)(p->seen_count * sizeof *p->seen));
}

static PyObject *probe_chain(Probe *p, PyObject *Py_UNUSED(ignored))
{
    struct shadow_stack *s = &p->stack;

    end_stack(s);
    PyObject *list = PyList_New((Py_ssize_t)s->chain_count);
    for (uint32_t i = 0; list && i < s->chain_count; i++) {
        PyObject *pair = Py_BuildValue("(II)", s->chain[i].function, s->chain[i].esp);
        if (!pair) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
    }
    return list;
}

static PyObject *probe_marks(Probe *p, PyObject *Py_UNUSED(ignored))
{
    struct shadow_stack *s = &p->stack;

    end_stack(s);
    PyObject *list = PyList_New((Py_ssize_t)s->marked_count);
    for (uint32_t i = 0; list && i < s->marked_count; i++) {
        const struct mark *mark = &s->marks[s->marked[i]];
        PyObject *item =
            Py_BuildValue("(IIIN)", mark->function, mark->own, mark->depth, PyBool_FromLong(mark->is_over));
        if (!item) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, item);
    }
    return list;
}

/* Of the run's own function: of its frame at the bottom, and of those that recursion makes. */
static PyObject *get_own(PyObject *self, void *Py_UNUSED(unused))
{
    const struct shadow_stack *s = &((Probe *)self)->stack;
    uint32_t owner = s->frames[0].owner, own = 0;

    if (owner < s->function_count && s->marks[owner].function)
        own = s->marks[owner].own;
    for (uint32_t at = 0; at <= s->depth; at++)
        if (s->frames[at].owner == owner && s->frames[at].esp - s->frames[at].own_low > own)
            own = s->frames[at].esp - s->frames[at].own_low;
    return PyLong_FromUnsignedLong(own);
}

static PyObject *get_focus_returned(PyObject *self, void *Py_UNUSED(unused))
{
    return PyBool_FromLong(((Probe *)self)->stack.focus_returned);
}

static PyObject *probe_take_calls(Probe *p, PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New((Py_ssize_t)p->call_count);

    for (uint32_t i = 0; list && i < p->call_count; i++) {
        PyObject *pair = Py_BuildValue("(II)", p->calls[i].return_address, p->calls[i].function);
        if (!pair) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
    }
    if (list)
        p->call_count = 0;
    return list;
}

static PyObject *get_u32(PyObject *self, void *offset)
{
    return PyLong_FromUnsignedLong(*(uint32_t *)((char *)self + (uintptr_t)offset));
}

static PyObject *get_instructions(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLongLong(((Probe *)self)->instructions);
}

static PyObject *get_exact(PyObject *self, void *Py_UNUSED(unused))
{
    return PyBool_FromLong(!((Probe *)self)->inexact);
}

static PyObject *get_pending(PyObject *self, void *Py_UNUSED(unused))
{
    Probe *p = (Probe *)self;

    if (p->pending == &p->idle)
        Py_RETURN_NONE;
    return Py_BuildValue("(II)", p->pending->address, p->pending->size);
}

static PyObject *get_unknown(PyObject *self, void *Py_UNUSED(unused))
{
    return Py_BuildValue("(II)", ((Probe *)self)->unknown_address, ((Probe *)self)->unknown_size);
}

static PyObject *get_hook(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromVoidPtr(((Probe *)self)->stepping ? (void *)on_instruction : (void *)on_block);
}

static PyObject *get_reference_block_hook(PyObject *Py_UNUSED(self), void *Py_UNUSED(unused))
{
    return PyLong_FromVoidPtr((void *)on_reference_block);
}

static PyObject *get_user_data(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromVoidPtr(self);
}

#define OFFSET(field) ((void *)offsetof(Probe, field))

static PyGetSetDef probe_getset[] = {
    {"hook", get_hook, NULL, NULL, NULL},
    {"reference_block_hook", get_reference_block_hook, NULL, NULL, NULL},
    {"user_data", get_user_data, NULL, NULL, NULL},
    {"esp", get_u32, NULL, NULL, OFFSET(stack.esp)},
    {"low", get_u32, NULL, NULL, OFFSET(stack.low)},
    {"own", get_own, NULL, NULL, NULL},
    {"focus_depth", get_u32, NULL, NULL, OFFSET(stack.focus_best)},
    {"focus_returned", get_focus_returned, NULL, NULL, NULL},
    {"instructions", get_instructions, NULL, NULL, NULL},
    {"exact", get_exact, NULL, NULL, NULL},
    {"pending", get_pending, NULL, NULL, NULL},
    {"unknown_block", get_unknown, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef probe_methods[] = {
    {"set_functions", (PyCFunction)probe_set_functions, METH_VARARGS, NULL},
    {"add_block", (PyCFunction)probe_add_block, METH_VARARGS, NULL},
    {"forget", (PyCFunction)probe_forget, METH_NOARGS, NULL},
    {"begin", (PyCFunction)probe_begin, METH_VARARGS, NULL},
    {"resume", (PyCFunction)probe_resume, METH_VARARGS, NULL},
    {"enter", (PyCFunction)probe_enter, METH_VARARGS, NULL},
    {"leave_stack", (PyCFunction)probe_leave_stack, METH_VARARGS, NULL},
    {"return_to_stack", (PyCFunction)probe_return_to_stack, METH_VARARGS, NULL},
    {"cut", (PyCFunction)probe_cut, METH_VARARGS, NULL},
    {"arrive", (PyCFunction)probe_arrive, METH_VARARGS, NULL},
    {"take_reason", (PyCFunction)probe_take_reason, METH_NOARGS, NULL},
    {"seen", (PyCFunction)probe_seen, METH_NOARGS, NULL},
    {"chain", (PyCFunction)probe_chain, METH_NOARGS, NULL},
    {"take_calls", (PyCFunction)probe_take_calls, METH_NOARGS, NULL},
    {"marks", (PyCFunction)probe_marks, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject probe_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "stackemu.emu.probe.Probe",
    .tp_basicsize = sizeof(Probe),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = PyDoc_STR("Native hooks that measure the stack; see probe.pyi for what each member means."),
    .tp_new = probe_new,
    .tp_dealloc = (destructor)probe_dealloc,
    .tp_methods = probe_methods,
    .tp_getset = probe_getset,
};

static struct PyModuleDef probe_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "probe",
    .m_doc = "Low-water marks and shadow call stacks at block speed.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit_probe(void)
{
    if (PyType_Ready(&probe_type) < 0 || PyType_Ready(&recorder_type) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&probe_module);
    if (!module)
        return NULL;
    if (PyModule_AddObjectRef(module, "Probe", (PyObject *)&probe_type) < 0
        || PyModule_AddObjectRef(module, "Recorder", (PyObject *)&recorder_type) < 0
        || PyModule_AddIntConstant(module, "UNKNOWN_BLOCK", REASON_UNKNOWN_BLOCK) < 0
        || PyModule_AddIntConstant(module, "BUDGET", REASON_BUDGET) < 0
        || PyModule_AddIntConstant(module, "FRAMES", REASON_FRAMES) < 0
        || PyModule_AddIntConstant(module, "STACK_LEFT", REASON_STACK_LEFT) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
