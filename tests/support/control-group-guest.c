/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launcher/control-group.c where all controllers are of version 2: the only program of a Linux
 * guest, whose output is TAP (tests/e2e/control_groups.py).
 */
#include "base/error.h"
#include "launcher/control-group.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"
#define MIB  (1024 * 1024)

static const CvdControlGroupLimits both = {.weight = 50, .memory_bytes = 64 * MIB};

/* ---- What the tests need ---- */

static void write_to(const char *dir, const char *file, const char *text)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    int fd = open(path, O_WRONLY);

    g_assert_no_errno(fd);
    g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
    close(fd);
}

static char *read_from(const char *dir, const char *file)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    g_autoptr(GError) error = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static void assert_file(const char *dir, const char *file, const char *expected)
{
    g_autofree char *text = read_from(dir, file);

    g_assert_cmpstr(text, ==, expected);
}

/* A new control group below ROOT, in which this process is from now on. */
static void enter(const char *name)
{
    g_autofree char *dir = g_build_filename(ROOT, name, NULL);

    g_assert_no_errno(g_mkdir(dir, 0755));
    write_to(dir, "cgroup.procs", "0");
}

static char *get_dir(const char *place, const char *name)
{
    return g_strdup_printf("%s/cvd-launch-%s-%d", place, name, getpid());
}

static void assert_fails(const CvdControlGroupLimits *limits, const char *expected)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(cvd_control_group_new("vm", limits, &error));
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    if (strstr(error->message, expected) == NULL)
        g_error("\"%s\" does not say \"%s\"", error->message, expected);
}

static CvdControlGroup *make(const CvdControlGroupLimits *limits)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(cvd_control_group_check(limits, &error));
    g_assert_no_error(error);
    CvdControlGroup *cgroup = cvd_control_group_new("vm", limits, &error);
    g_assert_no_error(error);
    return cgroup;
}

/* A process of the group that writes to so much memory. Returns: how it ended */
static int use_memory(const CvdControlGroup *cgroup, gsize size)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        if (write(cvd_control_group_get_fd(cgroup), "0", 1) != 1)
            _exit(2);
        volatile char *memory = g_malloc(size);
        for (gsize i = 0; i < size; i += 4096)
            memory[i] = 1;
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return status;
}

/* ---- The tests ---- */

static void test_limits(void)
{
    enter("limits");
    CvdControlGroup *cgroup = make(&both);
    g_autofree char *dir = get_dir(ROOT "/limits", "vm");

    assert_file(dir, "cpu.weight", "50\n");
    assert_file(dir, "memory.max", "67108864\n");
    assert_file("/proc/self", "cgroup", "0::/limits/cvd-launch\n");
    cvd_control_group_free(cgroup);
    g_assert_false(g_file_test(dir, G_FILE_TEST_EXISTS));
}

static void test_one_limit(void)
{
    enter("weight");
    CvdControlGroup *cgroup = make(&(CvdControlGroupLimits){.weight = 10000});

    assert_file(ROOT "/weight", "cgroup.subtree_control", "cpu\n");
    g_assert_cmpint(use_memory(cgroup, 100 * MIB), ==, 0);
    g_assert_cmpuint(cvd_control_group_take_oom_kills(cgroup), ==, 0);
    cvd_control_group_free(cgroup);
}

/* One that keeps to the limit lives, and each that does not is counted once. */
static void test_out_of_memory(void)
{
    enter("memory");
    CvdControlGroup *cgroup = make(&both);

    g_assert_cmpint(use_memory(cgroup, 32 * MIB), ==, 0);
    g_assert_cmpuint(cvd_control_group_take_oom_kills(cgroup), ==, 0);
    for (guint i = 0; i < 2; i++) {
        int status = use_memory(cgroup, 100 * MIB);
        g_assert_true(WIFSIGNALED(status));
        g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
        g_assert_cmpuint(cvd_control_group_take_oom_kills(cgroup), ==, 1);
        g_assert_cmpuint(cvd_control_group_take_oom_kills(cgroup), ==, 0);
    }
    cvd_control_group_free(cgroup);
}

/* What is started by a launcher, or by what has started one, is in the leaf from the beginning. */
static void test_second_launcher(void)
{
    enter("two");
    CvdControlGroup *first = make(&both);
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        g_autoptr(GError) error = NULL;
        CvdControlGroup *second = cvd_control_group_new("vm", &both, &error);
        g_autofree char *dir = get_dir(ROOT "/two", "vm");
        gboolean is_there = second != NULL && g_file_test(dir, G_FILE_TEST_IS_DIR);
        if (second != NULL)
            cvd_control_group_free(second);
        _exit(is_there ? 0 : 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    cvd_control_group_free(first);
}

static void test_other_process(void)
{
    enter("shared");
    pid_t pid = fork();

    if (pid == 0) {
        execl("/bin/sleep", "sleep", "1000", NULL);
        _exit(1);
    }
    g_autofree char *comm = g_strdup_printf("/proc/%d", pid);
    g_autofree char *text = read_from(comm, "comm");
    while (strcmp(text, "sleep\n") != 0) { /* until it is another program */
        g_free(text);
        text = read_from(comm, "comm");
    }
    g_autofree char *expected = g_strdup_printf("such as %d; start cvd-launch in", pid);
    assert_fails(&both, expected);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    cvd_control_group_free(make(&both));
}

static void test_no_controller(void)
{
    g_autoptr(GError) error = NULL;

    enter("bare");
    g_assert_no_errno(g_mkdir(ROOT "/bare/below", 0755));
    write_to(ROOT "/bare/below", "cgroup.procs", "0");
    assert_fails(&both, "qemu.cpus.weight: the control group " ROOT "/bare/below has no controller "
                        "cpu (cgroup.controllers); start cvd-launch in");
    g_assert_false(cvd_control_group_check(&(CvdControlGroupLimits){.memory_bytes = MIB}, &error));
    if (strstr(error->message, "qemu.memory_limit: the control group") == NULL)
        g_error("it says \"%s\"", error->message);
}

/* The number of a launcher that is gone; one of this program's, and one of another instance. */
static void test_left_over(void)
{
    enter("left");
    g_autofree char *lives = g_strdup_printf(ROOT "/left/cvd-launch-vm-%d", getppid());

    g_assert_no_errno(g_mkdir(ROOT "/left/cvd-launch-vm-999999", 0755));
    g_assert_no_errno(g_mkdir(ROOT "/left/cvd-launch-other-999999", 0755));
    g_assert_no_errno(g_mkdir(lives, 0755));
    cvd_control_group_free(make(&both));
    g_assert_false(g_file_test(ROOT "/left/cvd-launch-vm-999999", G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(ROOT "/left/cvd-launch-other-999999", G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(lives, G_FILE_TEST_EXISTS));
}

static void test_not_allowed(void)
{
    enter("root-only");
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        g_autoptr(GError) error = NULL;
        gboolean is_refused = setuid(65534) == 0 && !cvd_control_group_check(&both, &error) &&
                              strstr(error->message, "cgroup.procs: Permission denied") != NULL;
        _exit(is_refused ? 0 : 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv)
{
    char *arguments[] = {argv[0], (char *)"-k", NULL};
    int n = 2;
    char **pointer = arguments;

    if (mount("cgroup2", ROOT, "cgroup2", 0, NULL) < 0)
        g_error(ROOT ": %s", g_strerror(errno));
    write_to(ROOT, "cgroup.subtree_control", "+cpu +memory");
    g_test_init(&n, &pointer, NULL);
    g_test_add_func("/control-groups/limits", test_limits);
    g_test_add_func("/control-groups/one-limit", test_one_limit);
    g_test_add_func("/control-groups/out-of-memory", test_out_of_memory);
    g_test_add_func("/control-groups/second-launcher", test_second_launcher);
    g_test_add_func("/control-groups/other-process", test_other_process);
    g_test_add_func("/control-groups/no-controller", test_no_controller);
    g_test_add_func("/control-groups/left-over", test_left_over);
    g_test_add_func("/control-groups/not-allowed", test_not_allowed);
    return g_test_run();
}
