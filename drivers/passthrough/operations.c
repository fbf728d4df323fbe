/* The callbacks before and after each operation. */
#include "passthrough.h"

FLT_PREOP_CALLBACK_STATUS FLTAPI PtPreOperationPassThrough(
    PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects, PVOID *CompletionContext)
{
    PPT_INSTANCE_CONTEXT Context = NULL;
    NTSTATUS Status;
    LONG Request;

    /* Fetched here and kept for the callback after the operation, which may run at DISPATCH_LEVEL. */
    if (!NT_SUCCESS(FltGetInstanceContext(FltObjects->Instance, (PFLT_CONTEXT *)&Context))) {
        Context = NULL;
    }
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
    *CompletionContext = Context;
    return FLT_PREOP_SUCCESS_WITH_CALLBACK;
}

FLT_POSTOP_CALLBACK_STATUS FLTAPI PtPostOperationPassThrough(
    PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects, PVOID CompletionContext, ULONG Flags)
{
    PPT_INSTANCE_CONTEXT Context = CompletionContext;

    if (Context != NULL) {
        __atomic_fetch_add(&Context->Operations, 1, __ATOMIC_SEQ_CST);
        if (!NT_SUCCESS(Data->IoStatus.Status)) {
            __atomic_fetch_add(&Context->Failures, 1, __ATOMIC_SEQ_CST);
        }
        FltReleaseContext(Context);
    }
    /* While the instance is being drained no names may be asked for. */
    if (Flags & FLTFL_POST_OPERATION_DRAINING) {
        return FLT_POSTOP_FINISHED_PROCESSING;
    }
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
