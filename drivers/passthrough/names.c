/*
 * The name provider: a filter above this one that asks for a name is answered from here.
 *
 * The filter renames nothing, so every name is the one that the layer below gives.
 */
#include "passthrough.h"

/* What is kept from one component of a name to the next. */
typedef struct _PT_NORMALIZE_CONTEXT {
    ULONG Components;
    USHORT VolumeNameLength;
} PT_NORMALIZE_CONTEXT, *PPT_NORMALIZE_CONTEXT;

NTSTATUS FLTAPI PtGenerateFileNameCallback(
    PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PFLT_CALLBACK_DATA CallbackData,
    FLT_FILE_NAME_OPTIONS NameOptions, PBOOLEAN CacheFileNameInformation, PFLT_NAME_CONTROL FileName)
{
    PFLT_FILE_NAME_INFORMATION Below = NULL;
    FLT_FILE_NAME_OPTIONS Options = NameOptions & ~FLT_FILE_NAME_REQUEST_FROM_CURRENT_PROVIDER;
    NTSTATUS Status;

    if (CallbackData != NULL) {
        Status = FltGetFileNameInformation(CallbackData, Options, &Below);
    } else {
        Status = FltGetFileNameInformationUnsafe(FileObject, Instance, Options, &Below);
    }
    if (!NT_SUCCESS(Status)) {
        DbgPrint(
            "PassThrough: no name below for file %p (options %x, data %p): %08x\n", FileObject, Options, CallbackData,
            Status);
        return Status;
    }

    Status = FltCheckAndGrowNameControl(FileName, Below->Name.Length);
    if (NT_SUCCESS(Status)) {
        RtlCopyUnicodeString(&FileName->Name, &Below->Name);
        *CacheFileNameInformation = TRUE;
    }
    FltReleaseFileNameInformation(Below);
    return Status;
}

/* Returns the context that counts components, and makes it with the first one; NULL without memory. */
static DECLSPEC_NOINLINE PPT_NORMALIZE_CONTEXT PtNormalizeContext(
    USHORT VolumeNameLength, PVOID *NormalizationContext)
{
    PPT_NORMALIZE_CONTEXT Context = *NormalizationContext;

    if (Context == NULL) {
        Context = ExAllocatePoolWithTag(PagedPool, sizeof(*Context), PT_TAG_NORMALIZE);
        if (Context != NULL) {
            Context->Components = 0;
            Context->VolumeNameLength = VolumeNameLength;
            *NormalizationContext = Context;
        }
    }
    return Context;
}

/* Opens the directory below this filter; the caller closes the handle and drops the file object. */
static DECLSPEC_NOINLINE NTSTATUS PtOpenDirectory(
    PFLT_INSTANCE Instance, PCUNICODE_STRING Directory, PHANDLE Handle, PFILE_OBJECT *FileObject)
{
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK IoStatus;

    InitializeObjectAttributes(
        &Attributes, (PUNICODE_STRING)Directory, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    return FltCreateFileEx(
        PtGlobals.Filter, Instance, Handle, FileObject, FILE_LIST_DIRECTORY | SYNCHRONIZE, &Attributes, &IoStatus,
        NULL, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, FILE_OPEN,
        FILE_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT | FILE_OPEN_FOR_BACKUP_INTENT, NULL, 0,
        IO_IGNORE_SHARE_ACCESS_CHECK);
}

NTSTATUS FLTAPI PtNormalizeNameComponentExCallback(
    PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PCUNICODE_STRING ParentDirectory, USHORT VolumeNameLength,
    PCUNICODE_STRING Component, PFILE_NAMES_INFORMATION ExpandComponentName, ULONG ExpandComponentNameLength,
    ULONG Flags, PVOID *NormalizationContext)
{
    HANDLE Directory = NULL;
    PFILE_OBJECT DirectoryObject = NULL;
    WCHAR Characters[24];
    UNICODE_STRING Shown = {0, sizeof(Characters), Characters};
    PPT_NORMALIZE_CONTEXT Context;
    ULONG Returned = 0;
    NTSTATUS Status;

    Context = PtNormalizeContext(VolumeNameLength, NormalizationContext);
    if (Context == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    Status = PtOpenDirectory(Instance, ParentDirectory, &Directory, &DirectoryObject);
    if (!NT_SUCCESS(Status)) {
        return Status;
    }

    Status = FltQueryDirectoryFile(
        Instance, DirectoryObject, ExpandComponentName, ExpandComponentNameLength, FileNamesInformation, TRUE,
        Component, TRUE, &Returned);
    if (NT_SUCCESS(Status)) {
        Context->Components++;
    } else {
        /* Cut to what is wanted in a log. */
        RtlCopyUnicodeString(&Shown, Component);
        DbgPrint(
            "PassThrough: %wZ has no long name (file %p, flags %x): %08x\n", &Shown, FileObject, Flags, Status);
    }
    FltClose(Directory);
    ObfDereferenceObject(DirectoryObject);
    return Status;
}

NTSTATUS FLTAPI PtNormalizeNameComponentCallback(
    PFLT_INSTANCE Instance, PCUNICODE_STRING ParentDirectory, USHORT VolumeNameLength, PCUNICODE_STRING Component,
    PFILE_NAMES_INFORMATION ExpandComponentName, ULONG ExpandComponentNameLength, ULONG Flags,
    PVOID *NormalizationContext)
{
    return PtNormalizeNameComponentExCallback(
        Instance, NULL, ParentDirectory, VolumeNameLength, Component, ExpandComponentName, ExpandComponentNameLength,
        Flags, NormalizationContext);
}

VOID FLTAPI PtNormalizeContextCleanupCallback(PVOID *NormalizationContext)
{
    PPT_NORMALIZE_CONTEXT Context = *NormalizationContext;

    if (Context != NULL) {
        DbgPrint(
            "PassThrough: %u components behind a volume name of %u\n", Context->Components,
            Context->VolumeNameLength);
        ExFreePoolWithTag(Context, PT_TAG_NORMALIZE);
        *NormalizationContext = NULL;
    }
}
