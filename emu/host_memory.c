#include "host_memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool make_memory(struct host_memory *m)
{
    m->index = calloc(PAGE_COUNT, sizeof *m->index); /* 4 MiB, of which little is ever touched */
    m->epoch = 1;
    return m->index != NULL;
}

void free_memory(struct host_memory *m)
{
    for (uint32_t at = 0; at < m->region_count; at++)
        munmap(m->regions[at].host, m->regions[at].size);
    for (uint32_t at = 0; at < m->page_count; at++) {
        free(m->pages[at].before);
        free(m->pages[at].known);
    }
    free(m->index);
    free(m->pages);
    free(m->dirty);
    free(m->regions);
}

static bool mark_range(struct host_memory *m, uint32_t address, uint32_t size);

/* Make room for a region and its pages. */
static bool grow_memory(struct host_memory *m, uint32_t pages)
{
    if (m->region_count == m->region_capacity) {
        uint32_t capacity = m->region_capacity ? 2 * m->region_capacity : 64;
        struct host_region *grown = realloc(m->regions, capacity * sizeof *grown);
        if (!grown)
            return false;
        m->regions = grown;
        m->region_capacity = capacity;
    }
    if (m->page_count + pages > m->page_capacity) {
        uint32_t capacity = m->page_count + pages + m->page_capacity;
        struct host_page *grown = realloc(m->pages, capacity * sizeof *grown);
        if (!grown)
            return false;
        m->pages = grown;
        uint32_t *dirty = realloc(m->dirty, capacity * sizeof *dirty);
        if (!dirty)
            return false;
        m->dirty = dirty;
        m->page_capacity = capacity;
    }
    return true;
}

int map_memory(struct host_memory *m, uint32_t address, uint32_t size, uint32_t permissions, bool holds_code)
{
    uint32_t count = size / HOST_PAGE;

    if (!grow_memory(m, count))
        return -1;
    uint8_t *host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (host == MAP_FAILED)
        return -1;
    int error = m->map_ptr(m->uc, address, size, permissions, host);
    if (error) {
        munmap(host, size);
        return error;
    }
    m->regions[m->region_count++] = (struct host_region){address, size, host};
    for (uint32_t at = 0; at < count; at++) {
        uint32_t place = address + at * HOST_PAGE;
        m->pages[m->page_count] =
            (struct host_page){.address = place, .host = host + at * HOST_PAGE, .holds_code = holds_code};
        m->index[place / HOST_PAGE] = ++m->page_count;
    }
    if (m->is_logging && m->late.size)
        mark_range(m, m->late.address, m->late.size);
    m->late.size = 0;
    return UNICORN_OK;
}

/* Give up a page; the last one takes its place. */
static void drop_page(struct host_memory *m, uint32_t index)
{
    uint32_t last = m->page_count - 1;
    uint32_t kept = 0;

    for (uint32_t at = 0; at < m->dirty_count; at++)
        if (m->dirty[at] != index)
            m->dirty[kept++] = m->dirty[at] == last ? index : m->dirty[at];
    m->dirty_count = kept;
    m->index[m->pages[index].address / HOST_PAGE] = 0;
    free(m->pages[index].before);
    free(m->pages[index].known);
    if (index != last) {
        m->pages[index] = m->pages[last];
        m->index[m->pages[index].address / HOST_PAGE] = index + 1;
    }
    m->page_count--;
}

int unmap_memory(struct host_memory *m, uint32_t address, uint32_t size)
{
    for (uint32_t at = 0; at < m->region_count; at++) {
        struct host_region region = m->regions[at];
        if (region.address != address || region.size != size)
            continue;
        int error = m->unmap(m->uc, address, size);
        if (error)
            return error;
        for (uint32_t page = 0; page < size / HOST_PAGE; page++)
            drop_page(m, m->index[address / HOST_PAGE + page] - 1);
        munmap(region.host, size);
        m->regions[at] = m->regions[--m->region_count];
        return UNICORN_OK;
    }
    return -1;
}

void freeze_memory(struct host_memory *m)
{
    for (uint32_t at = 0; at < m->dirty_count; at++)
        m->pages[m->dirty[at]].is_dirty = false;
    m->dirty_count = 0;
    m->epoch++;
}

void make_dirty(struct host_memory *m, uint32_t index)
{
    struct host_page *page = &m->pages[index];

    if (page->epoch != m->epoch) {
        if (!page->before)
            page->before = malloc(HOST_PAGE);
        if (!page->before) {
            m->out_of_memory = true;
            return;
        }
        memcpy(page->before, page->host, HOST_PAGE);
        page->epoch = m->epoch;
    }
    page->is_dirty = true;
    m->dirty[m->dirty_count++] = index;
}

void restore_memory(struct host_memory *m)
{
    for (uint32_t at = 0; at < m->dirty_count; at++) {
        struct host_page *page = &m->pages[m->dirty[at]];
        memcpy(page->host, page->before, HOST_PAGE);
        page->is_dirty = false;
    }
    m->dirty_count = 0;
}

bool is_code_changed(const struct host_memory *m)
{
    for (uint32_t at = 0; at < m->dirty_count; at++) {
        const struct host_page *page = &m->pages[m->dirty[at]];
        if (page->holds_code && memcmp(page->host, page->before, HOST_PAGE))
            return true;
    }
    return false;
}

/* ---- what a run reads first ---- */

void start_log(struct host_memory *m, bool ignores_written)
{
    m->is_logging = true;
    m->ignores_written = ignores_written;
    m->log_epoch++;
    m->read_count = 0;
    m->late.size = 0;
}

/* Mark bytes of one page as known; returns whether any was not. */
static bool mark_known(struct host_memory *m, struct host_page *page, uint32_t offset, uint32_t count)
{
    bool is_new = false;

    if (!page->known)
        page->known = malloc(HOST_PAGE / 8);
    if (!page->known)
        return false;
    if (page->known_epoch != m->log_epoch) {
        memset(page->known, 0, HOST_PAGE / 8);
        page->known_epoch = m->log_epoch;
    }
    for (uint32_t at = offset; at < offset + count; at++) {
        uint8_t bit = (uint8_t)(1 << at % 8);
        is_new = is_new || !(page->known[at / 8] & bit);
        page->known[at / 8] |= bit;
    }
    return is_new;
}

/* The same for any range; a page that comes into being by this access has nothing known. */
static bool mark_range(struct host_memory *m, uint32_t address, uint32_t size)
{
    bool is_new = false;

    while (size) {
        uint32_t room = HOST_PAGE - address % HOST_PAGE, count = size < room ? size : room;
        struct host_page *page = page_at(m, address);
        if (!page || mark_known(m, page, address % HOST_PAGE, count))
            is_new = true;
        address += count;
        size -= count;
    }
    return is_new;
}

void log_write(struct host_memory *m, uint32_t address, uint32_t size)
{
    mark_range(m, address, size);
    if (!page_at(m, address) || !page_at(m, address + size - 1))
        m->late = (struct host_read){address, size};
}

void log_read(struct host_memory *m, uint32_t address, uint32_t size)
{
    if (mark_range(m, address, size) && m->read_count < MAX_READS)
        m->reads[m->read_count++] = (struct host_read){address, size};
}

/* ---- the hooks ---- */

void on_write(void *uc, int type, uint64_t address, int size, int64_t value, void *memory)
{
    (void)uc, (void)type, (void)value;
    will_write(memory, (uint32_t)address, (uint32_t)size);
}

void on_read(void *uc, int type, uint64_t address, int size, int64_t value, void *memory)
{
    struct host_memory *m = memory;

    (void)uc, (void)type, (void)value;
    if (m->is_logging)
        log_read(m, (uint32_t)address, (uint32_t)size);
}
