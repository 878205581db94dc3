/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/process.h"

G_BEGIN_DECLS

/**
 * Subject:
 * @sandbox: where it lives
 * @layout: the --set value that names its layout file
 * @settings: all of the arguments
 * @accelerator: what the launcher says about that
 * @n_regions: how many regions it has
 * @window_size: in bytes, as a memfd for the bare QEMU needs it
 * @is_huge: whether the window is made of pages of 2 MiB
 * @qemu_argv: QEMU's command line
 *
 * One configuration that is started both ways: by cvd-launch, and bare.
 */
typedef struct {
    TestSandbox *sandbox;
    char *layout;
    char **settings;
    char *accelerator;
    guint n_regions;
    guint64 window_size;
    gboolean is_huge;
    char **qemu_argv;
} Subject;

/** subject_new: @accel: what QEMU is to use */
Subject *subject_new(guint n_regions, guint64 window_size, const char *accel, gboolean is_huge);
/** subject_set: gives the launcher a further value for `--set` */
void subject_set(Subject *subject, const char *setting);
void subject_free(Subject *subject);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Subject, subject_free)

/** LaunchTimes: in milliseconds; @attached_ms: until all doorbells are handed over, too */
typedef struct {
    double start_ms;
    double attached_ms;
    double stop_ms;
} LaunchTimes;

/** start_launch: Returns: (transfer full): cvd-launch, running; @start_ms is how long that took */
TestProcess *start_launch(const Subject *subject, double *start_ms);

/** time_launch: exec to "running", and ctrl-c to everything gone */
LaunchTimes time_launch(const Subject *subject);

/** RestartTimes: in milliseconds */
typedef struct {
    double start_ms;
    double restart_ms;
} RestartTimes;

/** time_restart: exec to "running", and SIGKILL of QEMU to "running" again, without back-off */
RestartTimes time_restart(const Subject *subject);

/** time_bare: the same arguments without a launcher: exec to answered query-status, `quit` to exit
 */
LaunchTimes time_bare(const Subject *subject);

G_END_DECLS
