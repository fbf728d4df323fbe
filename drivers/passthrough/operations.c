/* The callbacks before and after each operation. */
#include "passthrough.h"

FLT_PREOP_CALLBACK_STATUS FLTAPI PtPreOperationPassThrough(
    PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects, PVOID *CompletionContext)
{
    NTSTATUS Status;
    LONG Request;

    if (PtDoRequestOperationStatus(Data)) {
        /* The number lets a trace match each reply with its request. */
        Request = __atomic_add_fetch(&PtGlobals.StatusRequests, 1, __ATOMIC_SEQ_CST);
        Status = FltRequestOperationStatusCallback(Data, PtOperationStatusCallback, (PVOID)Request);
        if (!NT_SUCCESS(Status)) {
            DbgPrint(
                "PassThrough: no status callback for %s of %p: %08x\n", FltGetIrpName(Data->Iopb->MajorFunction),
                FltObjects->FileObject, Status);
        }
    }
    *CompletionContext = NULL;
    return FLT_PREOP_SUCCESS_WITH_CALLBACK;
}

FLT_POSTOP_CALLBACK_STATUS FLTAPI PtPostOperationPassThrough(
    PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects, PVOID CompletionContext, ULONG Flags)
{
    UNREFERENCED_PARAMETER(CompletionContext);

    /* While the instance is being drained neither its context nor names may be asked for. */
    if (Flags & FLTFL_POST_OPERATION_DRAINING) {
        return FLT_POSTOP_FINISHED_PROCESSING;
    }
    PtCountOperation(FltObjects->Instance, Data->IoStatus.Status);
    if (Data->Iopb->MajorFunction == IRP_MJ_CREATE && NT_SUCCESS(Data->IoStatus.Status)) {
        __atomic_fetch_add(&PtGlobals.Creates, 1, __ATOMIC_SEQ_CST);
        PtLogFileName(Data, FltObjects);
    }
    return FLT_POSTOP_FINISHED_PROCESSING;
}

FLT_PREOP_CALLBACK_STATUS FLTAPI PtPreOperationNoPostOperationPassThrough(
    PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects, PVOID *CompletionContext)
{
    UNREFERENCED_PARAMETER(CompletionContext);
    DbgPrint(
        "PassThrough: %s of volume %p, process %p\n", FltGetIrpName(Data->Iopb->MajorFunction), FltObjects->Volume,
        PsGetCurrentProcessId());
    return FLT_PREOP_SUCCESS_NO_CALLBACK;
}
