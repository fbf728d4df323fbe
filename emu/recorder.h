/* The recorder's type, which the probe's module offers beside the probe. */
#pragma once

#include <Python.h>

extern PyTypeObject recorder_type;
