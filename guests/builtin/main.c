/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in guest: the smallest thing that can stand at the other end of the window. It finds
 * the ivshmem device, checks the layout, tells what it found on the serial port, and answers every
 * region: signals as section 5 of the protocols' specification has them, and a bare interrupt, one
 * that finds neither word nor table set, with one ring of the region's doorbell (a plain echo).
 *
 *   cvd-guest: window 1048576 bytes, layout 2.0, 4 regions
 *   cvd-guest: region 0 hwcomposer 0x00001000-0x00005000 data 0x28
 *   cvd-guest: ready
 *
 * A region whose answers have no room, as nobody on the host takes them, is looked at again when a
 * timer has run, see signals.c.
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
 * region and the descriptors; on the command line `scribble=NAME`); `poweroff` is no misbehaviour.
 */
#include <stdbool.h>
#include <stdint.h>

#include "guests/builtin/acpi.h"
#include "guests/builtin/console.h"
#include "guests/builtin/device.h"
#include "guests/builtin/interrupts.h"
#include "guests/builtin/io.h"
#include "guests/builtin/misbehave.h"
#include "guests/builtin/print.h"
#include "guests/builtin/signals.h"
#include "guests/builtin/window.h"

#define START_INFO_MAGIC 0x336ec578u
#define MAX_COMMAND_LINE 4096
#define MAX_DROP_LINES   16
#define SERIAL_PIN       4

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
static struct cvd_guest_window window;
static uint64_t again[CVD_GUEST_MAX_REGIONS / 64];   /* regions to look at once more, a bit each */
static uint64_t stalled[CVD_GUEST_MAX_REGIONS / 64]; /* regions whose answers have no room */
static bool any_stalled;
static uint64_t drops;
static bool is_open; /* the window was found to be in order */
static bool scribbles;
static int spared_region;

static void ring(uint32_t region)
{
    cvd_guest_device_ring(&device, region);
}

static void drop(uint32_t region, enum cvd_guest_drop why, uint32_t offset)
{
    const char *text = why == CVD_GUEST_DROP_FULL ? "table full, not sent" : "bad offset";

    if (drops++ < MAX_DROP_LINES)
        cvd_guest_print("region %u: %s 0x%08x", region, text, offset);
    if (drops == MAX_DROP_LINES)
        cvd_guest_print("no more lines about dropped signals");
}

static void stall(uint32_t region)
{
    stalled[region / 64] |= 1ull << region % 64;
    if (!any_stalled)
        cvd_guest_interrupts_start_timer(CVD_GUEST_STALL_MS);
    any_stalled = true;
}

static const struct cvd_guest_hooks hooks = {ring, drop, stall};

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
    scribbles = true;
    spared_region = -1;
    for (uint32_t i = 0; i < window.layout.region_count; i++) {
        const char *name = window.regions[i].device_name;
        unsigned n = 0;

        while (name[n])
            n++;
        if (n && starts_with(spared, name) && ends_word(spared[n]))
            spared_region = (int)i;
    }
    cvd_guest_print("scribble");
}

/* @line: what was typed, or the kernel's command line */
static void obey(const char *line)
{
    const char *spared = find_word(line, "scribble");

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

static void serve(uint32_t region, bool echo)
{
    bool any = cvd_guest_signals_receive(&window, region, &hooks);

    if (!any && echo)
        ring(region);
    /* Later, so that a host that never stops signalling one region does not starve the others. */
    if (cvd_guest_signals_waiting(&window, region))
        again[region / 64] |= 1ull << region % 64;
}

static void serve_raised(void)
{
    for (uint32_t group = 0; group < CVD_GUEST_REGION_VECTORS; group++) {
        if (!cvd_guest_interrupts_take(group))
            continue;
        for (uint32_t i = group; i < window.layout.region_count; i += CVD_GUEST_REGION_VECTORS)
            serve(i, true);
    }
}

static bool stall_is_over(void)
{
    return any_stalled && !cvd_guest_interrupts_timer_runs();
}

static void end_stall(void)
{
    if (!stall_is_over())
        return;
    any_stalled = false;
    for (uint32_t i = 0; i < CVD_GUEST_MAX_REGIONS / 64; i++) {
        again[i] |= stalled[i];
        stalled[i] = 0;
    }
}

static void serve_again(void)
{
    for (uint32_t i = 0; i < CVD_GUEST_MAX_REGIONS / 64; i++) {
        uint64_t bits = again[i];

        again[i] = 0;
        for (; bits; bits &= bits - 1)
            serve(64 * i + (uint32_t)__builtin_ctzll(bits), false);
    }
}

static bool has_work(void)
{
    uint64_t any = 0;

    for (uint32_t i = 0; i < CVD_GUEST_MAX_REGIONS / 64; i++)
        any |= again[i];
    return any || scribbles || cvd_guest_console_waits() || cvd_guest_interrupts_any() ||
           cvd_guest_acpi_button() || stall_is_over();
}

static void __attribute__((noreturn)) run(void)
{
    while (!cvd_guest_acpi_button()) {
        const char *typed = cvd_guest_console_take();

        if (typed)
            obey(typed);
        if (scribbles)
            cvd_guest_scribble(&device, &window, spared_region);
        serve_raised();
        end_stall();
        serve_again();
        io_interrupts_off();
        if (has_work())
            io_interrupts_on();
        else
            io_interrupts_on_and_sleep();
    }
    if (drops)
        cvd_guest_print("%lu signals dropped", drops);
    cvd_guest_print("power button, powering off");
    cvd_guest_acpi_power_off();
}

static bool open_window(void)
{
    struct cvd_guest_fault fault;
    const struct vsoc_shm_layout_descriptor *l = &window.layout;

    if (cvd_guest_window_open(&window, device.window, device.window_bytes, device.vectors,
                              &fault)) {
        if (fault.region < 0)
            cvd_guest_print("bad layout: %s (found 0x%x)", fault.rule, fault.value);
        else
            cvd_guest_print("bad layout: region %u: %s (found 0x%x)", (unsigned)fault.region,
                            fault.rule, fault.value);
        return false;
    }
    cvd_guest_print("window %u bytes, layout %u.%u, %u regions", l->size, l->major_version,
                    l->minor_version, l->region_count);
    for (uint32_t i = 0; i < l->region_count; i++) {
        const struct vsoc_device_region *r = &window.regions[i];

        cvd_guest_print("region %u %s 0x%08x-0x%08x data 0x%x", i, r->device_name,
                        r->region_begin_offset, r->region_end_offset, r->offset_of_region_data);
    }
    return true;
}

/* What the host did before MSI-X was enabled rang nobody, so every region gets a look. */
static void open_regions(void)
{
    cvd_guest_device_enable_msix(&device, window.layout.region_count);
    for (uint32_t i = 0; i < window.layout.region_count; i++)
        cvd_guest_signals_open(&window, i, &hooks);
    is_open = true;
    cvd_guest_print("ready");
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
    else if (open_window())
        open_regions();
    if (line)
        obey(line);
    run();
}
