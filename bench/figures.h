/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    FIGURE_PLAIN,
    FIGURE_AT_MOST,
    FIGURE_AT_LEAST,
} FigureGoal;

/**
 * Figure:
 * @section: what it is about; those of a section come one after the other
 * @key: in JSON
 * @text: in the table
 * @unit: of the values
 * @goal: what @target is
 * @values: (element-type double): one a round
 */
typedef struct {
    char *section;
    char *key;
    char *text;
    char *unit;
    FigureGoal goal;
    double target;
    GArray *values;
} Figure;

typedef enum {
    CURVE_LATENCY,    /* a histogram: upper ends of the bins in us, and how many */
    CURVE_THROUGHPUT, /* message sizes in bytes, and MiB/s */
    CURVE_HAND_OVER,  /* numbers of regions, and ms */
    N_CURVE_KINDS,
} CurveKind;

typedef struct {
    double x;
    double y;
} CurvePoint;

/** Curve: @points: (element-type CurvePoint): by ascending x */
typedef struct {
    CurveKind kind;
    char *key;
    char *text;
    GArray *points;
} Curve;

/** FigureGap: what was not measured, and why */
typedef struct {
    char *what;
    char *why;
    gboolean is_failure;
} FigureGap;

/**
 * Figures:
 * @figures: (element-type Figure)
 * @curves: (element-type Curve)
 * @gaps: (element-type FigureGap)
 *
 * All that was measured. A measurement adds to that of its process, figures_get().
 */
typedef struct {
    GPtrArray *figures;
    GPtrArray *curves;
    GPtrArray *gaps;
} Figures;

Figures *figures_new(void);
void figures_free(Figures *figures);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Figures, figures_free)

/** figures_get: Returns: (transfer none): those of this process */
Figures *figures_get(void);
/** figures_save: Returns: (transfer full): all of it, for another process */
GBytes *figures_save(const Figures *figures);
/** figures_load: adds what was saved; Returns: %FALSE when that is not it */
gboolean figures_load(Figures *figures, GBytes *saved);

/** figure_section: what the figures reported from now on are about */
void figure_section(const char *title);
/** figure_report: @values: one a round, at least one */
void figure_report(const char *key, const char *text, GArray *values, const char *unit,
                   FigureGoal goal, double target);
/** curve_report: @points: (element-type CurvePoint) */
void curve_report(CurveKind kind, const char *key, const char *text, GArray *points);
/** figure_skip: @what was not measured */
void figure_skip(const char *what, const char *format, ...) G_GNUC_PRINTF(2, 3);
/** figures_add_gap: the same for others' figures */
void figures_add_gap(Figures *figures, const char *what, const char *why, gboolean is_failure);

G_END_DECLS
