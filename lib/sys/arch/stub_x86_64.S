/* SPDX-License-Identifier: MIT */
/*
 * stub_x86_64.S - the instructions of the stub (see stub.h), for x86-64.
 *
 * stub.c copies stub_code .. stub_code_end to the first page of an area; they run wherever that is
 * mapped.  No stack, no signals, no thread-local data, no calls and returns (shadow stacks).  A system call
 * keeps every register but rax, rcx and r11, so these last:
 *
 *      rbx  the commands' pages                r12  commands done so far
 *      rbp  the results' page                  r14  the eventfd
 *      r9   the run's secret, sixth argument of every call made here
 *
 * The results' page is only written: the program can write there too.  On x86 loads are not reordered
 * with loads, nor stores with stores, so plain moves are acquire and release.
 */
#include <asm/unistd.h>

#include "sys/stub_layout.h"

	.section .rodata
	.balign 64
	.globl stub_code, stub_code_secret, stub_code_end

/* Entered with rdi = the eventfd. */
stub_code:
.Lcode:
	movl	%edi, %r14d
	leaq	.Lcode + STUB_COMMANDS(%rip), %rbx
	leaq	.Lcode + STUB_RESULTS(%rip), %rbp
	movq	.Lsecret(%rip), %r9
	xorl	%r12d, %r12d

/*
 * All is done and said: look for a while, then sleep.  FUTEX_WAIT does not sleep if head has changed.
 * The tail is said again after each sleep, for a program may have written over it.
 */
.Lidle:
	movq	%r12, STUB_TAIL(%rbp)
	movq	STUB_SPIN(%rbx), %r15
.Llook:
	cmpq	%r12, STUB_HEAD(%rbx)
	jne	.Lrun
	subq	$1, %r15
	jb	.Lsleep
	pause
	jmp	.Llook
.Lsleep:
	movl	$__NR_futex, %eax
	leaq	STUB_HEAD(%rbx), %rdi
	xorl	%esi, %esi		/* FUTEX_WAIT, of a word shared between processes */
	movl	%r12d, %edx
	xorl	%r10d, %r10d		/* no time limit */
	xorl	%r8d, %r8d
	syscall
	jmp	.Lidle			/* woken, EAGAIN, EINTR: look again */

.Lrun:
	movl	%r12d, %r15d
	andl	$(STUB_RING - 1), %r15d
	imull	$STUB_CMD_LEN, %r15d, %ecx
	leaq	STUB_CMDS(%rbx, %rcx), %rcx
	movq	(%rcx), %rax
	cmpq	$STUB_EXIT, %rax
	je	.Lexit
	movq	8(%rcx), %rdi
	movq	16(%rcx), %rsi
	movq	24(%rcx), %rdx
	movq	32(%rcx), %r10
	movq	40(%rcx), %r8
	syscall
	movq	%rax, STUB_RES(%rbp, %r15, 8)
	incq	%r12
	movq	%r12, STUB_TAIL(%rbp)
	cmpq	%r12, STUB_HEAD(%rbx)
	jne	.Lrun

	/* Run dry: say so, once for the batch. */
	movl	$__NR_write, %eax
	movl	%r14d, %edi
	leaq	.Lone(%rip), %rsi
	movl	$8, %edx
	syscall
	jmp	.Lidle

.Lexit:
	movl	$__NR_exit, %eax
	xorl	%edi, %edi
	syscall
	ud2

	.balign 8
.Lone:
	.quad	1
stub_code_secret:
.Lsecret:
	.quad	0
stub_code_end:

	.section .note.GNU-stack, "", @progbits
