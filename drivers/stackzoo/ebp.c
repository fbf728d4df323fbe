/* Frames on EBP: this file is always compiled with -fno-omit-frame-pointer. */
#include "zoo.h"

/* push ebp; mov ebp, esp; sub esp, N. */
DECLSPEC_NOINLINE ULONG NTAPI ZooEbpFrame(PUCHAR Buffer, ULONG Value)
{
    ULONG Words[16];

    ZOO_KEEP(Words);
    Words[Value & 15] = Buffer[0];
    ZOO_KEEP(Words);
    return Words[(Value >> 4) & 15];
}

/* The same with callee-saved registers below the locals. */
DECLSPEC_NOINLINE ULONG NTAPI ZooEbpSavedRegisters(PUCHAR Buffer, ULONG Value)
{
    ULONG Words[8];
    ULONG A = ZooOpaque(Value), B = ZooOpaque(Value ^ 1), C = ZooOpaque(Value ^ 2);
    ULONG Index;

    ZOO_KEEP(Words);
    for (Index = 0; Index < 8; Index++) {
        A = ZooOpaque(A + B + Buffer[Index]);
        B = ZooOpaque(B ^ C);
        C = ZooOpaque(C + A);
        Words[Index] = A ^ B ^ C;
    }
    ZOO_KEEP(Words);
    return Words[Value & 7];
}

/* Arguments and return addresses below the frame: none of them is in what the compiler says of it. */
DECLSPEC_NOINLINE ULONG NTAPI ZooEbpOutgoing(PUCHAR Buffer, ULONG Value)
{
    UCHAR Text[48];

    _snwprintf((PWCHAR)Text, sizeof(Text) / sizeof(WCHAR), L"%p %x %x %x", Buffer, Value, Value + 1, Value + 2);
    ZOO_KEEP(Text);
    return ZooAdd6(Value, Text[0], Text[1], Text[2], Text[3], 6);
}
