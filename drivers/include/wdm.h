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

#define DISPATCH_LEVEL 2

#define METHOD_BUFFERED 0
#define METHOD_IN_DIRECT 1
#define METHOD_OUT_DIRECT 2
#define METHOD_NEITHER 3
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
        struct {
            ULONG Length;
            ULONG Key;
            ULONG ByteOffset[2]; /* a LARGE_INTEGER, packed to 4 bytes */
        } ReadWrite;
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

#define SL_PENDING_RETURNED 0x01

static inline VOID IoMarkIrpPending(PIRP Irp)
{
    IoGetCurrentIrpStackLocation(Irp)->Control |= SL_PENDING_RETURNED;
}

typedef VOID NTAPI DRIVER_CANCEL(PDEVICE_OBJECT DeviceObject, PIRP Irp);

static inline DRIVER_CANCEL *IoSetCancelRoutine(PIRP Irp, DRIVER_CANCEL *Routine)
{
    return (DRIVER_CANCEL *)__atomic_exchange_n(&Irp->CancelRoutine, (PVOID)Routine, __ATOMIC_SEQ_CST);
}

#define DO_BUFFERED_IO 0x00000004
#define DO_DEVICE_INITIALIZING 0x00000080

struct _DEVICE_OBJECT {
    CSHORT Type;
    USHORT Size;
    LONG ReferenceCount;
    PDRIVER_OBJECT DriverObject;
    PDEVICE_OBJECT NextDevice;
    PDEVICE_OBJECT AttachedDevice;
    PIRP CurrentIrp;
    PVOID Timer;
    ULONG Flags;
    ULONG Characteristics;
    PVOID Vpb;
    PVOID DeviceExtension;
    /* DeviceType and everything behind it: not used here. */
};
C_ASSERT(offsetof(struct _DEVICE_OBJECT, Flags) == 0x1c && offsetof(struct _DEVICE_OBJECT, DeviceExtension) == 0x28);

struct _MDL {
    PMDL Next;
    CSHORT Size;
    CSHORT MdlFlags;
    PVOID Process;
    PVOID MappedSystemVa;
    PVOID StartVa;
    ULONG ByteCount;
    ULONG ByteOffset;
};
C_ASSERT(sizeof(struct _MDL) == 0x1c);

#define MDL_MAPPED_TO_SYSTEM_VA 0x0001
#define MDL_SOURCE_IS_NONPAGED_POOL 0x0004

typedef ULONG_PTR KSPIN_LOCK, *PKSPIN_LOCK;
typedef struct _KDPC KDPC, *PKDPC;
typedef VOID NTAPI KDEFERRED_ROUTINE(PKDPC Dpc, PVOID Context, PVOID Argument1, PVOID Argument2);
struct _KDPC {
    UCHAR Type, Importance;
    USHORT Number;
    LIST_ENTRY DpcListEntry;
    KDEFERRED_ROUTINE *DeferredRoutine;
    PVOID DeferredContext, SystemArgument1, SystemArgument2, DpcData;
};
C_ASSERT(sizeof(KDPC) == 0x20);

typedef struct _KTIMER {
    ULONG Header[4];
    ULONGLONG DueTime;
    LIST_ENTRY TimerListEntry;
    PKDPC Dpc;
    LONG Period;
} KTIMER, *PKTIMER;
C_ASSERT(sizeof(KTIMER) == 0x28);

typedef struct _IO_WORKITEM *PIO_WORKITEM;
typedef VOID NTAPI IO_WORKITEM_ROUTINE(PDEVICE_OBJECT DeviceObject, PVOID Context);
typedef enum _WORK_QUEUE_TYPE { CriticalWorkQueue, DelayedWorkQueue } WORK_QUEUE_TYPE;

#define REG_DWORD 4
#define RTL_REGISTRY_ABSOLUTE 0
#define RTL_QUERY_REGISTRY_SUBKEY 0x00000001
#define RTL_QUERY_REGISTRY_DIRECT 0x00000020

typedef NTSTATUS NTAPI RTL_QUERY_REGISTRY_ROUTINE(
    PWSTR ValueName, ULONG ValueType, PVOID ValueData, ULONG ValueLength, PVOID Context, PVOID EntryContext);

typedef struct _RTL_QUERY_REGISTRY_TABLE {
    RTL_QUERY_REGISTRY_ROUTINE *QueryRoutine;
    ULONG Flags;
    PCWSTR Name;
    PVOID EntryContext;
    ULONG DefaultType;
    PVOID DefaultData;
    ULONG DefaultLength;
} RTL_QUERY_REGISTRY_TABLE, *PRTL_QUERY_REGISTRY_TABLE;
C_ASSERT(sizeof(RTL_QUERY_REGISTRY_TABLE) == 0x1c);

static inline VOID InitializeListHead(PLIST_ENTRY Head)
{
    Head->Flink = Head->Blink = Head;
}

static inline VOID InsertTailList(PLIST_ENTRY Head, PLIST_ENTRY Entry)
{
    Entry->Flink = Head;
    Entry->Blink = Head->Blink;
    Head->Blink->Flink = Entry;
    Head->Blink = Entry;
}

static inline VOID RemoveEntryList(PLIST_ENTRY Entry)
{
    Entry->Blink->Flink = Entry->Flink;
    Entry->Flink->Blink = Entry->Blink;
}

#define CONTAINING_RECORD(Address, Type, Field) ((Type *)((PUCHAR)(Address) - offsetof(Type, Field)))

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
NTSYSAPI NTSTATUS NTAPI IoCreateSymbolicLink(PCUNICODE_STRING Link, PCUNICODE_STRING Name);
NTSYSAPI NTSTATUS NTAPI IoDeleteSymbolicLink(PCUNICODE_STRING Link);
NTSYSAPI PIO_WORKITEM NTAPI IoAllocateWorkItem(PDEVICE_OBJECT DeviceObject);
NTSYSAPI VOID NTAPI IoFreeWorkItem(PIO_WORKITEM Item);
NTSYSAPI VOID NTAPI IoQueueWorkItem(
    PIO_WORKITEM Item, IO_WORKITEM_ROUTINE *Routine, WORK_QUEUE_TYPE Queue, PVOID Context);
NTSYSAPI VOID NTAPI IoReleaseCancelSpinLock(KIRQL Irql);
NTSYSAPI VOID NTAPI KeInitializeSpinLock(PKSPIN_LOCK Lock);
NTSYSAPI KIRQL FASTCALL KfAcquireSpinLock(PKSPIN_LOCK Lock);
NTSYSAPI VOID FASTCALL KfReleaseSpinLock(PKSPIN_LOCK Lock, KIRQL Irql);
NTSYSAPI VOID NTAPI KeInitializeDpc(PKDPC Dpc, KDEFERRED_ROUTINE *Routine, PVOID Context);
NTSYSAPI VOID NTAPI KeInitializeTimer(PKTIMER Timer);
NTSYSAPI BOOLEAN NTAPI KeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc);
NTSYSAPI BOOLEAN NTAPI KeCancelTimer(PKTIMER Timer);
NTSYSAPI VOID NTAPI KeFlushQueuedDpcs(VOID);
NTSYSAPI PVOID NTAPI MmMapLockedPagesSpecifyCache(
    PMDL Mdl, ULONG Mode, ULONG CacheType, PVOID Address, ULONG BugCheckOnFailure, ULONG Priority);
NTSYSAPI VOID NTAPI ProbeForRead(PVOID Address, SIZE_T Length, ULONG Alignment);
NTSYSAPI VOID NTAPI ProbeForWrite(PVOID Address, SIZE_T Length, ULONG Alignment);
NTSYSAPI NTSTATUS NTAPI RtlQueryRegistryValues(
    ULONG RelativeTo, PCWSTR Path, PRTL_QUERY_REGISTRY_TABLE Table, PVOID Context, PVOID Environment);
NTSYSAPI NTSTATUS NTAPI RtlWriteRegistryValue(
    ULONG RelativeTo, PCWSTR Path, PCWSTR Name, ULONG Type, PVOID Data, ULONG Length);

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
