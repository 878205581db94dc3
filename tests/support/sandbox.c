/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test's own corner of the machine, and the search for what was left in it. The directory's name
 * is the mark: it stands in the environment of every process that the test starts (as
 * XDG_RUNTIME_DIR, which QEMU inherits) and in the paths of its sockets, so /proc tells.
 */
#include "tests/support/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSandbox *test_sandbox_new(void)
{
    TestSandbox *sandbox = g_new0(TestSandbox, 1);

    sandbox->dir = g_strdup_printf("/tmp/cvdt-%d-XXXXXX", getpid());
    g_assert_nonnull(g_mkdtemp(sandbox->dir));
    sandbox->runtime = g_build_filename(sandbox->dir, "run", NULL);
    g_assert_cmpint(g_mkdir(sandbox->runtime, 0700), ==, 0);
    sandbox->token = g_path_get_basename(sandbox->dir);
    return sandbox;
}

void test_sandbox_set_environment(const TestSandbox *sandbox)
{
    g_autofree char *place = g_build_filename(sandbox->runtime, "cvd", NULL);
    g_autofree char *snapshots = g_build_filename(sandbox->dir, "snapshots", NULL);

    g_setenv("XDG_RUNTIME_DIR", sandbox->runtime, TRUE);
    g_setenv("CVD_RUNTIME_DIR", place, TRUE);
    g_setenv("CVD_SNAPSHOT_DIR", snapshots, TRUE);
}

char *test_sandbox_path(const TestSandbox *sandbox, const char *name)
{
    return g_build_filename(sandbox->dir, name, NULL);
}

char *test_sandbox_instance_path(const TestSandbox *sandbox, const char *instance, const char *name)
{
    return g_build_filename(sandbox->runtime, "cvd", instance, name, NULL);
}

char *test_sandbox_write(const TestSandbox *sandbox, const char *name, const char *content)
{
    char *path = test_sandbox_path(sandbox, name);
    g_autoptr(GError) error = NULL;

    g_file_set_contents_full(path, content, -1, G_FILE_SET_CONTENTS_NONE, 0644, &error);
    g_assert_no_error(error);
    return path;
}

char *test_layout_text(guint n_regions)
{
    GString *text = g_string_new("{\"vsoc_device_regions\":[");

    for (guint i = 0; i < n_regions; i++)
        g_string_append_printf(text,
                               "%s{\"device_name\":\"region%u\",\"current_version\":%u,"
                               "\"min_compatible_version\":0,\"region_size\":4096,"
                               "\"guest_to_host_signal_table\":{\"num_nodes_lg2\":1},"
                               "\"host_to_guest_signal_table\":{\"num_nodes_lg2\":1}}",
                               i > 0 ? "," : "", i, i);
    g_string_append(text, "]}");
    return g_string_free(text, FALSE);
}

char *test_sandbox_write_script(const TestSandbox *sandbox, const char *name, const char *content)
{
    char *path = test_sandbox_write(sandbox, name, content);

    g_assert_cmpint(g_chmod(path, 0755), ==, 0);
    return path;
}

static gboolean proc_file_has(const char *pid, const char *file, const char *token)
{
    g_autofree char *path = g_build_filename("/proc", pid, file, NULL);
    g_autofree char *content = NULL;
    gsize size;

    return g_file_get_contents(path, &content, &size, NULL) &&
           memmem(content, size, token, strlen(token)) != NULL;
}

static GArray *find_processes(const char *mark)
{
    GArray *pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(proc)) != NULL) {
        pid_t pid = atoi(name);
        if (pid > 0 && pid != getpid() &&
            (proc_file_has(name, "environ", mark) || proc_file_has(name, "cmdline", mark)))
            g_array_append_val(pids, pid);
    }
    return pids;
}

GArray *test_sandbox_find_processes(const TestSandbox *sandbox)
{
    return find_processes(sandbox->token);
}

pid_t test_sandbox_find_process(const TestSandbox *sandbox, const char *name)
{
    g_autoptr(GArray) pids = test_sandbox_find_processes(sandbox);

    for (guint i = 0; i < pids->len; i++) {
        pid_t pid = g_array_index(pids, pid_t, i);
        g_autofree char *path = g_strdup_printf("/proc/%d/comm", pid);
        g_autofree char *comm = NULL;
        if (g_file_get_contents(path, &comm, NULL, NULL) && g_str_has_prefix(comm, name))
            return pid;
    }
    g_error("there is no process %s", name);
}

static void assert_no_process(const TestSandbox *sandbox)
{
    g_autoptr(GArray) pids = test_sandbox_find_processes(sandbox);

    for (guint i = 0; i < pids->len; i++) {
        g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", g_array_index(pids, pid_t, i));
        g_autofree char *command = NULL;
        g_file_get_contents(path, &command, NULL, NULL);
        g_error("process %d is left: %s", g_array_index(pids, pid_t, i), command);
    }
}

static void assert_no_socket(const TestSandbox *sandbox)
{
    g_autofree char *sockets = NULL;

    g_assert_true(g_file_get_contents("/proc/net/unix", &sockets, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(sockets, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (strstr(*line, sandbox->token) != NULL)
            g_error("a socket is left: %s", *line);
}

static void assert_no_shm(const TestSandbox *sandbox)
{
    g_autoptr(GDir) shm = g_dir_open("/dev/shm", 0, NULL);
    const char *name;

    while (shm != NULL && (name = g_dir_read_name(shm)) != NULL)
        if (strstr(name, sandbox->token) != NULL || strcmp(name, "ivshmem") == 0)
            g_error("/dev/shm/%s is left", name);
}

/* The directory that all instances share may stay, empty. */
/* What a failure leaves to be looked at. */
static const char *const logs[] = {"console.log",  "console.log.1",  "qemu.log",
                                   "qemu.log.1",   "failure.json",   "window.img",
                                   "launcher.log", "launcher.log.1", NULL};

static void assert_no_file(const TestSandbox *sandbox, const char *dir, TestLeft expected)
{
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;

    while (entries != NULL && (name = g_dir_read_name(entries)) != NULL) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        struct stat st;
        g_assert_cmpint(lstat(path, &st), ==, 0);
        gboolean is_log = g_strv_contains(logs, name) ||
                          (g_str_has_suffix(dir, "/programs") && strstr(name, ".log") != NULL);
        gboolean is_shared = strcmp(dir, sandbox->runtime) == 0 && strcmp(name, "cvd") == 0;

        if (S_ISDIR(st.st_mode) && (is_shared || expected == TEST_LOGS_LEFT))
            assert_no_file(sandbox, path, expected);
        else if (!is_log || expected != TEST_LOGS_LEFT)
            g_error("%s is left", path);
    }
}

void test_sandbox_assert_clean(const TestSandbox *sandbox, TestLeft expected)
{
    assert_no_process(sandbox);
    assert_no_socket(sandbox);
    assert_no_shm(sandbox);
    assert_no_file(sandbox, sandbox->runtime, expected);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    if (remove(path) < 0)
        g_error("cannot remove %s: %s", path, g_strerror(errno));
    return 0;
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void test_sandbox_remove_of(pid_t pid)
{
    static const char *const places[] = {"/tmp", "/dev/shm"};
    g_autofree char *prefix = g_strdup_printf("cvdt-%d-", pid);
    g_autoptr(GArray) pids = find_processes(prefix);

    for (guint i = 0; i < pids->len; i++)
        kill(g_array_index(pids, pid_t, i), SIGKILL);
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GDir) dir = g_dir_open(places[i], 0, NULL);
        const char *name;
        while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
            g_autofree char *path = g_build_filename(places[i], name, NULL);
            if (g_str_has_prefix(name, prefix))
                remove_tree(path);
        }
    }
}

void test_sandbox_free(TestSandbox *sandbox)
{
    remove_tree(sandbox->dir);
    g_free(sandbox->dir);
    g_free(sandbox->runtime);
    g_free(sandbox->token);
    g_free(sandbox);
}

char *test_source_path(const char *name)
{
    const char *root = g_getenv("CVD_SOURCE_ROOT");

    if (root == NULL)
        g_error("CVD_SOURCE_ROOT is not set: run the tests through scripts/test or `meson test`");
    return g_build_filename(root, name, NULL);
}

static gboolean write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    gboolean ok = fd >= 0 && write(fd, text, strlen(text)) == (gssize)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

/* A user namespace without a map of ids is enough for mounting; the map keeps our own ids. */
static gboolean enter_user_namespace(void)
{
    g_autofree char *uid_map = g_strdup_printf("%u %u 1", getuid(), getuid());
    g_autofree char *gid_map = g_strdup_printf("%u %u 1", getgid(), getgid());

    return unshare(CLONE_NEWUSER) == 0 && write_text("/proc/self/setgroups", "deny") &&
           write_text("/proc/self/uid_map", uid_map) && write_text("/proc/self/gid_map", gid_map);
}

static gboolean enter_mount_namespace(void)
{
    if (geteuid() != 0 && !enter_user_namespace())
        return FALSE;
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

gboolean test_may_mount(void)
{
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0)
        _exit(enter_mount_namespace() && mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0 ? 0 : 1);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

char *test_why_no_mount(void)
{
    return test_may_mount() ? NULL : g_strdup("needs the right to mount in a namespace");
}

char *test_why_no_guest(void)
{
    return g_getenv("CVD_GUEST") != NULL ? NULL : g_strdup("the built-in guest was not built");
}

void test_enter_mount_namespace(void)
{
    if (!enter_mount_namespace())
        _exit(125);
}
