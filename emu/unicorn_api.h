/* Unicorn's functions come in as addresses, so that nothing here is linked against its library; the signatures are
 * Unicorn 2.1's (unicorn.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef int (*reg_read_fn)(void *uc, int regid, void *value);
typedef int (*reg_write_fn)(void *uc, int regid, const void *value);
typedef int (*mem_read_fn)(void *uc, uint64_t address, void *bytes, uint64_t size);
typedef int (*mem_map_ptr_fn)(void *uc, uint64_t address, uint64_t size, uint32_t permissions, void *host);
typedef int (*mem_unmap_fn)(void *uc, uint64_t address, uint64_t size);
typedef int (*context_restore_fn)(void *uc, void *context);
typedef int (*emu_start_fn)(void *uc, uint64_t begin, uint64_t until, uint64_t timeout, size_t count);
typedef int (*emu_stop_fn)(void *uc);

enum { UNICORN_OK = 0 };
