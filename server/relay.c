/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All senders' eventfds are in one epoll set, whose descriptor is all that the main context polls.
 * Each is reported once for what is rung (EPOLLET), and its count taken as a whole: a dispatch does
 * a bounded amount, however fast somebody rings.
 *
 * Records are written a number at a time, or when the oldest has waited for a moment: a system call
 * for each would cost a fifth of a ring's way.
 */
#include "server/relay.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/ringer.h"

#include <errno.h>
#include <sys/epoll.h>

#define MAX_EVENTS  64
#define MAX_WAIT_US (50 * G_TIME_SPAN_MILLISECOND)

/* One direction of a region. */
typedef struct {
    int from;
    int to;
    guint16 region;
    guint8 kind; /* a CvdTraceKind */
    guint64 n_rings;
} Way;

typedef struct {
    GSource source;
    CvdRelay *relay;
} RelaySource;

struct CvdRelay {
    GSource *source;
    int epoll_fd;
    CvdRinger *ringer;
    CvdTraceFile *file;
    CvdDoorbells *of_vm;
    guint n_ways;
    Way *ways;          /* to the guest of region i at 2i, to the host at 2i + 1 */
    gint64 write_at_us; /* what was recorded; 0: there is nothing */
    CvdLogLimit log_limit;
};

static void pass_on(CvdRelay *relay, Way *way)
{
    CvdTraceRecord record = {.region = way->region, .kind = way->kind};

    if (!cvd_doorbell_take_count(way->from, &record.count))
        return;
    record.time_ns = cvd_trace_now_ns();
    if (!cvd_ringer_ring(relay->ringer, way->to, record.count) &&
        cvd_log_limit_pass(&relay->log_limit, g_get_monotonic_time()))
        g_warning("trace: a doorbell could not be rung: %s", g_strerror(errno));
    way->n_rings += record.count;
    cvd_trace_file_add(relay->file, record);
}

/* Returns: whether there may be more */
static gboolean pass_on_some(CvdRelay *relay)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(relay->epoll_fd, events, MAX_EVENTS, 0);

    for (int i = 0; i < n; i++)
        pass_on(relay, events[i].data.ptr);
    if (n > 0 && relay->write_at_us == 0)
        relay->write_at_us = g_get_monotonic_time() + MAX_WAIT_US;
    return n == MAX_EVENTS;
}

static void write_records(CvdRelay *relay)
{
    cvd_trace_file_flush(relay->file);
    relay->write_at_us = 0;
}

/* Once round all of them, as who rings on and on must not hold this up for ever. */
static void pass_on_all(CvdRelay *relay)
{
    for (guint i = 0; i <= relay->n_ways / MAX_EVENTS && pass_on_some(relay); i++)
        ;
}

void cvd_relay_note_cleared(CvdRelay *relay)
{
    pass_on_all(relay);
    cvd_trace_file_add(relay->file,
                       (CvdTraceRecord){.time_ns = cvd_trace_now_ns(), .kind = CVD_TRACE_CLEARED});
    write_records(relay);
}

void cvd_relay_drain(CvdRelay *relay)
{
    cvd_relay_note_cleared(relay);
    cvd_doorbells_drain(relay->of_vm);
}

const CvdDoorbells *cvd_relay_get_vm_doorbells(const CvdRelay *relay)
{
    return relay->of_vm;
}

void cvd_relay_get_rings(const CvdRelay *relay, guint region, guint64 *to_guest, guint64 *to_host)
{
    g_assert(region < relay->n_ways / 2);
    *to_guest = relay->ways[2 * region].n_rings;
    *to_host = relay->ways[2 * region + 1].n_rings;
}

/* A ready time of the source would cost a wake-up of the loop each time it is set. */
static gboolean prepare(GSource *source, int *timeout_ms)
{
    const CvdRelay *relay = ((RelaySource *)source)->relay;
    gint64 left_us = relay->write_at_us - g_source_get_time(source);

    if (relay->write_at_us == 0)
        return FALSE;
    *timeout_ms = left_us > 0 ? (int)(left_us / 1000) + 1 : 0;
    return left_us <= 0;
}

static gboolean is_due(GSource *source)
{
    const CvdRelay *relay = ((RelaySource *)source)->relay;

    return relay->write_at_us != 0 && relay->write_at_us <= g_source_get_time(source);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    CvdRelay *relay = ((RelaySource *)source)->relay;

    if (is_due(source))
        write_records(relay);
    pass_on_some(relay);
    return G_SOURCE_CONTINUE;
}

static void attach_source(CvdRelay *relay, GMainContext *context)
{
    static GSourceFuncs funcs = {.prepare = prepare, .check = is_due, .dispatch = dispatch};

    relay->source = g_source_new(&funcs, sizeof(RelaySource));
    ((RelaySource *)relay->source)->relay = relay;
    g_source_set_static_name(relay->source, "doorbell relay");
    g_source_set_can_recurse(relay->source, TRUE);
    g_source_add_unix_fd(relay->source, relay->epoll_fd, G_IO_IN);
    g_source_attach(relay->source, context);
}

static gboolean watch_ways(CvdRelay *relay, GError **error)
{
    for (guint i = 0; i < relay->n_ways; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &relay->ways[i]};
        if (epoll_ctl(relay->epoll_fd, EPOLL_CTL_ADD, relay->ways[i].from, &event) < 0)
            return cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno,
                                       "doorbell relay: epoll_ctl");
    }
    return TRUE;
}

static void add_ways(CvdRelay *relay, const CvdDoorbells *of_host)
{
    const CvdDoorbells *of_vm = relay->of_vm;

    relay->ways = g_new0(Way, relay->n_ways);
    for (guint i = 0; i < relay->n_ways / 2; i++) {
        relay->ways[2 * i] = (Way){
            .from = cvd_doorbells_get_host_to_guest(of_host, i),
            .to = cvd_doorbells_get_host_to_guest(of_vm, i),
            .region = (guint16)i,
            .kind = CVD_TRACE_TO_GUEST,
        };
        relay->ways[2 * i + 1] = (Way){
            .from = cvd_doorbells_get_guest_to_host(of_vm, i),
            .to = cvd_doorbells_get_guest_to_host(of_host, i),
            .region = (guint16)i,
            .kind = CVD_TRACE_TO_HOST,
        };
    }
}

CvdRelay *cvd_relay_new(GMainContext *context, guint n_regions, const CvdDoorbells *of_host,
                        CvdTraceFile *take_file, GError **error)
{
    g_autoptr(CvdRelay) relay = g_new0(CvdRelay, 1);

    relay->file = take_file;
    relay->n_ways = 2 * n_regions;
    relay->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (relay->epoll_fd < 0) {
        cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "doorbell relay: epoll_create1");
        return NULL;
    }
    relay->of_vm = cvd_doorbells_new(n_regions, error);
    if (relay->of_vm == NULL)
        return NULL;
    add_ways(relay, of_host);
    relay->ringer = cvd_ringer_new(error);
    if (relay->ringer == NULL || !watch_ways(relay, error))
        return NULL;
    attach_source(relay, context);
    return g_steal_pointer(&relay);
}

void cvd_relay_free(CvdRelay *relay)
{
    if (relay->source != NULL) {
        pass_on_all(relay);
        g_source_destroy(relay->source);
        g_source_unref(relay->source);
    }
    g_clear_pointer(&relay->ringer, cvd_ringer_free);
    g_clear_pointer(&relay->of_vm, cvd_doorbells_free);
    cvd_close_fd(&relay->epoll_fd);
    cvd_trace_file_free(relay->file);
    g_free(relay->ways);
    g_free(relay);
}
