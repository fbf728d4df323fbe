/* Frames beyond a page, which are probed (_chkstk), and frames whose size is known at run time only. */
#include "zoo.h"

#define alloca __builtin_alloca

DECLSPEC_NOINLINE ULONG NTAPI ZooChkstk(PUCHAR Buffer, ULONG Value)
{
    UCHAR Block[4096 + 512];

    ZOO_KEEP(Block);
    Block[Value & 4095] = Buffer[0];
    ZOO_KEEP(Block);
    return Block[(Value >> 12) & 4095];
}

/* Two thirds of the whole kernel stack. */
DECLSPEC_NOINLINE ULONG NTAPI ZooChkstkTwoPages(PUCHAR Buffer, ULONG Value)
{
    UCHAR Block[8192];

    memset(Block, 0, sizeof(Block));
    memcpy(&Block[Value & 4095], Buffer, 64);
    ZOO_KEEP(Block);
    return Block[Value & 8191];
}

/* 16 to 1040 bytes, as the argument says. */
DECLSPEC_NOINLINE ULONG NTAPI ZooDynamicAlloca(PUCHAR Buffer, ULONG Value)
{
    ULONG Size = (Value & 1023) + 16;
    PUCHAR Block = alloca(Size);

    memset(Block, Buffer[0], Size);
    ZOO_KEEP(Block);
    return Block[Size - 1];
}

/* Each turn takes more, and nothing is given back before the function returns. */
DECLSPEC_NOINLINE ULONG NTAPI ZooDynamicAllocaInLoop(PUCHAR Buffer, ULONG Value)
{
    ULONG Turns = (Value & 7) + 1;
    ULONG Sum = 0;
    PUCHAR Block;

    while (Turns-- != 0) {
        Block = alloca(Buffer[Turns] + 4U);
        Block[0] = (UCHAR)Turns;
        ZOO_KEEP(Block);
        Sum += Block[0];
    }
    return Sum;
}
