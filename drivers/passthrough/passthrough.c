/*
 * passthrough.sys: a minifilter that watches every operation and changes none.
 *
 * It keeps a context for each volume that it is attached to, logs the names of files that are opened, asks
 * for the final status of oplock requests, and provides names. Its functions bear the names of the listing
 * that this project began with.
 */
#include "passthrough.h"

DRIVER_INITIALIZE DriverEntry;
FLT_FILTER_UNLOAD PtUnload;

#pragma alloc_text(INIT, DriverEntry)

PT_GLOBALS PtGlobals;

static const FLT_CONTEXT_REGISTRATION PtContexts[] = {
    {FLT_INSTANCE_CONTEXT, 0, PtInstanceContextCleanup, sizeof(PT_INSTANCE_CONTEXT), PT_TAG_INSTANCE, NULL, NULL,
     NULL},
    {FLT_CONTEXT_END, 0, NULL, 0, 0, NULL, NULL, NULL},
};

static const FLT_OPERATION_REGISTRATION PtOperations[] = {
    {IRP_MJ_CREATE, 0, PtPreOperationPassThrough, PtPostOperationPassThrough, NULL},
    {IRP_MJ_CLOSE, 0, PtPreOperationPassThrough, PtPostOperationPassThrough, NULL},
    {IRP_MJ_READ, 0, PtPreOperationPassThrough, PtPostOperationPassThrough, NULL},
    {IRP_MJ_WRITE, 0, PtPreOperationPassThrough, PtPostOperationPassThrough, NULL},
    {IRP_MJ_QUERY_INFORMATION, 0, PtPreOperationPassThrough, PtPostOperationPassThrough, NULL},
    {IRP_MJ_SET_INFORMATION, 0, PtPreOperationPassThrough, PtPostOperationPassThrough, NULL},
    {IRP_MJ_DIRECTORY_CONTROL, 0, PtPreOperationPassThrough, PtPostOperationPassThrough, NULL},
    {IRP_MJ_FILE_SYSTEM_CONTROL, 0, PtPreOperationPassThrough, PtPostOperationPassThrough, NULL},
    {IRP_MJ_CLEANUP, 0, PtPreOperationPassThrough, PtPostOperationPassThrough, NULL},
    /* The file system is going away: there is nobody left who could complete a callback after shutdown. */
    {IRP_MJ_SHUTDOWN, 0, PtPreOperationNoPostOperationPassThrough, NULL, NULL},
    {IRP_MJ_OPERATION_END, 0, NULL, NULL, NULL},
};

static const FLT_REGISTRATION PtRegistration = {
    .Size = sizeof(FLT_REGISTRATION),
    .Version = FLT_REGISTRATION_VERSION,
    .ContextRegistration = PtContexts,
    .OperationRegistration = PtOperations,
    .FilterUnloadCallback = PtUnload,
    .InstanceSetupCallback = PtInstanceSetup,
    .InstanceQueryTeardownCallback = PtInstanceQueryTeardown,
    .InstanceTeardownStartCallback = PtInstanceTeardownStart,
    .InstanceTeardownCompleteCallback = PtInstanceTeardownComplete,
    .GenerateFileNameCallback = PtGenerateFileNameCallback,
    .NormalizeNameComponentCallback = PtNormalizeNameComponentCallback,
    .NormalizeContextCleanupCallback = PtNormalizeContextCleanupCallback,
    .NormalizeNameComponentExCallback = PtNormalizeNameComponentExCallback,
};

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS Status;

    DbgPrint("PassThrough: loading from %wZ\n", RegistryPath);
    KeQuerySystemTime(&PtGlobals.Started);

    Status = FltRegisterFilter(DriverObject, &PtRegistration, &PtGlobals.Filter);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = FltStartFiltering(PtGlobals.Filter);
    if (!NT_SUCCESS(Status)) {
        DbgPrint("PassThrough: FltStartFiltering failed with %08x\n", Status);
        FltUnregisterFilter(PtGlobals.Filter);
    }
    return Status;
}

NTSTATUS FLTAPI PtUnload(ULONG Flags)
{
    PtLogSummary((Flags & FLTFL_FILTER_UNLOAD_MANDATORY) ? "mandatory unload" : "unload");
    FltUnregisterFilter(PtGlobals.Filter);
    PtGlobals.Filter = NULL;
    return STATUS_SUCCESS;
}
