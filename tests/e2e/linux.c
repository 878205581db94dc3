/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with an operating system: Debian's kernel, and the agent that reaches the device through
 * VFIO. Every region, signals in both directions, much memory, more regions than a kernel has
 * interrupts, and a guest that turns against everybody.
 */
#include "tests/support/linux.h"
#include "tests/support/launcher.h"

#include <stdio.h>
#include <string.h>

#define MANY         200 /* regions: more than one processor has interrupts for */
#define ROUND_TRIPS  "20000"
#define LARGE_REGION (256u * 1024 * 1024)
#define LONGEST_LINE 1023
#define MIGRATABLE   "ivshmem.migratable=true"
#define MOST_JOBS    16
#define LEAVE_BUS_MASTER                                                                           \
    "qemu.append=console=ttyS0 quiet no_timer_check intel_iommu=on -- --leave-bus-master"

/* What the kernel has counted shows that each region has an interrupt of its own. @data:
 * (nullable): a value for `--set` */
static void test_regions(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(data, NULL);
    g_autoptr(GPtrArray) names = test_list_regions(vm->client_socket);

    g_assert_cmpuint(names->len, ==, 5);
    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *line = g_strdup_printf("cvd-agent: region %u %s 0x", i, name);
        g_autofree char *silent =
            g_strdup_printf("grep -qE ': +0 .*vfio-msix.%u.' /proc/interrupts", i);
        g_autofree char *counted =
            g_strdup_printf("grep -qE ': +[1-9][0-9]* .*vfio-msix.%u.' /proc/interrupts", i);

        test_linux_wait(vm, line, 1);
        test_linux_shell(vm, silent);
        test_linux_ping(vm, name);
        test_linux_shell(vm, counted);
    }
    test_linux_stop(vm);
}

static void test_round_trips(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(NULL, NULL);
    g_autoptr(GPtrArray) names = test_list_regions(vm->client_socket);

    g_assert_cmpuint(names->len, ==, 5);
    for (guint i = 0; i < names->len; i++) {
        const char *argv[] = {
            g_getenv("CVD_CLIENT"),      "-n", TEST_LINUX_NAME, "ping", "-c", ROUND_TRIPS,
            g_ptr_array_index(names, i), NULL};
        g_autoptr(TestProcess) client = test_process_start(vm->sandbox, argv, NULL, NULL);
        if (test_process_wait_exit(client) != 0 ||
            strstr(client->out->str,
                   ROUND_TRIPS " sent, " ROUND_TRIPS " answered, 0 wrong, 0% lost") == NULL)
            test_process_fail(client, "not every ping was answered");
        g_test_message("%s", client->out->str);
    }
    test_linux_stop(vm);
}

/* Unasked, and while the guest does not look. */
static void test_signals(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(NULL, NULL);
    g_autoptr(TestRegion) region = test_linux_attach(vm, "sensors");
    guint32 offset = region->data_offset;

    test_linux_command(vm, "ring sensors", "cvd-agent: rang sensors");
    test_region_wait_ring(region);
    test_linux_command(vm, "signal sensors 0x100", "cvd-agent: signalled sensors 0x100");
    test_region_wait_signal(region, 0x100);

    test_linux_command(vm, "hold", "cvd-agent: holding");
    *test_region_word(region, offset) = 7;
    *test_region_word(region, offset + 4) = 0;
    test_region_signal(region, offset);
    /* The line comes after the ring, so the ring has been taken by now, and nothing was said. */
    test_linux_shell(vm, "true");
    g_assert_false(test_region_is_rung(region));
    g_assert_cmpuint(*test_region_word(region, offset + 4), ==, 0);
    test_linux_command(vm, "resume", "cvd-agent: resumed");
    test_region_wait_signal(region, offset + 4);
    g_assert_cmpuint(*test_region_word(region, offset + 4), ==, 8);

    test_region_wait_room(region, vm->client_socket, "misc");

    test_linux_command(vm, "signal nosuch 4", "no region is called 'nosuch'");
    test_linux_command(vm, "signal sensors x", "'x' is no number");
    test_linux_command(vm, "signal sensors", "usage: signal REGION OFFSET");
    test_linux_command(vm, "signal sensors 4 4", "usage: signal REGION OFFSET");
    test_linux_command(vm, "nosuch", "no command is called 'nosuch'");
    test_linux_stop(vm);
}

/* What can be typed has its limits. */
static void test_bounds(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(NULL, NULL);
    g_autofree char *padding = g_strnfill(LONGEST_LINE - strlen("sh true"), ' ');
    g_autofree char *longest = g_strconcat("sh true", padding, NULL);
    g_autofree char *too_long = g_strconcat(longest, " ", NULL);

    test_linux_command(vm, longest, "cvd-agent: sh: exit status 0");
    test_linux_command(vm, too_long, "cvd-agent: a line of more than 1023 characters was ignored");
    for (guint i = 0; i < MOST_JOBS; i++)
        test_linux_command(vm, "sh sleep 1000", "cvd-agent: sh: started");
    test_linux_command(vm, "sh true", "cvd-agent: sh: 16 jobs run already");
    test_linux_type(vm, "stop");
    test_linux_wait(vm, "cvd-agent: sh: killed by signal 9", MOST_JOBS);
    test_linux_shell(vm, "true");
    test_linux_stop(vm);
}

/* Without a driver and without interrupts; a guest without an IOMMU can do no better. */
static void test_polling(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(
        "qemu.append=console=ttyS0 quiet no_timer_check -- --poll", "qemu.devices=[]", data, NULL);
    g_autoptr(GPtrArray) names = test_list_regions(vm->client_socket);

    for (guint i = 0; i < names->len; i++) {
        g_autoptr(TestRegion) region = test_linux_attach(vm, g_ptr_array_index(names, i));
        for (guint n = 0; n < 10; n++)
            test_region_ping(region, region->data_offset, n);
    }
    test_linux_shell(vm, "! grep vfio-msix /proc/interrupts");
    test_linux_stop(vm);
}

/* As guests/linux/memory.h has it, written anew. */
static guint32 number_at(guint32 offset, guint32 seed)
{
    guint32 y = (guint32)((guint64)(offset + seed) * 0x9e3779b1u);

    return y ^ (y >> 15);
}

static char *write_large_layout(const TestSandbox *sandbox)
{
    g_autofree char *text = g_strdup_printf(
        "{\"vsoc_device_regions\":[{\"device_name\":\"large\",\"current_version\":1,"
        "\"min_compatible_version\":1,\"region_size\":%u,"
        "\"guest_to_host_signal_table\":{\"num_nodes_lg2\":2},"
        "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":2}}]}",
        LARGE_REGION);
    return test_sandbox_write(sandbox, "large.json", text);
}

static void expect_checksum(TestLinux *vm, const TestRegion *region)
{
    guint64 sum = 0, sums = 0;

    for (guint32 at = region->data_offset; at < LARGE_REGION; at += 4) {
        sum += *test_region_word(region, at);
        sums += sum;
    }
    g_autofree char *expected = g_strdup_printf("cvd-agent: checksum large: %016" G_GINT64_MODIFIER
                                                "x %016" G_GINT64_MODIFIER "x",
                                                sum, sums);
    test_linux_command(vm, "checksum large", expected);
}

static void test_large_region(gconstpointer data)
{
    g_autoptr(TestSandbox) files = test_sandbox_new();
    g_autofree char *layout = write_large_layout(files);
    g_autofree char *set = g_strconcat("layout=", layout, NULL);
    g_autoptr(TestLinux) vm = test_linux_boot(set, NULL);
    g_autoptr(TestRegion) region = test_linux_attach(vm, "large");
    guint32 n_words = (LARGE_REGION - region->data_offset) / 4;
    g_autofree char *right = g_strdup_printf("cvd-agent: check large: %u words right", n_words);
    g_autofree char *filled = g_strdup_printf("cvd-agent: fill large: %u words", n_words);

    g_assert_cmpuint(region->end - region->begin, ==, LARGE_REGION);
    for (guint32 at = region->data_offset; at < LARGE_REGION; at += 4)
        *test_region_word(region, at) = number_at(at, 11);
    test_linux_command(vm, "check large 11", right);
    expect_checksum(vm, region);
    *test_region_word(region, LARGE_REGION - 4) ^= 1;
    test_linux_command(vm, "check large 11", "at 0xffffffc, where");

    test_linux_command(vm, "fill large 12", filled);
    for (guint32 at = region->data_offset; at < LARGE_REGION; at += 4)
        if (*test_region_word(region, at) != number_at(at, 12))
            g_error("the word at 0x%x is not what the guest wrote", at);
    test_region_ping(region, LARGE_REGION - 8, 1);
    test_linux_stop(vm);
}

static char *write_many_layout(const TestSandbox *sandbox)
{
    g_autofree char *config = test_write_config(sandbox, MANY);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(config, &text, NULL, NULL));
    /* The layout is the first member of what was written. */
    char *begin = strchr(text + 1, '{'), *end = strstr(text, ",\"qemu\"");
    g_assert_nonnull(end);
    *end = '\0';
    return g_strdup(begin);
}

/* Said clearly, on both sides; what has an interrupt works. */
static void test_too_many_regions(gconstpointer data)
{
    g_autoptr(TestSandbox) files = test_sandbox_new();
    g_autofree char *layout = write_many_layout(files);
    g_autofree char *set = g_strconcat("layout=", layout, NULL);
    g_autoptr(TestLinux) vm = test_linux_boot(set, "qemu.smp=1", NULL);
    guint n_regions = 0, n_interrupts = 0;

    test_launcher_assert_err(vm->launcher, "a Linux guest takes about 190 a vCPU");
    const char *line = strstr(vm->console->out->str, "cvd-agent: 200 regions but ");
    g_assert_nonnull(line);
    g_assert_cmpint(
        sscanf(line, "cvd-agent: %u regions but %u interrupts", &n_regions, &n_interrupts), ==, 2);
    g_assert_cmpuint(n_regions, ==, MANY);
    g_assert_cmpuint(n_interrupts, >=, 190);
    g_assert_cmpuint(n_interrupts, <, MANY);
    g_autofree char *last = g_strdup_printf("region%u", n_interrupts - 1);
    test_linux_ping(vm, "region0");
    test_linux_ping(vm, last);
    test_linux_stop(vm);
}

static void test_two_processors(gconstpointer data)
{
    g_autoptr(TestSandbox) files = test_sandbox_new();
    g_autofree char *layout = write_many_layout(files);
    g_autofree char *set = g_strconcat("layout=", layout, NULL);
    g_autoptr(TestLinux) vm = test_linux_boot(set, "qemu.smp=2", NULL);

    g_assert_false(test_process_has_err(vm->launcher, "a Linux guest takes"));
    for (guint i = 0; i < MANY; i++) {
        g_autofree char *name = g_strdup_printf("region%u", i);
        test_linux_ping(vm, name);
    }
    test_linux_stop(vm);
}

/* The bit is lost at a reset, and the launcher's to set again. */
static void test_forced_bus_master(gconstpointer data)
{
    g_autoptr(TestLinux) vm =
        test_linux_boot("ivshmem.force_bus_master=true", LEAVE_BUS_MASTER, NULL);

    test_linux_ping(vm, "sensors");
    test_linux_type(vm, "reboot");
    test_linux_wait_ready(vm, 2);
    test_linux_ping(vm, "sensors");
    test_linux_stop(vm);
}

/* The counterpart: QEMU takes the ring and drops the interrupt. */
static void test_bus_master_left_alone(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(LEAVE_BUS_MASTER, NULL);
    g_autoptr(TestRegion) region = test_linux_attach(vm, "hwcomposer");

    test_region_ring(region);
    /* What is typed comes through the same main loop of QEMU, after the ring. */
    test_linux_shell(vm, "true");
    test_linux_shell(vm, "grep -qE ': +0 .*vfio-msix.0.' /proc/interrupts");
    g_assert_false(test_region_is_rung(region));
    test_linux_stop(vm);
}

/* The server believes nothing that stands in the window, and the one region that is spared works.
 */
static void test_scribble(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(NULL, NULL);

    test_linux_command(vm, "scribble sensors", "cvd-agent: scribble: started");
    for (guint i = 0; i < 100; i++)
        test_linux_ping(vm, "sensors");
    test_linux_command(vm, "stop", "cvd-agent: scribble: killed by signal 9");
    test_linux_command(vm, "scribble", "cvd-agent: scribble: started");
    for (guint i = 0; i < 100; i++) {
        g_autoptr(GPtrArray) names = test_list_regions(vm->client_socket);
        g_assert_cmpuint(names->len, ==, 5);
        test_visit(vm->client_socket, g_ptr_array_index(names, i % names->len));
    }
    test_linux_stop(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_linux_add("/linux/regions", NULL, test_regions);
    test_linux_add("/linux/regions/migratable", MIGRATABLE, test_regions);
    test_linux_add("/linux/round-trips", NULL, test_round_trips);
    test_linux_add("/linux/signals", NULL, test_signals);
    test_linux_add("/linux/bounds", NULL, test_bounds);
    test_linux_add("/linux/polling", NULL, test_polling);
    test_linux_add("/linux/polling/migratable", MIGRATABLE, test_polling);
    test_linux_add("/linux/large-region", NULL, test_large_region);
    test_linux_add("/linux/too-many-regions", NULL, test_too_many_regions);
    test_linux_add("/linux/two-processors", NULL, test_two_processors);
    test_linux_add("/linux/forced-bus-master", NULL, test_forced_bus_master);
    test_linux_add("/linux/bus-master-left-alone", NULL, test_bus_master_left_alone);
    test_linux_add("/linux/scribble", NULL, test_scribble);
    return g_test_run();
}
