/* SPDX-License-Identifier: Apache-2.0 */
/* `ivshmem.migratable`: the guest is peer 0 and the host peer 1, the guest's RAM is memory of the
 * launcher's, and QEMU does not refuse to save the VM. */
#include "tests/support/ctl.h"
#include "tests/support/instance.h"
#include "tests/support/region.h"
#include "tests/support/rows.h"
#include "tests/support/vm.h"

#include "base/fd.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME       "migratable"
#define MIGRATABLE "--set=ivshmem.migratable=true"
#define RAM_SIZE   (64 << 20)

#define START(...) test_instance_start(NAME, (const char *const[]){MIGRATABLE, __VA_ARGS__, NULL})

static char *ctl(const TestInstance *f, const char *verb, const char *first, const char *second)
{
    return test_ctl_finish(test_ctl(f->sandbox, "--name=" NAME, verb, first, second, NULL), 0);
}

static void ping_all(const TestInstance *f)
{
    g_autoptr(GPtrArray) names = test_list_regions(f->client_socket);

    for (guint i = 0; i < names->len; i++)
        test_ping(f->client_socket, names->pdata[i]);
}

/* Whose RAM both have open: of the right size, and no file that has a name. */
static ino_t assert_ram(const TestInstance *f, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    ino_t found = 0;
    const char *name;

    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *link = g_build_filename(path, name, NULL);
        g_autofree char *target = g_file_read_link(link, NULL);
        struct stat info;

        if (g_strcmp0(target, "/memfd:cvd-ram (deleted)") != 0)
            continue;
        g_assert_no_errno(stat(link, &info));
        g_assert_cmpint(info.st_size, ==, RAM_SIZE);
        g_assert_cmpint(info.st_mode & 0777, ==, 0666);
        g_assert_true(found == 0 || found == info.st_ino);
        found = info.st_ino;
    }
    g_assert_cmpuint(found, !=, 0);
    return found;
}

static void test_serves(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--set=lifecycle.ready=guest", "--set=qemu.memory=64M");

    test_ctl_done(test_ctl(f->sandbox, "--name=" NAME, "wait", "--timeout", "60", "ready", NULL));
    ping_all(f);
    ino_t first = assert_ram(f, f->launcher->pid);
    g_assert_cmpuint(assert_ram(f, test_launcher_find_qemu(f->launcher)), ==, first);

    g_free(ctl(f, "reset", NULL, NULL));
    test_process_wait_err(f->launcher, NAME ": ready again: the guest said so", 1);
    ping_all(f);
    g_assert_cmpuint(assert_ram(f, f->launcher->pid), ==, first);

    g_free(ctl(f, "restart", NULL, NULL));
    test_process_wait_err(f->launcher, NAME ": ready after ", 2);
    ping_all(f);
    ino_t second = assert_ram(f, f->launcher->pid);
    g_assert_cmpuint(assert_ram(f, test_launcher_find_qemu(f->launcher)), ==, second);
    g_assert_cmpuint(second, !=, first);
    test_instance_stop(f, SIGINT);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cvd_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpuint(strlen(path), <, sizeof address.sun_path);
    strcpy(address.sun_path, path);
    g_assert_no_errno(bind(fd, (struct sockaddr *)&address, sizeof address));
    g_assert_no_errno(listen(fd, 1));
    return g_steal_fd(&fd);
}

/* Returns: the size of the stream that QEMU sends, to its end */
static gsize receive_stream(int listening)
{
    static char bytes[1 << 16];
    cvd_autofd fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    gsize size = 0;
    gssize n;

    g_assert_cmpint(fd, >=, 0);
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        if (size == 0)
            g_assert_cmpmem(bytes, 4, "QEVM", 4);
        size += (gsize)n;
    }
    g_assert_cmpint(n, ==, 0);
    return size;
}

/* Without RAM and window, which are shared with the launcher: some 100 kB. Afterwards it goes on.
 */
static void test_saves(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--set=qemu.memory=64M");
    g_autofree char *path = test_sandbox_path(f->sandbox, "stream");
    g_autofree char *uri = g_strconcat("uri=unix:", path, NULL);
    cvd_autofd listening = listen_at(path);

    test_instance_wait_guest(f, 1);
    g_free(ctl(f, "qmp", "stop", NULL));
    g_free(ctl(f, "qmp", "migrate-set-capabilities",
               "capabilities=[{\"capability\":\"x-ignore-shared\",\"state\":true}]"));
    g_free(ctl(f, "qmp", "migrate", uri));
    g_assert_cmpuint(receive_stream(listening), <, 4 << 20);
    cvd_close_fd(&listening);
    g_autofree char *status = ctl(f, "qmp", "query-migrate", NULL);
    g_assert_nonnull(strstr(status, "\"status\" : \"completed\""));
    g_free(ctl(f, "qmp", "cont", NULL));
    ping_all(f);
    test_instance_stop(f, SIGINT);
}

/* What is the case for all others, and why they cannot be saved. */
static void test_others_are_refused(gconstpointer data)
{
    g_autoptr(TestInstance) f = test_instance_boot(NAME, NULL);
    g_autoptr(TestProcess) migrate =
        test_ctl(f->sandbox, "--name=" NAME, "qmp", "migrate", "uri=unix:/nowhere", NULL);

    g_assert_cmpint(test_process_wait_exit(migrate), ==, 1);
    g_assert_nonnull(strstr(migrate->err->str, "peer mode"));
    test_instance_stop(f, SIGINT);
}

/* Somebody else's VM: a QEMU, as the arguments on stdout say, and cvd-vm, which takes either
 * number.
 */
static void test_vm_of_others(gconstpointer data)
{
    g_autoptr(TestInstance) f = START("--serve-only", "--set=lifecycle.ready=guest");

    test_process_wait_err(f->launcher, ": serving without a VM", 1);
    test_process_wait_out(f->launcher, "\"master\":\"on\"", 1);
    g_autoptr(TestProcess) vm = test_vm_start(f->sandbox, "--socket", f->vm_socket, NULL);
    test_process_wait_err(f->launcher, NAME ": guest is ready", 1);
    ping_all(f);
    test_process_signal(vm, SIGTERM);
    g_assert_cmpint(test_process_wait_exit(vm), ==, 0);
    test_process_wait_err(f->launcher, "VM detached", 1);
    test_launcher_stop_clean(f->launcher, SIGTERM, f->sandbox);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/migratable/serves", NULL, test_serves);
    test_add("/migratable/saves", NULL, test_saves);
    test_add("/migratable/others-are-refused", NULL, test_others_are_refused);
    test_add("/migratable/serve-only", NULL, test_vm_of_others);
    return g_test_run();
}
