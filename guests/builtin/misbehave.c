/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest can do wrong, for those who want to see what becomes of it. Panic goes through the
 * ISA pvpanic device (QEMU's docs/specs/pvpanic), a hang through the i6300esb watchdog (Intel's
 * 6300ESB datasheet, chapter 16, as Linux' i6300esb.c drives it).
 */
#include "guests/builtin/misbehave.h"

#include <stdint.h>

#include "guests/builtin/io.h"
#include "guests/builtin/pci.h"
#include "guests/builtin/print.h"

#define PVPANIC_PORT     0x505
#define PVPANIC_PANICKED 0x01
#define RESET_PORT       0xcf9
#define RESET_HARD       0x06
#define KEYBOARD_PORT    0x64
#define KEYBOARD_RESET   0xfe
#define WATCHDOG_ID      0x25ab8086u
#define WATCHDOG_LOCK    0x68 /* in configuration space */
#define WATCHDOG_ENABLE  0x02u
#define WATCHDOG_TIMER1  0x00 /* in its memory */
#define WATCHDOG_TIMER2  0x04
#define WATCHDOG_RELOAD  0x0c
#define WATCHDOG_TICKS   0x200u /* of 1 ms or less: half a second for each of its two stages */

void cvd_guest_panic(void)
{
    cvd_guest_print("panic");
    io_out8(PVPANIC_PORT, PVPANIC_PANICKED);
    io_stop();
}

static void watchdog_unlock(uintptr_t registers)
{
    io_write32(registers + WATCHDOG_RELOAD, 0x80);
    io_write32(registers + WATCHDOG_RELOAD, 0x86);
}

static void start_watchdog(void)
{
    CvdGuestPciAddress function;

    if (!cvd_guest_pci_find(WATCHDOG_ID, &function))
        return;
    uintptr_t registers = (uintptr_t)cvd_guest_pci_bar(function, 0).address;
    if (!registers)
        return;
    cvd_guest_pci_command(function, PCI_COMMAND_MEMORY);
    watchdog_unlock(registers);
    io_write32(registers + WATCHDOG_TIMER1, WATCHDOG_TICKS);
    watchdog_unlock(registers);
    io_write32(registers + WATCHDOG_TIMER2, WATCHDOG_TICKS);
    cvd_guest_pci_write8(function, WATCHDOG_LOCK, WATCHDOG_ENABLE);
}

void cvd_guest_hang(void)
{
    cvd_guest_print("hang");
    start_watchdog();
    io_stop();
}

void cvd_guest_reboot(void)
{
    cvd_guest_print("reboot");
    io_out8(RESET_PORT, RESET_HARD);
    io_out8(KEYBOARD_PORT, KEYBOARD_RESET);
    io_stop();
}
