/* Reads that wait: a queue of IRPs with a lock of its own, a timer that completes them, and cancellation. */
#include "ioctl.h"

NTSTATUS NTAPI IoctlRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIOCTL_EXTENSION Extension = DeviceObject->DeviceExtension;
    ULONG Length = IoGetCurrentIrpStackLocation(Irp)->Parameters.ReadWrite.Length;
    PIOCTL_ANSWER Answer = Extension->Answer;
    LARGE_INTEGER Due;
    KIRQL Irql;

    if (Length > IOCTL_STORE_SIZE) {
        return IoctlComplete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    if (Answer != NULL) {
        return Answer(Extension, Irp, Length);
    }
    Irql = KfAcquireSpinLock(&Extension->Lock);
    (VOID)IoSetCancelRoutine(Irp, IoctlCancelRead);
    if (Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL) {
        /* Cancelled before the routine was there, which nobody will call now. */
        KfReleaseSpinLock(&Extension->Lock, Irql);
        return IoctlComplete(Irp, STATUS_CANCELLED, 0);
    }
    IoMarkIrpPending(Irp);
    InsertTailList(&Extension->Queue, &Irp->ListEntry);
    KfReleaseSpinLock(&Extension->Lock, Irql);

    Due.QuadPart = -10000LL * Extension->Delay;
    KeSetTimer(&Extension->Timer, Due, &Extension->TimerDpc);
    return STATUS_PENDING;
}

/* Take the first read of a file (of any, when there is none given) off the queue; its cancel routine is off too. */
static DECLSPEC_NOINLINE PIRP NTAPI IoctlTakeRead(PIOCTL_EXTENSION Extension, PFILE_OBJECT FileObject)
{
    KIRQL Irql = KfAcquireSpinLock(&Extension->Lock);
    PLIST_ENTRY Entry;
    PIRP Taken = NULL;

    for (Entry = Extension->Queue.Flink; Entry != &Extension->Queue; Entry = Entry->Flink) {
        PIRP Irp = CONTAINING_RECORD(Entry, IRP, ListEntry);

        if (FileObject != NULL && IoGetCurrentIrpStackLocation(Irp)->FileObject != FileObject) {
            continue;
        }
        if (IoSetCancelRoutine(Irp, NULL) != NULL) {
            RemoveEntryList(Entry);
            Taken = Irp;
            break;
        }
    }
    KfReleaseSpinLock(&Extension->Lock, Irql);
    return Taken;
}

VOID NTAPI IoctlTimerDpc(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PIOCTL_EXTENSION Extension = Context;
    PIRP Irp;

    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(Argument1);
    UNREFERENCED_PARAMETER(Argument2);
    while ((Irp = IoctlTakeRead(Extension, NULL)) != NULL) {
        ULONG Length = IoGetCurrentIrpStackLocation(Irp)->Parameters.ReadWrite.Length;

        if (Length != 0) {
            memcpy(Irp->SystemBuffer, Extension->Store, Length);
        }
        Extension->Reads++;
        IoctlComplete(Irp, STATUS_SUCCESS, Length);
    }
}

/* Entered with the cancel spin lock held; the read is on the queue, since its routine is set under the lock. */
VOID NTAPI IoctlCancelRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIOCTL_EXTENSION Extension = DeviceObject->DeviceExtension;
    KIRQL Irql;

    IoReleaseCancelSpinLock(Irp->CancelIrql);
    Irql = KfAcquireSpinLock(&Extension->Lock);
    RemoveEntryList(&Irp->ListEntry);
    Extension->Cancelled++;
    KfReleaseSpinLock(&Extension->Lock, Irql);
    IoctlComplete(Irp, STATUS_CANCELLED, 0);
}

VOID NTAPI IoctlCancelAll(PIOCTL_EXTENSION Extension, PFILE_OBJECT FileObject)
{
    PIRP Irp;

    while ((Irp = IoctlTakeRead(Extension, FileObject)) != NULL) {
        Extension->Cancelled++;
        IoctlComplete(Irp, STATUS_CANCELLED, 0);
    }
}
