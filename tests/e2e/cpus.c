/* SPDX-License-Identifier: Apache-2.0 */
/* Which processors of the host QEMU's threads may use: what the kernel says of each. */
#include "tests/support/launcher.h"
#include "tests/support/sandbox.h"

#include <json-glib/json-glib.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME   "cpus"
#define NOBODY 65534

/* The processors that this test may use, and the first two of them. */
static char *all, *first, *second;

static char *read_field(const char *dir, const char *field)
{
    g_autofree char *path = g_build_filename(dir, "status", NULL);
    g_autofree char *key = g_strdup_printf("\n%s:\t", field);
    g_autofree char *status = NULL;

    if (!g_file_get_contents(path, &status, NULL, NULL))
        return NULL; /* it has just ended */
    const char *value = strstr(status, key) + strlen(key);
    return g_strndup(value, strcspn(value, "\n"));
}

/* @vcpus: (array length=2) (nullable): whose processors are the test's first and second */
static void assert_threads(pid_t pid, const gint64 *vcpus, const char *others)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    const char *name;
    guint n_seen = 0;

    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *task = g_build_filename(tasks, name, NULL);
        g_autofree char *list = read_field(task, "Cpus_allowed_list");
        gint64 thread = g_ascii_strtoll(name, NULL, 10);
        const char *expected = vcpus != NULL && thread == vcpus[0]   ? first
                               : vcpus != NULL && thread == vcpus[1] ? second
                                                                     : others;
        if (list == NULL)
            continue;
        g_assert_cmpstr(list, ==, expected);
        n_seen++;
    }
    g_assert_cmpuint(n_seen, >, vcpus != NULL ? 2 : 1);
}

static void ask_vcpus(TestMonitor *monitor, gint64 vcpus[2])
{
    g_autofree char *reply = test_monitor_execute(monitor, "query-cpus-fast");
    g_autoptr(JsonParser) parser = json_parser_new();

    g_assert_true(json_parser_load_from_data(parser, reply, -1, NULL));
    JsonArray *list =
        json_object_get_array_member(json_node_get_object(json_parser_get_root(parser)), "return");
    g_assert_cmpuint(json_array_get_length(list), ==, 2);
    for (guint i = 0; i < 2; i++) {
        JsonObject *vcpu = json_array_get_object_element(list, i);
        g_assert_cmpint(json_object_get_int_member(vcpu, "cpu-index"), ==, i);
        vcpus[i] = json_object_get_int_member(vcpu, "thread-id");
    }
    g_assert_cmpint(vcpus[0], !=, vcpus[1]);
}

static void assert_vcpus(const TestSandbox *sandbox, pid_t pid)
{
    TestMonitor *monitor = test_monitor_connect(sandbox);
    g_autofree char *both =
        g_strconcat(first, atoi(second) == atoi(first) + 1 ? "-" : ",", second, NULL);
    gint64 vcpus[2];

    ask_vcpus(monitor, vcpus);
    assert_threads(pid, vcpus, both);
    test_monitor_free(monitor);
}

/* The whole of each QEMU, and nobody else. */
static void test_all_of_qemu(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *pin = g_strdup_printf("qemu.cpus.pin=%s", first);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--set", pin, "--set", "lifecycle.on_crash=restart", "--set",
                    "lifecycle.restart_delay_ms=0", NULL);
    g_autofree char *own = g_strdup_printf("/proc/%d", launcher->pid);

    test_launcher_wait_running(launcher);
    pid_t qemu = test_launcher_find_qemu(launcher);
    assert_threads(qemu, NULL, first);
    g_autofree char *list = read_field(own, "Cpus_allowed_list");
    g_assert_cmpstr(list, ==, all);
    g_assert_no_errno(kill(qemu, SIGKILL));
    test_process_wait_err(launcher, ": running after ", 2);
    assert_threads(test_launcher_find_qemu(launcher), NULL, first);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

/* Before the guest runs, when it is reset, and in the VM after. */
static void test_each_vcpu(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *pin = g_strdup_printf("qemu.cpus.pin=[\"%s\",%s]", first, second);
    g_autofree char *monitor = test_monitor_argument(sandbox);
    g_autoptr(TestProcess) launcher = test_launch(
        sandbox, NAME, "--paused", "--set", "qemu.smp=2", "--set", pin, "--set", monitor, "--set",
        "lifecycle.on_crash=restart", "--set", "lifecycle.restart_delay_ms=0", NULL);

    test_process_wait_err(launcher, ": paused after ", 1);
    pid_t qemu = test_launcher_find_qemu(launcher);
    assert_vcpus(sandbox, qemu);
    TestMonitor *other = test_monitor_connect(sandbox);
    G_GNUC_UNUSED g_autofree char *reply = test_monitor_execute(other, "system_reset");
    test_monitor_wait_event(other, "RESET");
    G_GNUC_UNUSED g_autofree char *resumed = test_monitor_execute(other, "cont");
    test_monitor_wait_event(other, "RESUME");
    test_monitor_free(other);
    assert_vcpus(sandbox, qemu);
    g_assert_no_errno(kill(qemu, SIGKILL));
    test_process_wait_err(launcher, ": paused after ", 2);
    assert_vcpus(sandbox, test_launcher_find_qemu(launcher));
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

static void test_list_of_one(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *pin = g_strdup_printf("qemu.cpus.pin=[\"%s\"]", second);
    g_autoptr(TestProcess) launcher = test_launch(sandbox, NAME, "--set", pin, NULL);

    test_launcher_wait_running(launcher);
    assert_threads(test_launcher_find_qemu(launcher), NULL, second);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

static void test_another_user(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *pin = g_strdup_printf("qemu.cpus.pin=[%s,%s]", first, second);
    g_autofree char *monitor = test_monitor_argument(sandbox);

    if (geteuid() != 0) {
        test_skip("needs root");
        return;
    }
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--set", "qemu.smp=2", "--set", pin, "--set", monitor, "--set",
                    "qemu.run_as=nobody", NULL);
    test_launcher_wait_running(launcher);
    pid_t qemu = test_launcher_find_qemu(launcher);
    g_autofree char *path = g_strdup_printf("/proc/%d", qemu);
    struct stat st;
    g_assert_no_errno(stat(path, &st));
    g_assert_cmpuint(st.st_uid, ==, NOBODY);
    assert_vcpus(sandbox, qemu);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

/* The threads are those of QEMU, not of what was started in its place. */
static void test_wrapper(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *script = test_sandbox_write_script(
        sandbox, "qemu", "#!/bin/sh\nqemu-system-x86_64 \"$@\"\necho done\n");
    g_autofree char *binary = g_strconcat("qemu.binary=", script, NULL);
    g_autofree char *pin = g_strdup_printf("qemu.cpus.pin=[%s,%s]", first, second);
    g_autofree char *monitor = test_monitor_argument(sandbox);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--set", binary, "--set", "qemu.smp=2", "--set", pin, "--set",
                    monitor, NULL);

    test_launcher_wait_running(launcher);
    assert_vcpus(sandbox, test_find_child(test_launcher_find_qemu(launcher)));
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

/* All vCPUs of a QEMU have one thread, which is bound to what is named for any of them. */
static void test_one_thread(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *pin = g_strdup_printf("qemu.cpus.pin=[%s,%s]", first, first);
    g_autoptr(TestProcess) launcher =
        test_launch(sandbox, NAME, "--set", "qemu.smp=2", "--set", pin, "--set",
                    "qemu.accel=tcg,thread=single", NULL);

    test_launcher_wait_running(launcher);
    assert_threads(test_launcher_find_qemu(launcher), NULL, first);
    test_launcher_stop_clean(launcher, SIGTERM, sandbox);
}

static void use_first(gconstpointer data)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(atoi(first), &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        _exit(124);
}

static void assert_refused(const char *pin, TestProcessSetup setup, const char *message)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {"--set", pin, NULL};
    g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, args, setup, NULL);

    test_launcher_assert_exit(launcher, 2);
    test_launcher_assert_err(launcher, message);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

static void test_absent(gconstpointer data)
{
    assert_refused("qemu.cpus.pin=8191", NULL,
                   "qemu.cpus.pin: there is no processor 8191; this machine has ");
}

static void test_not_allowed(gconstpointer data)
{
    g_autofree char *pin = g_strdup_printf("qemu.cpus.pin=%s,%s", first, second);
    g_autofree char *message = g_strdup_printf(
        "qemu.cpus.pin: cvd-launch may not use processor %s, but %s: name these, or allow more "
        "where it is started (taskset, AllowedCPUs=, a control group)\n",
        second, first);

    assert_refused(pin, use_first, message);
}

static void hide_control_groups(gconstpointer data)
{
    test_enter_mount_namespace();
    if (mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL) < 0)
        _exit(124);
}

/* Where there are none, or none that are delegated. */
static void test_no_control_group(gconstpointer data)
{
    const char *const *row = data;

    assert_refused(row[0], hide_control_groups, row[1]);
}

static void find_processors(void)
{
    cpu_set_t set;

    all = read_field("/proc/self", "Cpus_allowed_list");
    g_assert_no_errno(sched_getaffinity(0, sizeof set, &set));
    for (int i = 0; i < CPU_SETSIZE && second == NULL; i++)
        if (CPU_ISSET(i, &set))
            *(first == NULL ? &first : &second) = g_strdup_printf("%d", i);
}

static char *why_not_two(void)
{
    return second != NULL ? NULL : g_strdup("this machine has one processor");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    find_processors();
    test_add_unless("/cpus/all-of-qemu", NULL, test_all_of_qemu, why_not_two);
    test_add_unless("/cpus/each-vcpu", NULL, test_each_vcpu, why_not_two);
    test_add_unless("/cpus/list-of-one", NULL, test_list_of_one, why_not_two);
    test_add_unless("/cpus/another-user", NULL, test_another_user, why_not_two);
    test_add_unless("/cpus/wrapper", NULL, test_wrapper, why_not_two);
    test_add_unless("/cpus/one-thread", NULL, test_one_thread, why_not_two);
    test_add("/cpus/absent", NULL, test_absent);
    test_add_unless("/cpus/not-allowed", NULL, test_not_allowed, why_not_two);
    test_add_unless("/cpus/weight-without-a-control-group",
                    (const char *[]){"qemu.cpus.weight=50", "qemu.cpus.weight"},
                    test_no_control_group, test_why_no_mount);
    test_add_unless("/cpus/memory-limit-without-a-control-group",
                    (const char *[]){"qemu.memory_limit=1G", "qemu.memory_limit"},
                    test_no_control_group, test_why_no_mount);
    return g_test_run();
}
