/* The probe as Python sees it (probe.pyi says what each member means). */

#define PY_SSIZE_T_CLEAN
#include "probe.h"

static void drop_blocks(Probe *p)
{
    clear_table(&p->blocks);
    memset(&p->idle, 0, sizeof p->idle);
    p->idle.exact = true;
    p->idle.function = NO_FUNCTION;
    p->pending = &p->idle;
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
    struct block *kept = insert_block(&p->blocks, &pending);
    if (kept)
        p->pending = kept;
    return kept != NULL;
}

static void probe_dealloc(Probe *p)
{
    PyTypeObject *type = Py_TYPE(p);

    drop_blocks(p);
    free_stack(&p->stack);
    free(p->blocks.slots);
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
    if (!make_table(&p->blocks) || !make_stack(&p->stack)) {
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
    if (find_block(&p->blocks, block.address, block.size))
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
    if (p->blocks.count >= MAX_BLOCKS && !start_over(p))
        return PyErr_NoMemory();
    if (!insert_block(&p->blocks, &block))
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
    p->stack.base = stack_base;
    p->stack.size = stack_size;
    begin_run(p, entry, esp, budget, focus);
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

static PyObject *get_own(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLong(own_of_run(&((Probe *)self)->stack));
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

PyTypeObject probe_type = {
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
