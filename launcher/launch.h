/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/probe.h"
#include "launcher/options.h"
#include "launcher/restore.h"

G_BEGIN_DECLS

/**
 * cvd_launch:
 * @config: a configuration that was probed
 * @tools: what the probe found
 * @options: of which @paused, @timeout_s, @trace and @start_time_us count
 * @restore: (nullable): what each VM is started from; %NULL: they boot
 *
 * docs/lifecycle.md: starts the VM with its window and sockets, runs
 * the thread's default #GMainContext until it has ended, and tears everything down. Must be called
 * from the main thread, once in a process.
 *
 * Returns: the exit status, 0 or 1; what went wrong is in the log by then
 */
int cvd_launch(const CvdConfig *config, const CvdQemuTools *tools, const CvdOptions *options,
               CvdRestore *restore);

/**
 * cvd_launch_serve_only:
 * @config: a configuration
 *
 * The same without QEMU: prints the arguments with which one's own QEMU attaches, then serves until
 * a signal or the time limit.
 *
 * Returns: the exit status, 0 or 1
 */
int cvd_launch_serve_only(const CvdConfig *config, const CvdOptions *options);

G_END_DECLS
