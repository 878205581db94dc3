/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines that somebody types on the serial console; a control character is a line by itself, ctrl-c
 * `^C`, in place of what was typed before it. The interrupt collects them; the main loop takes
 * them. What is typed while a line waits is dropped, so that a flood costs nothing.
 */
#include "guests/builtin/console.h"

#include <stdbool.h>
#include <stdint.h>

#include "guests/builtin/print.h"

static char line[CVD_GUEST_MAX_LINE + 1];
static unsigned length;
static bool is_whole; /* written by the interrupt, cleared by the main loop */
static char taken[CVD_GUEST_MAX_LINE + 1];

bool cvd_guest_console_waits(void)
{
    return __atomic_load_n(&is_whole, __ATOMIC_SEQ_CST);
}

static void end_line(void)
{
    line[length] = '\0';
    __atomic_store_n(&is_whole, length > 0, __ATOMIC_SEQ_CST);
}

static void add(char c)
{
    if (c == '\r' || c == '\n') {
        end_line();
    } else if (c == '\b' || c == 0x7f) {
        length -= length > 0;
    } else if (c >= 0 && c < ' ') {
        length = 0;
        line[length++] = '^';
        line[length++] = (char)(c + '@');
        end_line();
    } else if (c >= ' ' && length < CVD_GUEST_MAX_LINE) {
        line[length++] = c;
    }
}

void cvd_guest_console_interrupt(void)
{
    for (int c = cvd_guest_print_read(); c >= 0; c = cvd_guest_print_read())
        if (!cvd_guest_console_waits())
            add((char)c);
}

const char *cvd_guest_console_take(void)
{
    if (!cvd_guest_console_waits())
        return 0;
    for (unsigned i = 0; i <= length; i++)
        taken[i] = line[i];
    length = 0;
    __atomic_store_n(&is_whole, false, __ATOMIC_SEQ_CST);
    return taken;
}
