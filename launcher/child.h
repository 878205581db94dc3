/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"

G_BEGIN_DECLS

/**
 * CvdExit:
 * @is_known: %FALSE for a process that was given up
 * @is_signal: whether a signal ended the process
 * @value: its exit status, or the signal's number
 * @has_core: whether it left a core
 */
typedef struct {
    gboolean is_known;
    gboolean is_signal;
    int value;
    gboolean has_core;
} CvdExit;

/**
 * CvdChildren:
 *
 * All processes that the launcher has started, and what they leave behind. As there is only one
 * SIGCHLD in a process, there is one of this.
 */
typedef struct CvdChildren CvdChildren;

/** CvdChild: a process of ours, in a session and on a terminal of its own, that ends with us */
typedef struct CvdChild CvdChild;

/** CvdChildExited: it is reaped, and its process group was killed. May free the child. */
typedef void (*CvdChildExited)(CvdExit how, gpointer user_data);

G_END_DECLS
