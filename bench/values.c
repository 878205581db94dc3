/* SPDX-License-Identifier: Apache-2.0 */
/* Series of values, and what is made of them. */
#include "bench/values.h"

#include "bench/figures.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define BINS_AN_OCTAVE 12.0

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

GArray *figure_histogram(GArray *values)
{
    GArray *bins = g_array_new(FALSE, FALSE, sizeof(CurvePoint));
    g_autoptr(GArray) sorted = g_array_copy(values);

    g_array_sort(sorted, compare);
    for (guint i = 0; i < sorted->len; i++) {
        double value = MAX(g_array_index(sorted, double, i), 1);
        double bin = ceil(log2(value) * BINS_AN_OCTAVE);
        CurvePoint point = {exp2(bin / BINS_AN_OCTAVE), 1};
        CurvePoint *last = bins->len > 0 ? &g_array_index(bins, CurvePoint, bins->len - 1) : NULL;
        if (last != NULL && last->x >= point.x)
            last->y++;
        else
            g_array_append_val(bins, point);
    }
    return bins;
}

double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

double now_ms(void)
{
    return now_us() / 1e3;
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
