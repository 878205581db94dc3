/* SPDX-License-Identifier: Apache-2.0 */
/* Many clients at one port: limits, time limits, and what a callback may do. */
#include "server/client-port.h"

#include "base/fd.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELLO   "GET PROTOCOL_VER"
#define REQUEST "INFORM REGION_NAME_LEN: 0x00000007GET REGION: region1"
/* Message 3 and 4, for a name of seven letters. */
#define MORE(name) "INFORM REGION_NAME_LEN: 0x00000007GET REGION: " name
#define HANDSHAKE  HELLO REQUEST
#define N_REGIONS  3
#define NOBODY     65534

typedef struct {
    GMainContext *context;
    CvdLayout *layout;
    CvdDoorbells *doorbells;
    int window_fd;
    CvdAccessRules *access;
    char *dir;
    char *path;
    char *legacy_path;
    int listening_fd;
    int legacy_fd;
    CvdClientPort *port;
    guint n_attached;
    guint n_detached;
    gboolean free_when_attached;
    gboolean close_when_attached;
} Fixture;

static void close_attached(Fixture *f)
{
    cvd_client_port_hold(f->port);
    cvd_client_port_admit(f->port);
}

static void on_attached(gpointer owner, int pid, const char *region)
{
    Fixture *f = owner;

    g_assert_cmpint(pid, >, 0);
    f->n_attached++;
    if (f->free_when_attached)
        g_clear_pointer(&f->port, cvd_client_port_free);
    else if (f->close_when_attached)
        close_attached(f);
}

static void on_detached(gpointer owner, int pid)
{
    Fixture *f = owner;

    g_assert_cmpint(pid, >, 0);
    f->n_detached++;
}

static Fixture *fixture_new(guint max_clients, guint timeout_ms)
{
    Fixture *f = g_new0(Fixture, 1);

    f->context = g_main_context_new();
    f->layout = test_layout_new(N_REGIONS);
    f->doorbells = cvd_doorbells_new(N_REGIONS, NULL);
    f->window_fd = test_window_new(f->layout);
    f->access = cvd_access_rules_new_default();
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "client", NULL);
    f->legacy_path = g_build_filename(f->dir, "legacy", NULL);
    f->listening_fd = test_listen(f->path);
    f->legacy_fd = test_listen(f->legacy_path);
    const CvdClientPortOptions options = {
        .served = test_served(f->layout, f->doorbells, f->window_fd, f->access),
        .max_clients = max_clients,
        .handshake_timeout_ms = timeout_ms,
        .attached = on_attached,
        .detached = on_detached,
        .owner = f,
    };
    f->port = cvd_client_port_new(f->context, &options, NULL);
    g_assert_nonnull(f->port);
    g_assert_true(cvd_client_port_listen(f->port, f->listening_fd, CVD_DIALECT_TEXT, NULL));
    g_assert_true(cvd_client_port_listen(f->port, f->legacy_fd, CVD_DIALECT_LEGACY, NULL));
    return f;
}

static void fixture_free(Fixture *f)
{
    g_clear_pointer(&f->port, cvd_client_port_free);
    cvd_close_fd(&f->listening_fd);
    cvd_close_fd(&f->legacy_fd);
    cvd_close_fd(&f->window_fd);
    g_unlink(f->path);
    g_unlink(f->legacy_path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->legacy_path);
    g_free(f->dir);
    cvd_access_rules_unref(f->access);
    cvd_doorbells_free(f->doorbells);
    cvd_layout_unref(f->layout);
    g_main_context_unref(f->context);
    g_free(f);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Fixture, fixture_free)

static void hear_region(Fixture *f, int peer)
{
    char zeros[8];

    test_expect(f->context, peer, "0x000020000x00003000");
    for (guint i = 0; i < 3; i++) {
        cvd_autofd fd = test_receive(f->context, peer, zeros, sizeof zeros);
        g_assert_cmpint(fd, >=, 0);
    }
}

static int attach_as(Fixture *f, int peer)
{
    test_send(peer, HANDSHAKE, strlen(HANDSHAKE), -1);
    test_expect(f->context, peer, "PROTOCOL_VER 0");
    hear_region(f, peer);
    return peer;
}

static int attach(Fixture *f)
{
    return attach_as(f, test_connect(f->path));
}

/* To the server it is the client of who has connected it. */
static int connect_in_child(Fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int status;

    g_strlcpy(address.sun_path, f->path, sizeof address.sun_path);
    pid_t child = fork();
    if (child == 0)
        _exit(connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : 1);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    return fd;
}

static void describe_client(const CvdServerClient *client, gpointer data)
{
    g_assert_cmpint(client->pid, ==, getpid());
    g_assert_cmpuint(client->uid, ==, geteuid());
    g_assert_cmpint(client->since_us, <=, g_get_monotonic_time());
    g_assert_cmpint(client->since_us, >, 0);
    g_string_append_printf(data, "%s%s%s ", client->region, client->is_read_only ? ":ro" : "",
                           client->is_shared ? ":shared" : "");
}

static void assert_clients(Fixture *f, const char *expected)
{
    g_autoptr(GString) clients = g_string_new(NULL);

    cvd_client_port_foreach(f->port, describe_client, clients);
    g_assert_cmpstr(clients->str, ==, expected);
}

/* Whether something will be ready without anybody doing anything: a timer of this process is on. */
static gboolean has_timer(Fixture *f)
{
    struct itimerspec timer;
    gboolean is_found = FALSE;

    while (g_main_context_iteration(f->context, FALSE))
        ;
    for (int fd = 0; fd < 1024; fd++) /* fails for all but timers */
        if (timerfd_gettime(fd, &timer) == 0)
            is_found |= timer.it_value.tv_sec != 0 || timer.it_value.tv_nsec != 0;
    return is_found;
}

static void expect_silence(int peer)
{
    char byte;

    g_assert_cmpint(recv(peer, &byte, 1, MSG_DONTWAIT), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
}

/* One that only asks is none; one that asks for something else, in vain or not, changes its place.
 * Two that have the same doorbells are shown. */
static void test_list(void)
{
    g_autoptr(Fixture) f = fixture_new(4, 5000);
    cvd_autofd asks = test_connect(f->path);

    g_assert_cmpint(asks, >=, 0);
    cvd_autofd one = attach(f);
    assert_clients(f, "region1 ");
    cvd_autofd two = attach(f);
    assert_clients(f, "region1:shared region1:shared ");
    test_send(two, MORE("region0"), strlen(MORE("region0")), -1);
    for (guint i = 0; i < 2 * 10 + 3 * 8; i++) {
        char byte;
        int fd = test_receive(f->context, two, &byte, 1);
        cvd_close_fd(&fd);
    }
    assert_clients(f, "region1 region0 ");
    test_send(two, MORE("nothing"), strlen(MORE("nothing")), -1);
    test_expect(f->context, two, "0xffffffff");
    assert_clients(f, "region1 region0 ");
    cvd_close_fd(&one);
    test_iterate_until(f->context, f->n_detached == 1);
    assert_clients(f, "region0 ");
}

/* Two processes, of which one comes again and again; not one process's own two. */
static void test_sharing_is_logged(void)
{
    static const char line[] = "one may take what is meant for the other";
    g_autoptr(Fixture) f = fixture_new(8, 5000);

    test_log_forget();
    int one = attach(f), two = attach(f);
    g_assert_cmpuint(test_log_count(line), ==, 0);
    int other = attach_as(f, connect_in_child(f));
    g_assert_cmpuint(test_log_count(line), ==, 1);
    for (guint i = 0; i < 3; i++) {
        cvd_close_fd(&two);
        test_iterate_until(f->context, f->n_detached == i + 1);
        two = attach(f);
        g_assert_cmpuint(test_log_count(line), ==, 2);
    }
    cvd_close_fd(&one);
    cvd_close_fd(&two);
    cvd_close_fd(&other);
}

/* One that has gone shares nothing with those who come later. */
static void test_sharing_has_ended(void)
{
    static const char line[] = "one may take what is meant for the other";
    g_autoptr(Fixture) f = fixture_new(8, 5000);

    test_log_forget();
    int one = attach(f), other = attach_as(f, connect_in_child(f));
    g_assert_cmpuint(test_log_count(line), ==, 1);
    cvd_close_fd(&other);
    test_iterate_until(f->context, f->n_detached == 1);
    int two = attach(f);
    g_assert_cmpuint(test_log_count(line), ==, 1);
    cvd_close_fd(&one);
    cvd_close_fd(&two);
}

static void test_attach_and_leave(void)
{
    g_autoptr(Fixture) f = fixture_new(4, 5000);
    cvd_autofd peer = attach(f);

    test_iterate_until(f->context, f->n_attached == 1);
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, 1);
    cvd_close_fd(&peer);
    test_iterate_until(f->context, f->n_detached == 1);
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, 0);
}

/* A timer that is on when the last has left goes off once, in vain, and then is off. */
static void test_idle_without_a_timer(void)
{
    g_autoptr(Fixture) f = fixture_new(4, 200);

    g_assert_false(has_timer(f));
    cvd_autofd silent = test_connect(f->path);
    g_assert_true(has_timer(f));
    cvd_autofd peer = attach(f);
    cvd_close_fd(&silent);
    test_send(peer, "I", 1, -1);
    g_assert_true(has_timer(f));
    cvd_close_fd(&peer);
    test_iterate_until(f->context, !has_timer(f));
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, 0);
}

/* Who has said nothing is sent what a QEMU at the wrong socket ends on: another version than 0. */
static void expect_refusal(Fixture *f, int peer, gint64 expected)
{
    gint64 version = 0;

    g_assert_cmpint(test_receive(f->context, peer, &version, sizeof version), ==, -1);
    g_assert_cmpint(GINT64_FROM_LE(version), ==, expected);
    test_expect_end(f->context, peer);
}

static void test_time_limit_closes(void)
{
    g_autoptr(Fixture) f = fixture_new(8, 20);
    cvd_autofd attached = attach(f);
    cvd_autofd silent = test_connect(f->path);
    cvd_autofd halfway = test_connect(f->path);
    cvd_autofd legacy = test_connect(f->legacy_path);
    cvd_autofd unknown = test_connect(f->path);

    test_send(halfway, HELLO "INFORM", 22, -1);
    test_send(unknown, HELLO "INFORM REGION_NAME_LEN: 0x00000000", 50, -1);
    test_expect(f->context, halfway, "PROTOCOL_VER 0");
    test_expect_end(f->context, halfway);
    expect_refusal(f, silent, 1);
    test_expect(f->context, unknown, "PROTOCOL_VER 00xffffffff");
    test_expect_end(f->context, unknown);
    expect_refusal(f, legacy, (gint64)1 << 32); /* after its hello, a zero */
    test_iterate_until(f->context, cvd_client_port_get_n_clients(f->port) == 1);

    /* The attached one is still served, and its next request is limited again. */
    test_send(attached, REQUEST, strlen(REQUEST), -1);
    hear_region(f, attached);
    test_send(attached, "INF", 3, -1);
    test_expect_end(f->context, attached);
    test_iterate_until(f->context, f->n_detached == 1);
}

/* N are let in; N + 1 waits, of either dialect, and is let in when one leaves. */
static void test_limit(void)
{
    const guint n = 3;
    g_autoptr(Fixture) f = fixture_new(n, 60000);
    int peers[3];
    char byte;

    for (guint i = 0; i < n; i++)
        peers[i] = attach(f);
    cvd_autofd waiting = test_connect(f->path);
    cvd_autofd legacy = test_connect(f->legacy_path);
    test_send(waiting, HANDSHAKE, strlen(HANDSHAKE), -1);
    g_assert_false(has_timer(f)); /* iterates; and nothing polls meanwhile */
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, n);
    expect_silence(waiting);

    cvd_close_fd(&peers[0]);
    test_expect(f->context, waiting, "PROTOCOL_VER 0");
    hear_region(f, waiting);
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, n);
    expect_silence(legacy);
    cvd_close_fd(&peers[1]);
    g_assert_cmpint(test_receive(f->context, legacy, &byte, 1), ==, -1);
    cvd_close_fd(&peers[2]);
}

static void test_stranger_holds_a_place_for_the_limit_only(void)
{
    g_autoptr(Fixture) f = fixture_new(1, 20);
    cvd_autofd silent = test_connect(f->path);
    cvd_autofd peer = test_connect(f->path);

    test_send(peer, HANDSHAKE, strlen(HANDSHAKE), -1);
    test_expect(f->context, peer, "PROTOCOL_VER 0");
    hear_region(f, peer);
    expect_refusal(f, silent, 1);
}

static void test_many(void)
{
    const guint n = 300;
    g_autoptr(Fixture) f = fixture_new(n, 60000);
    g_autofree int *peers = g_new(int, n);

    for (guint i = 0; i < n; i++)
        peers[i] = test_connect(f->path);
    for (guint i = 0; i < n; i++)
        test_send(peers[i], HANDSHAKE, strlen(HANDSHAKE), -1);
    for (guint i = 0; i < n; i++) {
        test_expect(f->context, peers[i], "PROTOCOL_VER 0");
        hear_region(f, peers[i]);
    }
    g_assert_cmpuint(f->n_attached, ==, n);
    close_attached(f);
    g_assert_cmpuint(f->n_detached, ==, n);
    for (guint i = 0; i < n; i++) {
        test_expect_end(f->context, peers[i]);
        cvd_close_fd(&peers[i]);
    }
    cvd_autofd peer = attach(f);
    g_assert_cmpint(peer, >=, 0);
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, 1);
}

/* Whoever talks without a pause does not keep others from being served. */
static void test_chatterbox(void)
{
    g_autoptr(Fixture) f = fixture_new(8, 60000);
    cvd_autofd chatterbox = attach(f);
    cvd_autofd peer = test_connect(f->path);
    char spaces[4096];
    gboolean is_served = FALSE;

    memset(spaces, ' ', sizeof spaces);
    test_send(peer, HANDSHAKE, strlen(HANDSHAKE), -1);
    for (guint i = 0; i < 100 && !is_served; i++) {
        while (send(chatterbox, spaces, sizeof spaces, MSG_DONTWAIT) > 0)
            ;
        g_main_context_iteration(f->context, FALSE);
        is_served = f->n_attached == 2;
    }
    g_assert_true(is_served);
}

static void test_no_descriptors_left(void)
{
    if (!test_may_lower_fd_limit())
        return;

    g_autoptr(Fixture) f = fixture_new(8, 60000);
    struct rlimit before, none;
    cvd_autofd peer = test_connect(f->path);
    cvd_autofd lowest = dup(peer);

    test_log_forget();
    test_send(peer, HANDSHAKE, strlen(HANDSHAKE), -1);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &before), ==, 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)lowest + 1, .rlim_max = before.rlim_max};
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    test_iterate_until(f->context, test_log_count("Too many open files") > 0);
    /* It rests, and does not spin: the next thing to happen is the timer. */
    g_assert_false(g_main_context_iteration(f->context, FALSE));
    g_assert_true(has_timer(f));
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &before), ==, 0);
    test_expect(f->context, peer, "PROTOCOL_VER 0");
    hear_region(f, peer);
    g_assert_false(has_timer(f));
}

static void set_fd_limit(rlim_t soft)
{
    struct rlimit limit;

    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    limit.rlim_cur = soft;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

/* In a child, as an ordinary user: the three descriptors of one client that does not read are more
 * than may be in flight when others ask for theirs. A timer is there meanwhile; a client that dies
 * in it is noticed; when the first reads, the last is served. */
static void attach_with_low_limit(void)
{
    const rlim_t low = 2, enough = 300; /* poll() refuses more descriptors than the limit */

    if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
        _exit(2);
    set_fd_limit(enough);
    Fixture *f = fixture_new(8, 60000);
    int peers[3];
    for (guint i = 0; i < 3; i++) {
        peers[i] = test_connect(f->path);
        test_send(peers[i], HELLO, strlen(HELLO), -1);
        test_expect(f->context, peers[i], "PROTOCOL_VER 0");
    }

    set_fd_limit(low);
    for (guint i = 0; i < 3; i++)
        test_send(peers[i], REQUEST, strlen(REQUEST), -1);
    g_assert_true(has_timer(f));
    g_assert_cmpuint(f->n_attached, ==, 1);
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, 3);
    cvd_close_fd(&peers[1]);
    test_iterate_until(f->context, cvd_client_port_get_n_clients(f->port) == 2);
    g_assert_cmpuint(f->n_attached, ==, 1);

    set_fd_limit(enough);
    hear_region(f, peers[0]);
    hear_region(f, peers[2]);
    g_assert_cmpuint(f->n_attached, ==, 2);
    g_assert_false(has_timer(f));
    cvd_close_fd(&peers[2]);
    cvd_close_fd(&peers[0]);
    fixture_free(f);
    _exit(0);
}

static void test_too_many_in_flight(void)
{
    test_with_low_fd_limit(attach_with_low_limit);
}

/* One of two sockets cannot be watched again: the other one, where somebody waits, is left alone
 * too, and nothing spins. */
static void test_listener_cannot_be_watched(void)
{
    g_autoptr(Fixture) f = fixture_new(1, 60000);
    g_autofree char *path = g_build_filename(f->dir, "file", NULL);
    cvd_autofd peer = attach(f);
    cvd_autofd waiting = test_connect(f->path);
    cvd_autofd listener = dup(f->legacy_fd);
    cvd_autofd file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* which epoll refuses */

    g_assert_no_errno(unlink(path));
    g_assert_no_errno(dup2(file, f->legacy_fd));
    cvd_close_fd(&peer);
    test_iterate_until(f->context, cvd_client_port_get_n_clients(f->port) == 0);
    g_assert_false(g_main_context_iteration(f->context, FALSE));
    g_assert_true(has_timer(f));

    g_assert_no_errno(dup2(listener, f->legacy_fd));
    test_send(waiting, HANDSHAKE, strlen(HANDSHAKE), -1);
    test_expect(f->context, waiting, "PROTOCOL_VER 0");
    hear_region(f, waiting);
}

static int connect_as(const Fixture *f, uid_t uid)
{
    g_assert_no_errno(seteuid(uid));
    int peer = test_connect(f->path);
    g_assert_no_errno(seteuid(0));
    return peer;
}

/* Of 9 places another user gets 4, and the 5th connection is closed rather than left to wait; a
 * second one is served at once, and so is the own user. */
static void test_places_are_shared(void)
{
    if (geteuid() != 0) {
        g_test_skip("only root can connect as other users");
        return;
    }
    g_autoptr(Fixture) f = fixture_new(9, 60000);
    int peers[5];

    test_log_forget();
    g_assert_no_errno(chmod(f->dir, 0755));
    g_assert_no_errno(chmod(f->path, 0666));
    for (guint i = 0; i < G_N_ELEMENTS(peers); i++)
        peers[i] = connect_as(f, NOBODY);
    test_expect_end(f->context, peers[4]);
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, 4);
    g_assert_cmpuint(test_log_count("uid 65534 refused"), ==, 1);

    cvd_autofd other = connect_as(f, NOBODY - 1);
    test_send(other, HELLO, strlen(HELLO), -1);
    test_expect(f->context, other, "PROTOCOL_VER 0");
    cvd_autofd own = attach(f);
    g_assert_cmpint(own, >=, 0);
    cvd_close_fd(&peers[0]);
    test_iterate_until(f->context, cvd_client_port_get_n_clients(f->port) == 5);
    cvd_autofd again = connect_as(f, NOBODY);
    test_send(again, HELLO, strlen(HELLO), -1);
    test_expect(f->context, again, "PROTOCOL_VER 0");
    for (guint i = 0; i < G_N_ELEMENTS(peers); i++)
        cvd_close_fd(&peers[i]);
}

static void test_freed_by_a_callback(void)
{
    g_autoptr(Fixture) f = fixture_new(8, 60000);
    int peers[4];

    for (guint i = 0; i < 4; i++) {
        peers[i] = test_connect(f->path);
        test_send(peers[i], HANDSHAKE, strlen(HANDSHAKE), -1);
    }
    f->free_when_attached = TRUE;
    test_iterate_until(f->context, f->port == NULL);
    g_assert_cmpuint(f->n_attached, ==, 1);
    g_assert_cmpuint(f->n_detached, ==, 1);
    test_expect(f->context, peers[0], "PROTOCOL_VER 0");
    hear_region(f, peers[0]);
    test_expect_end(NULL, peers[0]);
    for (guint i = 0; i < 4; i++)
        cvd_close_fd(&peers[i]);
}

/* The first callback closes connections that have events in the same batch. */
static void test_attached_closed_by_a_callback(void)
{
    g_autoptr(Fixture) f = fixture_new(8, 60000);
    int peers[4];

    for (guint i = 0; i < 2; i++)
        peers[i] = attach(f);
    for (guint i = 2; i < 4; i++) {
        peers[i] = test_connect(f->path);
        test_send(peers[i], HELLO, strlen(HELLO), -1);
        test_expect(f->context, peers[i], "PROTOCOL_VER 0");
    }
    f->close_when_attached = TRUE;
    for (guint i = 0; i < 4; i++)
        test_send(peers[i], REQUEST, strlen(REQUEST), -1);
    test_iterate_until(f->context, f->n_detached == 4);
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, 0);
    /* Who was not attached yet was served to the end. */
    for (guint i = 2; i < 4; i++) {
        hear_region(f, peers[i]);
        test_expect_end(f->context, peers[i]);
    }
    for (guint i = 0; i < 4; i++)
        cvd_close_fd(&peers[i]);
}

/* Whoever has nothing of the window yet cannot be misled by it: it waits, as do those that come
 * later, of either dialect, and no time limit runs. Input that waits wakes nobody. */
static void test_held_clients_wait(void)
{
    g_autoptr(Fixture) f = fixture_new(8, 20);
    cvd_autofd attached = attach(f);
    cvd_autofd asking = test_connect(f->path);

    test_send(asking, HELLO, strlen(HELLO), -1);
    test_expect(f->context, asking, "PROTOCOL_VER 0");
    cvd_client_port_hold(f->port);
    test_expect_end(NULL, attached);
    g_assert_cmpuint(f->n_detached, ==, 1);

    test_send(asking, REQUEST, strlen(REQUEST), -1);
    cvd_autofd late = test_connect(f->path);
    cvd_autofd legacy = test_connect(f->legacy_path);
    test_send(late, HANDSHAKE, strlen(HANDSHAKE), -1);
    test_iterate_until(f->context, cvd_client_port_get_n_clients(f->port) == 3);
    cvd_client_port_hold(f->port);
    test_iterate_until(f->context, !has_timer(f));
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, 3);
    expect_silence(asking);
    expect_silence(late);
    expect_silence(legacy);

    cvd_client_port_admit(f->port);
    hear_region(f, asking);
    test_expect(f->context, late, "PROTOCOL_VER 0");
    hear_region(f, late);
    expect_refusal(f, legacy, (gint64)1 << 32); /* its time limit runs again */
    g_assert_cmpuint(f->n_attached, ==, 3);
}

static void test_held_client_leaves(void)
{
    g_autoptr(Fixture) f = fixture_new(8, 60000);

    cvd_client_port_hold(f->port);
    cvd_autofd peer = test_connect(f->path);
    test_send(peer, HELLO, strlen(HELLO), -1);
    test_iterate_until(f->context, cvd_client_port_get_n_clients(f->port) == 1);
    cvd_close_fd(&peer);
    test_iterate_until(f->context, cvd_client_port_get_n_clients(f->port) == 0);
}

static void test_stop_listening(void)
{
    g_autoptr(Fixture) f = fixture_new(1, 60000);
    cvd_autofd peer = attach(f);

    cvd_client_port_stop_listening(f->port);
    close_attached(f);
    test_expect_end(f->context, peer);
    cvd_autofd late = test_connect(f->path); /* the socket is still its owner's */
    g_assert_cmpint(late, >=, 0);
    g_assert_false(has_timer(f));
    g_assert_cmpuint(cvd_client_port_get_n_clients(f->port), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/client-port/attach-and-leave", test_attach_and_leave);
    g_test_add_func("/client-port/list", test_list);
    g_test_add_func("/client-port/idle-without-a-timer", test_idle_without_a_timer);
    g_test_add_func("/client-port/time-limit-closes", test_time_limit_closes);
    g_test_add_func("/client-port/limit", test_limit);
    g_test_add_func("/client-port/stranger-holds-a-place-for-the-limit-only",
                    test_stranger_holds_a_place_for_the_limit_only);
    g_test_add_func("/client-port/many", test_many);
    g_test_add_func("/client-port/chatterbox", test_chatterbox);
    g_test_add_func("/client-port/no-descriptors-left", test_no_descriptors_left);
    g_test_add_func("/client-port/too-many-in-flight", test_too_many_in_flight);
    g_test_add_func("/client-port/listener-cannot-be-watched", test_listener_cannot_be_watched);
    g_test_add_func("/client-port/sharing-is-logged", test_sharing_is_logged);
    g_test_add_func("/client-port/sharing-has-ended", test_sharing_has_ended);
    g_test_add_func("/client-port/places-are-shared", test_places_are_shared);
    g_test_add_func("/client-port/freed-by-a-callback", test_freed_by_a_callback);
    g_test_add_func("/client-port/attached-closed-by-a-callback",
                    test_attached_closed_by_a_callback);
    g_test_add_func("/client-port/held-clients-wait", test_held_clients_wait);
    g_test_add_func("/client-port/held-client-leaves", test_held_client_leaves);
    g_test_add_func("/client-port/stop-listening", test_stop_listening);
    return g_test_run();
}
