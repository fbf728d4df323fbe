/* The probe: what the hooks, its Python type and the executor share. */
#pragma once

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

#include "block_table.h"
#include "guidance.h"
#include "shadow_stack.h"
#include "unicorn_api.h"

enum reason {
    REASON_NONE,
    REASON_UNKNOWN_BLOCK,
    REASON_BUDGET,
    REASON_FRAMES,
    REASON_STACK_LEFT,
};

#define MAX_CALLS 4096u

struct call {
    uint32_t return_address, function;
};

typedef struct {
    PyObject_HEAD
    reg_read_fn reg_read;
    emu_stop_fn emu_stop;
    mem_read_fn mem_read;
    int esp_register;

    struct shadow_stack stack;
    struct guidance *guidance; /* the executor's, NULL without one */

    struct block_table blocks;
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

extern PyTypeObject probe_type;

/* The hooks (signatures: uc_cb_hookcode_t). */
void on_block(void *uc, uint64_t address, uint32_t size, void *probe);
void on_instruction(void *uc, uint64_t address, uint32_t size, void *probe);
void on_reference_block(void *uc, uint64_t address, uint32_t size, void *probe);

/* Start a run of the function at `entry`, with ESP pointing at its return address. */
void begin_run(Probe *p, uint32_t entry, uint32_t esp, uint64_t budget, uint32_t focus);

/* Control arrived at code that the emulator cannot run (a stand-in for a function, or data): account for the block
 * that led there. */
void arrive(Probe *p, void *uc, uint32_t address);

/* Whether ESP rose above a frame, or left the stack, inside a block that brought it back below: the reference sees
 * when, here only the highest value is known. */
bool loses_frame(const struct shadow_stack *s, const struct block *done, uint32_t leaving, uint32_t low);
