/*
 * stackzoo.sys: one function for each way in which code uses its stack.
 *
 * The driver is real: it makes a device, and each function control (IOCTL_ZOO) runs one routine of the table
 * on the caller's buffer.
 */
#include "zoo.h"

#define IOCTL_ZOO(Index) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + (Index), METHOD_BUFFERED, FILE_ANY_ACCESS)
#define ZOO_MIN_BUFFER 72

DRIVER_INITIALIZE DriverEntry;
DRIVER_UNLOAD ZooUnload;
DRIVER_DISPATCH ZooDispatchCreateClose, ZooDispatchDeviceControl;

#pragma alloc_text(INIT, DriverEntry)

const PZOO_ROUTINE ZooTable[] = {
    ZooLeaf, ZooSmallLocals, ZooSavedRegisters, ZooFrame2048, ZooShrinkWrapped, ZooSeveralExits,
    ZooEbpFrame, ZooEbpSavedRegisters, ZooEbpOutgoing,
    ZooChkstk, ZooChkstkTwoPages, ZooDynamicAlloca, ZooDynamicAllocaInLoop,
    ZooAligned16, ZooAligned32, ZooAlignedCall, ZooAlignedAlloca,
    ZooCookie, ZooCookieAligned,
    ZooCallStdcall, ZooCallCdecl, ZooCallFastcall, ZooCallStaticFastcall, ZooCallNested, ZooCallImports,
    ZooCallVarargs, ZooCallStructure, ZooReturnStructure, ZooCallback, ZooCallbackTable, ZooSwitch,
    ZooTailCall, ZooTailCallPointer,
    ZooRecursive, ZooMutualEven, ZooMutualOdd, ZooRecursiveTree,
    ZooHiddenDeepPath,
    ZooPushEcxLocal, ZooPushEcxTwice, ZooEnterLeave, ZooAndEsp8, ZooAndEsp64, ZooPopDiscard, ZooPushPopMove,
    ZooXchgEsp, ZooCallPop, ZooPushad, ZooPushfd, ZooPushRet, ZooLeaEsp, ZooAddEspNegative, ZooPushEsp,
    ZooMovEspEbp, ZooPush16, ZooPushMemory, ZooPushLoop, ZooLoopBalanced, ZooTailJump, ZooTailJumpImport,
    ZooFuncletOwner, ZooJumpTable, ZooMergedPaths, ZooShrinkWrappedAsm, ZooSeveralExitsAsm,
    ZooAllocaProbe, ZooAllocaProbeDynamic, ZooCookieAsm, ZooCallRegister,
    ZooHotPatch, ZooEbpBiased, ZooEbxAligned, ZooEcxAligned, ZooOutgoingArea, ZooJumpRegister, ZooByteJumpTable,
    ZooSehProlog4, ZooSehProlog, ZooEhProlog, ZooEhProlog3, ZooInlineSehFrame,
};

static DECLSPEC_NOINLINE NTSTATUS ZooComplete(PIRP Irp, NTSTATUS Status, ULONG Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

NTSTATUS NTAPI ZooDispatchCreateClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return ZooComplete(Irp, STATUS_SUCCESS, 0);
}

/* The buffer begins with the routine's second argument; what is left is its first. */
NTSTATUS NTAPI ZooDispatchDeviceControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    ULONG Index = (Stack->Parameters.DeviceIoControl.IoControlCode - IOCTL_ZOO(0)) >> 2;
    PULONG Buffer = Irp->SystemBuffer;

    UNREFERENCED_PARAMETER(DeviceObject);
    if (Index >= ARRAYSIZE(ZooTable)) {
        return ZooComplete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if (Stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(*Buffer) + ZOO_MIN_BUFFER ||
        Stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(*Buffer)) {
        return ZooComplete(Irp, STATUS_BUFFER_TOO_SMALL, 0);
    }
    Buffer[0] = ZooTable[Index]((PUCHAR)&Buffer[1], Buffer[0]);
    return ZooComplete(Irp, STATUS_SUCCESS, sizeof(*Buffer));
}

VOID NTAPI ZooUnload(PDRIVER_OBJECT DriverObject)
{
    if (DriverObject->DeviceObject != NULL) {
        IoDeleteDevice(DriverObject->DeviceObject);
    }
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\Device\\StackZoo");
    PDEVICE_OBJECT DeviceObject;

    UNREFERENCED_PARAMETER(RegistryPath);
    ZooInitializeCookie();
    DriverObject->DriverUnload = ZooUnload;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = ZooDispatchCreateClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = ZooDispatchCreateClose;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = ZooDispatchDeviceControl;
    return IoCreateDevice(
        DriverObject, 0, &Name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &DeviceObject);
}
