/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/config.h"
#include "launcher/control/control.h"
#include "launcher/instance-dir.h"
#include "server/server.h"

G_BEGIN_DECLS

/**
 * CvdHost:
 * @dir: the instance's directory, locked
 * @server: listening for the VM, then started
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
 * cvd_host_open:
 * @host: (out caller-allocates): filled on success
 *
 * What a VM needs to be started: lock, descriptors, VM socket. Window, doorbells and the clients'
 * sockets come with cvd_server_start(), while the VM loads.
 */
gboolean cvd_host_open(CvdHost *host, const CvdConfig *config, CvdVmAccess vm_access,
                       GError **error);

/**
 * cvd_host_open_control:
 * @host: an open host
 * @handlers: as for cvd_control_new()
 * @error: as cvd_control_new()
 *
 * Returns: (transfer full) (nullable): the instance's control interface, to be freed before the
 * host is stopped
 */
CvdControl *cvd_host_open_control(const CvdHost *host, const CvdConfig *config,
                                  const CvdControlHandlers *handlers, gpointer user_data,
                                  GError **error);

/** cvd_host_list_clients: as @list_clients of #CvdControlHandlers */
void cvd_host_list_clients(const CvdHost *host, GVariantBuilder *clients);

/**
 * cvd_host_stop:
 * @has_failed: see cvd_instance_dir_release()
 *
 * Takes all of it down. Idempotent.
 */
void cvd_host_stop(CvdHost *host, gboolean has_failed);

/**
 * cvd_stop_signals_set_handler:
 * @handler: what SIGINT, SIGTERM and SIGHUP run, but those of them that were ignored before
 *
 * For the time until cvd_stop_sources_attach().
 */
void cvd_stop_signals_set_handler(void (*handler)(int signal_number));

/**
 * CvdStopHandlers:
 * @signal: called at each SIGINT and SIGTERM
 * @hangup: called at each SIGHUP
 * @time_limit: called once
 */
typedef struct {
    void (*signal)(gpointer user_data);
    void (*hangup)(gpointer user_data);
    void (*time_limit)(gpointer user_data);
} CvdStopHandlers;

/**
 * CvdStopSources:
 *
 * The sources through which a user ends a launch: SIGINT, SIGTERM and SIGHUP, and the time limit.
 */
typedef struct {
    const CvdStopHandlers *handlers;
    gpointer user_data;
    int signal_fd;
    GSource *signals;
    GSource *time_limit;
} CvdStopSources;

/**
 * cvd_stop_sources_attach:
 * @sources: (out caller-allocates): to be cleared, also after an error
 * @timeout_s: 0 = no limit
 * @handlers: as long as @sources
 * @error: %CVD_ERROR_RESOURCES
 *
 * Blocks the signals, for all threads that are made from now on and for good: what is to be
 * removed at the end must not be left behind by a signal that comes later. A child has to
 * unblock them. Those that were ignored before stay so.
 */
gboolean cvd_stop_sources_attach(CvdStopSources *sources, guint timeout_s,
                                 const CvdStopHandlers *handlers, gpointer user_data,
                                 GError **error);
void cvd_stop_sources_clear(CvdStopSources *sources);

G_END_DECLS
