/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The incoming side: a blocking wait, and a source for a loop. Both look at the region's incoming
 * word before they sleep, poll the doorbell and the connection, and do one round over the table
 * when either the word is set or the doorbell was rung. The end of the connection comes before
 * anything from the guest, so that a guest that never stops signalling cannot hide it.
 *
 * A system call costs as much as all the rest of a round, so the blocking wait makes do with one:
 * epoll reports each ring once (EPOLLET), and the doorbell's count need not be taken. It is taken
 * at the end, so that the next who opens the region is not woken for nothing. A wait that can be
 * cancelled, and a loop, poll and read.
 */
#include "client/region-private.h"

#include "base/fd.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Returns: whether there is something to receive without a ring */
static gboolean is_pending(CvdRegion *region)
{
    const CvdMapping *mapping = region->link->mapping;
    struct vsoc_end end = cvd_mapping_get_end(mapping);

    if (mapping->is_read_only)
        return FALSE;
    return !region->has_received || vsoc_signals_are_waiting(&end) ||
           (region->retry_at != 0 && g_get_monotonic_time() >= region->retry_at);
}

static void wake_sleepers(const guint32 *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void take(void *offsets, guint32 offset)
{
    g_array_append_val((GArray *)offsets, offset);
}

static int compare(gconstpointer a, gconstpointer b)
{
    guint32 x = *(const guint32 *)a;
    guint32 y = *(const guint32 *)b;

    return x < y ? -1 : x > y;
}

/* A guest can put an offset into every slot: each is reported once. */
static void sort_and_unify(GArray *offsets)
{
    if (offsets->len < 2)
        return;
    g_array_sort(offsets, compare);

    guint32 *values = (guint32 *)(void *)offsets->data;
    guint n = 1;
    for (guint i = 1; i < offsets->len; i++)
        if (values[i] != values[n - 1])
            values[n++] = values[i];
    g_array_set_size(offsets, n);
}

/* Returns: (transfer full): what came, or %NULL if nothing did */
static GArray *receive(CvdRegion *region, gboolean was_rung)
{
    CvdMapping *mapping = region->link->mapping;
    struct vsoc_end end = cvd_mapping_get_end(mapping);

    if (mapping->is_read_only) /* whoever only looks takes nothing */
        return NULL;
    g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
    const struct vsoc_receiver receiver = {
        .first = 4, .last = (guint32)mapping->size - 4, .take = take, .data = offsets};
    unsigned result = vsoc_signals_receive(&end, &receiver);
    gboolean is_stalled = (result & VSOC_STALLED) != 0;

    region->has_received = TRUE;
    region->retry_at =
        is_stalled ? g_get_monotonic_time() + VSOC_RETRY_MS * G_TIME_SPAN_MILLISECOND : 0;
    if ((result & VSOC_MUST_RING) != 0)
        cvd_region_ring(region->link->host_to_guest, region->name, NULL);
    sort_and_unify(offsets);
    for (guint i = 0; i < offsets->len; i++)
        wake_sleepers((guint32 *)(void *)(mapping->base + g_array_index(offsets, guint32, i)));
    if ((result & VSOC_RECEIVED) != 0)
        was_rung = offsets->len > 0 || !is_stalled; /* the ring was for what is left */
    return was_rung ? g_steal_pointer(&offsets) : NULL;
}

static gboolean begin_waiting(CvdRegion *region)
{
    int doorbell_fd = region->link->guest_to_host, connection_fd = region->link->connection;
    struct epoll_event doorbell = {.events = EPOLLIN | EPOLLET, .data.fd = doorbell_fd};
    struct epoll_event connection = {.events = EPOLLIN, .data.fd = connection_fd};

    if (region->epoll_fd >= 0)
        return TRUE;
    cvd_autofd fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, doorbell_fd, &doorbell) < 0 ||
        epoll_ctl(fd, EPOLL_CTL_ADD, connection_fd, &connection) < 0)
        return FALSE;
    region->epoll_fd = g_steal_fd(&fd);
    return TRUE;
}

/* The server has nothing more to say: whatever comes is the end. */
static void connection_ended(CvdRegion *region)
{
    g_atomic_int_set(&region->link->is_closed, TRUE);
}

/* Returns: whether the doorbell was rung since the last look */
static gboolean look_at_epoll(CvdRegion *region, int timeout_ms)
{
    struct epoll_event events[2];
    gboolean was_rung = FALSE;
    int n = epoll_wait(region->epoll_fd, events, G_N_ELEMENTS(events), timeout_ms);

    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == region->link->connection)
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
    /* A ring that was not reported is left to whoever waits next. */
    gboolean is_rung = look_at_epoll(region, 0);
    cvd_close_fd(&region->epoll_fd);
    if (!is_rung)
        cvd_doorbell_take(region->link->guest_to_host);
}

/* Returns: how long to sleep when that may be @timeout_ms, or for ever if it is negative */
static int timeout_of(CvdRegion *region, int timeout_ms)
{
    if (is_pending(region))
        return 0;
    if (region->retry_at == 0)
        return timeout_ms;
    gint64 left_us = MAX(region->retry_at - g_get_monotonic_time(), 0);
    int left_ms = (int)((left_us + 999) / 1000);
    return timeout_ms < 0 ? left_ms : MIN(left_ms, timeout_ms);
}

/* Sleeps until something is there to look at. Returns: whether the doorbell was rung */
static gboolean sleep_in_poll(CvdRegion *region, const GPollFD *cancel, int timeout_ms)
{
    cvd_region_end_waiting(region);

    GPollFD fds[] = {
        {.fd = region->link->connection, .events = G_IO_IN},
        {.fd = region->link->guest_to_host, .events = G_IO_IN},
        cancel != NULL ? *cancel : (GPollFD){.fd = -1},
    };

    if (g_poll(fds, G_N_ELEMENTS(fds), timeout_of(region, timeout_ms)) <= 0)
        return FALSE;
    if (fds[0].revents != 0)
        connection_ended(region);
    return fds[1].revents != 0 && cvd_doorbell_take(region->link->guest_to_host);
}

static GArray *wait_polling(CvdRegion *region, int timeout_ms, GPollFD *cancel,
                            GCancellable *cancellable, GError **error)
{
    gint64 deadline_us = timeout_ms < 0 ? -1 : g_get_monotonic_time() + (gint64)timeout_ms * 1000;

    for (;;) {
        gboolean was_rung = cancel == NULL && begin_waiting(region)
                                ? look_at_epoll(region, timeout_of(region, timeout_ms))
                                : sleep_in_poll(region, cancel, timeout_ms);
        if (g_cancellable_set_error_if_cancelled(cancellable, error))
            return NULL;
        if (g_atomic_int_get(&region->link->is_closed)) {
            cvd_region_set_closed_error(region, error);
            return NULL;
        }
        GArray *offsets = was_rung || is_pending(region) ? receive(region, was_rung) : NULL;
        if (offsets != NULL)
            return offsets;
        if (deadline_us < 0)
            continue;
        gint64 left_us = deadline_us - g_get_monotonic_time();
        if (left_us <= 0) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                        "region '%s': the guest did not signal in time", region->name);
            return NULL;
        }
        timeout_ms = (int)((left_us + 999) / 1000);
    }
}

GArray *cvd_region_wait(CvdRegion *region, int timeout_ms, GCancellable *cancellable,
                        GError **error)
{
    g_return_val_if_fail(CVD_IS_REGION(region) && !region->is_started, NULL);
    if (!cvd_region_check_writable(region, region->link, error))
        return NULL;
    GPollFD cancel;

    if (g_atomic_int_get(&region->link->is_closed)) {
        cvd_region_set_closed_error(region, error);
        return NULL;
    }
    gboolean has_cancel = g_cancellable_make_pollfd(cancellable, &cancel);
    GArray *offsets =
        wait_polling(region, timeout_ms, has_cancel ? &cancel : NULL, cancellable, error);
    if (has_cancel)
        g_cancellable_release_fd(cancellable);
    return offsets;
}

/* Returns: whether the time limit is what ended it */
static gboolean sleep_on(const guint32 *word, guint value, int timeout_ms)
{
    struct timespec limit = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L};

    return syscall(SYS_futex, word, FUTEX_WAIT, value, timeout_ms < 0 ? NULL : &limit, NULL, 0) <
               0 &&
           errno == ETIMEDOUT;
}

/* What is to end a sleep early. */
typedef struct {
    const guint32 *word;
    GPollFD awake; /* readable once nobody sleeps any more */
    GPollFD connection;
    GPollFD cancel;
} Alarm;

/*
 * In a thread of its own, as nothing waits for a word and for descriptors at once. Whoever is to be
 * woken may not have fallen asleep yet.
 */
static gpointer wait_for_alarm(gpointer data)
{
    const Alarm *alarm = data;
    GPollFD fds[] = {alarm->awake, alarm->connection, alarm->cancel};

    g_poll(fds, G_N_ELEMENTS(fds), -1);
    for (int pause_ms = 0; g_poll(fds, 1, pause_ms) == 0; pause_ms = 1)
        wake_sleepers(alarm->word);
    return NULL;
}

static gboolean sleep_with_alarm(Alarm *alarm, guint value, int timeout_ms, gboolean *is_over,
                                 GError **error)
{
    cvd_autofd awake = eventfd(0, EFD_CLOEXEC);
    if (awake < 0) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED, "eventfd: %s",
                    g_strerror(errno));
        return FALSE;
    }
    alarm->awake = (GPollFD){.fd = awake, .events = G_IO_IN};
    GThread *thread = g_thread_try_new("cvd alarm", wait_for_alarm, alarm, error);
    if (thread == NULL)
        return FALSE;
    *is_over = sleep_on(alarm->word, value, timeout_ms);
    eventfd_write(awake, 1);
    g_thread_join(thread);
    return TRUE;
}

static gboolean sleep_on_link(CvdRegion *region, CvdRegionLink *link, Alarm *alarm, guint value,
                              int timeout_ms, gboolean *is_over, GError **error)
{
    if (__atomic_load_n(alarm->word, __ATOMIC_ACQUIRE) != value)
        return TRUE;
    if (cvd_region_link_is_closed(link))
        return cvd_region_set_closed_error(region, error);
    *is_over = timeout_ms == 0;
    if (!*is_over && !sleep_with_alarm(alarm, value, timeout_ms, is_over, error))
        return FALSE;
    if (!cvd_region_link_is_closed(link))
        return TRUE;
    /* A region that was opened anew is no closed one: there is another word to look at. */
    g_autoptr(CvdRegionLink) present = cvd_region_ref_link(region);
    return present != link || cvd_region_set_closed_error(region, error);
}

gboolean cvd_region_wait_word(CvdRegion *region, guint offset, guint value, int timeout_ms,
                              GCancellable *cancellable, GError **error)
{
    g_return_val_if_fail(CVD_IS_REGION(region), FALSE);
    g_autoptr(CvdRegionLink) link = cvd_region_ref_link(region);
    Alarm alarm = {
        .word = cvd_region_find_word(region, link, offset, error),
        .connection = {.fd = link->connection, .events = G_IO_IN},
        .cancel = {.fd = -1},
    };
    gboolean is_over = FALSE;

    if (alarm.word == NULL || g_cancellable_set_error_if_cancelled(cancellable, error))
        return FALSE;
    gboolean has_cancel = g_cancellable_make_pollfd(cancellable, &alarm.cancel);
    gboolean has_slept = sleep_on_link(region, link, &alarm, value, timeout_ms, &is_over, error);
    if (has_cancel)
        g_cancellable_release_fd(cancellable);
    if (!has_slept || g_cancellable_set_error_if_cancelled(cancellable, error))
        return FALSE;
    if (is_over)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT,
                    "region '%s': nobody signalled %u in time", region->name, offset);
    return !is_over;
}

typedef struct {
    GSource source;
    CvdRegion *region; /* a reference if @owns */
    gboolean owns;
    CvdRegionLink *link; /* its descriptors are watched */
    gpointer doorbell_tag;
    gpointer connection_tag;
} RegionSource;

static RegionSource *self_of(GSource *source)
{
    return (RegionSource *)(void *)source;
}

/* The region was opened anew. */
static gboolean is_stale(RegionSource *self)
{
    return self->link != self->region->link;
}

static gboolean prepare(GSource *source, int *timeout_ms)
{
    RegionSource *self = self_of(source);

    *timeout_ms = timeout_of(self->region, -1);
    return is_stale(self) || g_atomic_int_get(&self->region->link->is_closed) ||
           is_pending(self->region);
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
    if (is_stale(self) || g_atomic_int_get(&region->link->is_closed)) {
        cvd_region_set_closed_error(region, &error);
        offsets = g_array_new(FALSE, FALSE, sizeof(guint32));
        callback(region, offsets, error, user_data);
        return G_SOURCE_REMOVE;
    }
    offsets = receive(region, cvd_doorbell_take(region->link->guest_to_host));
    return offsets == NULL || callback(region, offsets, NULL, user_data);
}

static void finalize(GSource *source)
{
    RegionSource *self = self_of(source);

    cvd_region_link_unref(self->link);
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
    self->link = g_atomic_rc_box_acquire(region->link);
    if (owns)
        g_object_ref(region);
    self->doorbell_tag = g_source_add_unix_fd(source, self->link->guest_to_host, G_IO_IN);
    self->connection_tag = g_source_add_unix_fd(source, self->link->connection, G_IO_IN);
    g_source_set_name(source, "cvd region");
    return source;
}

GSource *cvd_region_source_new(CvdRegion *region)
{
    g_return_val_if_fail(
        CVD_IS_REGION(region) && !region->is_started && region->link->connection >= 0, NULL);
    return source_new(region, TRUE);
}

static gboolean emit(CvdRegion *region, GArray *offsets, const GError *error, gpointer data)
{
    if (error != NULL) {
        g_object_notify(G_OBJECT(region), "closed");
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
    if (!region->is_started || region->source != NULL || region->link->connection < 0)
        return;
    region->source = source_new(region, FALSE);
    g_source_set_callback(region->source, G_SOURCE_FUNC(emit), NULL, NULL);
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
