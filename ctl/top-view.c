/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables whose last columns are left out where there is no room. Lines are made of cells that are
 * cut to their column, so that none is longer than the screen is wide.
 */
#include "ctl/top-view.h"

#include "ctl/ctl.h"

#include <string.h>

#define MAX_CELLS 6

/* @width: negative: what is in it stands on the left */
typedef struct {
    const char *title;
    int width;
} Column;

static const Column instance_columns[] = {
    {"INSTANCE", -14}, {"STATE", -10}, {"UPTIME", 8}, {"CLIENTS", 7}, {"RESTARTS", 8}, {"VM", 8},
};
static const Column program_columns[] = {
    {"PROGRAM", -14}, {"STATE", -10}, {"SINCE", 8}, {"RESTARTS", 8}, {"PID", 8}, {"REGIONS", -20},
};
static const Column region_columns[] = {
    {"REGION", -14}, {"GUEST/s", 9},   {"HOST/s", 9},
    {"CLIENTS", 7},  {"TO GUEST", 12}, {"TO HOST", 12},
};
static const Column untraced_columns[] = {{"REGION", -14}, {"CLIENTS", 7}};

/* ---- What there is ---- */

static void region_free(gpointer data)
{
    CvdTopRegion *region = data;

    g_free(region->name);
    g_free(region);
}

static void program_free(gpointer data)
{
    CvdTopProgram *program = data;

    g_free(program->name);
    g_free(program->state);
    g_free(program->reason);
    g_strfreev(program->regions);
    g_free(program);
}

CvdTopInstance *cvd_top_instance_new(const char *name, const char *state)
{
    CvdTopInstance *instance = g_new0(CvdTopInstance, 1);

    instance->name = g_strdup(name);
    instance->state = g_strdup(state);
    instance->taken_us = g_get_monotonic_time();
    instance->programs = g_ptr_array_new_with_free_func(program_free);
    instance->regions = g_ptr_array_new_with_free_func(region_free);
    return instance;
}

void cvd_top_instance_free(CvdTopInstance *instance)
{
    g_ptr_array_unref(instance->programs);
    g_ptr_array_unref(instance->regions);
    g_free(instance->name);
    g_free(instance->state);
    g_free(instance);
}

CvdTopProgram *cvd_top_instance_add_program(CvdTopInstance *instance)
{
    CvdTopProgram *program = g_new0(CvdTopProgram, 1);

    g_ptr_array_add(instance->programs, program);
    return program;
}

CvdTopRegion *cvd_top_instance_add_region(CvdTopInstance *instance, const char *name)
{
    CvdTopRegion *region = g_new0(CvdTopRegion, 1);

    region->name = g_strdup(name);
    region->to_guest_rate = region->to_host_rate = -1;
    g_ptr_array_add(instance->regions, region);
    return region;
}

/* ---- Rates ---- */

static const CvdTopInstance *find_before(GPtrArray *before, const CvdTopInstance *now)
{
    for (guint i = 0; before != NULL && i < before->len; i++) {
        const CvdTopInstance *other = g_ptr_array_index(before, i);
        if (strcmp(other->name, now->name) == 0 && other->launcher_pid == now->launcher_pid &&
            other->is_traced && other->regions->len == now->regions->len)
            return other;
    }
    return NULL;
}

static double get_rate(guint64 now, guint64 before, double seconds)
{
    return now >= before && seconds > 0 ? (double)(now - before) / seconds : -1;
}

void cvd_top_set_rates(GPtrArray *now, GPtrArray *before)
{
    for (guint i = 0; i < now->len; i++) {
        const CvdTopInstance *instance = g_ptr_array_index(now, i);
        const CvdTopInstance *other = instance->is_traced ? find_before(before, instance) : NULL;
        for (guint k = 0; other != NULL && k < instance->regions->len; k++) {
            CvdTopRegion *region = g_ptr_array_index(instance->regions, k);
            const CvdTopRegion *old = g_ptr_array_index(other->regions, k);
            double seconds = (double)(instance->taken_us - other->taken_us) / G_USEC_PER_SEC;
            region->to_guest_rate = get_rate(region->n_to_guest, old->n_to_guest, seconds);
            region->to_host_rate = get_rate(region->n_to_host, old->n_to_host, seconds);
        }
    }
}

/* ---- Lines ---- */

/* @text: cut or filled up to its column */
static void append_cell(GString *line, const char *text, int width)
{
    g_autofree char *printable = cvd_ctl_printable(text);
    glong room = ABS(width), length = g_utf8_strlen(printable, -1);
    int padding = (int)MAX(room - length, 0);

    if (width > 0)
        g_string_append_printf(line, "%*s", padding, "");
    if (length > room) {
        *g_utf8_offset_to_pointer(printable, room - 1) = '\0';
        g_string_append_printf(line, "%s…", printable);
    } else {
        g_string_append(line, printable);
    }
    if (width < 0)
        g_string_append_printf(line, "%*s", padding, "");
}

/* The first is always there. */
static guint count_fitting(const Column *columns, guint n, guint indent, guint width)
{
    guint used = indent, n_fitting = 0;

    for (; n_fitting < n; n_fitting++) {
        used += (guint)ABS(columns[n_fitting].width) + (n_fitting > 0 ? 1 : 0);
        if (n_fitting > 0 && used > width)
            break;
    }
    return n_fitting;
}

typedef struct {
    GPtrArray *lines;
    guint columns;
} Page;

static void add_line(Page *page, GString *take_line)
{
    g_autofree char *text = g_strchomp(g_string_free(take_line, FALSE));

    g_ptr_array_add(page->lines,
                    g_utf8_substring(text, 0, MIN(g_utf8_strlen(text, -1), page->columns)));
}

static void add_row(Page *page, guint indent, const Column *columns, guint n,
                    const char *const *cells)
{
    GString *line = g_string_new(NULL);
    guint n_fitting = count_fitting(columns, n, indent, page->columns);

    for (guint i = 0; i < n_fitting; i++) {
        g_string_append_printf(line, "%*s", i == 0 ? (int)indent : 1, "");
        append_cell(line, cells[i], columns[i].width);
    }
    add_line(page, line);
}

static void add_head(Page *page, guint indent, const Column *columns, guint n)
{
    const char *titles[MAX_CELLS];

    for (guint i = 0; i < n; i++)
        titles[i] = columns[i].title;
    add_row(page, indent, columns, n, titles);
}

static void add_instance(Page *page, const CvdTopInstance *instance)
{
    gboolean is_known = instance->launcher_pid != 0;
    g_autofree char *uptime = cvd_ctl_format_uptime(instance->uptime_us);
    g_autofree char *clients = g_strdup_printf("%u", instance->n_clients);
    g_autofree char *restarts = g_strdup_printf("%u", instance->n_restarts);
    g_autofree char *vm = g_strdup_printf("%u", instance->vm_pid);
    const char *cells[] = {
        instance->name,           instance->state,           uptime,
        is_known ? clients : "-", is_known ? restarts : "-", instance->vm_pid != 0 ? vm : "-"};

    add_row(page, 0, instance_columns, G_N_ELEMENTS(instance_columns), cells);
}

static void add_program(Page *page, const CvdTopProgram *program)
{
    g_autofree char *age = cvd_ctl_format_uptime(program->age_us);
    g_autofree char *restarts = g_strdup_printf("%u", program->n_restarts);
    g_autofree char *pid = g_strdup_printf("%u", program->pid);
    g_autofree char *regions = g_strjoinv(",", program->regions);
    const char *cells[] = {
        program->name, program->state, age, restarts, program->pid != 0 ? pid : "-", regions};

    add_row(page, 2, program_columns, G_N_ELEMENTS(program_columns), cells);
}

static char *format_rate(double rate)
{
    return rate < 0 ? g_strdup("-") : g_strdup_printf("%.*f", rate < 99999 ? 1 : 0, rate);
}

static void add_region(Page *page, const CvdTopRegion *region, gboolean is_traced)
{
    g_autofree char *to_guest_rate = format_rate(region->to_guest_rate);
    g_autofree char *to_host_rate = format_rate(region->to_host_rate);
    g_autofree char *clients = g_strdup_printf("%u", region->n_clients);
    g_autofree char *to_guest = g_strdup_printf("%ju", region->n_to_guest);
    g_autofree char *to_host = g_strdup_printf("%ju", region->n_to_host);
    const char *traced[] = {region->name, to_guest_rate, to_host_rate, clients, to_guest, to_host};
    const char *untraced[] = {region->name, clients};

    if (is_traced)
        add_row(page, 2, region_columns, G_N_ELEMENTS(region_columns), traced);
    else
        add_row(page, 2, untraced_columns, G_N_ELEMENTS(untraced_columns), untraced);
}

static void add_note(Page *page, guint n, const char *what)
{
    GString *line = g_string_new(NULL);

    g_string_append_printf(line, "  %u more %s", n, what);
    add_line(page, line);
}

/* ---- What there is room for ---- */

static double get_activity(const CvdTopRegion *region)
{
    return MAX(region->to_guest_rate, 0) + MAX(region->to_host_rate, 0);
}

static int compare_activity(gconstpointer a, gconstpointer b)
{
    const CvdTopRegion *first = *(const CvdTopRegion *const *)a;
    const CvdTopRegion *second = *(const CvdTopRegion *const *)b;
    double difference = get_activity(second) - get_activity(first);

    if (difference != 0)
        return difference > 0 ? 1 : -1;
    return (int)second->n_clients - (int)first->n_clients;
}

/* @max_lines: for the table and what is said of its rest */
static void add_regions(Page *page, const CvdTopInstance *instance, guint max_lines)
{
    guint n = instance->regions->len;
    gboolean is_cut = n >= max_lines;
    guint n_shown = is_cut ? MAX(max_lines, 2) - 2 : n; /* beside the head and the note */
    g_autoptr(GPtrArray) shown = g_ptr_array_copy(instance->regions, NULL, NULL);

    g_ptr_array_set_free_func(shown, NULL);
    if (n == 0 || max_lines == 0)
        return;
    if (is_cut) /* which keeps the order of those that are equal */
        g_ptr_array_sort(shown, compare_activity);
    if (n_shown > 0)
        add_head(page, 2, instance->is_traced ? region_columns : untraced_columns,
                 instance->is_traced ? G_N_ELEMENTS(region_columns)
                                     : G_N_ELEMENTS(untraced_columns));
    for (guint i = 0; i < n_shown; i++)
        add_region(page, g_ptr_array_index(shown, i), instance->is_traced);
    if (is_cut)
        add_note(page, n - n_shown, "regions");
}

static void add_programs(Page *page, const CvdTopInstance *instance)
{
    if (instance->programs->len > 0)
        add_head(page, 2, program_columns, G_N_ELEMENTS(program_columns));
    for (guint i = 0; i < instance->programs->len; i++)
        add_program(page, g_ptr_array_index(instance->programs, i));
}

static guint count_lines(GPtrArray *look, gboolean with_regions)
{
    guint n = 2; /* title and head */

    for (guint i = 0; i < look->len; i++) {
        const CvdTopInstance *instance = g_ptr_array_index(look, i);
        n += 1 + instance->programs->len + (instance->programs->len > 0 ? 1 : 0);
        if (with_regions && instance->regions->len > 0)
            n += instance->regions->len + 1;
    }
    return n;
}

/* Returns: how many lines the regions of each instance may take */
static guint share_lines(GPtrArray *look, guint rows)
{
    guint n_others = count_lines(look, FALSE), n_tables = 0;

    if (rows == 0 || count_lines(look, TRUE) <= rows)
        return G_MAXUINT;
    for (guint i = 0; i < look->len; i++)
        n_tables += ((const CvdTopInstance *)g_ptr_array_index(look, i))->regions->len > 0;
    return n_others < rows ? (rows - n_others) / MAX(n_tables, 1) : 0;
}

static void cut_page(Page *page, guint rows)
{
    guint n = page->lines->len;

    if (rows == 0 || n <= rows)
        return;
    g_ptr_array_set_size(page->lines, (int)rows - 1);
    add_note(page, n - (rows - 1), "lines");
}

GPtrArray *cvd_top_format(GPtrArray *look, const char *title, guint columns, guint rows)
{
    Page page = {g_ptr_array_new_with_free_func(g_free), columns};
    guint max_lines = share_lines(look, rows);

    add_line(&page, g_string_new(title));
    if (look->len > 0)
        add_head(&page, 0, instance_columns, G_N_ELEMENTS(instance_columns));
    for (guint i = 0; i < look->len; i++) {
        const CvdTopInstance *instance = g_ptr_array_index(look, i);
        add_instance(&page, instance);
        add_programs(&page, instance);
        add_regions(&page, instance, max_lines);
    }
    cut_page(&page, rows);
    return page.lines;
}
