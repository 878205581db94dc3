/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* Ports, device memory and the processor: single instructions that C cannot say. */

static inline void io_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void io_out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void io_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t io_in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint16_t io_in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint32_t io_in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void io_write32(uintptr_t address, uint32_t value)
{
    __asm__ volatile("movl %1, %0" : "=m"(*(volatile uint32_t *)address) : "r"(value) : "memory");
}

static inline uint32_t io_read32(uintptr_t address)
{
    uint32_t value;
    __asm__ volatile("movl %1, %0" : "=r"(value) : "m"(*(volatile uint32_t *)address) : "memory");
    return value;
}

/* Returns: EAX of a leaf, 0 for one that there is not */
static inline uint32_t io_cpuid_eax(uint32_t leaf)
{
    uint32_t a = leaf & 0x80000000u, b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    if (a < leaf)
        return 0;
    a = leaf;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    return a;
}

static inline uint64_t io_read_msr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void io_write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static inline void io_interrupts_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}

static inline void io_interrupts_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}

/* Interrupts stay off for one instruction after `sti`, so none can come between it and `hlt`. */
static inline void io_interrupts_on_and_sleep(void)
{
    __asm__ volatile("sti; hlt" : : : "memory");
}

static inline void __attribute__((noreturn)) io_stop(void)
{
    for (;;)
        __asm__ volatile("cli; hlt" : : : "memory");
}
