/* SPDX-License-Identifier: Apache-2.0 */
/* The figures for programs: everything that the table has, and the curves. */
#include "base/json.h"
#include "bench/report.h"
#include "bench/values.h"

static void set_string(JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

static void set_double(JsonBuilder *builder, const char *name, double value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_double_value(builder, value);
}

static void add_machine(JsonBuilder *builder, const Machine *machine)
{
    set_string(builder, "date", machine->date);
    set_string(builder, "cpu", machine->cpu);
    set_string(builder, "memory", machine->memory);
    set_string(builder, "kernel", machine->kernel);
    set_string(builder, "qemu", machine->qemu);
    set_string(builder, "accelerator", machine->accel);
    set_string(builder, "accelerator_text", machine->accel_text);
    set_string(builder, "build", machine->build);
}

static void add_figure(JsonBuilder *builder, const Figure *figure)
{
    g_autofree char *text = g_strdup(figure->text);

    json_builder_set_member_name(builder, figure->key);
    json_builder_begin_object(builder);
    set_string(builder, "text", g_strstrip(text));
    set_string(builder, "unit", figure->unit);
    set_double(builder, "median", figure_quantile(figure->values, 0.5));
    set_double(builder, "p25", figure_quantile(figure->values, 0.25));
    set_double(builder, "p75", figure_quantile(figure->values, 0.75));
    json_builder_set_member_name(builder, "rounds");
    json_builder_add_int_value(builder, figure->values->len);
    if (figure->goal != FIGURE_PLAIN) {
        set_double(builder, figure->goal == FIGURE_AT_MOST ? "at_most" : "at_least",
                   figure->target);
        json_builder_set_member_name(builder, "reached");
        json_builder_add_boolean_value(builder, report_is_reached(figure));
    }
    json_builder_end_object(builder);
}

static void add_curve(JsonBuilder *builder, const Curve *curve)
{
    static const char *const kinds[N_CURVE_KINDS] = {
        [CURVE_LATENCY] = "histogram of us",
        [CURVE_THROUGHPUT] = "MiB/s by bytes",
        [CURVE_HAND_OVER] = "ms by regions",
    };

    json_builder_set_member_name(builder, curve->key);
    json_builder_begin_object(builder);
    set_string(builder, "text", curve->text);
    set_string(builder, "kind", kinds[curve->kind]);
    json_builder_set_member_name(builder, "points");
    json_builder_begin_array(builder);
    for (guint i = 0; i < curve->points->len; i++) {
        const CurvePoint *point = &g_array_index(curve->points, CurvePoint, i);
        json_builder_begin_array(builder);
        json_builder_add_double_value(builder, point->x);
        json_builder_add_double_value(builder, point->y);
        json_builder_end_array(builder);
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
}

static void add_gap(JsonBuilder *builder, const FigureGap *gap)
{
    json_builder_begin_object(builder);
    set_string(builder, "what", gap->what);
    set_string(builder, "why", gap->why);
    json_builder_set_member_name(builder, "failed");
    json_builder_add_boolean_value(builder, gap->is_failure);
    json_builder_end_object(builder);
}

char *report_json(const Figures *figures, const Machine *machine)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();

    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "machine");
    json_builder_begin_object(builder);
    add_machine(builder, machine);
    json_builder_end_object(builder);
    json_builder_set_member_name(builder, "figures");
    json_builder_begin_object(builder);
    for (guint i = 0; i < figures->figures->len; i++)
        add_figure(builder, g_ptr_array_index(figures->figures, i));
    json_builder_end_object(builder);
    json_builder_set_member_name(builder, "curves");
    json_builder_begin_object(builder);
    for (guint i = 0; i < figures->curves->len; i++)
        add_curve(builder, g_ptr_array_index(figures->curves, i));
    json_builder_end_object(builder);
    json_builder_set_member_name(builder, "gaps");
    json_builder_begin_array(builder);
    for (guint i = 0; i < figures->gaps->len; i++)
        add_gap(builder, g_ptr_array_index(figures->gaps, i));
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autofree char *text = cvd_json_to_string(root, TRUE);
    return g_strconcat(text, "\n", NULL);
}
