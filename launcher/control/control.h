/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "server/layout.h"

#include <glib.h>

G_BEGIN_DECLS

/**
 * CvdControl:
 *
 * The control interface org.cvd.Instance1 on a socket of its own (docs of the interface:
 * launcher/control/org.cvd.Instance1.xml). Only processes of the same uid and of uid 0 are let in,
 * at most %CVD_CONTROL_MAX_CONNECTIONS at once. Nothing of D-Bus is started before the first
 * connection.
 */
typedef struct CvdControl CvdControl;

/** CVD_CONTROL_MAX_HELD: connections that may be held for as long as one likes */
#define CVD_CONTROL_MAX_HELD 16
/**
 * CVD_CONTROL_MAX_CONNECTIONS:
 *
 * Kept at once; further ones are closed with a line in the log. Those beyond %CVD_CONTROL_MAX_HELD
 * are for short calls: when one is idle for %CVD_CONTROL_MAX_IDLE_MS, the signal Closing tells it
 * why, and it is closed, unless one of the others has ended meanwhile.
 */
#define CVD_CONTROL_MAX_CONNECTIONS 32
#define CVD_CONTROL_MAX_IDLE_MS     5000

/**
 * CvdControlStatus:
 * @state: (transfer none): as cvd_state_get_name() has it
 * @reason: (transfer none): why, in words; may be empty
 * @vm_pid: 0 while there is no QEMU
 * @uptime_us: microseconds since this VM was first running or paused
 * @restarts: VMs started after the first
 * @n_clients: client connections
 * @is_ready: whether it is, as `lifecycle.ready` has it
 * @from: (nullable): the snapshot that each VM is started from; %NULL: they boot
 */
typedef struct {
    const char *state;
    const char *reason;
    guint vm_pid;
    guint64 uptime_us;
    guint restarts;
    guint n_clients;
    gboolean is_ready;
    const char *from;
} CvdControlStatus;

/** CvdControlCall: a method call that waits for its answer. */
typedef struct CvdControlCall CvdControlCall;

/**
 * CvdControlHandlers:
 * @get_status: fills @status; the strings live until the next call
 * @call: carries out a method of the interface, whose @arguments, a tuple or %NULL, have the right
 *   type
 *
 * What the owner does on behalf of those who call. Each call must be finished, once, at any time;
 * one whose connection has ended meanwhile too.
 */
typedef struct {
    void (*get_status)(CvdControlStatus *status, gpointer user_data);
    void (*call)(const char *method, GVariant *arguments, CvdControlCall *take_call,
                 gpointer user_data);
} CvdControlHandlers;

/**
 * cvd_control_new:
 * @socket: path of the socket, in the runtime directory; mode 0600
 * @name: the instance's name
 * @layout: for the property Regions
 * @handlers: copied
 * @error: as cvd_listener_new()
 *
 * Serves in the thread's default #GMainContext.
 *
 * Returns: (transfer full) (nullable): the control interface
 */
CvdControl *cvd_control_new(const char *socket, const char *name, CvdLayout *layout,
                            const CvdControlHandlers *handlers, gpointer user_data, GError **error);

/**
 * cvd_control_free:
 *
 * Unlinks the socket and closes all connections, after what was emitted has been handed to the
 * kernel as far as that goes without waiting. Pending calls may still be finished afterwards.
 */
void cvd_control_free(CvdControl *control);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdControl, cvd_control_free)

/** cvd_control_status_changed: asks get_status() and signals what is different to everybody */
void cvd_control_status_changed(CvdControl *control);

/** CVD_CONTROL_MAX_EVENTS: how many of QEMU's events a second connections are sent */
#define CVD_CONTROL_MAX_EVENTS 500

/**
 * cvd_control_guest_event:
 * @name: the QMP event's name
 * @data: (nullable): its data as JSON
 *
 * Is sent to all connections. What is beyond %CVD_CONTROL_MAX_EVENTS in a second is left out, and
 * an event CVD_EVENTS_LEFT_OUT before the next one that is not says how many were.
 */
void cvd_control_guest_event(CvdControl *control, const char *name, const char *data);

/** cvd_control_has_connections: Returns: whether anybody listens */
gboolean cvd_control_has_connections(const CvdControl *control);

/**
 * cvd_control_call_reply:
 * @take_call: (transfer full): a call
 * @body: (nullable): a tuple of what it returns; consumed if it is floating
 * @take_fd: a descriptor for the handle 0 in it; −1: none
 */
void cvd_control_call_reply(CvdControlCall *take_call, GVariant *body, int take_fd);

/**
 * cvd_control_call_finish:
 * @take_call: (transfer full): a call that returns nothing, or has failed
 * @error: (nullable): the call's failure; %CVD_ERROR_INVALID becomes org.cvd.Error.Invalid,
 *   %CVD_ERROR_FAILED of a QMP command org.cvd.Error.Qmp, anything else org.cvd.Error.Failed
 */
void cvd_control_call_finish(CvdControlCall *take_call, const GError *error);

/**
 * cvd_control_call_set_cancelled:
 * @call: a call, when the handler is given it
 * @cancelled: (nullable): called at most once, if the call's connection ends before the call is
 *   finished: nobody waits for the answer any more. The call must be finished all the same, in
 *   @cancelled or later.
 */
void cvd_control_call_set_cancelled(CvdControlCall *call, void (*cancelled)(gpointer data),
                                    gpointer data);

G_END_DECLS
