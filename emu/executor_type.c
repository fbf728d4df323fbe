/* The executor as Python sees it: its memory, what it knows, and the type (probe.pyi says what each member means). */

#define PY_SSIZE_T_CLEAN
#include "executor.h"

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
