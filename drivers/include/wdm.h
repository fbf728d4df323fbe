/*
 * The part of the Windows Driver Model that the sample drivers use: objects, IRPs and kernel exports.
 *
 * Written for these samples from the public documentation, with the layouts of 32-bit Windows 7.
 */
#pragma once

#include "ntdef.h"

#define IRP_MJ_CREATE 0x00
#define IRP_MJ_CLOSE 0x02
#define IRP_MJ_READ 0x03
#define IRP_MJ_WRITE 0x04
#define IRP_MJ_QUERY_INFORMATION 0x05
#define IRP_MJ_SET_INFORMATION 0x06
#define IRP_MJ_DIRECTORY_CONTROL 0x0c
#define IRP_MJ_FILE_SYSTEM_CONTROL 0x0d
#define IRP_MJ_DEVICE_CONTROL 0x0e
#define IRP_MJ_SHUTDOWN 0x10
#define IRP_MJ_CLEANUP 0x12
#define IRP_MJ_MAXIMUM_FUNCTION 0x1b
#define IRP_MN_USER_FS_REQUEST 0x00
#define IRP_MN_NOTIFY_CHANGE_DIRECTORY 0x02

#define PASSIVE_LEVEL 0

#define METHOD_BUFFERED 0
#define FILE_ANY_ACCESS 0
#define FILE_DEVICE_FILE_SYSTEM 0x00000009
#define FILE_DEVICE_UNKNOWN 0x00000022
#define FILE_DEVICE_SECURE_OPEN 0x00000100
#define CTL_CODE(DeviceType, Function, Method, Access) \
    (((ULONG)(DeviceType) << 16) | ((Access) << 14) | ((Function) << 2) | (Method))
#define FSCTL_REQUEST_OPLOCK_LEVEL_1 CTL_CODE(FILE_DEVICE_FILE_SYSTEM, 0, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define FSCTL_REQUEST_OPLOCK_LEVEL_2 CTL_CODE(FILE_DEVICE_FILE_SYSTEM, 1, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define FSCTL_REQUEST_BATCH_OPLOCK CTL_CODE(FILE_DEVICE_FILE_SYSTEM, 2, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define FSCTL_REQUEST_FILTER_OPLOCK CTL_CODE(FILE_DEVICE_FILE_SYSTEM, 23, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define FSCTL_REQUEST_OPLOCK CTL_CODE(FILE_DEVICE_FILE_SYSTEM, 144, METHOD_BUFFERED, FILE_ANY_ACCESS)
C_ASSERT(FSCTL_REQUEST_FILTER_OPLOCK == 0x0009005c && FSCTL_REQUEST_OPLOCK == 0x00090240);

#define FILE_LIST_DIRECTORY 0x0001
#define SYNCHRONIZE 0x00100000L
#define FILE_ATTRIBUTE_NORMAL 0x00000080
#define FILE_SHARE_READ 0x1
#define FILE_SHARE_WRITE 0x2
#define FILE_SHARE_DELETE 0x4
#define FILE_OPEN 0x00000001
#define FILE_DIRECTORY_FILE 0x00000001
#define FILE_SYNCHRONOUS_IO_NONALERT 0x00000020
#define FILE_OPEN_FOR_BACKUP_INTENT 0x00004000
#define IO_IGNORE_SHARE_ACCESS_CHECK 0x0800
#define IO_NO_INCREMENT 0

typedef ULONG DEVICE_TYPE;
typedef struct _ETHREAD *PETHREAD;
typedef struct _MDL *PMDL;
typedef struct _KTRANSACTION *PKTRANSACTION;
typedef struct _DRIVER_OBJECT *PDRIVER_OBJECT;
typedef struct _DEVICE_OBJECT *PDEVICE_OBJECT;
typedef struct _FILE_OBJECT *PFILE_OBJECT;
typedef struct _IRP *PIRP;

typedef enum _POOL_TYPE { NonPagedPool, PagedPool } POOL_TYPE;

typedef enum _FILE_INFORMATION_CLASS {
    FileDirectoryInformation = 1,
    FileNamesInformation = 12
} FILE_INFORMATION_CLASS;

typedef struct _FILE_NAMES_INFORMATION {
    ULONG NextEntryOffset;
    ULONG FileIndex;
    ULONG FileNameLength; /* bytes */
    WCHAR FileName[1];
} FILE_NAMES_INFORMATION, *PFILE_NAMES_INFORMATION;
C_ASSERT(offsetof(FILE_NAMES_INFORMATION, FileName) == 12);

typedef struct _TIME_FIELDS {
    CSHORT Year, Month, Day, Hour, Minute, Second, Milliseconds, Weekday;
} TIME_FIELDS, *PTIME_FIELDS;
C_ASSERT(sizeof(TIME_FIELDS) == 16);

typedef struct _IO_STATUS_BLOCK {
    union {
        NTSTATUS Status;
        PVOID Pointer;
    };
    ULONG_PTR Information;
} IO_STATUS_BLOCK, *PIO_STATUS_BLOCK;
C_ASSERT(sizeof(IO_STATUS_BLOCK) == 8);

typedef NTSTATUS NTAPI DRIVER_INITIALIZE(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);
typedef VOID NTAPI DRIVER_UNLOAD(PDRIVER_OBJECT DriverObject);
typedef NTSTATUS NTAPI DRIVER_DISPATCH(PDEVICE_OBJECT DeviceObject, PIRP Irp);

typedef struct _DRIVER_OBJECT {
    CSHORT Type;
    CSHORT Size;
    PDEVICE_OBJECT DeviceObject;
    ULONG Flags;
    PVOID DriverStart;
    ULONG DriverSize;
    PVOID DriverSection;
    PVOID DriverExtension;
    UNICODE_STRING DriverName;
    PUNICODE_STRING HardwareDatabase;
    PVOID FastIoDispatch;
    DRIVER_INITIALIZE *DriverInit;
    PVOID DriverStartIo;
    DRIVER_UNLOAD *DriverUnload;
    DRIVER_DISPATCH *MajorFunction[IRP_MJ_MAXIMUM_FUNCTION + 1];
} DRIVER_OBJECT;
C_ASSERT(offsetof(DRIVER_OBJECT, DriverUnload) == 0x34 && offsetof(DRIVER_OBJECT, MajorFunction) == 0x38);

typedef struct _FILE_OBJECT {
    CSHORT Type;
    CSHORT Size;
    PDEVICE_OBJECT DeviceObject;
    PVOID Vpb;
    PVOID FsContext;
    PVOID FsContext2;
    PVOID SectionObjectPointer;
    PVOID PrivateCacheMap;
    NTSTATUS FinalStatus;
    PFILE_OBJECT RelatedFileObject;
    BOOLEAN LockOperation;
    BOOLEAN DeletePending;
    BOOLEAN ReadAccess;
    BOOLEAN WriteAccess;
    BOOLEAN DeleteAccess;
    BOOLEAN SharedRead;
    BOOLEAN SharedWrite;
    BOOLEAN SharedDelete;
    ULONG Flags;
    UNICODE_STRING FileName;
    LARGE_INTEGER CurrentByteOffset;
    /* Waiters and everything behind it: not used here. */
} FILE_OBJECT;
C_ASSERT(offsetof(FILE_OBJECT, Flags) == 0x2c && offsetof(FILE_OBJECT, FileName) == 0x30);

typedef struct _IO_STACK_LOCATION {
    UCHAR MajorFunction;
    UCHAR MinorFunction;
    UCHAR Flags;
    UCHAR Control;
    union {
        struct {
            ULONG OutputBufferLength;
            ULONG InputBufferLength;
            ULONG IoControlCode;
            PVOID Type3InputBuffer;
        } DeviceIoControl;
        PVOID Others[4];
    } Parameters;
    PDEVICE_OBJECT DeviceObject;
    PFILE_OBJECT FileObject;
    PVOID CompletionRoutine;
    PVOID Context;
} IO_STACK_LOCATION, *PIO_STACK_LOCATION;
C_ASSERT(sizeof(IO_STACK_LOCATION) == 0x24 && offsetof(IO_STACK_LOCATION, DeviceObject) == 0x14);

typedef struct _IRP {
    CSHORT Type;
    USHORT Size;
    PMDL MdlAddress;
    ULONG Flags;
    PVOID SystemBuffer; /* AssociatedIrp.SystemBuffer */
    LIST_ENTRY ThreadListEntry;
    IO_STATUS_BLOCK IoStatus;
    KPROCESSOR_MODE RequestorMode;
    BOOLEAN PendingReturned;
    CHAR StackCount;
    CHAR CurrentLocation;
    BOOLEAN Cancel;
    KIRQL CancelIrql;
    CCHAR ApcEnvironment;
    UCHAR AllocationFlags;
    PIO_STATUS_BLOCK UserIosb;
    PVOID UserEvent;
    PVOID Overlay[2];
    PVOID CancelRoutine;
    PVOID UserBuffer;
    PVOID DriverContext[4];
    PETHREAD Thread;
    PCHAR AuxiliaryBuffer;
    LIST_ENTRY ListEntry;
    PIO_STACK_LOCATION CurrentStackLocation;
    PFILE_OBJECT OriginalFileObject;
    PVOID Reserved[2];
} IRP;
C_ASSERT(offsetof(IRP, SystemBuffer) == 0x0c && offsetof(IRP, IoStatus) == 0x18);
C_ASSERT(offsetof(IRP, UserBuffer) == 0x3c && offsetof(IRP, CurrentStackLocation) == 0x60);
C_ASSERT(sizeof(IRP) == 0x70);

static inline PIO_STACK_LOCATION IoGetCurrentIrpStackLocation(PIRP Irp)
{
    return Irp->CurrentStackLocation;
}

NTSYSAPI ULONG CDECL DbgPrint(PCSTR Format, ...);
NTSYSAPI INT CDECL _snwprintf(PWCHAR Buffer, SIZE_T Count, PCWSTR Format, ...);
NTSYSAPI INT CDECL _vsnprintf(PCHAR Buffer, SIZE_T Count, PCSTR Format, va_list Arguments);
PVOID CDECL memset(PVOID Destination, INT Value, SIZE_T Size);
PVOID CDECL memcpy(PVOID Destination, const VOID *Source, SIZE_T Size);

NTSYSAPI PVOID NTAPI ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag);
NTSYSAPI VOID NTAPI ExFreePoolWithTag(PVOID Pool, ULONG Tag);
NTSYSAPI VOID NTAPI ExSystemTimeToLocalTime(PLARGE_INTEGER SystemTime, PLARGE_INTEGER LocalTime);
NTSYSAPI VOID NTAPI KeQuerySystemTime(PLARGE_INTEGER CurrentTime);
NTSYSAPI KIRQL NTAPI KeGetCurrentIrql(VOID);
NTSYSAPI VOID NTAPI KeBugCheckEx(
    ULONG Code, ULONG_PTR Parameter1, ULONG_PTR Parameter2, ULONG_PTR Parameter3, ULONG_PTR Parameter4)
    __attribute__((noreturn));
NTSYSAPI HANDLE NTAPI PsGetCurrentProcessId(VOID);
NTSYSAPI HANDLE NTAPI PsGetCurrentThreadId(VOID);

NTSYSAPI NTSTATUS NTAPI IoCreateDevice(
    PDRIVER_OBJECT DriverObject, ULONG ExtensionSize, PUNICODE_STRING Name, DEVICE_TYPE Type, ULONG Characteristics,
    BOOLEAN Exclusive, PDEVICE_OBJECT *DeviceObject);
NTSYSAPI VOID NTAPI IoDeleteDevice(PDEVICE_OBJECT DeviceObject);
NTSYSAPI VOID FASTCALL IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost);
NTSYSAPI VOID FASTCALL ObfDereferenceObject(PVOID Object);

NTSYSAPI LONG FASTCALL InterlockedExchange(volatile LONG *Target, LONG Value);

NTSYSAPI NTSTATUS NTAPI RtlAppendUnicodeStringToString(PUNICODE_STRING Destination, PCUNICODE_STRING Source);
NTSYSAPI NTSTATUS NTAPI RtlAppendUnicodeToString(PUNICODE_STRING Destination, PCWSTR Source);
NTSYSAPI SIZE_T NTAPI RtlCompareMemory(const VOID *Source1, const VOID *Source2, SIZE_T Length);
NTSYSAPI VOID NTAPI RtlCopyUnicodeString(PUNICODE_STRING Destination, PCUNICODE_STRING Source);
NTSYSAPI BOOLEAN NTAPI RtlEqualUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN IgnoreCase);
NTSYSAPI NTSTATUS NTAPI RtlIntegerToUnicodeString(ULONG Value, ULONG Base, PUNICODE_STRING String);
NTSYSAPI VOID NTAPI RtlTimeToTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS TimeFields);
