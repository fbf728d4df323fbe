/* Calls: who pushes what, and who takes it off the stack again. */
#include "zoo.h"

typedef struct _ZOO_BLOCK {
    ULONG Words[10];
} ZOO_BLOCK;

DECLSPEC_NOINLINE ULONG NTAPI ZooAdd6(ULONG A, ULONG B, ULONG C, ULONG D, ULONG E, ULONG F)
{
    return ZooOpaque(A + B) + ZooOpaque(C + D) + ZooOpaque(E + F);
}

DECLSPEC_NOINLINE ULONG CDECL ZooAdd4Cdecl(ULONG A, ULONG B, ULONG C, ULONG D)
{
    return ZooOpaque(A + B) + ZooOpaque(C + D);
}

DECLSPEC_NOINLINE ULONG FASTCALL ZooAdd4Fastcall(ULONG A, ULONG B, ULONG C, ULONG D)
{
    return ZooOpaque(A + B) + ZooOpaque(C + D);
}

/* Only called from here: the optimiser passes its arguments in registers, and its name does not show it. */
static DECLSPEC_NOINLINE ULONG CDECL ZooAdd2Static(ULONG A, ULONG B)
{
    ULONG Words[2] = {A, B};

    ZOO_KEEP(Words);
    return Words[0] + Words[1];
}

DECLSPEC_NOINLINE ULONG CDECL ZooSumVarargs(ULONG Count, ...)
{
    ULONG Sum = 0;
    va_list Arguments;

    va_start(Arguments, Count);
    for (Count &= 7; Count != 0; Count--) {
        Sum += va_arg(Arguments, ULONG);
    }
    va_end(Arguments);
    return Sum;
}

DECLSPEC_NOINLINE ULONG NTAPI ZooTakeStructure(ZOO_BLOCK Block, ULONG Index)
{
    return Block.Words[Index % ARRAYSIZE(Block.Words)];
}

DECLSPEC_NOINLINE ZOO_BLOCK NTAPI ZooMakeStructure(ULONG Value)
{
    ZOO_BLOCK Block;
    ULONG Index;

    for (Index = 0; Index < ARRAYSIZE(Block.Words); Index++) {
        Block.Words[Index] = ZooOpaque(Value + Index);
    }
    return Block;
}

DECLSPEC_NOINLINE ULONG NTAPI ZooCallStdcall(PUCHAR Buffer, ULONG Value)
{
    return ZooAdd6(Value, 2, 3, 4, 5, Buffer[0]) + ZooLeaf(Buffer, Value);
}

/* The caller takes the arguments off, perhaps not at once. */
DECLSPEC_NOINLINE ULONG NTAPI ZooCallCdecl(PUCHAR Buffer, ULONG Value)
{
    ULONG First = ZooAdd4Cdecl(Value, 2, 3, Buffer[0]);
    ULONG Second = ZooAdd4Cdecl(First, Value, 3, 4);

    return ZooAdd4Cdecl(First, Second, Value, 4) + 1;
}

/* Two arguments in ECX and EDX, two on the stack. */
DECLSPEC_NOINLINE ULONG NTAPI ZooCallFastcall(PUCHAR Buffer, ULONG Value)
{
    return ZooAdd4Fastcall(Value, Buffer[0], 3, 4) + ZooAdd4Fastcall(1, Value, Value, 2);
}

DECLSPEC_NOINLINE ULONG NTAPI ZooCallStaticFastcall(PUCHAR Buffer, ULONG Value)
{
    return ZooAdd2Static(Value, Buffer[0]) + ZooAdd2Static(Buffer[1], Value) + 1;
}

/* Results of calls as arguments of calls. */
DECLSPEC_NOINLINE ULONG NTAPI ZooCallNested(PUCHAR Buffer, ULONG Value)
{
    return ZooAdd6(
        ZooAdd4Cdecl(Value, 1, 2, 3), ZooLeaf(Buffer, ZooLeaf(Buffer, Value)), ZooAdd4Fastcall(Value, 1, Value, 2),
        ZooSumVarargs(2, Value, Value), Value, ZooAdd6(1, 2, Value, 4, 5, 6));
}

/* Kernel exports of all three conventions. */
DECLSPEC_NOINLINE ULONG NTAPI ZooCallImports(PUCHAR Buffer, ULONG Value)
{
    volatile LONG Cell = (LONG)Value;
    LARGE_INTEGER Now;

    KeQuerySystemTime(&Now);
    DbgPrint("zoo: %p %x %x %x\n", Buffer, Value, Now.LowPart, Now.HighPart);
    InterlockedExchange(&Cell, (LONG)RtlCompareMemory(Buffer, Buffer, 16));
    return (ULONG)Cell;
}

DECLSPEC_NOINLINE ULONG NTAPI ZooCallVarargs(PUCHAR Buffer, ULONG Value)
{
    return ZooSumVarargs(6, Value, Value + 1, Value + 2, Value + 3, (ULONG)Buffer[0], (ULONG)Buffer[1]) +
           ZooSumVarargs(1, Value);
}

/* Forty bytes of structure on the stack as an argument. */
DECLSPEC_NOINLINE ULONG NTAPI ZooCallStructure(PUCHAR Buffer, ULONG Value)
{
    ZOO_BLOCK Block;

    memcpy(&Block, Buffer, sizeof(Block));
    ZOO_KEEP(&Block);
    return ZooTakeStructure(Block, Value);
}

/* A structure as a result: its address is a hidden argument. */
DECLSPEC_NOINLINE ULONG NTAPI ZooReturnStructure(PUCHAR Buffer, ULONG Value)
{
    ZOO_BLOCK Block = ZooMakeStructure(Value);

    ZOO_KEEP(&Block);
    return Block.Words[Buffer[0] % ARRAYSIZE(Block.Words)];
}

/* One call through a pointer that is known, but not to the compiler. */
DECLSPEC_NOINLINE ULONG NTAPI ZooCallback(PUCHAR Buffer, ULONG Value)
{
    PZOO_ROUTINE Routine = (PZOO_ROUTINE)ZooOpaque((ULONG)ZooLeaf);

    return Routine(Buffer, Value) + 1;
}

static const PZOO_ROUTINE ZooCallbacks[4] = {ZooLeaf, ZooSmallLocals, ZooSavedRegisters, ZooFrame2048};

/* The argument chooses whom to call. */
DECLSPEC_NOINLINE ULONG NTAPI ZooCallbackTable(PUCHAR Buffer, ULONG Value)
{
    return ZooCallbacks[Value & 3](Buffer, Value) + ZooCallbacks[(Value >> 2) & 3](Buffer, Value);
}

/* Dense cases become a jump table; what goes deepest is behind all of them. */
DECLSPEC_NOINLINE ULONG NTAPI ZooSwitch(PUCHAR Buffer, ULONG Value)
{
    ULONG Result;

    switch (Value & 7) {
    case 0: Result = ZooLeaf(Buffer, 7); break;
    case 1: Result = ZooAdd4Cdecl(1, 2, Value, 4); break;
    case 2: Result = ZooOpaque(Value) * 17; break;
    case 3: Result = ZooAdd4Fastcall(1, 2, 3, Value); break;
    case 4: Result = ZooSmallLocals(Buffer, Value); break;
    case 5: Result = Buffer[5]; break;
    case 6: Result = ZooLeaf(Buffer, 6) ^ Value; break;
    default: Result = ZooSavedRegisters(Buffer, Value); break;
    }
    return ZooAdd6(Result, Value, 3, 4, 5, 6) + 1;
}

/* Same arguments, same convention: the call becomes a jump, and this function has no frame. */
DECLSPEC_NOINLINE ULONG NTAPI ZooTailCall(PUCHAR Buffer, ULONG Value)
{
    return ZooFrame2048(Buffer, Value + 1);
}

DECLSPEC_NOINLINE ULONG NTAPI ZooTailCallPointer(PUCHAR Buffer, ULONG Value)
{
    return ZooCallbacks[(Value >> 3) & 3](Buffer, Value + 1);
}
