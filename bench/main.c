/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The project's figures. Each is measured beside its baseline in one run, in alternating rounds,
 * since the same machine differs more from one minute to the next than the things do; with the
 * median of the rounds and, as spread, the quartiles of the single ones. docs/performance.md tells
 * what each of them is.
 */
#include "bench/accel.h"
#include "bench/groups.h"
#include "bench/locate.h"
#include "bench/report.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define EXIT_USAGE       2
#define EXIT_INTERRUPTED 130

static const BenchGroup groups[] = {
    {"launch", "start, stop and restart", bench_launch, FALSE},
    {"memory", "memory and idle wake-ups", bench_memory, FALSE},
    {"programs", "host programs", bench_programs, FALSE},
    {"handover", "hand-over to the VM", bench_handover, FALSE},
    {"clients", "handshakes of host programs", bench_clients, FALSE},
    {"signals", "signals between host processes", bench_signals, FALSE},
    {"trace", "round trips with a doorbell trace", bench_trace, FALSE},
    {"guest", "round trips and throughput with a Linux guest", bench_guest, TRUE},
    {"growth", "start and memory by regions, window, pages", bench_growth, FALSE},
    {"guest-growth", "round trips and throughput by regions, window, pages", bench_guest_growth,
     TRUE},
    {"scale", "snapshots, and many machines of one", bench_scale, TRUE},
};

static gboolean as_json, as_markdown, is_quick;
static int n_rounds;
static int idle_s;
static char *only, *svg_path, *accel;

static const GOptionEntry entries[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "Print one JSON object in place of the table",
     NULL},
    {"markdown", 0, 0, G_OPTION_ARG_NONE, &as_markdown, "Print the table as Markdown", NULL},
    {"svg", 0, 0, G_OPTION_ARG_FILENAME, &svg_path, "Write a chart, too", "FILE"},
    {"rounds", 0, 0, G_OPTION_ARG_INT, &n_rounds, "How often each pair is measured (15)", "N"},
    {"idle", 0, 0, G_OPTION_ARG_INT, &idle_s, "How long an idle launcher is watched (10)",
     "SECONDS"},
    {"quick", 0, 0, G_OPTION_ARG_NONE, &is_quick, "Few and short rounds, which show that all works",
     NULL},
    {"only", 0, 0, G_OPTION_ARG_STRING, &only, "Measure only these groups, see below",
     "GROUP[,GROUP…]"},
    {"accel", 0, 0, G_OPTION_ARG_STRING, &accel,
     "What QEMU uses; default: KVM where it boots Linux", "kvm|tcg"},
    G_OPTION_ENTRY_NULL,
};

static char *describe_groups(void)
{
    GString *text = g_string_new("Groups:\n");

    for (gsize i = 0; i < G_N_ELEMENTS(groups); i++)
        g_string_append_printf(text, "  %-14s %s\n", groups[i].name, groups[i].summary);
    return g_string_free(text, FALSE);
}

static gboolean wants(const BenchGroup *group)
{
    g_auto(GStrv) names = g_strsplit(only != NULL ? only : "", ",", -1);

    return only == NULL || g_strv_contains((const char *const *)names, group->name);
}

static gboolean needs_linux_guest(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(groups); i++)
        if (groups[i].is_linux && wants(&groups[i]))
            return TRUE;
    return FALSE;
}

static const char *find_unknown_group(char **names)
{
    for (; *names != NULL; names++) {
        gboolean is_known = FALSE;
        for (gsize i = 0; i < G_N_ELEMENTS(groups); i++)
            is_known |= strcmp(*names, groups[i].name) == 0;
        if (!is_known)
            return *names;
    }
    return NULL;
}

/* Returns: (transfer full): what is wrong with the options, or %NULL */
static char *check_options(int n_left)
{
    g_auto(GStrv) names = g_strsplit(only != NULL ? only : "", ",", -1);

    if (n_left > 1)
        return g_strdup("there are no arguments but options");
    if (n_rounds < 0 || idle_s < 0)
        return g_strdup("numbers must be at least 1");
    if (accel != NULL && strcmp(accel, "kvm") != 0 && strcmp(accel, "tcg") != 0)
        return g_strdup_printf("--accel: '%s' is neither kvm nor tcg", accel);
    if (find_unknown_group(names) != NULL)
        return g_strdup_printf("--only: no group is called '%s'; try --help",
                               find_unknown_group(names));
    return NULL;
}

static void parse_options(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new("- measure, and print the figures");
    g_autofree char *description = describe_groups();
    g_autofree char *problem = NULL;
    g_autoptr(GError) error = NULL;

    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_description(context, description);
    if (!g_option_context_parse(context, &argc, &argv, &error))
        problem = g_strdup(error->message);
    else
        problem = check_options(argc);
    if (problem == NULL)
        return;
    fprintf(stderr, "cvd-bench: %s\n", problem);
    exit(EXIT_USAGE);
}

static BenchOptions make_options(const Machine *machine)
{
    return (BenchOptions){
        .n_rounds = n_rounds > 0 ? n_rounds
                    : is_quick   ? 3
                                 : 15,
        .idle_s = idle_s > 0 ? idle_s
                  : is_quick ? 2
                             : 10,
        .n_handshakes = is_quick ? 500 : 4000,
        .n_round_trips = is_quick ? 500 : 4000,
        .slice_ms = is_quick ? 50 : 200,
        .n_machines = is_quick ? 4 : 64,
        .accel = machine->accel,
    };
}

/* Doorbells of a bare QEMU are ours, and so are 10,000 clients. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static gboolean write_svg(const Figures *figures, const Machine *machine)
{
    g_autofree char *svg = report_svg(figures, machine);
    g_autoptr(GError) error = NULL;

    if (g_file_set_contents(svg_path, svg, -1, &error))
        return TRUE;
    fprintf(stderr, "cvd-bench: %s\n", error->message);
    return FALSE;
}

static gboolean print(const Figures *figures, const Machine *machine)
{
    g_autofree char *text = as_json       ? report_json(figures, machine)
                            : as_markdown ? report_markdown(figures, machine)
                                          : report_table(figures, machine);

    return fputs(text, stdout) >= 0 && fflush(stdout) == 0;
}

static gboolean has_failure(const Figures *figures)
{
    for (guint i = 0; i < figures->gaps->len; i++)
        if (((const FigureGap *)g_ptr_array_index(figures->gaps, i))->is_failure)
            return TRUE;
    return FALSE;
}

/* Returns: FALSE when the whole run is to end */
static gboolean measure(Figures *figures, const Machine *machine)
{
    const BenchOptions options = make_options(machine);

    for (gsize i = 0; i < G_N_ELEMENTS(groups); i++) {
        if (!wants(&groups[i]))
            figures_add_gap(figures, groups[i].name, "not asked for", FALSE);
        else if (!run_group(figures, &groups[i], &options))
            return FALSE;
    }
    return TRUE;
}

int main(int argc, char **argv)
{
    g_autofree char *why = NULL;
    const char *used;

    setlocale(LC_CTYPE, "");
    parse_options(argc, argv);
    if (!locate_programs())
        return EXIT_FAILURE;
    raise_file_limit();
    if (needs_linux_guest())
        locate_linux_guest();
    run_begin();
    used = accel;
    if (!accel_choose(&used, &why))
        return EXIT_INTERRUPTED;
    g_autoptr(Machine) machine = machine_describe(used, why);
    g_autoptr(Figures) figures = figures_new();
    if (!measure(figures, machine))
        return EXIT_INTERRUPTED;
    if (!print(figures, machine) || (svg_path != NULL && !write_svg(figures, machine)))
        return EXIT_FAILURE;
    return has_failure(figures) ? EXIT_FAILURE : EXIT_SUCCESS;
}
