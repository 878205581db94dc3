/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include "base/error.h"
#include "tests/unit/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* `(echo one; cvd-launch; echo two) >log`: nobody writes over the other's lines. */
static void test_file(void)
{
    cvd_autofd file = memfd_create("log", MFD_CLOEXEC);
    char text[16] = "";

    g_assert_cmpint(write(file, "one ", 4), ==, 4);
    cvd_autofd ours = cvd_fd_reopen_nonblocking(file, O_WRONLY | O_APPEND);
    g_assert_cmpint(cvd_fd_write_nowait(ours, "launcher ", 9), ==, 9);
    g_assert_cmpint(write(file, "two", 3), ==, 3);
    g_assert_cmpint(pread(file, text, sizeof text, 0), ==, 16);
    g_assert_cmpmem(text, sizeof text, "one launcher two", 16);
}

static gsize fill(int fd)
{
    static const char page[4096];
    gsize n_written = 0;

    for (gssize n; (n = cvd_fd_write_nowait(fd, page, sizeof page)) > 0;)
        n_written += (gsize)n;
    g_assert_cmpint(errno, ==, EAGAIN);
    return n_written;
}

static void test_pipe(void)
{
    int ends[2];

    g_assert_no_errno(pipe2(ends, O_CLOEXEC));
    cvd_autofd reader = ends[0], writer = ends[1];
    g_assert_cmpint(reader, >=, 0);
    cvd_autofd ours = cvd_fd_reopen_nonblocking(writer, O_WRONLY | O_APPEND);
    g_assert_cmpuint(fill(ours), ==, (gsize)fcntl(writer, F_GETPIPE_SZ));
    g_assert_cmpint(fcntl(writer, F_GETFL) & O_NONBLOCK, ==, 0);
}

/* One that could not be opened anew. */
static void test_blocking_pipe(void)
{
    int ends[2];

    g_assert_no_errno(pipe2(ends, O_CLOEXEC));
    cvd_autofd reader = ends[0], writer = ends[1];
    g_assert_cmpint(reader, >=, 0);
    char byte;
    g_assert_cmpint(cvd_fd_read_nowait(reader, &byte, 1), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    g_assert_cmpuint(fill(writer), ==, (gsize)fcntl(writer, F_GETPIPE_SZ));
    g_assert_cmpint(cvd_fd_read_nowait(reader, &byte, 1), ==, 1);
}

/* What is too long for such a pipe goes in part. */
static void test_long_line(void)
{
    int ends[2];

    g_assert_no_errno(pipe2(ends, O_CLOEXEC));
    cvd_autofd reader = ends[0], writer = ends[1];
    g_assert_cmpint(reader, >=, 0);
    gsize size = (gsize)fcntl(writer, F_GETPIPE_SZ) + 1, n_sent = 0;
    g_autofree char *line = g_malloc0(size);
    for (gssize n; (n = cvd_fd_write_nowait(writer, line, size)) > 0;)
        n_sent += (gsize)n;
    g_assert_cmpint(errno, ==, EAGAIN);
    g_assert_cmpuint(n_sent, ==, size - 1);
}

static void test_socket(void)
{
    int ends[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    cvd_autofd peer = ends[0], socket = ends[1];
    cvd_autofd ours = cvd_fd_reopen_nonblocking(socket, O_WRONLY | O_APPEND);
    g_assert_cmpuint(fill(ours), >, 0);
    g_assert_cmpint(fcntl(socket, F_GETFL) & O_NONBLOCK, ==, 0);
    cvd_close_fd(&peer);
    g_assert_cmpint(cvd_fd_write_nowait(ours, "x", 1), ==, -1); /* without SIGPIPE */
    g_assert_cmpint(errno, ==, EPIPE);
}

static void test_stdio(void)
{
    if (g_test_subprocess()) {
        char byte = 0;
        for (int fd = 0; fd <= 2; fd++)
            close(fd);
        if (cvd_fd_fill_stdio() < 0 || cvd_fd_fill_stdio() < 0)
            _exit(1);
        cvd_autofd next = memfd_create("next", MFD_CLOEXEC);
        if (next <= 2 || read(0, &byte, 1) >= 0 || errno != EBADF || write(1, &byte, 1) >= 0 ||
            errno != EBADF || write(2, &byte, 1) >= 0 || errno != EBADF)
            _exit(2);
        _exit(0);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
}

/* What is open stays what it is. */
static void test_open_stdio(void)
{
    if (g_test_subprocess()) {
        close(STDIN_FILENO);
        _exit(cvd_fd_fill_stdio() == 0 && write(STDOUT_FILENO, "said", 4) == 4 ? 0 : 1);
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stdout("*said");
}

enum {
    LIMIT_FINE,
    LIMIT_NOT_RAISED,
    LIMIT_NOT_REFUSED,
    LIMIT_BAD_TEXT,
    LIMIT_NOT_HELD_BACK,
    LIMIT_NOT_RESTORED,
};

static rlim_t get_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

/* Ten regions need 2 × 10 + 64 = 84 descriptors; eleven do not fit. */
static int raise_limit(gconstpointer data)
{
    static const struct {
        guint n_needed;
        rlim_t limit;
    } restored[] = {{32, 32}, {33, 33}, {85, 84}, {0, 32}};
    struct rlimit limit = {.rlim_cur = 32, .rlim_max = 84};
    const char *preload = g_getenv("LD_PRELOAD");
    g_autoptr(GError) error = NULL;

    if (preload != NULL && strstr(preload, "vgpreload") != NULL)
        return TEST_CHILD_SKIPS;
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &limit));
    if (cvd_raise_fd_limit(11, CVD_FDS_PER_REGION, &error) ||
        !g_error_matches(error, CVD_ERROR, CVD_ERROR_RESOURCES))
        return LIMIT_NOT_REFUSED;
    if (strstr(error->message, "11 regions need 86 ") == NULL ||
        strstr(error->message, "limit is 84;") == NULL)
        return LIMIT_BAD_TEXT;
    if (!cvd_raise_fd_limit(10, CVD_FDS_PER_REGION, NULL) || get_limit() != 84)
        return LIMIT_NOT_RAISED;
    if (!cvd_raise_fd_limit(10, CVD_FDS_PER_REGION, NULL)) /* there already */
        return LIMIT_NOT_RAISED;
    cvd_fd_hold_back(20);
    if (get_limit() != 64)
        return LIMIT_NOT_HELD_BACK;
    cvd_fd_hold_back(0);
    if (get_limit() != 84)
        return LIMIT_NOT_HELD_BACK;
    for (guint i = 0; i < G_N_ELEMENTS(restored); i++) {
        cvd_restore_fd_limit(restored[i].n_needed);
        if (get_limit() != restored[i].limit)
            return LIMIT_NOT_RESTORED;
    }
    return LIMIT_FINE;
}

static void test_limit(void)
{
    test_in_child(raise_limit, NULL, "valgrind keeps RLIMIT_NOFILE to itself");
}

/* Numbers in between, too. */
static void test_close_others(void)
{
    int fds[4], status;

    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        for (guint i = 0; i < 4; i++)
            fds[i] = fcntl(STDERR_FILENO, F_DUPFD, 10 * ((int)i + 1));
        cvd_fd_close_others((const int[]){fds[2], fds[0]}, 2);
        for (guint i = 0; i < 4; i++)
            if ((fcntl(fds[i], F_GETFD) >= 0) != (i % 2 == 0))
                _exit(1);
        _exit(fcntl(STDERR_FILENO, F_GETFD) >= 0 ? 0 : 2);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fd/file-keeps-the-offset-that-it-shares", test_file);
    g_test_add_func("/fd/full-pipe-does-not-block", test_pipe);
    g_test_add_func("/fd/full-pipe-that-others-let-block-does-not", test_blocking_pipe);
    g_test_add_func("/fd/line-longer-than-a-pipe-does-not-block", test_long_line);
    g_test_add_func("/fd/socket-neither-blocks-nor-raises-a-signal", test_socket);
    g_test_add_func("/fd/started-without-stdio", test_stdio);
    g_test_add_func("/fd/started-without-stdin", test_open_stdio);
    g_test_add_func("/fd/limit-raised-held-back-and-restored", test_limit);
    g_test_add_func("/fd/close-others", test_close_others);
    return g_test_run();
}
