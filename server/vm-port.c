/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One GSource has up to two descriptors: the listening socket, and the VM's connection or, when
 * that has ended and the slot has to stay taken, the pidfd of the VM's process. The hand-over is
 * a sequence of numbered messages, each made when the socket takes it; MAX_MESSAGES a dispatch, so
 * that a large one holds up nobody else. With all of it sent, only the VM's leaving wakes us.
 *
 * A process is known by its pidfd, taken when its connection is accepted. With SO_PEERPIDFD (Linux
 * 6.5) that is the process that connected, whatever became of its pid. On older kernels the pid
 * could be another process's by now, but only if the one that connected is gone, and then its end
 * of the connection is closed: that is looked at after the pidfd was opened, and such a connection
 * is dropped without a hand-over.
 */
#include "server/vm-port.h"

#include "base/fd.h"
#include "base/log.h"
#include "vsoc/handover.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define MAX_MESSAGES   64
#define MAX_ACCEPTS    16
#define RETRY_DELAY_US (10 * G_TIME_SPAN_MILLISECOND)
#define PAUSE_US       (200 * G_TIME_SPAN_MILLISECOND)

typedef enum {
    VM_NONE,     /* the slot is free */
    VM_ADOPTED,  /* given by the owner, who is to hear of it from the main context */
    VM_SENDING,  /* hand-over, waits for room in the socket */
    VM_RETRYING, /* hand-over, waits for fewer descriptors in flight */
    VM_ATTACHED, /* handed over; waits for the VM to leave */
    VM_LEAVING,  /* the connection has ended, the process has not */
    VM_STOPPED,  /* the port has been freed */
} VmState;

typedef struct {
    GSource source;
    CvdVmPort *port;
} PortSource;

struct CvdVmPort {
    CvdVmPortOptions options;
    VmState state;
    GSource *source;
    gpointer listening_tag;
    gint64 paused_until; /* the listening socket is not watched; 0: it is */
    gint64 retry_at;     /* with VM_RETRYING */
    int fd;
    gpointer tag; /* of `fd`, or with VM_LEAVING of `pidfd` */
    int pidfd;
    int pid;
    guint n_sent;       /* messages */
    gsize n_bytes_sent; /* of the next one */
    CvdLogLimit log_limit;
};

static const char *const state_names[] = {
    [VM_NONE] = "none",         [VM_ADOPTED] = "adopted",   [VM_SENDING] = "sending",
    [VM_RETRYING] = "retrying", [VM_ATTACHED] = "attached", [VM_LEAVING] = "leaving",
    [VM_STOPPED] = "stopped",
};
G_STATIC_ASSERT(G_N_ELEMENTS(state_names) == VM_STOPPED + 1);

static GIOCondition watched_events(VmState state)
{
    return state == VM_ADOPTED || state == VM_SENDING ? G_IO_IN | G_IO_OUT : G_IO_IN;
}

static void set_state(CvdVmPort *port, VmState state)
{
    g_debug("VM: %s -> %s", state_names[port->state], state_names[state]);
    port->state = state;
    port->retry_at = state == VM_RETRYING ? g_get_monotonic_time() + RETRY_DELAY_US : 0;
    if (port->tag != NULL)
        g_source_modify_unix_fd(port->source, port->tag, watched_events(state));
}

static void watch(CvdVmPort *port, int fd, VmState state)
{
    if (port->tag != NULL)
        g_source_remove_unix_fd(port->source, port->tag);
    port->tag = fd < 0 ? NULL : g_source_add_unix_fd(port->source, fd, G_IO_IN);
    set_state(port, state);
}

static void arm(CvdVmPort *port)
{
    gint64 earliest = port->paused_until != 0 ? port->paused_until : -1;

    if (port->retry_at != 0 && (earliest < 0 || port->retry_at < earliest))
        earliest = port->retry_at;
    if (g_source_get_ready_time(port->source) != earliest)
        g_source_set_ready_time(port->source, earliest);
}

static void free_slot(CvdVmPort *port, VmState state)
{
    gboolean is_known = port->state != VM_ADOPTED;

    watch(port, -1, state);
    cvd_close_fd(&port->fd);
    cvd_close_fd(&port->pidfd);
    if (is_known)
        port->options.detached(port->options.owner);
}

/* The one way in which a connection ends. */
static void disconnect(CvdVmPort *port)
{
    if (port->pidfd < 0) {
        free_slot(port, VM_NONE);
        return;
    }
    g_message("VM of pid %d: its connection has ended; its place is free when it has exited",
              port->pid);
    watch(port, port->pidfd, VM_LEAVING);
    cvd_close_fd(&port->fd);
}

/* Returns: the descriptor that goes with a message, or −1 */
static int fd_of(const CvdVmPort *port, const struct vsoc_handover_message *message)
{
    switch (message->kind) {
    case VSOC_HANDOVER_VERSION:
    case VSOC_HANDOVER_ID:
        return -1;
    case VSOC_HANDOVER_WINDOW:
        return port->options.window_fd;
    case VSOC_HANDOVER_GUEST_TO_HOST:
        return cvd_doorbells_get_guest_to_host(port->options.doorbells, message->region);
    case VSOC_HANDOVER_HOST_TO_GUEST:
        return cvd_doorbells_get_host_to_guest(port->options.doorbells, message->region);
    case VSOC_HANDOVER_READY:
        return port->options.ready_fd;
    }
    g_assert_not_reached();
}

static gssize send_one(CvdVmPort *port)
{
    struct vsoc_handover_message message =
        vsoc_handover_get(port->n_sent, port->options.n_regions, port->options.vm_id);
    int fd = fd_of(port, &message);
    guint8 bytes[VSOC_HANDOVER_SIZE];
    gsize offset = port->n_bytes_sent;

    vsoc_handover_encode(bytes, message.value);
    gssize n = cvd_socket_send(port->fd, bytes + offset, sizeof bytes - offset, &fd,
                               fd >= 0 && offset == 0 ? 1 : 0);
    if (n <= 0)
        return n;
    port->n_bytes_sent += (gsize)n;
    if (port->n_bytes_sent == sizeof bytes) {
        port->n_bytes_sent = 0;
        port->n_sent++;
    }
    return n;
}

static void send_failed(CvdVmPort *port, int saved_errno)
{
    if (saved_errno == EAGAIN) {
        if (port->state != VM_SENDING)
            set_state(port, VM_SENDING);
    } else if (saved_errno == ETOOMANYREFS || saved_errno == ENOBUFS || saved_errno == ENOMEM) {
        set_state(port, VM_RETRYING);
    } else {
        g_message("VM of pid %d: %s in the hand-over", port->pid, g_strerror(saved_errno));
        disconnect(port);
    }
}

static void hand_over(CvdVmPort *port)
{
    guint n_messages =
        vsoc_handover_count(port->options.n_regions) + (port->options.ready_fd >= 0 ? 1 : 0);

    for (guint i = 0; i < MAX_MESSAGES && port->n_sent < n_messages; i++)
        if (send_one(port) < 0) {
            send_failed(port, errno);
            return;
        }
    if (port->n_sent < n_messages) {
        if (port->state != VM_SENDING)
            set_state(port, VM_SENDING);
        return;
    }
    set_state(port, VM_ATTACHED);
    port->options.handed_over(port->options.owner);
}

static int open_peer_pidfd(int fd, int pid)
{
    int pidfd = -1;
    socklen_t size = sizeof pidfd;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0)
        return pidfd;
    return pid > 0 ? pidfd_open(pid, 0) : -1;
}

static gboolean has_hung_up(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};

    return poll(&poll_fd, 1, 0) > 0;
}

static void refuse(CvdVmPort *port, int fd, const struct ucred *peer, const char *reason)
{
    guint8 message[VSOC_HANDOVER_SIZE];

    vsoc_handover_encode(message, VSOC_HANDOVER_REFUSAL);
    cvd_socket_send(fd, message, sizeof message, NULL, 0);
    if (cvd_log_limit_pass(&port->log_limit, g_get_monotonic_time()))
        g_warning("VM socket: connection of pid %d, uid %u refused: %s", peer->pid, peer->uid,
                  reason);
}

/* (nullable): why not */
static const char *check_peer(const CvdVmPort *port, const struct ucred *peer)
{
    if (port->options.own_process_only && peer->pid != getpid())
        return "this VM socket is only for the VM that this process starts";
    if (peer->uid != geteuid() && peer->uid != 0)
        return "only processes of the same user, and root's, may attach";
    if (port->state != VM_NONE)
        return "a VM is attached already";
    return NULL;
}

/* A VM that has exited, which the loop has yet to see, must not keep the next one out. */
static void look_for_exit(CvdVmPort *port)
{
    struct pollfd poll_fd = {.fd = port->pidfd, .events = POLLIN};

    if (port->state != VM_NONE && port->pidfd >= 0 && poll(&poll_fd, 1, 0) > 0)
        free_slot(port, VM_NONE);
}

static void begin(CvdVmPort *port, int take_fd, int take_pidfd, int pid, VmState state)
{
    port->fd = take_fd;
    port->pidfd = take_pidfd;
    port->pid = pid;
    port->n_sent = 0;
    port->n_bytes_sent = 0;
    watch(port, port->fd, state);
}

static void let_in(CvdVmPort *port, int connection)
{
    cvd_autofd fd = connection;
    struct ucred peer = {0};
    socklen_t size = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return;
    look_for_exit(port);
    const char *reason = check_peer(port, &peer);
    if (reason != NULL) {
        refuse(port, fd, &peer, reason);
        return;
    }

    /* Our own exit is nothing to wait for: who connected then passed the socket on. */
    cvd_autofd pidfd = -1;
    if (peer.pid != getpid())
        pidfd = open_peer_pidfd(fd, peer.pid);
    if (has_hung_up(fd)) {
        refuse(port, fd, &peer, "it is gone already");
        return;
    }
    /* Its place would be free while it still has everything mapped. A pid of 0 is that of a process
     * in another pid namespace, which only newer kernels can watch. */
    if (pidfd < 0 && peer.pid != getpid() && peer.pid > 0) {
        refuse(port, fd, &peer, "no descriptor is left to watch its process with; close some");
        return;
    }
    begin(port, g_steal_fd(&fd), g_steal_fd(&pidfd), peer.pid, VM_SENDING);
    port->options.attached(port->options.owner, peer.pid);
}

static void pause_listening(CvdVmPort *port, gint64 until)
{
    port->paused_until = until;
    g_source_modify_unix_fd(port->source, port->listening_tag, until != 0 ? 0 : G_IO_IN);
}

/* Returns whether somebody may still wait. */
static gboolean accept_one(CvdVmPort *port)
{
    int fd = accept4(port->options.listening_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        let_in(port, fd);
        return TRUE;
    }
    if (errno == ECONNABORTED || errno == EINTR)
        return TRUE;
    if (errno == EAGAIN)
        return FALSE;
    gint64 now_us = g_get_monotonic_time();
    if (cvd_log_limit_pass(&port->log_limit, now_us))
        g_warning("VM socket: accept: %s; trying again shortly", g_strerror(errno));
    pause_listening(port, now_us + PAUSE_US);
    return FALSE;
}

static void accept_some(CvdVmPort *port)
{
    for (guint i = 0; i < MAX_ACCEPTS && port->state != VM_STOPPED && accept_one(port); i++)
        ;
}

static void receive(CvdVmPort *port)
{
    char bytes[64];
    gssize n = cvd_socket_receive(port->fd, bytes, sizeof bytes, NULL, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0) {
        g_autofree char *shown = cvd_escape_bytes(bytes, (gsize)n);
        g_warning("VM of pid %d: sent \"%s\" where it has nothing to say; closing its connection",
                  port->pid, shown);
    }
    disconnect(port);
}

static void serve_vm(CvdVmPort *port, GIOCondition events, gint64 now_us)
{
    gboolean is_due = FALSE;

    switch (port->state) {
    case VM_NONE:
    case VM_STOPPED:
        return;
    case VM_ADOPTED:
        set_state(port, VM_SENDING);
        port->options.attached(port->options.owner, port->pid);
        return;
    case VM_LEAVING:
        if (events != 0)
            free_slot(port, VM_NONE);
        return;
    case VM_SENDING:
        is_due = (events & G_IO_OUT) != 0;
        break;
    case VM_RETRYING:
        is_due = port->retry_at <= now_us;
        break;
    case VM_ATTACHED:
        break;
    }
    if ((events & (G_IO_IN | G_IO_HUP | G_IO_ERR)) != 0)
        receive(port);
    else if (is_due)
        hand_over(port);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    CvdVmPort *port = g_rc_box_acquire(((PortSource *)source)->port);
    gint64 now_us = g_get_monotonic_time();
    GIOCondition vm_events = port->tag != NULL ? g_source_query_unix_fd(source, port->tag) : 0;
    GIOCondition new_connections = g_source_query_unix_fd(source, port->listening_tag);

    serve_vm(port, vm_events, now_us);
    if (port->state != VM_STOPPED && port->paused_until != 0 && port->paused_until <= now_us)
        pause_listening(port, 0);
    if (new_connections != 0)
        accept_some(port);
    if (port->state != VM_STOPPED)
        arm(port);
    g_rc_box_release(port);
    return G_SOURCE_CONTINUE;
}

CvdVmPort *cvd_vm_port_new(GMainContext *context, const CvdVmPortOptions *options)
{
    static GSourceFuncs funcs = {.dispatch = dispatch};
    CvdVmPort *port = g_rc_box_new0(CvdVmPort);

    port->options = *options;
    port->fd = -1;
    port->pidfd = -1;
    port->source = g_source_new(&funcs, sizeof(PortSource));
    ((PortSource *)port->source)->port = port;
    g_source_set_static_name(port->source, "VM port");
    port->listening_tag = g_source_add_unix_fd(port->source, options->listening_fd, G_IO_IN);
    g_source_attach(port->source, context);
    return port;
}

void cvd_vm_port_free(CvdVmPort *port)
{
    g_autoptr(GSource) source = port->source;

    if (port->state != VM_NONE)
        free_slot(port, VM_STOPPED);
    port->state = VM_STOPPED;
    g_source_destroy(source);
    g_rc_box_release(port);
}

gboolean cvd_vm_port_adopt(CvdVmPort *port, int take_fd)
{
    cvd_autofd fd = take_fd;

    look_for_exit(port);
    if (port->state != VM_NONE)
        return FALSE;
    begin(port, g_steal_fd(&fd), -1, getpid(), VM_ADOPTED);
    return TRUE;
}

void cvd_vm_port_disconnect(CvdVmPort *port)
{
    g_rc_box_acquire(port);
    accept_some(port); /* a connection that came after its end would be let in by and by */
    if (port->state != VM_NONE && port->state != VM_STOPPED)
        free_slot(port, VM_NONE);
    if (port->state != VM_STOPPED)
        arm(port);
    g_rc_box_release(port);
}

gboolean cvd_vm_port_is_free(const CvdVmPort *port)
{
    return port->state == VM_NONE;
}

gboolean cvd_vm_port_has_read_all(const CvdVmPort *port)
{
    int n_unread = 0;

    return port->state == VM_ATTACHED && ioctl(port->fd, SIOCOUTQ, &n_unread) == 0 && n_unread == 0;
}
