/* The executor: what its loop and its Python type share, and the bare loop that its speed is compared with. */
#pragma once

#include <Python.h>

#include "host_memory.h"
#include "probe.h"
#include "slots.h"

enum event { EVENT_FINISHED, EVENT_FIND, EVENT_UNKNOWN_BLOCK, EVENT_STOPPED, EVENT_CODE_CHANGED };

typedef struct {
    PyObject_HEAD
    Probe *probe;
    void *uc;
    emu_start_fn emu_start;
    reg_read_fn reg_read;
    reg_write_fn reg_write;
    context_restore_fn context_restore;
    int eip_register;

    struct host_memory memory;
    struct guidance guidance;
    struct slots slots;
    PyObject *tokens;          /* keeps the dictionary's bytes */

    uint32_t entry, esp, return_stub;
    uint32_t stack_base, stack_size, usable_stack;
    uint64_t budget;
    void *context;

    uint64_t seed, number, end, native;
    uint32_t pc;
    bool is_running;           /* an execution is under way */
    bool was_native;           /* the present one did without Python so far */
    int error;                 /* what uc_emu_start returned last */
    uint64_t since_check;
} Executor;

extern PyTypeObject executor_type;

/* Whether the figures of the present execution, or of the last, are exact, and no code was changed. */
bool is_exact(const Executor *e);
void clear_slots(Executor *e);

/* Methods (probe.pyi says what each does). */
PyObject *executor_prepare(Executor *e, PyObject *args);
PyObject *executor_set_slots(Executor *e, PyObject *args);
PyObject *executor_plan(Executor *e, PyObject *args);
PyObject *executor_draw(Executor *e, PyObject *args);
PyObject *executor_changed(Executor *e, PyObject *unused);
PyObject *executor_run(Executor *e, PyObject *args);
PyObject *executor_finish(Executor *e, PyObject *args);
PyObject *executor_skip(Executor *e, PyObject *unused);
PyObject *executor_abandon(Executor *e, PyObject *unused);

PyObject *bare_loop(PyObject *module, PyObject *args);
