/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/figures.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

static gboolean as_json;
static guint n_reported;

void figures_begin(gboolean json)
{
    as_json = json;
}

void figures_end(void)
{
    if (as_json)
        printf("%s\n}\n", n_reported > 0 ? "" : "{");
    figure_progress(NULL);
}

void figure_progress(const char *format, ...)
{
    va_list args;

    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K");
    if (format == NULL)
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
}

GArray *figure_values(void)
{
    return g_array_new(FALSE, FALSE, sizeof(double));
}

static int compare(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double figure_quantile(GArray *values, double q)
{
    g_autoptr(GArray) sorted = g_array_copy(values);

    g_array_sort(sorted, compare);
    double place = q * (double)(sorted->len - 1);
    guint below = (guint)floor(place);
    guint above = MIN(below + 1, sorted->len - 1);
    double low = g_array_index(sorted, double, below);
    return low + (place - below) * (g_array_index(sorted, double, above) - low);
}

GArray *figure_combine(GArray *a, GArray *b, char operation)
{
    GArray *result = figure_values();

    for (guint i = 0; i < a->len; i++) {
        double x = g_array_index(a, double, i), y = g_array_index(b, double, i);
        double value = operation == '/' ? x / y : x - y;
        g_array_append_val(result, value);
    }
    return result;
}

static void print_json(const char *key, GArray *values, FigureGoal goal, double target)
{
    printf("%s\n  \"%s\": {\"median\": %.3f, \"p25\": %.3f, \"p75\": %.3f, \"rounds\": %u",
           n_reported > 0 ? "," : "{", key, figure_quantile(values, 0.5),
           figure_quantile(values, 0.25), figure_quantile(values, 0.75), values->len);
    if (goal != FIGURE_PLAIN)
        printf(", \"%s\": %.3f", goal == FIGURE_AT_MOST ? "at_most" : "at_least", target);
    printf("}");
}

static void print_row(const char *text, GArray *values, const char *unit, FigureGoal goal,
                      double target)
{
    double median = figure_quantile(values, 0.5);
    gboolean is_reached = goal == FIGURE_AT_MOST ? median <= target : median >= target;

    printf("%-58s %9.2f %-4s [%.2f … %.2f]", text, median, unit, figure_quantile(values, 0.25),
           figure_quantile(values, 0.75));
    if (goal != FIGURE_PLAIN)
        printf("  %s %g: %s", goal == FIGURE_AT_MOST ? "at most" : "at least", target,
               is_reached ? "reached" : "MISSED");
    printf("\n");
}

void figure_report(const char *key, const char *text, GArray *values, const char *unit,
                   FigureGoal goal, double target)
{
    figure_progress(NULL);
    if (as_json)
        print_json(key, values, goal, target);
    else
        print_row(text, values, unit, goal, target);
    fflush(stdout);
    n_reported++;
}
