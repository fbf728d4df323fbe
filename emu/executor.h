/* The executor's type, and the bare loop that its speed is compared with. */
#pragma once

#include <Python.h>

extern PyTypeObject executor_type;

enum event { EVENT_FINISHED, EVENT_FIND, EVENT_UNKNOWN_BLOCK, EVENT_STOPPED, EVENT_CODE_CHANGED };

PyObject *bare_loop(PyObject *module, PyObject *args);
