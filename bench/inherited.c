/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that opens its region, by the client library: one that it has inherited, and one that
 * it asks the server for. The descriptors are the same; each round has a process of its own, as a
 * region is inherited once, and each of its regions is opened both ways.
 */
#include "bench/inherited.h"

#include "bench/values.h"
#include "client/cvd-client.h"
#include "tests/support/region.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_FD    3 /* of what is inherited */
#define N_FDS       4
#define HIGH_FD     100 /* from where on it waits for its turn */
#define MAX_REGIONS 256

/* In microseconds; of many, the median. */
typedef struct {
    double socket_us;
    double inherited_us;
} Times;

static char *region_name(guint i)
{
    return g_strdup_printf("region%u", i);
}

static int kept[MAX_REGIONS][N_FDS];

/* Without the library, so that what comes first in a process is what is measured. */
static void keep_region(const char *socket_path, guint i)
{
    g_autofree char *name = region_name(i);
    TestRegion *region = test_region_attach(socket_path, name);
    const int fds[N_FDS] = {region->window, region->host_to_guest, region->guest_to_host,
                            region->socket};

    for (guint k = 0; k < N_FDS; k++)
        g_assert_no_errno(kept[i][k] = fcntl(fds[k], F_DUPFD, HIGH_FD));
    test_region_free(region);
}

static double time_inherited(guint i)
{
    g_autofree char *name = region_name(i);
    g_autofree char *names =
        g_strdup_printf("%s.window:%s.to-guest:%s.to-host:%s.connection", name, name, name, name);
    g_autoptr(GError) error = NULL;

    for (int k = 0; k < N_FDS; k++)
        g_assert_no_errno(dup2(kept[i][k], FIRST_FD + k));
    g_setenv("LISTEN_FDS", "4", TRUE);
    g_setenv("LISTEN_FDNAMES", names, TRUE);
    double begin_us = now_us();
    G_GNUC_UNUSED g_autoptr(CvdRegion) region = cvd_region_open_passed(name, 0, &error);
    double end_us = now_us();
    g_assert_no_error(error);
    return end_us - begin_us;
}

static double time_socket(const char *socket_path, guint i)
{
    g_autofree char *name = region_name(i);
    g_autoptr(GError) error = NULL;
    double begin_us = now_us();
    G_GNUC_UNUSED g_autoptr(CvdRegion) region = cvd_region_open(socket_path, name, 0, NULL, &error);
    double end_us = now_us();

    g_assert_no_error(error);
    return end_us - begin_us;
}

static void add(GArray *values, double value)
{
    g_array_append_val(values, value);
}

/* The first of each kind is not counted: it loads what all others use. */
static Times time_many(const char *socket_path, guint n_regions)
{
    g_autoptr(GArray) socket = figure_values();
    g_autoptr(GArray) inherited = figure_values();

    for (guint i = 0; i < n_regions; i++)
        keep_region(socket_path, i);
    close_range(FIRST_FD, HIGH_FD - 1, 0);
    time_inherited(0);
    time_socket(socket_path, 0);
    for (guint i = 1; i < n_regions; i++) {
        add(inherited, time_inherited(i));
        add(socket, time_socket(socket_path, i));
    }
    return (Times){figure_quantile(socket, 0.5), figure_quantile(inherited, 0.5)};
}

static Times time_first_inherited(const char *socket_path, guint n_regions)
{
    keep_region(socket_path, 0);
    close_range(FIRST_FD, HIGH_FD - 1, 0);
    return (Times){.inherited_us = time_inherited(0)};
}

static Times time_first_socket(const char *socket_path, guint n_regions)
{
    return (Times){.socket_us = time_socket(socket_path, 0)};
}

typedef Times Timer(const char *socket_path, guint n_regions);

static Times in_child(Timer *timer, const char *socket_path, guint n_regions)
{
    Times times;
    int fds[2], status;

    g_assert_no_errno(pipe2(fds, O_CLOEXEC));
    pid_t child = fork();
    if (child == 0) {
        int result = fcntl(fds[1], F_DUPFD, HIGH_FD);
        times = timer(socket_path, n_regions);
        _exit(write(result, &times, sizeof times) == sizeof times ? 0 : 1);
    }
    close(fds[1]);
    g_assert_cmpint(read(fds[0], &times, sizeof times), ==, sizeof times);
    close(fds[0]);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    return times;
}

/* What a set of rounds took. */
typedef struct {
    GArray *socket_us, *inherited_us;
} Rounds;

static void report(Rounds *rounds, const char *key, const char *text, FigureGoal goal)
{
    g_autoptr(GArray) ratio = figure_combine(rounds->inherited_us, rounds->socket_us, '/');
    g_autofree char *socket_key = g_strdup_printf("%s_socket_us", key);
    g_autofree char *inherited_key = g_strdup_printf("%s_inherited_us", key);
    g_autofree char *ratio_key = g_strdup_printf("%s_inherited_ratio", key);
    g_autofree char *socket_text = g_strdup_printf("%s: at the socket", text);
    g_autofree char *inherited_text = g_strdup_printf("%s: inherited", text);
    g_autofree char *ratio_text = g_strdup_printf("%s: inherited / at the socket", text);

    figure_report(socket_key, socket_text, rounds->socket_us, "us", FIGURE_PLAIN, 0);
    figure_report(inherited_key, inherited_text, rounds->inherited_us, "us", FIGURE_PLAIN, 0);
    figure_report(ratio_key, ratio_text, ratio, "", goal, 0.3);
    g_array_unref(rounds->socket_us);
    g_array_unref(rounds->inherited_us);
}

void measure_inherited(const char *socket_path, guint n_regions, const BenchOptions *options)
{
    g_assert_cmpuint(n_regions, <=, MAX_REGIONS);
    Rounds many = {figure_values(), figure_values()}, first = {figure_values(), figure_values()};

    for (int i = 0; i < options->n_rounds; i++) {
        figure_progress("inherited regions: round %d of %d", i + 1, options->n_rounds);
        Times times = in_child(time_many, socket_path, n_regions);
        add(many.socket_us, times.socket_us);
        add(many.inherited_us, times.inherited_us);
        add(first.socket_us, in_child(time_first_socket, socket_path, n_regions).socket_us);
        add(first.inherited_us,
            in_child(time_first_inherited, socket_path, n_regions).inherited_us);
    }
    report(&many, "open", "opening a region", FIGURE_AT_MOST);
    report(&first, "first_open", "a program's first region", FIGURE_PLAIN);
}
