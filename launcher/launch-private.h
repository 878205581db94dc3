/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/log.h"
#include "launcher/control.h"
#include "launcher/launch-common.h"
#include "launcher/lifecycle.h"
#include "launcher/vm.h"

G_BEGIN_DECLS

/*< private >*/
/**
 * CvdLaunch:
 *
 * A launch from its first VM to the end of its last.
 */
typedef struct {
    const CvdConfig *config;
    const CvdQemuTools *tools;
    char *program; /* QEMU's name, for messages */
    CvdLifecycle lifecycle;
    const char *reason; /* for its state: owned by `verdict`, or static */
    GMainLoop *loop;
    GSource *timer;
    CvdHost host;
    CvdStopSources stop_sources;
    CvdControl *control;
    CvdLogFile *qemu_log;
    CvdLogFile *console_log; /* NULL without a serial port, as is `console` */
    CvdConsole *console;

    /* Of the VM that there is, or was last: */
    CvdVm *vm; /* NULL before the first */
    gint64 start_time_us;
    gint64 ready_time_us;  /* 0 before */
    gboolean is_all_sent;  /* the hand-over has left the server */
    CvdExit qemu_exit;     /* once it is gone */
    CvdVerdict verdict;    /* likewise */
    guint n_restarts;      /* VMs before it */
    gboolean is_exit_told; /* systemd knows of the end */

    CvdLogLimit reset_log_limit;
} CvdLaunch;

/** cvd_launch_handle: takes a step of the lifecycle and carries it out */
void cvd_launch_handle(CvdLaunch *launch, CvdEvent event);

/**
 * cvd_launch_get_state_name:
 *
 * Returns: (transfer none): as cvd_lifecycle_get_state_name(), and of a launch that has ended
 *   whether it was judged a failure
 */
const char *cvd_launch_get_state_name(const CvdLaunch *launch);

/** cvd_launch_cont: resumes the guest, with its bus-master bit if that is configured */
void cvd_launch_cont(CvdLaunch *launch, CvdQmpReply reply, gpointer user_data);

/** cvd_launch_control_handlers: what the control interface can do to a launch */
extern const CvdControlHandlers cvd_launch_control_handlers;

/**
 * cvd_launch_judge:
 *
 * Sets @verdict, says how the VM ended and, after a failure, why that may be and what is left to
 * look at.
 */
void cvd_launch_judge(CvdLaunch *launch);

/** cvd_launch_describe: Returns: (transfer full): the record of the launch as it is, JSON */
char *cvd_launch_describe(const CvdLaunch *launch);

G_END_DECLS
