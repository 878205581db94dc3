/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The incoming side: a blocking wait, and a source for a loop. Both look at the region's incoming
 * word before they sleep, poll the doorbell and the connection, and do one round over the table
 * when either the word is set or the doorbell was rung. The end of the connection comes before
 * anything from the guest, so that a guest that never stops signalling cannot hide it.
 *
 * A system call costs as much as all the rest of a round, so the blocking wait makes do with one:
 * epoll tells of each ring once (EPOLLET), and the doorbell's count need not be taken. It is taken
 * at the end, so that the next who opens the region is not woken for nothing. A wait that can be
 * cancelled, and a loop, poll and read.
 */
#include "client/region-private.h"

#include "base/fd.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

gboolean cvd_region_is_pending(CvdRegion *region)
{
    if (region->mapping->is_read_only)
        return FALSE;
    return !region->has_received ||
           cvd_signals_waiting(region->mapping->base, &region->mapping->in);
}

/*
 * Takes the doorbell's count. O_NONBLOCK is shared with QEMU, which may clear it.
 * Returns: whether it was rung
 */
static gboolean take_ring(int doorbell)
{
    guint64 count;
    struct iovec iov = {.iov_base = &count, .iov_len = sizeof count};
    gssize n;

    do
        n = preadv2(doorbell, &iov, 1, -1, RWF_NOWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
        /* Kernels before 5.8. */
        struct pollfd fd = {.fd = doorbell, .events = POLLIN};
        if (poll(&fd, 1, 0) == 1)
            n = read(doorbell, &count, sizeof count);
    }
    return n == sizeof count;
}

/* Returns: (transfer full): what came, or %NULL if nothing did */
static GArray *receive(CvdRegion *region, gboolean was_rung)
{
    CvdMapping *mapping = region->mapping;
    g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
    gboolean must_ring;

    if (mapping->is_read_only) /* whoever only looks takes nothing */
        return NULL;
    gboolean any = cvd_signals_receive(mapping->base, mapping->size, &mapping->in, &mapping->out,
                                       offsets, &must_ring);

    region->has_received = TRUE;
    if (must_ring)
        cvd_region_ring(region->host_to_guest, region->name, NULL);
    return any || was_rung ? g_steal_pointer(&offsets) : NULL;
}

static gboolean begin_waiting(CvdRegion *region)
{
    struct epoll_event doorbell = {.events = EPOLLIN | EPOLLET, .data.fd = region->guest_to_host};
    struct epoll_event connection = {.events = EPOLLIN, .data.fd = region->connection};

    if (region->epoll_fd >= 0)
        return TRUE;
    cvd_autofd fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, region->guest_to_host, &doorbell) < 0 ||
        epoll_ctl(fd, EPOLL_CTL_ADD, region->connection, &connection) < 0)
        return FALSE;
    region->epoll_fd = g_steal_fd(&fd);
    return TRUE;
}

/* The server has nothing more to say: whatever comes is the end. */
static void connection_ended(CvdRegion *region)
{
    g_atomic_int_set(&region->is_closed, TRUE);
}

/* Returns: whether the doorbell was rung since the last look */
static gboolean look_at_epoll(CvdRegion *region, int timeout_ms)
{
    struct epoll_event events[2];
    gboolean was_rung = FALSE;
    int n = epoll_wait(region->epoll_fd, events, G_N_ELEMENTS(events), timeout_ms);

    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == region->connection)
            connection_ended(region);
        else
            was_rung = TRUE;
    }
    return was_rung;
}

void cvd_region_end_waiting(CvdRegion *region)
{
    if (region->epoll_fd < 0)
        return;
    /* A ring that nobody was told of is left to whoever waits next. */
    gboolean is_rung = look_at_epoll(region, 0);
    cvd_close_fd(&region->epoll_fd);
    if (!is_rung)
        take_ring(region->guest_to_host);
}

static int timeout_of(CvdRegion *region, gint64 deadline_us)
{
    if (cvd_region_is_pending(region))
        return 0;
    if (deadline_us < 0)
        return -1;
    return (int)MIN((MAX(deadline_us - g_get_monotonic_time(), 0) + 999) / 1000, G_MAXINT);
}

/* Sleeps until something is there to look at. Returns: whether the doorbell was rung */
static gboolean sleep_in_poll(CvdRegion *region, const GPollFD *cancel, gint64 deadline_us)
{
    cvd_region_end_waiting(region);

    GPollFD fds[] = {
        {.fd = region->connection, .events = G_IO_IN},
        {.fd = region->guest_to_host, .events = G_IO_IN},
        cancel != NULL ? *cancel : (GPollFD){.fd = -1},
    };

    if (g_poll(fds, G_N_ELEMENTS(fds), timeout_of(region, deadline_us)) <= 0)
        return FALSE;
    if (fds[0].revents != 0)
        connection_ended(region);
    return fds[1].revents != 0 && take_ring(region->guest_to_host);
}

static GArray *wait_polling(CvdRegion *region, gint64 deadline_us, GPollFD *cancel,
                            GCancellable *cancellable, GError **error)
{
    for (;;) {
        gboolean was_rung = cancel == NULL && begin_waiting(region)
                                ? look_at_epoll(region, timeout_of(region, deadline_us))
                                : sleep_in_poll(region, cancel, deadline_us);
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return NULL;
        if (g_atomic_int_get(&region->is_closed)) {
            cvd_region_set_closed_error(region, error);
            return NULL;
        }
        GArray *offsets =
            was_rung || cvd_region_is_pending(region) ? receive(region, was_rung) : NULL;
        if (offsets != NULL)
            return offsets;
        if (deadline_us >= 0 && g_get_monotonic_time() >= deadline_us) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "region '%s': the guest did not signal in time", region->name);
            return NULL;
        }
    }
}

GArray *cvd_region_wait(CvdRegion *region, int timeout_ms, GCancellable *cancellable,
                        GError **error)
{
    g_return_val_if_fail(CVD_IS_REGION(region) && !region->is_started, NULL);
    if (!cvd_region_check_writable(region, error))
        return NULL;
    gint64 deadline_us = timeout_ms < 0 ? -1 : g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    GPollFD cancel;

    if (g_atomic_int_get(&region->is_closed)) {
        cvd_region_set_closed_error(region, error);
        return NULL;
    }
    gboolean has_cancel = g_cancellable_make_pollfd(cancellable, &cancel);
    GArray *offsets =
        wait_polling(region, deadline_us, has_cancel ? &cancel : NULL, cancellable, error);
    if (has_cancel)
        g_cancellable_release_fd(cancellable);
    return offsets;
}

/* If the region is opened anew meanwhile the kernel finds no word there: an early return. */
static gboolean sleep_on(const guint32 *word, guint value, int timeout_ms)
{
    struct timespec limit = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};

    return syscall(SYS_futex, word, FUTEX_WAIT, value, timeout_ms < 0 ? NULL : &limit, NULL, 0) ==
               0 ||
           errno != ETIMEDOUT;
}

gboolean cvd_region_wait_word(CvdRegion *region, guint offset, guint value, int timeout_ms,
                              GError **error)
{
    g_return_val_if_fail(CVD_IS_REGION(region), FALSE);

    g_rw_lock_reader_lock(&region->lock);
    const guint32 *word = cvd_region_find_word(region, offset, error);
    g_rw_lock_reader_unlock(&region->lock);
    if (word == NULL)
        return FALSE;
    if (sleep_on(word, value, timeout_ms))
        return TRUE;
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "region '%s': nobody signalled %u in time",
                region->name, offset);
    return FALSE;
}

typedef struct {
    GSource source;
    CvdRegion *region; /* a reference if @owns */
    gboolean owns;
    guint generation;
    gpointer doorbell_tag;
    gpointer connection_tag;
} RegionSource;

static RegionSource *self_of(GSource *source)
{
    return (RegionSource *)(void *)source;
}

/* Its descriptors are closed once the region was opened anew. */
static gboolean is_stale(RegionSource *self)
{
    return self->generation != self->region->generation;
}

static gboolean prepare(GSource *source, int *timeout_ms)
{
    RegionSource *self = self_of(source);

    *timeout_ms = -1;
    return is_stale(self) || g_atomic_int_get(&self->region->is_closed) ||
           cvd_region_is_pending(self->region);
}

static gboolean check(GSource *source)
{
    RegionSource *self = self_of(source);
    int timeout_ms;

    return prepare(source, &timeout_ms) ||
           g_source_query_unix_fd(source, self->doorbell_tag) != 0 ||
           g_source_query_unix_fd(source, self->connection_tag) != 0;
}

static gboolean dispatch(GSource *source, GSourceFunc function, gpointer user_data)
{
    RegionSource *self = self_of(source);
    g_autoptr(CvdRegion) region = g_object_ref(self->region);
    CvdRegionSourceFunc callback = (CvdRegionSourceFunc)(void (*)(void))function;
    g_autoptr(GArray) offsets = NULL;
    g_autoptr(GError) error = NULL;

    g_return_val_if_fail(callback != NULL, G_SOURCE_REMOVE);
    if (!is_stale(self) && g_source_query_unix_fd(source, self->connection_tag) != 0)
        connection_ended(region);
    if (is_stale(self) || g_atomic_int_get(&region->is_closed)) {
        cvd_region_set_closed_error(region, &error);
        offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
        callback(region, offsets, error, user_data);
        return G_SOURCE_REMOVE;
    }
    offsets = receive(region, take_ring(region->guest_to_host));
    return offsets == NULL || callback(region, offsets, NULL, user_data);
}

static void finalize(GSource *source)
{
    RegionSource *self = self_of(source);

    if (self->owns)
        g_object_unref(self->region);
}

static GSource *source_new(CvdRegion *region, gboolean owns)
{
    static GSourceFuncs functions = {
        .prepare = prepare, .check = check, .dispatch = dispatch, .finalize = finalize};
    GSource *source = g_source_new(&functions, sizeof(RegionSource));
    RegionSource *self = self_of(source);

    cvd_region_end_waiting(region);
    self->region = region;
    self->owns = owns;
    self->generation = region->generation;
    if (owns)
        g_object_ref(region);
    self->doorbell_tag = g_source_add_unix_fd(source, region->guest_to_host, G_IO_IN);
    self->connection_tag = g_source_add_unix_fd(source, region->connection, G_IO_IN);
    g_source_set_name(source, "cvd region");
    return source;
}

GSource *cvd_region_source_new(CvdRegion *region)
{
    g_return_val_if_fail(CVD_IS_REGION(region) && !region->is_started && region->connection >= 0,
                         NULL);
    return source_new(region, TRUE);
}

static gboolean tell(CvdRegion *region, GArray *offsets, const GError *error, gpointer data)
{
    if (error != NULL) {
        g_signal_emit_by_name(region, "closed");
        return G_SOURCE_REMOVE;
    }
    if (offsets->len == 0)
        g_signal_emit_by_name(region, "interrupted");
    for (guint i = 0; i < offsets->len; i++)
        g_signal_emit_by_name(region, "signalled", g_array_index(offsets, guint32, i));
    return G_SOURCE_CONTINUE;
}

void cvd_region_resume(CvdRegion *region)
{
    if (!region->is_started || region->source != NULL || region->connection < 0)
        return;
    region->source = source_new(region, FALSE);
    g_source_set_callback(region->source, G_SOURCE_FUNC(tell), NULL, NULL);
    g_source_attach(region->source, region->context);
}

void cvd_region_start(CvdRegion *region)
{
    g_return_if_fail(CVD_IS_REGION(region));
    region->is_started = TRUE;
    cvd_region_resume(region);
}

void cvd_region_stop(CvdRegion *region)
{
    g_return_if_fail(CVD_IS_REGION(region));
    region->is_started = FALSE;
    if (region->source != NULL) {
        g_source_destroy(region->source);
        g_clear_pointer(&region->source, g_source_unref);
    }
}
