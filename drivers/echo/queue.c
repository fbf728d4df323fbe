/* The default queue, which gives out one request after the other, and the queue of those that wait. */
#include "echo.h"

NTSTATUS NTAPI EchoCreateQueues(WDFDEVICE Device)
{
    WDF_IO_QUEUE_CONFIG Config;
    WDF_OBJECT_ATTRIBUTES Attributes;
    NTSTATUS Status;

    WDF_OBJECT_ATTRIBUTES_INIT(&Attributes);
    Attributes.ExecutionLevel = WdfExecutionLevelPassive; /* also behind a write that the timer completed */
    WDF_IO_QUEUE_CONFIG_INIT(&Config, WdfIoQueueDispatchSequential);
    Config.DefaultQueue = TRUE;
    Config.EvtIoRead = EchoEvtIoRead;
    Config.EvtIoWrite = EchoEvtIoWrite;
    Config.EvtIoDeviceControl = EchoEvtIoDeviceControl;
    Config.EvtIoStop = EchoEvtIoStop;
    Status = WdfIoQueueCreate(Device, &Config, &Attributes, NULL);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    WDF_IO_QUEUE_CONFIG_INIT(&Config, WdfIoQueueDispatchManual);
    Config.PowerManaged = WdfFalse;
    Config.EvtIoCanceledOnQueue = EchoEvtIoCanceledOnQueue;
    return WdfIoQueueCreate(Device, &Config, WDF_NO_OBJECT_ATTRIBUTES, &EchoGetDevice(Device)->Waiting);
}

static PECHO_DEVICE EchoOfRequest(WDFREQUEST Request)
{
    return EchoGetDevice(WdfIoQueueGetDevice(WdfRequestGetIoQueue(Request)));
}

VOID NTAPI EchoCancel(PECHO_DEVICE Echo, WDFREQUEST Request)
{
    WdfSpinLockAcquire(Echo->Lock);
    Echo->Counts.Cancelled++;
    WdfSpinLockRelease(Echo->Lock);
    WdfRequestComplete(Request, STATUS_CANCELLED);
}

/* Complete a request with as much of the store as its buffer takes. */
VOID NTAPI EchoAnswer(PECHO_DEVICE Echo, WDFREQUEST Request)
{
    WDFMEMORY Memory;
    SIZE_T Length;
    NTSTATUS Status = WdfRequestRetrieveOutputMemory(Request, &Memory);

    if (!NT_SUCCESS(Status)) {
        WdfRequestComplete(Request, Status);
        return;
    }
    (VOID)WdfMemoryGetBuffer(Memory, &Length);
    WdfSpinLockAcquire(Echo->Lock);
    if (Length > Echo->Stored) {
        Length = Echo->Stored;
    }
    Status = WdfMemoryCopyFromBuffer(Memory, 0, Echo->Bytes, Length);
    Echo->Counts.Reads++;
    WdfSpinLockRelease(Echo->Lock);
    WdfRequestCompleteWithInformation(Request, Status, NT_SUCCESS(Status) ? Length : 0);
}

VOID NTAPI EchoEvtIoRead(WDFQUEUE Queue, WDFREQUEST Request, SIZE_T Length)
{
    PECHO_DEVICE Echo = EchoGetDevice(WdfIoQueueGetDevice(Queue));
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Length);
    if (Echo->Stored != 0) {
        EchoAnswer(Echo, Request);
        return;
    }
    Status = WdfRequestForwardToIoQueue(Request, Echo->Waiting);
    if (!NT_SUCCESS(Status)) {
        WdfRequestComplete(Request, Status);
    }
}

/* Copy what is written into the store, by way of the stack: the store stays whole when the copy fails. */
static DECLSPEC_NOINLINE NTSTATUS NTAPI EchoKeep(PECHO_DEVICE Echo, WDFREQUEST Request, SIZE_T Length)
{
    UCHAR Copy[ECHO_CAPACITY];
    WDFMEMORY Memory;
    NTSTATUS Status = WdfRequestRetrieveInputMemory(Request, &Memory);

    if (NT_SUCCESS(Status)) {
        Status = WdfMemoryCopyToBuffer(Memory, 0, Copy, Length);
    }
    if (NT_SUCCESS(Status)) {
        WdfSpinLockAcquire(Echo->Lock);
        memcpy(Echo->Bytes, Copy, Length);
        Echo->Stored = Length;
        Echo->Counts.Writes++;
        WdfSpinLockRelease(Echo->Lock);
    }
    return Status;
}

/* Keep a request until the timer completes it or it is cancelled. */
static DECLSPEC_NOINLINE NTSTATUS NTAPI EchoHold(PECHO_DEVICE Echo, WDFREQUEST Request)
{
    NTSTATUS Status;

    WdfSpinLockAcquire(Echo->Lock);
    Status = WdfRequestMarkCancelableEx(Request, EchoEvtRequestCancel);
    if (NT_SUCCESS(Status)) {
        Echo->Pending = Request;
    }
    WdfSpinLockRelease(Echo->Lock);
    return Status;
}

VOID NTAPI EchoEvtIoWrite(WDFQUEUE Queue, WDFREQUEST Request, SIZE_T Length)
{
    PECHO_DEVICE Echo = EchoGetDevice(WdfIoQueueGetDevice(Queue));
    NTSTATUS Status = STATUS_INVALID_PARAMETER;

    if (Length <= ECHO_CAPACITY) {
        Status = EchoKeep(Echo, Request, Length);
    }
    if (NT_SUCCESS(Status)) {
        EchoGetFile(WdfRequestGetFileObject(Request))->Written += Length;
        EchoGetRequest(Request)->Information = Length;
        Status = EchoHold(Echo, Request);
    }
    if (NT_SUCCESS(Status)) {
        EchoStartTimer(Echo);
    } else {
        WdfRequestComplete(Request, Status);
    }
}

/* Take the write that is pending away from its cancellation; NULL when there is none, or it is being cancelled. */
WDFREQUEST NTAPI EchoTakePending(PECHO_DEVICE Echo)
{
    WDFREQUEST Request;

    WdfSpinLockAcquire(Echo->Lock);
    Request = Echo->Pending;
    Echo->Pending = NULL;
    if (Request != NULL && WdfRequestUnmarkCancelable(Request) == STATUS_CANCELLED) {
        Request = NULL;
    }
    WdfSpinLockRelease(Echo->Lock);
    return Request;
}

VOID NTAPI EchoEvtRequestCancel(WDFREQUEST Request)
{
    PECHO_DEVICE Echo = EchoOfRequest(Request);

    WdfSpinLockAcquire(Echo->Lock);
    if (Echo->Pending == Request) {
        Echo->Pending = NULL;
    }
    WdfSpinLockRelease(Echo->Lock);
    EchoCancel(Echo, Request);
}

/* The device leaves its working state: a write may stay over a sleep, and is given up on removal. */
VOID NTAPI EchoEvtIoStop(WDFQUEUE Queue, WDFREQUEST Request, ULONG ActionFlags)
{
    PECHO_DEVICE Echo = EchoGetDevice(WdfIoQueueGetDevice(Queue));

    if (ActionFlags & WdfRequestStopActionSuspend) {
        WdfRequestStopAcknowledge(Request, FALSE);
        return;
    }
    if (EchoTakePending(Echo) != NULL) {
        EchoCancel(Echo, Request);
    }
}

VOID NTAPI EchoEvtIoCanceledOnQueue(WDFQUEUE Queue, WDFREQUEST Request)
{
    EchoCancel(EchoGetDevice(WdfIoQueueGetDevice(Queue)), Request);
}
