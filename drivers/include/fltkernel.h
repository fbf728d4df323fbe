/*
 * The part of the Filter Manager's interface that the sample minifilter uses.
 *
 * Written for these samples from the public documentation, with the layouts of 32-bit Windows 7
 * (FLT_REGISTRATION_VERSION 0x0202).
 */
#pragma once

#include "wdm.h"

#define FLTAPI NTAPI

typedef struct _FLT_FILTER *PFLT_FILTER;
typedef struct _FLT_VOLUME *PFLT_VOLUME;
typedef struct _FLT_INSTANCE *PFLT_INSTANCE;
typedef PVOID PFLT_CONTEXT;

typedef USHORT FLT_CONTEXT_TYPE;
#define FLT_INSTANCE_CONTEXT 0x0002
#define FLT_CONTEXT_END 0xffff

typedef enum _FLT_FILESYSTEM_TYPE {
    FLT_FSTYPE_UNKNOWN,
    FLT_FSTYPE_RAW,
    FLT_FSTYPE_NTFS,
    FLT_FSTYPE_FAT
} FLT_FILESYSTEM_TYPE;

typedef enum _FLT_SET_CONTEXT_OPERATION {
    FLT_SET_CONTEXT_REPLACE_IF_EXISTS,
    FLT_SET_CONTEXT_KEEP_IF_EXISTS
} FLT_SET_CONTEXT_OPERATION;

typedef enum _FLT_PREOP_CALLBACK_STATUS {
    FLT_PREOP_SUCCESS_WITH_CALLBACK,
    FLT_PREOP_SUCCESS_NO_CALLBACK,
    FLT_PREOP_PENDING,
    FLT_PREOP_DISALLOW_FASTIO,
    FLT_PREOP_COMPLETE,
    FLT_PREOP_SYNCHRONIZE
} FLT_PREOP_CALLBACK_STATUS;

typedef enum _FLT_POSTOP_CALLBACK_STATUS {
    FLT_POSTOP_FINISHED_PROCESSING,
    FLT_POSTOP_MORE_PROCESSING_REQUIRED
} FLT_POSTOP_CALLBACK_STATUS;

#define FLTFL_CALLBACK_DATA_IRP_OPERATION 0x00000001
#define FLTFL_CALLBACK_DATA_FAST_IO_OPERATION 0x00000002
#define FLTFL_POST_OPERATION_DRAINING 0x00000001
#define FLTFL_FILTER_UNLOAD_MANDATORY 0x00000001
#define FLTFL_INSTANCE_TEARDOWN_MANUAL 0x00000001

typedef union _FLT_PARAMETERS {
    struct {
        PVOID SecurityContext;
        ULONG Options; /* disposition in the highest byte */
        USHORT FileAttributes;
        USHORT ShareAccess;
        ULONG EaLength;
        PVOID EaBuffer;
        ULONG AllocationSize[2]; /* a LARGE_INTEGER, packed to 4 bytes */
    } Create;
    struct {
        ULONG Length;
        ULONG Key;
        LARGE_INTEGER ByteOffset;
        PVOID Buffer;
        PMDL MdlAddress;
    } ReadWrite;
    struct {
        ULONG OutputBufferLength;
        ULONG InputBufferLength;
        ULONG FsControlCode;
    } FileSystemControl;
    struct {
        PVOID Argument1, Argument2, Argument3, Argument4, Argument5;
        ULONG Argument6[2]; /* a LARGE_INTEGER, packed to 4 bytes */
    } Others;
} __attribute__((packed, aligned(4))) FLT_PARAMETERS, *PFLT_PARAMETERS;
C_ASSERT(sizeof(FLT_PARAMETERS) == 0x1c);

typedef struct _FLT_IO_PARAMETER_BLOCK {
    ULONG IrpFlags;
    UCHAR MajorFunction;
    UCHAR MinorFunction;
    UCHAR OperationFlags;
    UCHAR Reserved;
    PFILE_OBJECT TargetFileObject;
    PFLT_INSTANCE TargetInstance;
    FLT_PARAMETERS Parameters;
} FLT_IO_PARAMETER_BLOCK, *PFLT_IO_PARAMETER_BLOCK;
C_ASSERT(offsetof(FLT_IO_PARAMETER_BLOCK, Parameters) == 0x10 && sizeof(FLT_IO_PARAMETER_BLOCK) == 0x2c);

typedef struct _FLT_CALLBACK_DATA {
    ULONG Flags;
    PETHREAD Thread;
    PFLT_IO_PARAMETER_BLOCK Iopb;
    IO_STATUS_BLOCK IoStatus;
    PVOID TagData;
    union {
        struct {
            LIST_ENTRY QueueLinks;
            PVOID QueueContext[2];
        };
        PVOID FilterContext[4];
    };
    KPROCESSOR_MODE RequestorMode;
} FLT_CALLBACK_DATA, *PFLT_CALLBACK_DATA;
C_ASSERT(offsetof(FLT_CALLBACK_DATA, IoStatus) == 0x0c && offsetof(FLT_CALLBACK_DATA, RequestorMode) == 0x28);
C_ASSERT(sizeof(FLT_CALLBACK_DATA) == 0x2c);

typedef struct _FLT_RELATED_OBJECTS {
    USHORT Size;
    USHORT TransactionContext;
    PFLT_FILTER Filter;
    PFLT_VOLUME Volume;
    PFLT_INSTANCE Instance;
    PFILE_OBJECT FileObject;
    PKTRANSACTION Transaction;
} FLT_RELATED_OBJECTS, *PFLT_RELATED_OBJECTS;
typedef const FLT_RELATED_OBJECTS *PCFLT_RELATED_OBJECTS;
C_ASSERT(sizeof(FLT_RELATED_OBJECTS) == 0x18);

typedef ULONG FLT_FILE_NAME_OPTIONS;
#define FLT_FILE_NAME_NORMALIZED 0x00000001
#define FLT_FILE_NAME_OPENED 0x00000002
#define FLT_FILE_NAME_QUERY_DEFAULT 0x00000100
#define FLT_FILE_NAME_REQUEST_FROM_CURRENT_PROVIDER 0x01000000

typedef struct _FLT_FILE_NAME_INFORMATION {
    USHORT Size;
    USHORT NamesParsed;
    FLT_FILE_NAME_OPTIONS Format;
    UNICODE_STRING Name;
    UNICODE_STRING Volume;
    UNICODE_STRING Share;
    UNICODE_STRING Extension;
    UNICODE_STRING Stream;
    UNICODE_STRING FinalComponent;
    UNICODE_STRING ParentDir;
} FLT_FILE_NAME_INFORMATION, *PFLT_FILE_NAME_INFORMATION;
C_ASSERT(sizeof(FLT_FILE_NAME_INFORMATION) == 0x40);

typedef struct _FLT_NAME_CONTROL {
    UNICODE_STRING Name;
} FLT_NAME_CONTROL, *PFLT_NAME_CONTROL;

typedef struct _FLT_VOLUME_PROPERTIES {
    DEVICE_TYPE DeviceType;
    ULONG DeviceCharacteristics;
    ULONG DeviceObjectFlags;
    ULONG AlignmentRequirement;
    USHORT SectorSize;
    USHORT Reserved0;
    UNICODE_STRING FileSystemDriverName;
    UNICODE_STRING FileSystemDeviceName;
    UNICODE_STRING RealDeviceName;
} FLT_VOLUME_PROPERTIES, *PFLT_VOLUME_PROPERTIES;
C_ASSERT(sizeof(FLT_VOLUME_PROPERTIES) == 0x2c);

typedef FLT_PREOP_CALLBACK_STATUS FLTAPI FLT_PRE_OPERATION(
    PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects, PVOID *CompletionContext);
typedef FLT_POSTOP_CALLBACK_STATUS FLTAPI FLT_POST_OPERATION(
    PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects, PVOID CompletionContext, ULONG Flags);
typedef VOID FLTAPI FLT_GET_OPERATION_STATUS(
    PCFLT_RELATED_OBJECTS FltObjects, PFLT_IO_PARAMETER_BLOCK IopbSnapshot, NTSTATUS OperationStatus,
    PVOID RequesterContext);
typedef NTSTATUS FLTAPI FLT_FILTER_UNLOAD(ULONG Flags);
typedef NTSTATUS FLTAPI FLT_INSTANCE_SETUP(
    PCFLT_RELATED_OBJECTS FltObjects, ULONG Flags, DEVICE_TYPE VolumeDeviceType,
    FLT_FILESYSTEM_TYPE VolumeFilesystemType);
typedef NTSTATUS FLTAPI FLT_INSTANCE_QUERY_TEARDOWN(PCFLT_RELATED_OBJECTS FltObjects, ULONG Flags);
typedef VOID FLTAPI FLT_INSTANCE_TEARDOWN(PCFLT_RELATED_OBJECTS FltObjects, ULONG Reason);
typedef NTSTATUS FLTAPI FLT_GENERATE_FILE_NAME(
    PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PFLT_CALLBACK_DATA CallbackData,
    FLT_FILE_NAME_OPTIONS NameOptions, PBOOLEAN CacheFileNameInformation, PFLT_NAME_CONTROL FileName);
typedef NTSTATUS FLTAPI FLT_NORMALIZE_NAME_COMPONENT(
    PFLT_INSTANCE Instance, PCUNICODE_STRING ParentDirectory, USHORT VolumeNameLength, PCUNICODE_STRING Component,
    PFILE_NAMES_INFORMATION ExpandComponentName, ULONG ExpandComponentNameLength, ULONG Flags,
    PVOID *NormalizationContext);
typedef NTSTATUS FLTAPI FLT_NORMALIZE_NAME_COMPONENT_EX(
    PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PCUNICODE_STRING ParentDirectory, USHORT VolumeNameLength,
    PCUNICODE_STRING Component, PFILE_NAMES_INFORMATION ExpandComponentName, ULONG ExpandComponentNameLength,
    ULONG Flags, PVOID *NormalizationContext);
typedef VOID FLTAPI FLT_NORMALIZE_CONTEXT_CLEANUP(PVOID *NormalizationContext);
typedef VOID FLTAPI FLT_CONTEXT_CLEANUP(PFLT_CONTEXT Context, FLT_CONTEXT_TYPE ContextType);

typedef struct _FLT_CONTEXT_REGISTRATION {
    FLT_CONTEXT_TYPE ContextType;
    USHORT Flags;
    FLT_CONTEXT_CLEANUP *ContextCleanupCallback;
    SIZE_T Size;
    ULONG PoolTag;
    PVOID ContextAllocateCallback;
    PVOID ContextFreeCallback;
    PVOID Reserved1;
} FLT_CONTEXT_REGISTRATION;
C_ASSERT(sizeof(FLT_CONTEXT_REGISTRATION) == 0x1c);

#define IRP_MJ_OPERATION_END 0x80

typedef struct _FLT_OPERATION_REGISTRATION {
    UCHAR MajorFunction;
    ULONG Flags;
    FLT_PRE_OPERATION *PreOperation;
    FLT_POST_OPERATION *PostOperation;
    PVOID Reserved1;
} FLT_OPERATION_REGISTRATION;
C_ASSERT(sizeof(FLT_OPERATION_REGISTRATION) == 0x14);

#define FLT_REGISTRATION_VERSION 0x0202

typedef struct _FLT_REGISTRATION {
    USHORT Size;
    USHORT Version;
    ULONG Flags;
    const FLT_CONTEXT_REGISTRATION *ContextRegistration;
    const FLT_OPERATION_REGISTRATION *OperationRegistration;
    FLT_FILTER_UNLOAD *FilterUnloadCallback;
    FLT_INSTANCE_SETUP *InstanceSetupCallback;
    FLT_INSTANCE_QUERY_TEARDOWN *InstanceQueryTeardownCallback;
    FLT_INSTANCE_TEARDOWN *InstanceTeardownStartCallback;
    FLT_INSTANCE_TEARDOWN *InstanceTeardownCompleteCallback;
    FLT_GENERATE_FILE_NAME *GenerateFileNameCallback;
    FLT_NORMALIZE_NAME_COMPONENT *NormalizeNameComponentCallback;
    FLT_NORMALIZE_CONTEXT_CLEANUP *NormalizeContextCleanupCallback;
    PVOID TransactionNotificationCallback;
    FLT_NORMALIZE_NAME_COMPONENT_EX *NormalizeNameComponentExCallback;
} FLT_REGISTRATION;
C_ASSERT(offsetof(FLT_REGISTRATION, FilterUnloadCallback) == 0x10 && sizeof(FLT_REGISTRATION) == 0x38);

NTSYSAPI NTSTATUS FLTAPI FltRegisterFilter(
    PDRIVER_OBJECT Driver, const FLT_REGISTRATION *Registration, PFLT_FILTER *RetFilter);
NTSYSAPI NTSTATUS FLTAPI FltStartFiltering(PFLT_FILTER Filter);
NTSYSAPI VOID FLTAPI FltUnregisterFilter(PFLT_FILTER Filter);

NTSYSAPI NTSTATUS FLTAPI FltAllocateContext(
    PFLT_FILTER Filter, FLT_CONTEXT_TYPE ContextType, SIZE_T ContextSize, POOL_TYPE PoolType,
    PFLT_CONTEXT *ReturnedContext);
NTSYSAPI VOID FLTAPI FltReleaseContext(PFLT_CONTEXT Context);
NTSYSAPI NTSTATUS FLTAPI FltGetInstanceContext(PFLT_INSTANCE Instance, PFLT_CONTEXT *Context);
NTSYSAPI NTSTATUS FLTAPI FltSetInstanceContext(
    PFLT_INSTANCE Instance, FLT_SET_CONTEXT_OPERATION Operation, PFLT_CONTEXT NewContext, PFLT_CONTEXT *OldContext);
NTSYSAPI NTSTATUS FLTAPI FltDeleteInstanceContext(PFLT_INSTANCE Instance, PFLT_CONTEXT *OldContext);

NTSYSAPI NTSTATUS FLTAPI FltGetVolumeName(PFLT_VOLUME Volume, PUNICODE_STRING VolumeName, PULONG BufferSizeNeeded);
NTSYSAPI NTSTATUS FLTAPI FltGetVolumeProperties(
    PFLT_VOLUME Volume, PFLT_VOLUME_PROPERTIES Properties, ULONG PropertiesLength, PULONG LengthReturned);

NTSYSAPI NTSTATUS FLTAPI FltGetFileNameInformation(
    PFLT_CALLBACK_DATA CallbackData, FLT_FILE_NAME_OPTIONS NameOptions, PFLT_FILE_NAME_INFORMATION *Information);
NTSYSAPI NTSTATUS FLTAPI FltGetFileNameInformationUnsafe(
    PFILE_OBJECT FileObject, PFLT_INSTANCE Instance, FLT_FILE_NAME_OPTIONS NameOptions,
    PFLT_FILE_NAME_INFORMATION *Information);
NTSYSAPI NTSTATUS FLTAPI FltParseFileNameInformation(PFLT_FILE_NAME_INFORMATION Information);
NTSYSAPI VOID FLTAPI FltReleaseFileNameInformation(PFLT_FILE_NAME_INFORMATION Information);
NTSYSAPI NTSTATUS FLTAPI FltCheckAndGrowNameControl(PFLT_NAME_CONTROL NameCtrl, USHORT NewSize);

NTSYSAPI NTSTATUS FLTAPI FltRequestOperationStatusCallback(
    PFLT_CALLBACK_DATA Data, FLT_GET_OPERATION_STATUS *CallbackRoutine, PVOID RequesterContext);
NTSYSAPI PCSTR FLTAPI FltGetIrpName(UCHAR IrpMajorCode);

NTSYSAPI NTSTATUS FLTAPI FltCreateFileEx(
    PFLT_FILTER Filter, PFLT_INSTANCE Instance, PHANDLE FileHandle, PFILE_OBJECT *FileObject,
    ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes, PIO_STATUS_BLOCK IoStatusBlock,
    PLARGE_INTEGER AllocationSize, ULONG FileAttributes, ULONG ShareAccess, ULONG CreateDisposition,
    ULONG CreateOptions, PVOID EaBuffer, ULONG EaLength, ULONG Flags);
NTSYSAPI NTSTATUS FLTAPI FltQueryDirectoryFile(
    PFLT_INSTANCE Instance, PFILE_OBJECT FileObject, PVOID FileInformation, ULONG Length,
    FILE_INFORMATION_CLASS FileInformationClass, BOOLEAN ReturnSingleEntry, PCUNICODE_STRING FileName,
    BOOLEAN RestartScan, PULONG LengthReturned);
NTSYSAPI NTSTATUS FLTAPI FltClose(HANDLE FileHandle);
