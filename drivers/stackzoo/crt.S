/* The compiler's run-time helpers, our own, with the documented contracts. */
#include "asm.inc"

    .text

/*
 * Takes EAX bytes of stack for its caller and touches each page on the way, so that no guard page is
 * stepped over. Changes EAX and ESP only. The compiler says _chkstk, MSVC's listings __alloca_probe.
 */
    .def __alloca_probe
    .scl 2
    .type 32
    .endef
    .globl __alloca_probe
FUNCTION __chkstk
__alloca_probe:
    push    ecx
    lea     ecx, [esp + 8]
Lcrt_page:
    cmp     eax, 4096
    jb      Lcrt_rest
    sub     ecx, 4096
    test    [ecx], ecx
    sub     eax, 4096
    jmp     Lcrt_page
Lcrt_rest:
    sub     ecx, eax
    test    [ecx], ecx
    mov     eax, esp
    mov     esp, ecx
    mov     ecx, [eax]
    push    dword ptr [eax + 4]
    ret

/* Returns when ECX is the security cookie. All other registers are kept. */
FUNCTION @__security_check_cookie@4
    cmp     ecx, [___security_cookie]
    jne     Lcrt_overrun
    ret
Lcrt_overrun:
    jmp     _ZooReportOverrun@0
