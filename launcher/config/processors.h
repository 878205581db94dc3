/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sched.h>

G_BEGIN_DECLS

/** CVD_MAX_PROCESSORS: what a kernel can be built for */
#define CVD_MAX_PROCESSORS 8192

/** CVD_PROCESSORS_PATTERN: of a list */
#define CVD_PROCESSORS_PATTERN "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"

/** CvdProcessors: a set of the host's processors; zeroed, it is empty */
typedef struct {
    cpu_set_t sets[CVD_MAX_PROCESSORS / CPU_SETSIZE]; /* for CPU_SET_S(3) one after the other */
} CvdProcessors;

/**
 * cvd_processors_parse:
 * @list: as the kernel writes it: `0-3,8`
 * @processors: (inout): gets those of the list beside what it has
 *
 * Returns: whether it is such a list, with no number of %CVD_MAX_PROCESSORS or more
 */
gboolean cvd_processors_parse(const char *list, CvdProcessors *processors);

/** cvd_processors_format: Returns: (transfer full): the list, in order; of an empty set `none` */
char *cvd_processors_format(const CvdProcessors *processors);

/** cvd_processors_find_other: Returns: the first of @processors that is not in @among; −1: all
 * are */
int cvd_processors_find_other(const CvdProcessors *processors, const CvdProcessors *among);

/** cvd_processors_add: adds @others to @processors */
void cvd_processors_add(CvdProcessors *processors, const CvdProcessors *others);

/** cvd_processors_get_allowed: those that this process may use; Returns: 0; −1 with `errno` set */
int cvd_processors_get_allowed(CvdProcessors *processors);

/**
 * cvd_processors_set_allowed:
 * @thread: 0: the one that calls
 *
 * Has @thread use these alone. Can be called between fork and exec.
 *
 * Returns: 0; −1 with `errno` set: EINVAL: it may use none of them
 */
int cvd_processors_set_allowed(pid_t thread, const CvdProcessors *processors);

G_END_DECLS
