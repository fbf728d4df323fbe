/* The shadow call stack: which functions' frames stand on the stack, how low ESP went, and how low it went in each.
 *
 * A frame is pushed when control arrives at a function by a call, and popped when ESP rises above its value at the
 * function's entry. What each function reached in any of its frames is its mark: `own` by its own instructions,
 * `depth` with its callees, both in bytes below ESP at the entry. Exception handlers run on top of the function that
 * raised without being called by it: they count in the whole run, not in its mark.
 *
 * With a focus the low-water mark and its chain are those of the frames of one function instead of the whole run's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FRAMES 32768u
#define NO_FUNCTION UINT32_MAX
#define NOT_DRIVER (UINT32_MAX - 1) /* pushes of the kernel's, which are no function's own */

struct range {
    uint32_t start, end;
};

struct frame {
    uint32_t function;       /* address of the function's entry */
    uint32_t esp;            /* ESP at its entry */
    uint32_t return_address;
    uint32_t owner;          /* function index */
    uint32_t low;            /* the lowest ESP while it stood, */
    uint32_t own_low;        /* and the lowest that its own instructions reached */
};

struct mark {
    uint32_t function, own, depth; /* address of the entry; bytes */
    bool is_over;                  /* the frame that went deepest has been left */
};

struct shadow_stack {
    struct range *functions; /* ascending */
    uint32_t function_count;
    struct mark *marks;      /* one a function */
    uint32_t *marked;        /* indices of those that have a mark in this run */
    uint32_t marked_count;

    struct frame *frames, *chain;
    uint32_t depth;          /* index of the top frame */
    uint32_t esp, low;
    uint32_t low_depth, chain_count;
    uint32_t detached;       /* index of the lowest frame that no function below it called, 0: none stands */
    bool low_fresh;          /* the chain of the low-water mark still stands on the shadow stack */
    uint32_t base, size;     /* of the stack */

    uint32_t focus;          /* address of a function's entry, 0 without a focus */
    uint32_t focus_depth;    /* index of the outermost of its frames that stand, 0: none does */
    uint32_t focus_best;     /* the deepest any of them went */
    bool focus_returned;     /* that one was left */
};

/* The index of the function that holds `address`, NO_FUNCTION outside all of them. */
static inline uint32_t owner_of(const struct shadow_stack *s, uint32_t address)
{
    uint32_t low = 0, high = s->function_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->functions[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || address >= s->functions[low - 1].end)
        return NO_FUNCTION;
    return low - 1;
}

static inline bool is_entry(const struct shadow_stack *s, uint32_t address, uint32_t owner)
{
    return owner == NO_FUNCTION || s->functions[owner].start == address;
}

static inline bool on_stack(const struct shadow_stack *s, uint32_t esp)
{
    return esp - s->base <= s->size;
}

/* Copy the frames that stood at the low-water mark, before the first of them goes. */
static inline void keep_chain(struct shadow_stack *s)
{
    uint32_t first = s->focus ? s->focus_depth : 0;

    s->chain_count = s->low_depth + 1 - first;
    memcpy(s->chain, s->frames + first, s->chain_count * sizeof *s->chain);
    s->low_fresh = false;
}

/* Let a function's mark be at least what a frame of it reached. */
static inline void mark_frame(struct shadow_stack *s, const struct frame *frame, bool is_over)
{
    if (frame->owner >= s->function_count || s->functions[frame->owner].start != frame->function)
        return;
    struct mark *mark = &s->marks[frame->owner];
    uint32_t own = frame->esp - frame->own_low, depth = frame->esp - frame->low;

    if (!mark->function) {
        *mark = (struct mark){.function = frame->function};
        s->marked[s->marked_count++] = frame->owner;
    }
    if (own > mark->own)
        mark->own = own;
    if (depth > mark->depth || (depth == mark->depth && is_over)) {
        mark->depth = depth;
        mark->is_over = is_over;
    }
}

static inline void leave_focus(struct shadow_stack *s, bool is_over)
{
    if (s->low_fresh)
        keep_chain(s);
    uint32_t depth = s->frames[s->focus_depth].esp - s->low;
    if (depth > s->focus_best) {
        s->focus_best = depth;
        s->focus_returned = is_over;
    }
    s->focus_depth = 0;
    s->low = 0; /* nothing is lower */
    s->low_fresh = false;
}

static inline void pop_frame(struct shadow_stack *s)
{
    const struct frame *top = &s->frames[s->depth];
    struct frame *below = &s->frames[s->depth - 1];

    if (s->low_fresh && s->depth <= s->low_depth)
        keep_chain(s);
    if (s->depth == s->focus_depth)
        leave_focus(s, true);
    mark_frame(s, top, true);
    if (s->depth == s->detached)
        s->detached = 0;
    else if (top->low < below->low && on_stack(s, below->esp)) /* not from a callout's stack to its caller's */
        below->low = top->low;
    s->depth--;
}

/* ESP was as low as `low` in code of the function `owner`. */
static inline void reach(struct shadow_stack *s, uint32_t low, uint32_t owner)
{
    struct frame *top = &s->frames[s->depth];

    if (low < s->low && (!s->focus || s->focus_depth >= s->detached)) {
        s->low = low;
        s->low_depth = s->depth;
        s->low_fresh = true;
    }
    if (low < top->own_low && on_stack(s, top->esp)) { /* not on the stack of a callout that is being called */
        if (low < top->low)
            top->low = low;
        if (owner == top->owner)
            top->own_low = low;
    }
}

/* Pop the frames that ESP has left behind; `returned_to` is where a return went, 0 for other transfers. A
 * helper such as __SEH_prolog4 or _chkstk returns with ESP below its entry value: its frame goes when
 * control is back at its return address, and the stack it leaves belongs to its caller. */
static inline void settle(struct shadow_stack *s, uint32_t returned_to)
{
    const struct frame *top = &s->frames[s->depth];

    if (s->esp > top->esp) {
        while (s->depth > 0 && s->esp > s->frames[s->depth].esp)
            pop_frame(s);
    } else if (s->depth > 0 && returned_to && returned_to == top->return_address) {
        pop_frame(s);
        reach(s, s->esp, owner_of(s, returned_to));
    }
}

/* The frame on top was not called by the function below it. */
static inline void detach(struct shadow_stack *s)
{
    if (!s->detached)
        s->detached = s->depth;
}

static inline bool push_frame(struct shadow_stack *s, uint32_t function, uint32_t owner, uint32_t return_address)
{
    if (s->depth + 1 >= MAX_FRAMES)
        return false;
    s->frames[++s->depth] = (struct frame){.function = function,
                                           .esp = s->esp,
                                           .return_address = return_address,
                                           .owner = owner,
                                           .low = s->esp,
                                           .own_low = s->esp};
    if (s->focus == function && s->focus && !s->focus_depth) {
        s->focus_depth = s->depth;
        s->low = s->esp - s->focus_best; /* what is not deeper than before is of no interest */
    }
    return true;
}

/* Start a run of the function at `entry`. */
static inline void begin_stack(struct shadow_stack *s, uint32_t entry, uint32_t esp, uint32_t focus)
{
    for (uint32_t i = 0; i < s->marked_count; i++)
        s->marks[s->marked[i]].function = 0;
    s->marked_count = 0;
    s->esp = esp;
    s->low = focus ? 0 : esp;
    s->depth = 0;
    s->frames[0] =
        (struct frame){.function = entry, .esp = esp, .owner = owner_of(s, entry), .low = esp, .own_low = esp};
    s->detached = 0;
    s->low_depth = 0;
    s->low_fresh = !focus;
    s->chain_count = 0;
    s->focus = focus;
    s->focus_depth = 0;
    s->focus_best = 0;
    s->focus_returned = false;
}

/* End a run: what the frames reached that still stand counts as well. */
static inline void end_stack(struct shadow_stack *s)
{
    if (s->low_fresh)
        keep_chain(s);
    if (s->focus_depth)
        leave_focus(s, false);
    for (uint32_t at = s->depth + 1; at-- > 0;) {
        mark_frame(s, &s->frames[at], at == 0);
        if (at > 0 && at != s->detached && s->frames[at].low < s->frames[at - 1].low)
            s->frames[at - 1].low = s->frames[at].low;
    }
}

/* What the run's own function reached by its own instructions: its frame at the bottom, and those that recursion makes. */
static inline uint32_t own_of_run(const struct shadow_stack *s)
{
    uint32_t owner = s->frames[0].owner, own = 0;

    if (owner < s->function_count && s->marks[owner].function)
        own = s->marks[owner].own;
    for (uint32_t at = 0; at <= s->depth; at++)
        if (s->frames[at].owner == owner && s->frames[at].esp - s->frames[at].own_low > own)
            own = s->frames[at].esp - s->frames[at].own_low;
    return own;
}

static inline bool make_stack(struct shadow_stack *s)
{
    s->frames = calloc(MAX_FRAMES, sizeof *s->frames);
    s->chain = calloc(MAX_FRAMES, sizeof *s->chain);
    return s->frames && s->chain;
}

static inline void free_stack(struct shadow_stack *s)
{
    free(s->functions);
    free(s->marks);
    free(s->marked);
    free(s->frames);
    free(s->chain);
}

/* Take over `count` functions; false when there is no memory. */
static inline bool set_functions(struct shadow_stack *s, const struct range *functions, uint32_t count)
{
    struct range *ranges = malloc((count + 1) * sizeof *ranges);
    struct mark *marks = calloc(count + 1, sizeof *marks);
    uint32_t *marked = malloc((count + 1) * sizeof *marked);

    if (!ranges || !marks || !marked) {
        free(ranges);
        free(marks);
        free(marked);
        return false;
    }
    memcpy(ranges, functions, count * sizeof *ranges);
    free(s->functions);
    free(s->marks);
    free(s->marked);
    s->functions = ranges;
    s->marks = marks;
    s->marked = marked;
    s->function_count = count;
    s->marked_count = 0;
    return true;
}
