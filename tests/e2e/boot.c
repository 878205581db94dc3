/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main job: a guest boots, finds the window, and answers host programs.
 */
#include "base/fd.h"
#include "tests/support/instance.h"
#include "tests/support/manager.h"
#include "tests/support/region.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_ping_through_each_region(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = test_instance_boot("boot", NULL);
    g_autoptr(GPtrArray) names = test_list_regions(fixture->client_socket);

    g_assert_cmpuint(names->len, >=, 4);
    for (guint i = 0; i < names->len; i++) {
        g_autoptr(TestRegion) region =
            test_region_attach(fixture->client_socket, g_ptr_array_index(names, i));
        test_region_echo(region);
        test_region_ping(region, region->data_offset, 41 + i);
        test_region_echo(region);
    }
    test_instance_stop(fixture, SIGINT);
}

static void test_no_room_for_answers(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = test_instance_boot("boot", NULL);
    g_autoptr(TestRegion) region = test_region_attach(fixture->client_socket, "sensors");

    test_region_wait_room(region, fixture->client_socket, "misc");
    test_region_echo(region);
    test_instance_stop(fixture, SIGINT);
}

static gboolean qemu_has_machine(const char *machine)
{
    g_autofree char *machines = NULL;
    g_autofree char *line = g_strconcat("\n", machine, " ", NULL);

    g_assert_true(
        g_spawn_command_line_sync("qemu-system-x86_64 -machine help", &machines, NULL, NULL, NULL));
    return strstr(machines, line) != NULL;
}

/* Those that know no PVH: the guest serves all the same, with its command line. */
static void test_old_machine(gconstpointer data)
{
    const char *machine = data;
    g_autofree char *argument = g_strconcat("--set=qemu.machine=", machine, NULL);

    if (!qemu_has_machine(machine)) {
        test_skip("this QEMU has no such machine type");
        return;
    }
    const char *args[] = {argument, NULL};
    g_autoptr(TestInstance) fixture = test_instance_boot("boot", args);
    test_ping(fixture->client_socket, "sensors");
    g_autoptr(TestProcess) other = test_launch(fixture->sandbox, "other", argument,
                                               "--set=qemu.append=[\"quiet\",\"poweroff\"]", NULL);
    test_launcher_assert_exit(other, 0);
    test_launcher_assert_err(other, "guest powered off");
    test_instance_stop(fixture, SIGINT);
}

/* Where the guest cannot serve it says why, once, and the machine stays as it is. */
static void test_unfit_processor(gconstpointer data)
{
    const char *const *row = data;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "boot", "--set=lifecycle.stop=quit", row[0], row[1], row[2], NULL);
    g_autofree char *console = test_sandbox_instance_path(sandbox, "boot", "console.log");

    test_launcher_wait_running(launcher);
    test_wait_file(console, row[3], 1);
    test_launcher_stop(launcher, SIGINT);
    g_assert_false(test_process_has_err(launcher, "reset"));
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* The guest's own view of the window, on its serial port. */
static void test_guest_lists_the_window(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = test_instance_boot("boot", NULL);
    g_autoptr(GPtrArray) names = test_list_regions(fixture->client_socket);
    g_autofree char *path = test_sandbox_instance_path(fixture->sandbox, "boot", "console.log");
    g_autofree char *console = NULL;

    g_assert_true(g_file_get_contents(path, &console, NULL, NULL));
    for (guint i = 0; i < names->len; i++)
        g_assert_nonnull(strstr(console, g_ptr_array_index(names, i)));
    test_instance_stop(fixture, SIGINT);
}

/* Many signals on their way at once: each is answered, none is lost, tables never overflow. */
static void test_pipelined_pings(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = test_instance_boot("boot", NULL);
    g_autoptr(GPtrArray) names = test_list_regions(fixture->client_socket);
    g_autoptr(TestRegion) region =
        test_region_attach(fixture->client_socket, g_ptr_array_index(names, 0));
    guint n_slots = 1u << MIN(region->out.lg2, region->in.lg2);

    for (guint32 round = 0; round < 50; round++) {
        for (guint32 i = 0; i < n_slots; i++) {
            guint32 offset = region->data_offset + 8 * i;
            __atomic_store_n(test_region_word(region, offset), round * 100 + i, __ATOMIC_SEQ_CST);
            test_region_signal(region, offset);
        }
        for (guint32 i = 0; i < n_slots; i++) {
            guint32 *answer = test_region_word(region, region->data_offset + 8 * i + 4);
            guint32 expected = round * 100 + i + 1;
            while (__atomic_load_n(answer, __ATOMIC_SEQ_CST) != expected)
                test_region_wait_signal(region, region->data_offset + 8 * i + 4);
        }
    }
    test_instance_stop(fixture, SIGINT);
}

static void test_second_vm_is_refused(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = test_instance_boot("boot", NULL);
    g_autoptr(GPtrArray) names = test_list_regions(fixture->client_socket);
    cvd_autofd second = test_connect(fixture->vm_socket);

    test_vm_assert_refused(second);
    g_autofree char *pid = g_strdup_printf("%d", getpid());
    test_process_wait_err(fixture->launcher, pid, 1);
    test_ping(fixture->client_socket, g_ptr_array_index(names, 0));
    test_instance_stop(fixture, SIGINT);
}

static void test_unknown_region(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = test_instance_boot("boot", NULL);
    cvd_autofd fd = test_connect(fixture->client_socket);
    const char text[] = "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x00000004GET REGION: none";
    char answer[14 + 10 + 1] = {0};

    g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
    g_assert_cmpint(recv(fd, answer, sizeof answer, MSG_WAITALL), ==, 24);
    g_assert_cmpstr(answer, ==, "PROTOCOL_VER 00xffffffff");
    test_instance_stop(fixture, SIGINT);
}

/* Clients that vanish at every point of the conversation cost the others nothing. */
static void test_clients_that_die(gconstpointer data)
{
    g_autoptr(TestInstance) fixture = test_instance_boot("boot", NULL);
    g_autoptr(GPtrArray) names = test_list_regions(fixture->client_socket);
    const char *name = g_ptr_array_index(names, 0);
    g_autofree char *text = g_strdup_printf(
        "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x%08xGET REGION: %s", (guint)strlen(name), name);

    for (gsize n = 0; n <= strlen(text); n++) {
        cvd_autofd fd = test_connect(fixture->client_socket);
        g_assert_cmpint(send(fd, text, n, MSG_NOSIGNAL), ==, n);
    }
    test_ping(fixture->client_socket, name);
    test_instance_stop(fixture, SIGINT);
}

static gboolean may_open_files(guint n)
{
    struct rlimit limit;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    return limit.rlim_max >= n;
}

static void test_many_regions(gconstpointer data)
{
    guint n_regions = GPOINTER_TO_UINT(data);
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    if (!may_open_files(2 * n_regions + 64)) {
        test_skip("RLIMIT_NOFILE is too low for so many regions");
        return;
    }
    g_autofree char *layout = test_write_layout(sandbox, n_regions);
    g_autofree char *name = g_strdup_printf("n%u", n_regions);
    g_autoptr(TestProcess) launcher = test_launch(sandbox, name, "--set", layout, NULL);
    g_autofree char *client_socket = test_sandbox_instance_path(sandbox, name, "client.sock");
    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, name, 1);
    guint samples[] = {0, 1, n_regions / 2, n_regions - 2, n_regions - 1};
    for (guint i = 0; i < G_N_ELEMENTS(samples); i++) {
        g_autofree char *region = g_strdup_printf("region%u", samples[i]);
        test_ping(client_socket, region);
    }
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

/* A driver that leaves the bus-master bit off gets its interrupts all the same, if asked for. */
static void test_forced_bus_master(gconstpointer data)
{
    const char *args[] = {"--set=qemu.append=no-bus-master", "--set=ivshmem.force_bus_master=true",
                          NULL};
    g_autoptr(TestInstance) fixture = test_instance_boot("boot", args);
    g_autoptr(GPtrArray) names = test_list_regions(fixture->client_socket);

    test_ping(fixture->client_socket, g_ptr_array_index(names, 0));
    test_instance_stop(fixture, SIGINT);
}

/*
 * The counterpart shows that the option does something: without it QEMU takes the ring and drops
 * the interrupt. What was taken can be seen: the eventfd is no longer readable.
 */
static void test_bus_master_left_alone(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *monitor_argument = test_monitor_argument(sandbox);
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "bm", "--set=qemu.append=no-bus-master",
                                                  "--set", monitor_argument, NULL);
    g_autofree char *client_socket = test_sandbox_instance_path(sandbox, "bm", "client.sock");

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, "bm", 1);
    g_autoptr(GPtrArray) names = test_list_regions(client_socket);
    g_autoptr(TestRegion) region = test_region_attach(client_socket, g_ptr_array_index(names, 0));
    g_autoptr(TestMonitor) monitor = test_monitor_connect(sandbox);
    test_region_ring(region);
    /* QEMU's main loop serves the eventfd before or between these. */
    for (guint i = 0; i < 20; i++)
        g_free(test_monitor_execute(monitor, "query-status"));
    g_assert_false(test_region_is_rung(region));
    test_launcher_stop_clean(launcher, SIGINT, sandbox);
}

static void test_serial_on_the_terminal(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "serial", "--set", "qemu.serial=stdio", NULL);

    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, "serial", 1);
    test_launcher_stop(launcher, SIGINT);
    g_assert_true(strstr(launcher->out->str, "cvd-guest: ready") != NULL ||
                  strstr(launcher->err->str, "cvd-guest: ready") != NULL);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_posix_shm(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = g_strdup_printf("/dev/shm/%s", sandbox->token);
    g_autofree char *argument = g_strdup_printf("window.path=%s", path);
    struct stat st;

    /* A file of the user's is none of ours. */
    g_assert_true(g_file_set_contents(path, "old", 3, NULL));
    g_autoptr(TestProcess) refused =
        test_launch(sandbox, "shm", "--set", "window.backing=posix-shm", "--set", argument, NULL);
    test_launcher_assert_exit(refused, 1);
    test_launcher_assert_err(refused, "no window that a launcher left behind");
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 3);
    g_assert_no_errno(unlink(path));

    g_autoptr(TestProcess) crashed =
        test_launch(sandbox, "shm", "--set", "window.backing=posix-shm", "--set", argument, NULL);
    test_launcher_wait_running(crashed);
    test_process_signal(crashed, SIGKILL);
    test_process_wait_end(crashed);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "shm", "--set", "window.backing=posix-shm", "--set", argument, NULL);
    g_autofree char *client_socket = test_sandbox_instance_path(sandbox, "shm", "client.sock");
    test_launcher_wait_running(launcher);
    test_launcher_assert_err(launcher, path);
    test_launcher_wait_guest(sandbox, "shm", 1);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0600);
    g_assert_cmpint(st.st_size & (st.st_size - 1), ==, 0);
    g_autoptr(GPtrArray) names = test_list_regions(client_socket);
    test_ping(client_socket, g_ptr_array_index(names, 0));

    g_autoptr(TestProcess) second =
        test_launch(sandbox, "shm-2", "--set", "window.backing=posix-shm", "--set", argument, NULL);
    test_launcher_assert_exit(second, 1);
    g_autofree char *pid = g_strdup_printf("%d", launcher->pid);
    test_launcher_assert_err(second, pid);

    test_launcher_stop(launcher, SIGINT);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT); /* of the second */
}

#define OTHER_UID "65534"

/* For that user, who may have no way to where it was built. */
static char *copy_guest(const TestSandbox *sandbox)
{
    char *path = test_sandbox_path(sandbox, "guest.elf");
    g_autofree char *bytes = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(g_getenv("CVD_GUEST"), &bytes, &size, NULL));
    g_assert_true(
        g_file_set_contents_full(path, bytes, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0644, NULL));
    g_assert_no_errno(chmod(sandbox->dir, 0711));
    return path;
}

/* A QEMU of another user does its work all the same, in its sandbox, without a capability.
 * @data: (nullable): a further argument */
static void test_run_as(gconstpointer data)
{
    if (geteuid() != 0) {
        test_skip("only root can start QEMU as another user");
        return;
    }
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *guest = copy_guest(sandbox);
    g_autofree char *kernel = g_strconcat("qemu.kernel=", guest, NULL);
    g_autofree char *socket = test_sandbox_instance_path(sandbox, "boot", "client.sock");
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "boot", "--set", kernel, "--set",
                                                  "qemu.run_as=" OTHER_UID, data, NULL);
    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, "boot", 1);
    test_ping(socket, "sensors");

    g_autofree char *path = g_strdup_printf("/proc/%d/status", test_launcher_find_qemu(launcher));
    g_autofree char *status = NULL;
    g_assert_true(g_file_get_contents(path, &status, NULL, NULL));
    static const char *const lines[] = {
        "\nUid:\t65534\t65534\t65534\t65534\n",
        "\nGid:\t65534\t65534\t65534\t65534\n",
        "\nCapEff:\t0000000000000000\n",
        "\nSeccomp:\t2\n",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++)
        if (strstr(status, lines[i]) == NULL)
            g_error("QEMU's status does not have '%s': %s", lines[i], status);

    test_launcher_stop(launcher, SIGINT);
    unlink(guest);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* By the configuration a start may take 5000 s; and a stop 20, 4.8 for a QEMU that does not react,
 * and 10 for what is left to be done then. Microseconds of both limits have more than 32 bits. */
static void test_notify_socket(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestManager) manager = test_manager_new(sandbox);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "notify", "--timeout", "4295", "--set",
                    "lifecycle.start_timeout_s=5000", "--set", "lifecycle.stop_timeout_s=20", NULL);
    test_manager_hide(manager);
    test_manager_receive(manager, "STATUS=running\n");
    test_launcher_wait_guest(sandbox, "notify", 1);
    test_process_signal(launcher, SIGTERM);
    test_manager_receive(manager, "STATUS=stopped: ");
    g_assert_cmpstr(manager->notices->str, ==,
                    "EXTEND_TIMEOUT_USEC=5034800000\n"
                    "STATUS=starting\n"
                    "READY=1\n"
                    "STATUS=running\n"
                    "STATUS=stopping: a stop was asked for\n"
                    "STOPPING=1\n"
                    "EXTEND_TIMEOUT_USEC=34800000\n"
                    "STATUS=stopped: the guest powered off\n");
    test_launcher_assert_exit(launcher, 0);
    g_clear_pointer(&manager, test_manager_free);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* Writes to the serial port for ever. */
static const guchar flooding_sector[512] = {
    0xba,         0xf8, 0x03, /* mov dx, 0x3f8 */
    0xb0,         'x',  0xee, /* mov al, 'x'; out dx, al */
    0xb0,         '\n', 0xee, /* mov al, 10; out dx, al */
    0xeb,         0xf8,       /* from the second line again */
    [510] = 0x55, 0xaa,       /* bootable */
};

/* Writes lines of 30 times `a`, and `b`, of which some get lost. */
static const guchar costly_sector[512] = {
    0xba,         0xf8, 0x03, /* mov dx, 0x3f8 */
    0xb9,         0x1e, 0x00, /* mov cx, 30 */
    0xb0,         'a',  0xee, /* mov al, 'a'; out dx, al */
    0xe2,         0xfb,       /* loop to the line before */
    0xb0,         'b',  0xee, /* mov al, 'b'; out dx, al */
    0xb0,         '\n', 0xee, /* mov al, 10; out dx, al */
    0xeb,         0xf0,       /* from the second line again */
    [510] = 0x55, 0xaa,       /* bootable */
};

/* Resets the machine through the keyboard controller, as does a kernel that cannot go on. */
static const guchar resetting_sector[512] = {
    0xb0,         0xfe, /* mov al, 0xfe */
    0xe6,         0x64, /* out 0x64, al */
    0xf4,               /* hlt */
    [510] = 0x55, 0xaa, /* bootable */
};

/* Returns: (transfer full): value for --set: a VM that SeaBIOS boots from that sector */
static char *write_disk(const TestSandbox *sandbox, const guchar *sector)
{
    g_autofree char *path = test_sandbox_path(sandbox, "disk");

    g_assert_true(g_file_set_contents(path, (const char *)sector, 512, NULL));
    g_assert_no_errno(truncate(path, 1440 * 1024));
    return g_strdup_printf(
        "qemu={\"machine\":\"q35\",\"accel\":\"tcg\",\"memory\":\"64M\",\"extra_args\":"
        "[\"-drive\",\"file=%s,format=raw,if=ide\"]}",
        path);
}

/* Chosen, opened, and yet QEMU runs the guest with the next one. */
static void test_kvm_that_is_not_used(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *script = test_sandbox_write(
        sandbox, "qemu", "#!/bin/bash\nexec qemu-system-x86_64 \"${@/#kvm/tcg}\"\n");
    g_autofree char *binary = g_strdup_printf("qemu.binary=%s", script);

    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        test_skip("this machine has no /dev/kvm that can be opened");
        return;
    }
    g_assert_no_errno(chmod(script, 0755));
    g_autoptr(TestProcess) launcher = test_launch(sandbox, "no-kvm", "--set", binary, "--set",
                                                  "qemu.accel=[\"kvm\",\"tcg\"]", NULL);
    test_process_wait_err(launcher, "QEMU could not use kvm and runs the guest with the next", 1);
    test_launcher_stop(launcher, SIGINT);
}

static void test_resets_without_a_word(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *qemu = write_disk(sandbox, resetting_sector);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "again", "--set", qemu, "--set", "lifecycle.stop=quit", NULL);

    test_process_wait_err(launcher, "the guest was reset 10 times and has printed nothing", 1);
    test_launcher_stop(launcher, SIGINT);
}

/* All of it is logged, and the launcher serves others meanwhile. */
static void test_console_flood(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *qemu = write_disk(sandbox, flooding_sector);
    g_autofree char *console = test_sandbox_instance_path(sandbox, "flood", "console.log");
    g_autofree char *client_socket = test_sandbox_instance_path(sandbox, "flood", "client.sock");
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "flood", "--set", qemu, "--set", "lifecycle.stop=quit", NULL);

    test_launcher_wait_running(launcher);
    test_wait_file(console, "x", 100);
    gint64 time_us = g_get_monotonic_time();
    guint64 cpu_us = test_process_get_cpu_us(launcher);
    test_wait_file(console, "x", 20000);
    cpu_us = test_process_get_cpu_us(launcher) - cpu_us;
    time_us = g_get_monotonic_time() - time_us;
    g_test_message("%u us of processor in %u ms", (guint)cpu_us, (guint)(time_us / 1000));
    test_region_free(test_region_attach(client_socket, "misc"));
    test_launcher_stop(launcher, SIGINT);
    g_autofree char *disk = test_sandbox_path(sandbox, "disk");
    unlink(disk);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* A guest that knows the pattern which is looked for can print what takes longest to compare. */
static void test_costly_console(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *qemu = write_disk(sandbox, costly_sector);
    g_autofree char *socket = test_sandbox_instance_path(sandbox, "costly", "client.sock");
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, "costly", "--set", qemu, "--set", "lifecycle.stop=quit", "--set",
                    "lifecycle.ready=guest", "--set", "lifecycle.ready_pattern=^(a+)+[cd]$", NULL);

    test_process_wait_err(launcher,
                          "warning: lifecycle.ready_pattern: comparing the guest's console "
                          "with it takes too long",
                          1);
    test_region_free(test_region_attach(socket, "misc"));
    test_launcher_stop(launcher, SIGINT);
    g_autofree char *disk = test_sandbox_path(sandbox, "disk");
    unlink(disk);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    static const char *const unfit[][4] = {
        {"--set=qemu.cpu=qemu32", "--set=qemu.memory=128M", "--set=qemu.accel=tcg",
         "cvd-guest: bad processor: it has no 64-bit mode (see qemu.cpu)"},
        /* QEMU refuses to have such a processor beside the hole for 64-bit BARs. */
        {"--set=qemu.cpu=max,phys-bits=32",
         "--set=qemu.extra_args=[\"-global\",\"q35-pcihost.pci-hole64-size=0\"]",
         "--set=window.size=2147483648",
         "cvd-guest: bad device: BAR 2 is where this processor has no addresses"},
    };

    g_test_init(&argc, &argv, NULL);
    test_add("/boot/ping-through-each-region", NULL, test_ping_through_each_region);
    test_add("/boot/no-room-for-answers", NULL, test_no_room_for_answers);
    test_add("/boot/machine-q35-2.12", "pc-q35-2.12", test_old_machine);
    test_add("/boot/machine-i440fx-2.0", "pc-i440fx-2.0", test_old_machine);
    test_add("/boot/processor-without-64-bits", unfit[0], test_unfit_processor);
    test_add("/boot/processor-with-few-addresses", unfit[1], test_unfit_processor);
    test_add("/boot/guest-lists-the-window", NULL, test_guest_lists_the_window);
    test_add("/boot/pipelined-pings", NULL, test_pipelined_pings);
    test_add("/boot/second-vm-is-refused", NULL, test_second_vm_is_refused);
    test_add("/boot/unknown-region", NULL, test_unknown_region);
    test_add("/boot/clients-that-die-at-every-byte", NULL, test_clients_that_die);
    test_add("/boot/forced-bus-master", NULL, test_forced_bus_master);
    test_add("/boot/bus-master-left-alone", NULL, test_bus_master_left_alone);
    test_add("/boot/serial-on-the-terminal", NULL, test_serial_on_the_terminal);
    test_add("/boot/posix-shm-replaces-a-leftover", NULL, test_posix_shm);
    test_add("/boot/qemu-of-another-user", NULL, test_run_as);
    test_add("/boot/qemu-of-another-user/migratable", "--set=ivshmem.migratable=true", test_run_as);
    test_add("/boot/console-flood", NULL, test_console_flood);
    test_add("/boot/costly-console", NULL, test_costly_console);
    test_add("/boot/kvm-that-is-not-used", NULL, test_kvm_that_is_not_used);
    test_add("/boot/resets-without-a-word", NULL, test_resets_without_a_word);
    test_add("/boot/notify-socket", NULL, test_notify_socket);
    test_add("/boot/512-regions", GUINT_TO_POINTER(512), test_many_regions);
    test_add("/boot/2048-regions", GUINT_TO_POINTER(2048), test_many_regions);
    return g_test_run();
}
