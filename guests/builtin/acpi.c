/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much ACPI as the power button needs: root pointer -> RSDT -> FADT, which tells the ports of
 * the PM1a block and the interrupt. S5's sleep type is 0 on both of QEMU's PC machines (their `_S5`
 * says so, in AML, which this guest does not read).
 */
#include "guests/builtin/acpi.h"

#include <stddef.h>

#include "guests/builtin/io.h"

#define RSDP_FIRST       0xe0000u
#define RSDP_LAST        0xffff0u
#define RSDP_RSDT        16
#define TABLE_LENGTH     4
#define TABLE_HEADER     36
#define MAX_TABLES       64
#define FADT_SCI         46
#define FADT_SMI_COMMAND 48
#define FADT_ENABLE      52
#define FADT_PM1A_EVENT  56
#define FADT_PM1A_CTRL   64
#define FADT_EVENT_SIZE  88
#define FADT_MIN_LENGTH  92
#define MAX_PIN          23
#define POWER_BUTTON     0x0100u /* in PM1 status and enable */
#define SCI_ENABLED      0x0001u /* in PM1 control */
#define SLEEP_S5         0x2000u /* sleep type 0, SLP_EN */
#define MAX_WAIT         1000000

static uint16_t status_port, enable_port, control_port;
static bool pressed;

/* Tables need not be aligned, and identity-mapped memory is all that can be read. */
static uint32_t get32(uint32_t table, unsigned offset)
{
    const volatile uint8_t *at = (const volatile uint8_t *)(uintptr_t)table + offset;

    return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool is_rsdp(uint32_t at)
{
    uint8_t sum = 0;

    if (get32(at, 0) != 0x20445352u || get32(at, 4) != 0x20525450u) /* "RSD PTR " */
        return false;
    for (unsigned i = 0; i < 20; i++)
        sum = (uint8_t)(sum + get32(at, i));
    return sum == 0;
}

static uint32_t find_rsdp(uint64_t hint)
{
    if (hint && hint < 0xfffff000u && is_rsdp((uint32_t)hint))
        return (uint32_t)hint;
    for (uint32_t at = RSDP_FIRST; at <= RSDP_LAST; at += 16)
        if (is_rsdp(at))
            return at;
    return 0;
}

static uint32_t find_fadt(uint32_t rsdp)
{
    uint32_t rsdt = rsdp ? get32(rsdp, RSDP_RSDT) : 0;
    uint32_t n;

    if (!rsdt || get32(rsdt, TABLE_LENGTH) < TABLE_HEADER)
        return 0;
    n = (get32(rsdt, TABLE_LENGTH) - TABLE_HEADER) / 4;
    for (uint32_t i = 0; i < n && i < MAX_TABLES; i++) {
        uint32_t table = get32(rsdt, TABLE_HEADER + 4 * i);

        if (table && get32(table, 0) == 0x50434146u) /* "FACP" */
            return get32(table, TABLE_LENGTH) >= FADT_MIN_LENGTH ? table : 0;
    }
    return 0;
}

/* The firmware may have left the machine in legacy mode, where the button raises no interrupt. */
static void leave_legacy_mode(uint32_t fadt)
{
    uint16_t smi_port = (uint16_t)get32(fadt, FADT_SMI_COMMAND);

    if (!smi_port || io_in16(control_port) & SCI_ENABLED)
        return;
    io_out8(smi_port, (uint8_t)get32(fadt, FADT_ENABLE));
    for (unsigned n = 0; n < MAX_WAIT && !(io_in16(control_port) & SCI_ENABLED); n++)
        continue;
}

unsigned cvd_guest_acpi_open(uint64_t rsdp)
{
    uint32_t fadt = find_fadt(find_rsdp(rsdp));
    unsigned pin;

    if (!fadt)
        return 0;
    pin = get32(fadt, FADT_SCI) & 0xffff;
    status_port = (uint16_t)get32(fadt, FADT_PM1A_EVENT);
    enable_port = (uint16_t)(status_port + (get32(fadt, FADT_EVENT_SIZE) & 0xff) / 2);
    control_port = (uint16_t)get32(fadt, FADT_PM1A_CTRL);
    if (!status_port || !control_port || pin > MAX_PIN)
        return 0;
    leave_legacy_mode(fadt);
    io_out16(status_port, POWER_BUTTON);
    io_out16(enable_port, POWER_BUTTON);
    return pin;
}

void cvd_guest_acpi_interrupt(void)
{
    uint16_t status;

    if (!status_port)
        return;
    status = io_in16(status_port);
    io_out16(status_port, status); /* writing a bit clears it */
    if (status & POWER_BUTTON)
        __atomic_store_n(&pressed, true, __ATOMIC_SEQ_CST);
}

bool cvd_guest_acpi_button(void)
{
    return __atomic_load_n(&pressed, __ATOMIC_SEQ_CST);
}

void cvd_guest_acpi_power_off(void)
{
    io_out16(control_port, SLEEP_S5);
    io_stop();
}
