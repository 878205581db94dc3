/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines on COM1, polled. A machine without the port reads all ones there; one whose reader is stuck
 * never says that it has room: neither may stop the guest, so the wait has an end, and after that
 * bytes are dropped without another one until there is room again.
 */
#include "guests/builtin/print.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guests/builtin/io.h"

#define COM1          0x3f8
#define DATA          (COM1 + 0)
#define INTERRUPTS    (COM1 + 1)
#define FIFO_CONTROL  (COM1 + 2)
#define LINE_CONTROL  (COM1 + 3)
#define MODEM_CONTROL (COM1 + 4)
#define LINE_STATUS   (COM1 + 5)
#define SCRATCH       (COM1 + 7)
#define HAS_INPUT     0x01
#define HAS_ROOM      0x20
#define FIFO_SIZE     16
#define MAX_WAIT      3000000 /* about a second */

static bool present;
static bool stuck;
static unsigned room; /* bytes that the FIFO takes without another look */

void cvd_guest_print_open(void)
{
    io_out8(SCRATCH, 0x5a);
    present = io_in8(SCRATCH) == 0x5a;
    room = 0;
    if (!present)
        return;
    io_out8(INTERRUPTS, 0);
    io_out8(LINE_CONTROL, 0x80); /* divisor 1: 115200 baud */
    io_out8(DATA, 1);
    io_out8(INTERRUPTS, 0);
    io_out8(LINE_CONTROL, 0x03);  /* 8 bits, no parity, one stop bit */
    io_out8(FIFO_CONTROL, 0x07);  /* on, emptied */
    io_out8(MODEM_CONTROL, 0x0b); /* its third bit lets interrupts through */
    io_out8(INTERRUPTS, 0x01);
}

static void wait_for_room(void)
{
    for (unsigned n = 0; n < (stuck ? 1 : MAX_WAIT); n++) {
        if (io_in8(LINE_STATUS) & HAS_ROOM) {
            room = FIFO_SIZE;
            stuck = false;
            return;
        }
        __asm__ volatile("pause");
    }
    stuck = true;
}

static void put(char c)
{
    if (!room)
        wait_for_room();
    if (!room)
        return;
    room--;
    io_out8(DATA, (uint8_t)c);
}

static void put_string(const char *text)
{
    for (; *text; text++)
        put(*text);
}

static void put_number(uint64_t value, unsigned base, unsigned width, char fill)
{
    char digits[20];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > n; width--)
        put(fill);
    while (n)
        put(digits[--n]);
}

/* Writes the conversion that starts after a '%'. Returns: its last character */
static const char *put_conversion(const char *f, va_list *args)
{
    unsigned width = 0;
    char fill = ' ';
    bool is_long = false;

    if (*f == '0')
        fill = '0';
    for (; *f >= '0' && *f <= '9'; f++)
        width = 10 * width + (unsigned)(*f - '0');
    if (*f == 'l') {
        is_long = true;
        f++;
    }
    if (*f == 's')
        put_string(va_arg(*args, const char *));
    else
        put_number(is_long ? va_arg(*args, unsigned long) : va_arg(*args, unsigned),
                   *f == 'x' ? 16 : 10, width, fill);
    return f;
}

void cvd_guest_vprint(const char *format, va_list given)
{
    va_list args; /* a parameter that is an array has no address of the right type */

    if (!present)
        return;
    va_copy(args, given);
    put_string("cvd-guest: ");
    for (const char *f = format; *f; f++) {
        if (*f == '%')
            f = put_conversion(f + 1, &args);
        else
            put(*f);
    }
    put_string("\r\n");
    va_end(args);
}

void cvd_guest_print(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cvd_guest_vprint(format, args);
    va_end(args);
}

int cvd_guest_print_read(void)
{
    if (!present || !(io_in8(LINE_STATUS) & HAS_INPUT))
        return -1;
    return io_in8(DATA);
}
