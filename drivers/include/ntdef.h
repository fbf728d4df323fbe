/*
 * The scalar types, status codes and strings that the sample drivers use.
 *
 * Written for these samples from the public documentation: only what is used, with the layouts of 32-bit
 * x86. Sizes that an emulated kernel relies on are checked by the compiler (C_ASSERT).
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define NTAPI __stdcall
#define FASTCALL __fastcall
#define CDECL __cdecl
#define NTSYSAPI __declspec(dllimport)
#define DECLSPEC_NOINLINE __attribute__((noinline))
#define UNREFERENCED_PARAMETER(Parameter) ((void)(Parameter))
#define C_ASSERT(Condition) _Static_assert(Condition, #Condition)
#define FIELD_OFFSET(Type, Field) ((LONG)offsetof(Type, Field))
#define ARRAYSIZE(Array) (sizeof(Array) / sizeof((Array)[0]))

typedef void VOID, *PVOID;
typedef char CHAR, *PCHAR;
typedef const char *PCSTR;
typedef unsigned char UCHAR, *PUCHAR, BOOLEAN, *PBOOLEAN;
typedef const unsigned char *PCUCHAR;
typedef short SHORT, CSHORT;
typedef unsigned short USHORT, *PUSHORT;
typedef wchar_t WCHAR, *PWCHAR, *PWSTR;
typedef const wchar_t *PCWSTR;
typedef int INT;
typedef long LONG, *PLONG;
typedef unsigned long ULONG, *PULONG, ULONG_PTR, *PULONG_PTR, SIZE_T, *PSIZE_T, ACCESS_MASK;
typedef long long LONGLONG;
typedef unsigned long long ULONGLONG;
typedef PVOID HANDLE, *PHANDLE;
typedef LONG NTSTATUS;
typedef CHAR CCHAR, KPROCESSOR_MODE;
typedef UCHAR KIRQL;

#define TRUE 1
#define FALSE 0

C_ASSERT(sizeof(PVOID) == 4 && sizeof(LONG) == 4 && sizeof(WCHAR) == 2 && sizeof(LONGLONG) == 8);

#define STATUS_SUCCESS ((NTSTATUS)0x00000000L)
#define STATUS_PENDING ((NTSTATUS)0x00000103L)
#define STATUS_BUFFER_OVERFLOW ((NTSTATUS)0x80000005L)
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000DL)
#define STATUS_CANCELLED ((NTSTATUS)0xC0000120L)
#define STATUS_INVALID_DEVICE_REQUEST ((NTSTATUS)0xC0000010L)
#define STATUS_OBJECT_NAME_NOT_FOUND ((NTSTATUS)0xC0000034L)
#define STATUS_INSUFFICIENT_RESOURCES ((NTSTATUS)0xC000009AL)
#define STATUS_BUFFER_TOO_SMALL ((NTSTATUS)0xC0000023L)
#define STATUS_FLT_DO_NOT_ATTACH ((NTSTATUS)0xC01C000FL)
#define NT_SUCCESS(Status) ((NTSTATUS)(Status) >= 0)

typedef union _LARGE_INTEGER {
    struct {
        ULONG LowPart;
        LONG HighPart;
    };
    LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;
C_ASSERT(sizeof(LARGE_INTEGER) == 8);

typedef struct _LIST_ENTRY {
    struct _LIST_ENTRY *Flink;
    struct _LIST_ENTRY *Blink;
} LIST_ENTRY, *PLIST_ENTRY;

typedef struct _UNICODE_STRING {
    USHORT Length;        /* bytes */
    USHORT MaximumLength; /* bytes */
    PWCHAR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;
C_ASSERT(sizeof(UNICODE_STRING) == 8);

#define RTL_CONSTANT_STRING(Text) { sizeof(Text) - sizeof((Text)[0]), sizeof(Text), (PWCHAR)(Text) }

#define OBJ_CASE_INSENSITIVE 0x00000040L
#define OBJ_KERNEL_HANDLE 0x00000200L

typedef struct _OBJECT_ATTRIBUTES {
    ULONG Length;
    HANDLE RootDirectory;
    PUNICODE_STRING ObjectName;
    ULONG Attributes;
    PVOID SecurityDescriptor;
    PVOID SecurityQualityOfService;
} OBJECT_ATTRIBUTES, *POBJECT_ATTRIBUTES;
C_ASSERT(sizeof(OBJECT_ATTRIBUTES) == 24);

static inline VOID InitializeObjectAttributes(
    POBJECT_ATTRIBUTES Attributes, PUNICODE_STRING Name, ULONG Flags, HANDLE RootDirectory, PVOID Security)
{
    Attributes->Length = sizeof(*Attributes);
    Attributes->RootDirectory = RootDirectory;
    Attributes->ObjectName = Name;
    Attributes->Attributes = Flags;
    Attributes->SecurityDescriptor = Security;
    Attributes->SecurityQualityOfService = NULL;
}
