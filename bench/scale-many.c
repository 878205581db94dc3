/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many machines of one snapshot, side by side. In each round the machine boots that the snapshot is
 * made of, and single ones start from it: what all of them take is compared with those. As many
 * start at once as there are processors, which is what cvd-up does, too.
 */
#include "bench/scale.h"

#include "bench/proc.h"
#include "bench/resources.h"
#include "bench/values.h"
#include "tests/support/ctl.h"
#include "tests/support/launcher.h"
#include "tests/support/region.h"

#include <signal.h>

#define MAX_ROUNDS 3
#define N_SINGLE   5 /* that start alone */
#define MB_OF_KIB  (1024 / 1e6)
/* limits.handshake_timeout_ms, unless it is configured */
#define HANDSHAKE_LIMIT_S 5

typedef enum {
    ROW_SAVE,
    ROW_SNAPSHOT_DISK,
    ROW_SINGLE,
    ROW_ALL,
    ROW_START_RATIO,
    ROW_FULL_PSS,
    ROW_PSS,
    ROW_PRIVATE,
    ROW_CHANGED,
    ROW_PSS_RATIO,
    ROW_LAUNCHER_PSS,
    ROW_SWITCHES,
    ROW_IDLE_CPU,
    ROW_LIST_ONE,
    ROW_LIST,
    ROW_TOP,
    ROW_STOP_SWITCHES,
    ROW_STOP_ANSWERS,
    N_ROWS,
} Row;

/* Goals are for the Linux guest: the built-in one has no memory to share. */
static const struct {
    const char *key;
    const char *text;
    const char *unit;
    gboolean is_for_linux;
    FigureGoal goal;
    double target; /* 0 with AT_LEAST: all others */
} rows[N_ROWS] = {
    [ROW_SAVE] = {.key = "save_ms", .text = "cvd-ctl snapshot", .unit = "ms"},
    [ROW_SNAPSHOT_DISK] = {.key = "snapshot_mb", .text = "the snapshot on disk", .unit = "MB"},
    [ROW_SINGLE] = {.key = "single_ms",
                    .text = "one starts alone: to its first answer",
                    .unit = "ms"},
    [ROW_ALL] = {.key = "all_s",
                 .text = "all: first exec to the last one's first answer",
                 .unit = "s"},
    [ROW_START_RATIO] = {"all_ratio", "  all / (number / processors x one)", "", TRUE,
                         FIGURE_AT_MOST, 2.5},
    [ROW_FULL_PSS] = {.key = "full_pss_mb", .text = "one that booted: PSS of QEMU", .unit = "MB"},
    [ROW_PSS] = {.key = "pss_mb", .text = "each: PSS of QEMU", .unit = "MB"},
    [ROW_PRIVATE] = {.key = "private_mb", .text = "  of it private and written to", .unit = "MB"},
    [ROW_CHANGED] = {.key = "changed_mb", .text = "  of that the guest's RAM", .unit = "MB"},
    [ROW_PSS_RATIO] = {"all_pss_ratio", "  all / (number x one that booted)", "", TRUE,
                       FIGURE_AT_MOST, 0.25},
    [ROW_LAUNCHER_PSS] = {"launcher_pss_mb", "each: PSS of cvd-launch", "MB", FALSE, FIGURE_AT_MOST,
                          1.5},
    [ROW_SWITCHES] = {"all_switches", "most wake-ups of one cvd-launch, idle", "", FALSE,
                      FIGURE_AT_MOST, 0},
    [ROW_IDLE_CPU] = {.key = "idle_cpu",
                      .text = "each: QEMU's processor time, idle",
                      .unit = "ms/s"},
    [ROW_LIST_ONE] = {.key = "list_one_ms", .text = "cvd-ctl list of one", .unit = "ms"},
    [ROW_LIST] = {.key = "list_ms", .text = "cvd-ctl list of all", .unit = "ms"},
    [ROW_TOP] = {.key = "top_ms", .text = "cvd-ctl top --once of all", .unit = "ms"},
    [ROW_STOP_SWITCHES] = {"stop_switches", "one is stopped: wake-ups of all others", "", FALSE,
                           FIGURE_AT_MOST, 0},
    [ROW_STOP_ANSWERS] = {"stop_answers", "  others that answer, never restarted", "", FALSE,
                          FIGURE_AT_LEAST, 0},
};

typedef struct {
    Fleet *fleet;
    const BenchOptions *options;
    GPtrArray *machines; /* (element-type TestClone) */
    GArray *values[N_ROWS];
    Resources one, all; /* of the last round */
} Many;

static void append(Many *many, Row row, double value)
{
    g_array_append_val(many->values[row], value);
}

static double last(const Many *many, Row row)
{
    const GArray *values = many->values[row];

    return g_array_index(values, double, values->len - 1);
}

static TestClone *get(const Many *many, guint i)
{
    return many->machines->pdata[i];
}

static double time_ctl(const Many *many, const char *verb, const char *option)
{
    double begin_ms = now_ms();

    test_ctl_done(test_ctl(many->fleet->sandbox, verb, option, NULL));
    return now_ms() - begin_ms;
}

/* ---- One ---- */

static void measure_source(Many *many)
{
    g_autofree char *path = test_snapshot_path(many->fleet->sandbox, TEST_SNAPSHOT);
    guint64 n_files = 0;

    fleet_boot(many->fleet);
    pid_t qemu = test_launcher_find_qemu(many->fleet->source);
    append(many, ROW_FULL_PSS, proc_read_pss_kib(qemu) * MB_OF_KIB);
    append(many, ROW_SAVE, fleet_save(many->fleet));
    append(many, ROW_SNAPSHOT_DISK, (double)resources_read_disk_kib(path, &n_files) * MB_OF_KIB);
}

static void look_at_one(Many *many, const TestClone *machine)
{
    append(many, ROW_LIST_ONE, time_ctl(many, "list", NULL));
    g_usleep(G_USEC_PER_SEC); /* the connections until now are closed */
    many->one = (Resources){0};
    resources_add(&many->one, machine);
}

static void measure_single(Many *many)
{
    g_autoptr(GArray) times_ms = figure_values();

    for (guint i = 0; i < N_SINGLE; i++) {
        g_autoptr(TestClone) machine = NULL;
        double took_ms = fleet_restore(many->fleet, i, &machine);
        g_array_append_val(times_ms, took_ms);
        if (i == 0)
            look_at_one(many, machine);
        test_clone_stop(machine);
    }
    append(many, ROW_SINGLE, figure_quantile(times_ms, 0.5));
}

/* ---- All ---- */

static void start_all(Many *many)
{
    const guint n = many->options->n_machines, n_jobs = MIN(g_get_num_processors(), n);
    double begin_ms = now_ms();

    for (guint i = 0; i < n; i++) {
        if (i >= n_jobs)
            fleet_wait_answer(get(many, i - n_jobs));
        g_ptr_array_add(many->machines, fleet_start(many->fleet, i));
    }
    for (guint i = n - n_jobs; i < n; i++)
        fleet_wait_answer(get(many, i));
    double took_ms = now_ms() - begin_ms;
    append(many, ROW_ALL, took_ms / 1000);
    append(many, ROW_START_RATIO,
           took_ms / (n / (double)g_get_num_processors() * last(many, ROW_SINGLE)));
}

static void measure_memory(Many *many)
{
    const guint n = many->machines->len;
    double pss = 0, private = 0, changed = 0, launcher_pss = 0;

    for (guint i = 0; i < n; i++) {
        pid_t qemu = test_launcher_find_qemu(get(many, i)->launcher);
        pss += proc_read_pss_kib(qemu) * MB_OF_KIB;
        private += proc_read_rollup_kib(qemu, "Private_Dirty") * MB_OF_KIB;
        changed += proc_read_file_kib(qemu, "/" TEST_SNAPSHOT "/ram", "Private_Dirty") * MB_OF_KIB;
        launcher_pss += proc_read_pss_kib(get(many, i)->launcher->pid) * MB_OF_KIB;
    }
    append(many, ROW_PSS, pss / n);
    append(many, ROW_PRIVATE, private / n);
    append(many, ROW_CHANGED, changed / n);
    append(many, ROW_PSS_RATIO, pss / (n * last(many, ROW_FULL_PSS)));
    append(many, ROW_LAUNCHER_PSS, launcher_pss / n);
}

/* Returns: (transfer full) (element-type guint64) */
static GArray *read_all_switches(const Many *many)
{
    GArray *switches = g_array_new(FALSE, FALSE, sizeof(guint64));

    for (guint i = 0; i < many->machines->len; i++) {
        guint64 value = proc_read_switches(get(many, i)->launcher->pid);
        g_array_append_val(switches, value);
    }
    return switches;
}

static double read_all_cpu_ms(const Many *many)
{
    double sum_ms = 0;

    for (guint i = 0; i < many->machines->len; i++)
        sum_ms += proc_read_cpu_ms(test_launcher_find_qemu(get(many, i)->launcher));
    return sum_ms;
}

/* Once the time limits of the connections until now are over, which wake a launcher once. */
static void watch_idle(Many *many)
{
    const int seconds = many->options->idle_s;
    guint64 most = 0;

    g_usleep(HANDSHAKE_LIMIT_S * G_USEC_PER_SEC);
    double cpu_ms = read_all_cpu_ms(many);
    g_autoptr(GArray) before = read_all_switches(many);
    g_usleep((gulong)seconds * G_USEC_PER_SEC);
    g_autoptr(GArray) after = read_all_switches(many);
    cpu_ms = read_all_cpu_ms(many) - cpu_ms;
    for (guint i = 0; i < before->len; i++)
        most = MAX(most, g_array_index(after, guint64, i) - g_array_index(before, guint64, i));
    append(many, ROW_SWITCHES, (double)most);
    append(many, ROW_IDLE_CPU, cpu_ms / many->machines->len / seconds);
}

/* Returns: (transfer full) (element-type pid_t) */
static GArray *find_qemus(const Many *many)
{
    GArray *qemus = g_array_new(FALSE, FALSE, sizeof(pid_t));

    for (guint i = 0; i < many->machines->len; i++) {
        pid_t qemu = test_launcher_find_qemu(get(many, i)->launcher);
        g_array_append_val(qemus, qemu);
    }
    return qemus;
}

/* One that others were started before and after. */
static void stop_one(Many *many)
{
    const guint index = many->machines->len / 2;
    guint64 switches = 0;
    guint n_answers = 0;

    g_autoptr(TestClone) stopped = g_ptr_array_steal_index(many->machines, index);
    g_autoptr(GArray) qemus = find_qemus(many);
    g_autoptr(GArray) before = read_all_switches(many);
    test_clone_stop(stopped);
    g_autoptr(GArray) after = read_all_switches(many);
    for (guint i = 0; i < before->len; i++)
        switches += g_array_index(after, guint64, i) - g_array_index(before, guint64, i);
    for (guint i = 0; i < many->machines->len; i++) {
        test_ping(get(many, i)->client_socket, "sensors");
        if (test_launcher_find_qemu(get(many, i)->launcher) == g_array_index(qemus, pid_t, i))
            n_answers++;
    }
    append(many, ROW_STOP_SWITCHES, (double)switches);
    append(many, ROW_STOP_ANSWERS, n_answers);
}

static void stop_all(Many *many)
{
    for (guint i = 0; i < many->machines->len; i++)
        test_process_signal(get(many, i)->launcher, SIGINT);
    for (guint i = 0; i < many->machines->len; i++)
        test_launcher_assert_exit(get(many, i)->launcher, 0);
    g_ptr_array_set_size(many->machines, 0);
}

/* ---- Rounds ---- */

static void measure_round(Many *many)
{
    measure_source(many);
    measure_single(many);
    start_all(many);
    measure_memory(many);
    watch_idle(many);
    append(many, ROW_LIST, time_ctl(many, "list", NULL));
    append(many, ROW_TOP, time_ctl(many, "top", "--once"));
    many->all = (Resources){0};
    for (guint i = 0; i < many->machines->len; i++)
        resources_add(&many->all, get(many, i));
    stop_one(many);
    stop_all(many);
    fleet_delete(many->fleet);
}

static void report(const Many *many)
{
    const guint n = many->options->n_machines;
    const char *guest = many->fleet->is_linux ? "a Linux guest" : "the built-in guest";
    g_autofree char *title = g_strdup_printf("%u machines of one snapshot of %s", n, guest);
    g_autofree char *resources = g_strdup_printf("What 1 machine takes, and what %u take", n);

    figure_section(title);
    for (Row i = 0; i < N_ROWS; i++) {
        gboolean has_goal = many->fleet->is_linux || !rows[i].is_for_linux;
        double target = rows[i].goal == FIGURE_AT_LEAST ? n - 1 : rows[i].target;
        figure_report(rows[i].key, rows[i].text, many->values[i], rows[i].unit,
                      has_goal ? rows[i].goal : FIGURE_PLAIN, target);
    }
    figure_section(resources);
    resources_report(&many->one, &many->all, n);
}

void scale_measure_many(Fleet *fleet, const BenchOptions *options)
{
    const int n_rounds = MIN(options->n_rounds, MAX_ROUNDS);
    Many many = {
        .fleet = fleet,
        .options = options,
        .machines = g_ptr_array_new_with_free_func((GDestroyNotify)test_clone_free),
    };

    for (Row i = 0; i < N_ROWS; i++)
        many.values[i] = figure_values();
    for (int i = 0; i < n_rounds; i++) {
        figure_progress("many machines: round %d of %d", i + 1, n_rounds);
        measure_round(&many);
    }
    report(&many);
    for (Row i = 0; i < N_ROWS; i++)
        g_array_unref(many.values[i]);
    g_ptr_array_unref(many.machines);
}
