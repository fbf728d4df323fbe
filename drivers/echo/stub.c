/*
 * What stands before DriverEntry in every driver of the framework: the part that binds it to the KMDF library.
 *
 * A driver of the WDK gets this from WdfDriverEntry.lib; this one is the samples' own.
 */
#include "wdf.h"

DRIVER_INITIALIZE DriverEntry, FxDriverEntry;
static DRIVER_UNLOAD FxStubDriverUnload;

WDFFUNC WdfFunctions[WDF_FUNCTION_COUNT];
PWDF_DRIVER_GLOBALS WdfDriverGlobals;

static WDF_BIND_INFO WdfBindInfo = {
    .Size = sizeof(WDF_BIND_INFO),
    .Component = L"KmdfLibrary",
    .Version = {WDF_MAJOR_VERSION, WDF_MINOR_VERSION, WDF_BUILD_NUMBER},
    .FuncCount = WDF_FUNCTION_COUNT,
    .FuncTable = WdfFunctions,
};
static WCHAR FxRegistryPathBuffer[260];
static UNICODE_STRING FxRegistryPath = {0, sizeof(FxRegistryPathBuffer), FxRegistryPathBuffer};
static DRIVER_UNLOAD *FxDisplacedDriverUnload;

/* The framework's own unload routine runs first; it calls EvtDriverUnload. */
static VOID NTAPI FxStubDriverUnload(PDRIVER_OBJECT DriverObject)
{
    if (FxDisplacedDriverUnload != NULL) {
        FxDisplacedDriverUnload(DriverObject);
    }
    (VOID)WdfVersionUnbind(&FxRegistryPath, &WdfBindInfo, WdfDriverGlobals);
}

NTSTATUS NTAPI FxDriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS Status;

    RtlCopyUnicodeString(&FxRegistryPath, RegistryPath);
    Status = WdfVersionBind(DriverObject, &FxRegistryPath, &WdfBindInfo, &WdfDriverGlobals);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }
    Status = DriverEntry(DriverObject, RegistryPath);
    if (!NT_SUCCESS(Status)) {
        (VOID)WdfVersionUnbind(&FxRegistryPath, &WdfBindInfo, WdfDriverGlobals);
        return Status;
    }
    if (WdfDriverGlobals->DisplaceDriverUnload) {
        FxDisplacedDriverUnload = DriverObject->DriverUnload;
        DriverObject->DriverUnload = FxStubDriverUnload;
    }
    return STATUS_SUCCESS;
}
