/* Frames without a frame pointer (FPO), as the optimiser makes them. */
#include "zoo.h"

/* No frame at all: the return address is the caller's. */
DECLSPEC_NOINLINE ULONG NTAPI ZooLeaf(PUCHAR Buffer, ULONG Value)
{
    return Buffer[0] + Value;
}

/* 16 bytes of locals, nothing else. */
DECLSPEC_NOINLINE ULONG NTAPI ZooSmallLocals(PUCHAR Buffer, ULONG Value)
{
    ULONG Words[4];

    UNREFERENCED_PARAMETER(Buffer);
    ZOO_KEEP(Words);
    Words[Value & 3] = Value;
    ZOO_KEEP(Words);
    return Words[0];
}

/* More values alive than there are scratch registers: callee-saved ones are pushed. */
DECLSPEC_NOINLINE ULONG NTAPI ZooSavedRegisters(PUCHAR Buffer, ULONG Value)
{
    ULONG A = ZooOpaque(Value), B = ZooOpaque(Value + 1), C = ZooOpaque(Value + 2), D = ZooOpaque(Value + 3);
    ULONG Index;

    for (Index = 0; Index < 4; Index++) {
        A = ZooOpaque(A + (B ^ Buffer[Index]));
        B = ZooOpaque(B + (C << 1));
        C = ZooOpaque(C ^ D);
        D = ZooOpaque(D + A);
    }
    return A ^ B ^ C ^ D;
}

/* Half a page: large, and still smaller than what is probed. */
DECLSPEC_NOINLINE ULONG NTAPI ZooFrame2048(PUCHAR Buffer, ULONG Value)
{
    UCHAR Block[2048];

    memset(Block, (INT)Value, sizeof(Block));
    ZOO_KEEP(Block);
    return Block[Value & 2047] + Buffer[0];
}

/* An early exit that needs no frame: the prologue belongs behind it. */
DECLSPEC_NOINLINE ULONG NTAPI ZooShrinkWrapped(PUCHAR Buffer, ULONG Value)
{
    ULONG Words[24];

    if (Value == 0x5A5A5A5A) {
        return 0;
    }
    memset(Words, 0, sizeof(Words));
    ZOO_KEEP(Words);
    return Words[Value % 24] + ZooLeaf(Buffer, Value);
}

/* Exits with different results and, in between, calls: every one has to free the same frame. */
DECLSPEC_NOINLINE ULONG NTAPI ZooSeveralExits(PUCHAR Buffer, ULONG Value)
{
    UCHAR Copy[40];

    memcpy(Copy, Buffer, sizeof(Copy));
    ZOO_KEEP(Copy);
    if (Copy[0] == 1) {
        return ZooLeaf(Copy, Value);
    }
    if (Copy[1] == 2) {
        return ZooSavedRegisters(Copy, Value) + 1;
    }
    if (Copy[2] == 3 && Value != 0) {
        return Copy[Value % sizeof(Copy)];
    }
    return ZooLeaf(Buffer, Value) + Copy[3];
}
