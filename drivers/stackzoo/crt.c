/* What the compiler expects to find: the security cookie, and what happens when it is gone. */
#include "zoo.h"

#define DRIVER_OVERRAN_STACK_BUFFER 0x000000F7
#define DEFAULT_SECURITY_COOKIE 0xBB40E64E

/* The compiler wants it of whoever uses floating point. */
INT _fltused = 0x9875;

ULONG_PTR __security_cookie = DEFAULT_SECURITY_COOKIE;

VOID NTAPI ZooInitializeCookie(VOID)
{
    LARGE_INTEGER Now;

    KeQuerySystemTime(&Now);
    __security_cookie = (DEFAULT_SECURITY_COOKIE ^ Now.LowPart) | 1;
}

DECLSPEC_NOINLINE VOID NTAPI ZooReportOverrun(VOID)
{
    KeBugCheckEx(DRIVER_OVERRAN_STACK_BUFFER, 0, __security_cookie, ~__security_cookie, 0);
}
