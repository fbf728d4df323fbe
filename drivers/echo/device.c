/* The device: its creation, Plug and Play, power, and the files that are open on it. */
#include "echo.h"

static EVT_WDF_DEVICE_PREPARE_HARDWARE EchoEvtPrepareHardware;
static EVT_WDF_DEVICE_RELEASE_HARDWARE EchoEvtReleaseHardware;
static EVT_WDF_DEVICE_D0_ENTRY EchoEvtD0Entry;
static EVT_WDF_DEVICE_D0_EXIT EchoEvtD0Exit;
static EVT_WDF_DEVICE_SELF_MANAGED_IO EchoEvtSelfManagedIoStart, EchoEvtSelfManagedIoSuspend;
static EVT_WDF_DEVICE_SELF_MANAGED_IO_END EchoEvtSelfManagedIoFlush, EchoEvtSelfManagedIoCleanup;
static EVT_WDF_DEVICE_FILE_CREATE EchoEvtFileCreate;
static EVT_WDF_FILE_CLEANUP EchoEvtFileCleanup;
static EVT_WDF_FILE_CLOSE EchoEvtFileClose;
static EVT_WDF_OBJECT_CONTEXT_CLEANUP EchoEvtDeviceCleanup;
static EVT_WDF_OBJECT_CONTEXT_DESTROY EchoEvtStoreDestroy;

static const GUID EchoInterface = {
    0x7c3f25d4, 0x9b1e, 0x4f60, {0x8a, 0x52, 0x1d, 0x0e, 0x63, 0xb7, 0xc9, 0x24}};
static const UNICODE_STRING EchoLink = RTL_CONSTANT_STRING(L"\\DosDevices\\StackemuEcho");

/* Everything that has to be said before there is a device. */
static DECLSPEC_NOINLINE VOID NTAPI EchoDescribeDevice(PWDFDEVICE_INIT Init)
{
    WDF_PNPPOWER_EVENT_CALLBACKS Power;
    WDF_FILEOBJECT_CONFIG Files = {
        .Size = sizeof(Files),
        .EvtDeviceFileCreate = EchoEvtFileCreate,
        .EvtFileClose = EchoEvtFileClose,
        .EvtFileCleanup = EchoEvtFileCleanup,
        .AutoForwardCleanupClose = WdfUseDefault,
        .FileObjectClass = 3,
    };
    WDF_OBJECT_ATTRIBUTES Attributes;

    memset(&Power, 0, sizeof(Power));
    Power.Size = sizeof(Power);
    Power.EvtDevicePrepareHardware = EchoEvtPrepareHardware;
    Power.EvtDeviceReleaseHardware = EchoEvtReleaseHardware;
    Power.EvtDeviceD0Entry = EchoEvtD0Entry;
    Power.EvtDeviceD0Exit = EchoEvtD0Exit;
    Power.EvtDeviceSelfManagedIoInit = EchoEvtSelfManagedIoStart;
    Power.EvtDeviceSelfManagedIoSuspend = EchoEvtSelfManagedIoSuspend;
    Power.EvtDeviceSelfManagedIoRestart = EchoEvtSelfManagedIoStart;
    Power.EvtDeviceSelfManagedIoFlush = EchoEvtSelfManagedIoFlush;
    Power.EvtDeviceSelfManagedIoCleanup = EchoEvtSelfManagedIoCleanup;
    WdfDeviceInitSetPnpPowerEventCallbacks(Init, &Power);
    WdfDeviceInitSetIoType(Init, WdfDeviceIoBuffered);

    WDF_OBJECT_ATTRIBUTES_INIT_CONTEXT_TYPE(&Attributes, ECHO_FILE);
    WdfDeviceInitSetFileObjectConfig(Init, &Files, &Attributes);
    WDF_OBJECT_ATTRIBUTES_INIT_CONTEXT_TYPE(&Attributes, ECHO_REQUEST);
    WdfDeviceInitSetRequestAttributes(Init, &Attributes);
}

/* What fails here is undone by the framework, which deletes the device and everything below it. */
NTSTATUS NTAPI EchoEvtDeviceAdd(WDFDRIVER Driver, PWDFDEVICE_INIT DeviceInit)
{
    WDF_OBJECT_ATTRIBUTES Attributes;
    WDFDEVICE Device;
    PECHO_DEVICE Echo;
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(Driver);
    EchoDescribeDevice(DeviceInit);
    WDF_OBJECT_ATTRIBUTES_INIT_CONTEXT_TYPE(&Attributes, ECHO_DEVICE);
    Attributes.EvtCleanupCallback = EchoEvtDeviceCleanup;
    Status = WdfDeviceCreate(&DeviceInit, &Attributes, &Device);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Echo = EchoGetDevice(Device);
    WDF_OBJECT_ATTRIBUTES_INIT(&Attributes);
    Attributes.ParentObject = Device;
    Status = WdfSpinLockCreate(&Attributes, &Echo->Lock);
    if (NT_SUCCESS(Status)) {
        Status = WdfCollectionCreate(&Attributes, &Echo->Files);
    }
    if (NT_SUCCESS(Status)) {
        Status = EchoCreateDeferred(Device);
    }
    if (NT_SUCCESS(Status)) {
        Status = EchoCreateQueues(Device);
    }
    if (NT_SUCCESS(Status)) {
        Status = WdfDeviceCreateDeviceInterface(Device, &EchoInterface, NULL);
    }
    if (NT_SUCCESS(Status)) {
        Status = WdfDeviceCreateSymbolicLink(Device, &EchoLink);
    }
    return Status;
}

static VOID NTAPI EchoEvtDeviceCleanup(WDFOBJECT Device)
{
    PECHO_COUNTS Counts = &EchoGetDevice(Device)->Counts;

    DbgPrint("echo: %u reads, %u writes, %u cancelled\n", Counts->Reads, Counts->Writes, Counts->Cancelled);
}

/* The device has no hardware: its memory is what it needs to start. */
static NTSTATUS NTAPI EchoEvtPrepareHardware(WDFDEVICE Device, WDFCMRESLIST Raw, WDFCMRESLIST Translated)
{
    PECHO_DEVICE Echo = EchoGetDevice(Device);
    WDF_OBJECT_ATTRIBUTES Attributes;

    UNREFERENCED_PARAMETER(Raw);
    UNREFERENCED_PARAMETER(Translated);
    WDF_OBJECT_ATTRIBUTES_INIT(&Attributes);
    Attributes.ParentObject = Device;
    Attributes.EvtDestroyCallback = EchoEvtStoreDestroy;
    Echo->Stored = 0;
    return WdfMemoryCreate(&Attributes, NonPagedPool, ECHO_TAG, ECHO_CAPACITY, &Echo->Store, (PVOID *)&Echo->Bytes);
}

static NTSTATUS NTAPI EchoEvtReleaseHardware(WDFDEVICE Device, WDFCMRESLIST Translated)
{
    PECHO_DEVICE Echo = EchoGetDevice(Device);

    UNREFERENCED_PARAMETER(Translated);
    if (Echo->Store != NULL) {
        WdfObjectDelete(Echo->Store);
        Echo->Store = NULL;
        Echo->Stored = 0;
    }
    return STATUS_SUCCESS;
}

/* What was written does not stay in pool for others to read. */
static VOID NTAPI EchoEvtStoreDestroy(WDFOBJECT Store)
{
    SIZE_T Size;
    volatile UCHAR *Byte = WdfMemoryGetBuffer(Store, &Size);

    while (Size-- != 0) {
        *Byte++ = 0;
    }
}

static NTSTATUS NTAPI EchoEvtD0Entry(WDFDEVICE Device, WDF_POWER_DEVICE_STATE PreviousState)
{
    UNREFERENCED_PARAMETER(PreviousState);
    EchoStartTimer(EchoGetDevice(Device));
    return STATUS_SUCCESS;
}

/* A write that is pending survives a sleep, not the end of the device. */
static NTSTATUS NTAPI EchoEvtD0Exit(WDFDEVICE Device, WDF_POWER_DEVICE_STATE TargetState)
{
    PECHO_DEVICE Echo = EchoGetDevice(Device);
    WDFREQUEST Request;

    (VOID)WdfTimerStop(Echo->Timer, TRUE);
    if (TargetState == WdfPowerDeviceD3Final) {
        Request = EchoTakePending(Echo);
        if (Request != NULL) {
            EchoCancel(Echo, Request);
        }
    }
    return STATUS_SUCCESS;
}

/* The queue of those that wait is not the power manager's: it is started and stopped here. */
static NTSTATUS NTAPI EchoEvtSelfManagedIoStart(WDFDEVICE Device)
{
    WdfIoQueueStart(EchoGetDevice(Device)->Waiting);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI EchoEvtSelfManagedIoSuspend(WDFDEVICE Device)
{
    WdfIoQueueStopSynchronously(EchoGetDevice(Device)->Waiting);
    return STATUS_SUCCESS;
}

static VOID NTAPI EchoEvtSelfManagedIoFlush(WDFDEVICE Device)
{
    PECHO_DEVICE Echo = EchoGetDevice(Device);
    WDFREQUEST Request;

    while (NT_SUCCESS(WdfIoQueueRetrieveNextRequest(Echo->Waiting, &Request))) {
        EchoCancel(Echo, Request);
    }
}

static VOID NTAPI EchoEvtSelfManagedIoCleanup(WDFDEVICE Device)
{
    WdfWorkItemFlush(EchoGetDevice(Device)->WorkItem);
}

static VOID NTAPI EchoEvtFileCreate(WDFDEVICE Device, WDFREQUEST Request, WDFFILEOBJECT File)
{
    PECHO_DEVICE Echo = EchoGetDevice(Device);
    NTSTATUS Status = STATUS_INSUFFICIENT_RESOURCES;

    WdfSpinLockAcquire(Echo->Lock);
    if (WdfCollectionGetCount(Echo->Files) < ECHO_MAX_FILES) {
        EchoGetFile(File)->Written = 0;
        Status = WdfCollectionAdd(Echo->Files, File);
    }
    WdfSpinLockRelease(Echo->Lock);
    WdfRequestComplete(Request, Status);
}

/* The last handle is closed: what was asked through it is not waited for any more. */
static VOID NTAPI EchoEvtFileCleanup(WDFFILEOBJECT File)
{
    PECHO_DEVICE Echo = EchoGetDevice(WdfFileObjectGetDevice(File));
    WDFREQUEST Request;

    while (NT_SUCCESS(WdfIoQueueRetrieveRequestByFileObject(Echo->Waiting, File, &Request))) {
        EchoCancel(Echo, Request);
    }
}

static VOID NTAPI EchoEvtFileClose(WDFFILEOBJECT File)
{
    PECHO_DEVICE Echo = EchoGetDevice(WdfFileObjectGetDevice(File));

    WdfSpinLockAcquire(Echo->Lock);
    WdfCollectionRemove(Echo->Files, File);
    WdfSpinLockRelease(Echo->Lock);
}
