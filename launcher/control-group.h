/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdControlGroupLimits:
 * @weight: `cpu.weight`, 1 to 10000; 0 = as the kernel has it
 * @memory_bytes: `memory.max`; 0 = no limit
 *
 * What a control group is made for.
 */
typedef struct {
    guint weight;
    guint64 memory_bytes;
} CvdControlGroupLimits;

/**
 * CvdControlGroup:
 *
 * A control group of version 2 for QEMU, below the one that this process was started in. That one
 * has to be delegated to it. As a group with controllers for its children has no processes of its
 * own, this process moves to the child `cvd-launch` of it, with others of this program's
 * (Documentation/admin-guide/cgroup-v2.rst in Linux, "No Internal Process Constraint").
 */
typedef struct CvdControlGroup CvdControlGroup;

/** cvd_control_group_is_wanted: Returns: whether @limits have any */
gboolean cvd_control_group_is_wanted(const CvdControlGroupLimits *limits);

/**
 * cvd_control_group_find:
 * @mountinfo: text of /proc/self/mountinfo
 * @cgroup: text of /proc/self/cgroup
 *
 * Returns: (transfer full) (nullable): the directory of the process's control group of version 2;
 *   %NULL: it has none, or none that it sees
 */
char *cvd_control_group_find(const char *mountinfo, const char *cgroup);

/**
 * cvd_control_group_check:
 * @limits: wanted
 * @error: %CVD_ERROR_FAILED: the key, what is missing, and what to do
 *
 * Looks, and changes nothing.
 *
 * Returns: whether there are such control groups, and this process may make one
 */
gboolean cvd_control_group_check(const CvdControlGroupLimits *limits, GError **error);

/**
 * cvd_control_group_new:
 * @name: of the instance
 * @limits: wanted
 * @error: as cvd_control_group_check()
 *
 * Removes what a killed launcher of that name has left, too.
 *
 * Returns: (transfer full) (nullable): an empty control group
 */
CvdControlGroup *cvd_control_group_new(const char *name, const CvdControlGroupLimits *limits,
                                       GError **error);

/** cvd_control_group_free: removes it; no process may be left in it */
void cvd_control_group_free(CvdControlGroup *cgroup);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdControlGroup, cvd_control_group_free)

/** cvd_control_group_get_fd: Returns: a file that a process writes `0` to, and is in the group from
 * then on */
int cvd_control_group_get_fd(const CvdControlGroup *cgroup);

/** cvd_control_group_take_oom_kills: Returns: how many of its processes the kernel has killed since
 * the last call, as they needed more than the limit of memory */
guint64 cvd_control_group_take_oom_kills(CvdControlGroup *cgroup);

G_END_DECLS
