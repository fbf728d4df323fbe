/* A map from 64-bit keys to 32-bit values: open addressing, grows up to a bound, behind which nothing is new. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define MAX_KEYS (1u << 21) /* 64 MiB at most, with the room that open addressing needs */

struct key {
    uint64_t key;    /* 0: free */
    uint32_t value, unused;
};

struct key_map {
    struct key *keys;
    uint32_t mask, count;
};

static inline bool make_keys(struct key_map *m)
{
    m->mask = 1023;
    m->count = 0;
    m->keys = calloc(m->mask + 1, sizeof *m->keys);
    return m->keys != NULL;
}

static inline struct key *locate_key(const struct key_map *m, uint64_t key)
{
    uint32_t at = (uint32_t)((key * 0x9E3779B97F4A7C15u) >> 32) & m->mask;

    while (m->keys[at].key && m->keys[at].key != key)
        at = (at + 1) & m->mask;
    return &m->keys[at];
}

static inline bool grow_keys(struct key_map *m)
{
    struct key_map grown = {.mask = 2 * m->mask + 1, .count = m->count};

    grown.keys = calloc((size_t)grown.mask + 1, sizeof *grown.keys);
    if (!grown.keys)
        return false;
    for (uint32_t at = 0; at <= m->mask; at++)
        if (m->keys[at].key)
            *locate_key(&grown, m->keys[at].key) = m->keys[at];
    free(m->keys);
    *m = grown;
    return true;
}

/* Let the value of `key` be at least `value`; returns whether the key is new or its value has grown. */
static inline bool raise_key(struct key_map *m, uint64_t key, uint32_t value)
{
    key = key ? key : 1;
    struct key *place = locate_key(m, key);

    if (place->key) {
        if (value <= place->value)
            return false;
        place->value = value;
        return true;
    }
    if (m->count >= MAX_KEYS)
        return false;
    if (m->count * 2 > m->mask) {
        if (!grow_keys(m))
            return false;
        place = locate_key(m, key);
    }
    *place = (struct key){key, value, 0};
    m->count++;
    return true;
}

static inline void clear_keys(struct key_map *m)
{
    for (uint32_t at = 0; at <= m->mask; at++)
        m->keys[at] = (struct key){0};
    m->count = 0;
}
