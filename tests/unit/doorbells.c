/* SPDX-License-Identifier: Apache-2.0 */
/* Doorbells: protocols, section 1. What needs other limits or may block runs in a child. */
#include "server/doorbells.h"

#include "base/error.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A failure, not a pause: what is tested either ends at once or never. */
#define HANG_MS 20000

/* Runs @body in a child; its return value is the exit status. */
static void run_in_child(int (*body)(void))
{
    int ends[2];
    g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    g_assert_cmpint(pid, >, 0);
    close(ends[1]);

    /* The child's end closes when it ends. */
    struct pollfd poll_fd = {.fd = ends[0], .events = POLLIN};
    gboolean has_ended = poll(&poll_fd, 1, HANG_MS) == 1;
    if (!has_ended)
        kill(pid, SIGKILL);
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    close(ends[0]);
    g_assert_true(has_ended);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

static void test_two_for_each_region(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdDoorbells) doorbells = cvd_doorbells_new(3, &error);
    g_assert_no_error(error);

    for (guint i = 0; i < 3; i++) {
        int fds[] = {cvd_doorbells_get_guest_to_host(doorbells, i),
                     cvd_doorbells_get_host_to_guest(doorbells, i)};
        for (guint j = 0; j < G_N_ELEMENTS(fds); j++) {
            eventfd_t count;
            g_assert_true(fcntl(fds[j], F_GETFD) & FD_CLOEXEC);
            g_assert_true(fcntl(fds[j], F_GETFL) & O_NONBLOCK);
            g_assert_cmpint(eventfd_read(fds[j], &count), ==, -1);
            g_assert_cmpint(errno, ==, EAGAIN);
            /* A ring of its own, so that no two of them are the same. */
            g_assert_cmpint(eventfd_write(fds[j], 10 * i + j + 1), ==, 0);
        }
    }
    for (guint i = 0; i < 3; i++) {
        eventfd_t count;
        g_assert_cmpint(eventfd_read(cvd_doorbells_get_guest_to_host(doorbells, i), &count), ==, 0);
        g_assert_cmpuint(count, ==, 10 * i + 1);
        g_assert_cmpint(eventfd_read(cvd_doorbells_get_host_to_guest(doorbells, i), &count), ==, 0);
        g_assert_cmpuint(count, ==, 10 * i + 2);
    }
}

static void test_closed_when_freed(void)
{
    CvdDoorbells *doorbells = cvd_doorbells_new(2, NULL);
    int fds[] = {cvd_doorbells_get_guest_to_host(doorbells, 0),
                 cvd_doorbells_get_host_to_guest(doorbells, 1)};

    cvd_doorbells_free(doorbells);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        g_assert_cmpint(fcntl(fds[i], F_GETFD), ==, -1);
}

static guint count_open(guint limit)
{
    guint n = 0;
    for (guint fd = 0; fd < limit; fd++)
        n += fcntl((int)fd, F_GETFD) >= 0;
    return n;
}

/* Room for exactly 2 × 5 descriptors: 5 regions fit, 6 do not, and nothing of them stays open. */
static int five_fit_six_do_not(void)
{
    enum {
        LIMIT = 64
    };
    struct rlimit limit = {LIMIT, LIMIT};
    g_autoptr(GError) error = NULL;

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    while (count_open(LIMIT) < LIMIT - 10)
        if (dup(STDERR_FILENO) < 0)
            return 2;
    g_autoptr(CvdDoorbells) six = cvd_doorbells_new(6, &error);
    if (six != NULL || !g_error_matches(error, CVD_ERROR, CVD_ERROR_RESOURCES))
        return 3;
    if (strstr(error->message, " 12 ") == NULL || strstr(error->message, " 64 ") == NULL ||
        strstr(error->message, "ulimit -n") == NULL)
        return 4;
    if (count_open(LIMIT) != LIMIT - 10)
        return 5;
    g_autoptr(CvdDoorbells) five = cvd_doorbells_new(5, NULL);
    return five != NULL ? 0 : 6;
}

static void test_limit_of_descriptors(void)
{
    if (test_may_lower_fd_limit())
        run_in_child(five_fit_six_do_not);
}

static int drain_with_flag_cleared(void)
{
    g_autoptr(CvdDoorbells) doorbells = cvd_doorbells_new(2, NULL);

    for (guint i = 0; i < 2; i++) {
        /* What a peer does through its copy of the descriptor, which shares the description. */
        int copies[] = {dup(cvd_doorbells_get_guest_to_host(doorbells, i)),
                        dup(cvd_doorbells_get_host_to_guest(doorbells, i))};
        for (guint j = 0; j < 2; j++)
            if (fcntl(copies[j], F_SETFL, 0) < 0)
                return 1;
        if (eventfd_write(copies[0], 7) < 0)
            return 2;
    }
    cvd_doorbells_drain(doorbells);
    for (guint i = 0; i < 2; i++) {
        struct pollfd fds[] = {
            {.fd = cvd_doorbells_get_guest_to_host(doorbells, i), .events = POLLIN},
            {.fd = cvd_doorbells_get_host_to_guest(doorbells, i), .events = POLLIN}};
        if (poll(fds, 2, 0) != 0)
            return 3;
    }
    cvd_doorbells_drain(doorbells); /* with nothing in them */
    return 0;
}

static void test_drain_never_blocks(void)
{
    run_in_child(drain_with_flag_cleared);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/doorbells/two-for-each-region", test_two_for_each_region);
    g_test_add_func("/doorbells/closed-when-freed", test_closed_when_freed);
    g_test_add_func("/doorbells/limit-of-descriptors-told", test_limit_of_descriptors);
    g_test_add_func("/doorbells/drain-does-not-trust-o-nonblock", test_drain_never_blocks);
    return g_test_run();
}
