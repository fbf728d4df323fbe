/* Realigned frames: this file is compiled with SSE2, whose moves want 16 bytes (movaps) and more. */
#include "zoo.h"

typedef float ZOO_VECTOR __attribute__((vector_size(16)));

DECLSPEC_NOINLINE ULONG NTAPI ZooAligned16(PUCHAR Buffer, ULONG Value)
{
    ZOO_VECTOR Vectors[3];
    float First;

    Vectors[0] = (ZOO_VECTOR){(float)(LONG)Value, 1.0f, 2.0f, 3.0f};
    Vectors[1] = Vectors[0] + Vectors[0];
    ZOO_KEEP(Vectors);
    Vectors[2] = Vectors[0] + Vectors[1];
    ZOO_KEEP(Vectors);
    First = Vectors[2][3];
    return (ULONG)(LONG)First + Buffer[0];
}

DECLSPEC_NOINLINE ULONG NTAPI ZooAligned32(PUCHAR Buffer, ULONG Value)
{
    UCHAR Block[96] __attribute__((aligned(32)));

    ZOO_KEEP(Block);
    Block[Value & 31] = Buffer[0];
    ZOO_KEEP(Block);
    return Block[0];
}

/* Realigned, and with arguments pushed below the aligned frame. */
DECLSPEC_NOINLINE ULONG NTAPI ZooAlignedCall(PUCHAR Buffer, ULONG Value)
{
    ULONG Words[8] __attribute__((aligned(16)));

    Words[0] = Value;
    ZOO_KEEP(Words);
    return ZooAdd6(Words[0], Words[1] & 1, Buffer[0], Value, (ULONG)Words, 6);
}

/* Realigned and dynamic: ESI or EBX holds on to the aligned frame. */
DECLSPEC_NOINLINE ULONG NTAPI ZooAlignedAlloca(PUCHAR Buffer, ULONG Value)
{
    ZOO_VECTOR Vector = {1.0f, 2.0f, 3.0f, (float)Buffer[0]};
    PUCHAR Block = __builtin_alloca((Value & 255) + 1);

    ZOO_KEEP(&Vector);
    ZOO_KEEP(Block);
    Block[0] = (UCHAR)Value;
    ZOO_KEEP(Block);
    return Block[0] + (ULONG)(LONG)Vector[1];
}
