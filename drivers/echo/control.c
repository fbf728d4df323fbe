/* Control codes. */
#include "echo.h"

static DECLSPEC_NOINLINE VOID NTAPI EchoFillTable(PULONG Table)
{
    ULONG Index, Bit;

    for (Index = 0; Index < 256; Index++) {
        ULONG Value = Index;

        for (Bit = 0; Bit < 8; Bit++) {
            Value = Value >> 1 ^ (Value & 1 ? 0xedb88320u : 0);
        }
        Table[Index] = Value;
    }
}

/* CRC-32, with its table on the stack. */
static DECLSPEC_NOINLINE ULONG NTAPI EchoChecksum(PCUCHAR Bytes, SIZE_T Length)
{
    ULONG Table[256];
    ULONG Sum = ~0u;

    EchoFillTable(Table);
    while (Length-- != 0) {
        Sum = Sum >> 8 ^ Table[(UCHAR)(Sum ^ *Bytes++)];
    }
    return ~Sum;
}

static DECLSPEC_NOINLINE NTSTATUS NTAPI EchoChecksumRequest(WDFREQUEST Request, PULONG_PTR Information)
{
    PVOID Input, Output;
    SIZE_T Length;
    NTSTATUS Status = WdfRequestRetrieveInputBuffer(Request, 1, &Input, &Length);

    if (NT_SUCCESS(Status)) {
        Status = WdfRequestRetrieveOutputBuffer(Request, sizeof(ULONG), &Output, NULL);
    }
    if (NT_SUCCESS(Status)) {
        *(PULONG)Output = EchoChecksum(Input, Length);
        *Information = sizeof(ULONG);
    }
    return Status;
}

static DECLSPEC_NOINLINE NTSTATUS NTAPI EchoStatistics(
    PECHO_DEVICE Echo, WDFREQUEST Request, PULONG_PTR Information)
{
    PVOID Output;
    NTSTATUS Status = WdfRequestRetrieveOutputBuffer(Request, sizeof(ECHO_COUNTS), &Output, NULL);

    if (NT_SUCCESS(Status)) {
        WdfSpinLockAcquire(Echo->Lock);
        *(PECHO_COUNTS)Output = Echo->Counts;
        WdfSpinLockRelease(Echo->Lock);
        *Information = sizeof(ECHO_COUNTS);
    }
    return Status;
}

/* A line of text on the device; the text that is longest, with three numbers of ten digits, fits. */
static DECLSPEC_NOINLINE NTSTATUS NTAPI EchoDescribe(PECHO_DEVICE Echo, WDFREQUEST Request, PULONG_PTR Information)
{
    WCHAR Text[80];
    WDFMEMORY Memory;
    SIZE_T Size;
    NTSTATUS Status = WdfRequestRetrieveOutputMemory(Request, &Memory);

    if (NT_SUCCESS(Status)) {
        Size = sizeof(WCHAR) *
               _snwprintf(
                   Text, ARRAYSIZE(Text), L"echo: %u of %u bytes, %u files", Echo->Stored, ECHO_CAPACITY,
                   WdfCollectionGetCount(Echo->Files));
        Status = WdfMemoryCopyFromBuffer(Memory, 0, Text, Size);
        *Information = NT_SUCCESS(Status) ? Size : 0;
    }
    return Status;
}

VOID NTAPI EchoEvtIoDeviceControl(
    WDFQUEUE Queue, WDFREQUEST Request, SIZE_T OutputLength, SIZE_T InputLength, ULONG Code)
{
    PECHO_DEVICE Echo = EchoGetDevice(WdfIoQueueGetDevice(Queue));
    ULONG_PTR Information = 0;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(OutputLength);
    UNREFERENCED_PARAMETER(InputLength);
    switch (Code) {
    case IOCTL_ECHO_STATISTICS:
        Status = EchoStatistics(Echo, Request, &Information);
        break;
    case IOCTL_ECHO_CHECKSUM:
        Status = EchoChecksumRequest(Request, &Information);
        break;
    case IOCTL_ECHO_DESCRIBE:
        Status = EchoDescribe(Echo, Request, &Information);
        break;
    case IOCTL_ECHO_WAIT:
        Status = WdfRequestForwardToIoQueue(Request, Echo->Waiting);
        if (NT_SUCCESS(Status)) {
            return;
        }
        break;
    case IOCTL_ECHO_SAVE:
        WdfWorkItemEnqueue(Echo->WorkItem);
        Status = STATUS_SUCCESS;
        break;
    default:
        Status = STATUS_INVALID_DEVICE_REQUEST;
        break;
    }
    WdfRequestCompleteWithInformation(Request, Status, Information);
}
