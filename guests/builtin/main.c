/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in guest: the smallest thing that can stand at the other end of the window. It finds
 * the ivshmem device, checks the layout, tells what it found on the serial port, and answers every
 * region as vsoc/serve.h has it: signals, and a bare interrupt with one ring (a plain echo).
 *
 *   cvd-guest: window 1048576 bytes, layout 2.0, 4 regions
 *   cvd-guest: region 0 hwcomposer 0x00001000-0x00005000 data 0x28
 *   cvd-guest: ready
 *
 * The last is also said to the host, by the word of vsoc/ready.h.
 *
 * A region whose answers have no room, as nobody on the host takes them, is looked at again when a
 * timer has run, see vsoc/serve.c.
 *
 * Interrupts only leave bits behind. The loop takes them, serves, looks at the words again and
 * sleeps in `hlt`, with interrupts off between the last look and the sleep so that none is lost.
 *
 * A processor has 256 vectors and the device up to 2048 entries: entry i raises region vector
 * i % 222. Up to 222 regions each has its own, and a plain echo is exact. With more, an interrupt
 * tells only which of up to ten regions it may be for (nothing in the device or the APIC tells
 * them apart without polling): signals are served as ever, but a plain echo rings the doorbell of
 * every region of that vector that has nothing signalled. So no ping goes unanswered, and a ring
 * too many is, as everywhere in this protocol, a hint to look again and no more.
 *
 * Where it cannot serve it says so in a line that begins with `bad device` or `bad layout`, and
 * waits for the power button; with `bad processor` (boot.S) it stops.
 *
 * The word `no-bus-master` on the kernel command line leaves the device's bus-master bit as it is.
 * What is typed on the console, or stands on the command line, makes it misbehave: `panic`, `hang`,
 * `reboot`, `scribble` (over the whole window, for ever), `scribble NAME` (over all of it but that
 * region and the descriptors; on the command line `scribble=NAME`); `poweroff` is no misbehaviour,
 * and what it says to ctrl-c is `^C`.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "guests/builtin/acpi.h"
#include "guests/builtin/console.h"
#include "guests/builtin/device.h"
#include "guests/builtin/interrupts.h"
#include "guests/builtin/io.h"
#include "guests/builtin/misbehave.h"
#include "guests/builtin/print.h"
#include "guests/scribble.h"
#include "vsoc/ready.h"
#include "vsoc/serve.h"

#define START_INFO_MAGIC 0x336ec578u
#define MAX_COMMAND_LINE 4096
#define SERIAL_PIN       4
#define WORDS_A_TURN     256 /* of scribbling */

/** What the loader leaves for a PVH guest. */
struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t modules;
    uint64_t module_list;
    uint64_t command_line;
    uint64_t rsdp;
};

void cvd_guest_main(const struct start_info *info);

static struct cvd_guest_device device;
static struct vsoc_service service;
static bool is_open; /* the window was found to be in order */
static bool scribbles;
static CvdScribbler scribbler;

static void ring(void *data, uint32_t region)
{
    cvd_guest_device_ring(&device, region);
}

static void start_timer(void *data)
{
    cvd_guest_interrupts_start_timer(VSOC_RETRY_MS);
}

static void __attribute__((format(printf, 2, 3))) say(void *data, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cvd_guest_vprint(format, args);
    va_end(args);
}

static const struct vsoc_service_hooks hooks = {ring, start_timer, say, say};

static bool starts_with(const char *text, const char *start)
{
    while (*start && *text == *start)
        text++, start++;
    return !*start;
}

static bool ends_word(char c)
{
    return !c || c == ' ';
}

/* Returns: what follows @word where it begins a word of @line; NULL if it does not */
static const char *find_word(const char *line, const char *word)
{
    unsigned n = 0;

    while (word[n])
        n++;
    for (unsigned i = 0; i < MAX_COMMAND_LINE && line[i]; i++)
        if ((i == 0 || line[i - 1] == ' ') && starts_with(line + i, word))
            return line + i + n;
    return 0;
}

static bool has_word(const char *line, const char *word)
{
    const char *rest = find_word(line, word);

    return rest && ends_word(*rest);
}

static void start_scribbling(const char *spared)
{
    char name[VSOC_DEVICE_NAME_SIZE] = {0};

    for (unsigned n = 0; n < VSOC_MAX_DEVICE_NAME && !ends_word(spared[n]); n++)
        name[n] = spared[n];
    scribbles = true;
    cvd_scribbler_init(&scribbler, &service.window, 0);
    scribbler.spared = vsoc_window_find(&service.window, name);
    cvd_guest_print("scribble");
}

/* @line: what was typed, or the kernel's command line */
static void obey(const char *line)
{
    const char *spared = find_word(line, "scribble");

    if (line[0] == '^')
        cvd_guest_print("%s", line);
    if (has_word(line, "panic"))
        cvd_guest_panic();
    if (has_word(line, "hang"))
        cvd_guest_hang();
    if (has_word(line, "reboot"))
        cvd_guest_reboot();
    if (has_word(line, "poweroff"))
        cvd_guest_acpi_power_off();
    if (spared && is_open)
        start_scribbling(*spared ? spared + 1 : spared);
}

static void serve_raised(void)
{
    for (uint32_t group = 0; group < CVD_GUEST_REGION_VECTORS; group++) {
        if (!cvd_guest_interrupts_take(group))
            continue;
        for (uint32_t i = group; i < service.window.layout.region_count;
             i += CVD_GUEST_REGION_VECTORS)
            vsoc_service_serve(&service, i, true);
    }
}

static bool stall_is_over(void)
{
    return service.stalled.any && !cvd_guest_interrupts_timer_runs();
}

static bool has_work(void)
{
    return vsoc_service_begin_round(&service) || scribbles || cvd_guest_console_waits() ||
           cvd_guest_interrupts_any() || cvd_guest_acpi_button() || stall_is_over();
}

static void scribble(void)
{
    int rung = cvd_scribbler_choose_region(&scribbler);

    cvd_scribbler_write(&scribbler, WORDS_A_TURN);
    if (rung >= 0)
        ring(0, (uint32_t)rung);
}

static void __attribute__((noreturn)) run(void)
{
    while (!cvd_guest_acpi_button()) {
        const char *typed = cvd_guest_console_take();

        if (typed)
            obey(typed);
        if (scribbles)
            scribble();
        serve_raised();
        if (stall_is_over())
            vsoc_service_retry(&service);
        vsoc_service_end_round(&service);
        io_interrupts_off();
        if (has_work())
            io_interrupts_on();
        else
            io_interrupts_on_and_sleep();
    }
    if (service.n_dropped)
        cvd_guest_print("%u signals dropped", service.n_dropped);
    cvd_guest_print("power button, powering off");
    cvd_guest_acpi_power_off();
}

/* The host may do anything before MSI-X is enabled, so every region gets a look after that. */
static void open_regions(void)
{
    cvd_guest_device_enable_msix(&device, service.window.layout.region_count);
    vsoc_service_look_at_all(&service);
    is_open = true;
    cvd_guest_print("ready");
    if (vsoc_window_set_ready(&service.window) == 0)
        cvd_guest_device_ring_ready(&device);
}

void cvd_guest_main(const struct start_info *info)
{
    bool is_info = info && info->magic == START_INFO_MAGIC;
    const char *line = is_info ? (const char *)(uintptr_t)info->command_line : 0;
    const char *problem;
    unsigned pin;

    cvd_guest_print_open();
    cvd_guest_interrupts_open();
    pin = cvd_guest_acpi_open(is_info ? info->rsdp : 0);
    if (pin)
        cvd_guest_interrupts_route(pin, CVD_GUEST_VECTOR_MACHINE);
    cvd_guest_interrupts_route(SERIAL_PIN, CVD_GUEST_VECTOR_MACHINE);
    problem = cvd_guest_device_open(&device, !line || !has_word(line, "no-bus-master"));
    if (problem)
        cvd_guest_print("bad device: %s", problem);
    else if (!vsoc_service_open(&service, device.window, device.window_bytes, device.vectors,
                                &hooks, 0))
        open_regions();
    if (line)
        obey(line);
    run();
}
