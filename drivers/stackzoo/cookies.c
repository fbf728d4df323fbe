/* Frames with a security cookie (/GS): this file is compiled with -fstack-protector-all. */
#include "zoo.h"

DECLSPEC_NOINLINE ULONG NTAPI ZooCookie(PUCHAR Buffer, ULONG Value)
{
    UCHAR Copy[64];

    memcpy(Copy, Buffer, sizeof(Copy));
    ZOO_KEEP(Copy);
    return Copy[Value & 63];
}

DECLSPEC_NOINLINE ULONG NTAPI ZooCookieAligned(PUCHAR Buffer, ULONG Value)
{
    UCHAR Copy[32] __attribute__((aligned(16)));

    memcpy(Copy, Buffer, sizeof(Copy));
    ZOO_KEEP(Copy);
    return ZooLeaf(Copy, Value & 31);
}
