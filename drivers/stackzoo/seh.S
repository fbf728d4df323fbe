/*
 * Frames that a helper builds on its caller's behalf: __SEH_prolog4 and its family.
 *
 * The helpers are our own, under the documented names and with the documented contract: they return with
 * ESP lower than they found it, with EBP set up, and with a record in the chain at FS:[0].
 */
#include "asm.inc"

#define TRY_NONE -1
#define TRY_NONE4 -2

    .text

/*
 * push bytes; push offset scopetable; call __SEH_prolog4. The frame afterwards:
 *   EBP      caller's EBP (where `bytes` was)
 *   EBP-4    try level (where the scope table was), EBP-8 scope table xor cookie (return address)
 *   EBP-12   handler, EBP-16 next record, EBP-24 ESP for the handler
 *   below    the rest of `bytes`, EBX, ESI, EDI, cookie xor EBP
 */
FUNCTION __SEH_prolog4
    PUSH_OFFSET __except_handler4
    push    dword ptr fs:[0]
    mov     eax, [esp + 16]
    mov     [esp + 16], ebp
    lea     ebp, [esp + 16]
    sub     esp, eax
    push    ebx
    push    esi
    push    edi
    mov     eax, [___security_cookie]
    xor     [ebp - 4], eax
    xor     eax, ebp
    push    eax
    mov     [ebp - 24], esp
    push    dword ptr [ebp - 8]
    mov     eax, [ebp - 4]
    mov     dword ptr [ebp - 4], TRY_NONE4
    mov     [ebp - 8], eax
    lea     eax, [ebp - 16]
    mov     fs:[0], eax
    ret

FUNCTION __SEH_epilog4
    mov     ecx, [ebp - 16]
    mov     fs:[0], ecx
    pop     ecx
    add     esp, 4
    pop     edi
    pop     esi
    pop     ebx
    mov     esp, ebp
    pop     ebp
    push    ecx
    ret

/* The same without cookies, as compilers before /GS version 4 use it. */
FUNCTION __SEH_prolog
    PUSH_OFFSET __except_handler3
    push    dword ptr fs:[0]
    mov     eax, [esp + 16]
    mov     [esp + 16], ebp
    lea     ebp, [esp + 16]
    sub     esp, eax
    push    ebx
    push    esi
    push    edi
    mov     [ebp - 24], esp
    push    dword ptr [ebp - 8]
    mov     eax, [ebp - 4]
    mov     dword ptr [ebp - 4], TRY_NONE
    mov     [ebp - 8], eax
    lea     eax, [ebp - 16]
    mov     fs:[0], eax
    ret

FUNCTION __SEH_epilog
    mov     ecx, [ebp - 16]
    mov     fs:[0], ecx
    pop     ecx
    pop     edi
    pop     esi
    pop     ebx
    leave
    push    ecx
    ret

/* mov eax, offset handler; call __EH_prolog. Locals are the caller's business. */
FUNCTION __EH_prolog
    push    TRY_NONE
    push    eax
    push    dword ptr fs:[0]
    mov     eax, [esp + 12]
    mov     fs:[0], esp
    mov     [esp + 12], ebp
    lea     ebp, [esp + 12]
    push    eax
    ret

/* push bytes; mov eax, offset handler; call __EH_prolog3. */
FUNCTION __EH_prolog3
    push    eax
    push    dword ptr fs:[0]
    lea     eax, [esp + 12]
    sub     esp, [esp + 12]
    push    ebx
    push    esi
    push    edi
    mov     [eax], ebp
    mov     ebp, eax
    mov     eax, [___security_cookie]
    xor     eax, ebp
    push    eax
    push    dword ptr [ebp - 4]
    mov     dword ptr [ebp - 4], TRY_NONE
    lea     eax, [ebp - 12]
    mov     fs:[0], eax
    ret

FUNCTION __EH_epilog3
    mov     ecx, [ebp - 12]
    mov     fs:[0], ecx
    pop     ecx
    add     esp, 4
    pop     edi
    pop     esi
    pop     ebx
    mov     esp, ebp
    pop     ebp
    push    ecx
    ret

/* Handles nothing: ExceptionContinueSearch. */
FUNCTION __except_handler4
    mov     eax, 1
    ret

FUNCTION _ZooSehProlog4@8
    push    56
    PUSH_OFFSET Lzoo_scopes4
    call    __SEH_prolog4
    and     dword ptr [ebp - 4], 0
    mov     eax, [ebp + EBP_VALUE]
    mov     [ebp - 28], eax
    mov     ecx, [ebp + EBP_BUFFER]
    add     eax, [ecx]
    mov     [ebp - 56], eax
    mov     dword ptr [ebp - 4], TRY_NONE4
    call    __SEH_epilog4
    ret     8

FUNCTION _ZooSehProlog@8
    push    40
    PUSH_OFFSET Lzoo_scopes
    call    __SEH_prolog
    and     dword ptr [ebp - 4], 0
    push    dword ptr [ebp + EBP_VALUE]
    push    dword ptr [ebp + EBP_BUFFER]
    call    _ZooLeaf@8
    mov     [ebp - 28], eax
    or      dword ptr [ebp - 4], TRY_NONE
    call    __SEH_epilog
    ret     8

FUNCTION _ZooEhProlog@8
    mov     eax, offset __except_handler4
    call    __EH_prolog
    sub     esp, 28
    push    esi
    and     dword ptr [ebp - 4], 0
    mov     esi, [ebp + EBP_VALUE]
    mov     [ebp - 40], esi
    push    esi
    push    dword ptr [ebp + EBP_BUFFER]
    call    _ZooLeaf@8
    pop     esi
    mov     ecx, [ebp - 12]
    mov     fs:[0], ecx
    leave
    ret     8

FUNCTION _ZooEhProlog3@8
    push    32
    mov     eax, offset __except_handler4
    call    __EH_prolog3
    and     dword ptr [ebp - 4], 0
    mov     eax, [ebp + EBP_VALUE]
    mov     [ebp - 32], eax
    call    __EH_epilog3
    ret     8

/* What compilers wrote before there were helpers: every push is in the function itself. */
FUNCTION _ZooInlineSehFrame@8
    push    ebp
    mov     ebp, esp
    push    TRY_NONE
    PUSH_OFFSET Lzoo_scopes
    PUSH_OFFSET __except_handler3
    mov     eax, fs:[0]
    push    eax
    mov     fs:[0], esp
    push    ecx
    push    ecx
    push    ebx
    push    esi
    push    edi
    mov     [ebp - 24], esp
    and     dword ptr [ebp - 4], 0
    mov     eax, [ebp + EBP_VALUE]
    mov     [ebp - 20], eax
    push    eax
    push    dword ptr [ebp + EBP_BUFFER]
    call    _ZooLeaf@8
    or      dword ptr [ebp - 4], TRY_NONE
    mov     ecx, [ebp - 16]
    mov     fs:[0], ecx
    pop     edi
    pop     esi
    pop     ebx
    leave
    ret     8

    .section .rdata, "dr"
    .p2align 2
/* Cookie offsets (none, and the one below the frame), then one __try: enclosing level, filter, handler. */
Lzoo_scopes4:
    .long   TRY_NONE4, 0, -72, 0
    .long   TRY_NONE4, 0, Lzoo_no_handler
Lzoo_scopes:
    .long   TRY_NONE, 0, Lzoo_no_handler
    .text
    .p2align 4, 0xcc
Lzoo_no_handler:
    int3
