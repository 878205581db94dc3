/* SPDX-License-Identifier: Apache-2.0 */
/* The figures as a table, for a terminal and for the documentation. */
#include "bench/report.h"

#include "bench/values.h"

#include <math.h>
#include <string.h>

gboolean report_is_reached(const Figure *figure)
{
    double median = figure_quantile(figure->values, 0.5);

    switch (figure->goal) {
    case FIGURE_PLAIN:
        return TRUE;
    case FIGURE_AT_MOST:
        return median <= figure->target;
    case FIGURE_AT_LEAST:
        return median >= figure->target;
    }
    return TRUE;
}

char *report_number(double value)
{
    double size = fabs(value);

    return g_strdup_printf("%.*f", size >= 1000 ? 0 : size >= 100 ? 1 : 2, value);
}

static char *goal_of(const Figure *figure)
{
    if (figure->goal == FIGURE_PLAIN)
        return g_strdup("");
    return g_strdup_printf("%s %g%s%s", figure->goal == FIGURE_AT_MOST ? "≤" : "≥", figure->target,
                           *figure->unit != '\0' ? " " : "", figure->unit);
}

static const char *verdict_of(const Figure *figure)
{
    if (figure->goal == FIGURE_PLAIN)
        return "";
    return report_is_reached(figure) ? "reached" : "MISSED";
}

static char *spread_of(const Figure *figure)
{
    if (figure->values->len == 1)
        return g_strdup("once");
    g_autofree char *low = report_number(figure_quantile(figure->values, 0.25));
    g_autofree char *high = report_number(figure_quantile(figure->values, 0.75));
    return g_strdup_printf("%s … %s", low, high);
}

static gboolean begins_section(const Figures *figures, guint i)
{
    const Figure *figure = g_ptr_array_index(figures->figures, i);
    const Figure *before = i > 0 ? g_ptr_array_index(figures->figures, i - 1) : NULL;

    return before == NULL || strcmp(before->section, figure->section) != 0;
}

/* printf counts bytes, a terminal characters. */
static void append_padded(GString *out, const char *text, glong width, gboolean to_the_right)
{
    glong missing = MAX(width - g_utf8_strlen(text, -1), 0);
    g_autofree char *padding = g_strnfill((gsize)missing, ' ');

    g_string_append_printf(out, "%s%s", to_the_right ? padding : text,
                           to_the_right ? text : padding);
}

static void append_row(GString *out, const Figure *figure)
{
    g_autofree char *median = report_number(figure_quantile(figure->values, 0.5));
    g_autofree char *spread = spread_of(figure);
    g_autofree char *goal = goal_of(figure);
    g_autoptr(GString) row = g_string_new("  ");

    append_padded(row, figure->text, 54, FALSE);
    append_padded(row, median, 10, TRUE);
    g_string_append_c(row, ' ');
    append_padded(row, figure->unit, 6, FALSE);
    append_padded(row, spread, 20, FALSE);
    append_padded(row, goal, 10, FALSE);
    g_string_append(row, verdict_of(figure));
    g_string_append_printf(out, "%s\n", g_strchomp(row->str));
}

static void append_gaps(GString *out, const Figures *figures, const char *bullet)
{
    for (guint i = 0; i < figures->gaps->len; i++) {
        const FigureGap *gap = g_ptr_array_index(figures->gaps, i);
        g_string_append_printf(out, "%s%s: %s: %s\n", bullet, gap->what,
                               gap->is_failure ? "FAILED" : "not measured", gap->why);
    }
}

char *report_table(const Figures *figures, const Machine *machine)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "%s, %s, %s, %s, %s\n%s; build type %s\n", machine->date,
                           machine->cpu, machine->memory, machine->kernel, machine->qemu,
                           machine->accel_text, machine->build);
    for (guint i = 0; i < figures->figures->len; i++) {
        const Figure *figure = g_ptr_array_index(figures->figures, i);
        if (begins_section(figures, i))
            g_string_append_printf(out, "\n%s\n", figure->section);
        append_row(out, figure);
    }
    if (figures->gaps->len > 0)
        g_string_append_c(out, '\n');
    append_gaps(out, figures, "");
    return g_string_free(out, FALSE);
}

char *report_markdown(const Figures *figures, const Machine *machine)
{
    GString *out = g_string_new(NULL);

    g_string_append_printf(out, "Measured on %s: %s, %s, %s, %s. %s. Build type %s.\n",
                           machine->date, machine->cpu, machine->memory, machine->kernel,
                           machine->qemu, machine->accel_text, machine->build);
    for (guint i = 0; i < figures->figures->len; i++) {
        const Figure *figure = g_ptr_array_index(figures->figures, i);
        g_autofree char *median = report_number(figure_quantile(figure->values, 0.5));
        g_autofree char *spread = spread_of(figure);
        g_autofree char *goal = goal_of(figure);
        g_autofree char *text = g_strdup(figure->text);
        if (begins_section(figures, i))
            g_string_append_printf(out,
                                   "\n| %s | median | | quartiles | goal | |\n"
                                   "|---|--:|---|---|---|---|\n",
                                   figure->section);
        g_string_append_printf(out, "| %s | %s | %s | %s | %s | %s |\n", g_strstrip(text), median,
                               figure->unit, spread, goal, verdict_of(figure));
    }
    if (figures->gaps->len > 0)
        g_string_append_c(out, '\n');
    append_gaps(out, figures, "* ");
    return g_string_free(out, FALSE);
}
