/* Places of an input that mutation changes, and their values (slots.py says what each kind is). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum kind { KIND_BYTES, KIND_LENGTH, KIND_POINTER, KIND_STATUS, KIND_ENUM, KIND_OUTCOME };

enum destination { TO_MEMORY, TO_REGISTER, TO_KERNEL };

#define MAX_SLOT_SIZE 64u

struct slot { /* as Python packs it: 32-bit words */
    uint32_t destination;
    uint32_t where;          /* address, or Unicorn's number of a register */
    uint32_t size;           /* bytes, at most MAX_SLOT_SIZE */
    uint32_t kind;
};

struct token {
    const uint8_t *bytes;
    uint32_t size;
};

struct slots {
    struct slot *slots;
    uint32_t count;
    uint8_t (*parent)[MAX_SLOT_SIZE], (*values)[MAX_SLOT_SIZE];
    bool *is_changed;
    struct token *tokens;
    uint32_t token_count;
    uint32_t *pointers;      /* addresses worth trying */
    uint32_t pointer_count;
};

/* Change some of the values, starting from the parent's: which and how follows from `seed` and `number` alone. */
void mutate(struct slots *s, uint64_t seed, uint64_t number);
