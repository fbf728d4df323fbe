/* General registers of an engine, read and written without Unicorn's Python binding, which takes microseconds. */

#define PY_SSIZE_T_CLEAN
#include "registers.h"

#include "unicorn_api.h"

typedef struct {
    PyObject_HEAD
    void *uc;
    reg_read_fn reg_read;
    reg_write_fn reg_write;
} Registers;

static PyObject *registers_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"engine", "reg_read", "reg_write", NULL};
    unsigned long long engine, reg_read, reg_write;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "KKK", names, &engine, &reg_read, &reg_write))
        return NULL;
    Registers *r = (Registers *)type->tp_alloc(type, 0);
    if (!r)
        return NULL;
    r->uc = (void *)(uintptr_t)engine;
    r->reg_read = (reg_read_fn)(uintptr_t)reg_read;
    r->reg_write = (reg_write_fn)(uintptr_t)reg_write;
    return (PyObject *)r;
}

static PyObject *registers_read(Registers *r, PyObject *args)
{
    int number;
    uint32_t value = 0;

    if (!PyArg_ParseTuple(args, "i", &number))
        return NULL;
    if (r->reg_read(r->uc, number, &value) != UNICORN_OK)
        return PyErr_Format(PyExc_ValueError, "no register %d", number);
    return PyLong_FromUnsignedLong(value);
}

static PyObject *registers_write(Registers *r, PyObject *args)
{
    int number;
    uint32_t value;

    if (!PyArg_ParseTuple(args, "iI", &number, &value))
        return NULL;
    if (r->reg_write(r->uc, number, &value) != UNICORN_OK)
        return PyErr_Format(PyExc_ValueError, "no register %d", number);
    Py_RETURN_NONE;
}

static PyMethodDef registers_methods[] = {
    {"read", (PyCFunction)registers_read, METH_VARARGS, NULL},
    {"write", (PyCFunction)registers_write, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject registers_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "stackemu.emu.probe.Registers",
    .tp_basicsize = sizeof(Registers),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = PyDoc_STR("General registers; see probe.pyi for what each member means."),
    .tp_new = registers_new,
    .tp_methods = registers_methods,
};
