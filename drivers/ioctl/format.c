/* How reads are answered: a control code chooses it for all reads until the file is cleaned up. */
#include "ioctl.h"

static const CHAR IoctlDigits[] = "0123456789abcdef";

/* The store in hexadecimal, at once: such a read does not wait for the timer. */
static NTSTATUS NTAPI IoctlAnswerInHex(PIOCTL_EXTENSION Extension, PIRP Irp, ULONG Length)
{
    CHAR Text[2 * IOCTL_STORE_SIZE];
    KIRQL Irql = KfAcquireSpinLock(&Extension->Lock);
    ULONG Index;

    for (Index = 0; Index < IOCTL_STORE_SIZE; Index++) {
        Text[2 * Index] = IoctlDigits[Extension->Store[Index] >> 4];
        Text[2 * Index + 1] = IoctlDigits[Extension->Store[Index] & 15];
    }
    Extension->Reads++;
    KfReleaseSpinLock(&Extension->Lock, Irql);
    if (Length != 0) {
        memcpy(Irp->SystemBuffer, Text, Length);
    }
    return IoctlComplete(Irp, STATUS_SUCCESS, Length);
}

NTSTATUS NTAPI IoctlSetFormat(PIOCTL_EXTENSION Extension, const ULONG *Format, ULONG Length)
{
    if (Length < sizeof(*Format)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    switch (*Format) {
    case IOCTL_FORMAT_RAW:
        Extension->Answer = NULL;
        return STATUS_SUCCESS;
    case IOCTL_FORMAT_HEX:
        Extension->Answer = IoctlAnswerInHex;
        return STATUS_SUCCESS;
    default:
        return STATUS_INVALID_PARAMETER;
    }
}
