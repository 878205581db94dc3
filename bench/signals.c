/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signal through a region and the answer to it, client library against cvd-vm, beside what the
 * kernel takes for the wake-ups alone: two processes that ring each other by eventfd.
 */
#include "bench/groups.h"

#include "base/fd.h"
#include "bench/subjects.h"
#include "bench/trips.h"
#include "bench/values.h"
#include "client/cvd-client.h"
#include "tests/support/launcher.h"

#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define REGION "region0"

typedef struct {
    int to_child;
    int from_child;
    pid_t pid;
} PingPong;

static void ring(int fd)
{
    const guint64 one = 1;

    g_assert_cmpint(write(fd, &one, sizeof one), ==, sizeof one);
}

static void wait_for_ring(int fd)
{
    guint64 n;

    g_assert_cmpint(read(fd, &n, sizeof n), ==, sizeof n);
}

static void ping_pong_start(PingPong *pair)
{
    pair->to_child = eventfd(0, EFD_CLOEXEC);
    pair->from_child = eventfd(0, EFD_CLOEXEC);
    pair->pid = fork();
    if (pair->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            wait_for_ring(pair->to_child);
            ring(pair->from_child);
        }
    }
}

static void ping_pong_stop(PingPong *pair)
{
    kill(pair->pid, SIGKILL);
    waitpid(pair->pid, NULL, 0);
    cvd_close_fd(&pair->to_child);
    cvd_close_fd(&pair->from_child);
}

static double time_ping_pong(const PingPong *pair, guint n)
{
    g_autoptr(GArray) times_us = figure_values();

    for (guint i = 0; i < n; i++) {
        double begin = now_us();
        ring(pair->to_child);
        wait_for_ring(pair->from_child);
        double us = now_us() - begin;
        g_array_append_val(times_us, us);
    }
    return figure_quantile(times_us, 0.5);
}

static double time_signals(CvdRegion *region, guint n)
{
    g_autoptr(GArray) times_us = figure_values();

    trips_region(region, n, times_us);
    return figure_quantile(times_us, 0.5);
}

typedef struct {
    Subject *subject;
    TestProcess *server;
    TestProcess *vm;
    CvdRegion *region;
} Pair;

static void pair_start(Pair *pair, guint n_regions)
{
    g_autoptr(GError) error = NULL;

    pair->subject = subject_new(n_regions, 16u << 20, "tcg", FALSE);
    const TestSandbox *sandbox = pair->subject->sandbox;
    const char *args[] = {"--serve-only", "--set", pair->subject->layout, NULL};
    pair->server = test_launch_with(sandbox, "signals", args, NULL, NULL);
    test_process_wait_err(pair->server, "serving", 1);
    g_autofree char *vm_socket = test_sandbox_instance_path(sandbox, "signals", "vm.sock");
    g_autofree char *client_socket = test_sandbox_instance_path(sandbox, "signals", "client.sock");
    const char *vm_argv[] = {g_getenv("CVD_VM"), "--socket", vm_socket, NULL};
    pair->vm = test_process_start(sandbox, vm_argv, NULL, NULL);
    test_process_wait_err(pair->vm, "ready", 1);
    pair->region = cvd_region_open(client_socket, REGION, 0, NULL, &error);
    if (pair->region == NULL)
        g_error("%s", error->message);
}

static void pair_stop(Pair *pair)
{
    g_clear_object(&pair->region);
    test_process_signal(pair->vm, SIGTERM);
    test_process_wait_end(pair->vm);
    test_process_signal(pair->server, SIGINT);
    test_process_wait_end(pair->server);
    test_process_free(pair->vm);
    test_process_free(pair->server);
    subject_free(pair->subject);
}

typedef struct {
    PingPong ping_pong;
    Pair few;
    Pair many;
} Pairs;

/* Left to itself the scheduler moves the processes together or apart as it comes, and a processor
 * that has to be woken costs ten times what is measured here. */
static void place(pid_t pid, int processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    g_assert_no_errno(sched_setaffinity(pid, sizeof set, &set));
}

static void measure(const Pairs *pairs, const char *key, const char *where,
                    const BenchOptions *options)
{
    g_autoptr(GArray) bare_us = figure_values();
    g_autoptr(GArray) signal_us = figure_values();
    g_autoptr(GArray) many_us = figure_values();

    for (int i = 0; i < options->n_rounds; i++) {
        figure_progress("signals, %s: round %d of %d", where, i + 1, options->n_rounds);
        double us = time_ping_pong(&pairs->ping_pong, options->n_round_trips);
        g_array_append_val(bare_us, us);
        us = time_signals(pairs->few.region, options->n_round_trips);
        g_array_append_val(signal_us, us);
        us = time_signals(pairs->many.region, options->n_round_trips);
        g_array_append_val(many_us, us);
    }
    g_autoptr(GArray) ratio = figure_combine(signal_us, bare_us, '/');
    g_autoptr(GArray) growth = figure_combine(many_us, signal_us, '/');
    const struct {
        const char *key;
        const char *text;
        GArray *values;
        const char *unit;
        double target;
    } rows[] = {
        {"eventfd_p50_us", "bare eventfd ping-pong: round trip, p50", bare_us, "us", 0},
        {"signal_p50_us", "signal and answer through a region: p50", signal_us, "us", 0},
        {"signal_ratio", "signal through a region / bare eventfd", ratio, "", 1.25},
        {"signal_regions_ratio", "signal with 2048 regions / with 4", growth, "", 1.2},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *full_key = g_strconcat(key, "_", rows[i].key, NULL);
        g_autofree char *text = g_strdup_printf("%s: %s", where, rows[i].text);
        figure_report(full_key, text, rows[i].values, rows[i].unit,
                      rows[i].target > 0 ? FIGURE_AT_MOST : FIGURE_PLAIN, rows[i].target);
    }
}

/* @n: how many are wanted, found in the order of their numbers. */
static int find_processors(int *processors, int n)
{
    cpu_set_t set;
    int n_found = 0;

    g_assert_no_errno(sched_getaffinity(0, sizeof set, &set));
    for (int i = 0; i < CPU_SETSIZE && n_found < n; i++)
        if (CPU_ISSET(i, &set))
            processors[n_found++] = i;
    return n_found;
}

void bench_signals(const BenchOptions *options)
{
    int processors[2];
    int n_processors = find_processors(processors, 2);
    Pairs pairs;

    ping_pong_start(&pairs.ping_pong);
    pair_start(&pairs.few, 4);
    pair_start(&pairs.many, 2048);
    place(0, processors[0]);
    figure_section("Signals between two host processes (library and cvd-vm)");
    for (int i = 0; i < n_processors; i++) {
        place(pairs.ping_pong.pid, processors[i]);
        place(pairs.few.vm->pid, processors[i]);
        place(pairs.many.vm->pid, processors[i]);
        measure(&pairs, i == 0 ? "one_processor" : "two_processors",
                i == 0 ? "one processor" : "a processor each", options);
    }
    ping_pong_stop(&pairs.ping_pong);
    pair_stop(&pairs.few);
    pair_stop(&pairs.many);
}
