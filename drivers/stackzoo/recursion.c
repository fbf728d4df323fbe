/* Recursion: own use is a constant, the depth is the argument's. Eight turns at most. */
#include "zoo.h"

DECLSPEC_NOINLINE ULONG NTAPI ZooRecursive(PUCHAR Buffer, ULONG Value)
{
    UCHAR Copy[32];

    memcpy(Copy, Buffer, sizeof(Copy));
    ZOO_KEEP(Copy);
    if ((Value & 7) == 0) {
        return Copy[0];
    }
    return ZooRecursive(Copy, (Value & 7) - 1) + 1;
}

DECLSPEC_NOINLINE ULONG NTAPI ZooMutualEven(PUCHAR Buffer, ULONG Value)
{
    ULONG Words[4];

    memset(Words, 0, sizeof(Words));
    ZOO_KEEP(Words);
    return (Value & 7) == 0 ? Words[0] : ZooMutualOdd(Buffer, (Value & 7) - 1) + Words[1];
}

DECLSPEC_NOINLINE ULONG NTAPI ZooMutualOdd(PUCHAR Buffer, ULONG Value)
{
    ULONG Words[12];

    memset(Words, 0, sizeof(Words));
    ZOO_KEEP(Words);
    return (Value & 7) == 0 ? Words[0] : ZooMutualEven(Buffer, (Value & 7) - 1) + Words[1];
}

/* Two calls a turn, of which the second starts lower. */
DECLSPEC_NOINLINE ULONG NTAPI ZooRecursiveTree(PUCHAR Buffer, ULONG Value)
{
    ULONG Level = Value & 3;
    ULONG Left, Right;

    if (Level == 0) {
        return ZooLeaf(Buffer, Value);
    }
    Left = ZooRecursiveTree(Buffer, Level - 1);
    Right = ZooRecursiveTree(Buffer + 1, Level - 1);
    return ZooAdd6(Left, Right, Value, Level, 5, 6);
}
