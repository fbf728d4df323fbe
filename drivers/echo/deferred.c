/* What runs later: the timer that completes writes, the DPC that answers waiting reads, the work item that saves. */
#include "echo.h"

static const UNICODE_STRING EchoWritesName = RTL_CONSTANT_STRING(L"Writes");
static const UNICODE_STRING EchoWrittenName = RTL_CONSTANT_STRING(L"Written");

NTSTATUS NTAPI EchoCreateDeferred(WDFDEVICE Device)
{
    PECHO_DEVICE Echo = EchoGetDevice(Device);
    WDF_TIMER_CONFIG Timer = {.Size = sizeof(Timer), .EvtTimerFunc = EchoEvtTimer, .AutomaticSerialization = FALSE};
    WDF_DPC_CONFIG Dpc = {.Size = sizeof(Dpc), .EvtDpcFunc = EchoEvtDpc, .AutomaticSerialization = FALSE};
    WDF_WORKITEM_CONFIG WorkItem = {.Size = sizeof(WorkItem), .EvtWorkItemFunc = EchoEvtWorkItem};
    WDF_OBJECT_ATTRIBUTES Attributes;
    NTSTATUS Status;

    WDF_OBJECT_ATTRIBUTES_INIT(&Attributes);
    Attributes.ParentObject = Device;
    Status = WdfTimerCreate(&Timer, &Attributes, &Echo->Timer);
    if (NT_SUCCESS(Status)) {
        Status = WdfDpcCreate(&Dpc, &Attributes, &Echo->Dpc);
    }
    if (NT_SUCCESS(Status)) {
        Status = WdfWorkItemCreate(&WorkItem, &Attributes, &Echo->WorkItem);
    }
    return Status;
}

VOID NTAPI EchoStartTimer(PECHO_DEVICE Echo)
{
    (VOID)WdfTimerStart(Echo->Timer, -10000LL * EchoGetDriver(WdfGetDriver())->Delay);
}

VOID NTAPI EchoEvtTimer(WDFTIMER Timer)
{
    PECHO_DEVICE Echo = EchoGetDevice(WdfTimerGetParentObject(Timer));
    WDFREQUEST Request = EchoTakePending(Echo);

    if (Request != NULL) {
        WdfRequestCompleteWithInformation(Request, STATUS_SUCCESS, EchoGetRequest(Request)->Information);
    }
    (VOID)WdfDpcEnqueue(Echo->Dpc);
}

VOID NTAPI EchoEvtDpc(WDFDPC Dpc)
{
    PECHO_DEVICE Echo = EchoGetDevice(WdfDpcGetParentObject(Dpc));
    WDFREQUEST Request;

    while (Echo->Stored != 0 && NT_SUCCESS(WdfIoQueueRetrieveNextRequest(Echo->Waiting, &Request))) {
        EchoAnswer(Echo, Request);
    }
}

/* Bytes that were written through the files that are open now. */
static DECLSPEC_NOINLINE ULONG NTAPI EchoCountWritten(PECHO_DEVICE Echo)
{
    ULONG Index, Count, Sum = 0;

    WdfSpinLockAcquire(Echo->Lock);
    Count = WdfCollectionGetCount(Echo->Files);
    for (Index = 0; Index < Count; Index++) {
        Sum += EchoGetFile(WdfCollectionGetItem(Echo->Files, Index))->Written;
    }
    WdfSpinLockRelease(Echo->Lock);
    return Sum;
}

VOID NTAPI EchoEvtWorkItem(WDFWORKITEM WorkItem)
{
    PECHO_DEVICE Echo = EchoGetDevice(WdfWorkItemGetParentObject(WorkItem));
    WDFKEY Key;
    NTSTATUS Status =
        WdfDriverOpenParametersRegistryKey(WdfGetDriver(), KEY_WRITE, WDF_NO_OBJECT_ATTRIBUTES, &Key);

    if (!NT_SUCCESS(Status)) {
        return;
    }
    Status = WdfRegistryAssignULong(Key, &EchoWritesName, Echo->Counts.Writes);
    if (NT_SUCCESS(Status)) {
        Status = WdfRegistryAssignULong(Key, &EchoWrittenName, EchoCountWritten(Echo));
    }
    if (!NT_SUCCESS(Status)) {
        DbgPrint("echo: the counts were not saved, %08x\n", Status);
    }
    WdfRegistryClose(Key);
}
