/*
 * ioctl.sys: a software device of the Windows Driver Model.
 *
 * It answers control codes of all four transfer methods (control.c), lets reads wait for a timer in a queue
 * from which they can be cancelled (queue.c), and keeps its statistics in the registry.
 */
#include "ioctl.h"

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD IoctlUnload;

static const UNICODE_STRING IoctlName = RTL_CONSTANT_STRING(L"\\Device\\StackemuIoctl");
static const UNICODE_STRING IoctlLink = RTL_CONSTANT_STRING(L"\\DosDevices\\StackemuIoctl");
static const WCHAR IoctlKey[] = L"\\Registry\\Machine\\Software\\Stackemu\\Ioctl";

NTSTATUS NTAPI IoctlComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

/* The delay of reads, from the driver's own key; a value out of range counts as none. */
static DECLSPEC_NOINLINE ULONG NTAPI IoctlReadDelay(PUNICODE_STRING RegistryPath)
{
    ULONG Default = IOCTL_DEFAULT_DELAY;
    ULONG Delay = Default;
    PWCHAR Path = ExAllocatePoolWithTag(PagedPool, RegistryPath->Length + sizeof(WCHAR), IOCTL_TAG);
    RTL_QUERY_REGISTRY_TABLE Table[2];

    if (Path == NULL) {
        return Default;
    }
    memcpy(Path, RegistryPath->Buffer, RegistryPath->Length);
    Path[RegistryPath->Length / sizeof(WCHAR)] = 0;
    memset(Table, 0, sizeof(Table));
    Table[0].Flags = RTL_QUERY_REGISTRY_DIRECT;
    Table[0].Name = L"ReadDelay";
    Table[0].EntryContext = &Delay;
    Table[0].DefaultType = REG_DWORD;
    Table[0].DefaultData = &Default;
    Table[0].DefaultLength = sizeof(Default);
    if (!NT_SUCCESS(RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, Path, Table, NULL, NULL)) || Delay > IOCTL_MAX_DELAY) {
        Delay = Default;
    }
    ExFreePoolWithTag(Path, IOCTL_TAG);
    return Delay;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    PDEVICE_OBJECT Device;
    PIOCTL_EXTENSION Extension;
    NTSTATUS Status;

    Status = IoCreateDevice(
        DriverObject, sizeof(IOCTL_EXTENSION), (PUNICODE_STRING)&IoctlName, FILE_DEVICE_UNKNOWN, 0, FALSE, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Extension = Device->DeviceExtension;
    Extension->DeviceObject = Device;
    KeInitializeSpinLock(&Extension->Lock);
    InitializeListHead(&Extension->Queue);
    KeInitializeTimer(&Extension->Timer);
    KeInitializeDpc(&Extension->TimerDpc, IoctlTimerDpc, Extension);
    Extension->Delay = IoctlReadDelay(RegistryPath);
    Extension->WorkItem = IoAllocateWorkItem(Device);
    Status = Extension->WorkItem != NULL ? IoCreateSymbolicLink(&IoctlLink, &IoctlName) : STATUS_INSUFFICIENT_RESOURCES;
    if (!NT_SUCCESS(Status)) {
        if (Extension->WorkItem != NULL) {
            IoFreeWorkItem(Extension->WorkItem);
        }
        IoDeleteDevice(Device);
        return Status;
    }
    DriverObject->MajorFunction[IRP_MJ_CREATE] = IoctlCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = IoctlCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = IoctlCleanup;
    DriverObject->MajorFunction[IRP_MJ_READ] = IoctlRead;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = IoctlWrite;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = IoctlDeviceControl;
    DriverObject->DriverUnload = IoctlUnload;
    Device->Flags = (Device->Flags | DO_BUFFERED_IO) & ~DO_DEVICE_INITIALIZING;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI IoctlCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return IoctlComplete(Irp, STATUS_SUCCESS, 0);
}

NTSTATUS NTAPI IoctlCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIOCTL_EXTENSION Extension = DeviceObject->DeviceExtension;

    Extension->Answer = NULL;
    IoctlCancelAll(Extension, IoGetCurrentIrpStackLocation(Irp)->FileObject);
    return IoctlComplete(Irp, STATUS_SUCCESS, 0);
}

/* The work item: counts go into the registry at PASSIVE_LEVEL. */
VOID NTAPI IoctlSaveStatistics(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    PIOCTL_EXTENSION Extension = Context;
    ULONG Counts[2];
    KIRQL Irql = KfAcquireSpinLock(&Extension->Lock);

    UNREFERENCED_PARAMETER(DeviceObject);
    Counts[0] = Extension->Reads;
    Counts[1] = Extension->Cancelled;
    KfReleaseSpinLock(&Extension->Lock, Irql);
    if (NT_SUCCESS(RtlWriteRegistryValue(
            RTL_REGISTRY_ABSOLUTE, IoctlKey, L"Reads", REG_DWORD, &Counts[0], sizeof(Counts[0])))) {
        (VOID)RtlWriteRegistryValue(
            RTL_REGISTRY_ABSOLUTE, IoctlKey, L"Cancelled", REG_DWORD, &Counts[1], sizeof(Counts[1]));
    }
    InterlockedExchange(&Extension->IsSaving, FALSE);
}

VOID NTAPI IoctlUnload(PDRIVER_OBJECT DriverObject)
{
    PDEVICE_OBJECT Device = DriverObject->DeviceObject;
    PIOCTL_EXTENSION Extension;

    if (Device == NULL) {
        return;
    }
    Extension = Device->DeviceExtension;
    if (!KeCancelTimer(&Extension->Timer)) {
        KeFlushQueuedDpcs();
    }
    IoctlCancelAll(Extension, NULL);
    IoDeleteSymbolicLink(&IoctlLink);
    IoFreeWorkItem(Extension->WorkItem);
    IoDeleteDevice(Device);
}
