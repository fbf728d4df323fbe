/* Blocks of translated code by address and size, and what each does to the stack.
 *
 * Open addressing; every block is an allocation of its own, since blocks point at each other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BLOCKS (1u << 19) /* 60 MiB */

enum { TRANSFER_PLAIN, TRANSFER_CALL, TRANSFER_RETURN };

struct block {
    uint32_t address, size;
    uint32_t count;          /* instructions */
    uint32_t epoch;          /* the run that saw it last */
    uint32_t next_address;   /* the block that followed it last time, */
    uint32_t next_size;
    struct block *next;      /* so that most look-ups are one comparison */
    uint32_t function;       /* the function whose code it is */
    bool active;             /* touches ESP or transfers control across functions */
    bool opaque;             /* ESP at exit has to be read */
    bool exact;
    bool rises;              /* peak or tail_peak is not 0 */
    bool entry;              /* a function's first block */
    uint8_t transfer;
    int32_t low, delta, tail_low;
    int32_t peak, tail_peak; /* how far ESP rises in between: above its values at entry, and at exit */
    uint32_t align;
    int32_t align_at, aligned_low;
};

struct block_table {
    struct block **slots;
    uint32_t mask, count;    /* capacity - 1, a power of two less one */
};

static inline uint32_t hash_address(uint32_t address)
{
    return (address * 0x9E3779B1u) >> 7;
}

static inline bool make_table(struct block_table *t)
{
    t->mask = 1023;
    t->slots = calloc(t->mask + 1, sizeof(struct block *));
    return t->slots != NULL;
}

static inline void clear_table(struct block_table *t)
{
    for (uint32_t i = 0; t->slots && i <= t->mask; i++) {
        free(t->slots[i]);
        t->slots[i] = NULL;
    }
    t->count = 0;
}

static inline struct block *find_block(const struct block_table *t, uint32_t address, uint32_t size)
{
    for (uint32_t i = hash_address(address) & t->mask; t->slots[i]; i = (i + 1) & t->mask)
        if (t->slots[i]->address == address && t->slots[i]->size == size)
            return t->slots[i];
    return NULL;
}

static inline void place_block(struct block **slots, uint32_t mask, struct block *block)
{
    uint32_t slot = hash_address(block->address) & mask;

    while (slots[slot])
        slot = (slot + 1) & mask;
    slots[slot] = block;
}

static inline bool grow_table(struct block_table *t)
{
    uint32_t capacity = (t->mask + 1) * 2;
    struct block **grown = calloc(capacity, sizeof *grown);

    if (!grown)
        return false;
    for (uint32_t i = 0; i <= t->mask; i++)
        if (t->slots[i])
            place_block(grown, capacity - 1, t->slots[i]);
    free(t->slots);
    t->slots = grown;
    t->mask = capacity - 1;
    return true;
}

/* Keep a copy of `block`; NULL when there is no memory. */
static inline struct block *insert_block(struct block_table *t, const struct block *block)
{
    if (t->count * 2 > t->mask && !grow_table(t))
        return NULL;
    struct block *added = malloc(sizeof *added);
    if (!added)
        return NULL;
    *added = *block;
    place_block(t->slots, t->mask, added);
    t->count++;
    return added;
}

/* Let no block remember which one followed it. */
static inline void forget_successors(struct block_table *t)
{
    for (uint32_t i = 0; i <= t->mask; i++)
        if (t->slots[i])
            t->slots[i]->next_address = t->slots[i]->next_size = 0;
}
