/* Stacked random changes of slot values, in the manner of AFL's havoc stage. */

#include <string.h>

#include "slots.h"

#define MOST_CHANGES_LOG2 4u
#define MOST_ADDED 35u       /* as in AFL (config.h, ARITH_MAX) */

static const uint32_t interesting[] = {
    0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 260,
    511, 512, 513, 1000, 1023, 1024, 1025, 2048, 4095, 4096, 4097, 8192, 12288, 16384, 32767, 32768, 65534, 65535,
    65536, 0x100000, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFF00, 0xFFFFFFFE, 0xFFFFFFFF,
};

/* SUCCESS, PENDING, BUFFER_OVERFLOW, NO_MORE_FILES, UNSUCCESSFUL, NOT_IMPLEMENTED, INVALID_INFO_CLASS,
 * INFO_LENGTH_MISMATCH, INVALID_PARAMETER, NO_SUCH_FILE, INVALID_DEVICE_REQUEST, END_OF_FILE,
 * MORE_PROCESSING_REQUIRED, ACCESS_DENIED, BUFFER_TOO_SMALL, OBJECT_NAME_NOT_FOUND, OBJECT_NAME_COLLISION,
 * SHARING_VIOLATION, DELETE_PENDING, INSUFFICIENT_RESOURCES, NOT_SUPPORTED, CANCELLED, FLT_DO_NOT_ATTACH, NOT_FOUND,
 * RETRY, REPARSE, NO_MORE_ENTRIES (ntstatus.h) */
static const uint32_t statuses[] = {
    0x00000000, 0x00000103, 0x80000005, 0x80000006, 0xC0000001, 0xC0000002, 0xC0000003, 0xC0000004, 0xC000000D,
    0xC000000F, 0xC0000010, 0xC0000011, 0xC0000016, 0xC0000022, 0xC0000023, 0xC0000034, 0xC0000035, 0xC0000043,
    0xC0000056, 0xC000009A, 0xC00000BB, 0xC0000120, 0xC01C000F, 0xC0000225, 0xC000022D, 0x00000104, 0x8000001A,
};

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ANY(random, array) ((array)[below(random, COUNT(array))])

/* xorshift64*, seeded by a round of splitmix64 */
struct random {
    uint64_t state;
};

static uint64_t spread(uint64_t value)
{
    value += 0x9E3779B97F4A7C15u;
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 27) * 0x94D049BB133111EBu;
    return value ^ value >> 31;
}

static uint32_t next_random(struct random *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (uint32_t)(r->state * 0x2545F4914F6CDD1Du >> 32);
}

static uint32_t below(struct random *r, uint32_t bound)
{
    return (uint32_t)((uint64_t)next_random(r) * bound >> 32);
}

static uint32_t number_at(const uint8_t *bytes, uint32_t width)
{
    uint32_t value = 0;

    memcpy(&value, bytes, width);
    return value;
}

static void put_number(uint8_t *bytes, uint32_t width, uint32_t value)
{
    memcpy(bytes, &value, width);
}

/* The width of a number inside a slot: 1, 2 or 4 bytes. */
static uint32_t any_width(struct random *r, uint32_t size)
{
    uint32_t width = 1u << below(r, 3);

    while (width > size)
        width /= 2;
    return width;
}

static void put_token(const struct slots *s, struct random *r, uint8_t *bytes, uint32_t size)
{
    if (!s->token_count)
        return;
    const struct token *token = &s->tokens[below(r, s->token_count)];
    uint32_t count = token->size < size ? token->size : size;

    memcpy(bytes + (below(r, 2) ? below(r, size - count + 1) : 0), token->bytes, count);
}

static void copy_slot(const struct slots *s, struct random *r, uint8_t *bytes, uint32_t size)
{
    uint32_t other = below(r, s->count);
    uint32_t count = s->slots[other].size < size ? s->slots[other].size : size;

    memmove(bytes, s->values[other], count);
}

static uint32_t any_pointer(const struct slots *s, struct random *r)
{
    return s->pointer_count ? s->pointers[below(r, s->pointer_count)] : 0;
}

enum { FLIP_BIT, RANDOM_BYTE, INTERESTING, ADD, TOKEN, COPY, FILL, RANDOM_ALL, POINTER, BYTE_CHANGES };

static void change_bytes(const struct slots *s, struct random *r, uint8_t *bytes, uint32_t size)
{
    uint32_t width = any_width(r, size), at = below(r, size / width) * width;

    switch (below(r, BYTE_CHANGES)) {
    case FLIP_BIT:
        at = below(r, 8 * size);
        bytes[at / 8] ^= (uint8_t)(1 << at % 8);
        break;
    case RANDOM_BYTE:
        bytes[below(r, size)] = (uint8_t)next_random(r);
        break;
    case INTERESTING:
        put_number(bytes + at, width, ANY(r, interesting));
        break;
    case ADD: {
        uint32_t step = 1 + below(r, MOST_ADDED);
        put_number(bytes + at, width, number_at(bytes + at, width) + (below(r, 2) ? step : 0u - step));
        break;
    }
    case TOKEN:
        put_token(s, r, bytes, size);
        break;
    case COPY:
        copy_slot(s, r, bytes, size);
        break;
    case FILL:
        memset(bytes, below(r, 2) ? 0 : (int)below(r, 256), size);
        break;
    case RANDOM_ALL:
        for (uint32_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)next_random(r);
        break;
    default:
        if (size >= 4)
            put_number(bytes + below(r, size / 4) * 4, 4, any_pointer(s, r));
    }
}

/* A number of `width` bytes as its kind suggests. */
static uint32_t any_number(const struct slots *s, struct random *r, uint32_t kind, uint32_t value)
{
    switch (kind) {
    case KIND_LENGTH:
        switch (below(r, 4)) {
        case 0:
            return value + 1 - 2 * below(r, 2);
        case 1:
            return below(r, 0x1001);
        default:
            return ANY(r, interesting);
        }
    case KIND_POINTER:
        return any_pointer(s, r) + (below(r, 4) ? 0 : below(r, 16));
    case KIND_STATUS:
        return ANY(r, statuses);
    case KIND_ENUM:
        return below(r, 4) ? below(r, 32) : value + 1 - 2 * below(r, 2);
    default:
        return value ? 0 : 1; /* an outcome */
    }
}

static void change(const struct slots *s, struct random *r, uint32_t which)
{
    const struct slot *slot = &s->slots[which];
    uint8_t *bytes = s->values[which];
    uint32_t width = slot->size >= 4 ? 4 : slot->size >= 2 ? 2 : 1;

    if (slot->kind == KIND_BYTES || (slot->kind != KIND_OUTCOME && !below(r, 8)))
        change_bytes(s, r, bytes, slot->size);
    else
        put_number(bytes, width, any_number(s, r, slot->kind, number_at(bytes, width)));
}

void mutate(struct slots *s, uint64_t seed, uint64_t number)
{
    struct random random = {spread(spread(seed) + number) | 1};

    memcpy(s->values, s->parent, s->count * sizeof *s->values);
    if (!s->count)
        return;
    for (uint32_t left = 1u << below(&random, MOST_CHANGES_LOG2); left > 0; left--)
        change(s, &random, below(&random, s->count));
    for (uint32_t at = 0; at < s->count; at++)
        s->is_changed[at] = memcmp(s->values[at], s->parent[at], s->slots[at].size) != 0;
}
