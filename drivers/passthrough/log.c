/* What the filter writes to the debugger. */
#include "passthrough.h"

#define PT_LINE_CHARS 120

static DECLSPEC_NOINLINE VOID PtAppendNumber(PUNICODE_STRING Line, PCWSTR Separator, ULONG Value)
{
    WCHAR Characters[12];
    UNICODE_STRING Digits = {0, sizeof(Characters), Characters};

    RtlAppendUnicodeToString(Line, Separator);
    if (NT_SUCCESS(RtlIntegerToUnicodeString(Value, 10, &Digits))) {
        RtlAppendUnicodeStringToString(Line, &Digits);
    }
}

/* Appends the local time of day to the line. */
VOID PtFormatTime(PUNICODE_STRING Line, const LARGE_INTEGER *SystemTime)
{
    LARGE_INTEGER System = *SystemTime;
    LARGE_INTEGER Local;
    TIME_FIELDS Fields;

    ExSystemTimeToLocalTime(&System, &Local);
    RtlTimeToTimeFields(&Local, &Fields);
    PtAppendNumber(Line, L"", (USHORT)Fields.Hour);
    PtAppendNumber(Line, L":", (USHORT)Fields.Minute);
    PtAppendNumber(Line, L":", (USHORT)Fields.Second);
}

/* Writes the time, the process and the name of the file that the operation is about. */
DECLSPEC_NOINLINE VOID PtLogFileName(PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects)
{
    PFLT_FILE_NAME_INFORMATION Information = NULL;
    WCHAR Characters[PT_LINE_CHARS];
    UNICODE_STRING Line = {0, sizeof(Characters), Characters};
    LARGE_INTEGER Now;
    NTSTATUS Status;

    KeQuerySystemTime(&Now);
    PtFormatTime(&Line, &Now);
    PtAppendNumber(&Line, L" process ", (ULONG)PsGetCurrentProcessId());
    RtlAppendUnicodeToString(&Line, L" ");

    Status = FltGetFileNameInformation(Data, FLT_FILE_NAME_NORMALIZED | FLT_FILE_NAME_QUERY_DEFAULT, &Information);
    if (NT_SUCCESS(Status)) {
        FltParseFileNameInformation(Information);
        /* A name too long for the line is left out, not cut. */
        if (!NT_SUCCESS(RtlAppendUnicodeStringToString(&Line, &Information->Name))) {
            RtlAppendUnicodeStringToString(&Line, &Information->FinalComponent);
        }
        FltReleaseFileNameInformation(Information);
    } else {
        RtlAppendUnicodeStringToString(&Line, &FltObjects->FileObject->FileName);
    }
    DbgPrint("PassThrough: %wZ (irp flags %x, mode %d)\n", &Line, Data->Iopb->IrpFlags, Data->RequestorMode);
}

VOID PtLogSummary(PCSTR Reason)
{
    WCHAR Began[16];
    WCHAR Ended[16];
    UNICODE_STRING From = {0, sizeof(Began), Began};
    UNICODE_STRING To = {0, sizeof(Ended), Ended};
    LARGE_INTEGER Now;

    KeQuerySystemTime(&Now);
    PtFormatTime(&From, &PtGlobals.Started);
    PtFormatTime(&To, &Now);
    DbgPrint(
        "PassThrough: %s; %wZ to %wZ: %d creates, %d operations, %d failures, %d of %d status requests answered\n",
        Reason, &From, &To, PtGlobals.Creates, PtGlobals.Operations, PtGlobals.Failures, PtGlobals.StatusReplies,
        PtGlobals.StatusRequests);
}
