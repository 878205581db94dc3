/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of the boot processor. Those of regions only leave a bit behind, which the main loop
 * takes; an exception is told on the serial port and ends the guest. The machine's
 * own are level-triggered, so their sources are silenced before the end of interrupt.
 */
#include "guests/builtin/interrupts.h"

#include "guests/builtin/acpi.h"
#include "guests/builtin/console.h"
#include "guests/builtin/io.h"
#include "guests/builtin/print.h"

#define EXCEPTIONS      32
#define APIC_BASE_MSR   0x1b
#define APIC_ENABLE     0x800u
#define APIC_X2         0x400u
#define APIC            0xfee00000u
#define APIC_ID         (APIC + 0x20)
#define APIC_PRIORITY   (APIC + 0x80)
#define APIC_EOI        (APIC + 0xb0)
#define APIC_SPURIOUS   (APIC + 0xf0)
#define APIC_TIMER      (APIC + 0x320)
#define APIC_TIMER_LOAD (APIC + 0x380)
#define APIC_TIMER_LEFT (APIC + 0x390)
#define APIC_TIMER_RATE (APIC + 0x3e0)
#define APIC_LINT0      (APIC + 0x350)
#define APIC_LINT1      (APIC + 0x360)
#define APIC_MASKED     0x10000u
#define APIC_BY_16      0x3u
#define TICKS_PER_MS    62500u /* of QEMU's APIC, which counts nanoseconds, 16 at a time */
#define IOAPIC_SELECT   0xfec00000u
#define IOAPIC_DATA     0xfec00010u
#define IOAPIC_PIN(pin) (0x10 + 2 * (pin))
#define IOAPIC_LEVEL    0x8000u
#define GATE            0x00008e0000080000ull /* present interrupt gate, code segment 0x08 */
#define STUB_SIZE       16

extern const uint8_t cvd_guest_stubs[];

static uint64_t idt[256][2];
static uint64_t raised[4]; /* a bit a group */

void cvd_guest_interrupts_open(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } pointer = {sizeof idt - 1, (uintptr_t)idt};

    for (unsigned v = 0; v < 256; v++) {
        uint64_t entry = (uintptr_t)cvd_guest_stubs + STUB_SIZE * v;

        idt[v][0] = GATE | (entry & 0xffff) | (entry & 0xffff0000) << 32;
        idt[v][1] = entry >> 32;
    }
    __asm__ volatile("lidt %0" : : "m"(pointer));

    io_out8(0x21, 0xff); /* both PICs: all masked */
    io_out8(0xa1, 0xff);
    io_write_msr(APIC_BASE_MSR, (io_read_msr(APIC_BASE_MSR) & ~(uint64_t)APIC_X2) | APIC_ENABLE);
    io_write32(APIC_TIMER, APIC_MASKED);
    io_write32(APIC_LINT0, APIC_MASKED);
    io_write32(APIC_LINT1, APIC_MASKED);
    io_write32(APIC_PRIORITY, 0);
    io_write32(APIC_SPURIOUS, 0x100 | CVD_GUEST_VECTOR_SPURIOUS);
}

void cvd_guest_interrupts_route(unsigned pin, uint8_t vector)
{
    io_write32(IOAPIC_SELECT, IOAPIC_PIN(pin) + 1);
    io_write32(IOAPIC_DATA, io_read32(APIC_ID) & 0xff000000u);
    io_write32(IOAPIC_SELECT, IOAPIC_PIN(pin));
    io_write32(IOAPIC_DATA, IOAPIC_LEVEL | vector);
}

uint32_t cvd_guest_interrupts_message(void)
{
    return APIC | (io_read32(APIC_ID) >> 24) << 12;
}

void cvd_guest_interrupt(const struct cvd_guest_frame *frame)
{
    unsigned vector = (unsigned)frame->vector;

    if (vector < EXCEPTIONS) {
        cvd_guest_print("exception %u error 0x%lx at rip 0x%016lx", vector, frame->error,
                        frame->rip);
        io_stop();
    }
    if (vector == CVD_GUEST_VECTOR_SPURIOUS)
        return;
    if (vector == CVD_GUEST_VECTOR_MACHINE) {
        cvd_guest_acpi_interrupt();
        cvd_guest_console_interrupt();
    } else {
        unsigned group = vector - CVD_GUEST_VECTOR_REGION;

        __atomic_fetch_or(&raised[group / 64], 1ull << group % 64, __ATOMIC_SEQ_CST);
    }
    io_write32(APIC_EOI, 0);
}

bool cvd_guest_interrupts_take(unsigned group)
{
    uint64_t bit = 1ull << group % 64;

    if (!(__atomic_load_n(&raised[group / 64], __ATOMIC_SEQ_CST) & bit))
        return false;
    __atomic_fetch_and(&raised[group / 64], ~bit, __ATOMIC_SEQ_CST);
    return true;
}

void cvd_guest_interrupts_start_timer(unsigned ms)
{
    io_write32(APIC_TIMER_RATE, APIC_BY_16);
    io_write32(APIC_TIMER, CVD_GUEST_VECTOR_MACHINE);
    io_write32(APIC_TIMER_LOAD, ms * TICKS_PER_MS);
}

bool cvd_guest_interrupts_timer_runs(void)
{
    return io_read32(APIC_TIMER_LEFT) != 0;
}

bool cvd_guest_interrupts_any(void)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < 4; i++)
        any |= __atomic_load_n(&raised[i], __ATOMIC_SEQ_CST);
    return any != 0;
}
