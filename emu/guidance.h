/* What executions have shown so far, and whether one showed more: edges, depths of functions, call paths, endings. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "key_map.h"
#include "shadow_stack.h"

enum { /* why an execution is a find */
    FOUND_EDGE = 1,
    FOUND_OWN = 2,
    FOUND_DEPTH = 4,
    FOUND_PATH = 8,
    FOUND_OUTCOME = 16,
};

struct deepest { /* what one function reached, in bytes below its entry */
    uint32_t own, depth;
    uint32_t run;         /* whole runs of it, what its exception handlers used included */
    uint32_t inexact_run; /* the same where the figures are not to be trusted */
};

struct guidance {
    struct key_map edges;    /* address of a block, address of the one that followed */
    struct key_map paths;    /* hash of the functions on a chain: the deepest it went */
    struct key_map outcomes; /* address of an entry, and how a run of it ended */
    struct deepest *deepest; /* one a function */
    uint32_t *stamps;        /* the last chain that each function stood on */
    uint32_t function_count;
    uint32_t stamp;
    bool is_watching;        /* otherwise nothing is taken note of */
    uint32_t reasons;        /* of the execution under way */
};

bool make_guidance(struct guidance *g, uint32_t function_count);
void free_guidance(struct guidance *g);
void clear_guidance(struct guidance *g);

/* Let `known` be at least what `other` is. */
void raise_deepest(struct deepest *known, const struct deepest *other);

/* Judge an execution that is over; `outcome` tells endings apart. Returns why it is a find, 0 when it is none. */
uint32_t judge(struct guidance *g, struct shadow_stack *s, uint32_t outcome, bool is_exact);

static inline void note_edge(struct guidance *g, uint32_t from, uint32_t to)
{
    if (g->is_watching && raise_key(&g->edges, (uint64_t)from << 32 | to, 1))
        g->reasons |= FOUND_EDGE;
}
