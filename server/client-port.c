/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All connections and listening sockets are in one epoll set, whose descriptor is all that the
 * main context polls. A dispatch takes at most MAX_EVENTS of them and does a bounded amount for
 * each; the kernel's list of ready descriptors goes round, so everybody's turn comes.
 *
 * All time limits are equally long, so the connections that have one stand in a queue in the order
 * of their deadlines, and a timerfd in the epoll set goes off for its head, or earlier: it is not
 * moved on when a head leaves in time, as thousands do a second, nor turned off when that was the
 * last; it goes off in vain then, once. (A GSource's ready time would cost a wake-up of the main
 * loop each time it is set, and so would its file descriptors, which GLib takes out of its set
 * while a source that cannot recurse is dispatched.)
 *
 * A callback may end any connection, or the port, in the middle of a batch of events that names
 * them: closed connections are freed after the batch, and the port is reference-counted.
 */
#include "server/client-port.h"

#include "base/error.h"
#include "base/fd.h"
#include "server/client-port-private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define MAX_EVENTS     64
#define MAX_ACCEPTS    16
#define FEW_EVENTS     4
#define RETRY_DELAY_US (10 * G_TIME_SPAN_MILLISECOND)
#define PAUSE_US       (200 * G_TIME_SPAN_MILLISECOND)

typedef struct {
    GSource source;
    CvdClientPort *port;
} PortSource;

/* Stands for the timer among the pointers in the epoll set. */
static char timer_mark;

static const char *const listen_state_names[] = {
    [LISTENING] = "listening",
    [LISTENING_FULL] = "full",
    [LISTENING_PAUSED] = "paused",
    [LISTENING_OVER] = "over",
};
G_STATIC_ASSERT(G_N_ELEMENTS(listen_state_names) == LISTENING_OVER + 1);

static gboolean watch_listener(CvdClientPort *port, CvdClientListener *listener)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = listener};

    return epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, listener->fd, &event) == 0 || errno == EEXIST;
}

static void unwatch_listeners(CvdClientPort *port)
{
    for (guint i = 0; i < port->n_listeners; i++)
        epoll_ctl(port->epoll_fd, EPOLL_CTL_DEL, port->listeners[i].fd, NULL);
}

/* All of them or none, as one that stays in the set while nobody accepts wakes us without end. */
static gboolean watch_listeners(CvdClientPort *port)
{
    for (guint i = 0; i < port->n_listeners; i++)
        if (!watch_listener(port, &port->listeners[i])) {
            unwatch_listeners(port);
            return FALSE;
        }
    return TRUE;
}

static void set_listening(CvdClientPort *port, CvdListenState state)
{
    CvdListenState before = port->listen_state;

    if (before == state || before == LISTENING_OVER)
        return;
    if (before == LISTENING)
        unwatch_listeners(port);
    if (state == LISTENING && !watch_listeners(port))
        state = LISTENING_PAUSED;
    g_debug("client sockets: %s -> %s", listen_state_names[before], listen_state_names[state]);
    port->listen_state = state;
    port->paused_until = state == LISTENING_PAUSED ? g_get_monotonic_time() + PAUSE_US : 0;
}

static void set_timer(CvdClientPort *port, gint64 when_us)
{
    struct itimerspec timer = {
        .it_value = {.tv_sec = when_us / G_USEC_PER_SEC,
                     .tv_nsec = when_us % G_USEC_PER_SEC * 1000},
    };

    port->armed_for = when_us;
    timerfd_settime(port->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

static void arm(CvdClientPort *port)
{
    const CvdConnection *head = g_queue_peek_head(&port->deadlines);
    const gint64 times[] = {head != NULL ? head->session.deadline : 0, port->retry_at,
                            port->paused_until};
    gint64 earliest = 0;

    if (port->source == NULL)
        return;
    for (guint i = 0; i < G_N_ELEMENTS(times); i++)
        if (times[i] > 0 && (earliest == 0 || times[i] < earliest))
            earliest = times[i];
    if (earliest != 0 && (port->armed_for == 0 || earliest < port->armed_for))
        set_timer(port, earliest);
}

/* To be called whenever its deadline has changed, which then is the last of all. */
static void set_limited(CvdClientPort *port, CvdConnection *connection, gboolean is_limited)
{
    if (connection->is_limited)
        g_queue_unlink(&port->deadlines, &connection->deadline_link);
    connection->is_limited = is_limited;
    if (is_limited)
        g_queue_push_tail_link(&port->deadlines, &connection->deadline_link);
}

static guint8 epoll_events(CvdSessionWants wants)
{
    switch (wants) {
    case CVD_SESSION_WANTS_INPUT:
        return EPOLLIN;
    case CVD_SESSION_WANTS_OUTPUT:
        return EPOLLOUT;
    case CVD_SESSION_WANTS_RETRY:
    case CVD_SESSION_WANTS_NOTHING:
        return 0;
    }
    g_assert_not_reached();
}

static void watch(CvdClientPort *port, CvdConnection *connection, int operation)
{
    CvdClientSession *session = &connection->session;
    struct epoll_event event = {
        .events = port->is_held ? 0 : epoll_events(session->wants),
        .data.ptr = connection,
    };

    connection->watched = (guint8)event.events;
    if (epoll_ctl(port->epoll_fd, operation, session->fd, &event) < 0)
        cvd_client_session_close(session);
}

static void note_wants(CvdClientPort *port, CvdConnection *connection, gint64 now_us)
{
    CvdSessionWants wants = connection->session.wants;

    if (wants == CVD_SESSION_WANTS_RETRY && port->retry_at == 0)
        port->retry_at = now_us + RETRY_DELAY_US;
    if (epoll_events(wants) != connection->watched)
        watch(port, connection, EPOLL_CTL_MOD);
}

static void run(CvdClientPort *port, CvdConnection *connection)
{
    gint64 now_us = g_get_monotonic_time();
    gint64 deadline = connection->session.deadline;

    if (port->is_held ||
        cvd_client_session_run(&connection->session, now_us) == CVD_SESSION_WANTS_NOTHING)
        return;
    if (connection->session.deadline != deadline)
        set_limited(port, connection, connection->session.deadline != 0);
    note_wants(port, connection, now_us);
}

static void session_attached(gpointer owner, CvdClientSession *session, const char *region)
{
    cvd_connection_take_doorbells(owner, (CvdConnection *)session);
    cvd_connection_announce(owner, (CvdConnection *)session, region);
}

/* One that was made here takes a place of ours, whomever it is for. */
static uid_t get_quota_uid(const CvdConnection *connection)
{
    return connection->number != 0 ? geteuid() : connection->session.uid;
}

static void session_closing(gpointer owner, CvdClientSession *session)
{
    CvdClientPort *port = owner;
    CvdConnection *connection = (CvdConnection *)session;

    epoll_ctl(port->epoll_fd, EPOLL_CTL_DEL, session->fd, NULL);
    set_limited(port, connection, FALSE);
    cvd_connection_release_doorbells(connection);
    if (connection->is_holder)
        cvd_holders_release(port->holders, connection);
    g_queue_unlink(&port->connections, &connection->link);
    g_queue_push_tail_link(&port->closed, &connection->link);
    cvd_quota_release(port->quota, get_quota_uid(connection));
    if (port->listen_state == LISTENING_FULL || port->listen_state == LISTENING_PAUSED)
        set_listening(port, LISTENING);
    if (connection->is_announced)
        port->options.detached(port->options.owner, session->pid);
}

static void free_closed(CvdClientPort *port)
{
    GList *link;

    while ((link = g_queue_pop_head_link(&port->closed)) != NULL)
        g_free(link->data);
}

static void clear_port(gpointer data)
{
    CvdClientPort *port = data;

    free_closed(port);
    cvd_quota_free(port->quota);
    cvd_holders_free(port->holders);
    g_free(port->doorbells);
}

/* Between enter() and leave() no connection is freed, nor the port. */
void cvd_client_port_enter(CvdClientPort *port)
{
    g_rc_box_acquire(port);
    port->n_busy++;
}

void cvd_client_port_leave(CvdClientPort *port)
{
    port->n_busy--;
    if (port->n_busy == 0)
        free_closed(port);
    arm(port);
    g_rc_box_release_full(port, clear_port);
}

/* Nobody else has to wait until such a one has gone by itself. */
static gboolean take_share(CvdClientPort *port, const CvdClientSession *session)
{
    if (cvd_quota_take(port->quota, session->uid))
        return TRUE;
    if (cvd_log_limit_pass(&port->service.log_limit, g_get_monotonic_time()))
        cvd_log_client(
            G_LOG_LEVEL_MESSAGE, session->pid, NULL,
            "client of pid %d, uid %u refused: its user has as many connections as is fair",
            session->pid, session->uid);
    return FALSE;
}

static void now_full(CvdClientPort *port)
{
    if (cvd_log_limit_pass(&port->service.log_limit, g_get_monotonic_time()))
        g_message("%u client connections, as many as are allowed; others wait until one closes",
                  port->connections.length);
    set_listening(port, LISTENING_FULL);
}

CvdConnection *cvd_connection_new(void)
{
    CvdConnection *connection = g_new0(CvdConnection, 1);

    connection->link.data = connection;
    connection->deadline_link.data = connection;
    return connection;
}

void cvd_connection_keep(CvdClientPort *port, CvdConnection *connection)
{
    g_queue_push_tail_link(&port->connections, &connection->link);
    if (cvd_quota_is_full(port->quota))
        now_full(port);
    watch(port, connection, EPOLL_CTL_ADD);
}

static void add_connection(CvdClientPort *port, int take_fd, CvdDialect dialect)
{
    CvdConnection *connection = cvd_connection_new();

    cvd_client_session_init(&connection->session, &port->service, take_fd, dialect,
                            g_get_monotonic_time());
    if (!take_share(port, &connection->session)) {
        cvd_close_fd(&connection->session.fd);
        g_free(connection);
        return;
    }
    set_limited(port, connection, !port->is_held);
    cvd_connection_keep(port, connection);
    run(port, connection);
}

static void accept_failed(CvdClientPort *port, int saved_errno)
{
    if (cvd_log_limit_pass(&port->service.log_limit, g_get_monotonic_time()))
        g_warning("client socket: %s; clients wait until a descriptor is free",
                  g_strerror(saved_errno));
    set_listening(port, LISTENING_PAUSED);
}

/* Where little happens a second look is in vain: if somebody came meanwhile, epoll reports it. */
static void accept_some(CvdClientPort *port, const CvdClientListener *listener, gboolean is_busy)
{
    guint max = is_busy ? MAX_ACCEPTS : 1;

    for (guint i = 0; i < max && port->listen_state == LISTENING; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            add_connection(port, fd, listener->dialect);
        else if (errno == EAGAIN)
            return;
        else if (errno != ECONNABORTED && errno != EINTR)
            accept_failed(port, errno);
    }
}

static gboolean is_listener(const CvdClientPort *port, gconstpointer pointer)
{
    for (guint i = 0; i < port->n_listeners; i++)
        if (pointer == &port->listeners[i])
            return TRUE;
    return FALSE;
}

static void serve_connection(CvdClientPort *port, CvdConnection *connection, guint32 events)
{
    if (connection->watched == 0 && (events & (EPOLLHUP | EPOLLERR)) != 0)
        cvd_client_session_close(&connection->session);
    else
        run(port, connection); /* which does nothing when it was closed meanwhile */
}

/* Another may have the region since this was reported, and is not meant. */
static gboolean serve_holder(CvdClientPort *port, gconstpointer pointer)
{
    int region = port->holders != NULL ? cvd_holders_find(port->holders, pointer) : -1;

    if (region >= 0)
        cvd_client_port_close_ended(port, (guint)region);
    return region >= 0;
}

static void serve_events(CvdClientPort *port)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(port->epoll_fd, events, MAX_EVENTS, 0);

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &timer_mark)
            set_timer(port, 0); /* what is due is looked for in any case */
        else if (is_listener(port, events[i].data.ptr))
            accept_some(port, events[i].data.ptr, n > FEW_EVENTS);
        else if (!serve_holder(port, events[i].data.ptr))
            serve_connection(port, events[i].data.ptr, events[i].events);
    }
}

static void expire(CvdClientPort *port, gint64 now_us)
{
    for (guint i = 0; i < MAX_EVENTS && port->deadlines.head != NULL; i++) {
        CvdConnection *connection = port->deadlines.head->data;
        if (connection->session.deadline > now_us)
            return;
        cvd_client_session_expire(&connection->session);
    }
}

/* Who wants a retry has a time limit too. The limit is the user's: one refusal stands for all. */
static void retry(CvdClientPort *port, gint64 now_us)
{
    CvdConnection *waiting[MAX_EVENTS];
    guint n = 0;

    if (port->retry_at == 0 || port->retry_at > now_us)
        return;
    for (GList *link = port->deadlines.head; link != NULL && n < MAX_EVENTS; link = link->next) {
        CvdConnection *connection = link->data;
        if (connection->session.wants == CVD_SESSION_WANTS_RETRY)
            waiting[n++] = connection;
    }
    port->retry_at = 0;
    for (guint i = 0; i < n && port->retry_at == 0; i++)
        run(port, waiting[i]);
    if (n == MAX_EVENTS && port->retry_at == 0)
        port->retry_at = now_us;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    CvdClientPort *port = ((PortSource *)source)->port;
    gint64 now_us = g_get_monotonic_time();

    cvd_client_port_enter(port);
    serve_events(port);
    expire(port, now_us);
    retry(port, now_us);
    if (port->paused_until != 0 && port->paused_until <= now_us)
        set_listening(port, LISTENING);
    cvd_client_port_leave(port);
    return G_SOURCE_CONTINUE;
}

static gboolean has_exclusive(const CvdLayout *layout)
{
    for (guint i = 0; i < layout->n_regions; i++)
        if (layout->regions[i].is_exclusive)
            return TRUE;
    return FALSE;
}

CvdClientPort *cvd_client_port_new(GMainContext *context, const CvdClientPortOptions *options,
                                   GError **error)
{
    static GSourceFuncs funcs = {.dispatch = dispatch};

    g_assert(options->max_clients > 0);
    cvd_autofd epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    cvd_autofd timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &timer_mark};
    if (epoll_fd < 0 || timer_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno,
                            "client port: cannot make its epoll set and timer");
        return NULL;
    }

    CvdClientPort *port = g_rc_box_new0(CvdClientPort);
    port->options = *options;
    port->doorbells = g_new0(CvdDoorbellOwners, options->served.layout->n_regions);
    port->service = (CvdClientService){
        .served = options->served,
        .timeout_us = options->handshake_timeout_ms * G_TIME_SPAN_MILLISECOND,
        .attached = session_attached,
        .claim = cvd_connection_claim,
        .describe_holder = cvd_connection_describe_holder,
        .is_held = cvd_connection_is_held,
        .closing = session_closing,
        .owner = port,
    };
    port->quota = cvd_quota_new(options->max_clients, geteuid());
    port->epoll_fd = g_steal_fd(&epoll_fd);
    if (has_exclusive(options->served.layout))
        port->holders = cvd_holders_new(options->served.layout->n_regions, port->epoll_fd);
    port->timer_fd = g_steal_fd(&timer_fd);
    port->source = g_source_new(&funcs, sizeof(PortSource));
    ((PortSource *)port->source)->port = port;
    g_source_set_static_name(port->source, "client port");
    g_source_set_can_recurse(port->source, TRUE);
    g_source_add_unix_fd(port->source, port->epoll_fd, G_IO_IN);
    g_source_attach(port->source, context);
    return port;
}

gboolean cvd_client_port_listen(CvdClientPort *port, int listening_fd, CvdDialect dialect,
                                GError **error)
{
    g_assert(port->n_listeners < CVD_MAX_LISTENERS && port->listen_state == LISTENING);

    CvdClientListener *listener = &port->listeners[port->n_listeners];
    *listener = (CvdClientListener){.fd = listening_fd, .dialect = dialect};
    if (!watch_listener(port, listener))
        return cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "client port: epoll_ctl");
    port->n_listeners++;
    return TRUE;
}

void cvd_client_port_stop_listening(CvdClientPort *port)
{
    set_listening(port, LISTENING_OVER);
    arm(port);
}

typedef void (*ConnectionFunc)(CvdClientPort *port, CvdConnection *connection);

/* Once round the queue, whatever callbacks take out of it: each goes to its end. */
static void for_each_connection(CvdClientPort *port, ConnectionFunc function)
{
    cvd_client_port_enter(port);
    for (guint n = port->connections.length; n > 0 && port->connections.head != NULL; n--) {
        CvdConnection *connection = port->connections.head->data;
        g_queue_unlink(&port->connections, &connection->link);
        g_queue_push_tail_link(&port->connections, &connection->link);
        function(port, connection);
    }
    cvd_client_port_leave(port);
}

static void close_one(CvdClientPort *port, CvdConnection *connection)
{
    cvd_client_session_close(&connection->session);
}

static void hold_one(CvdClientPort *port, CvdConnection *connection)
{
    if (connection->session.given >= 0) {
        cvd_client_session_close(&connection->session);
        return;
    }
    set_limited(port, connection, FALSE);
    watch(port, connection, EPOLL_CTL_MOD);
}

static void admit_one(CvdClientPort *port, CvdConnection *connection)
{
    gint64 now_us = g_get_monotonic_time();

    if (connection->session.deadline != 0) {
        connection->session.deadline = now_us + port->service.timeout_us;
        set_limited(port, connection, TRUE);
    }
    note_wants(port, connection, now_us);
}

void cvd_client_port_hold(CvdClientPort *port)
{
    if (port->is_held)
        return;
    port->is_held = TRUE;
    for_each_connection(port, hold_one);
}

void cvd_client_port_admit(CvdClientPort *port)
{
    if (!port->is_held)
        return;
    port->is_held = FALSE;
    for_each_connection(port, admit_one);
}

gboolean cvd_client_port_is_held(const CvdClientPort *port)
{
    return port->is_held;
}

guint cvd_client_port_get_n_clients(const CvdClientPort *port)
{
    return port->connections.length;
}

void cvd_client_port_foreach(const CvdClientPort *port, CvdServerClientFunc func,
                             gpointer user_data)
{
    for (const GList *link = port->connections.head; link != NULL; link = link->next) {
        const CvdConnection *connection = link->data;
        const CvdClientSession *session = &connection->session;
        if (session->given < 0)
            continue;
        const CvdServerClient client = {
            .pid = session->pid,
            .uid = session->uid,
            .region = port->service.served.layout->regions[session->given].name,
            .since_us = connection->attached_us,
            .is_read_only = connection->doorbells == NULL,
            .is_shared = connection->doorbells != NULL && connection->doorbells->n_clients > 1,
        };
        func(&client, user_data);
    }
}

void cvd_client_port_free(CvdClientPort *port)
{
    g_autoptr(GSource) source = g_steal_pointer(&port->source);

    set_listening(port, LISTENING_OVER);
    for_each_connection(port, close_one);
    g_source_destroy(source);
    cvd_close_fd(&port->timer_fd);
    cvd_close_fd(&port->epoll_fd);
    g_rc_box_release_full(port, clear_port);
}
