/* Writes and control codes: every way in which a caller's buffer reaches a driver. */
#include "ioctl.h"

static DECLSPEC_NOINLINE ULONG NTAPI IoctlSum(PCUCHAR Bytes, ULONG Length)
{
    ULONG Sum = 0;

    while (Length-- != 0) {
        Sum += *Bytes++;
    }
    return Sum;
}

/* Copy into the store what fits; returns how much that is. */
static DECLSPEC_NOINLINE ULONG NTAPI IoctlKeep(PIOCTL_EXTENSION Extension, PCUCHAR Bytes, ULONG Length)
{
    KIRQL Irql = KfAcquireSpinLock(&Extension->Lock);

    if (Length > IOCTL_STORE_SIZE) {
        Length = IOCTL_STORE_SIZE;
    }
    memcpy(Extension->Store, Bytes, Length);
    KfReleaseSpinLock(&Extension->Lock, Irql);
    return Length;
}

NTSTATUS NTAPI IoctlWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    ULONG Length = IoGetCurrentIrpStackLocation(Irp)->Parameters.ReadWrite.Length;

    return IoctlComplete(
        Irp, STATUS_SUCCESS, Length != 0 ? IoctlKeep(DeviceObject->DeviceExtension, Irp->SystemBuffer, Length) : 0);
}

/* MmGetSystemAddressForMdlSafe of wdm.h. */
static PVOID IoctlMapped(PMDL Mdl)
{
    if (Mdl->MdlFlags & (MDL_MAPPED_TO_SYSTEM_VA | MDL_SOURCE_IS_NONPAGED_POOL)) {
        return Mdl->MappedSystemVa;
    }
    return MmMapLockedPagesSpecifyCache(Mdl, 0, 1, NULL, FALSE, 16);
}

/* The buffer of a direct request is described by an MDL, whichever way the data goes. */
static DECLSPEC_NOINLINE NTSTATUS NTAPI IoctlDirect(
    PIOCTL_EXTENSION Extension, PIRP Irp, ULONG Length, BOOLEAN IsStore, PULONG_PTR Information)
{
    PUCHAR Mapped;

    if (Irp->MdlAddress == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    Mapped = IoctlMapped(Irp->MdlAddress);
    if (Mapped == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    if (IsStore) {
        *Information = IoctlKeep(Extension, Mapped, Length);
        return STATUS_SUCCESS;
    }
    if (Length > IOCTL_STORE_SIZE) {
        Length = IOCTL_STORE_SIZE;
    }
    memcpy(Mapped, Extension->Store, Length);
    *Information = Length;
    return STATUS_SUCCESS;
}

/* The caller's own addresses: nothing of them can be trusted, at any time. */
static DECLSPEC_NOINLINE NTSTATUS NTAPI IoctlNeither(
    PIOCTL_EXTENSION Extension, PIRP Irp, PIO_STACK_LOCATION Stack, PULONG_PTR Information)
{
    PVOID Input = Stack->Parameters.DeviceIoControl.Type3InputBuffer;
    ULONG InputLength = Stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG OutputLength = Stack->Parameters.DeviceIoControl.OutputBufferLength;
    UCHAR Copy[IOCTL_STORE_SIZE];

    if (InputLength > sizeof(Copy) || OutputLength > sizeof(Copy)) {
        return STATUS_INVALID_PARAMETER;
    }
    __try {
        ProbeForRead(Input, InputLength, 1);
        memcpy(Copy, Input, InputLength);
        ProbeForWrite(Irp->UserBuffer, OutputLength, 1);
        memcpy(Irp->UserBuffer, Extension->Store, OutputLength);
    } __except (1) {
        return STATUS_INVALID_PARAMETER;
    }
    IoctlKeep(Extension, Copy, InputLength);
    *Information = OutputLength;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI IoctlDeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIOCTL_EXTENSION Extension = DeviceObject->DeviceExtension;
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG InputLength = Stack->Parameters.DeviceIoControl.InputBufferLength;
    ULONG OutputLength = Stack->Parameters.DeviceIoControl.OutputBufferLength;
    ULONG_PTR Information = 0;
    NTSTATUS Status;

    switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_SUM_BUFFERED:
        if (InputLength == 0 || OutputLength < sizeof(ULONG)) {
            Status = STATUS_BUFFER_TOO_SMALL;
            break;
        }
        *(PULONG)Irp->SystemBuffer = IoctlSum(Irp->SystemBuffer, InputLength);
        Information = sizeof(ULONG);
        Status = STATUS_SUCCESS;
        break;
    case IOCTL_STORE_IN_DIRECT:
        Status = IoctlDirect(Extension, Irp, OutputLength, TRUE, &Information);
        break;
    case IOCTL_LOAD_OUT_DIRECT:
        Status = IoctlDirect(Extension, Irp, OutputLength, FALSE, &Information);
        break;
    case IOCTL_SWAP_NEITHER:
        Status = IoctlNeither(Extension, Irp, Stack, &Information);
        break;
    case IOCTL_SAVE_STATISTICS:
        if (!InterlockedExchange(&Extension->IsSaving, TRUE)) {
            IoQueueWorkItem(Extension->WorkItem, IoctlSaveStatistics, DelayedWorkQueue, Extension);
        }
        Status = STATUS_SUCCESS;
        break;
    case IOCTL_SET_FORMAT:
        Status = IoctlSetFormat(Extension, Irp->SystemBuffer, InputLength);
        break;
    default:
        Status = STATUS_INVALID_DEVICE_REQUEST;
        break;
    }
    return IoctlComplete(Irp, Status, Information);
}
