/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "server/access.h"
#include "server/client.h"
#include "server/layout.h"
#include "server/window.h"

#include <glib-object.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdVmAccess:
 * @CVD_VM_ACCESS_OWN: nobody but this process, whose VM comes by cvd_server_connect_vm()
 * @CVD_VM_ACCESS_SAME_USER: any process of the same uid or of uid 0
 *
 * Who may attach to the VM socket.
 */
typedef enum {
    CVD_VM_ACCESS_OWN,
    CVD_VM_ACCESS_SAME_USER,
} CvdVmAccess;

/**
 * CvdServerOptions:
 * @window: how the window is made
 * @vm_socket: path of the VM socket
 * @client_socket: path of the client socket
 * @legacy_socket: (nullable): path of the socket of the binary dialect; %NULL = none
 * @socket_mode: the mode of all three
 * @lock_dir: (nullable): a directory that only this user can write to, for locks by which servers
 *   with one socket or window at the same path keep apart; %NULL = none
 * @vm_access: who may attach as the VM
 * @access: (nullable): which client may have which region; %NULL: the same effective uid and uid 0
 *   everything, others nothing
 * @version_reply: (nullable): message 2 of the client protocol; %NULL = `PROTOCOL_VER 0`
 * @max_clients: connections kept at once; 0 = 1024
 * @handshake_timeout_ms: 0 = 5000
 */
typedef struct {
    CvdWindowOptions window;
    const char *vm_socket;
    const char *client_socket;
    const char *legacy_socket;
    mode_t socket_mode;
    const char *lock_dir;
    CvdVmAccess vm_access;
    CvdAccessRules *access;
    const char *version_reply;
    guint max_clients;
    guint handshake_timeout_ms;
} CvdServerOptions;

/**
 * CvdServer:
 *
 * Owns a window and its doorbells, and serves them on a VM socket and a client socket from the
 * #GMainContext that was the thread's default when it was made. Not thread-safe: use it from the
 * thread that runs that context.
 *
 * Signals:
 * - `vm-attached` (int pid): a VM was accepted; the hand-over begins
 * - `vm-handed-over` (): every message of the hand-over has been sent
 * - `vm-detached` (): the VM's connection has ended; with %CVD_VM_ACCESS_SAME_USER: and its process
 *   has exited, so that the slot is free again
 * - `client-attached` (int pid, const char *region): a client has been given a region
 * - `client-detached` (int pid): the connection of a client that had attached has ended
 *
 * cvd_server_stop() emits `vm-detached` and `client-detached` for what it ends. A handler may do
 * anything, stop the server or drop its last reference included.
 */
#define CVD_TYPE_SERVER (cvd_server_get_type())
G_DECLARE_FINAL_TYPE(CvdServer, cvd_server, CVD, SERVER, GObject)

/**
 * cvd_server_new:
 * @layout: the window's layout
 * @options: copied
 *
 * Returns: (transfer full): a server that holds nothing yet
 */
CvdServer *cvd_server_new(CvdLayout *layout, const CvdServerOptions *options);

/**
 * cvd_server_listen:
 * @server: a new server
 * @error: as cvd_listener_new(); %CVD_ERROR_RESOURCES when the hard RLIMIT_NOFILE is below
 *   2 × regions + 64
 *
 * The first part of cvd_server_start(), for who wants a VM to load while the rest is made: raises
 * the soft RLIMIT_NOFILE to the hard one, as descriptors in flight count against it, and listens on
 * the VM socket. Whoever connects waits for the rest.
 */
gboolean cvd_server_listen(CvdServer *server, GError **error);

/**
 * cvd_server_start:
 * @server: a new server, or one that listens
 * @error: as cvd_server_listen(), cvd_window_new(), cvd_doorbells_new() and cvd_listener_new()
 *
 * Listens on the VM socket if that was not done, creates the window and the doorbells, then listens
 * for clients. After a failure nothing is left behind.
 */
gboolean cvd_server_start(CvdServer *server, GError **error);

/**
 * cvd_server_stop:
 *
 * Closes all connections, unlinks the sockets, closes the window. Idempotent; also done when the
 * last reference goes. The client socket goes first, so that a client that sees its connection
 * closed and tries again finds nothing.
 */
void cvd_server_stop(CvdServer *server);

/** cvd_server_get_layout: Returns: (transfer none): the layout */
CvdLayout *cvd_server_get_layout(CvdServer *server);
/** cvd_server_get_n_clients: Returns: how many client connections there are, of both dialects */
guint cvd_server_get_n_clients(CvdServer *server);
/** cvd_server_foreach_client: calls @func for each client that has been given a region */
void cvd_server_foreach_client(CvdServer *server, CvdServerClientFunc func, gpointer user_data);

/**
 * cvd_server_connect_vm:
 * @server: a server that listens, or a started one
 * @error: %CVD_ERROR_BUSY: a VM is attached; %CVD_ERROR_RESOURCES: out of descriptors
 *
 * Connects a VM without the VM socket, so that it matters to nobody what has become of its path.
 *
 * Returns: (transfer full): the VM's end, for a child process to inherit; −1 on failure
 */
int cvd_server_connect_vm(CvdServer *server, GError **error);

/**
 * cvd_server_disconnect_vm:
 * @server: a started server
 *
 * Ends the VM's connection, if there is one, when its process is known to be gone; `vm-detached` is
 * emitted.
 */
void cvd_server_disconnect_vm(CvdServer *server);

/**
 * cvd_server_get_window_fd:
 * @server: a started server
 *
 * Returns: the window's descriptor, which stays the server's
 */
int cvd_server_get_window_fd(CvdServer *server);

/**
 * cvd_server_open_window_read_only:
 * @server: a started server
 * @error: %CVD_ERROR_FAILED
 *
 * Returns: (transfer full): a descriptor of the window through which it can only be read; −1 on
 *   failure
 */
int cvd_server_open_window_read_only(CvdServer *server, GError **error);

/**
 * cvd_server_vm_has_read_all:
 *
 * Returns: whether a VM is attached, everything has been sent to it, and nothing of it waits unread
 *   in the socket (SIOCOUTQ)
 */
gboolean cvd_server_vm_has_read_all(CvdServer *server);

/**
 * cvd_server_hold_clients:
 * @server: a started server
 *
 * Closes the connections of clients that have a region, which is how they learn that it changes
 * under them. From now on connections are accepted, but their handshakes wait, unanswered and
 * without a time limit, for cvd_server_admit_clients(). Does nothing while clients are held.
 */
void cvd_server_hold_clients(CvdServer *server);

/**
 * cvd_server_clear_signals:
 * @server: a started server
 * @error: %CVD_ERROR_FAILED
 *
 * Zeroes signal tables and interrupt words, which would mislead another guest. To be called while
 * the VM is stopped and clients are held, as often as the guest is reset meanwhile. The VM's
 * connection, the doorbells and region data stay as they are.
 */
gboolean cvd_server_clear_signals(CvdServer *server, GError **error);

/**
 * cvd_server_admit_clients:
 * @server: a started server
 *
 * Answers those that were held, and whoever comes from now on. Does nothing unless clients are
 * held.
 */
void cvd_server_admit_clients(CvdServer *server);

/**
 * cvd_server_renew:
 * @server: a started server without a VM
 * @error: %CVD_ERROR_FAILED, also for one that is stopped or has a VM; %CVD_ERROR_RESOURCES
 *
 * Makes ready for another VM: connections of clients that have a region closed, doorbells drained,
 * the window as it was when new. Clients that were held stay so; else they may come again at once.
 */
gboolean cvd_server_renew(CvdServer *server, GError **error);

G_END_DECLS
