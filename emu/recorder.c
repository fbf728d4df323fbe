/* The recorder: the general registers before every instruction of a run, for those who want to know afterwards
 * where a value came from. Nothing that is measured comes from it.
 *
 * It is a second hook (UC_HOOK_CODE) beside the probe's; signatures are those of Unicorn 2.1 (unicorn.h). */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>

#include "recorder.h"

#define REGISTERS 8
#define FIRST_CAPACITY 4096u

typedef int (*reg_read_fn)(void *uc, int regid, void *value);

struct step {
    uint32_t address;
    uint32_t registers[REGISTERS];
};

typedef struct {
    PyObject_HEAD
    reg_read_fn reg_read;
    int numbers[REGISTERS];  /* Unicorn's, in the order in which x86 encodes registers */
    struct step *steps;
    uint32_t count, capacity, limit;
} Recorder;

static void on_instruction(void *uc, uint64_t address, uint32_t size, void *user)
{
    Recorder *r = user;

    (void)size;
    if (r->count == r->limit)
        return;
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity ? 2 * r->capacity : FIRST_CAPACITY;
        struct step *grown = realloc(r->steps, capacity * sizeof *grown);
        if (!grown) {
            r->limit = r->count; /* what was recorded so far stays of use */
            return;
        }
        r->steps = grown;
        r->capacity = capacity;
    }
    struct step *step = &r->steps[r->count++];
    step->address = (uint32_t)address;
    for (int i = 0; i < REGISTERS; i++)
        r->reg_read(uc, r->numbers[i], &step->registers[i]);
}

static PyObject *recorder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"reg_read", "registers", NULL};
    unsigned long long reg_read;
    int n[REGISTERS];

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "K(iiiiiiii)", names, &reg_read, &n[0], &n[1], &n[2], &n[3], &n[4],
                                     &n[5], &n[6], &n[7]))
        return NULL;
    Recorder *r = (Recorder *)type->tp_alloc(type, 0);
    if (!r)
        return NULL;
    r->reg_read = (reg_read_fn)(uintptr_t)reg_read;
    for (int i = 0; i < REGISTERS; i++)
        r->numbers[i] = n[i];
    return (PyObject *)r;
}

static void recorder_dealloc(Recorder *r)
{
    PyTypeObject *type = Py_TYPE(r);

    free(r->steps);
    type->tp_free((PyObject *)r);
}

static PyObject *recorder_begin(Recorder *r, PyObject *args)
{
    uint32_t limit;

    if (!PyArg_ParseTuple(args, "I", &limit))
        return NULL;
    r->count = 0;
    r->limit = limit;
    Py_RETURN_NONE;
}

static PyObject *recorder_steps(Recorder *r, PyObject *Py_UNUSED(ignored))
{
    return PyBytes_FromStringAndSize((const char *)r->steps, (Py_ssize_t)(r->count * sizeof *r->steps));
}

static PyObject *get_count(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromUnsignedLong(((Recorder *)self)->count);
}

static PyObject *get_hook(PyObject *Py_UNUSED(self), void *Py_UNUSED(unused))
{
    return PyLong_FromVoidPtr((void *)on_instruction);
}

static PyObject *get_user_data(PyObject *self, void *Py_UNUSED(unused))
{
    return PyLong_FromVoidPtr(self);
}

static PyGetSetDef recorder_getset[] = {
    {"hook", get_hook, NULL, NULL, NULL},
    {"user_data", get_user_data, NULL, NULL, NULL},
    {"count", get_count, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef recorder_methods[] = {
    {"begin", (PyCFunction)recorder_begin, METH_VARARGS, NULL},
    {"steps", (PyCFunction)recorder_steps, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject recorder_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "stackemu.emu.probe.Recorder",
    .tp_basicsize = sizeof(Recorder),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = PyDoc_STR("The registers before every instruction of a run; see probe.pyi."),
    .tp_new = recorder_new,
    .tp_dealloc = (destructor)recorder_dealloc,
    .tp_methods = recorder_methods,
    .tp_getset = recorder_getset,
};
