/* echo.sys: what its files share. */
#pragma once

#include "wdf.h"

#define ECHO_TAG 0x6f686345u /* "Echo" in memory */

#define IOCTL_ECHO_STATISTICS CTL_CODE(FILE_DEVICE_UNKNOWN, 0x900, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_ECHO_CHECKSUM CTL_CODE(FILE_DEVICE_UNKNOWN, 0x901, METHOD_OUT_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_ECHO_DESCRIBE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x902, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_ECHO_WAIT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x903, METHOD_OUT_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_ECHO_SAVE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x904, METHOD_NEITHER, FILE_ANY_ACCESS)

#define ECHO_DEFAULT_DELAY 20 /* milliseconds */
#define ECHO_MAX_DELAY 10000
#define ECHO_CAPACITY 2048 /* bytes of the longest write */
#define ECHO_MAX_FILES 16

typedef struct _ECHO_DRIVER {
    ULONG Delay; /* milliseconds until a write is completed */
} ECHO_DRIVER, *PECHO_DRIVER;
WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(ECHO_DRIVER, EchoGetDriver);

typedef struct _ECHO_COUNTS {
    ULONG Reads, Writes, Cancelled;
} ECHO_COUNTS, *PECHO_COUNTS;

typedef struct _ECHO_DEVICE {
    WDFSPINLOCK Lock;     /* of everything below that changes */
    WDFQUEUE Waiting;     /* requests that the next write answers */
    WDFTIMER Timer;       /* completes the pending write */
    WDFDPC Dpc;           /* answers those that wait */
    WDFWORKITEM WorkItem; /* saves the counts */
    WDFCOLLECTION Files;  /* open ones */
    WDFMEMORY Store;      /* ECHO_CAPACITY bytes, of which the last write filled Stored */
    PUCHAR Bytes;
    SIZE_T Stored;
    WDFREQUEST Pending;   /* the write that is stored and not completed yet */
    ECHO_COUNTS Counts;
} ECHO_DEVICE, *PECHO_DEVICE;
WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(ECHO_DEVICE, EchoGetDevice);

typedef struct _ECHO_FILE {
    ULONG Written; /* bytes */
} ECHO_FILE, *PECHO_FILE;
WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(ECHO_FILE, EchoGetFile);

typedef struct _ECHO_REQUEST {
    ULONG_PTR Information; /* of the completion to come */
} ECHO_REQUEST, *PECHO_REQUEST;
WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(ECHO_REQUEST, EchoGetRequest);

EVT_WDF_DRIVER_DEVICE_ADD EchoEvtDeviceAdd;

EVT_WDF_IO_QUEUE_IO_READ EchoEvtIoRead;
EVT_WDF_IO_QUEUE_IO_WRITE EchoEvtIoWrite;
EVT_WDF_IO_QUEUE_IO_DEVICE_CONTROL EchoEvtIoDeviceControl;
EVT_WDF_IO_QUEUE_IO_STOP EchoEvtIoStop;
EVT_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE EchoEvtIoCanceledOnQueue;
EVT_WDF_REQUEST_CANCEL EchoEvtRequestCancel;

EVT_WDF_TIMER EchoEvtTimer;
EVT_WDF_DPC EchoEvtDpc;
EVT_WDF_WORKITEM EchoEvtWorkItem;

NTSTATUS NTAPI EchoCreateQueues(WDFDEVICE Device);
NTSTATUS NTAPI EchoCreateDeferred(WDFDEVICE Device);
VOID NTAPI EchoStartTimer(PECHO_DEVICE Echo);
VOID NTAPI EchoAnswer(PECHO_DEVICE Echo, WDFREQUEST Request);
WDFREQUEST NTAPI EchoTakePending(PECHO_DEVICE Echo);
VOID NTAPI EchoCancel(PECHO_DEVICE Echo, WDFREQUEST Request);
