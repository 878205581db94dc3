/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdTopRegion:
 * @n_clients: how many have it
 * @n_to_guest: how often the guest was rung, if rings are counted
 * @n_to_host: how often the guest has rung
 * @to_guest_rate: the same a second since the look before; −1: not known
 * @to_host_rate: likewise
 */
typedef struct {
    char *name;
    guint n_clients;
    guint64 n_to_guest;
    guint64 n_to_host;
    double to_guest_rate;
    double to_host_rate;
} CvdTopRegion;

/** CvdTopProgram: a host program, as org.cvd.Instance1.ListPrograms has it */
typedef struct {
    char *name;
    char *state;
    char *reason;
    guint pid;
    guint n_restarts;
    guint64 age_us;
    char **regions;
} CvdTopProgram;

/**
 * CvdTopInstance:
 * @taken_us: when, monotonic time
 * @is_traced: whether rings are counted
 * @programs: (element-type CvdTopProgram)
 * @regions: (element-type CvdTopRegion)
 *
 * An instance as it was at a look. One that has failed, or does not answer, has a name and a state.
 */
typedef struct {
    char *name;
    char *state;
    guint launcher_pid;
    guint vm_pid;
    guint64 uptime_us;
    guint n_restarts;
    guint n_clients;
    gint64 taken_us;
    gboolean is_traced;
    GPtrArray *programs;
    GPtrArray *regions;
} CvdTopInstance;

/** cvd_top_instance_new: Returns: (transfer full): one without programs and regions */
CvdTopInstance *cvd_top_instance_new(const char *name, const char *state);
void cvd_top_instance_free(CvdTopInstance *instance);
/** cvd_top_instance_add_program: Returns: (transfer none): a new one, to be filled in */
CvdTopProgram *cvd_top_instance_add_program(CvdTopInstance *instance);
/** cvd_top_instance_add_region: Returns: (transfer none): a new one, with no rates */
CvdTopRegion *cvd_top_instance_add_region(CvdTopInstance *instance, const char *name);

/**
 * cvd_top_set_rates:
 * @now: (element-type CvdTopInstance): what there is
 * @before: (element-type CvdTopInstance) (nullable): what there was
 *
 * Computes the rates of regions that are in both, of the same launcher.
 */
void cvd_top_set_rates(GPtrArray *now, GPtrArray *before);

/**
 * cvd_top_format:
 * @look: (element-type CvdTopInstance): what to show
 * @title: the first line
 * @columns: how wide a line may be; columns of a table that do not fit are left out
 * @rows: how many lines there may be, 0 = any number; what does not fit are first the regions where
 *   least happens
 *
 * Returns: (transfer full) (element-type utf8): the lines; of text alone, whatever instances say
 */
GPtrArray *cvd_top_format(GPtrArray *look, const char *title, guint columns, guint rows);

G_END_DECLS
