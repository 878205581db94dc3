/* SPDX-License-Identifier: Apache-2.0 */
/* The configurations are those that are shipped, but for what a snapshot needs, what tells when a
 * guest answers, and how it ends: no power-down is measured. */
#include "bench/fleet.h"

#include "bench/values.h"
#include "tests/support/ctl.h"
#include "tests/support/launcher.h"
#include "tests/support/region.h"

#include <signal.h>

#define SOURCE "source"
#define REGION "sensors"

static void add(Fleet *fleet, const char *option, char *take_value)
{
    g_ptr_array_add(fleet->argv, g_strdup(option));
    g_ptr_array_add(fleet->argv, take_value);
}

static void add_linux(Fleet *fleet)
{
    const char *dir = g_getenv("CVD_LINUX_GUEST");

    add(fleet, "--set", g_strdup_printf("qemu.kernel=%s/vmlinuz", dir));
    add(fleet, "--set", g_strdup_printf("qemu.initrd=%s/initramfs", dir));
}

Fleet *fleet_new(gboolean is_linux, const char *accel)
{
    static const char *const settings[] = {"ivshmem.migratable=true", "lifecycle.ready=guest",
                                           "lifecycle.stop=quit"};
    Fleet *fleet = g_new0(Fleet, 1);

    fleet->sandbox = test_sandbox_new();
    fleet->is_linux = is_linux;
    fleet->source_socket = test_sandbox_instance_path(fleet->sandbox, SOURCE, "client.sock");
    fleet->argv = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(fleet->argv, g_strdup(test_launcher_path()));
    add(fleet, "--config",
        test_source_path(is_linux ? "conf/examples/linux.json" : "conf/cvd.json"));
    add(fleet, "--name", g_strdup(SOURCE));
    add(fleet, "--set", g_strdup_printf("qemu.accel=%s", accel));
    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++)
        add(fleet, "--set", g_strdup(settings[i]));
    if (is_linux)
        add_linux(fleet);
    g_ptr_array_add(fleet->argv, NULL);
    return fleet;
}

void fleet_free(Fleet *fleet)
{
    test_sandbox_assert_clean(fleet->sandbox, TEST_NOTHING_LEFT);
    test_sandbox_free(fleet->sandbox);
    g_ptr_array_unref(fleet->argv);
    g_free(fleet->source_socket);
    g_free(fleet);
}

static void wait_answer(TestProcess *launcher, const char *client_socket)
{
    test_process_wait_err(launcher, ": ready after ", 1);
    test_ping(client_socket, REGION);
}

double fleet_boot(Fleet *fleet)
{
    double begin_ms = now_ms();

    fleet->source =
        test_process_start(fleet->sandbox, (const char *const *)fleet->argv->pdata, NULL, NULL);
    wait_answer(fleet->source, fleet->source_socket);
    return now_ms() - begin_ms;
}

void fleet_shut(Fleet *fleet)
{
    test_launcher_stop(fleet->source, SIGINT);
    g_clear_pointer(&fleet->source, test_process_free);
}

double fleet_save(Fleet *fleet)
{
    double begin_ms = now_ms();

    test_save(fleet->sandbox, SOURCE, TEST_SNAPSHOT, NULL);
    double took_ms = now_ms() - begin_ms;
    test_launcher_assert_exit(fleet->source, 0);
    g_clear_pointer(&fleet->source, test_process_free);
    return took_ms;
}

void fleet_delete(const Fleet *fleet)
{
    test_ctl_done(test_ctl(fleet->sandbox, "delete", TEST_SNAPSHOT, NULL));
}

TestClone *fleet_start(const Fleet *fleet, guint index)
{
    g_autofree char *name = g_strdup_printf("machine-%u", index);

    return test_clone_start(fleet->sandbox, name, TEST_SNAPSHOT, NULL);
}

void fleet_wait_answer(const TestClone *machine)
{
    wait_answer(machine->launcher, machine->client_socket);
}

double fleet_restore(const Fleet *fleet, guint index, TestClone **machine)
{
    double begin_ms = now_ms();

    *machine = fleet_start(fleet, index);
    fleet_wait_answer(*machine);
    return now_ms() - begin_ms;
}
