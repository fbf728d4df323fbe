/* Emulated memory on buffers of our own: which pages were written, and what they held before.
 *
 * A page's content is copied when it is written for the first time after `freeze_memory`; putting dirty pages back
 * is a copy a page, and nothing is done for the others. A reading log tells which bytes a run read that it had not
 * written. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "unicorn_api.h"

#define HOST_PAGE 0x1000u
#define PAGE_COUNT (1u << 20) /* of 32-bit addresses */
#define MAX_READS 4096u

struct host_page {
    uint32_t address;
    uint8_t *host;
    uint8_t *before;         /* its content when memory was frozen, where `epoch` is the present one */
    uint8_t *known;          /* a bit a byte: written or logged in this run; NULL until a log needs it */
    uint32_t epoch, known_epoch;
    bool is_dirty, holds_code;
};

struct host_region {
    uint32_t address, size;
    uint8_t *host;
};

struct host_read {
    uint32_t address, size;
};

struct host_memory {
    void *uc;
    mem_map_ptr_fn map_ptr;
    mem_unmap_fn unmap;
    uint32_t *index;         /* by page number: 1 + index in `pages`, 0 where nothing is mapped */
    struct host_page *pages;
    uint32_t page_count, page_capacity;
    uint32_t *dirty;         /* indices of dirty pages */
    uint32_t dirty_count;
    struct host_region *regions;
    uint32_t region_count, region_capacity;
    uint32_t epoch;          /* counts calls of freeze_memory */
    bool out_of_memory;      /* a page's content could not be kept */

    bool is_logging, ignores_written;
    uint32_t log_epoch;
    struct host_read reads[MAX_READS];
    uint32_t read_count;
    struct host_read late;   /* a write to a page that was not mapped yet */
};

bool make_memory(struct host_memory *m);
void free_memory(struct host_memory *m);

/* Map `size` bytes of zeros; returns Unicorn's error code, or -1 when there is no memory. */
int map_memory(struct host_memory *m, uint32_t address, uint32_t size, uint32_t permissions, bool holds_code);
/* Undo a `map_memory` of the same range; returns Unicorn's error code, or -1 when there was none. */
int unmap_memory(struct host_memory *m, uint32_t address, uint32_t size);

/* Make the present content what `restore_memory` goes back to. */
void freeze_memory(struct host_memory *m);
/* Put back what was written. */
void restore_memory(struct host_memory *m);
/* Whether memory that holds code differs from what it was when it was frozen. */
bool is_code_changed(const struct host_memory *m);

/* Log what is read; without `ignores_written` even where the run itself wrote before. */
void start_log(struct host_memory *m, bool ignores_written);
void log_read(struct host_memory *m, uint32_t address, uint32_t size);
void log_write(struct host_memory *m, uint32_t address, uint32_t size);
void make_dirty(struct host_memory *m, uint32_t index);

static inline struct host_page *page_at(const struct host_memory *m, uint32_t address)
{
    uint32_t index = m->index[address / HOST_PAGE];

    return index ? &m->pages[index - 1] : NULL;
}

/* Take note that `size` bytes are going to be written. */
static inline void will_write(struct host_memory *m, uint32_t address, uint32_t size)
{
    uint32_t last = (address + (size ? size - 1 : 0)) / HOST_PAGE;

    for (uint32_t page = address / HOST_PAGE;; page = (page + 1) % PAGE_COUNT) {
        uint32_t index = m->index[page];
        if (index && !m->pages[index - 1].is_dirty)
            make_dirty(m, index - 1);
        if (page == last)
            break;
    }
    if (__builtin_expect(m->is_logging && m->ignores_written, 0))
        log_write(m, address, size);
}

static inline bool is_mapped(const struct host_memory *m, uint32_t address, uint32_t size)
{
    uint32_t last = (address + (size ? size - 1 : 0)) / HOST_PAGE;

    for (uint32_t page = address / HOST_PAGE; m->index[page]; page = (page + 1) % PAGE_COUNT)
        if (page == last)
            return true;
    return false;
}

/* Copy bytes into memory as far as it is mapped. */
static inline void put_memory(struct host_memory *m, uint32_t address, const uint8_t *bytes, uint32_t size)
{
    will_write(m, address, size);
    for (uint32_t at = 0; at < size;) {
        uint32_t place = address + at, room = HOST_PAGE - place % HOST_PAGE;
        uint32_t count = size - at < room ? size - at : room;
        struct host_page *page = page_at(m, place);
        if (page)
            __builtin_memcpy(page->host + place % HOST_PAGE, bytes + at, count);
        at += count;
    }
}

static inline void get_memory(const struct host_memory *m, uint32_t address, uint8_t *bytes, uint32_t size)
{
    for (uint32_t at = 0; at < size;) {
        uint32_t place = address + at, room = HOST_PAGE - place % HOST_PAGE;
        uint32_t count = size - at < room ? size - at : room;
        __builtin_memcpy(bytes + at, page_at(m, place)->host + place % HOST_PAGE, count);
        at += count;
    }
}

/* The hooks (signature: uc_cb_hookmem_t). */
void on_write(void *uc, int type, uint64_t address, int size, int64_t value, void *memory);
void on_read(void *uc, int type, uint64_t address, int size, int64_t value, void *memory);
