/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-over as a VM sees it, and what a VM may not do. */
#include "server/vm-port.h"

#include "base/fd.h"
#include "server/client-port.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

typedef struct {
    GMainContext *context;
    guint n_regions;
    guint vm_id;
    CvdLayout *layout;
    CvdDoorbells *doorbells;
    int window_fd;
    char *dir;
    char *path;
    int listening_fd;
    CvdVmPort *port;
    GString *events; /* A: attached, H: handed over, D: detached */
    int pid;
    gboolean free_when_attached;
    gboolean free_when_handed_over;
} Fixture;

static void on_attached(gpointer owner, int pid)
{
    Fixture *f = owner;

    g_string_append_c(f->events, 'A');
    f->pid = pid;
    if (f->free_when_attached)
        g_clear_pointer(&f->port, cvd_vm_port_free);
}

static void on_handed_over(gpointer owner)
{
    Fixture *f = owner;

    g_string_append_c(f->events, 'H');
    if (f->free_when_handed_over)
        g_clear_pointer(&f->port, cvd_vm_port_free);
}

static void on_detached(gpointer owner)
{
    g_string_append_c(((Fixture *)owner)->events, 'D');
}

static Fixture *fixture_new_for(guint n_regions, gboolean own_process_only, guint vm_id)
{
    Fixture *f = g_new0(Fixture, 1);

    test_log_forget();
    f->context = g_main_context_new();
    f->n_regions = n_regions;
    f->vm_id = vm_id;
    f->layout = test_layout_new(n_regions);
    f->doorbells = cvd_doorbells_new(n_regions, NULL);
    g_assert_nonnull(f->doorbells);
    f->window_fd = test_window_new(f->layout);
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "vm", NULL);
    f->listening_fd = test_listen(f->path);
    f->events = g_string_new(NULL);
    const CvdVmPortOptions options = {
        .listening_fd = f->listening_fd,
        .n_regions = n_regions,
        .vm_id = vm_id,
        .ready_fd = -1,
        .doorbells = f->doorbells,
        .window_fd = f->window_fd,
        .own_process_only = own_process_only,
        .attached = on_attached,
        .handed_over = on_handed_over,
        .detached = on_detached,
        .owner = f,
    };
    f->port = cvd_vm_port_new(f->context, &options);
    return f;
}

static Fixture *fixture_new(guint n_regions, gboolean own_process_only)
{
    return fixture_new_for(n_regions, own_process_only, 1);
}

static void fixture_free(Fixture *f)
{
    g_clear_pointer(&f->port, cvd_vm_port_free);
    cvd_close_fd(&f->listening_fd);
    cvd_close_fd(&f->window_fd);
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
    g_string_free(f->events, TRUE);
    cvd_doorbells_free(f->doorbells);
    cvd_layout_unref(f->layout);
    g_main_context_unref(f->context);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static guint n_messages(const Fixture *f)
{
    return 3 + 2 * f->n_regions;
}

/* Message @index as the table of section 2 has it. */
static void hear_message(Fixture *f, int peer, guint index)
{
    gint64 value;
    cvd_autofd fd = test_receive(f->context, peer, &value, sizeof value);

    value = GINT64_FROM_LE(value);
    if (index == 0 || index == 1) {
        g_assert_cmpint(value, ==, index == 0 ? 0 : f->vm_id);
        g_assert_cmpint(fd, ==, -1);
    } else if (index == 2) {
        g_assert_cmpint(value, ==, -1);
        g_assert_true(test_is_window(fd, f->window_fd));
    } else if (index < 3 + f->n_regions) {
        g_assert_cmpint(value, ==, 1 - f->vm_id);
        g_assert_true(
            test_is_doorbell(fd, cvd_doorbells_get_guest_to_host(f->doorbells, index - 3)));
    } else {
        g_assert_cmpint(value, ==, f->vm_id);
        g_assert_true(test_is_doorbell(
            fd, cvd_doorbells_get_host_to_guest(f->doorbells, index - 3 - f->n_regions)));
    }
}

static void hear_all(Fixture *f, int peer)
{
    for (guint i = 0; i < n_messages(f); i++)
        hear_message(f, peer, i);
}

/* QEMU ends on a version that it does not know. */
static void expect_refusal(Fixture *f, int peer)
{
    gint64 version = 0;

    g_assert_cmpint(test_receive(f->context, peer, &version, sizeof version), ==, -1);
    g_assert_cmpint(GINT64_FROM_LE(version), ==, 1);
    test_expect_end(f->context, peer);
}

static void assert_silent(Fixture *f, int peer)
{
    char byte;

    while (g_main_context_iteration(f->context, FALSE))
        ;
    g_assert_cmpint(recv(peer, &byte, 1, MSG_DONTWAIT), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
}

static void test_hand_over(void)
{
    g_autoptr(Fixture) f = fixture_new(3, TRUE);
    cvd_autofd vm = test_connect(f->path);

    g_assert_false(cvd_vm_port_has_read_all(f->port));
    test_iterate_until(f->context, strcmp(f->events->str, "AH") == 0);
    g_assert_cmpint(f->pid, ==, getpid());
    g_assert_false(cvd_vm_port_has_read_all(f->port));
    for (guint i = 0; i < n_messages(f); i++) {
        g_assert_false(cvd_vm_port_has_read_all(f->port));
        hear_message(f, vm, i);
    }
    g_assert_true(cvd_vm_port_has_read_all(f->port));
    assert_silent(f, vm);

    cvd_close_fd(&vm);
    test_iterate_until(f->context, strcmp(f->events->str, "AHD") == 0);
    g_assert_false(cvd_vm_port_has_read_all(f->port));
}

static void test_vm_as_peer_0(void)
{
    g_autoptr(Fixture) f = fixture_new_for(3, TRUE, 0);
    cvd_autofd vm = test_connect(f->path);

    hear_all(f, vm);
    g_assert_cmpstr(f->events->str, ==, "AH");
    assert_silent(f, vm);
}

static void test_same_again_for_the_next(void)
{
    g_autoptr(Fixture) f = fixture_new(2, TRUE);

    for (guint i = 0; i < 3; i++) {
        cvd_autofd vm = test_connect(f->path);
        hear_all(f, vm);
        cvd_close_fd(&vm);
        test_iterate_until(f->context, cvd_vm_port_is_free(f->port));
    }
    g_assert_cmpstr(f->events->str, ==, "AHDAHDAHD");
}

static void test_second_is_refused(void)
{
    g_autoptr(Fixture) f = fixture_new(2, TRUE);
    cvd_autofd vm = test_connect(f->path);
    g_autofree char *who =
        g_strdup_printf("connection of pid %d, uid %u refused", getpid(), geteuid());

    hear_message(f, vm, 0);
    cvd_autofd second = test_connect(f->path);
    expect_refusal(f, second);
    g_assert_cmpuint(test_log_count(who), ==, 1);
    for (guint i = 1; i < n_messages(f); i++)
        hear_message(f, vm, i);

    cvd_autofd third = test_connect(f->path);
    expect_refusal(f, third);
    g_assert_cmpuint(test_log_count(who), ==, 2);
    assert_silent(f, vm);
    g_assert_cmpstr(f->events->str, ==, "AH");
}

static void test_refusals_in_the_log_are_bounded(void)
{
    g_autoptr(Fixture) f = fixture_new(1, TRUE);
    cvd_autofd vm = test_connect(f->path);
    guint n = 20 * CVD_LOG_LINES_PER_SECOND;
    gint64 begin = g_get_monotonic_time() / G_USEC_PER_SEC;

    hear_all(f, vm);
    for (guint i = 0; i < n; i++) {
        cvd_autofd other = test_connect(f->path);
        expect_refusal(f, other);
    }
    guint n_seconds = (guint)(g_get_monotonic_time() / G_USEC_PER_SEC - begin) + 1;
    g_assert_cmpuint(test_log_count("refused"), <=, n_seconds * CVD_LOG_LINES_PER_SECOND);
    g_assert_cmpuint(test_log_count("refused"), >=, CVD_LOG_LINES_PER_SECOND);
}

static void test_vm_sends(void)
{
    g_autoptr(Fixture) f = fixture_new(2, TRUE);
    cvd_autofd vm = test_connect(f->path);

    hear_all(f, vm);
    test_send(vm, "hello\n", 6, f->window_fd);
    guint n_fds = test_count_fds();
    test_expect_end(f->context, vm);
    g_assert_cmpuint(test_count_fds(), ==, n_fds - 1);
    g_assert_cmpstr(f->events->str, ==, "AHD");
    g_assert_cmpuint(test_log_count("sent \"hello\\x0a\""), ==, 1);
}

static void test_vm_sends_before_it_reads(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_MAX_REGIONS, TRUE);
    cvd_autofd vm = test_connect(f->path);

    test_iterate_until(f->context, f->events->len > 0);
    test_send(vm, "x", 1, -1);
    test_iterate_until(f->context, strcmp(f->events->str, "AD") == 0);
}

/* After each message the VM may be gone; the next gets the whole hand-over. */
static void test_vm_leaves_after_each_message(void)
{
    g_autoptr(Fixture) f = fixture_new(3, TRUE);

    for (guint n = 0; n <= n_messages(f); n++) {
        cvd_autofd vm = test_connect(f->path);
        g_string_truncate(f->events, 0);
        for (guint i = 0; i < n; i++)
            hear_message(f, vm, i);
        test_iterate_until(f->context, f->events->len > 0);
        cvd_close_fd(&vm);
        test_iterate_until(f->context, g_str_has_suffix(f->events->str, "D"));
    }
}

/* Fewer than all messages fit into the socket, so that it is the hand-over that notices. */
static void test_vm_leaves_in_a_long_hand_over(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_MAX_REGIONS, TRUE);
    cvd_autofd vm = test_connect(f->path);

    for (guint i = 0; i < 100; i++)
        hear_message(f, vm, i);
    cvd_close_fd(&vm);
    test_iterate_until(f->context, strcmp(f->events->str, "AD") == 0);
    cvd_autofd next = test_connect(f->path);
    hear_message(f, next, 0);
}

static void client_attached(gpointer owner, int pid, const char *region)
{
    g_string_append_c(((Fixture *)owner)->events, 'C');
}

static void client_detached(gpointer owner, int pid)
{
}

/* All regions there can be, to a VM that reads when it is told to: a client comes and goes between
 * its messages. */
static void test_slow_vm_stalls_no_client(void)
{
    g_autoptr(Fixture) f = fixture_new(CVD_MAX_REGIONS, TRUE);
    g_autofree char *path = g_build_filename(f->dir, "client", NULL);
    cvd_autofd listening_fd = test_listen(path);
    g_autoptr(CvdAccessRules) access = cvd_access_rules_new_default();
    const CvdClientPortOptions options = {
        .served = test_served(f->layout, f->doorbells, f->window_fd, access),
        .max_clients = 4,
        .handshake_timeout_ms = 60000,
        .attached = client_attached,
        .detached = client_detached,
        .owner = f,
    };
    g_autoptr(CvdClientPort) clients = cvd_client_port_new(f->context, &options, NULL);
    const char *handshake = "GET PROTOCOL_VERINFORM REGION_NAME_LEN: 0x0000000aregion2047";

    g_assert_true(cvd_client_port_listen(clients, listening_fd, CVD_DIALECT_TEXT, NULL));
    cvd_autofd vm = test_connect(f->path);
    cvd_autofd client = test_connect(path);
    test_send(client, handshake, strlen(handshake), -1);
    test_iterate_until(f->context, strchr(f->events->str, 'C') != NULL);
    g_assert_cmpstr(f->events->str, ==, "AC");

    hear_message(f, vm, 0);
    cvd_autofd another = test_connect(path);
    test_send(another, handshake, strlen(handshake), -1);
    test_expect(f->context, another, "PROTOCOL_VER 0");
    g_assert_null(strchr(f->events->str, 'H'));

    for (guint i = 1; i < n_messages(f); i++)
        hear_message(f, vm, i);
    test_iterate_until(f->context, strchr(f->events->str, 'H') != NULL);
    g_assert_cmpstr(f->events->str, ==, "ACCH");
    g_assert_true(cvd_vm_port_has_read_all(f->port));
    g_assert_cmpint(g_unlink(path), ==, 0);
}

static void test_idle_costs_nothing(void)
{
    g_autoptr(Fixture) f = fixture_new(2, TRUE);
    cvd_autofd vm = test_connect(f->path);

    hear_all(f, vm);
    assert_silent(f, vm);
    g_assert_false(g_main_context_pending(f->context));
}

static void test_freed_by_a_callback(void)
{
    g_autoptr(Fixture) f = fixture_new(2, TRUE);
    cvd_autofd vm = test_connect(f->path);
    cvd_autofd second = test_connect(f->path);

    f->free_when_attached = TRUE;
    test_iterate_until(f->context, f->port == NULL);
    g_assert_cmpstr(f->events->str, ==, "AD");
    test_expect_end(NULL, vm);
    g_assert_cmpint(second, >=, 0);
}

static void test_freed_when_handed_over(void)
{
    g_autoptr(Fixture) f = fixture_new(2, TRUE);
    cvd_autofd vm = test_connect(f->path);

    f->free_when_handed_over = TRUE;
    test_iterate_until(f->context, f->port == NULL);
    g_assert_cmpstr(f->events->str, ==, "AHD");
    hear_all(f, vm);
    test_expect_end(NULL, vm);
}

/* A child that connects, says so by a byte, closes on the first byte it is told, and exits on the
 * next. */
typedef struct {
    pid_t pid;
    int pipe;
} Child;

static Child child_start(const Fixture *f, uid_t uid)
{
    int fds[2];
    char byte = 0;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        if (uid != geteuid() && setuid(uid) < 0)
            _exit(2);
        int vm = test_connect(f->path);
        if (write(fds[1], &byte, 1) != 1 || read(fds[1], &byte, 1) != 1)
            _exit(2);
        close(vm);
        if (write(fds[1], &byte, 1) != 1 || read(fds[1], &byte, 1) != 1)
            _exit(2);
        _exit(0);
    }
    close(fds[1]);
    g_assert_cmpint(read(fds[0], &byte, 1), ==, 1);
    return (Child){.pid = pid, .pipe = fds[0]};
}

/* Blocks until the child has done its next step. */
static void child_step(Child *child)
{
    char byte = 0;

    g_assert_cmpint(write(child->pipe, &byte, 1), ==, 1);
    g_assert_cmpint(read(child->pipe, &byte, 1), >=, 0);
}

static void child_wait(Child *child)
{
    int status;

    g_assert_cmpint(waitpid(child->pid, &status, 0), ==, child->pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
    cvd_close_fd(&child->pipe);
}

/* The launcher's own VM has no use for the socket's path. */
static void test_adopted(void)
{
    g_autoptr(Fixture) f = fixture_new(2, TRUE);
    int fds[2];

    for (guint i = 0; i < 2; i++) {
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), ==,
                        0);
        cvd_autofd vm = fds[0];
        g_assert_true(cvd_vm_port_adopt(f->port, fds[1]));
        g_assert_cmpint(f->events->len, ==, 0);
        g_assert_false(cvd_vm_port_adopt(f->port, dup(fds[0]))); /* one is enough */
        hear_all(f, vm);
        g_assert_cmpstr(f->events->str, ==, "AH");
        g_assert_cmpint(f->pid, ==, getpid());
        cvd_close_fd(&vm);
        test_iterate_until(f->context, strcmp(f->events->str, "AHD") == 0);
        g_string_truncate(f->events, 0);
    }
}

/* Nobody hears of the end of what nobody has heard of. */
static void test_adopted_and_let_go(void)
{
    g_autoptr(Fixture) f = fixture_new(2, TRUE);
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    cvd_autofd vm = fds[0];
    g_assert_true(cvd_vm_port_adopt(f->port, fds[1]));
    cvd_vm_port_disconnect(f->port);
    test_expect_end(NULL, vm);
    g_assert_true(cvd_vm_port_is_free(f->port));
    g_assert_cmpstr(f->events->str, ==, "");
}

static void test_slot_stays_taken_until_the_process_has_exited(void)
{
    g_autoptr(Fixture) f = fixture_new(2, FALSE);
    Child child = child_start(f, geteuid());

    test_iterate_until(f->context, strcmp(f->events->str, "AH") == 0);
    g_assert_cmpint(f->pid, ==, child.pid);
    child_step(&child);
    test_iterate_until(f->context, test_log_count("its connection has ended") == 1);
    g_assert_cmpstr(f->events->str, ==, "AH");
    g_assert_false(cvd_vm_port_is_free(f->port));
    cvd_autofd early = test_connect(f->path);
    expect_refusal(f, early);
    g_assert_cmpstr(f->events->str, ==, "AH");

    child_step(&child);
    test_iterate_until(f->context, strcmp(f->events->str, "AHD") == 0);
    child_wait(&child);
    cvd_autofd next = test_connect(f->path);
    hear_all(f, next);
}

static void test_gone_before_it_was_accepted(void)
{
    g_autoptr(Fixture) f = fixture_new(2, FALSE);
    Child child = child_start(f, geteuid());

    child_step(&child);
    child_step(&child);
    child_wait(&child);
    cvd_autofd vm = test_connect(f->path);
    hear_all(f, vm);
    g_assert_cmpuint(test_log_count("it is gone already"), ==, 1);
    g_assert_cmpstr(f->events->str, ==, "AH");
}

static void test_other_process_where_only_own_may(void)
{
    g_autoptr(Fixture) f = fixture_new(2, TRUE);
    Child child = child_start(f, geteuid());
    g_autofree char *who = g_strdup_printf("connection of pid %d, ", child.pid);

    test_iterate_until(f->context, test_log_count(who) == 1);
    g_assert_cmpstr(f->events->str, ==, "");
    child_step(&child);
    child_step(&child);
    child_wait(&child);
}

/* Nobody gets in of whom it could not be told when his place is free again. */
static void test_process_that_cannot_be_watched(void)
{
    if (!test_may_lower_fd_limit())
        return;

    g_autoptr(Fixture) f = fixture_new(2, FALSE);
    struct rlimit before, one_more;
    Child child = child_start(f, geteuid());
    int lowest = dup(f->listening_fd);

    g_assert_cmpint(close(lowest), ==, 0);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    one_more = (struct rlimit){.rlim_cur = (rlim_t)lowest + 1, .rlim_max = before.rlim_max};
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &one_more), ==, 0);
    test_iterate_until(f->context, f->events->len > 0 || test_log_count("refused") == 1);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    g_assert_cmpstr(f->events->str, ==, "");
    child_step(&child);
    child_step(&child);
    child_wait(&child);
    cvd_autofd next = test_connect(f->path);
    hear_all(f, next);
}

static void test_other_user(void)
{
    if (geteuid() != 0) {
        g_test_skip("only root can be somebody else");
        return;
    }
    g_autoptr(Fixture) f = fixture_new(2, FALSE);
    g_autofree char *who = g_strdup_printf(", uid %d refused", NOBODY);
    g_assert_cmpint(chmod(f->dir, 0755), ==, 0);
    g_assert_cmpint(chmod(f->path, 0777), ==, 0);
    Child child = child_start(f, NOBODY);

    test_iterate_until(f->context, test_log_count(who) == 1);
    g_assert_cmpstr(f->events->str, ==, "");
    child_step(&child);
    child_step(&child);
    child_wait(&child);
}

static void drop_to_nobody(void)
{
    if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
        _exit(2);
}

static void set_fd_limit(rlim_t soft)
{
    struct rlimit limit;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    limit.rlim_cur = soft;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

static guint count_waiting(int vm)
{
    int n_bytes = 0;

    g_assert_cmpint(ioctl(vm, FIONREAD, &n_bytes), ==, 0);
    return (guint)n_bytes / 8;
}

/* In a child, as an ordinary user whose limit is lower than the hand-over has descriptors: the
 * kernel refuses more until the VM has read some. */
static void hand_over_with_low_limit(void)
{
    const rlim_t low = 40, enough = 300;

    drop_to_nobody();
    set_fd_limit(enough);
    Fixture *f = fixture_new(40, TRUE);
    int vm = test_connect(f->path);
    guint n_heard = 0, n_rounds = 0;
    test_iterate_until(f->context, f->events->len > 0);

    while (n_heard < n_messages(f)) {
        set_fd_limit(low);
        test_iterate_until(f->context, count_waiting(vm) > 0);
        while (g_main_context_iteration(f->context, FALSE))
            ;
        guint n_waiting = count_waiting(vm);
        g_assert_cmpuint(n_waiting, <=, low + 3); /* two messages have no descriptor */
        set_fd_limit(enough);
        for (guint i = 0; i < n_waiting; i++)
            hear_message(f, vm, n_heard++);
        n_rounds++;
    }
    g_assert_cmpuint(n_rounds, >, 1);
    test_iterate_until(f->context, strcmp(f->events->str, "AH") == 0);
    close(vm);
    fixture_free(f);
    _exit(0);
}

static void test_too_many_in_flight(void)
{
    test_with_low_fd_limit(hand_over_with_low_limit);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/vm-port/hand-over", test_hand_over);
    g_test_add_func("/vm-port/vm-as-peer-0", test_vm_as_peer_0);
    g_test_add_func("/vm-port/same-again-for-the-next", test_same_again_for_the_next);
    g_test_add_func("/vm-port/second-is-refused", test_second_is_refused);
    g_test_add_func("/vm-port/refusals-in-the-log-are-bounded",
                    test_refusals_in_the_log_are_bounded);
    g_test_add_func("/vm-port/vm-sends", test_vm_sends);
    g_test_add_func("/vm-port/vm-sends-before-it-reads", test_vm_sends_before_it_reads);
    g_test_add_func("/vm-port/vm-leaves-after-each-message", test_vm_leaves_after_each_message);
    g_test_add_func("/vm-port/vm-leaves-in-a-long-hand-over", test_vm_leaves_in_a_long_hand_over);
    g_test_add_func("/vm-port/slow-vm-stalls-no-client", test_slow_vm_stalls_no_client);
    g_test_add_func("/vm-port/idle-costs-nothing", test_idle_costs_nothing);
    g_test_add_func("/vm-port/freed-by-a-callback", test_freed_by_a_callback);
    g_test_add_func("/vm-port/freed-when-handed-over", test_freed_when_handed_over);
    g_test_add_func("/vm-port/adopted", test_adopted);
    g_test_add_func("/vm-port/adopted-and-let-go", test_adopted_and_let_go);
    g_test_add_func("/vm-port/slot-stays-taken-until-the-process-has-exited",
                    test_slot_stays_taken_until_the_process_has_exited);
    g_test_add_func("/vm-port/process-that-cannot-be-watched", test_process_that_cannot_be_watched);
    g_test_add_func("/vm-port/gone-before-it-was-accepted", test_gone_before_it_was_accepted);
    g_test_add_func("/vm-port/other-process-where-only-own-may",
                    test_other_process_where_only_own_may);
    g_test_add_func("/vm-port/other-user", test_other_user);
    g_test_add_func("/vm-port/too-many-in-flight", test_too_many_in_flight);
    return g_test_run();
}
