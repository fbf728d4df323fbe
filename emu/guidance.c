/* Judging executions, and what is kept of them. */

#include "guidance.h"

bool make_guidance(struct guidance *g, uint32_t function_count)
{
    g->function_count = function_count;
    g->deepest = calloc((size_t)function_count + 1, sizeof *g->deepest);
    g->stamps = calloc((size_t)function_count + 1, sizeof *g->stamps);
    return g->deepest && g->stamps && make_keys(&g->edges) && make_keys(&g->paths) && make_keys(&g->outcomes);
}

void free_guidance(struct guidance *g)
{
    free(g->edges.keys);
    free(g->paths.keys);
    free(g->outcomes.keys);
    free(g->deepest);
    free(g->stamps);
}

void clear_guidance(struct guidance *g)
{
    clear_keys(&g->edges);
    clear_keys(&g->paths);
    clear_keys(&g->outcomes);
    for (uint32_t at = 0; at < g->function_count; at++)
        g->deepest[at] = (struct deepest){0};
}

static bool rise(uint32_t *value, uint32_t to)
{
    if (to <= *value)
        return false;
    *value = to;
    return true;
}

void raise_deepest(struct deepest *known, const struct deepest *other)
{
    rise(&known->own, other->own);
    rise(&known->depth, other->depth);
    rise(&known->run, other->run);
    rise(&known->inexact_run, other->inexact_run);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0xFF51AFD7ED558CCDu;
    return hash ^ hash >> 32;
}

/* Hash the functions on the chain in the order of their first frames; of recursion only the magnitude counts, since
 * every turn would be a path of its own. */
static uint64_t hash_path(struct guidance *g, const struct shadow_stack *s)
{
    uint64_t hash = 0;
    uint32_t repeated = 0;

    g->stamp++;
    for (uint32_t at = 0; at < s->chain_count; at++) {
        const struct frame *frame = &s->chain[at];
        if (frame->owner < g->function_count) {
            if (g->stamps[frame->owner] == g->stamp) {
                repeated++;
                continue;
            }
            g->stamps[frame->owner] = g->stamp;
        }
        hash = mix(hash, frame->function);
    }
    return mix(hash, repeated ? 32u - (uint32_t)__builtin_clz(repeated) : 0);
}

uint32_t judge(struct guidance *g, struct shadow_stack *s, uint32_t outcome, bool is_exact)
{
    const struct frame *entry = &s->frames[0];
    uint32_t reasons = g->reasons, depth = entry->esp - s->low;
    struct deepest *root = entry->owner < g->function_count ? &g->deepest[entry->owner] : NULL;

    if (!g->is_watching)
        return 0;
    if (raise_key(&g->outcomes, (uint64_t)entry->function << 32 | outcome, 1))
        reasons |= FOUND_OUTCOME;
    if (!is_exact)
        return reasons | (root && rise(&root->inexact_run, depth) ? FOUND_DEPTH : 0);
    end_stack(s);
    if (root && rise(&root->run, depth))
        reasons |= FOUND_DEPTH;
    for (uint32_t at = 0; at < s->marked_count && s->marked[at] < g->function_count; at++) {
        const struct mark *mark = &s->marks[s->marked[at]];
        struct deepest *function = &g->deepest[s->marked[at]];
        if (rise(&function->own, mark->own))
            reasons |= FOUND_OWN;
        if (rise(&function->depth, mark->depth))
            reasons |= FOUND_DEPTH;
    }
    if (raise_key(&g->paths, hash_path(g, s), depth))
        reasons |= FOUND_PATH;
    return reasons;
}
