/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the launcher is started in: signals that are ignored, limits that are low, containers where
 * system calls, devices or /proc are missing, and those where it is the first process.
 */
#include "base/fd.h"
#include "tests/support/launcher.h"
#include "tests/support/region.h"
#include "tests/support/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME   "around"
#define NOBODY 65534
/* In the launcher's stead its parent may leave descriptors open; QEMU is not to have them. */
#define STRAY_FD 77

static void finish(const TestSandbox *sandbox, TestProcess *launcher, int number)
{
    test_process_signal(launcher, number);
    test_launcher_assert_exit(launcher, 0);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* ---- Signals ---- */

static void ignore(gconstpointer data)
{
    signal(GPOINTER_TO_INT(data), SIG_IGN);
}

static void test_ignored_signal(gconstpointer data)
{
    int ignored = GPOINTER_TO_INT(data);
    const char *args[] = {"--serve-only", NULL};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *socket = test_sandbox_instance_path(sandbox, NAME, "client.sock");
    g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, args, ignore, data);

    test_process_wait_err(launcher, ": serving without a VM", 1);
    test_process_signal(launcher, ignored);
    test_visit(socket, "misc");
    finish(sandbox, launcher, ignored == SIGTERM ? SIGINT : SIGTERM);
}

/* QEMU takes SIGHUP, by which its launcher's end reaches it. */
static void test_nohup(gconstpointer data)
{
    const char *args[] = {"--set", "lifecycle.stop=quit", NULL};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) launcher =
        test_launch_with(sandbox, NAME, args, ignore, GINT_TO_POINTER(SIGHUP));

    test_launcher_wait_running(launcher);
    g_assert_no_errno(kill(test_launcher_find_qemu(launcher), SIGHUP));
    test_launcher_assert_exit(launcher, 1);
    test_launcher_assert_err(launcher, "sent a signal to QEMU");
}

/* ---- What a start does not have, and says so ---- */

typedef struct {
    const char *title;
    TestProcessSetup setup;
    gboolean needs_root;
    const char *words[2];
} Lack;

static void limit_processes(gconstpointer data)
{
    const struct rlimit limit = {0, 0};

    g_setenv("ASAN_OPTIONS", "detect_leaks=0", TRUE); /* which needs a process of its own */
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) < 0 || setrlimit(RLIMIT_NPROC, &limit) < 0)
        _exit(124);
}

static void limit_files(gconstpointer data)
{
    const struct rlimit limit = {65536, 65536};

    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        _exit(124);
}

static void hide(const char *dir)
{
    test_enter_mount_namespace();
    if (mount("tmpfs", dir, "tmpfs", MS_RDONLY, NULL) < 0)
        _exit(124);
}

static void hide_devices(gconstpointer data)
{
    hide("/dev");
}

/* As profiles do that are older than the calls. */
static void refuse(guint one, guint other, guint error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, one, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = G_N_ELEMENTS(filter), .filter = filter};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(124);
}

/* As file systems do that have none. */
static void refuse_locks(gconstpointer data)
{
    refuse(SYS_flock, SYS_flock, ENOLCK);
}

static const Lack lacks[] = {
    {"file-locks", refuse_locks, FALSE, {"cannot lock", "whose file system has locks"}},
    {"processes", limit_processes, TRUE, {"Failed to fork", "ulimit -u"}},
    {"file-size", limit_files, FALSE, {"File too large", "ulimit -f"}},
    {"dev-null", hide_devices, TRUE, {"/dev/null", "stdin"}},
};

static void test_lack(gconstpointer data)
{
    const Lack *lack = data;
    const char *args[] = {NULL};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();

    if (lack->needs_root && (geteuid() != 0 || !test_may_mount())) {
        test_skip("needs root, to become another user and to mount");
        return;
    }
    g_assert_no_errno(chmod(sandbox->dir, 0755));
    if (lack->setup == limit_processes)
        g_assert_no_errno(chown(sandbox->runtime, NOBODY, NOBODY));
    g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, args, lack->setup, NULL);
    test_launcher_assert_exit(launcher, 1);
    for (gsize i = 0; i < G_N_ELEMENTS(lack->words); i++)
        test_launcher_assert_err(launcher, lack->words[i]);
    g_assert_null(strstr(launcher->err->str, "check qemu.binary"));
    /* Without a lock there is no instance of which a record could be kept. */
    test_sandbox_assert_clean(sandbox,
                              lack->setup == refuse_locks ? TEST_NOTHING_LEFT : TEST_LOGS_LEFT);
}

/* ---- What a start can do without ---- */

static void refuse_new_calls(gconstpointer data)
{
    if (dup2(STDERR_FILENO, STRAY_FD) < 0)
        _exit(124);
    refuse(SYS_close_range, SYS_pidfd_open, EPERM);
}

static void assert_not_inherited(pid_t qemu)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd/%d", qemu, STRAY_FD);
    struct stat info;

    g_assert_cmpint(lstat(path, &info), ==, -1);
    g_assert_cmpint(errno, ==, ENOENT);
}

typedef struct {
    const char *title;
    TestProcessSetup setup;
    gboolean needs_root;
} Bearable;

static const Bearable bearable[] = {
    {"close-range-and-pidfd-open-refused", refuse_new_calls, FALSE},
};

static void test_bearable(gconstpointer data)
{
    const Bearable *row = data;
    const char *args[] = {"--set", "lifecycle.stop=quit", NULL};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *socket = test_sandbox_instance_path(sandbox, NAME, "client.sock");

    if (row->needs_root && !test_may_mount()) {
        test_skip("needs the right to mount in a namespace");
        return;
    }
    g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, args, row->setup, NULL);
    test_launcher_wait_running(launcher);
    test_launcher_wait_guest(sandbox, NAME, 1);
    test_ping(socket, "sensors");
    assert_not_inherited(test_launcher_find_qemu(launcher));
    finish(sandbox, launcher, SIGTERM);
}

static void mask_locks(gconstpointer data)
{
    test_enter_mount_namespace();
    if (mount("/dev/null", "/proc/locks", NULL, MS_BIND, NULL) < 0)
        _exit(124);
}

/* As in containers. Who has the instance or the window is known without it. */
static void test_masked_locks(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = g_strdup_printf("window.path=/dev/shm/%s", sandbox->token);
    const char *args[] = {"--set", "window.backing=posix-shm", "--set", path,
                          "--set", "lifecycle.stop=quit",      NULL};

    g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, args, mask_locks, NULL);
    g_autofree char *pid = g_strdup_printf("is already running (pid %d)", launcher->pid);
    g_autofree char *in_use = g_strdup_printf("in use by process %d; stop it", launcher->pid);
    test_launcher_wait_running(launcher);
    g_autoptr(TestProcess) same = test_launch_with(sandbox, NAME, args, mask_locks, NULL);
    test_launcher_assert_exit(same, 1);
    test_launcher_assert_err(same, pid);
    g_autoptr(TestProcess) other = test_launch_with(sandbox, "other", args, mask_locks, NULL);
    test_launcher_assert_exit(other, 1);
    test_launcher_assert_err(other, in_use);
    test_launcher_stop(launcher, SIGTERM);
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT); /* of the other one */
}

static void test_doctor_without_new_calls(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    const char *args[] = {"--doctor", NULL};
    g_autoptr(TestProcess) doctor = test_launch_with(sandbox, NAME, args, refuse_new_calls, NULL);

    test_process_wait_out(doctor, "qemu-system-x86_64 has version ", 1);
    test_process_wait_out(doctor, "ok: QEMU has the device ivshmem-doorbell", 1);
    test_process_wait_end(doctor);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

/* ---- Clients with all the descriptors ---- */

#define N_FDS 256

static void limit_fds(gconstpointer data)
{
    const struct rlimit limit = {N_FDS, N_FDS};

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        _exit(124);
}

/* What a restart needs, and the record of a failure, is kept for them. */
static void test_clients_with_all_descriptors(gconstpointer data)
{
    const char *on_crash = data;
    const char *args[] = {"--set", on_crash,
                          "--set", "lifecycle.restart_delay_ms=0",
                          "--set", "lifecycle.stop=quit",
                          "--set", "limits.handshake_timeout_ms=60000",
                          NULL};
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *socket = test_sandbox_instance_path(sandbox, NAME, "client.sock");
    g_autofree char *record = test_sandbox_instance_path(sandbox, NAME, "failure.json");
    g_autoptr(TestProcess) launcher = test_launch_with(sandbox, NAME, args, limit_fds, NULL);
    gboolean is_restarted = g_str_has_suffix(on_crash, "restart");

    test_launcher_wait_running(launcher);
    for (guint i = 0; i < N_FDS; i++)
        g_assert_cmpint(test_connect(socket), >=, 0);
    test_process_wait_err(launcher, "clients wait until a descriptor is free", 1);
    for (guint i = 1; i <= 3 && is_restarted; i++) {
        g_assert_no_errno(kill(test_launcher_find_qemu(launcher), SIGKILL));
        test_process_wait_err(launcher, ": running after ", i + 1);
    }
    if (is_restarted) {
        finish(sandbox, launcher, SIGTERM);
        return;
    }
    g_assert_no_errno(kill(test_launcher_find_qemu(launcher), SIGKILL));
    test_launcher_assert_exit(launcher, 1);
    g_assert_true(g_file_test(record, G_FILE_TEST_IS_REGULAR));
    test_sandbox_assert_clean(sandbox, TEST_LOGS_LEFT);
}

/* ---- A log that may not grow ---- */

static void limit_files_to_window(gconstpointer data)
{
    const struct rlimit limit = {131072, 131072};

    if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
        _exit(124);
}

static void test_log_at_its_limit(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *binary = test_sandbox_write_script(
        sandbox, "qemu",
        "#!/bin/sh\nhead -c 200000 /dev/zero | tr '\\0' x >&2\nexec qemu-system-x86_64 \"$@\"\n");
    g_autofree char *setting = g_strdup_printf("qemu.binary=%s", binary);
    const char *args[] = {
        "--set",
        setting,
        "--set",
        "lifecycle.stop=quit",
        "--set",
        "layout={\"vsoc_device_regions\":[{\"device_name\":\"r0\",\"current_version\":1,"
        "\"min_compatible_version\":1,\"region_size\":4096,"
        "\"guest_to_host_signal_table\":{\"num_nodes_lg2\":2},"
        "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":2}}]}",
        NULL};
    g_autoptr(TestProcess) launcher =
        test_launch_with(sandbox, NAME, args, limit_files_to_window, NULL);

    test_process_wait_err(launcher, "qemu.log: lines are lost: File too large", 1);
    test_launcher_wait_running(launcher);
    finish(sandbox, launcher, SIGTERM);
}

/* ---- The first process of a container ---- */

static void test_first_process(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_source_path("conf/cvd.json");
    g_autofree char *orphan = test_sandbox_path(sandbox, "orphan");
    g_autofree char *script = g_strdup_printf("#!/bin/sh\n(sh -c 'echo $$ >%s; exec sleep 0' &)\n"
                                              "exec qemu-system-x86_64 \"$@\"\n",
                                              orphan);
    g_autofree char *binary = test_sandbox_write_script(sandbox, "qemu", script);
    g_autofree char *setting = g_strdup_printf("qemu.binary=%s", binary);
    const char *argv[] = {"unshare",
                          "-rpf",
                          "--mount-proc",
                          "--kill-child",
                          test_launcher_path(),
                          "--config",
                          config,
                          "--name",
                          NAME,
                          "--set",
                          "qemu.accel=tcg",
                          "--set",
                          setting,
                          "--set",
                          "lifecycle.stop=quit",
                          NULL};

    g_autoptr(TestProcess) unshare = test_process_start(sandbox, argv, NULL, NULL);
    test_process_wait_err(unshare, ": running after ", 1);
    test_wait_file(orphan, "\n", 1);
    pid_t launcher = test_find_child(unshare->pid);
    /* Fails when there is another child than QEMU, a zombie too. */
    g_assert_cmpint(test_find_child(launcher), !=, 0);
    g_assert_no_errno(kill(launcher, SIGTERM));
    test_launcher_assert_exit(unshare, 0);
    test_sandbox_assert_clean(sandbox, TEST_NOTHING_LEFT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/surroundings/ignored/sigint", GINT_TO_POINTER(SIGINT), test_ignored_signal);
    test_add("/surroundings/ignored/sigterm", GINT_TO_POINTER(SIGTERM), test_ignored_signal);
    test_add("/surroundings/ignored/sighup", GINT_TO_POINTER(SIGHUP), test_ignored_signal);
    test_add("/surroundings/ignored/sighup-but-not-by-qemu", NULL, test_nohup);
    test_add_rows(test_add, "/surroundings/lack-of/", lacks, test_lack);
    test_add_rows(test_add, "/surroundings/", bearable, test_bearable);
    test_add_unless("/surroundings/masked-locks", NULL, test_masked_locks, test_why_no_mount);
    test_add("/surroundings/close-range-and-pidfd-open-refused/doctor", NULL,
             test_doctor_without_new_calls);
    test_add("/surroundings/clients-have-all-descriptors/restart", "lifecycle.on_crash=restart",
             test_clients_with_all_descriptors);
    test_add("/surroundings/clients-have-all-descriptors/record", "lifecycle.on_crash=exit",
             test_clients_with_all_descriptors);
    test_add("/surroundings/log-at-its-limit", NULL, test_log_at_its_limit);
    test_add_unless("/surroundings/first-process", NULL, test_first_process, test_why_no_mount);
    return g_test_run();
}
