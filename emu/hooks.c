/* The native hooks: what Unicorn calls at every block (or, in the reference mode, at every instruction).
 *
 * They keep the low-water mark of ESP, a shadow call stack, the frames that stood on it at the low-water mark, an
 * instruction count with a budget, and the set of blocks seen. They never call into Python: when a block is unknown
 * they stop the emulator, Python describes the block, and the emulator runs on; the same block then fires again.
 *
 * A block's effect is committed when the next block begins, since only then is it certain that it ran to its end; a
 * block that a fault cut short is committed by Python, instruction by instruction.
 *
 * Speed comes from doing little at most blocks: each remembers the block that followed it, so that the next look-up
 * is one comparison; a block that leaves ESP alone is only counted; and ESP is read from the emulator only behind
 * instructions whose result decoding cannot know. Where a block did something that its summary does not tell apart,
 * the run is marked inexact, and Python repeats it in the reference mode. */

#include "probe.h"

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

bool loses_frame(const struct shadow_stack *s, const struct block *done, uint32_t leaving, uint32_t low)
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

void on_block(void *uc, uint64_t address64, uint32_t size, void *user)
{
    Probe *p = user;
    uint32_t address = (uint32_t)address64;
    struct block *done = p->pending;
    struct block *next;

    if (__builtin_expect(done->next_address == address && done->next_size == size, 1)) {
        next = done->next;
    } else {
        next = find_block(&p->blocks, address, size);
        if (!next) {
            p->unknown_address = address;
            p->unknown_size = size;
            stop(p, uc, REASON_UNKNOWN_BLOCK);
            return;
        }
        done->next_address = address;
        done->next_size = size;
        done->next = next;
        if (p->guidance)
            note_edge(p->guidance, done->address, address);
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
void on_instruction(void *uc, uint64_t address64, uint32_t size, void *user)
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
void on_reference_block(void *uc, uint64_t address64, uint32_t size, void *user)
{
    Probe *p = user;
    uint32_t address = (uint32_t)address64;
    struct block *block = find_block(&p->blocks, address, size);

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

void arrive(Probe *p, void *uc, uint32_t address)
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

void begin_run(Probe *p, uint32_t entry, uint32_t esp, uint64_t budget, uint32_t focus)
{
    p->pending = &p->idle;
    p->idle.next = NULL;
    p->idle.next_address = 0;
    p->idle.next_size = 0;
    p->epoch++;
    p->seen_count = 0;
    p->out_of_memory = false;
    begin_stack(&p->stack, entry, esp, focus);
    p->instructions = 0;
    p->budget = budget;
    p->reason = REASON_NONE;
    p->inexact = false;
    p->step_valid = false;
}
