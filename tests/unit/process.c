/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include "base/fd.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_text(void)
{
    CvdProcessId self = cvd_process_id_get(getpid()), parent = cvd_process_id_get(getppid()), id;
    g_autofree char *one = cvd_process_id_format(self);
    g_autofree char *none = cvd_process_id_format((CvdProcessId){0});
    g_autofree char *other = cvd_process_id_format(parent);
    g_autofree char *text = g_strconcat("x\n", one, none, other, "\n", NULL);
    const char *next = text + 1;

    g_assert_true(cvd_process_id_parse(&next, &id));
    g_assert_cmpint(id.pid, ==, getpid());
    g_assert_cmpuint(id.start_time, ==, self.start_time);
    g_assert_true(cvd_process_id_parse(&next, &id));
    g_assert_cmpint(id.pid, ==, getppid());
    g_assert_false(cvd_process_id_parse(&next, &id));
    next = text;
    g_assert_false(cvd_process_id_parse(&next, &id));
}

static void end(CvdProcessId id)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = cvd_process_id_format(id);

    cvd_process_end_all(text, &error);
    g_assert_no_error(error);
}

/* A number that another process has had before, and one whose process is a zombie. */
static void test_is_alive(void)
{
    CvdProcessId self = cvd_process_id_get(getpid());

    g_assert_true(cvd_process_id_is_alive(self));
    self.start_time--;
    g_assert_false(cvd_process_id_is_alive(self));
    g_assert_false(cvd_process_id_is_alive((CvdProcessId){0}));
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    CvdProcessId child = cvd_process_id_get(pid);
    g_assert_true(cvd_process_id_is_alive(child));
    end(child);
    g_assert_false(cvd_process_id_is_alive(child));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(WTERMSIG(status), ==, SIGHUP);
    end(child); /* it has already */
}

/* One that does not listen is killed. */
static void test_end_by_force(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGHUP, SIG_IGN);
        raise(SIGSTOP);
        pause();
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, WUNTRACED), ==, pid);
    end(cvd_process_id_get(pid));
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(WTERMSIG(status), ==, SIGKILL);
}

/* Not the one that made the socket. */
static void test_sender(void)
{
    int ends[2];
    char byte;

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    cvd_autofd ours = ends[0], theirs = ends[1];
    cvd_socket_watch_sender(ours);
    g_assert_cmpint(cvd_socket_peek_sender(ours), ==, 0);
    cvd_socket_watch_sender(ours);
    pid_t pid = fork();
    if (pid == 0)
        _exit(write(theirs, "x", 1) == 1 ? 0 : 1);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    g_assert_cmpint(cvd_socket_peek_sender(ours), ==, pid);
    g_assert_cmpint(read(ours, &byte, 1), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/process/text", test_text);
    g_test_add_func("/process/is-alive", test_is_alive);
    g_test_add_func("/process/end-by-force", test_end_by_force);
    g_test_add_func("/process/sender-of-a-message", test_sender);
    return g_test_run();
}
