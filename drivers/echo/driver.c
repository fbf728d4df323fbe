/*
 * echo.sys: a device of the Kernel-Mode Driver Framework that gives back what was written to it.
 *
 * A write is stored at once and completed by a timer a little later, until when it can be cancelled (queue.c). Reads
 * answer with the store, or wait for the first write in a manual queue (deferred.c). Control codes are in control.c,
 * Plug and Play, power and files in device.c.
 */
#include "echo.h"

DRIVER_INITIALIZE DriverEntry;
static EVT_WDF_DRIVER_UNLOAD EchoEvtDriverUnload;
static EVT_WDF_OBJECT_CONTEXT_CLEANUP EchoEvtDriverCleanup;

static const UNICODE_STRING EchoDelayName = RTL_CONSTANT_STRING(L"Delay");

/* The delay of writes, from the service's Parameters key; a value out of range counts as none. */
static DECLSPEC_NOINLINE ULONG NTAPI EchoReadDelay(WDFDRIVER Driver)
{
    WDFKEY Key;
    ULONG Delay;
    NTSTATUS Status = WdfDriverOpenParametersRegistryKey(Driver, KEY_READ, WDF_NO_OBJECT_ATTRIBUTES, &Key);

    if (!NT_SUCCESS(Status)) {
        return ECHO_DEFAULT_DELAY;
    }
    Status = WdfRegistryQueryULong(Key, &EchoDelayName, &Delay);
    WdfRegistryClose(Key);
    return NT_SUCCESS(Status) && Delay <= ECHO_MAX_DELAY ? Delay : ECHO_DEFAULT_DELAY;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    WDF_DRIVER_CONFIG Config = {
        .Size = sizeof(Config),
        .EvtDriverDeviceAdd = EchoEvtDeviceAdd,
        .EvtDriverUnload = EchoEvtDriverUnload,
        .DriverPoolTag = ECHO_TAG,
    };
    WDF_OBJECT_ATTRIBUTES Attributes;
    WDFDRIVER Driver;
    NTSTATUS Status;

    WDF_OBJECT_ATTRIBUTES_INIT_CONTEXT_TYPE(&Attributes, ECHO_DRIVER);
    Attributes.EvtCleanupCallback = EchoEvtDriverCleanup;
    Status = WdfDriverCreate(DriverObject, RegistryPath, &Attributes, &Config, &Driver);
    if (NT_SUCCESS(Status)) {
        EchoGetDriver(Driver)->Delay = EchoReadDelay(Driver);
    }
    return Status;
}

static VOID NTAPI EchoEvtDriverUnload(WDFDRIVER Driver)
{
    DbgPrint("echo: unloaded, the delay was %u ms\n", EchoGetDriver(Driver)->Delay);
}

static VOID NTAPI EchoEvtDriverCleanup(WDFOBJECT Driver)
{
    EchoGetDriver(Driver)->Delay = 0;
}
