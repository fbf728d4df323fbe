/* The executor: one function run on one input after the other without Python in between.
 *
 * An execution puts back the memory that the last one wrote, changes slots of the input, restores the processor's
 * registers, and runs until the function returns; then the guidance says whether it showed anything new. Python
 * takes over when it did, and when the code needs the kernel, faults, or comes to a block that nobody described.
 *
 * What an execution is follows from the seed and its number; nothing of those before it remains but what is known. */

#define PY_SSIZE_T_CLEAN
#include "executor.h"

#include <time.h>

#include "host_memory.h"
#include "probe.h"
#include "slots.h"

#define UNTIL 0xFFFFFFFFu      /* where Unicorn stops by itself: an address that no code can have */
#define CHECK_INTERVAL 500000u /* instructions between looks at the clock and at signals, */
#define EXECUTION_COST 500u    /* of which an execution counts as so many more */

enum { OUTCOME_RETURNED, OUTCOME_TOO_DEEP };

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

/* ---- one execution ---- */

static void apply_slots(Executor *e)
{
    const struct slots *s = &e->slots;

    for (uint32_t at = 0; at < s->count; at++) {
        const struct slot *slot = &s->slots[at];
        if (!s->is_changed[at])
            continue;
        if (slot->destination == TO_MEMORY)
            put_memory(&e->memory, slot->where, s->values[at], slot->size);
        else if (slot->destination == TO_REGISTER)
            e->reg_write(e->uc, (int)slot->where, s->values[at]);
    }
}

static void start_execution(Executor *e)
{
    Probe *p = e->probe;

    mutate(&e->slots, e->seed, e->number);
    e->context_restore(e->uc, e->context);
    apply_slots(e);
    p->stack.base = e->stack_base;
    p->stack.size = e->stack_size;
    begin_run(p, e->entry, e->esp, e->budget, 0);
    e->guidance.reasons = 0;
    e->pc = e->entry;
    e->is_running = true;
    e->was_native = true;
}

static bool is_exact(const Executor *e)
{
    return !e->probe->inexact && !is_code_changed(&e->memory);
}

/* End the execution under way; returns whether it is a find. */
static bool end_execution(Executor *e, uint32_t outcome)
{
    e->guidance.reasons = judge(&e->guidance, &e->probe->stack, outcome, is_exact(e));
    e->is_running = false;
    e->number++;
    e->native += e->was_native;
    e->since_check += e->probe->instructions + EXECUTION_COST;
    return e->guidance.reasons != 0;
}

/* Run the present execution on; returns what Python has to know of, or EVENT_FINISHED. */
static enum event go_on(Executor *e)
{
    uint32_t eip = 0;

    e->error = e->emu_start(e->uc, e->pc, UNTIL, 0, 0);
    e->reg_read(e->uc, e->eip_register, &eip);
    e->pc = eip;
    if (e->probe->reason == REASON_UNKNOWN_BLOCK)
        return EVENT_UNKNOWN_BLOCK;
    /* A stub is one `hlt`, behind which the processor stands. */
    if (e->probe->reason != REASON_NONE || e->error != UNICORN_OK || eip != e->return_stub + 1) {
        e->was_native = false;
        return EVENT_STOPPED;
    }
    bool is_too_deep = e->esp - e->probe->stack.low > e->usable_stack;
    return end_execution(e, is_too_deep ? OUTCOME_TOO_DEEP : OUTCOME_RETURNED) ? EVENT_FIND : EVENT_FINISHED;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time); /* what Python's time.monotonic reads */
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Put back what the last execution wrote; returns whether that was code, whose translations are wrong then. */
static bool put_back(Executor *e)
{
    bool is_code = is_code_changed(&e->memory);

    restore_memory(&e->memory);
    return is_code;
}

static PyObject *executor_run(Executor *e, PyObject *args)
{
    double deadline;
    enum event event = EVENT_FINISHED;

    if (!PyArg_ParseTuple(args, "d", &deadline))
        return NULL;
    if (!e->context) {
        PyErr_SetString(PyExc_ValueError, "nothing was prepared to run");
        return NULL;
    }
    while (event == EVENT_FINISHED) {
        if (!e->is_running) {
            if (put_back(e))
                return PyLong_FromLong(EVENT_CODE_CHANGED);
            if (e->since_check >= CHECK_INTERVAL) {
                e->since_check = 0;
                if (PyErr_CheckSignals() < 0)
                    return NULL;
                if (now() >= deadline)
                    e->end = e->number;
            }
            if (e->number == e->end)
                break;
            start_execution(e);
        }
        event = go_on(e);
        if (e->memory.out_of_memory)
            return PyErr_NoMemory();
    }
    return PyLong_FromLong(event);
}

static PyObject *executor_finish(Executor *e, PyObject *args)
{
    uint32_t outcome;

    if (!PyArg_ParseTuple(args, "I", &outcome))
        return NULL;
    return PyBool_FromLong(end_execution(e, outcome));
}

static PyObject *executor_skip(Executor *e, PyObject *Py_UNUSED(ignored))
{
    e->is_running = false;
    e->number++;
    Py_RETURN_NONE;
}

static PyObject *executor_abandon(Executor *e, PyObject *Py_UNUSED(ignored))
{
    e->is_running = false;
    e->end = e->number;
    e->guidance.is_watching = false;
    return PyBool_FromLong(put_back(e));
}

/* ---- what is run ---- */

static PyObject *executor_prepare(Executor *e, PyObject *args)
{
    unsigned long long budget, context;

    if (!PyArg_ParseTuple(args, "IIIKIIIK", &e->entry, &e->esp, &e->return_stub, &budget, &e->stack_base,
                          &e->stack_size, &e->usable_stack, &context))
        return NULL;
    e->budget = budget;
    e->context = (void *)(uintptr_t)context;
    e->is_running = false;
    freeze_memory(&e->memory);
    Py_RETURN_NONE;
}

static void clear_slots(Executor *e)
{
    struct slots *s = &e->slots;

    free(s->slots);
    free(s->parent);
    free(s->values);
    free(s->is_changed);
    free(s->tokens);
    free(s->pointers);
    *s = (struct slots){0};
    Py_CLEAR(e->tokens);
}

static bool allocate_slots(struct slots *s, uint32_t count, uint32_t tokens, uint32_t pointers)
{
    s->slots = calloc(count + 1, sizeof *s->slots);
    s->parent = calloc(count + 1, sizeof *s->parent);
    s->values = calloc(count + 1, sizeof *s->values);
    s->is_changed = calloc(count + 1, sizeof *s->is_changed);
    s->tokens = calloc(tokens + 1, sizeof *s->tokens);
    s->pointers = calloc(pointers + 1, sizeof *s->pointers);
    return s->slots && s->parent && s->values && s->is_changed && s->tokens && s->pointers;
}

static PyObject *executor_set_slots(Executor *e, PyObject *args)
{
    struct slots *s = &e->slots;
    Py_buffer slots, values, pointers;
    PyObject *tokens;
    bool is_right = true;

    if (!PyArg_ParseTuple(args, "y*y*y*O!", &slots, &values, &pointers, &PyTuple_Type, &tokens))
        return NULL;
    clear_slots(e);
    uint32_t count = (uint32_t)((size_t)slots.len / sizeof(struct slot));
    uint32_t token_count = (uint32_t)PyTuple_GET_SIZE(tokens), pointer_count = (uint32_t)(pointers.len / 4);
    if (!allocate_slots(s, count, token_count, pointer_count)) {
        PyErr_NoMemory();
        goto done;
    }
    is_right = (size_t)values.len == count * sizeof *s->parent;
    for (uint32_t at = 0; at < count && is_right; at++) {
        memcpy(&s->slots[at], (const char *)slots.buf + at * sizeof(struct slot), sizeof(struct slot));
        uint32_t size = s->slots[at].size;
        is_right = size >= 1 && size <= MAX_SLOT_SIZE && (s->slots[at].destination != TO_REGISTER || size == 4);
    }
    for (uint32_t at = 0; at < token_count && is_right; at++) {
        PyObject *token = PyTuple_GET_ITEM(tokens, at);
        is_right = PyBytes_Check(token);
        if (is_right)
            s->tokens[at] = (struct token){(const uint8_t *)PyBytes_AS_STRING(token), (uint32_t)PyBytes_GET_SIZE(token)};
    }
    if (!is_right) {
        PyErr_SetString(PyExc_ValueError, "slots, values or dictionary are malformed");
        goto done;
    }
    memcpy(s->parent, values.buf, (size_t)values.len);
    memcpy(s->pointers, pointers.buf, (size_t)pointer_count * 4);
    e->tokens = Py_NewRef(tokens);
    s->count = count;
    s->token_count = token_count;
    s->pointer_count = pointer_count;
done:
    PyBuffer_Release(&slots);
    PyBuffer_Release(&values);
    PyBuffer_Release(&pointers);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *executor_plan(Executor *e, PyObject *args)
{
    unsigned long long seed, first, count;
    int is_judged = true;

    if (!PyArg_ParseTuple(args, "KKK|p", &seed, &first, &count, &is_judged))
        return NULL;
    e->guidance.is_watching = is_judged;
    forget_successors(&e->probe->blocks); /* edges are looked at where a block's successor changes */
    e->seed = seed;
    e->number = first;
    e->end = first + count;
    e->native = 0;
    e->since_check = CHECK_INTERVAL;
    Py_RETURN_NONE;
}

static PyObject *executor_draw(Executor *e, PyObject *args)
{
    unsigned long long seed, number;

    if (!PyArg_ParseTuple(args, "KK", &seed, &number))
        return NULL;
    mutate(&e->slots, seed, number);
    Py_RETURN_NONE;
}

static PyObject *executor_changed(Executor *e, PyObject *Py_UNUSED(ignored))
{
    const struct slots *s = &e->slots;
    PyObject *list = PyList_New(0);

    for (uint32_t at = 0; list && at < s->count; at++) {
        if (!s->is_changed[at])
            continue;
        PyObject *pair = Py_BuildValue("(Iy#)", at, (const char *)s->values[at], (Py_ssize_t)s->slots[at].size);
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

/* ---- memory ---- */

static PyObject *executor_map(Executor *e, PyObject *args)
{
    uint32_t address, size, permissions;
    int holds_code;

    if (!PyArg_ParseTuple(args, "IIIp", &address, &size, &permissions, &holds_code))
        return NULL;
    int error = map_memory(&e->memory, address, size, permissions, holds_code);
    return error < 0 ? PyErr_NoMemory() : PyLong_FromLong(error);
}

static PyObject *executor_unmap(Executor *e, PyObject *args)
{
    uint32_t address, size;

    if (!PyArg_ParseTuple(args, "II", &address, &size))
        return NULL;
    return PyLong_FromLong(unmap_memory(&e->memory, address, size));
}

static PyObject *executor_will_write(Executor *e, PyObject *args)
{
    uint32_t address, size;
    int is_own = true;

    if (!PyArg_ParseTuple(args, "II|p", &address, &size, &is_own))
        return NULL;
    bool is_logging = e->memory.is_logging;
    e->memory.is_logging = is_logging && is_own;
    will_write(&e->memory, address, size);
    e->memory.is_logging = is_logging;
    Py_RETURN_NONE;
}

static PyObject *executor_will_read(Executor *e, PyObject *args)
{
    uint32_t address, size;

    if (!PyArg_ParseTuple(args, "II", &address, &size))
        return NULL;
    if (e->memory.is_logging)
        log_read(&e->memory, address, size);
    Py_RETURN_NONE;
}

static PyObject *executor_read(Executor *e, PyObject *args)
{
    uint32_t address, size;

    if (!PyArg_ParseTuple(args, "II", &address, &size))
        return NULL;
    if (!is_mapped(&e->memory, address, size))
        Py_RETURN_NONE;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (bytes)
        get_memory(&e->memory, address, (uint8_t *)PyBytes_AS_STRING(bytes), size);
    return bytes;
}

static PyObject *executor_write(Executor *e, PyObject *args)
{
    uint32_t address;
    const char *data;
    Py_ssize_t size;

    if (!PyArg_ParseTuple(args, "Iy#", &address, &data, &size))
        return NULL;
    bool is_there = is_mapped(&e->memory, address, (uint32_t)size);
    if (is_there && size)
        put_memory(&e->memory, address, (const uint8_t *)data, (uint32_t)size);
    return PyBool_FromLong(is_there);
}

static PyObject *executor_start_log(Executor *e, PyObject *args)
{
    int ignores_written;

    if (!PyArg_ParseTuple(args, "p", &ignores_written))
        return NULL;
    start_log(&e->memory, ignores_written);
    Py_RETURN_NONE;
}

static PyObject *executor_take_log(Executor *e, PyObject *Py_UNUSED(ignored))
{
    const struct host_memory *m = &e->memory;
    PyObject *list = PyList_New((Py_ssize_t)m->read_count);

    e->memory.is_logging = false;
    for (uint32_t at = 0; list && at < m->read_count; at++) {
        PyObject *pair = Py_BuildValue("(II)", m->reads[at].address, m->reads[at].size);
        if (!pair) {
            Py_CLEAR(list);
            break;
        }
        PyList_SET_ITEM(list, (Py_ssize_t)at, pair);
    }
    return list;
}

/* ---- what is known ---- */

static PyObject *keys_as_bytes(const struct key_map *m)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(m->count * sizeof(struct key)));

    if (!bytes)
        return NULL;
    char *out = PyBytes_AS_STRING(bytes);
    for (uint32_t at = 0; at <= m->mask; at++) {
        if (!m->keys[at].key)
            continue;
        memcpy(out, &m->keys[at], sizeof(struct key));
        out += sizeof(struct key);
    }
    return bytes;
}

static PyObject *executor_known(Executor *e, PyObject *Py_UNUSED(ignored))
{
    const struct guidance *g = &e->guidance;

    return Py_BuildValue("(NNNy#)", keys_as_bytes(&g->edges), keys_as_bytes(&g->paths), keys_as_bytes(&g->outcomes),
                         (const char *)g->deepest, (Py_ssize_t)(g->function_count * sizeof *g->deepest));
}

static void teach_keys(struct key_map *m, const char *data, Py_ssize_t size)
{
    for (Py_ssize_t at = 0; at + (Py_ssize_t)sizeof(struct key) <= size; at += sizeof(struct key)) {
        struct key key;
        memcpy(&key, data + at, sizeof key);
        raise_key(m, key.key, key.value);
    }
}

static PyObject *executor_teach(Executor *e, PyObject *args)
{
    struct guidance *g = &e->guidance;
    const char *edges, *paths, *outcomes, *deepest;
    Py_ssize_t edge_size, path_size, outcome_size, deepest_size;

    if (!PyArg_ParseTuple(args, "y#y#y#y#", &edges, &edge_size, &paths, &path_size, &outcomes, &outcome_size,
                          &deepest, &deepest_size))
        return NULL;
    teach_keys(&g->edges, edges, edge_size);
    teach_keys(&g->paths, paths, path_size);
    teach_keys(&g->outcomes, outcomes, outcome_size);
    for (uint32_t at = 0; at < g->function_count && (Py_ssize_t)((at + 1) * sizeof *g->deepest) <= deepest_size; at++) {
        struct deepest known;
        memcpy(&known, deepest + at * sizeof known, sizeof known);
        raise_deepest(&g->deepest[at], &known);
    }
    Py_RETURN_NONE;
}

static PyObject *executor_unlearn(Executor *e, PyObject *Py_UNUSED(ignored))
{
    clear_guidance(&e->guidance);
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static void executor_dealloc(Executor *e)
{
    PyTypeObject *type = Py_TYPE(e);

    if (e->probe && e->probe->guidance == &e->guidance)
        e->probe->guidance = NULL;
    clear_slots(e);
    free_memory(&e->memory);
    free_guidance(&e->guidance);
    Py_XDECREF(e->probe);
    type->tp_free((PyObject *)e);
}

static PyObject *executor_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"probe",   "engine",   "emu_start",    "reg_read", "reg_write", "context_restore",
                            "mem_map_ptr", "mem_unmap", "eip_register", NULL};
    unsigned long long engine, emu_start, reg_read, reg_write, context_restore, mem_map_ptr, mem_unmap;
    PyObject *probe;
    int eip_register;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!KKKKKKKi", names, &probe_type, &probe, &engine, &emu_start,
                                     &reg_read, &reg_write, &context_restore, &mem_map_ptr, &mem_unmap,
                                     &eip_register))
        return NULL;
    Executor *e = (Executor *)type->tp_alloc(type, 0);
    if (!e)
        return NULL;
    e->probe = (Probe *)Py_NewRef(probe);
    e->uc = (void *)(uintptr_t)engine;
    e->emu_start = (emu_start_fn)(uintptr_t)emu_start;
    e->reg_read = (reg_read_fn)(uintptr_t)reg_read;
    e->reg_write = (reg_write_fn)(uintptr_t)reg_write;
    e->context_restore = (context_restore_fn)(uintptr_t)context_restore;
    e->memory.uc = e->uc;
    e->memory.map_ptr = (mem_map_ptr_fn)(uintptr_t)mem_map_ptr;
    e->memory.unmap = (mem_unmap_fn)(uintptr_t)mem_unmap;
    e->eip_register = eip_register;
    if (!make_memory(&e->memory) || !make_guidance(&e->guidance, e->probe->stack.function_count)) {
        Py_DECREF(e);
        return PyErr_NoMemory();
    }
    e->probe->guidance = &e->guidance;
    return (PyObject *)e;
}

static PyObject *get_write_hook(PyObject *Py_UNUSED(self), void *Py_UNUSED(unused))
{
    return PyLong_FromVoidPtr((void *)on_write);
}

static PyObject *get_read_hook(PyObject *Py_UNUSED(self), void *Py_UNUSED(unused))
{
    return PyLong_FromVoidPtr((void *)on_read);
}

static PyObject *get_user_data(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromVoidPtr(&((Executor *)self)->memory);
}

static PyObject *get_u64(PyObject *self, void *offset)
{
    return PyLong_FromUnsignedLongLong(*(uint64_t *)((char *)self + (uintptr_t)offset));
}

static PyObject *get_reasons(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLong(((Executor *)self)->guidance.reasons);
}

static PyObject *get_error(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromLong(((Executor *)self)->error);
}

static PyObject *get_exact(PyObject *self, void *Py_UNUSED(unused))
{
    return PyBool_FromLong(is_exact((Executor *)self));
}

#define OFFSET(field) ((void *)offsetof(Executor, field))

static PyGetSetDef executor_getset[] = {
    {"write_hook", get_write_hook, NULL, NULL, NULL},
    {"read_hook", get_read_hook, NULL, NULL, NULL},
    {"user_data", get_user_data, NULL, NULL, NULL},
    {"number", get_u64, NULL, NULL, OFFSET(number)},
    {"native", get_u64, NULL, NULL, OFFSET(native)},
    {"reasons", get_reasons, NULL, NULL, NULL},
    {"error", get_error, NULL, NULL, NULL},
    {"exact", get_exact, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef executor_methods[] = {
    {"map", (PyCFunction)executor_map, METH_VARARGS, NULL},
    {"unmap", (PyCFunction)executor_unmap, METH_VARARGS, NULL},
    {"will_write", (PyCFunction)executor_will_write, METH_VARARGS, NULL},
    {"will_read", (PyCFunction)executor_will_read, METH_VARARGS, NULL},
    {"read", (PyCFunction)executor_read, METH_VARARGS, NULL},
    {"write", (PyCFunction)executor_write, METH_VARARGS, NULL},
    {"start_log", (PyCFunction)executor_start_log, METH_VARARGS, NULL},
    {"take_log", (PyCFunction)executor_take_log, METH_NOARGS, NULL},
    {"prepare", (PyCFunction)executor_prepare, METH_VARARGS, NULL},
    {"set_slots", (PyCFunction)executor_set_slots, METH_VARARGS, NULL},
    {"plan", (PyCFunction)executor_plan, METH_VARARGS, NULL},
    {"run", (PyCFunction)executor_run, METH_VARARGS, NULL},
    {"finish", (PyCFunction)executor_finish, METH_VARARGS, NULL},
    {"skip", (PyCFunction)executor_skip, METH_NOARGS, NULL},
    {"abandon", (PyCFunction)executor_abandon, METH_NOARGS, NULL},
    {"draw", (PyCFunction)executor_draw, METH_VARARGS, NULL},
    {"changed", (PyCFunction)executor_changed, METH_NOARGS, NULL},
    {"known", (PyCFunction)executor_known, METH_NOARGS, NULL},
    {"teach", (PyCFunction)executor_teach, METH_VARARGS, NULL},
    {"unlearn", (PyCFunction)executor_unlearn, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject executor_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "stackemu.emu.probe.Executor",
    .tp_basicsize = sizeof(Executor),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = PyDoc_STR("Runs one function on many inputs; see probe.pyi for what each member means."),
    .tp_new = executor_new,
    .tp_dealloc = (destructor)executor_dealloc,
    .tp_methods = executor_methods,
    .tp_getset = executor_getset,
};

PyObject *bare_loop(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned long long emu_start, engine, count;
    uint32_t begin, until;

    if (!PyArg_ParseTuple(args, "KKIIK", &emu_start, &engine, &begin, &until, &count))
        return NULL;
    emu_start_fn start = (emu_start_fn)(uintptr_t)emu_start;
    for (; count > 0; count--) {
        int error = start((void *)(uintptr_t)engine, begin, until, 0, 0);
        if (error)
            return PyErr_Format(PyExc_RuntimeError, "Unicorn's error %d", error);
    }
    Py_RETURN_NONE;
}
