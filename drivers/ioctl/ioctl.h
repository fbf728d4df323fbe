/* ioctl.sys: what its files share. */
#pragma once

#include "wdm.h"

#define IOCTL_TAG 0x6c74634fu /* "Octl" in memory */

#define IOCTL_SUM_BUFFERED CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_STORE_IN_DIRECT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_IN_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_LOAD_OUT_DIRECT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_OUT_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_SWAP_NEITHER CTL_CODE(FILE_DEVICE_UNKNOWN, 0x803, METHOD_NEITHER, FILE_ANY_ACCESS)
#define IOCTL_SAVE_STATISTICS CTL_CODE(FILE_DEVICE_UNKNOWN, 0x804, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_SET_FORMAT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x805, METHOD_BUFFERED, FILE_ANY_ACCESS)

/* What IOCTL_SET_FORMAT is given: a ULONG. */
#define IOCTL_FORMAT_RAW 0
#define IOCTL_FORMAT_HEX 16

#define IOCTL_STORE_SIZE 256
#define IOCTL_DEFAULT_DELAY 50 /* milliseconds */
#define IOCTL_MAX_DELAY 10000

typedef struct _IOCTL_EXTENSION IOCTL_EXTENSION, *PIOCTL_EXTENSION;

/* Answers a read of at most IOCTL_STORE_SIZE bytes. */
typedef NTSTATUS(NTAPI *PIOCTL_ANSWER)(PIOCTL_EXTENSION Extension, PIRP Irp, ULONG Length);

struct _IOCTL_EXTENSION {
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
    PIOCTL_ANSWER Answer; /* none: reads wait for the timer */
    UCHAR Store[IOCTL_STORE_SIZE];
};

DRIVER_DISPATCH IoctlCreateClose, IoctlCleanup, IoctlRead, IoctlWrite, IoctlDeviceControl;
DRIVER_CANCEL IoctlCancelRead;
KDEFERRED_ROUTINE IoctlTimerDpc;
IO_WORKITEM_ROUTINE IoctlSaveStatistics;

NTSTATUS NTAPI IoctlComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information);
NTSTATUS NTAPI IoctlSetFormat(PIOCTL_EXTENSION Extension, const ULONG *Format, ULONG Length);
VOID NTAPI IoctlCancelAll(PIOCTL_EXTENSION Extension, PFILE_OBJECT FileObject);
