/* The filter's instances: one for each volume that it is attached to. */
#include "passthrough.h"

#define PT_MIN_SECTOR_SIZE 512

/* FltGetVolumeProperties writes the structure and, behind it, the names that it points at. */
typedef union _PT_VOLUME_PROPERTIES {
    FLT_VOLUME_PROPERTIES Properties;
    UCHAR Space[sizeof(FLT_VOLUME_PROPERTIES) + 96];
} PT_VOLUME_PROPERTIES;

/* A volume whose properties do not fit is described well enough by those that did. */
static DECLSPEC_NOINLINE ULONG PtQuerySectorSize(PFLT_VOLUME Volume)
{
    PT_VOLUME_PROPERTIES Volumes;
    ULONG Returned = 0;
    NTSTATUS Status = FltGetVolumeProperties(Volume, &Volumes.Properties, sizeof(Volumes), &Returned);

    if ((!NT_SUCCESS(Status) && Status != STATUS_BUFFER_OVERFLOW) ||
        Returned < FIELD_OFFSET(FLT_VOLUME_PROPERTIES, FileSystemDriverName)) {
        return PT_MIN_SECTOR_SIZE;
    }
    return Volumes.Properties.SectorSize < PT_MIN_SECTOR_SIZE ? PT_MIN_SECTOR_SIZE : Volumes.Properties.SectorSize;
}

NTSTATUS FLTAPI PtInstanceSetup(
    PCFLT_RELATED_OBJECTS FltObjects, ULONG Flags, DEVICE_TYPE VolumeDeviceType,
    FLT_FILESYSTEM_TYPE VolumeFilesystemType)
{
    PPT_INSTANCE_CONTEXT Context = NULL;
    PFLT_CONTEXT OldContext = NULL;
    ULONG Needed = 0;
    NTSTATUS Status;

    Status = FltAllocateContext(
        FltObjects->Filter, FLT_INSTANCE_CONTEXT, sizeof(*Context), NonPagedPool, (PFLT_CONTEXT *)&Context);
    if (!NT_SUCCESS(Status)) {
        DbgPrint("PassThrough: no context for volume %p: %08x\n", FltObjects->Volume, Status);
        return STATUS_FLT_DO_NOT_ATTACH;
    }

    memset(Context, 0, sizeof(*Context));
    Context->Instance = FltObjects->Instance;
    Context->VolumeDeviceType = VolumeDeviceType;
    Context->FileSystemType = VolumeFilesystemType;
    Context->SectorSize = PtQuerySectorSize(FltObjects->Volume);
    Context->VolumeName.MaximumLength = sizeof(Context->VolumeNameBuffer);
    Context->VolumeName.Buffer = Context->VolumeNameBuffer;
    if (!NT_SUCCESS(FltGetVolumeName(FltObjects->Volume, &Context->VolumeName, &Needed))) {
        Context->VolumeName.Length = 0;
    }

    Status = FltSetInstanceContext(FltObjects->Instance, FLT_SET_CONTEXT_KEEP_IF_EXISTS, Context, &OldContext);
    DbgPrint(
        "PassThrough: instance %p on %wZ (type %u, device %x, sector %u, flags %x): %08x\n", FltObjects->Instance,
        &Context->VolumeName, VolumeFilesystemType, VolumeDeviceType, Context->SectorSize, Flags, Status);
    if (OldContext != NULL) {
        FltReleaseContext(OldContext);
    }
    FltReleaseContext(Context);
    return STATUS_SUCCESS;
}

NTSTATUS FLTAPI PtInstanceQueryTeardown(PCFLT_RELATED_OBJECTS FltObjects, ULONG Flags)
{
    DbgPrint("PassThrough: instance %p may be detached (flags %x)\n", FltObjects->Instance, Flags);
    return STATUS_SUCCESS;
}

VOID FLTAPI PtInstanceTeardownStart(PCFLT_RELATED_OBJECTS FltObjects, ULONG Reason)
{
    static const UNICODE_STRING Unnamed = RTL_CONSTANT_STRING(L"(no name)");
    PPT_INSTANCE_CONTEXT Context;
    WCHAR Characters[80];
    UNICODE_STRING Name = {0, sizeof(Characters), Characters};

    if (!NT_SUCCESS(FltGetInstanceContext(FltObjects->Instance, (PFLT_CONTEXT *)&Context))) {
        DbgPrint("PassThrough: instance %p leaves without a context, reason %x\n", FltObjects->Instance, Reason);
        return;
    }
    RtlCopyUnicodeString(&Name, Context->VolumeName.Length != 0 ? &Context->VolumeName : &Unnamed);
    RtlAppendUnicodeToString(&Name, (Reason & FLTFL_INSTANCE_TEARDOWN_MANUAL) ? L" by hand" : L" by the system");
    DbgPrint(
        "PassThrough: leaving %wZ after %d operations, %d of them failed; reason %x\n", &Name, Context->Operations,
        Context->Failures, Reason);
    FltReleaseContext(Context);
}

VOID FLTAPI PtInstanceTeardownComplete(PCFLT_RELATED_OBJECTS FltObjects, ULONG Reason)
{
    PFLT_CONTEXT OldContext = NULL;
    NTSTATUS Status = FltDeleteInstanceContext(FltObjects->Instance, &OldContext);

    if (NT_SUCCESS(Status) && OldContext != NULL) {
        FltReleaseContext(OldContext);
    }
    DbgPrint("PassThrough: instance %p is gone, reason %x: %08x\n", FltObjects->Instance, Reason, Status);
}

VOID FLTAPI PtInstanceContextCleanup(PFLT_CONTEXT Context, FLT_CONTEXT_TYPE ContextType)
{
    PPT_INSTANCE_CONTEXT Instance = Context;

    if (ContextType == FLT_INSTANCE_CONTEXT) {
        __atomic_fetch_add(&PtGlobals.Operations, Instance->Operations, __ATOMIC_SEQ_CST);
        __atomic_fetch_add(&PtGlobals.Failures, Instance->Failures, __ATOMIC_SEQ_CST);
    }
}
