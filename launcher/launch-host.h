/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/values.h"
#include "launcher/control/control.h"
#include "launcher/instance-dir.h"
#include "launcher/lifecycle/lifecycle.h"
#include "launcher/options.h"
#include "server/server.h"

G_BEGIN_DECLS

/**
 * CvdStopRequested:
 * @event: %CVD_EVENT_STOP_REQUESTED: SIGINT or SIGTERM came; %CVD_EVENT_HANGUP: SIGHUP;
 *   %CVD_EVENT_TIME_LIMIT: the time of `--timeout` is over
 */
typedef void (*CvdStopRequested)(CvdEvent event, gpointer user_data);

/**
 * CvdHost:
 * @dir: the instance's directory, locked
 * @server: listening for the VM, then started
 * @vm_socket: path of the VM socket
 * @control: the control interface; %NULL before cvd_host_open_control()
 * @loop: to be run, and quit, by the owner
 *
 * The host's side of an instance: what is there with QEMU and without. It is the first member of
 * whatever is the handlers' user data.
 */
typedef struct {
    CvdInstanceDir *dir;
    CvdServer *server;
    char *vm_socket;
    CvdControl *control;
    GMainLoop *loop;
    /*< private >*/
    CvdStopRequested stop_requested;
    int signal_fd;
    GSource *signals;
    GSource *time_limit;
} CvdHost;

/**
 * cvd_host_open:
 * @host: (out caller-allocates): to be closed, also after an error
 * @vm_access: who may be the VM
 * @options: of which @timeout_s and @trace count
 * @stop_requested: called with @host
 *
 * What a VM needs to be started: lock, descriptors, VM socket. Window, doorbells and the clients'
 * sockets come with cvd_server_start(), while the VM loads.
 *
 * Blocks the signals that ask for a stop, for all threads that are made from now on and for good:
 * what is to be removed at the end must not be left behind by a signal that comes later. A child
 * has to unblock them. Those that were ignored before stay so.
 */
gboolean cvd_host_open(CvdHost *host, const CvdConfig *config, const CvdOptions *options,
                       CvdVmAccess vm_access, CvdStopRequested stop_requested, GError **error);

/**
 * cvd_host_open_control:
 * @handlers: called with @host
 * @error: as cvd_control_new()
 */
gboolean cvd_host_open_control(CvdHost *host, const CvdConfig *config,
                               const CvdControlHandlers *handlers, GError **error);

/** cvd_host_list_clients: answers a call of the method ListClients */
void cvd_host_list_clients(CvdHost *host, CvdControlCall *take_call);
/** cvd_host_list_regions: answers a call of the method ListRegions */
void cvd_host_list_regions(CvdHost *host, CvdControlCall *take_call);

/**
 * cvd_host_close:
 * @has_failed: see cvd_instance_dir_release()
 *
 * Takes all of it down, and disconnects those who were connected to the server's signals with
 * @host. Idempotent.
 */
void cvd_host_close(CvdHost *host, gboolean has_failed);

/**
 * cvd_stop_signals_set_handler:
 * @handler: what SIGINT, SIGTERM and SIGHUP run, but those of them that were ignored before
 *
 * For the time until cvd_host_open().
 */
void cvd_stop_signals_set_handler(void (*handler)(int signal_number));

G_END_DECLS
