/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config.h"
#include "launcher/control.h"
#include "launcher/instance-dir.h"
#include "server/server.h"

G_BEGIN_DECLS

/**
 * CvdHost:
 * @dir: the instance's directory, locked
 * @server: started
 * @vm_socket: path of the VM socket
 *
 * The host's side of an instance: what is there with QEMU and without.
 */
typedef struct {
    CvdInstanceDir *dir;
    CvdServer *server;
    char *vm_socket;
} CvdHost;

/**
 * cvd_host_start:
 * @host: (out caller-allocates): filled on success
 *
 * Steps 2 to 4 of a start: lock, descriptors, window, doorbells, sockets.
 */
gboolean cvd_host_start(CvdHost *host, const CvdConfig *config, CvdVmAccess vm_access,
                        GError **error);

/**
 * cvd_host_open_control:
 * @host: a started host
 * @handlers: as for cvd_control_new()
 * @error: as cvd_control_new()
 *
 * Returns: (transfer full) (nullable): the instance's control interface, to be freed before the
 * host is stopped
 */
CvdControl *cvd_host_open_control(const CvdHost *host, const CvdConfig *config,
                                  const CvdControlHandlers *handlers, gpointer user_data,
                                  GError **error);

/**
 * cvd_host_stop:
 * @has_failed: see cvd_instance_dir_release()
 *
 * Takes all of it down. Idempotent.
 */
void cvd_host_stop(CvdHost *host, gboolean has_failed);

/**
 * CvdStopSources:
 *
 * The sources through which a user ends a launch: SIGINT, SIGTERM and SIGHUP, and the time limit.
 */
typedef struct {
    GSource *signals[3];
    GSource *time_limit;
} CvdStopSources;

/**
 * cvd_stop_sources_attach:
 * @timeout_s: 0 = no limit
 * @on_signal: called at each SIGINT and SIGTERM
 * @on_hangup: called at each SIGHUP
 * @on_time_limit: called once
 */
void cvd_stop_sources_attach(CvdStopSources *sources, guint timeout_s, GSourceFunc on_signal,
                             GSourceFunc on_hangup, GSourceFunc on_time_limit, gpointer user_data);
void cvd_stop_sources_clear(CvdStopSources *sources);

G_END_DECLS
