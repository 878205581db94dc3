/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "server/access.h"
#include "server/client.h"
#include "server/layout.h"
#include "server/window-backing.h"

#include <glib-object.h>

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

#define CVD_TYPE_VM_ACCESS (cvd_vm_access_get_type())
GType cvd_vm_access_get_type(void);

/**
 * CvdServer:
 *
 * Owns a window and its doorbells, and serves them on a VM socket and a client socket from the
 * #GMainContext that was the thread's default when it was made. Not thread-safe: use it from the
 * thread that runs that context.
 *
 * All properties are set at construction, except `n-clients` and `vm-pid`, which can be read.
 *
 * cvd_server_stop() emits `vm-detached` and `client-detached` for what it ends. A handler may do
 * anything, stop the server or drop its last reference included.
 */

/**
 * CvdServer:layout:
 *
 * The window's layout. Required.
 */

/**
 * CvdServer:vm-socket:
 *
 * Path of the VM socket. Required.
 */

/**
 * CvdServer:client-socket:
 *
 * Path of the client socket. Required.
 */

/**
 * CvdServer:legacy-socket:
 *
 * Path of the socket for clients of 2017, which speak a binary protocol; %NULL: there is none.
 */

/**
 * CvdServer:socket-mode:
 *
 * The mode of all sockets.
 */

/**
 * CvdServer:lock-dir:
 *
 * A directory that only this user can write to. Locks in it keep servers apart that have a socket
 * or a window at the same path. %NULL: there are no locks.
 */

/**
 * CvdServer:vm-access:
 *
 * Who may attach as the VM.
 */

/**
 * CvdServer:vm-id:
 *
 * The number that the VM has among the peers of its device: 1, and then the host is peer 0, or 0,
 * and then the host is peer 1. QEMU saves the state of a VM only if that has the number 0 and its
 * device `master=on`. A guest that always rings peer 0 can only have the number 1.
 */

/**
 * CvdServer:access:
 *
 * Which client may have which region. %NULL: the same effective uid and uid 0 may use all
 * regions, others none.
 */

/**
 * CvdServer:version-reply:
 *
 * The second message of the client protocol: docs/protocol.md, The client socket.
 */

/**
 * CvdServer:max-clients:
 *
 * How many connections of clients there may be at once.
 */

/**
 * CvdServer:handshake-timeout-ms:
 *
 * How long a handshake of a client may take, in milliseconds.
 */

/**
 * CvdServer:backing:
 *
 * What kind of memory object the window is.
 */

/**
 * CvdServer:window-path:
 *
 * For %CVD_WINDOW_POSIX_SHM: its path, such as `/dev/shm/ivshmem`.
 */

/**
 * CvdServer:hugepage-size:
 *
 * Size of the window's pages in bytes: 0, 2 MiB or 1 GiB; for %CVD_WINDOW_MEMFD only.
 */

/**
 * CvdServer:prealloc:
 *
 * Whether all pages of the window are allocated at once.
 */

/**
 * CvdServer:asks-ready:
 *
 * Whether the VM is handed over the doorbell by which its guest says that it is ready. A layout
 * that has no place for the guest's word (docs/guest.md, When your guest is ready) is then an error
 * of cvd_server_listen().
 */

/**
 * CvdServer:trace-file:
 *
 * Path of a file in which each ring of a doorbell is recorded: docs/cvd-client.1, Traces. It may
 * not exist, be empty or be an older trace. For that the server stands between the doorbells of
 * clients and those of the VM, and needs twice as many descriptors for them. %NULL: there is no
 * trace, which costs nothing.
 */

/**
 * CvdServer:trace-size:
 *
 * How large the trace's file may get, in bytes. Then the oldest records are overwritten.
 */

/**
 * CvdServer:n-clients:
 *
 * How many client connections there are, of both protocols. Notified of when a client attaches or
 * detaches.
 */

/**
 * CvdServer:vm-pid:
 *
 * The process of the VM that is attached; 0: there is none.
 */

/**
 * CvdServer::vm-attached:
 * @server: the server
 * @pid: its process
 *
 * A VM has connected, and the hand-over begins.
 */

/**
 * CvdServer::vm-handed-over:
 * @server: the server
 *
 * Every message of the hand-over has been sent.
 */

/**
 * CvdServer::vm-detached:
 * @server: the server
 *
 * The VM's connection has ended. With %CVD_VM_ACCESS_SAME_USER its process has exited as well, so
 * that another VM may attach.
 */

/**
 * CvdServer::guest-ready:
 * @server: the server
 *
 * With #CvdServer:asks-ready: the guest has said that it is ready; at most once for each VM, and
 * once more for each cvd_server_clear_signals(): in it, if the new guest has said so before.
 */

/**
 * CvdServer::client-attached:
 * @server: the server
 * @pid: its process
 * @region: the region's name
 *
 * A client has been given a region. For one that inherits it, cvd_server_set_client_pid() was
 * called.
 */

/**
 * CvdServer::client-detached:
 * @server: the server
 * @pid: its process
 *
 * The connection of a client that was said to be attached has ended.
 */

#define CVD_TYPE_SERVER (cvd_server_get_type())
G_DECLARE_FINAL_TYPE(CvdServer, cvd_server, CVD, SERVER, GObject)

/**
 * cvd_server_new:
 * @layout: the window's layout
 * @vm_socket: path of the VM socket
 * @client_socket: path of the client socket
 *
 * For what has a default g_object_new() takes properties.
 *
 * Returns: (transfer full): a server that holds nothing yet
 */
CvdServer *cvd_server_new(CvdLayout *layout, const char *vm_socket, const char *client_socket);

/**
 * cvd_server_listen:
 * @server: a new server
 * @error: %CVD_ERROR_INVALID: a required property is not set, or the layout is not fit for
 *   #CvdServer:asks-ready; %CVD_ERROR_BUSY, %CVD_ERROR_FOREIGN: the socket's path, or that of the
 *   trace, is another's; %CVD_ERROR_RESOURCES: the soft RLIMIT_NOFILE is below 2 × regions + 64,
 *   with a trace 4 × regions + 64, and descriptors in flight count against it; raising it is the
 *   program's affair
 *
 * The first part of cvd_server_start(), for who wants a VM to load while the rest is made: listens
 * on the VM socket. Whoever connects waits for the rest.
 */
gboolean cvd_server_listen(CvdServer *server, GError **error);

/**
 * cvd_server_start:
 * @server: a new server, or one that listens
 * @error: as cvd_server_listen(); %CVD_ERROR_RESOURCES also: too few huge pages, no space for the
 *   window, or no descriptors
 *
 * Listens on the VM socket if that was not done, creates the window and the doorbells, then listens
 * for clients. After a failure nothing is left behind.
 */
gboolean cvd_server_start(CvdServer *server, GError **error);

/**
 * cvd_server_stop:
 * @server: a server
 *
 * Closes all connections, unlinks the sockets, closes the window. Idempotent; also done when the
 * last reference goes. The client socket goes first, so that a client that sees its connection
 * closed and tries again finds nothing.
 */
void cvd_server_stop(CvdServer *server);

/**
 * cvd_server_get_layout:
 * @server: a server
 *
 * Returns: (transfer none): the layout
 */
CvdLayout *cvd_server_get_layout(CvdServer *server);
/**
 * cvd_server_get_n_clients:
 * @server: a server
 *
 * Returns: how many client connections there are, of both dialects
 */
guint cvd_server_get_n_clients(CvdServer *server);
/**
 * cvd_server_get_vm_pid:
 * @server: a server
 *
 * Returns: the process of the VM that is attached; 0 = none
 */
int cvd_server_get_vm_pid(CvdServer *server);
/**
 * cvd_server_foreach_client:
 * @server: a server
 * @func: (scope call): called for each of them
 * @user_data: for @func
 *
 * Calls @func for each client that has been given a region.
 */
void cvd_server_foreach_client(CvdServer *server, CvdServerClientFunc func, gpointer user_data);

/**
 * cvd_server_open_region:
 * @server: a started server
 * @region: the region's name
 * @user: (nullable): whom the program runs as; %NULL: this process's user
 * @passed: (out caller-allocates): what the program is to inherit; nothing on failure
 * @error: %CVD_ERROR_INVALID: there is no such region; %CVD_ERROR_BUSY: another process has it, and
 *   it is exclusive; or clients are held: after cvd_server_admit_clients() it can be opened;
 *   %CVD_ERROR_RESOURCES: there are as many clients as there may be, or no descriptors;
 *   %CVD_ERROR_FAILED: the server was stopped
 *
 * Opens a region for a program that is about to be started and inherits its descriptors, so that it
 * needs neither the client socket nor a handshake: docs/protocol.md, Inherited regions.
 *
 * From now on this is a client like any other: it counts as one of `max-clients`, and its
 * connection is closed when clients are held, by a renewal, and by a stop, or ends when nobody has
 * it any more. If a rule of `access` is for @user and the region, the program may only what the
 * rule says; without one it may read and write. It can ask for nothing else on this connection.
 *
 * When the program runs, call cvd_server_set_client_pid() and cvd_passed_region_clear().
 */
gboolean cvd_server_open_region(CvdServer *server, const char *region, const CvdServerUser *user,
                                CvdPassedRegion *passed, GError **error);

/**
 * cvd_server_set_client_pid:
 * @server: a server
 * @client: the number in #CvdPassedRegion
 * @pid: the process that has inherited the region
 *
 * Says whose the region is now, to be called once. `client-attached` is emitted. Does nothing when
 * the connection has ended.
 */
void cvd_server_set_client_pid(CvdServer *server, guint client, int pid);

/**
 * cvd_server_set_content:
 * @server: a server that was not stopped
 * @dup_fd: a file of the window's size, which stays the caller's, or −1
 * @error: %CVD_ERROR_RESOURCES: no descriptor is left
 *
 * Has each window that cvd_server_start() or cvd_server_renew() makes from now on hold what the
 * file holds then, but for the descriptors of the regions, in the place of zeros: for a VM that
 * was saved, whose window is no part of what QEMU saves. −1: they are zero again. It is copied in
 * that call, at about 0.5 ms a MiB; holes are not read.
 *
 * If the guest's word in the window says that it is ready, `guest-ready` is emitted when a VM
 * attaches, as such a guest does not say so again.
 */
gboolean cvd_server_set_content(CvdServer *server, int dup_fd, GError **error);

/**
 * cvd_server_get_pending:
 * @server: a started server
 * @region: the index of a region
 * @to_guest: (out): whether the guest is yet to be woken
 * @to_host: (out): whether a client is
 *
 * Finds out what cvd_server_ring() has to ring if the VM is saved now, which is to be stopped: what
 * was rung and nobody has taken, and where the interrupt-signalled word is set. Nothing is taken.
 * What was rung before the VM was saved QEMU has taken, and saves with the VM; but a ring that
 * comes after that can belong to what the window holds.
 */
void cvd_server_get_pending(CvdServer *server, guint region, gboolean *to_guest, gboolean *to_host);

/**
 * cvd_server_ring:
 * @server: a started server
 * @regions: (array length=n_regions): the indices of regions
 * @n_regions: how many there are, perhaps none
 * @to_guest: whether the guest's doorbells are rung; else those of the clients
 * @error: %CVD_ERROR_RESOURCES: the kernel has no asynchronous I/O left
 *
 * Rings once more. A doorbell whose counter is full, which would block a writer, does not block
 * this. The call takes about 30 ms however many regions there are, so ring all in one.
 *
 * The guest's are to be rung when QEMU has loaded what was saved: what comes before that is lost.
 * It is no ring for cvd_server_get_rings() and a trace.
 */
gboolean cvd_server_ring(CvdServer *server, const guint *regions, guint n_regions,
                         gboolean to_guest, GError **error);

/**
 * cvd_server_get_rings:
 * @server: a server
 * @region: the index of a region
 * @to_guest: (out): how often clients have rung since the start
 * @to_host: (out): how often the guest has rung since then
 *
 * Returns: whether rings are counted, which takes a #CvdServer:trace-file; else both are 0
 */
gboolean cvd_server_get_rings(CvdServer *server, guint region, guint64 *to_guest, guint64 *to_host);

/**
 * cvd_server_connect_vm:
 * @server: a server that listens, or a started one
 * @error: %CVD_ERROR_BUSY: a VM is attached; %CVD_ERROR_RESOURCES: out of descriptors
 *
 * Connects a VM without the VM socket, so that it matters to nobody what has become of its path.
 *
 * Returns: the VM's end, which is the caller's, for a child process to inherit; −1 on failure
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
 * Returns: a descriptor, the caller's, of the window through which it can only be read; −1 on
 *   failure
 */
int cvd_server_open_window_read_only(CvdServer *server, GError **error);

/**
 * cvd_server_vm_has_read_all:
 * @server: a server
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
 * Zeroes signal tables, interrupt words and the word that says ready, which would mislead another
 * guest, and writes the descriptors of the regions again. To be called while the VM is stopped and
 * clients are held, as often as the guest is reset meanwhile. The VM's connection, the doorbells
 * and region data stay as they are.
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
