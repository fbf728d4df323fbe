/*
 * The part of the Kernel-Mode Driver Framework 1.9 that the sample drivers use, as 32-bit x86 lays it out.
 *
 * Written for these samples from the public documentation. A driver calls the framework through WdfFunctions, a
 * table that WdfVersionBind fills in (echo/stub.c): an inline function here gives an entry its name and its type.
 */
#pragma once

#include "wdm.h"

#define WDF_MAJOR_VERSION 1
#define WDF_MINOR_VERSION 9
#define WDF_BUILD_NUMBER 7600
#define WDF_FUNCTION_COUNT 396

/* Handles: what they point to is the framework's own business. */
typedef PVOID WDFOBJECT;
typedef struct WDFDRIVER__ *WDFDRIVER;
typedef struct WDFDEVICE__ *WDFDEVICE;
typedef struct WDFDEVICE_INIT *PWDFDEVICE_INIT;
typedef struct WDFQUEUE__ *WDFQUEUE;
typedef struct WDFREQUEST__ *WDFREQUEST;
typedef struct WDFFILEOBJECT__ *WDFFILEOBJECT;
typedef struct WDFMEMORY__ *WDFMEMORY;
typedef struct WDFTIMER__ *WDFTIMER;
typedef struct WDFDPC__ *WDFDPC;
typedef struct WDFWORKITEM__ *WDFWORKITEM;
typedef struct WDFSPINLOCK__ *WDFSPINLOCK;
typedef struct WDFCOLLECTION__ *WDFCOLLECTION;
typedef struct WDFKEY__ *WDFKEY;
typedef struct WDFCMRESLIST__ *WDFCMRESLIST;

typedef struct _GUID {
    ULONG Data1;
    USHORT Data2, Data3;
    UCHAR Data4[8];
} GUID;

/* -- binding (wdfldr.sys) -- */

typedef VOID (*WDFFUNC)(VOID);

typedef struct _WDF_BIND_INFO {
    ULONG Size;
    PCWSTR Component;
    struct {
        ULONG Major, Minor, Build;
    } Version;
    ULONG FuncCount;
    WDFFUNC *FuncTable;
    PVOID Module;
} WDF_BIND_INFO, *PWDF_BIND_INFO;
C_ASSERT(sizeof(WDF_BIND_INFO) == 0x20 && offsetof(WDF_BIND_INFO, FuncCount) == 0x14);

typedef struct _WDF_DRIVER_GLOBALS {
    WDFDRIVER Driver;
    ULONG DriverFlags;
    ULONG DriverTag;
    CHAR DriverName[32];
    BOOLEAN DisplaceDriverUnload;
} WDF_DRIVER_GLOBALS, *PWDF_DRIVER_GLOBALS;
C_ASSERT(offsetof(WDF_DRIVER_GLOBALS, DisplaceDriverUnload) == 0x2c);

extern WDFFUNC WdfFunctions[WDF_FUNCTION_COUNT];
extern PWDF_DRIVER_GLOBALS WdfDriverGlobals;

NTSYSAPI NTSTATUS NTAPI WdfVersionBind(
    PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath, PWDF_BIND_INFO Info, PWDF_DRIVER_GLOBALS *Globals);
NTSYSAPI NTSTATUS NTAPI WdfVersionUnbind(
    PUNICODE_STRING RegistryPath, PWDF_BIND_INFO Info, PWDF_DRIVER_GLOBALS Globals);

#define WDF_LIST(...) __VA_ARGS__
#define WDF_FUNCTION(Index, Result, Name, Parameters, Arguments)                         \
    static inline Result Name(WDF_LIST Parameters)                                       \
    {                                                                                    \
        typedef Result NTAPI FUNCTION(PWDF_DRIVER_GLOBALS Globals, WDF_LIST Parameters); \
                                                                                         \
        return ((FUNCTION *)WdfFunctions[Index])(WdfDriverGlobals, WDF_LIST Arguments);  \
    }                                                                                    \
    C_ASSERT((Index) < WDF_FUNCTION_COUNT)

/* -- objects -- */

typedef VOID NTAPI EVT_WDF_OBJECT_CONTEXT_CLEANUP(WDFOBJECT Object);
typedef VOID NTAPI EVT_WDF_OBJECT_CONTEXT_DESTROY(WDFOBJECT Object);

typedef struct _WDF_OBJECT_CONTEXT_TYPE_INFO {
    ULONG Size;
    PCSTR ContextName;
    SIZE_T ContextSize;
    const struct _WDF_OBJECT_CONTEXT_TYPE_INFO *UniqueType;
    PVOID EvtDriverGetUniqueContextType;
} WDF_OBJECT_CONTEXT_TYPE_INFO;
typedef const WDF_OBJECT_CONTEXT_TYPE_INFO *PCWDF_OBJECT_CONTEXT_TYPE_INFO;
C_ASSERT(sizeof(WDF_OBJECT_CONTEXT_TYPE_INFO) == 20);

typedef enum _WDF_EXECUTION_LEVEL {
    WdfExecutionLevelInheritFromParent = 1,
    WdfExecutionLevelPassive
} WDF_EXECUTION_LEVEL;
typedef enum _WDF_SYNCHRONIZATION_SCOPE { WdfSynchronizationScopeInheritFromParent = 1 } WDF_SYNCHRONIZATION_SCOPE;

typedef struct _WDF_OBJECT_ATTRIBUTES {
    ULONG Size;
    EVT_WDF_OBJECT_CONTEXT_CLEANUP *EvtCleanupCallback;
    EVT_WDF_OBJECT_CONTEXT_DESTROY *EvtDestroyCallback;
    WDF_EXECUTION_LEVEL ExecutionLevel;
    WDF_SYNCHRONIZATION_SCOPE SynchronizationScope;
    WDFOBJECT ParentObject;
    SIZE_T ContextSizeOverride;
    PCWDF_OBJECT_CONTEXT_TYPE_INFO ContextTypeInfo;
} WDF_OBJECT_ATTRIBUTES, *PWDF_OBJECT_ATTRIBUTES;
C_ASSERT(sizeof(WDF_OBJECT_ATTRIBUTES) == 32);

#define WDF_NO_OBJECT_ATTRIBUTES NULL

static inline VOID WDF_OBJECT_ATTRIBUTES_INIT(PWDF_OBJECT_ATTRIBUTES Attributes)
{
    memset(Attributes, 0, sizeof(*Attributes));
    Attributes->Size = sizeof(*Attributes);
    Attributes->ExecutionLevel = WdfExecutionLevelInheritFromParent;
    Attributes->SynchronizationScope = WdfSynchronizationScopeInheritFromParent;
}

/* One of the two functions of the table that take their first two arguments in registers. */
static inline PVOID WdfObjectGetTypedContextWorker(WDFOBJECT Object, PCWDF_OBJECT_CONTEXT_TYPE_INFO Type)
{
    typedef PVOID FASTCALL FUNCTION(PWDF_DRIVER_GLOBALS, WDFOBJECT, PCWDF_OBJECT_CONTEXT_TYPE_INFO);

    return ((FUNCTION *)WdfFunctions[202])(WdfDriverGlobals, Object, Type);
}
WDF_FUNCTION(208, VOID, WdfObjectDelete, (WDFOBJECT Object), (Object));

/* A context type, one for all files that declare it, and the function that finds an object's context of it. */
#define WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(Context, Getter)                       \
    __declspec(selectany) const WDF_OBJECT_CONTEXT_TYPE_INFO Context##_TYPE = {   \
        sizeof(Context##_TYPE), #Context, sizeof(Context), &Context##_TYPE, NULL, \
    };                                                                            \
    static inline Context *Getter(WDFOBJECT Object)                               \
    {                                                                             \
        return WdfObjectGetTypedContextWorker(Object, &Context##_TYPE);           \
    }                                                                             \
    C_ASSERT(sizeof(Context) != 0)

#define WDF_OBJECT_ATTRIBUTES_INIT_CONTEXT_TYPE(Attributes, Context) \
    (WDF_OBJECT_ATTRIBUTES_INIT(Attributes), (VOID)((Attributes)->ContextTypeInfo = &Context##_TYPE))

/* -- drivers -- */

typedef NTSTATUS NTAPI EVT_WDF_DRIVER_DEVICE_ADD(WDFDRIVER Driver, PWDFDEVICE_INIT DeviceInit);
typedef VOID NTAPI EVT_WDF_DRIVER_UNLOAD(WDFDRIVER Driver);

typedef struct _WDF_DRIVER_CONFIG {
    ULONG Size;
    EVT_WDF_DRIVER_DEVICE_ADD *EvtDriverDeviceAdd;
    EVT_WDF_DRIVER_UNLOAD *EvtDriverUnload;
    ULONG DriverInitFlags;
    ULONG DriverPoolTag;
} WDF_DRIVER_CONFIG, *PWDF_DRIVER_CONFIG;
C_ASSERT(sizeof(WDF_DRIVER_CONFIG) == 20);

WDF_FUNCTION(
    116, NTSTATUS, WdfDriverCreate,
    (PDRIVER_OBJECT DriverObject, PCUNICODE_STRING RegistryPath, PWDF_OBJECT_ATTRIBUTES Attributes,
     PWDF_DRIVER_CONFIG Config, WDFDRIVER *Driver),
    (DriverObject, RegistryPath, Attributes, Config, Driver));
WDF_FUNCTION(
    119, NTSTATUS, WdfDriverOpenParametersRegistryKey,
    (WDFDRIVER Driver, ACCESS_MASK Access, PWDF_OBJECT_ATTRIBUTES Attributes, WDFKEY *Key),
    (Driver, Access, Attributes, Key));

static inline WDFDRIVER WdfGetDriver(VOID)
{
    return WdfDriverGlobals->Driver;
}

/* -- registry -- */

#define KEY_READ 0x00020019
#define KEY_WRITE 0x00020006

WDF_FUNCTION(231, VOID, WdfRegistryClose, (WDFKEY Key), (Key));
WDF_FUNCTION(
    240, NTSTATUS, WdfRegistryQueryULong, (WDFKEY Key, PCUNICODE_STRING Name, PULONG Value), (Key, Name, Value));
WDF_FUNCTION(
    246, NTSTATUS, WdfRegistryAssignULong, (WDFKEY Key, PCUNICODE_STRING Name, ULONG Value), (Key, Name, Value));

/* -- devices -- */

typedef enum _WDF_TRI_STATE { WdfFalse, WdfTrue, WdfUseDefault } WDF_TRI_STATE;
typedef enum _WDF_DEVICE_IO_TYPE {
    WdfDeviceIoNeither = 1,
    WdfDeviceIoBuffered,
    WdfDeviceIoDirect
} WDF_DEVICE_IO_TYPE;
typedef enum _WDF_POWER_DEVICE_STATE {
    WdfPowerDeviceInvalid,
    WdfPowerDeviceD0,
    WdfPowerDeviceD1,
    WdfPowerDeviceD2,
    WdfPowerDeviceD3,
    WdfPowerDeviceD3Final,
    WdfPowerDevicePrepareForHibernation
} WDF_POWER_DEVICE_STATE;

typedef NTSTATUS NTAPI EVT_WDF_DEVICE_D0_ENTRY(WDFDEVICE Device, WDF_POWER_DEVICE_STATE PreviousState);
typedef NTSTATUS NTAPI EVT_WDF_DEVICE_D0_EXIT(WDFDEVICE Device, WDF_POWER_DEVICE_STATE TargetState);
typedef NTSTATUS NTAPI EVT_WDF_DEVICE_PREPARE_HARDWARE(WDFDEVICE Device, WDFCMRESLIST Raw, WDFCMRESLIST Translated);
typedef NTSTATUS NTAPI EVT_WDF_DEVICE_RELEASE_HARDWARE(WDFDEVICE Device, WDFCMRESLIST Translated);
typedef NTSTATUS NTAPI EVT_WDF_DEVICE_SELF_MANAGED_IO(WDFDEVICE Device); /* Init, Suspend and Restart */
typedef VOID NTAPI EVT_WDF_DEVICE_SELF_MANAGED_IO_END(WDFDEVICE Device); /* Cleanup and Flush */

typedef struct _WDF_PNPPOWER_EVENT_CALLBACKS {
    ULONG Size;
    EVT_WDF_DEVICE_D0_ENTRY *EvtDeviceD0Entry, *EvtDeviceD0EntryPostInterruptsEnabled;
    EVT_WDF_DEVICE_D0_EXIT *EvtDeviceD0Exit, *EvtDeviceD0ExitPreInterruptsDisabled;
    EVT_WDF_DEVICE_PREPARE_HARDWARE *EvtDevicePrepareHardware;
    EVT_WDF_DEVICE_RELEASE_HARDWARE *EvtDeviceReleaseHardware;
    EVT_WDF_DEVICE_SELF_MANAGED_IO_END *EvtDeviceSelfManagedIoCleanup, *EvtDeviceSelfManagedIoFlush;
    EVT_WDF_DEVICE_SELF_MANAGED_IO *EvtDeviceSelfManagedIoInit, *EvtDeviceSelfManagedIoSuspend,
        *EvtDeviceSelfManagedIoRestart;
    PVOID EvtDeviceSurpriseRemoval, EvtDeviceQueryRemove, EvtDeviceQueryStop; /* not used here */
    PVOID EvtDeviceUsageNotification, EvtDeviceRelationsQuery;
} WDF_PNPPOWER_EVENT_CALLBACKS, *PWDF_PNPPOWER_EVENT_CALLBACKS;
C_ASSERT(sizeof(WDF_PNPPOWER_EVENT_CALLBACKS) == 68);
C_ASSERT(offsetof(WDF_PNPPOWER_EVENT_CALLBACKS, EvtDeviceSurpriseRemoval) == 48);

typedef VOID NTAPI EVT_WDF_DEVICE_FILE_CREATE(WDFDEVICE Device, WDFREQUEST Request, WDFFILEOBJECT File);
typedef VOID NTAPI EVT_WDF_FILE_CLOSE(WDFFILEOBJECT File);
typedef VOID NTAPI EVT_WDF_FILE_CLEANUP(WDFFILEOBJECT File);

typedef struct _WDF_FILEOBJECT_CONFIG {
    ULONG Size;
    EVT_WDF_DEVICE_FILE_CREATE *EvtDeviceFileCreate;
    EVT_WDF_FILE_CLOSE *EvtFileClose;
    EVT_WDF_FILE_CLEANUP *EvtFileCleanup;
    WDF_TRI_STATE AutoForwardCleanupClose;
    ULONG FileObjectClass; /* 1: WdfFileObjectNotRequired … 3: in FsContext2 */
} WDF_FILEOBJECT_CONFIG, *PWDF_FILEOBJECT_CONFIG;
C_ASSERT(sizeof(WDF_FILEOBJECT_CONFIG) == 24);

WDF_FUNCTION(
    55, VOID, WdfDeviceInitSetPnpPowerEventCallbacks, (PWDFDEVICE_INIT Init, PWDF_PNPPOWER_EVENT_CALLBACKS Callbacks),
    (Init, Callbacks));
WDF_FUNCTION(61, VOID, WdfDeviceInitSetIoType, (PWDFDEVICE_INIT Init, WDF_DEVICE_IO_TYPE Type), (Init, Type));
WDF_FUNCTION(
    71, VOID, WdfDeviceInitSetFileObjectConfig,
    (PWDFDEVICE_INIT Init, PWDF_FILEOBJECT_CONFIG Config, PWDF_OBJECT_ATTRIBUTES Attributes),
    (Init, Config, Attributes));
WDF_FUNCTION(
    72, VOID, WdfDeviceInitSetRequestAttributes, (PWDFDEVICE_INIT Init, PWDF_OBJECT_ATTRIBUTES Attributes),
    (Init, Attributes));
WDF_FUNCTION(
    75, NTSTATUS, WdfDeviceCreate, (PWDFDEVICE_INIT * Init, PWDF_OBJECT_ATTRIBUTES Attributes, WDFDEVICE *Device),
    (Init, Attributes, Device));
WDF_FUNCTION(
    77, NTSTATUS, WdfDeviceCreateDeviceInterface,
    (WDFDEVICE Device, const GUID *InterfaceClass, PCUNICODE_STRING Reference), (Device, InterfaceClass, Reference));
WDF_FUNCTION(
    80, NTSTATUS, WdfDeviceCreateSymbolicLink, (WDFDEVICE Device, PCUNICODE_STRING Link), (Device, Link));
WDF_FUNCTION(139, WDFDEVICE, WdfFileObjectGetDevice, (WDFFILEOBJECT File), (File));

/* -- I/O queues -- */

typedef enum _WDF_IO_QUEUE_DISPATCH_TYPE {
    WdfIoQueueDispatchSequential = 1,
    WdfIoQueueDispatchParallel,
    WdfIoQueueDispatchManual
} WDF_IO_QUEUE_DISPATCH_TYPE;

#define WdfRequestStopActionSuspend 0x00000001
#define WdfRequestStopActionPurge 0x00000002

typedef VOID NTAPI EVT_WDF_IO_QUEUE_IO_READ(WDFQUEUE Queue, WDFREQUEST Request, SIZE_T Length);
typedef VOID NTAPI EVT_WDF_IO_QUEUE_IO_WRITE(WDFQUEUE Queue, WDFREQUEST Request, SIZE_T Length);
typedef VOID NTAPI EVT_WDF_IO_QUEUE_IO_DEVICE_CONTROL(
    WDFQUEUE Queue, WDFREQUEST Request, SIZE_T OutputLength, SIZE_T InputLength, ULONG Code);
typedef VOID NTAPI EVT_WDF_IO_QUEUE_IO_STOP(WDFQUEUE Queue, WDFREQUEST Request, ULONG ActionFlags);
typedef VOID NTAPI EVT_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE(WDFQUEUE Queue, WDFREQUEST Request);

typedef struct _WDF_IO_QUEUE_CONFIG {
    ULONG Size;
    WDF_IO_QUEUE_DISPATCH_TYPE DispatchType;
    WDF_TRI_STATE PowerManaged;
    BOOLEAN AllowZeroLengthRequests;
    BOOLEAN DefaultQueue;
    PVOID EvtIoDefault; /* not used here */
    EVT_WDF_IO_QUEUE_IO_READ *EvtIoRead;
    EVT_WDF_IO_QUEUE_IO_WRITE *EvtIoWrite;
    EVT_WDF_IO_QUEUE_IO_DEVICE_CONTROL *EvtIoDeviceControl, *EvtIoInternalDeviceControl;
    EVT_WDF_IO_QUEUE_IO_STOP *EvtIoStop;
    PVOID EvtIoResume; /* not used here */
    EVT_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE *EvtIoCanceledOnQueue;
    ULONG NumberOfPresentedRequests;
} WDF_IO_QUEUE_CONFIG, *PWDF_IO_QUEUE_CONFIG;
C_ASSERT(sizeof(WDF_IO_QUEUE_CONFIG) == 52 && offsetof(WDF_IO_QUEUE_CONFIG, EvtIoDefault) == 16);

static inline VOID WDF_IO_QUEUE_CONFIG_INIT(PWDF_IO_QUEUE_CONFIG Config, WDF_IO_QUEUE_DISPATCH_TYPE DispatchType)
{
    memset(Config, 0, sizeof(*Config));
    Config->Size = sizeof(*Config);
    Config->DispatchType = DispatchType;
    Config->PowerManaged = WdfUseDefault;
    Config->NumberOfPresentedRequests = DispatchType == WdfIoQueueDispatchParallel ? ~0u : 0;
}

WDF_FUNCTION(
    152, NTSTATUS, WdfIoQueueCreate,
    (WDFDEVICE Device, PWDF_IO_QUEUE_CONFIG Config, PWDF_OBJECT_ATTRIBUTES Attributes, WDFQUEUE *Queue),
    (Device, Config, Attributes, Queue));
WDF_FUNCTION(154, VOID, WdfIoQueueStart, (WDFQUEUE Queue), (Queue));
WDF_FUNCTION(156, VOID, WdfIoQueueStopSynchronously, (WDFQUEUE Queue), (Queue));
WDF_FUNCTION(157, WDFDEVICE, WdfIoQueueGetDevice, (WDFQUEUE Queue), (Queue));
WDF_FUNCTION(
    158, NTSTATUS, WdfIoQueueRetrieveNextRequest, (WDFQUEUE Queue, WDFREQUEST *Request), (Queue, Request));
WDF_FUNCTION(
    159, NTSTATUS, WdfIoQueueRetrieveRequestByFileObject, (WDFQUEUE Queue, WDFFILEOBJECT File, WDFREQUEST *Request),
    (Queue, File, Request));

/* -- requests and memory -- */

typedef VOID NTAPI EVT_WDF_REQUEST_CANCEL(WDFREQUEST Request);

WDF_FUNCTION(256, NTSTATUS, WdfRequestUnmarkCancelable, (WDFREQUEST Request), (Request));
WDF_FUNCTION(263, VOID, WdfRequestComplete, (WDFREQUEST Request, NTSTATUS Status), (Request, Status));
WDF_FUNCTION(
    265, VOID, WdfRequestCompleteWithInformation, (WDFREQUEST Request, NTSTATUS Status, ULONG_PTR Information),
    (Request, Status, Information));
WDF_FUNCTION(
    267, NTSTATUS, WdfRequestRetrieveInputMemory, (WDFREQUEST Request, WDFMEMORY *Memory), (Request, Memory));
WDF_FUNCTION(
    268, NTSTATUS, WdfRequestRetrieveOutputMemory, (WDFREQUEST Request, WDFMEMORY *Memory), (Request, Memory));
WDF_FUNCTION(
    269, NTSTATUS, WdfRequestRetrieveInputBuffer,
    (WDFREQUEST Request, SIZE_T Minimum, PVOID *Buffer, PSIZE_T Length), (Request, Minimum, Buffer, Length));
WDF_FUNCTION(
    270, NTSTATUS, WdfRequestRetrieveOutputBuffer,
    (WDFREQUEST Request, SIZE_T Minimum, PVOID *Buffer, PSIZE_T Length), (Request, Minimum, Buffer, Length));
WDF_FUNCTION(277, WDFFILEOBJECT, WdfRequestGetFileObject, (WDFREQUEST Request), (Request));
WDF_FUNCTION(
    281, NTSTATUS, WdfRequestForwardToIoQueue, (WDFREQUEST Request, WDFQUEUE Destination), (Request, Destination));
WDF_FUNCTION(282, WDFQUEUE, WdfRequestGetIoQueue, (WDFREQUEST Request), (Request));
WDF_FUNCTION(284, VOID, WdfRequestStopAcknowledge, (WDFREQUEST Request, BOOLEAN Requeue), (Request, Requeue));
WDF_FUNCTION(
    393, NTSTATUS, WdfRequestMarkCancelableEx, (WDFREQUEST Request, EVT_WDF_REQUEST_CANCEL *EvtRequestCancel),
    (Request, EvtRequestCancel));

WDF_FUNCTION(
    192, NTSTATUS, WdfMemoryCreate,
    (PWDF_OBJECT_ATTRIBUTES Attributes, POOL_TYPE Pool, ULONG Tag, SIZE_T Size, WDFMEMORY *Memory, PVOID *Buffer),
    (Attributes, Pool, Tag, Size, Memory, Buffer));
WDF_FUNCTION(194, PVOID, WdfMemoryGetBuffer, (WDFMEMORY Memory, PSIZE_T Size), (Memory, Size));
WDF_FUNCTION(
    196, NTSTATUS, WdfMemoryCopyToBuffer, (WDFMEMORY Source, SIZE_T Offset, PVOID Buffer, SIZE_T Length),
    (Source, Offset, Buffer, Length));
WDF_FUNCTION(
    197, NTSTATUS, WdfMemoryCopyFromBuffer, (WDFMEMORY Destination, SIZE_T Offset, PVOID Buffer, SIZE_T Length),
    (Destination, Offset, Buffer, Length));

/* -- what runs later, locks, collections -- */

typedef VOID NTAPI EVT_WDF_TIMER(WDFTIMER Timer);
typedef VOID NTAPI EVT_WDF_DPC(WDFDPC Dpc);
typedef VOID NTAPI EVT_WDF_WORKITEM(WDFWORKITEM WorkItem);

typedef struct _WDF_TIMER_CONFIG {
    ULONG Size;
    EVT_WDF_TIMER *EvtTimerFunc;
    ULONG Period; /* milliseconds, 0: once */
    BOOLEAN AutomaticSerialization;
    ULONG TolerableDelay;
} WDF_TIMER_CONFIG, *PWDF_TIMER_CONFIG;
C_ASSERT(sizeof(WDF_TIMER_CONFIG) == 20);

typedef struct _WDF_DPC_CONFIG {
    ULONG Size;
    EVT_WDF_DPC *EvtDpcFunc;
    BOOLEAN AutomaticSerialization;
} WDF_DPC_CONFIG, *PWDF_DPC_CONFIG;
C_ASSERT(sizeof(WDF_DPC_CONFIG) == 12);

typedef struct _WDF_WORKITEM_CONFIG {
    ULONG Size;
    EVT_WDF_WORKITEM *EvtWorkItemFunc;
    BOOLEAN AutomaticSerialization;
} WDF_WORKITEM_CONFIG, *PWDF_WORKITEM_CONFIG;
C_ASSERT(sizeof(WDF_WORKITEM_CONFIG) == 12);

WDF_FUNCTION(
    318, NTSTATUS, WdfTimerCreate, (PWDF_TIMER_CONFIG Config, PWDF_OBJECT_ATTRIBUTES Attributes, WDFTIMER *Timer),
    (Config, Attributes, Timer));
WDF_FUNCTION(319, BOOLEAN, WdfTimerStart, (WDFTIMER Timer, LONGLONG DueTime), (Timer, DueTime));
WDF_FUNCTION(320, BOOLEAN, WdfTimerStop, (WDFTIMER Timer, BOOLEAN Wait), (Timer, Wait));
WDF_FUNCTION(321, WDFOBJECT, WdfTimerGetParentObject, (WDFTIMER Timer), (Timer));
WDF_FUNCTION(
    111, NTSTATUS, WdfDpcCreate, (PWDF_DPC_CONFIG Config, PWDF_OBJECT_ATTRIBUTES Attributes, WDFDPC *Dpc),
    (Config, Attributes, Dpc));
WDF_FUNCTION(112, BOOLEAN, WdfDpcEnqueue, (WDFDPC Dpc), (Dpc));
WDF_FUNCTION(114, WDFOBJECT, WdfDpcGetParentObject, (WDFDPC Dpc), (Dpc));
WDF_FUNCTION(
    379, NTSTATUS, WdfWorkItemCreate,
    (PWDF_WORKITEM_CONFIG Config, PWDF_OBJECT_ATTRIBUTES Attributes, WDFWORKITEM *WorkItem),
    (Config, Attributes, WorkItem));
WDF_FUNCTION(380, VOID, WdfWorkItemEnqueue, (WDFWORKITEM WorkItem), (WorkItem));
WDF_FUNCTION(381, WDFOBJECT, WdfWorkItemGetParentObject, (WDFWORKITEM WorkItem), (WorkItem));
WDF_FUNCTION(382, VOID, WdfWorkItemFlush, (WDFWORKITEM WorkItem), (WorkItem));

WDF_FUNCTION(
    315, NTSTATUS, WdfSpinLockCreate, (PWDF_OBJECT_ATTRIBUTES Attributes, WDFSPINLOCK *Lock), (Attributes, Lock));
WDF_FUNCTION(316, VOID, WdfSpinLockAcquire, (WDFSPINLOCK Lock), (Lock));
WDF_FUNCTION(317, VOID, WdfSpinLockRelease, (WDFSPINLOCK Lock), (Lock));

WDF_FUNCTION(
    13, NTSTATUS, WdfCollectionCreate, (PWDF_OBJECT_ATTRIBUTES Attributes, WDFCOLLECTION *Collection),
    (Attributes, Collection));
WDF_FUNCTION(14, ULONG, WdfCollectionGetCount, (WDFCOLLECTION Collection), (Collection));
WDF_FUNCTION(
    15, NTSTATUS, WdfCollectionAdd, (WDFCOLLECTION Collection, WDFOBJECT Object), (Collection, Object));
WDF_FUNCTION(16, VOID, WdfCollectionRemove, (WDFCOLLECTION Collection, WDFOBJECT Item), (Collection, Item));
WDF_FUNCTION(18, WDFOBJECT, WdfCollectionGetItem, (WDFCOLLECTION Collection, ULONG Index), (Collection, Index));
