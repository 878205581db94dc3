/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access rules with the real server: as other users, where the test may become one, and with rules
 * that give this user less than everything.
 */
#include "base/fd.h"
#include "tests/support/region.h"
#include "tests/support/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER_UID 65534
#define NAME      "access"

typedef struct {
    TestSandbox *sandbox;
    TestProcess *launcher;
    char *socket;
} Fixture;

/* The client socket is where everybody can reach it; the rest is the rules' business. */
static Fixture *serve(const char *rules)
{
    Fixture *f = g_new0(Fixture, 1);

    f->sandbox = test_sandbox_new();
    f->socket = test_sandbox_path(f->sandbox, "client.sock");
    g_assert_no_errno(chmod(f->sandbox->dir, 0711));
    g_autofree char *socket = g_strdup_printf("sockets.client=%s", f->socket);
    g_autofree char *config = test_source_path("conf/cvd.json");
    const char *argv[] = {g_getenv("CVD_LAUNCH"),
                          "--serve-only",
                          "--config",
                          config,
                          "--name",
                          NAME,
                          "--set",
                          socket,
                          "--set",
                          "sockets.mode=0666",
                          rules != NULL ? "--set" : NULL,
                          rules,
                          NULL};
    f->launcher = test_process_start(f->sandbox, argv, NULL, NULL);
    test_process_wait_err(f->launcher, "serving without a VM", 1);
    return f;
}

static void finish(Fixture *f)
{
    test_process_signal(f->launcher, SIGTERM);
    g_assert_cmpint(test_process_wait_exit(f->launcher), ==, 0);
    unlink(f->socket);
    test_process_free(f->launcher);
    test_sandbox_assert_clean(f->sandbox, TEST_NOTHING_LEFT);
    test_sandbox_free(f->sandbox);
    g_free(f->socket);
    g_free(f);
}

typedef void (*AsOther)(const Fixture *f);

/* In a process of another user, with a group more. Returns: whether this user may become another */
static gboolean as_other(const Fixture *f, gid_t group, AsOther what)
{
    int status;

    if (geteuid() != 0) {
        test_skip("only root can become another user");
        return FALSE;
    }
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(1, &group) < 0 || setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
            setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
            _exit(1);
        what(f);
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    return TRUE;
}

static void talk(const char *socket, const char *text, const char *answer)
{
    cvd_autofd fd = test_connect(socket);
    g_autoptr(GString) got = g_string_new(NULL);

    g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, (gssize)strlen(text));
    while (got->len < strlen(answer)) {
        char bytes[256];
        gssize n = recv(fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            break;
        g_string_append_len(got, bytes, n);
    }
    g_assert_cmpstr(got->str, ==, answer);
}

static void learns_nothing(const Fixture *f)
{
    talk(f->socket, "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x00000007GET REGION: sensors",
         "PROTOCOL_VER 00xffffffff");
    talk(f->socket, "GET PROTOCOL_VERGET REGIONS", "PROTOCOL_VER 00xffffffff");
}

static void test_default(gconstpointer data)
{
    Fixture *f = serve(NULL);
    g_autoptr(GPtrArray) own = test_list_regions(f->socket);

    g_assert_cmpuint(own->len, ==, 5);
    if (as_other(f, OTHER_UID, learns_nothing))
        test_process_wait_err(f->launcher, "it may not have", 1);
    finish(f);
}

static int receive_window(const char *socket, const char *name)
{
    cvd_autofd fd = test_connect(socket);
    g_autofree char *text = g_strdup_printf(
        "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x%08xGET REGION: %s", (guint)strlen(name), name);
    int passed[3] = {-1, -1, -1};
    guint n_passed = 0;

    g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, (gssize)strlen(text));
    while (n_passed < 3) {
        char bytes[64];
        int one;
        test_wait_readable(fd, "the descriptors");
        gssize n = cvd_socket_receive(fd, bytes, sizeof bytes, &one, 1);
        g_assert_cmpint(n, >, 0);
        if (one >= 0)
            passed[n_passed++] = one;
    }
    close(passed[0]);
    close(passed[1]);
    return passed[2];
}

static void assert_denied(const char *path, int flags)
{
    g_assert_cmpint(open(path, flags | O_CLOEXEC), ==, -1);
    g_assert_cmpint(errno, ==, EACCES);
}

/* What the mode of the memfd prevents: opening it once more, for writing. And the launcher's own
 * descriptor of it is out of reach, as is its memory. */
static void only_reads(const Fixture *f)
{
    cvd_autofd window = receive_window(f->socket, "sensors");
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", window);
    g_autofree char *fds = g_strdup_printf("/proc/%d/fd", f->launcher->pid);
    g_autofree char *memory = g_strdup_printf("/proc/%d/mem", f->launcher->pid);
    cvd_autofd launcher = pidfd_open(f->launcher->pid, 0);

    g_assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, window, 0) == MAP_FAILED);
    g_assert_cmpint(errno, ==, EACCES);
    assert_denied(path, O_RDWR);
    assert_denied(path, O_RDONLY);
    g_assert_cmpint(fchmod(window, 0666), ==, -1);
    assert_denied(fds, O_RDONLY);
    assert_denied(memory, O_RDWR);
    if (launcher >= 0) { /* not under valgrind */
        g_assert_cmpint(pidfd_getfd(launcher, 0, 0), ==, -1);
        g_assert_cmpint(errno, ==, EPERM);
    }
    g_assert_true(mmap(NULL, 4096, PROT_READ, MAP_SHARED, window, 0) != MAP_FAILED);
}

static void test_other_reads(gconstpointer data)
{
    Fixture *f = serve("access=[{\"user\":\"*\",\"mode\":\"ro\"}]");

    as_other(f, OTHER_UID, only_reads);
    finish(f);
}

/* And what it does not: the same user can, whatever descriptor the server gives. */
static void test_own_user_reopens(gconstpointer data)
{
    Fixture *f = serve("access=[{\"user\":\"*\",\"mode\":\"ro\"}]");
    cvd_autofd window = receive_window(f->socket, "sensors");
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", window);
    cvd_autofd again = open(path, O_RDWR | O_CLOEXEC);

    g_assert_cmpint(again, >=, 0);
    g_assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED);
    finish(f);
}

/* The window is one object: a rule for one region hides the others' names, not their bytes. */
static void test_whole_window(gconstpointer data)
{
    Fixture *f = serve("access=[{\"user\":\"*\",\"regions\":[\"sensors\"],\"mode\":\"rw\"}]");
    cvd_autofd window = receive_window(f->socket, "sensors");
    g_autoptr(GPtrArray) names = test_list_regions(f->socket);
    char *map = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_SHARED, window, 0);
    char byte = 0;

    g_assert_cmpuint(names->len, ==, 1);
    g_assert_true(map != MAP_FAILED);
    g_assert_nonnull(memmem(map, 0x1000, "hwcomposer", 10));
    map[0x1000] = 1; /* where that begins */
    g_assert_cmpint(pread(window, &byte, 1, 0x1000), ==, 1);
    g_assert_cmpint(byte, ==, 1);
    finish(f);
}

static void gets_one_region(const Fixture *f)
{
    g_autoptr(GPtrArray) names = test_list_regions(f->socket);

    g_assert_cmpuint(names->len, ==, 1);
    g_assert_cmpstr(g_ptr_array_index(names, 0), ==, "sensors");
    talk(f->socket, "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x0000000aGET REGION: hwcomposer",
         "PROTOCOL_VER 00xffffffff");
    cvd_autofd window = receive_window(f->socket, "sensors");
    g_assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, window, 0) != MAP_FAILED);
}

static void test_group(gconstpointer data)
{
    Fixture *f = serve("access=[{\"group\":4711,\"regions\":[\"sensors\"],\"mode\":\"rw\"}]");

    if (as_other(f, 4711, gets_one_region))
        as_other(f, 4712, learns_nothing);
    finish(f);
}

static char *run_client(const Fixture *f, int expected, const char *const *arguments)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();

    g_ptr_array_add(argv, (char *)g_getenv("CVD_CLIENT"));
    g_ptr_array_add(argv, (char *)"--socket");
    g_ptr_array_add(argv, f->socket);
    for (; *arguments != NULL; arguments++)
        g_ptr_array_add(argv, (char *)*arguments);
    g_ptr_array_add(argv, NULL);
    g_autoptr(TestProcess) client =
        test_process_start(f->sandbox, (const char *const *)argv->pdata, NULL, NULL);
    int status = test_process_wait_exit(client);
    if (status != expected)
        test_process_fail(client, "exit status %d instead of %d", status, expected);
    return g_strconcat(client->out->str, client->err->str, NULL);
}

#define CLIENT(f, status, ...) run_client(f, status, (const char *const[]){__VA_ARGS__, NULL})

static void test_client_reads(gconstpointer data)
{
    Fixture *f = serve("access=[{\"user\":\"*\",\"regions\":[\"sensors\"],\"mode\":\"ro\"}]");

    g_autofree char *list = CLIENT(f, 0, "list");
    g_assert_nonnull(strstr(list, "sensors"));
    g_assert_null(strstr(list, "hwcomposer"));
    g_autofree char *read = CLIENT(f, 0, "read", "sensors", "0x40", "16");
    g_assert_nonnull(strstr(read, "00 00 00 00"));
    g_autofree char *info = CLIENT(f, 0, "info", "sensors");
    g_assert_nonnull(strstr(info, "sensors"));
    g_autofree char *file = test_sandbox_path(f->sandbox, "dump");
    g_autofree char *dump = CLIENT(f, 0, "dump", "sensors", file);
    g_assert_nonnull(strstr(dump, "SHA-256"));
    const char *const writers[][4] = {{"write", "sensors", "0x40", "1"},
                                      {"signal", "sensors", "0x40", NULL},
                                      {"ping", "sensors", NULL, NULL},
                                      {"wait", "sensors", NULL, NULL},
                                      {"restore", "sensors", file, NULL}};
    for (gsize i = 0; i < G_N_ELEMENTS(writers); i++) {
        g_autofree char *refused =
            CLIENT(f, 1, writers[i][0], writers[i][1], writers[i][2], writers[i][3]);
        g_assert_nonnull(strstr(refused, "may only read it"));
    }
    g_autofree char *hidden = CLIENT(f, 1, "read", "hwcomposer", "0x40", "16");
    g_assert_nonnull(strstr(hidden, "no region"));
    unlink(file);
    finish(f);
}

static void test_client_is_denied(gconstpointer data)
{
    Fixture *f = serve("access=[]");

    g_autofree char *list = CLIENT(f, 1, "list");
    g_assert_nonnull(strstr(list, "may have none of the regions"));
    finish(f);
}

/* ---- The control socket ---- */

static char *control_path(const Fixture *f)
{
    return test_sandbox_instance_path(f->sandbox, NAME, "control.sock");
}

static gboolean is_closed_by_server(int fd)
{
    char byte;

    return recv(fd, &byte, 1, 0) == 0;
}

static void is_kept_out_by_the_directory(const Fixture *f)
{
    g_autofree char *path = control_path(f);

    g_assert_cmpint(test_try_connect(path), ==, -1);
    g_assert_cmpint(errno, ==, EACCES);
}

static void is_kept_out_by_the_uid(const Fixture *f)
{
    g_autofree char *path = control_path(f);
    cvd_autofd fd = test_connect(path);

    g_assert_true(is_closed_by_server(fd));
}

/* As if somebody had opened the way to it. */
static void open_the_way(const Fixture *f)
{
    g_autofree char *path = control_path(f);
    g_autofree char *own = g_path_get_dirname(path);
    g_autofree char *shared = g_path_get_dirname(own);

    g_assert_no_errno(chmod(path, 0666));
    g_assert_no_errno(chmod(own, 0711));
    g_assert_no_errno(chmod(shared, 0711));
    g_assert_no_errno(chmod(f->sandbox->runtime, 0711));
}

static void test_control_of_another(gconstpointer data)
{
    Fixture *f = serve(NULL);

    if (as_other(f, OTHER_UID, is_kept_out_by_the_directory)) {
        open_the_way(f);
        as_other(f, OTHER_UID, is_kept_out_by_the_uid);
        test_process_wait_err(f->launcher, "it is another user's", 1);
    }
    finish(f);
}

static void test_control_limit(gconstpointer data)
{
    enum {
        LIMIT = 32
    };
    Fixture *f = serve(NULL);
    g_autofree char *path = control_path(f);
    int held[LIMIT];
    char byte;

    for (guint i = 0; i < LIMIT; i++)
        held[i] = test_connect(path);
    cvd_autofd more = test_connect(path);
    g_assert_true(is_closed_by_server(more));
    test_process_wait_err(f->launcher, "too many connections", 1);
    for (guint i = 0; i < LIMIT; i++) {
        g_assert_cmpint(recv(held[i], &byte, 1, MSG_DONTWAIT), ==, -1);
        g_assert_cmpint(errno, ==, EAGAIN);
        close(held[i]);
    }
    finish(f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/access/default", NULL, test_default);
    test_add("/access/other-user-reads", NULL, test_other_reads);
    test_add("/access/own-user-reopens", NULL, test_own_user_reopens);
    test_add("/access/one-region-is-the-whole-window", NULL, test_whole_window);
    test_add("/access/group", NULL, test_group);
    test_add("/access/client-reads", NULL, test_client_reads);
    test_add("/access/client-is-denied", NULL, test_client_is_denied);
    test_add("/access/control-socket-of-another-user", NULL, test_control_of_another);
    test_add("/access/32-at-the-control-socket-and-one-more", NULL, test_control_limit);
    return g_test_run();
}
