/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes, against the minimal server, with thousands of others open, and with many regions. */
#include "bench/groups.h"
#include "bench/inherited.h"
#include "bench/load.h"
#include "bench/proc.h"
#include "bench/subjects.h"
#include "bench/values.h"
#include "tests/support/launcher.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define N_HELD      10000
#define N_OPENED    64
#define REGION      "region0"
#define SMALL_BYTES (16u << 20)
#define LARGE_BYTES (1u << 30)
#define HUGE_PAGE   (2u << 20)

/* A server that serves a subject's layout without QEMU. */
typedef struct {
    Subject *subject;
    TestProcess *process;
    char *socket_path;
} Served;

static void served_start(Served *served, guint n_regions, guint64 window_size, gboolean is_huge)
{
    served->subject = subject_new(n_regions, window_size, "tcg", is_huge);
    g_autofree char *size = g_strdup_printf("window.size=%" G_GUINT64_FORMAT, window_size);
    const char *args[] = {"--serve-only",
                          "--set",
                          served->subject->layout,
                          "--set",
                          "limits.clients=12000",
                          "--set",
                          size,
                          is_huge ? "--set" : NULL,
                          "window.hugepages=2M",
                          NULL};
    served->process = test_launch_with(served->subject->sandbox, "clients", args, NULL, NULL);
    test_process_wait_err(served->process, "serving", 1);
    served->socket_path =
        test_sandbox_instance_path(served->subject->sandbox, "clients", "client.sock");
}

static void served_stop(Served *served)
{
    test_launcher_stop(served->process, SIGINT);
    test_process_free(served->process);
    subject_free(served->subject);
    g_free(served->socket_path);
}

/* What two servers took, round by round. */
typedef struct {
    GArray *rate, *p50_us, *p99_us;
} Loads;

static void loads_init(Loads *loads)
{
    *loads = (Loads){figure_values(), figure_values(), figure_values()};
}

static void loads_clear(Loads *loads)
{
    g_array_unref(loads->rate);
    g_array_unref(loads->p50_us);
    g_array_unref(loads->p99_us);
}

static void loads_add(Loads *loads, const char *path, guint n_concurrent, guint n_total)
{
    Load load = load_run(path, REGION, n_concurrent, n_total);

    g_array_append_val(loads->rate, load.rate);
    g_array_append_val(loads->p50_us, load.p50_us);
    g_array_append_val(loads->p99_us, load.p99_us);
}

static void report(guint n_concurrent, const char *key, const char *text, GArray *values,
                   const char *unit, FigureGoal goal, double target)
{
    g_autofree char *whole_key = g_strdup_printf("handshakes_%u_%s", n_concurrent, key);
    g_autofree char *whole_text = g_strdup_printf("%u at once: %s", n_concurrent, text);

    figure_report(whole_key, whole_text, values, unit, goal, target);
}

static void report_loads(guint n, const Loads *ours, const Loads *minimal)
{
    g_autoptr(GArray) rate = figure_combine(ours->rate, minimal->rate, '/');
    g_autoptr(GArray) p50 = figure_combine(ours->p50_us, minimal->p50_us, '/');
    g_autoptr(GArray) p99 = figure_combine(ours->p99_us, minimal->p99_us, '/');

    report(n, "minimal_per_s", "minimal server", minimal->rate, "/s", FIGURE_PLAIN, 0);
    report(n, "per_s", "cvd-launch", ours->rate, "/s", FIGURE_PLAIN, 0);
    report(n, "ratio", "handshakes, rate / minimal server's", rate, "", FIGURE_AT_LEAST, 0.9);
    report(n, "p50_us", "cvd-launch, p50", ours->p50_us, "us", FIGURE_PLAIN, 0);
    report(n, "p50_ratio", "handshakes, p50 / minimal server's", p50, "", FIGURE_PLAIN, 0);
    report(n, "p99_us", "cvd-launch, p99", ours->p99_us, "us", FIGURE_PLAIN, 0);
    report(n, "p99_ratio", "handshakes, p99 / minimal server's", p99, "", FIGURE_AT_MOST, 1.3);
}

static void measure_rate(const char *ours_path, const char *minimal_path, guint n_concurrent,
                         const BenchOptions *options)
{
    Loads ours, minimal;

    loads_init(&ours);
    loads_init(&minimal);
    for (int i = 0; i < 2 * options->n_rounds; i++) {
        gboolean is_ours = (i + i / 2) % 2 == 0; /* who goes first changes */
        figure_progress("handshakes, %u at once: round %d of %d", n_concurrent, i / 2 + 1,
                        options->n_rounds);
        loads_add(is_ours ? &ours : &minimal, is_ours ? ours_path : minimal_path, n_concurrent,
                  options->n_handshakes);
    }
    report_loads(n_concurrent, &ours, &minimal);
    loads_clear(&ours);
    loads_clear(&minimal);
}

static void measure_held(const Served *served, const BenchOptions *options)
{
    int n_rounds = MIN(options->n_rounds, 5);
    g_autoptr(GArray) without = figure_values();
    g_autoptr(GArray) beside = figure_values();
    g_autoptr(GArray) bytes = figure_values();

    for (int i = 0; i < n_rounds; i++) {
        figure_progress("10,000 clients held open: round %d of %d", i + 1, n_rounds);
        Load load = load_run(served->socket_path, REGION, 8, options->n_handshakes);
        g_array_append_val(without, load.rate);
        double before = proc_read_pss_kib(served->process->pid) * 1024;
        GArray *held = load_hold(served->socket_path, REGION, N_HELD);
        double each = (proc_read_pss_kib(served->process->pid) * 1024 - before) / N_HELD;
        if (i == 0) /* later rounds find the memory there */
            g_array_append_val(bytes, each);
        load = load_run(served->socket_path, REGION, 8, options->n_handshakes);
        g_array_append_val(beside, load.rate);
        load_release(held);
        test_process_has_err(served->process, "");
    }
    g_autoptr(GArray) ratio = figure_combine(beside, without, '/');
    figure_report("held_bytes", "10,000 clients held: launcher's memory each", bytes, "B",
                  FIGURE_AT_MOST, 2048);
    figure_report("held_rate_ratio", "handshake rate beside 10,000 clients / without", ratio, "",
                  FIGURE_AT_LEAST, 0.8);
}

/* The same handshake with two configurations. */
static void measure_growth(const Served *few, Served *many, const char *key, const char *text,
                           FigureGoal goal, const BenchOptions *options)
{
    Loads of_few, of_many;

    loads_init(&of_few);
    loads_init(&of_many);
    for (int i = 0; i < 2 * options->n_rounds; i++) {
        gboolean is_many = (i + i / 2) % 2 == 0;
        figure_progress("%s: round %d of %d", text, i / 2 + 1, options->n_rounds);
        loads_add(is_many ? &of_many : &of_few, is_many ? many->socket_path : few->socket_path, 1,
                  options->n_handshakes);
    }
    g_autoptr(GArray) ratio = figure_combine(of_many.p50_us, of_few.p50_us, '/');
    figure_report(key, text, ratio, "", goal, 1.2);
    loads_clear(&of_few);
    loads_clear(&of_many);
    served_stop(many);
}

static void measure_all_growth(const Served *few, const BenchOptions *options)
{
    Served many;

    served_start(&many, 2048, SMALL_BYTES, FALSE);
    measure_growth(few, &many, "open_regions_ratio", "handshake, p50: with 2048 regions / with 4",
                   FIGURE_AT_MOST, options);
    served_start(&many, 4, LARGE_BYTES, FALSE);
    measure_growth(few, &many, "open_window_ratio", "handshake, p50: window of 1 GiB / of 16 MiB",
                   FIGURE_PLAIN, options);
    if (proc_count_huge_pages() < SMALL_BYTES / HUGE_PAGE) {
        figure_skip("handshakes with huge pages", "fewer than %u pages of 2 MiB are free",
                    (guint)(SMALL_BYTES / HUGE_PAGE));
        return;
    }
    served_start(&many, 4, SMALL_BYTES, TRUE);
    measure_growth(few, &many, "open_huge_ratio", "handshake, p50: pages of 2 MiB / of 4 KiB",
                   FIGURE_PLAIN, options);
}

void bench_clients(const BenchOptions *options)
{
    static const guint concurrent[] = {1, 8, 64};
    struct rlimit limit;
    Served served;

    figure_section("Handshakes of host programs");
    served_start(&served, 4, SMALL_BYTES, FALSE);
    g_autofree char *minimal = test_sandbox_path(served.subject->sandbox, "minimal.sock");
    pid_t pid = minimal_server_start(minimal);
    for (gsize i = 0; i < G_N_ELEMENTS(concurrent); i++)
        measure_rate(served.socket_path, minimal, concurrent[i], options);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > N_HELD + 100)
        measure_held(&served, options);
    else
        figure_skip("10,000 clients held open", "RLIMIT_NOFILE is %lu", (gulong)limit.rlim_cur);
    measure_all_growth(&served, options);
    served_stop(&served);

    served_start(&served, N_OPENED, SMALL_BYTES, FALSE);
    measure_inherited(served.socket_path, N_OPENED, options);
    served_stop(&served);
}
