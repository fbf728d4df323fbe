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

#define UNTIL 0xFFFFFFFFu      /* where Unicorn stops by itself: an address that no code can have */
#define CHECK_INTERVAL 500000u /* instructions between looks at the clock and at signals, */
#define EXECUTION_COST 500u    /* of which an execution counts as so many more */

enum { OUTCOME_RETURNED, OUTCOME_TOO_DEEP };

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

bool is_exact(const Executor *e)
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

PyObject *executor_run(Executor *e, PyObject *args)
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

PyObject *executor_finish(Executor *e, PyObject *args)
{
    uint32_t outcome;

    if (!PyArg_ParseTuple(args, "I", &outcome))
        return NULL;
    return PyBool_FromLong(end_execution(e, outcome));
}

PyObject *executor_skip(Executor *e, PyObject *Py_UNUSED(ignored))
{
    e->is_running = false;
    e->number++;
    Py_RETURN_NONE;
}

PyObject *executor_abandon(Executor *e, PyObject *Py_UNUSED(ignored))
{
    e->is_running = false;
    e->end = e->number;
    e->guidance.is_watching = false;
    return PyBool_FromLong(put_back(e));
}

/* ---- what is run ---- */

PyObject *executor_prepare(Executor *e, PyObject *args)
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

void clear_slots(Executor *e)
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

PyObject *executor_set_slots(Executor *e, PyObject *args)
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

PyObject *executor_plan(Executor *e, PyObject *args)
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

PyObject *executor_draw(Executor *e, PyObject *args)
{
    unsigned long long seed, number;

    if (!PyArg_ParseTuple(args, "KK", &seed, &number))
        return NULL;
    mutate(&e->slots, seed, number);
    Py_RETURN_NONE;
}

PyObject *executor_changed(Executor *e, PyObject *Py_UNUSED(ignored))
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

/* ---- the floor ---- */

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
