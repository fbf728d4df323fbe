/*
 * The final status of operations that a file system may keep pending.
 *
 * A file system completes an oplock request or a directory notification long after it has accepted it; the
 * Filter Manager can tell, meanwhile, what the file system answered at first.
 */
#include "passthrough.h"

static const ULONG PtOplockRequests[] = {
    FSCTL_REQUEST_FILTER_OPLOCK,
    FSCTL_REQUEST_BATCH_OPLOCK,
    FSCTL_REQUEST_OPLOCK_LEVEL_1,
    FSCTL_REQUEST_OPLOCK_LEVEL_2,
    FSCTL_REQUEST_OPLOCK,
};

DECLSPEC_NOINLINE BOOLEAN PtDoRequestOperationStatus(PFLT_CALLBACK_DATA Data)
{
    PFLT_IO_PARAMETER_BLOCK Iopb = Data->Iopb;
    ULONG Index;

    if (Iopb->MajorFunction == IRP_MJ_DIRECTORY_CONTROL) {
        return Iopb->MinorFunction == IRP_MN_NOTIFY_CHANGE_DIRECTORY;
    }
    if (Iopb->MajorFunction != IRP_MJ_FILE_SYSTEM_CONTROL || Iopb->MinorFunction != IRP_MN_USER_FS_REQUEST) {
        return FALSE;
    }
    for (Index = 0; Index < ARRAYSIZE(PtOplockRequests); Index++) {
        if (Iopb->Parameters.FileSystemControl.FsControlCode == PtOplockRequests[Index]) {
            return TRUE;
        }
    }
    return FALSE;
}

VOID FLTAPI PtOperationStatusCallback(
    PCFLT_RELATED_OBJECTS FltObjects, PFLT_IO_PARAMETER_BLOCK IopbSnapshot, NTSTATUS OperationStatus,
    PVOID RequesterContext)
{
    LARGE_INTEGER Now;
    WCHAR Characters[40];
    UNICODE_STRING Line = {0, sizeof(Characters), Characters};

    /* Strings may be formatted at PASSIVE_LEVEL only. */
    if (KeGetCurrentIrql() == PASSIVE_LEVEL) {
        KeQuerySystemTime(&Now);
        PtFormatTime(&Line, &Now);
    }
    __atomic_fetch_add(&PtGlobals.StatusReplies, 1, __ATOMIC_SEQ_CST);
    DbgPrint(
        "PassThrough: %wZ request %u, %s minor %u code %08x on file %p: %08x\n", &Line, (ULONG)RequesterContext,
        FltGetIrpName(IopbSnapshot->MajorFunction), IopbSnapshot->MinorFunction,
        IopbSnapshot->Parameters.FileSystemControl.FsControlCode, FltObjects->FileObject, OperationStatus);
}
