/*
 * A path that random arguments do not find: a 32-bit magic, then a word, then a checksum over a
 * length-prefixed buffer. Behind it is the largest frame of the driver that is not probed.
 *
 *   Value               0x5A004B1D
 *   Buffer[0..3]        "DEEP"
 *   Buffer[4..5]        length, 1 to 64, little-endian
 *   Buffer[6..7]        checksum of the bytes that follow, little-endian
 *   Buffer[8..]         the bytes
 */
#include "zoo.h"

#define ZOO_MAGIC 0x5A004B1D
#define ZOO_MAX_LENGTH 64

static DECLSPEC_NOINLINE USHORT ZooChecksum(PCUCHAR Bytes, ULONG Length)
{
    USHORT Sum = 0x1D0F;
    ULONG Index;

    for (Index = 0; Index < Length && Index < ZOO_MAX_LENGTH; Index++) {
        Sum = (USHORT)((Sum << 3 | Sum >> 13) ^ Bytes[Index]);
    }
    return Sum;
}

static DECLSPEC_NOINLINE ULONG ZooHiddenBottom(PUCHAR Bytes, ULONG Length)
{
    UCHAR Work[3 * 1024];

    memset(Work, 0, sizeof(Work));
    memcpy(Work, Bytes, Length < ZOO_MAX_LENGTH ? Length : ZOO_MAX_LENGTH);
    ZOO_KEEP(Work);
    return ZooAdd6(Work[0], Work[1], Work[2], Work[3], Work[4], Length);
}

DECLSPEC_NOINLINE ULONG NTAPI ZooHiddenDeepPath(PUCHAR Buffer, ULONG Value)
{
    USHORT Length, Expected;

    if (Value != ZOO_MAGIC) {
        return 0;
    }
    if (Buffer[0] != 'D' || Buffer[1] != 'E' || Buffer[2] != 'E' || Buffer[3] != 'P') {
        return 1;
    }
    Length = (USHORT)(Buffer[4] | Buffer[5] << 8);
    Expected = (USHORT)(Buffer[6] | Buffer[7] << 8);
    if (Length == 0 || Length > ZOO_MAX_LENGTH || ZooChecksum(Buffer + 8, Length) != Expected) {
        return 2;
    }
    return ZooHiddenBottom(Buffer + 8, Length) + ZooFrame2048(Buffer, Value);
}
