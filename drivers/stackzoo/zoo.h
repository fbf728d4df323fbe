/* What the parts of the zoo share. */
#pragma once

#include "wdm.h"

/*
 * Every routine of the dispatch table takes a buffer of any content and any number, and returns. Loops and
 * recursion are bounded by masks, so that no argument can make a routine run away.
 */
typedef ULONG NTAPI ZOO_ROUTINE(PUCHAR Buffer, ULONG Value);
typedef ZOO_ROUTINE *PZOO_ROUTINE;

/* Makes the compiler believe that memory is used: locals have to live on the stack. */
#define ZOO_KEEP(Pointer) __asm__ volatile("" : : "r"(Pointer) : "memory")

/* A value that the compiler cannot see through. */
static inline ULONG ZooOpaque(ULONG Value)
{
    __asm__ volatile("" : "+r"(Value));
    return Value;
}

/* frames.c, ebp.c, bigframes.c, aligned.c, cookies.c */
ZOO_ROUTINE ZooLeaf, ZooSmallLocals, ZooSavedRegisters, ZooFrame2048, ZooShrinkWrapped, ZooSeveralExits;
ZOO_ROUTINE ZooEbpFrame, ZooEbpSavedRegisters, ZooEbpOutgoing;
ZOO_ROUTINE ZooChkstk, ZooChkstkTwoPages, ZooDynamicAlloca, ZooDynamicAllocaInLoop;
ZOO_ROUTINE ZooAligned16, ZooAligned32, ZooAlignedCall, ZooAlignedAlloca;
ZOO_ROUTINE ZooCookie, ZooCookieAligned;

/* calls.c */
ZOO_ROUTINE ZooCallStdcall, ZooCallCdecl, ZooCallFastcall, ZooCallStaticFastcall, ZooCallNested, ZooCallImports;
ZOO_ROUTINE ZooCallVarargs, ZooCallStructure, ZooReturnStructure, ZooCallback, ZooCallbackTable, ZooSwitch;
ZOO_ROUTINE ZooTailCall, ZooTailCallPointer;
ULONG NTAPI ZooAdd6(ULONG A, ULONG B, ULONG C, ULONG D, ULONG E, ULONG F);

/* recursion.c, hidden.c */
ZOO_ROUTINE ZooRecursive, ZooMutualEven, ZooMutualOdd, ZooRecursiveTree;
ZOO_ROUTINE ZooHiddenDeepPath;

/* idioms.S */
ZOO_ROUTINE ZooPushEcxLocal, ZooPushEcxTwice, ZooEnterLeave, ZooAndEsp8, ZooAndEsp64, ZooPopDiscard, ZooPushPopMove;
ZOO_ROUTINE ZooXchgEsp, ZooCallPop, ZooPushad, ZooPushfd, ZooPushRet, ZooLeaEsp, ZooAddEspNegative, ZooPushEsp;
ZOO_ROUTINE ZooMovEspEbp, ZooPush16, ZooPushMemory, ZooPushLoop, ZooLoopBalanced, ZooTailJump, ZooTailJumpImport;
ZOO_ROUTINE ZooFuncletOwner, ZooJumpTable, ZooMergedPaths, ZooShrinkWrappedAsm, ZooSeveralExitsAsm;
ZOO_ROUTINE ZooAllocaProbe, ZooAllocaProbeDynamic, ZooCookieAsm, ZooCallRegister;
ZOO_ROUTINE ZooHotPatch, ZooEbpBiased, ZooEbxAligned, ZooEcxAligned, ZooOutgoingArea, ZooJumpRegister;
ZOO_ROUTINE ZooByteJumpTable;

/* seh.S */
ZOO_ROUTINE ZooSehProlog4, ZooSehProlog, ZooEhProlog, ZooEhProlog3, ZooInlineSehFrame;

/* crt.c */
VOID NTAPI ZooInitializeCookie(VOID);
