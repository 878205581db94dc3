/* SPDX-License-Identifier: Apache-2.0 */
/* Which file is taken for a disk, by what QEMU has open, whose place another process has here. */
#include "launcher/disk-file.h"

#include "base/error.h"
#include "base/fd.h"
#include "tests/support/process.h"
#include "tests/support/rows.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB      (1024 * 1024)
#define OTHER    "another file has that name now"
#define NO_QCOW2 "is no qcow2 file that QEMU may read"

typedef struct {
    const char *title;
    const char *commands; /* with a disk `d` that is open, and another one, `e` */
    gboolean is_hidden;   /* what the process has open */
    guint64 size;         /* as QEMU says */
    const char *error;    /* NULL: it is taken */
} Row;

static const Row rows[] = {
    {"the-same", "true", FALSE, MIB, NULL},
    {"the-same-of-another-size", "true", FALSE, 2 * MIB, NULL},
    {"by-a-link", "mv d c; ln -s c d", FALSE, MIB, NULL},
    {"another", "mv d c; cp e d", FALSE, MIB, OTHER},
    {"another-of-the-same-size", "cp d c; mv c d", FALSE, MIB, OTHER},
    {"link-to-another", "ln -sf e d", FALSE, MIB, OTHER},
    {"hidden", "true", TRUE, MIB, NULL},
    {"hidden-without-a-size", "true", TRUE, 0, NULL},
    {"hidden-with-half-a-sector", "true", TRUE, MIB + 100, NULL},
    {"hidden-and-another", "mv e d", TRUE, MIB, OTHER},
    {"no-qcow2", "echo >d", FALSE, MIB, NO_QCOW2},
    {"link-to-no-qcow2", "ln -sf /etc/passwd d", FALSE, MIB, NO_QCOW2},
    {"none", "rm d", FALSE, MIB, "d: No such file or directory"},
};

static char *make_disk(const TestSandbox *sandbox, const char *name, guint64 size)
{
    guint8 head[104] = "QFI\xfb";
    char *path = test_sandbox_path(sandbox, name);

    size = GUINT64_TO_BE(size);
    memcpy(head + 24, &size, sizeof size);
    g_assert_true(g_file_set_contents(path, (char *)head, sizeof head, NULL));
    return path;
}

static TestProcess *start_shell(const TestSandbox *sandbox, const char *command)
{
    const char *const argv[] = {"sh", "-c", command, sandbox->dir, NULL};

    return test_process_start(sandbox, argv, NULL, NULL);
}

static int open_fds(const TestProcess *process)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", process->pid);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    g_assert_no_errno(fd);
    return fd;
}

static void test_row(gconstpointer data)
{
    const Row *row = data;
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *path = make_disk(sandbox, "d", MIB);
    g_autoptr(TestProcess) qemu =
        start_shell(sandbox, "exec 3<$0/d; echo it is open; exec sleep 1000");
    const CvdSaveDisk disk = {.path = path, .size = row->size};
    g_autoptr(GError) error = NULL;

    g_free(make_disk(sandbox, "e", 2 * MIB));
    test_process_wait_out(qemu, "it is open", 1);
    g_autofree char *commands = g_strdup_printf("cd $0; %s", row->commands);
    g_autoptr(TestProcess) shell = start_shell(sandbox, commands);
    g_assert_cmpint(test_process_wait_exit(shell), ==, 0);

    cvd_autofd process_fd = row->is_hidden ? -1 : open_fds(qemu);
    g_autoptr(GArray) files = cvd_disk_list_open(process_fd);
    g_assert_true((files == NULL) == row->is_hidden);
    cvd_autofd fd = cvd_disk_open_file(&disk, NULL, files, &error);
    if (row->error == NULL) {
        g_assert_no_error(error);
        g_assert_cmpint(fd, >=, 0);
        return;
    }
    g_assert_error(error, CVD_ERROR, CVD_ERROR_FAILED);
    if (strstr(error->message, row->error) == NULL || strstr(error->message, path) == NULL)
        g_error("\"%s\" does not have \"%s\" and %s", error->message, row->error, path);
}

/* A process that has ended, and whose number another may have, has nothing open. */
static void test_ended(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(TestProcess) qemu = start_shell(sandbox, "exec sleep 1000");
    cvd_autofd process_fd = open_fds(qemu);

    test_process_signal(qemu, SIGKILL);
    test_process_wait_end(qemu);
    g_assert_null(cvd_disk_list_open(process_fd));
}

static void test_nothing(gconstpointer data)
{
    test_skip("valgrind has no pidfd_open(2)");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (g_getenv("CVD_UNDER_VALGRIND") != NULL) {
        test_add("/disk-file", NULL, test_nothing);
        return g_test_run();
    }
    test_add_rows(test_add, "/disk-file/", rows, test_row);
    test_add("/disk-file/process-has-ended", NULL, test_ended);
    return g_test_run();
}
