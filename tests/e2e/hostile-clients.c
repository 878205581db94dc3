/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile clients at the real server. Meanwhile a witness, who does nothing wrong, is served: every
 * time, and in time. Each test ends with a look at the launcher: it has no descriptor more than
 * before, and stops as asked.
 */
#include "base/fd.h"
#include "tests/support/launcher.h"
#include "tests/support/region.h"
#include "tests/support/vm.h"
#include "tests/support/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define NAME         "hostile"
#define MANY         500
#define MANY_REGIONS 2048
/* Long enough for a witness on a machine that has much else to do. */
#define TIMEOUT_MS "2000"
#define TICK_MS    40
/* What malloc may keep of what it was given back. */
#define SLACK_KB    2048
#define GET_VERSION "GET PROTOCOL_VER"
#define GET_REGIONS "GET REGIONS"
#define GET_MISC    "INFORM REGION_NAME_LEN: 0x00000004GET REGION: misc"

static const char handshake[] = GET_VERSION GET_MISC;
static const char legacy_handshake[] = {4, 0, 'm', 'i', 's', 'c'};

/* A launcher that serves, and the witness. */
typedef struct {
    TestSandbox *sandbox;
    TestProcess *launcher;
    char *socket;
    char *legacy_socket;
    TestWitness witness;
    guint n_fds; /* that the launcher has when nobody is there */
} Fixture;

static void fixture_init(Fixture *f, TestProcessSetup setup, gconstpointer data)
{
    f->sandbox = test_sandbox_new();
    f->socket = test_sandbox_instance_path(f->sandbox, NAME, "client.sock");
    f->legacy_socket = test_sandbox_path(f->sandbox, "legacy");
    g_autofree char *legacy = g_strdup_printf("sockets.legacy_client=%s", f->legacy_socket);
    const char *args[] = {
        "--serve-only", "--set", legacy, "--set", "limits.handshake_timeout_ms=" TIMEOUT_MS, NULL};

    f->launcher = test_launch_with(f->sandbox, NAME, args, setup, data);
    test_process_wait_err(f->launcher, ": serving without a VM", 1);
    test_witness_init(&f->witness, f->launcher, f->socket, "misc");
    test_witness_visit(&f->witness);
    f->n_fds = test_count_fds(f->launcher);
}

static void fixture_start(Fixture *f)
{
    fixture_init(f, NULL, NULL);
}

/* The last connections end a moment after their clients: visits let the server come round. */
static void fixture_finish(Fixture *f)
{
    gint64 deadline_us = g_get_monotonic_time() + TEST_TIMEOUT_MS * 1000;

    while (test_count_fds(f->launcher) > f->n_fds) {
        if (g_get_monotonic_time() > deadline_us)
            test_process_fail(f->launcher, "it keeps %u descriptors, and had %u",
                              test_count_fds(f->launcher), f->n_fds);
        test_visit(f->socket, f->witness.region);
    }
    test_launcher_stop_clean(f->launcher, SIGTERM, f->sandbox);
}

static void fixture_clear(Fixture *f)
{
    g_clear_pointer(&f->launcher, test_process_free);
    g_clear_pointer(&f->sandbox, test_sandbox_free);
    g_clear_pointer(&f->socket, g_free);
    g_clear_pointer(&f->legacy_socket, g_free);
    test_witness_clear(&f->witness);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_clear)

/* Returns whether all of it went. */
static gboolean say(int fd, gconstpointer data, gsize size)
{
    return send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (gssize)size;
}

static void read_to_end(int fd)
{
    char bytes[4096];

    while (read(fd, bytes, sizeof bytes) > 0)
        ;
}

static gboolean is_closed(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};

    return poll(&poll_fd, 1, 0) > 0;
}

static void connect_all(const char *socket, int *fds, guint n)
{
    for (guint i = 0; i < n; i++)
        fds[i] = test_connect(socket);
}

/* Visits until the server has closed all of them. */
static void wait_until_closed(Fixture *f, int *fds, guint n)
{
    gint64 deadline_us = g_get_monotonic_time() + TEST_TIMEOUT_MS * 1000;

    for (guint i = 0; i < n; i++) {
        while (!is_closed(fds[i])) {
            test_witness_visit(&f->witness);
            if (g_get_monotonic_time() > deadline_us)
                g_error("connection %u of %u is not closed", i, n);
        }
        cvd_close_fd(&fds[i]);
    }
}

static void test_silent(gconstpointer data)
{
    g_auto(Fixture) f;
    int fds[MANY];

    fixture_start(&f);
    connect_all(f.socket, fds, MANY);
    test_witness_stay(&f.witness, TEST_WITNESS_VISITS);
    wait_until_closed(&f, fds, MANY);
    test_witness_report(&f.witness, "%d silent clients, each closed at its time limit", MANY);
    fixture_finish(&f);
}

/*
 * A byte now and then must not put the time limit off. Half of the clients never come to an end,
 * as white space is skipped.
 */
static void test_trickle(gconstpointer data)
{
    g_auto(Fixture) f;
    int fds[100];
    guint n_open = G_N_ELEMENTS(fds);
    guint n_bytes = 0;

    fixture_start(&f);
    connect_all(f.socket, fds, G_N_ELEMENTS(fds));
    for (guint tick = 0; n_open > 0; tick++) {
        gint64 next_us = g_get_monotonic_time() + TICK_MS * G_TIME_SPAN_MILLISECOND;
        if (tick > TEST_TIMEOUT_MS / TICK_MS)
            g_error("after %u bytes each, %u clients are not closed", tick, n_open);
        for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
            if (fds[i] < 0)
                continue;
            gboolean is_spacing = i % 2 == 0 || tick >= strlen(handshake) - 1;
            if (!is_closed(fds[i]) && say(fds[i], is_spacing ? " " : handshake + tick, 1))
                n_bytes++;
            else {
                cvd_close_fd(&fds[i]);
                n_open--;
            }
        }
        do
            test_witness_visit(&f.witness);
        while (g_get_monotonic_time() < next_us);
    }
    test_witness_report(&f.witness,
                        "100 clients that sent %u bytes one by one, and were closed at their time "
                        "limit all the same",
                        n_bytes);
    fixture_finish(&f);
}

static void attack_garbage(gconstpointer data, guint *count)
{
    const Fixture *f = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(20170731);

    for (;; test_count(count)) {
        cvd_autofd fd = test_connect(*count % 2 == 0 ? f->socket : f->legacy_socket);
        guint8 bytes[256];
        gsize offset = 0;

        /* Every third one errs later. */
        if (*count % 3 == 0)
            say(fd, GET_VERSION, strlen(GET_VERSION));
        if (*count % 5 == 0)
            say(fd, "INFORM REGION_NAME_LEN: 0x", 26);
        while (offset < sizeof bytes)
            bytes[offset++] = (guint8)g_rand_int(rand);
        say(fd, bytes, (gsize)g_rand_int_range(rand, 1, sizeof bytes));
        shutdown(fd, SHUT_WR);
        read_to_end(fd);
    }
}

/* Megabytes: of a name, of white space, and after an end. Counts them. */
static void attack_megabytes(gconstpointer data, guint *count)
{
    static const char *const prefixes[] = {
        "", GET_VERSION, GET_VERSION "INFORM REGION_NAME_LEN: ", GET_VERSION "GET REGIONS\n"};
    const Fixture *f = data;
    g_autofree char *bytes = g_malloc(1 << 16);

    for (guint i = 0;; i++) {
        const char *prefix = prefixes[i / 2 % G_N_ELEMENTS(prefixes)];
        cvd_autofd fd = test_connect(f->socket);

        memset(bytes, i % 2 == 0 ? 'A' : ' ', 1 << 16);
        say(fd, prefix, strlen(prefix));
        for (guint j = 0; j < 64; j++) {
            /* A blocking send, as long as the server takes it. */
            if (send(fd, bytes, 1 << 16, MSG_NOSIGNAL) < 0)
                break;
            if (j % 16 == 15)
                test_count(count);
        }
    }
}

static void test_megabytes(gconstpointer data)
{
    g_auto(Fixture) f;

    fixture_start(&f);
    TestMemory before = test_get_memory(f.launcher);
    guint n = test_witness_attack(&f.witness, attack_megabytes, &f, 50);
    TestMemory after = test_get_memory(f.launcher);
    test_witness_report(&f.witness, "%u MB of surplus bytes; PSS %u kB, then %u kB", n,
                        before.pss_kb, after.pss_kb);
    test_assert_no_growth(before, after, SLACK_KB);
    fixture_finish(&f);
}

typedef enum {
    LEAVE_CLOSING,  /* the answer finds nobody */
    LEAVE_SHUTTING, /* waits for the end */
    LEAVE_LAST,
} Leave;

static void attack_truncated(const char *socket, gconstpointer good, gsize size, guint *count)
{
    for (gsize length = 0; length < size; length++)
        for (int leave = LEAVE_CLOSING; leave < LEAVE_LAST; leave++) {
            cvd_autofd fd = test_connect(socket);

            if (length > 0)
                say(fd, good, length);
            if (leave == LEAVE_SHUTTING) {
                shutdown(fd, SHUT_WR);
                read_to_end(fd);
            }
            test_count(count);
        }
}

static void attack_truncations(gconstpointer data, guint *count)
{
    const Fixture *f = data;

    for (;;) {
        attack_truncated(f->socket, handshake, strlen(handshake), count);
        attack_truncated(f->legacy_socket, legacy_handshake, sizeof legacy_handshake, count);
    }
}

static void test_truncations(gconstpointer data)
{
    const guint n_all = LEAVE_LAST * (guint)(strlen(handshake) + sizeof legacy_handshake);
    g_auto(Fixture) f;

    fixture_start(&f);
    guint n = test_witness_attack(&f.witness, attack_truncations, &f, 10 * n_all);
    test_witness_report(&f.witness,
                        "%u handshakes cut short, at each byte of both dialects, %u "
                        "times over",
                        n, n / n_all);
    fixture_finish(&f);
}

static void attack_without_reading(gconstpointer data, guint *count)
{
    const Fixture *f = data;

    for (;; test_count(count)) {
        gboolean is_legacy = *count % 2 != 0;
        cvd_autofd fd = test_connect(is_legacy ? f->legacy_socket : f->socket);

        if (is_legacy)
            say(fd, legacy_handshake, sizeof legacy_handshake);
        else
            say(fd, handshake, strlen(handshake));
    }
}

static void attack_connecting(gconstpointer data, guint *count)
{
    const Fixture *f = data;

    for (;; test_count(count)) {
        cvd_autofd fd = test_connect(f->socket);
        g_assert_cmpint(fd, >=, 0);
    }
}

/* What leaves nothing to look at but the witness. */
typedef struct {
    const char *path;
    TestAttack attack;
    guint n;
    const char *what; /* they were */
} Attack;

static const Attack attacks[] = {
    {"/hostile-clients/garbage", attack_garbage, 2000, "connections with random bytes"},
    {"/hostile-clients/close-before-reading", attack_without_reading, 5000,
     "clients that left before the answer"},
    {"/hostile-clients/ten-thousand-connects", attack_connecting, 10000, "connects"},
};

static void test_attack(gconstpointer data)
{
    const Attack *attack = data;
    g_auto(Fixture) f;

    fixture_start(&f);
    guint n = test_witness_attack(&f.witness, attack->attack, &f, attack->n);
    test_witness_report(&f.witness, "%u %s", n, attack->what);
    fixture_finish(&f);
}

/* As many requests as the socket takes, and not one answer is read. */
static guint ask_until_full(int fd)
{
    guint n = 0;

    g_assert_true(say(fd, GET_VERSION, strlen(GET_VERSION)));
    while (say(fd, GET_REGIONS, strlen(GET_REGIONS)))
        n++;
    g_assert_cmpint(errno, ==, EAGAIN);
    return n;
}

static void test_never_reads(gconstpointer data)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autofree char *config = test_write_config(sandbox, MANY_REGIONS);
    g_autofree char *socket = test_sandbox_instance_path(sandbox, "cvd-1", "client.sock");
    Fixture f = {.sandbox = sandbox, .socket = socket};
    int fds[50];
    guint n_requests = 0;

    if (test_skip_without_fds(MANY_REGIONS))
        return;
    g_autoptr(TestProcess) launcher = test_launch_config(
        sandbox, config, "--serve-only", "--set", "limits.handshake_timeout_ms=" TIMEOUT_MS, NULL);
    test_process_wait_err(launcher, ": serving without a VM", 1);
    f.launcher = launcher;
    test_witness_init(&f.witness, launcher, socket, "region0");
    test_witness_visit(&f.witness);
    f.n_fds = test_count_fds(launcher);
    TestMemory before = test_get_memory(launcher);
    connect_all(socket, fds, G_N_ELEMENTS(fds));
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        n_requests += ask_until_full(fds[i]);
        test_witness_visit(&f.witness);
    }
    test_witness_stay(&f.witness, TEST_WITNESS_VISITS);
    TestMemory after = test_get_memory(launcher);
    wait_until_closed(&f, fds, G_N_ELEMENTS(fds));
    test_witness_report(&f.witness,
                        "50 clients that asked %u times for 2048 regions and read no answer; PSS "
                        "%u kB, then %u kB",
                        n_requests, before.pss_kb, after.pss_kb);
    test_assert_no_growth(before, after, SLACK_KB);
    fixture_finish(&f);
    test_witness_clear(&f.witness);
}

static void limit_fds(gconstpointer data)
{
    const struct rlimit limit = {GPOINTER_TO_UINT(data), GPOINTER_TO_UINT(data)};

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        _exit(124);
}

/* Voluntary and other context switches of the process so far. */
static guint count_switches(const TestProcess *process)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", process->pid);
    g_autofree char *text = NULL;
    guint sum = 0;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (const char *p = text; (p = strstr(p, "voluntary_ctxt_switches:")) != NULL; p++)
        sum += (guint)strtoul(strchr(p, ':') + 1, NULL, 10);
    return sum;
}

/* A request on a connection that there is already: it needs no descriptor of the server's. */
static void visit_again(TestWitness *witness, int socket)
{
    gint64 start_us = g_get_monotonic_time();

    test_visit_again(socket, "misc");
    gint64 time_us = g_get_monotonic_time() - start_us;
    g_array_append_val(witness->times_us, time_us);
}

/*
 * Who is in is served; who is not waits, and is let in when descriptors are free again. Meanwhile
 * the server looks a few times a second, and does nothing else.
 */
static void test_exhausts_descriptors(gconstpointer data)
{
    const guint limit = 100;
    const guint n_reserved = 20; /* for a restart */
    g_auto(Fixture) f;
    int fds[100];

    fixture_init(&f, limit_fds, GUINT_TO_POINTER(limit));
    int inside = test_connect(f.socket);
    test_say_hello(inside);
    connect_all(f.socket, fds, G_N_ELEMENTS(fds));
    test_process_wait_err(f.launcher, "clients wait until a descriptor is free", 1);
    guint n_fds = test_count_fds(f.launcher);
    for (guint i = 0; i < TEST_WITNESS_VISITS; i++)
        visit_again(&f.witness, inside);

    guint n_switches = count_switches(f.launcher);
    guint64 cpu_us = test_process_get_cpu_us(f.launcher);
    gint64 start_us = g_get_monotonic_time();
    test_wait_readable(fds[0], "the first client's time limit");
    gint64 time_us = g_get_monotonic_time() - start_us;
    n_switches = count_switches(f.launcher) - n_switches;
    cpu_us = test_process_get_cpu_us(f.launcher) - cpu_us;

    cvd_close_fd(&inside);
    wait_until_closed(&f, fds, G_N_ELEMENTS(fds));
    test_witness_stay(&f.witness, TEST_WITNESS_VISITS);
    test_witness_report(&f.witness,
                        "%u descriptors in use of %u and more clients than that; %u switches and "
                        "%u us of processor in %u ms of waiting",
                        n_fds, limit, n_switches, (guint)cpu_us, (guint)(time_us / 1000));
    g_assert_cmpuint(n_fds, >=, limit - n_reserved);
    g_assert_cmpuint(n_switches, <, 200);
    fixture_finish(&f);
}

/* Returns whether they went: newer kernels refuse them here, as the server has asked for. */
static gboolean pass_fd(int socket, int fd, guint n_copies)
{
    int fds[253];
    struct iovec iov = {.iov_base = (void *)"G", .iov_len = 1};
    char control[CMSG_SPACE(sizeof fds)] __attribute__((aligned(8))) = {0};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(n_copies * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    for (guint i = 0; i < n_copies; i++)
        fds[i] = fd;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(n_copies * sizeof(int));
    memcpy(CMSG_DATA(header), fds, n_copies * sizeof(int));
    if (sendmsg(socket, &message, MSG_NOSIGNAL) >= 0)
        return TRUE;
    g_assert_cmpint(errno, ==, EPERM);
    return FALSE;
}

/* What was passed is closed though the connection goes on: its other end tells. */
static void test_passes_descriptors(gconstpointer data)
{
    g_auto(Fixture) f;
    int fds[100], pipes[G_N_ELEMENTS(fds)];
    /* As many as a message can have; without privileges only so many may be on their way. */
    const guint n_copies = geteuid() == 0 ? 253 : 8;
    guint n_passed = 0;

    fixture_start(&f);
    connect_all(f.socket, fds, G_N_ELEMENTS(fds));
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        int ends[2];
        g_assert_no_errno(pipe2(ends, O_CLOEXEC));
        if (pass_fd(fds[i], ends[1], n_copies))
            n_passed += n_copies;
        close(ends[1]);
        pipes[i] = ends[0];
        test_witness_visit(&f.witness);
    }
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        test_wait_readable(pipes[i], "the end of what was passed");
        g_assert_false(is_closed(fds[i]));
        cvd_close_fd(&pipes[i]);
    }
    g_assert_cmpuint(test_count_fds(f.launcher), ==, f.n_fds + G_N_ELEMENTS(fds));
    wait_until_closed(&f, fds, G_N_ELEMENTS(fds));
    test_witness_report(&f.witness, "%u descriptors that were passed and %u refused on the way",
                        n_passed, (guint)G_N_ELEMENTS(fds) * n_copies - n_passed);
    fixture_finish(&f);
}

/* A socket full of bytes that nobody reads, whose last close waits for them for an hour; −1 where
 * there is no loopback network. */
static int make_lingering(int *take_reader)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    const struct linger linger = {.l_onoff = 1, .l_linger = 3600};
    cvd_autofd listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_autofree char *bytes = g_malloc0(1 << 16);

    g_assert_no_errno(bind(listener, (struct sockaddr *)&address, size));
    g_assert_no_errno(listen(listener, 1));
    g_assert_no_errno(getsockname(listener, (struct sockaddr *)&address, &size));
    if (connect(fd, (struct sockaddr *)&address, size) < 0) {
        cvd_close_fd(&fd);
        return -1;
    }
    *take_reader = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    g_assert_no_errno(*take_reader);
    while (send(fd, bytes, 1 << 16, MSG_DONTWAIT) > 0)
        ;
    g_assert_no_errno(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    return fd;
}

/* The launcher is held up until it alone would have the socket. */
static void test_passes_what_lingers(gconstpointer data)
{
    g_auto(Fixture) f;
    const int no = 0;
    int reader = -1;

    fixture_start(&f);
    int fd = test_connect(f.socket);
    if (setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof no) < 0) {
        test_skip("this kernel cannot refuse descriptors for a socket");
        return;
    }
    int lingering = make_lingering(&reader);
    if (lingering < 0) {
        test_skip("there is no loopback network");
        return;
    }
    test_process_signal(f.launcher, SIGSTOP);
    gboolean is_passed = pass_fd(fd, lingering, 1);
    if (is_passed)
        cvd_close_fd(&lingering);
    test_process_signal(f.launcher, SIGCONT);
    test_witness_stay(&f.witness, TEST_WITNESS_VISITS);
    g_assert_false(is_passed);
    cvd_close_fd(&reader);
    cvd_close_fd(&lingering);
    cvd_close_fd(&fd);
    test_witness_report(&f.witness, "a socket that lingers for an hour, refused on the way");
    fixture_finish(&f);
}

/* Sends so much of the handshake, and stands still. */
static pid_t fork_stopped(const Fixture *f, gsize n_bytes)
{
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        int fd = test_connect(f->socket);
        say(fd, handshake, n_bytes);
        raise(SIGSTOP);
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, WUNTRACED), ==, pid);
    g_assert_true(WIFSTOPPED(status));
    return pid;
}

static void test_stopped(gconstpointer data)
{
    g_auto(Fixture) f;
    pid_t pids[sizeof handshake];

    fixture_start(&f);
    for (gsize i = 0; i < G_N_ELEMENTS(pids); i++) {
        pids[i] = fork_stopped(&f, i);
        test_witness_visit(&f.witness);
    }
    test_witness_stay(&f.witness, TEST_WITNESS_VISITS);
    for (gsize i = 0; i < G_N_ELEMENTS(pids); i++) {
        kill(pids[i], SIGKILL);
        g_assert_cmpint(waitpid(pids[i], NULL, 0), ==, pids[i]);
    }
    test_witness_report(&f.witness, "%u clients stopped by SIGSTOP, one at each byte",
                        (guint)G_N_ELEMENTS(pids));
    fixture_finish(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add("/hostile-clients/silent", NULL, test_silent);
    test_add("/hostile-clients/a-byte-now-and-then", NULL, test_trickle);
    for (gsize i = 0; i < G_N_ELEMENTS(attacks); i++)
        test_add(attacks[i].path, &attacks[i], test_attack);
    test_add("/hostile-clients/megabytes", NULL, test_megabytes);
    test_add("/hostile-clients/every-truncation", NULL, test_truncations);
    test_add("/hostile-clients/never-read", NULL, test_never_reads);
    test_add("/hostile-clients/exhaust-descriptors", NULL, test_exhausts_descriptors);
    test_add("/hostile-clients/pass-descriptors", NULL, test_passes_descriptors);
    test_add("/hostile-clients/pass-a-socket-that-lingers", NULL, test_passes_what_lingers);
    test_add("/hostile-clients/stopped", NULL, test_stopped);
    return g_test_run();
}
