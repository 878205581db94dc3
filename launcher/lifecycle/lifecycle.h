/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/guest.h"
#include "launcher/lifecycle/ladder.h"
#include "launcher/lifecycle/policy.h"
#include "launcher/lifecycle/readiness.h"
#include "launcher/lifecycle/saving.h"

G_BEGIN_DECLS

/** CVD_LIFECYCLE_LATE_US: a timer that is later shows that the launcher itself did not run */
#define CVD_LIFECYCLE_LATE_US (200 * G_TIME_SPAN_MILLISECOND)

/** CvdState: what users see; cvd_state_get_name() */
typedef enum {
    CVD_STATE_STARTING,
    CVD_STATE_RUNNING,
    CVD_STATE_PAUSED,
    CVD_STATE_SUSPENDED, /* the guest sleeps */
    CVD_STATE_FAULTED,   /* QEMU stopped the guest by itself */
    CVD_STATE_STOPPING,
    CVD_STATE_RESTARTING,
    CVD_STATE_STOPPED,
    CVD_STATE_FAILED,
} CvdState;

/**
 * CvdLifecycle:
 * @config: borrowed
 * @start_paused: `--paused`
 * @is_restored: whether each VM is started from a snapshot
 * @prepare_s: how long it may take to make what a VM needs before its QEMU is started, until
 *   %CVD_EVENT_PREPARED; 0 = nothing is made
 * @guest: whether the guest runs, and whether it may
 * @ladder: the QEMU process on its way down
 * @policy: what follows
 * @readiness: whether it is ready
 * @saving: the snapshot that is taken of it
 * @cause: why the VM goes down
 * @shutdown: what QEMU said of that
 * @is_ready: whether this VM's start was complete
 * @has_answered: whether this VM's QEMU has answered over QMP
 * @must_renew: whether the window still holds what the last VM left
 * @next_press_us: until when a guest that runs again is not pressed the power button for once more
 * @last_us: when the last event was handled
 *
 * A launch: its machines, and what passes between them (cvd-launch(1), SIGNALS, and cvd-ctl(1),
 * STATES).
 */
typedef struct {
    const CvdConfig *config;
    gboolean start_paused;
    gboolean is_restored;
    guint prepare_s;
    CvdGuest guest;
    CvdLadder ladder;
    CvdPolicy policy;
    CvdReadiness readiness;
    CvdSaving saving;
    CvdCause cause;
    CvdShutdown shutdown;
    gboolean is_ready;
    gboolean has_answered;
    gboolean must_renew;
    gint64 next_press_us;
    gint64 last_us;
} CvdLifecycle;

/**
 * cvd_lifecycle_step:
 * @event: what happened; the first is CVD_EVENT_STARTED
 * @run_state: with CVD_EVENT_HANDED_OVER and CVD_EVENT_STATUS, else ignored
 * @now_us: the monotonic time, microseconds
 *
 * Pure.
 *
 * Returns: #CvdAction bits; what one of them leads to is an event of its own, after all of them
 */
guint cvd_lifecycle_step(CvdLifecycle *lifecycle, CvdEvent event, CvdRunState run_state,
                         gint64 now_us);

/** cvd_lifecycle_get_due_us: Returns: when CVD_EVENT_TIMER is due, monotonic; 0 = never */
gint64 cvd_lifecycle_get_due_us(const CvdLifecycle *lifecycle);

/**
 * cvd_lifecycle_note_shutdown:
 * @reason: (nullable): `reason` of QMP's SHUTDOWN event, the first of a VM, or `guest-panic` with
 *   GUEST_PANICKED; CVD_EVENT_VM_SHUTDOWN follows
 */
void cvd_lifecycle_note_shutdown(CvdLifecycle *lifecycle, const char *reason);

/** cvd_lifecycle_get_state: Returns: the state that users see; never failed, which only the
 * verdict on a launch that has stopped shows */
CvdState cvd_lifecycle_get_state(const CvdLifecycle *lifecycle);

/** cvd_state_get_name: Returns: (transfer none): one lower-case word */
const char *cvd_state_get_name(CvdState state);

/** CvdAwaited: when what was asked for is done */
typedef enum {
    CVD_AWAITED_NOTHING, /* as soon as it was asked for */
    CVD_AWAITED_PAUSE,   /* when the guest is paused */
    CVD_AWAITED_RESUME,  /* when nothing keeps it from running */
    CVD_AWAITED_RESET,   /* when it was reset, and clients may come */
} CvdAwaited;

typedef enum {
    CVD_ANSWER_PENDING, /* it is being carried out */
    CVD_ANSWER_DONE,
    CVD_ANSWER_FAILED, /* something else has come in between */
} CvdAnswer;

/**
 * cvd_lifecycle_get_answer:
 * @awaited: what was asked for, which is not nothing
 * @n_resets: @guest.n_resets when it was
 *
 * Returns: the answer to the call
 */
CvdAnswer cvd_lifecycle_get_answer(const CvdLifecycle *lifecycle, CvdAwaited awaited,
                                   guint n_resets);

G_END_DECLS
