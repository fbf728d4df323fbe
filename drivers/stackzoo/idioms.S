/*
 * Stack idioms of other compilers and of people, written by hand.
 *
 * Every function here is ULONG __stdcall (PUCHAR Buffer, ULONG Value). In the comments E is ESP at entry.
 */
#include "asm.inc"

    .text

/* MSVC reserves four bytes with `push ecx`: that is a local, not a saved register. */
FUNCTION _ZooPushEcxLocal@8
    push    ecx
    mov     eax, [esp + 4 + VALUE]
    mov     [esp], eax
    add     eax, [esp]
    pop     ecx
    ret     8

/* Eight bytes of locals below a frame pointer, by two pushes. */
FUNCTION _ZooPushEcxTwice@8
    push    ebp
    mov     ebp, esp
    push    ecx
    push    ecx
    mov     eax, [ebp + EBP_VALUE]
    mov     [ebp - 4], eax
    mov     [ebp - 8], eax
    push    dword ptr [ebp - 8]
    push    dword ptr [ebp + EBP_BUFFER]
    call    _ZooLeaf@8
    leave
    ret     8

FUNCTION _ZooEnterLeave@8
    enter   64, 0
    push    esi
    mov     esi, [ebp + EBP_BUFFER]
    mov     eax, [esi]
    mov     [ebp - 64], eax
    pop     esi
    leave
    ret     8

/* What MSVC does for a double: costs 0 or 4 bytes, as E is. */
FUNCTION _ZooAndEsp8@8
    push    ebp
    mov     ebp, esp
    and     esp, -8
    sub     esp, 24
    mov     eax, [ebp + EBP_VALUE]
    mov     [esp + 20], eax
    mov     esp, ebp
    pop     ebp
    ret     8

/* A cache line, with a call below it. */
FUNCTION _ZooAndEsp64@8
    push    ebp
    mov     ebp, esp
    push    ebx
    and     esp, -64
    sub     esp, 128
    mov     ebx, [ebp + EBP_VALUE]
    mov     [esp], ebx
    push    ebx
    push    dword ptr [ebp + EBP_BUFFER]
    call    _ZooLeaf@8
    mov     ebx, [ebp - 4]
    mov     esp, ebp
    pop     ebp
    ret     8

/* A cdecl callee's arguments taken off by `pop ecx`, which is shorter than `add esp, 4`. */
FUNCTION _ZooPopDiscard@8
    push    4
    push    3
    push    2
    push    dword ptr [esp + 12 + VALUE]
    call    _ZooAdd4Cdecl
    pop     ecx
    pop     ecx
    pop     ecx
    pop     ecx
    ret     8

/* Constants and memory moved through the stack: four bytes for a moment. */
FUNCTION _ZooPushPopMove@8
    push    1
    pop     eax
    mov     edx, [esp + BUFFER]
    push    dword ptr [edx + 4]
    pop     dword ptr [edx]
    ret     8

/* The frame is made and dropped by exchanging stack pointers. */
FUNCTION _ZooXchgEsp@8
    lea     eax, [esp - 96]
    xchg    eax, esp
    mov     [esp], eax
    mov     ecx, [eax + VALUE]
    mov     [esp + 4], ecx
    mov     eax, [esp]
    xchg    eax, esp
    mov     eax, ecx
    ret     8

/* Where am I? Position-independent code asks by a call of the next instruction, which never returns. */
FUNCTION _ZooCallPop@8
    call    Lzoo_here
Lzoo_here:
    pop     eax
    ret     8

/* All eight registers; the result is put where EAX will be taken from. */
FUNCTION _ZooPushad@8
    pushad
    mov     eax, [esp + 32 + VALUE]
    add     eax, 1
    mov     [esp + 28], eax
    popad
    ret     8

FUNCTION _ZooPushfd@8
    pushfd
    pushfd
    pop     eax
    and     eax, 0x200
    popfd
    ret     8

/* A jump by push and ret. */
FUNCTION _ZooPushRet@8
    mov     eax, [esp + VALUE]
    PUSH_OFFSET Lzoo_behind_ret
    ret
    int3
Lzoo_behind_ret:
    push    ecx
    mov     [esp], eax
    pop     ecx
    ret     8

/* Addition that leaves the flags alone. */
FUNCTION _ZooLeaEsp@8
    lea     esp, [esp - 40]
    mov     eax, [esp + 40 + VALUE]
    mov     [esp], eax
    lea     esp, [esp + 40]
    ret     8

/* -128 fits a byte where 128 does not. */
FUNCTION _ZooAddEspNegative@8
    add     esp, -128
    mov     eax, [esp + 128 + VALUE]
    mov     [esp + 124], eax
    sub     esp, -128
    ret     8

/* The address of a local, pushed as it is: `push esp` stores the value from before the push. */
FUNCTION _ZooPushEsp@8
    push    ecx
    mov     eax, [esp + 4 + VALUE]
    mov     [esp], eax
    push    esp
    pop     edx
    push    eax
    push    edx
    call    _ZooLeaf@8
    pop     ecx
    ret     8

/* Arguments are left where they are: the frame pointer knows better. */
FUNCTION _ZooMovEspEbp@8
    push    ebp
    mov     ebp, esp
    sub     esp, 32
    push    4
    push    3
    push    2
    push    dword ptr [ebp + EBP_VALUE]
    call    _ZooAdd4Cdecl
    push    4
    push    3
    push    2
    push    eax
    call    _ZooAdd4Cdecl
    lea     esp, [ebp - 32]
    mov     [esp], eax
    mov     esp, ebp
    pop     ebp
    ret     8

/* Pushes of two bytes: ESP is not a multiple of four for a while. */
FUNCTION _ZooPush16@8
    push    ax
    push    cx
    push    dx
    mov     eax, [esp + 6 + VALUE]
    pop     dx
    pop     cx
    add     esp, 2
    ret     8

/* `push [esp + n]` copies arguments: ESP moves under the feet of the next one. */
FUNCTION _ZooPushMemory@8
    push    dword ptr [esp + VALUE]
    push    dword ptr [esp + 4 + BUFFER]
    push    dword ptr [esp + 4]
    push    dword ptr [esp + 4]
    call    _ZooLeaf@8
    add     esp, 8
    ret     8

/* As many words as the argument says, 0 to 15: no constant. */
FUNCTION _ZooPushLoop@8
    push    ebp
    mov     ebp, esp
    mov     ecx, [ebp + EBP_VALUE]
    and     ecx, 15
    jecxz   Lzoo_pushed
Lzoo_push:
    push    ecx
    dec     ecx
    jnz     Lzoo_push
Lzoo_pushed:
    mov     eax, esp
    mov     esp, ebp
    pop     ebp
    ret     8

/* A loop whose pushes and pops balance in every turn. */
FUNCTION _ZooLoopBalanced@8
    push    ebx
    push    esi
    mov     ebx, [esp + 8 + VALUE]
    and     ebx, 3
    inc     ebx
    xor     esi, esi
Lzoo_turn:
    push    ebx
    push    dword ptr [esp + 12 + BUFFER]
    call    _ZooLeaf@8
    add     esi, eax
    dec     ebx
    jnz     Lzoo_turn
    mov     eax, esi
    pop     esi
    pop     ebx
    ret     8

/* A jump instead of call and ret. */
FUNCTION _ZooTailJump@8
    add     dword ptr [esp + VALUE], 1
    jmp     _ZooFrame2048@8

/* The same through the import table; both arguments are the buffer. */
FUNCTION _ZooTailJumpImport@8
    mov     eax, [esp + BUFFER]
    mov     [esp + VALUE], eax
    jmp     dword ptr [__imp__ExSystemTimeToLocalTime@8]

/* What a __finally block becomes: code within the function's range, called on the function's own frame. */
FUNCTION _ZooFuncletOwner@8
    push    ebp
    mov     ebp, esp
    sub     esp, 16
    push    ebx
    mov     ebx, [ebp + EBP_VALUE]
    mov     [ebp - 4], ebx
    call    Lzoo_finally
    mov     eax, [ebp - 4]
    pop     ebx
    leave
    ret     8
Lzoo_finally:
    push    esi
    push    dword ptr [ebp - 4]
    push    dword ptr [ebp + EBP_BUFFER]
    call    _ZooLeaf@8
    mov     [ebp - 4], eax
    pop     esi
    ret

/* A switch over four cases, then what goes deepest. */
FUNCTION _ZooJumpTable@8
    push    ebx
    mov     ebx, [esp + 4 + VALUE]
    and     ebx, 3
    jmp     dword ptr [ebx * 4 + Lzoo_cases]
Lzoo_case0:
    push    7
    pop     ebx
    jmp     Lzoo_switched
Lzoo_case1:
    push    ebx
    push    dword ptr [esp + 8 + BUFFER]
    call    _ZooLeaf@8
    mov     ebx, eax
    jmp     Lzoo_switched
Lzoo_case2:
    shl     ebx, 4
    jmp     Lzoo_switched
Lzoo_case3:
    neg     ebx
Lzoo_switched:
    push    ebx
    push    ebx
    push    3
    push    2
    push    1
    push    ebx
    call    _ZooAdd6@24
    pop     ebx
    ret     8

    .section .rdata, "dr"
    .p2align 2
Lzoo_cases:
    .long   Lzoo_case0, Lzoo_case1, Lzoo_case2, Lzoo_case3
    .text

/* Two paths push different amounts and meet; the frame pointer makes them equal again. */
FUNCTION _ZooMergedPaths@8
    push    ebp
    mov     ebp, esp
    push    esi
    test    byte ptr [ebp + EBP_VALUE], 1
    jz      Lzoo_even
    push    1
    push    2
    push    3
    jmp     Lzoo_meet
Lzoo_even:
    push    1
Lzoo_meet:
    lea     esp, [ebp - 4]
    push    dword ptr [ebp + EBP_VALUE]
    push    dword ptr [ebp + EBP_BUFFER]
    call    _ZooSavedRegisters@8
    mov     esi, eax
    pop     esi
    pop     ebp
    ret     8

/* An exit before the prologue. */
FUNCTION _ZooShrinkWrappedAsm@8
    mov     eax, [esp + VALUE]
    cmp     eax, 0x5A5A5A5A
    jne     Lzoo_wrapped
    ret     8
Lzoo_wrapped:
    push    ebx
    push    edi
    sub     esp, 48
    mov     edi, esp
    mov     ebx, eax
    mov     ecx, 12
    rep stosd
    mov     [esp], ebx
    mov     eax, [esp + 44]
    add     esp, 48
    pop     edi
    pop     ebx
    ret     8

/* Three exits, each with an epilogue of its own kind. */
FUNCTION _ZooSeveralExitsAsm@8
    push    ebp
    mov     ebp, esp
    sub     esp, 20
    push    esi
    mov     esi, [ebp + EBP_VALUE]
    mov     [ebp - 20], esi
    test    esi, 1
    jz      Lzoo_second_exit
    mov     eax, esi
    pop     esi
    leave
    ret     8
Lzoo_second_exit:
    test    esi, 2
    jz      Lzoo_third_exit
    xor     eax, eax
    mov     esi, [ebp - 24]
    mov     esp, ebp
    pop     ebp
    ret     8
Lzoo_third_exit:
    mov     eax, [ebp - 20]
    pop     esi
    add     esp, 20
    pop     ebp
    ret     8

/* A constant EAX: five thousand bytes of locals. */
FUNCTION _ZooAllocaProbe@8
    push    ebp
    mov     ebp, esp
    mov     eax, 5000
    call    __alloca_probe
    mov     eax, [ebp + EBP_VALUE]
    mov     [esp], eax
    mov     [esp + 4996], eax
    mov     esp, ebp
    pop     ebp
    ret     8

/* EAX from the argument, 4 to 256: no constant. */
FUNCTION _ZooAllocaProbeDynamic@8
    push    ebp
    mov     ebp, esp
    movzx   eax, byte ptr [ebp + EBP_VALUE]
    and     eax, -4
    add     eax, 4
    call    __alloca_probe
    mov     eax, [ebp + EBP_VALUE]
    mov     [esp], eax
    leave
    ret     8

/* A security cookie (/GS), as MSVC writes it. */
FUNCTION _ZooCookieAsm@8
    push    ebp
    mov     ebp, esp
    sub     esp, 36
    mov     eax, [___security_cookie]
    xor     eax, ebp
    mov     [ebp - 4], eax
    mov     eax, [ebp + EBP_VALUE]
    mov     [ebp - 36], eax
    mov     ecx, [ebp - 4]
    xor     ecx, ebp
    call    @__security_check_cookie@4
    mov     esp, ebp
    pop     ebp
    ret     8

/* An import called twice through a callee-saved register, as MSVC likes it. */
FUNCTION _ZooCallRegister@8
    push    esi
    push    edi
    mov     edi, [esp + 8 + BUFFER]
    mov     esi, [__imp__RtlCompareMemory@12]
    push    16
    push    edi
    push    edi
    call    esi
    push    eax
    push    edi
    push    edi
    call    esi
    pop     edi
    pop     esi
    ret     8

/* MSVC's hot-patchable entry: two bytes that can become a short jump. */
FUNCTION _ZooHotPatch@8
    mov     edi, edi
    push    ebp
    mov     ebp, esp
    push    ecx
    push    edi
    mov     edi, [ebp + EBP_VALUE]
    mov     [ebp - 4], edi
    mov     eax, [ebp - 4]
    pop     edi
    leave
    ret     8

/* MSVC, for many locals: EBP points into their middle, so that more of them are within a byte's reach. */
FUNCTION _ZooEbpBiased@8
    push    ebp
    lea     ebp, [esp - 120]
    sub     esp, 248
    mov     eax, [ebp + 120 + EBP_VALUE]
    mov     [ebp - 128], eax
    mov     [ebp + 116], eax
    push    eax
    push    dword ptr [ebp + 120 + EBP_BUFFER]
    call    _ZooLeaf@8
    add     ebp, 120
    leave
    ret     8

/*
 * MSVC, for locals of 16 bytes' alignment: EBX keeps the frame before the realignment, and the return address
 * is copied to where a debugger looks for it, above the saved EBP.
 */
FUNCTION _ZooEbxAligned@8
    push    ebx
    mov     ebx, esp
    sub     esp, 8
    and     esp, -16
    add     esp, 4
    push    ebp
    mov     ebp, [ebx + 4]
    mov     [esp + 4], ebp
    mov     ebp, esp
    sub     esp, 40
    mov     eax, [ebx + 4 + VALUE]
    mov     [ebp - 40], eax
    push    eax
    push    dword ptr [ebx + 4 + BUFFER]
    call    _ZooLeaf@8
    mov     esp, ebp
    pop     ebp
    mov     esp, ebx
    pop     ebx
    ret     8

/* GCC, for the same: ECX holds the arguments' address, and the return address is copied too. */
FUNCTION _ZooEcxAligned@8
    lea     ecx, [esp + 4]
    and     esp, -16
    push    dword ptr [ecx - 4]
    push    ebp
    mov     ebp, esp
    push    ecx
    sub     esp, 36
    mov     eax, [ecx + VALUE - 4]
    mov     [ebp - 40], eax
    mov     ecx, [ebp - 4]
    leave
    lea     esp, [ecx - 4]
    ret     8

/* GCC, -maccumulate-outgoing-args: arguments lie in the frame; what a callee takes off is reserved again. */
FUNCTION _ZooOutgoingArea@8
    push    ebx
    sub     esp, 28
    mov     ebx, [esp + 32 + BUFFER]
    mov     eax, [esp + 32 + VALUE]
    mov     [esp + 24], eax
    mov     [esp + 4], eax
    mov     [esp], ebx
    call    _ZooLeaf@8
    sub     esp, 8
    mov     [esp + 4], eax
    mov     [esp], ebx
    call    _ZooSavedRegisters@8
    sub     esp, 8
    add     eax, [esp + 24]
    add     esp, 28
    pop     ebx
    ret     8

/* A switch without optimisation: the target is loaded first. The second case goes deepest. */
FUNCTION _ZooJumpRegister@8
    mov     eax, [esp + VALUE]
    and     eax, 1
    mov     eax, [eax * 4 + Lzoo_pointers]
    jmp     eax
Lzoo_pointer0:
    mov     eax, 1
    ret     8
Lzoo_pointer1:
    push    dword ptr [esp + VALUE]
    push    dword ptr [esp + 4 + BUFFER]
    call    _ZooLeaf@8
    ret     8

/* Sparse cases: a table of bytes says which entry of the table of addresses. The last case goes deepest. */
FUNCTION _ZooByteJumpTable@8
    mov     eax, [esp + VALUE]
    and     eax, 31
    cmp     eax, 5
    ja      Lzoo_sparse2
    movzx   eax, byte ptr [eax + Lzoo_bytes]
    jmp     dword ptr [eax * 4 + Lzoo_sparse]
Lzoo_sparse0:
    xor     eax, eax
    ret     8
Lzoo_sparse1:
    push    ecx
    mov     [esp], eax
    pop     ecx
    ret     8
Lzoo_sparse2:
    mov     eax, 2
    ret     8
Lzoo_sparse3:
    sub     esp, 20
    mov     [esp], eax
    mov     [esp + 16], eax
    add     esp, 20
    ret     8

    .section .rdata, "dr"
    .p2align 2
Lzoo_pointers:
    .long   Lzoo_pointer0, Lzoo_pointer1
Lzoo_sparse:
    .long   Lzoo_sparse0, Lzoo_sparse1, Lzoo_sparse2, Lzoo_sparse3
Lzoo_bytes:
    .byte   0, 2, 1, 2, 2, 3
    .text
