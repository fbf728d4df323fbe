/* ioctl.sys: what its files share. */
#pragma once

#include "wdm.h"

#define IOCTL_TAG 0x6c74634fu /* "Octl" in memory */

#define IOCTL_SUM_BUFFERED CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_STORE_IN_DIRECT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_IN_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_LOAD_OUT_DIRECT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_OUT_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_SWAP_NEITHER CTL_CODE(FILE_DEVICE_UNKNOWN, 0x803, METHOD_NEITHER, FILE_ANY_ACCESS)
#define IOCTL_SAVE_STATISTICS CTL_CODE(FILE_DEVICE_UNKNOWN, 0x804, METHOD_BUFFERED, FILE_ANY_ACCESS)

#define IOCTL_STORE_SIZE 256
#define IOCTL_DEFAULT_DELAY 50 /* milliseconds */
#define IOCTL_MAX_DELAY 10000

typedef struct _IOCTL_EXTENSION {
    PDEVICE_OBJECT DeviceObject;
    KSPIN_LOCK Lock;    /* of the queue and the store */
    LIST_ENTRY Queue;   /* reads that wait for the timer, by IRP.ListEntry */
    KTIMER Timer;
    KDPC TimerDpc;
    ULONG Delay;        /* milliseconds */
    PIO_WORKITEM WorkItem;
    volatile LONG IsSaving;
    ULONG Reads;
    ULONG Cancelled;
    UCHAR Store[IOCTL_STORE_SIZE];
} IOCTL_EXTENSION, *PIOCTL_EXTENSION;

DRIVER_DISPATCH IoctlCreateClose, IoctlCleanup, IoctlRead, IoctlWrite, IoctlDeviceControl;
DRIVER_CANCEL IoctlCancelRead;
KDEFERRED_ROUTINE IoctlTimerDpc;
IO_WORKITEM_ROUTINE IoctlSaveStatistics;

NTSTATUS NTAPI IoctlComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information);
VOID NTAPI IoctlCancelAll(PIOCTL_EXTENSION Extension, PFILE_OBJECT FileObject);
