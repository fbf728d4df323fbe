"""Structures that a KMDF driver passes to the framework, as 32-bit x86 lays them out.

From the public headers of the Windows Driver Frameworks (wdfobject.h, wdfio.h, wdfdevice.h…, MIT licence).
Newer framework versions only append fields: a structure's first word says how many bytes the driver knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.layouts import Layout, View

_WIDTHS = {"b": 1, "h": 2, "w": 4, "q": 8}


def _structure(name: str, fields: str) -> Layout:
    """Lay out `field` (a word) or `field:width` entries in order, each aligned to its own size.

    The widths are b (BOOLEAN, UCHAR), h (USHORT), w (pointers, ULONG, enumerations, size_t) and q (LONGLONG).
    """
    offset = 0
    alignment = 1
    found: dict[str, tuple[int, int]] = {}
    for entry in fields.split():
        field, _, kind = entry.partition(":")
        width = _WIDTHS[kind or "w"]
        alignment = max(alignment, width)
        offset = -(-offset // width) * width
        found[field] = (offset, width)
        offset += width
    return Layout(name, -(-offset // alignment) * alignment, found)


OBJECT_ATTRIBUTES = _structure(
    "WDF_OBJECT_ATTRIBUTES",
    "Size EvtCleanupCallback EvtDestroyCallback ExecutionLevel SynchronizationScope ParentObject"
    " ContextSizeOverride ContextTypeInfo",
)
CONTEXT_TYPE_INFO = _structure(
    "WDF_OBJECT_CONTEXT_TYPE_INFO", "Size ContextName ContextSize UniqueType EvtDriverGetUniqueContextType"
)
DRIVER_CONFIG = _structure(
    "WDF_DRIVER_CONFIG", "Size EvtDriverDeviceAdd EvtDriverUnload DriverInitFlags DriverPoolTag"
)
PNPPOWER_EVENT_CALLBACKS = _structure(
    "WDF_PNPPOWER_EVENT_CALLBACKS",
    "Size EvtDeviceD0Entry EvtDeviceD0EntryPostInterruptsEnabled EvtDeviceD0Exit"
    " EvtDeviceD0ExitPreInterruptsDisabled EvtDevicePrepareHardware EvtDeviceReleaseHardware"
    " EvtDeviceSelfManagedIoCleanup EvtDeviceSelfManagedIoFlush EvtDeviceSelfManagedIoInit"
    " EvtDeviceSelfManagedIoSuspend EvtDeviceSelfManagedIoRestart EvtDeviceSurpriseRemoval EvtDeviceQueryRemove"
    " EvtDeviceQueryStop EvtDeviceUsageNotification EvtDeviceRelationsQuery EvtDeviceUsageNotificationEx",
)
POWER_POLICY_EVENT_CALLBACKS = _structure(
    "WDF_POWER_POLICY_EVENT_CALLBACKS",
    "Size EvtDeviceArmWakeFromS0 EvtDeviceDisarmWakeFromS0 EvtDeviceWakeFromS0Triggered EvtDeviceArmWakeFromSx"
    " EvtDeviceDisarmWakeFromSx EvtDeviceWakeFromSxTriggered EvtDeviceArmWakeFromSxWithReason",
)
FILEOBJECT_CONFIG = _structure(
    "WDF_FILEOBJECT_CONFIG",
    "Size EvtDeviceFileCreate EvtFileClose EvtFileCleanup AutoForwardCleanupClose FileObjectClass",
)
FDO_EVENT_CALLBACKS = _structure(
    "WDF_FDO_EVENT_CALLBACKS",
    "Size EvtDeviceFilterAddResourceRequirements EvtDeviceFilterRemoveResourceRequirements"
    " EvtDeviceRemoveAddedResources",
)
PDO_EVENT_CALLBACKS = _structure(
    "WDF_PDO_EVENT_CALLBACKS",
    "Size EvtDeviceResourcesQuery EvtDeviceResourceRequirementsQuery EvtDeviceEject EvtDeviceSetLock"
    " EvtDeviceEnableWakeAtBus EvtDeviceDisableWakeAtBus EvtDeviceReportedMissing",
)
CHILD_LIST_CONFIG = _structure(
    "WDF_CHILD_LIST_CONFIG",
    "Size IdentificationDescriptionSize AddressDescriptionSize EvtChildListCreateDevice"
    " EvtChildListScanForChildren EvtChildListIdentificationDescriptionCopy"
    " EvtChildListIdentificationDescriptionDuplicate EvtChildListIdentificationDescriptionCleanup"
    " EvtChildListIdentificationDescriptionCompare EvtChildListAddressDescriptionCopy"
    " EvtChildListAddressDescriptionDuplicate EvtChildListAddressDescriptionCleanup"
    " EvtChildListDeviceReenumerated",
)
IO_QUEUE_CONFIG = _structure(
    "WDF_IO_QUEUE_CONFIG",
    "Size DispatchType PowerManaged AllowZeroLengthRequests:b DefaultQueue:b EvtIoDefault EvtIoRead EvtIoWrite"
    " EvtIoDeviceControl EvtIoInternalDeviceControl EvtIoStop EvtIoResume EvtIoCanceledOnQueue"
    " NumberOfPresentedRequests Driver",
)
TIMER_CONFIG = _structure(
    "WDF_TIMER_CONFIG",
    "Size EvtTimerFunc Period AutomaticSerialization:b TolerableDelay UseHighResolutionTimer:b",
)
DPC_CONFIG = _structure("WDF_DPC_CONFIG", "Size EvtDpcFunc AutomaticSerialization:b")
WORKITEM_CONFIG = _structure("WDF_WORKITEM_CONFIG", "Size EvtWorkItemFunc AutomaticSerialization:b")
INTERRUPT_CONFIG = _structure(
    "WDF_INTERRUPT_CONFIG",
    "Size SpinLock ShareVector FloatingSave:b AutomaticSerialization:b EvtInterruptIsr EvtInterruptDpc"
    " EvtInterruptEnable EvtInterruptDisable EvtInterruptWorkItem InterruptRaw InterruptTranslated WaitLock"
    " PassiveHandling:b ReportInactiveOnPowerDown CanWakeDevice:b",
)
INTERRUPT_INFO = _structure(
    "WDF_INTERRUPT_INFO",
    "Size Reserved1:q TargetProcessorSet Reserved2 MessageNumber Vector Irql:b Mode Polarity MessageSignaled:b"
    " ShareDisposition:b Group:q",
)
DMA_ENABLER_CONFIG = _structure(
    "WDF_DMA_ENABLER_CONFIG",
    "Size Profile MaximumLength EvtDmaEnablerFill EvtDmaEnablerFlush EvtDmaEnablerDisable EvtDmaEnablerEnable"
    " EvtDmaEnablerSelfManagedIoStart EvtDmaEnablerSelfManagedIoStop AddressWidthOverride WdmDmaVersionOverride"
    " Flags",
)
IO_TARGET_OPEN_PARAMS = _structure(
    "WDF_IO_TARGET_OPEN_PARAMS",
    "Size Type EvtIoTargetQueryRemove EvtIoTargetRemoveCanceled EvtIoTargetRemoveComplete TargetDeviceObject"
    " TargetFileObject TargetDeviceNameLength TargetDeviceNameBuffer",
)
USB_CONTINUOUS_READER_CONFIG = _structure(
    "WDF_USB_CONTINUOUS_READER_CONFIG",
    "Size TransferLength HeaderLength TrailerLength NumPendingReads BufferAttributes"
    " EvtUsbTargetPipeReadComplete EvtUsbTargetPipeReadCompleteContext EvtUsbTargetPipeReadersFailed",
)
WMI_PROVIDER_CONFIG = _structure(
    "WDF_WMI_PROVIDER_CONFIG",
    "Size Guid Guid1 Guid2 Guid3 Flags MinInstanceBufferSize EvtWmiProviderFunctionControl",
)
WMI_INSTANCE_CONFIG = _structure(
    "WDF_WMI_INSTANCE_CONFIG",
    "Size Provider ProviderConfig UseContextForQuery:b Register:b EvtWmiInstanceQueryInstance"
    " EvtWmiInstanceSetInstance EvtWmiInstanceSetItem EvtWmiInstanceExecuteMethod",
)
REQUEST_PARAMETERS = _structure(
    "WDF_REQUEST_PARAMETERS", "Size:h MinorFunction:b Type Parameter1 Parameter2 Parameter3 Parameter4"
)
"""The parameters are a union, which begins at offset 8 for its 64-bit members; these are its words."""
COMPLETION_PARAMS = _structure(
    "WDF_REQUEST_COMPLETION_PARAMS",
    "Size Type Status Information IoControlCode InputBuffer InputOffset OutputBuffer OutputOffset OutputLength",
)
MEMORY_DESCRIPTOR = _structure("WDF_MEMORY_DESCRIPTOR", "Type Buffer Length")
"""The members of its union for WdfMemoryDescriptorTypeBuffer and …Mdl; a handle is followed by its offsets."""
MEMORY_OFFSET = _structure("WDFMEMORY_OFFSET", "BufferOffset BufferLength")
SEND_OPTIONS = _structure("WDF_REQUEST_SEND_OPTIONS", "Size Flags Timeout:q")
REUSE_PARAMS = _structure("WDF_REQUEST_REUSE_PARAMS", "Size Flags Status NewIrp")
DRIVER_GLOBALS = _structure(
    "WDF_DRIVER_GLOBALS",
    "Driver DriverFlags DriverTag DriverName Name1 Name2 Name3 Name4 Name5 Name6 Name7 DisplaceDriverUnload:b",
)
"""DriverName is an array of 32 characters."""


@dataclass(frozen=True, slots=True)
class Config:
    """A structure that the driver passed: fields beyond the size it says, or of a null pointer, are 0."""

    context: Context
    address: int
    layout: Layout
    size: int

    def __getitem__(self, field: str) -> int:
        """Return a field's value; KeyError for one that the structure never had."""
        offset, width = self.layout.fields[field]
        if not self.address or offset + width > self.size:
            return 0
        return int.from_bytes(self.context.read(self.address + offset, width), "little")

    def callbacks(self) -> Iterator[tuple[str, int]]:
        """Yield name and address of each callback (`Evt…`) that the driver set."""
        for field in self.layout.fields:
            address = self[field] if field.startswith("Evt") else 0
            if address:
                yield field, address


def config(context: Context, address: int, layout: Layout) -> Config:
    """Return the structure at `address`, which begins with its size; raises BadAddress."""
    size = context.u32(address) if address else 0
    return Config(context, address, layout, min(size, layout.size) if size else layout.size)


def view(context: Context, address: int, layout: Layout) -> View:
    """Return a structure to be filled in."""
    return View(context.host, address, layout)
