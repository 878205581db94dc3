/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes, against the minimal server, with thousands of others open, and with many regions. */
#include "tests/bench/clients.h"

#include "tests/bench/figures.h"
#include "tests/bench/load.h"
#include "tests/bench/subjects.h"
#include "tests/support/launcher.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define N_HANDSHAKES 4000
#define N_HELD       10000
#define REGION       "region0"

/* A server that serves a subject's layout without QEMU. */
typedef struct {
    Subject *subject;
    TestProcess *process;
    char *socket_path;
} Served;

static void served_start(Served *served, guint n_regions)
{
    served->subject = subject_new(n_regions, 16u << 20);
    const char *args[] = {"--serve-only",         "--set", served->subject->layout, "--set",
                          "limits.clients=12000", NULL};
    served->process = test_launch_with(served->subject->sandbox, "clients", args, NULL, NULL);
    test_process_wait_err(served->process, "serving", 1);
    served->socket_path =
        test_sandbox_instance_path(served->subject->sandbox, "clients", "client.sock");
}

static void served_stop(Served *served)
{
    test_process_signal(served->process, SIGINT);
    test_launcher_assert_exit(served->process, 0);
    test_process_free(served->process);
    subject_free(served->subject);
    g_free(served->socket_path);
}

static void bench_rate(const char *ours, const char *minimal, guint n_concurrent, int n_rounds)
{
    g_autoptr(GArray) rate = figure_values();
    g_autoptr(GArray) rate_ratio = figure_values();
    g_autoptr(GArray) p99_ratio = figure_values();

    for (int i = 0; i < n_rounds; i++) {
        Load loads[2]; /* ours, the minimal server's */
        figure_progress("handshakes, %u at once: round %d of %d", n_concurrent, i + 1, n_rounds);
        for (int k = 0; k < 2; k++) {
            gboolean is_ours = (k + i) % 2 == 0;
            loads[is_ours ? 0 : 1] =
                load_run(is_ours ? ours : minimal, REGION, n_concurrent, N_HANDSHAKES);
        }
        double of_rates = loads[0].rate / loads[1].rate;
        double of_p99 = loads[0].p99_us / loads[1].p99_us;
        g_array_append_val(rate, loads[0].rate);
        g_array_append_val(rate_ratio, of_rates);
        g_array_append_val(p99_ratio, of_p99);
    }
    g_autofree char *rate_key = g_strdup_printf("handshakes_%u_per_s", n_concurrent);
    g_autofree char *ratio_key = g_strdup_printf("handshakes_%u_ratio", n_concurrent);
    g_autofree char *p99_key = g_strdup_printf("handshakes_%u_p99_ratio", n_concurrent);
    g_autofree char *text = g_strdup_printf("handshakes a second, %u at once", n_concurrent);
    figure_report(rate_key, text, rate, "/s", FIGURE_PLAIN, 0);
    figure_report(ratio_key, "  rate / the minimal server's", rate_ratio, "", FIGURE_AT_LEAST,
                  0.85);
    figure_report(p99_key, "  p99 / the minimal server's", p99_ratio, "", FIGURE_AT_MOST, 1.3);
}

static double read_pss_bytes(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/smaps_rollup", pid);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return g_ascii_strtod(strstr(text, "\nPss:") + strlen("\nPss:"), NULL) * 1024;
}

static void bench_held(const Served *served, int n_rounds)
{
    g_autoptr(GArray) without = figure_values();
    g_autoptr(GArray) beside = figure_values();
    g_autoptr(GArray) bytes = figure_values();

    for (int i = 0; i < n_rounds; i++) {
        figure_progress("10,000 clients held open: round %d of %d", i + 1, n_rounds);
        Load load = load_run(served->socket_path, REGION, 8, N_HANDSHAKES);
        g_array_append_val(without, load.rate);
        double before = read_pss_bytes(served->process->pid);
        GArray *held = load_hold(served->socket_path, REGION, N_HELD);
        double each = (read_pss_bytes(served->process->pid) - before) / N_HELD;
        if (i == 0) /* later rounds find the memory there */
            g_array_append_val(bytes, each);
        load = load_run(served->socket_path, REGION, 8, N_HANDSHAKES);
        g_array_append_val(beside, load.rate);
        load_release(held);
        test_process_has_err(served->process, "");
    }
    g_autoptr(GArray) ratio = figure_combine(beside, without, '/');
    figure_report("held_bytes", "10,000 clients held: launcher's memory each", bytes, "B",
                  FIGURE_AT_MOST, 2048);
    figure_report("held_rate_ratio", "  handshake rate beside them / without", ratio, "",
                  FIGURE_AT_LEAST, 0.8);
}

static void bench_regions(const Served *few, int n_rounds)
{
    g_autoptr(GArray) ratio = figure_values();
    Served many;

    served_start(&many, 2048);
    for (int i = 0; i < n_rounds; i++) {
        double p50_us[2];
        figure_progress("2048 regions for 4: round %d of %d", i + 1, n_rounds);
        for (int k = 0; k < 2; k++) {
            gboolean is_many = (k + i) % 2 == 0;
            const char *path = is_many ? many.socket_path : few->socket_path;
            p50_us[is_many] = load_run(path, REGION, 1, N_HANDSHAKES).p50_us;
        }
        double value = p50_us[1] / p50_us[0];
        g_array_append_val(ratio, value);
    }
    figure_report("open_regions_ratio", "opening a region, with 2048 regions / with 4", ratio, "",
                  FIGURE_AT_MOST, 1.2);
    served_stop(&many);
}

void bench_clients(int n_rounds)
{
    static const guint concurrent[] = {1, 8, 64};
    struct rlimit limit;
    Served served;

    served_start(&served, 4);
    g_autofree char *minimal = test_sandbox_path(served.subject->sandbox, "minimal.sock");
    pid_t pid = minimal_server_start(minimal);
    for (gsize i = 0; i < G_N_ELEMENTS(concurrent); i++)
        bench_rate(served.socket_path, minimal, concurrent[i], n_rounds);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > N_HELD + 100)
        bench_held(&served, MIN(n_rounds, 5));
    else
        g_printerr("10,000 clients held: left out, as RLIMIT_NOFILE is %lu\n",
                   (gulong)limit.rlim_cur);
    bench_regions(&served, n_rounds);
    served_stop(&served);
}
