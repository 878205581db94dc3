/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured, until it is printed. Groups are measured in processes of their own, so it can
 * travel, as a GVariant.
 */
#include "bench/figures.h"

#define SAVED_TYPE "(a(ssssudad)a(ussa(dd))a(ssb))"

static char *section;

static void figure_free(gpointer data)
{
    Figure *figure = data;

    g_free(figure->section);
    g_free(figure->key);
    g_free(figure->text);
    g_free(figure->unit);
    g_array_unref(figure->values);
    g_free(figure);
}

static void curve_free(gpointer data)
{
    Curve *curve = data;

    g_free(curve->key);
    g_free(curve->text);
    g_array_unref(curve->points);
    g_free(curve);
}

static void gap_free(gpointer data)
{
    FigureGap *gap = data;

    g_free(gap->what);
    g_free(gap->why);
    g_free(gap);
}

Figures *figures_new(void)
{
    Figures *figures = g_new0(Figures, 1);

    figures->figures = g_ptr_array_new_with_free_func(figure_free);
    figures->curves = g_ptr_array_new_with_free_func(curve_free);
    figures->gaps = g_ptr_array_new_with_free_func(gap_free);
    return figures;
}

void figures_free(Figures *figures)
{
    g_ptr_array_unref(figures->figures);
    g_ptr_array_unref(figures->curves);
    g_ptr_array_unref(figures->gaps);
    g_free(figures);
}

Figures *figures_get(void)
{
    static Figures *figures;

    if (figures == NULL)
        figures = figures_new();
    return figures;
}

void figure_section(const char *title)
{
    g_free(section);
    section = g_strdup(title);
}

static void add_figure(Figures *figures, const Figure *figure)
{
    g_ptr_array_add(figures->figures, g_memdup2(figure, sizeof *figure));
}

void figure_report(const char *key, const char *text, GArray *values, const char *unit,
                   FigureGoal goal, double target)
{
    g_assert(values->len > 0);
    add_figure(figures_get(), &(Figure){
                                  .section = g_strdup(section != NULL ? section : ""),
                                  .key = g_strdup(key),
                                  .text = g_strdup(text),
                                  .unit = g_strdup(unit),
                                  .goal = goal,
                                  .target = target,
                                  .values = g_array_copy(values),
                              });
}

static void add_curve(Figures *figures, CurveKind kind, const char *key, const char *text,
                      gconstpointer points, gsize n_points)
{
    Curve *curve = g_new(Curve, 1);

    *curve =
        (Curve){kind, g_strdup(key), g_strdup(text), g_array_new(FALSE, FALSE, sizeof(CurvePoint))};
    g_array_append_vals(curve->points, points, (guint)n_points);
    g_ptr_array_add(figures->curves, curve);
}

void curve_report(CurveKind kind, const char *key, const char *text, GArray *points)
{
    add_curve(figures_get(), kind, key, text, points->data, points->len);
}

void figures_add_gap(Figures *figures, const char *what, const char *why, gboolean is_failure)
{
    FigureGap *gap = g_new(FigureGap, 1);

    *gap = (FigureGap){g_strdup(what), g_strdup(why), is_failure};
    g_ptr_array_add(figures->gaps, gap);
}

void figure_skip(const char *what, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *why = g_strdup_vprintf(format, args);
    va_end(args);
    figures_add_gap(figures_get(), what, why, FALSE);
}

static GVariant *doubles(GArray *values)
{
    return g_variant_new_fixed_array(G_VARIANT_TYPE_DOUBLE, values->data, values->len,
                                     sizeof(double));
}

static GVariant *points_of(const Curve *curve)
{
    return g_variant_new_fixed_array(G_VARIANT_TYPE("(dd)"), curve->points->data,
                                     curve->points->len, sizeof(CurvePoint));
}

GBytes *figures_save(const Figures *figures)
{
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE(SAVED_TYPE));
    g_variant_builder_open(&builder, G_VARIANT_TYPE("a(ssssudad)"));
    for (guint i = 0; i < figures->figures->len; i++) {
        const Figure *f = g_ptr_array_index(figures->figures, i);
        g_variant_builder_add(&builder, "(ssssud@ad)", f->section, f->key, f->text, f->unit,
                              (guint)f->goal, f->target, doubles(f->values));
    }
    g_variant_builder_close(&builder);
    g_variant_builder_open(&builder, G_VARIANT_TYPE("a(ussa(dd))"));
    for (guint i = 0; i < figures->curves->len; i++) {
        const Curve *c = g_ptr_array_index(figures->curves, i);
        g_variant_builder_add(&builder, "(uss@a(dd))", (guint)c->kind, c->key, c->text,
                              points_of(c));
    }
    g_variant_builder_close(&builder);
    g_variant_builder_open(&builder, G_VARIANT_TYPE("a(ssb)"));
    for (guint i = 0; i < figures->gaps->len; i++) {
        const FigureGap *gap = g_ptr_array_index(figures->gaps, i);
        g_variant_builder_add(&builder, "(ssb)", gap->what, gap->why, gap->is_failure);
    }
    g_variant_builder_close(&builder);
    g_autoptr(GVariant) all = g_variant_ref_sink(g_variant_builder_end(&builder));
    return g_variant_get_data_as_bytes(all);
}

static void load_figures(Figures *figures, GVariant *array)
{
    GVariantIter iter;
    Figure figure;
    guint goal;
    GVariant *values;

    g_variant_iter_init(&iter, array);
    while (g_variant_iter_next(&iter, "(ssssud@ad)", &figure.section, &figure.key, &figure.text,
                               &figure.unit, &goal, &figure.target, &values)) {
        gsize n;
        gconstpointer data = g_variant_get_fixed_array(values, &n, sizeof(double));
        figure.goal = goal;
        figure.values = g_array_new(FALSE, FALSE, sizeof(double));
        g_array_append_vals(figure.values, data, (guint)n);
        add_figure(figures, &figure);
        g_variant_unref(values);
    }
}

static void load_curves(Figures *figures, GVariant *array)
{
    GVariantIter iter;
    guint kind;
    const char *key, *text;
    GVariant *points;

    g_variant_iter_init(&iter, array);
    while (g_variant_iter_next(&iter, "(u&s&s@a(dd))", &kind, &key, &text, &points)) {
        gsize n;
        gconstpointer data = g_variant_get_fixed_array(points, &n, sizeof(CurvePoint));
        add_curve(figures, kind, key, text, data, n);
        g_variant_unref(points);
    }
}

static void load_gaps(Figures *figures, GVariant *array)
{
    GVariantIter iter;
    const char *what, *why;
    gboolean is_failure;

    g_variant_iter_init(&iter, array);
    while (g_variant_iter_next(&iter, "(&s&sb)", &what, &why, &is_failure))
        figures_add_gap(figures, what, why, is_failure);
}

gboolean figures_load(Figures *figures, GBytes *saved)
{
    g_autoptr(GVariant) all =
        g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE(SAVED_TYPE), saved, FALSE));

    if (g_bytes_get_size(saved) == 0 || !g_variant_is_normal_form(all))
        return FALSE;
    g_autoptr(GVariant) list = g_variant_get_child_value(all, 0);
    load_figures(figures, list);
    g_autoptr(GVariant) curves = g_variant_get_child_value(all, 1);
    load_curves(figures, curves);
    g_autoptr(GVariant) gaps = g_variant_get_child_value(all, 2);
    load_gaps(figures, gaps);
    return TRUE;
}
