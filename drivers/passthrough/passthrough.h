/* What the parts of the passthrough minifilter share. */
#pragma once

#include "fltkernel.h"

#define PT_TAG_INSTANCE 'iTtP'
#define PT_TAG_NORMALIZE 'nTtP'
#define PT_VOLUME_NAME_CHARS 64

typedef struct _PT_INSTANCE_CONTEXT {
    PFLT_INSTANCE Instance;
    DEVICE_TYPE VolumeDeviceType;
    FLT_FILESYSTEM_TYPE FileSystemType;
    ULONG SectorSize;
    volatile LONG Operations;
    volatile LONG Failures;
    UNICODE_STRING VolumeName;
    WCHAR VolumeNameBuffer[PT_VOLUME_NAME_CHARS];
} PT_INSTANCE_CONTEXT, *PPT_INSTANCE_CONTEXT;

typedef struct _PT_GLOBALS {
    PFLT_FILTER Filter;
    volatile LONG Creates;
    volatile LONG Operations;
    volatile LONG Failures;
    volatile LONG StatusRequests;
    volatile LONG StatusReplies;
    LARGE_INTEGER Started;
} PT_GLOBALS;

extern PT_GLOBALS PtGlobals;

/* instance.c */
FLT_INSTANCE_SETUP PtInstanceSetup;
FLT_INSTANCE_QUERY_TEARDOWN PtInstanceQueryTeardown;
FLT_INSTANCE_TEARDOWN PtInstanceTeardownStart;
FLT_INSTANCE_TEARDOWN PtInstanceTeardownComplete;
FLT_CONTEXT_CLEANUP PtInstanceContextCleanup;

/* operations.c */
FLT_PRE_OPERATION PtPreOperationPassThrough;
FLT_POST_OPERATION PtPostOperationPassThrough;
FLT_PRE_OPERATION PtPreOperationNoPostOperationPassThrough;

/* status.c */
BOOLEAN PtDoRequestOperationStatus(PFLT_CALLBACK_DATA Data);
FLT_GET_OPERATION_STATUS PtOperationStatusCallback;

/* names.c */
FLT_GENERATE_FILE_NAME PtGenerateFileNameCallback;
FLT_NORMALIZE_NAME_COMPONENT PtNormalizeNameComponentCallback;
FLT_NORMALIZE_NAME_COMPONENT_EX PtNormalizeNameComponentExCallback;
FLT_NORMALIZE_CONTEXT_CLEANUP PtNormalizeContextCleanupCallback;

/* log.c */
VOID PtFormatTime(PUNICODE_STRING Line, const LARGE_INTEGER *SystemTime);
VOID PtLogFileName(PFLT_CALLBACK_DATA Data, PCFLT_RELATED_OBJECTS FltObjects);
VOID PtLogSummary(PCSTR Reason);
