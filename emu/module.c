/* The module stackemu.emu.probe: its types and constants. */

#include <Python.h>

#include "executor.h"
#include "probe.h"
#include "recorder.h"
#include "registers.h"

static PyMethodDef probe_functions[] = {
    {"bare_loop", (PyCFunction)bare_loop, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef probe_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "probe",
    .m_doc = "Low-water marks and shadow call stacks at block speed, and the loop of fuzzing.",
    .m_size = -1,
    .m_methods = probe_functions,
};

static const struct {
    const char *name;
    long value;
} constants[] = {
    {"UNKNOWN_BLOCK", REASON_UNKNOWN_BLOCK},
    {"BUDGET", REASON_BUDGET},
    {"FRAMES", REASON_FRAMES},
    {"STACK_LEFT", REASON_STACK_LEFT},
    {"EVENT_FINISHED", EVENT_FINISHED},
    {"EVENT_FIND", EVENT_FIND},
    {"EVENT_UNKNOWN_BLOCK", EVENT_UNKNOWN_BLOCK},
    {"EVENT_STOPPED", EVENT_STOPPED},
    {"EVENT_CODE_CHANGED", EVENT_CODE_CHANGED},
};

PyMODINIT_FUNC PyInit_probe(void)
{
    PyTypeObject *const types[] = {&probe_type, &recorder_type, &registers_type, &executor_type};
    PyObject *module = PyModule_Create(&probe_module);

    for (size_t at = 0; module && at < sizeof types / sizeof *types; at++)
        if (PyModule_AddType(module, types[at]) < 0)
            Py_CLEAR(module);
    for (size_t at = 0; module && at < sizeof constants / sizeof *constants; at++)
        if (PyModule_AddIntConstant(module, constants[at].name, constants[at].value) < 0)
            Py_CLEAR(module);
    return module;
}
