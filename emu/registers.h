/* The registers' type, which the probe's module offers beside the probe. */
#pragma once

#include <Python.h>

extern PyTypeObject registers_type;
