/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/child.h"
#include "launcher/config/values.h"
#include "launcher/programs/output.h"

G_BEGIN_DECLS

/** CVD_HOOK_OUTPUT: the name of the #CvdOutput of all hooks; no program may be called so */
#define CVD_HOOK_OUTPUT "hooks"

typedef enum {
    CVD_HOOK_BEFORE_START,
    CVD_HOOK_AFTER_READY,
    CVD_HOOK_AFTER_STOP,
} CvdHookKind;

/**
 * CvdHook:
 *
 * One of the commands of `hooks`, as it runs: in the directory of the configuration, as the
 * launcher's own user, in the thread's default #GMainContext. What it leaves behind is killed, as
 * is all of it at its time limit.
 */
typedef struct CvdHook CvdHook;

/**
 * CvdHookDone:
 * @error: (nullable): %NULL: it has exited with 0; %CVD_ERROR_FAILED: it could not be started, has
 *   failed, or has not ended in time; the message names the hook and the remedy
 *
 * The hook is over. May free it.
 */
typedef void (*CvdHookDone)(const GError *error, gpointer user_data);

/**
 * cvd_hook_run:
 * @config, @children, @output: borrowed; outlive the hook
 * @done: called once, from the main loop
 *
 * Returns: (transfer full) (nullable): the hook; %NULL: none is configured, and @done is not called
 */
CvdHook *cvd_hook_run(const CvdConfig *config, CvdChildren *children, CvdOutput *output,
                      CvdHookKind kind, CvdHookDone done, gpointer user_data);

/** cvd_hook_free: kills it if it is not over; @done is not called any more */
void cvd_hook_free(CvdHook *hook);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdHook, cvd_hook_free)

/** cvd_hook_get_name: Returns: (transfer none): its key, such as `hooks.before_start` */
const char *cvd_hook_get_name(const CvdHook *hook);

G_END_DECLS
