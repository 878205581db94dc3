/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region is what a handshake gave: a mapping, two doorbells and the connection. Opening it anew
 * makes all of that first and then puts it in the place of the old under the lock, so that threads
 * that signal meanwhile use either the old or the new. Words are short work and done with the lock
 * held; what may take longer has a reference instead.
 */
#include "client/region.h"

#include "base/fd.h"
#include "client/handshake.h"
#include "client/region-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

G_DEFINE_FINAL_TYPE(CvdRegion, cvd_region, G_TYPE_OBJECT)

static void link_clear(gpointer data)
{
    CvdRegionLink *link = data;

    cvd_mapping_free(link->mapping);
    cvd_close_fd(&link->window);
    cvd_close_fd(&link->guest_to_host);
    cvd_close_fd(&link->host_to_guest);
    cvd_close_fd(&link->connection);
}

void cvd_region_link_unref(CvdRegionLink *link)
{
    g_atomic_rc_box_release_full(link, link_clear);
}

CvdRegionLink *cvd_region_ref_link(CvdRegion *region)
{
    g_rw_lock_reader_lock(&region->lock);
    CvdRegionLink *link = g_atomic_rc_box_acquire(region->link);
    g_rw_lock_reader_unlock(&region->lock);
    return link;
}

static void cvd_region_init(CvdRegion *region)
{
    g_rw_lock_init(&region->lock);
    region->context = g_main_context_ref_thread_default();
    /* Nothing is in reach and no call does anything until it is opened. */
    region->link = g_atomic_rc_box_new(CvdRegionLink);
    *region->link = (CvdRegionLink){
        .mapping = g_new0(CvdMapping, 1),
        .window = -1,
        .guest_to_host = -1,
        .host_to_guest = -1,
        .connection = -1,
        .is_closed = TRUE,
    };
    region->epoll_fd = -1;
}

static void dispose(GObject *object)
{
    cvd_region_stop(CVD_REGION(object));
    G_OBJECT_CLASS(cvd_region_parent_class)->dispose(object);
}

static void finalize(GObject *object)
{
    CvdRegion *region = CVD_REGION(object);

    cvd_region_end_waiting(region);
    cvd_region_link_unref(region->link);
    g_main_context_unref(region->context);
    g_rw_lock_clear(&region->lock);
    g_free(region->socket_path);
    g_free(region->name);
    G_OBJECT_CLASS(cvd_region_parent_class)->finalize(object);
}

static void cvd_region_class_init(CvdRegionClass *class)
{
    G_OBJECT_CLASS(class)->dispose = dispose;
    G_OBJECT_CLASS(class)->finalize = finalize;

    g_signal_new("signalled", CVD_TYPE_REGION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE,
                 1, G_TYPE_UINT);
    g_signal_new("interrupted", CVD_TYPE_REGION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                 G_TYPE_NONE, 0);
    g_signal_new("closed", CVD_TYPE_REGION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

gboolean cvd_region_ring(int doorbell, const char *name, GError **error)
{
    const guint64 one = 1;
    struct pollfd room = {.fd = doorbell, .events = POLLOUT};
    gssize n;

    /* Anybody who has the description may have made it blocking; a counter that is full was rung.
     * The flag is asked first, as that costs less than a look at the counter. */
    if ((fcntl(doorbell, F_GETFL) & O_NONBLOCK) == 0 && poll(&room, 1, 0) == 0)
        return TRUE;
    do
        n = write(doorbell, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    if (n == sizeof one || errno == EAGAIN)
        return TRUE;
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED,
                "region '%s': cannot ring the guest: %s", name, g_strerror(errno));
    return FALSE;
}

static gboolean allocate(const CvdMapping *mapping, int window, const char *name, gsize offset,
                         gsize size, GError **error)
{
    if (size == 0 ||
        TEMP_FAILURE_RETRY(fallocate(window, FALLOC_FL_KEEP_SIZE,
                                     (off_t)(mapping->descriptor.region_begin_offset + offset),
                                     (off_t)size)) == 0 ||
        errno == EOPNOTSUPP)
        return TRUE;
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED,
                "region '%s': no memory for its %" G_GSIZE_FORMAT " bytes at 0x%" G_GSIZE_MODIFIER
                "x: %s; is /dev/shm full, or are the huge pages used up?",
                name, size, offset, g_strerror(errno));
    return FALSE;
}

/* Takes the handshake's result over. After a failure the region is as it was. */
static gboolean adopt(CvdRegion *region, CvdHandshake *handshake, GError **error)
{
    CvdHandshakeResult *result = cvd_handshake_get_result(handshake);
    g_autoptr(CvdMapping) mapping = cvd_mapping_new(result->window, region->name, result->begin,
                                                    result->end, region->version, error);
    if (mapping == NULL)
        return FALSE;
    if (!mapping->is_read_only) {
        struct vsoc_end end = cvd_mapping_get_end(mapping);
        /* The tables come before the data. */
        if (!allocate(mapping, result->window, region->name, 0,
                      mapping->descriptor.offset_of_region_data, error) ||
            (vsoc_signals_must_ring(&end) &&
             !cvd_region_ring(result->host_to_guest, region->name, error)))
            return FALSE;
    }

    cvd_region_end_waiting(region);
    CvdRegionLink *old = region->link;
    CvdRegionLink *link = g_atomic_rc_box_new(CvdRegionLink);
    *link = (CvdRegionLink){
        .mapping = g_steal_pointer(&mapping),
        .window = g_steal_fd(&result->window),
        .guest_to_host = g_steal_fd(&result->guest_to_host),
        .host_to_guest = g_steal_fd(&result->host_to_guest),
        .connection = g_steal_fd(&result->connection),
    };
    g_rw_lock_writer_lock(&region->lock);
    region->link = link;
    g_rw_lock_writer_unlock(&region->lock);

    /* Wakes who sleeps on a word of the old mapping, which is kept as long as they do. */
    if (old->connection >= 0)
        shutdown(old->connection, SHUT_RDWR);
    cvd_region_link_unref(old);
    region->has_received = FALSE;
    region->retry_at = 0;
    return TRUE;
}

static CvdRegion *region_new(const char *socket_path, const char *name, guint version)
{
    CvdRegion *region = g_object_new(CVD_TYPE_REGION, NULL);

    region->socket_path = g_strdup(socket_path);
    region->name = g_strdup(name);
    region->version = version;
    return region;
}

static CvdHandshake *handshake_of(CvdRegion *region)
{
    return cvd_handshake_new(region->socket_path, region->name, CVD_HANDSHAKE_LIMIT_MS);
}

static gboolean open_blocking(CvdRegion *region, GCancellable *cancellable, GError **error)
{
    g_autoptr(CvdHandshake) handshake = handshake_of(region);

    return cvd_handshake_run(handshake, cancellable, error) && adopt(region, handshake, error);
}

CvdRegion *cvd_region_open(const char *socket_path, const char *name, guint version,
                           GCancellable *cancellable, GError **error)
{
    g_return_val_if_fail(socket_path != NULL && name != NULL, NULL);
    g_autoptr(CvdRegion) region = region_new(socket_path, name, version);

    if (!open_blocking(region, cancellable, error))
        return NULL;
    return g_steal_pointer(&region);
}

/* The old descriptors must not be polled any more when they are closed. */
static void close_source(CvdRegion *region)
{
    gboolean is_started = region->is_started;

    cvd_region_stop(region);
    region->is_started = is_started;
}

static gboolean adopt_anew(CvdRegion *region, CvdHandshake *handshake, GError **error)
{
    close_source(region);
    gboolean is_open = adopt(region, handshake, error);
    /* A `closed` that was told is not told again: a handler that tries again would never end. */
    if (is_open || !g_atomic_int_get(&region->link->is_closed))
        cvd_region_resume(region);
    return is_open;
}

gboolean cvd_region_reopen(CvdRegion *region, GCancellable *cancellable, GError **error)
{
    g_return_val_if_fail(CVD_IS_REGION(region) && region->name != NULL, FALSE);
    g_autoptr(CvdHandshake) handshake = handshake_of(region);

    return cvd_handshake_run(handshake, cancellable, error) && adopt_anew(region, handshake, error);
}

/* They tell what a result is of. */
static char open_tag, reopen_tag;

/* What an opening in progress has. */
typedef struct {
    CvdRegion *region;
    CvdHandshake *handshake;
    gboolean is_first;
} Opening;

static void opening_free(Opening *opening)
{
    g_object_unref(opening->region);
    cvd_handshake_free(opening->handshake);
    g_free(opening);
}

static void on_handshake(CvdHandshake *handshake, const GError *error, gpointer data)
{
    g_autoptr(GTask) task = g_object_ref(data);
    Opening *opening = g_task_get_task_data(task);
    GError *problem = error != NULL ? g_error_copy(error) : NULL;

    if (problem == NULL) {
        if (opening->is_first)
            adopt(opening->region, handshake, &problem);
        else
            adopt_anew(opening->region, handshake, &problem);
    }
    if (problem != NULL)
        g_task_return_error(task, problem);
    else
        g_task_return_pointer(task, g_object_ref(opening->region), g_object_unref);
}

static void begin_opening(GTask *task, CvdRegion *region, gboolean is_first)
{
    Opening *opening = g_new(Opening, 1);

    *opening = (Opening){
        .region = g_object_ref(region), .handshake = handshake_of(region), .is_first = is_first};
    g_task_set_task_data(task, opening, (GDestroyNotify)opening_free);
    /* The handshake looks after that: what is cancelled later is open all the same. */
    g_task_set_check_cancellable(task, FALSE);

    g_autoptr(GSource) source =
        cvd_handshake_source_new(opening->handshake, g_task_get_cancellable(task));
    g_source_set_callback(source, G_SOURCE_FUNC(on_handshake), g_object_ref(task), g_object_unref);
    g_source_attach(source, g_task_get_context(task));
}

void cvd_region_open_async(const char *socket_path, const char *name, guint version,
                           GCancellable *cancellable, GAsyncReadyCallback callback,
                           gpointer user_data)
{
    g_return_if_fail(socket_path != NULL && name != NULL);
    g_autoptr(GTask) task = g_task_new(NULL, cancellable, callback, user_data);
    g_autoptr(CvdRegion) region = region_new(socket_path, name, version);

    g_task_set_source_tag(task, &open_tag);
    begin_opening(task, region, TRUE);
}

CvdRegion *cvd_region_open_finish(GAsyncResult *result, GError **error)
{
    g_return_val_if_fail(g_async_result_is_tagged(result, &open_tag), NULL);
    return g_task_propagate_pointer(G_TASK(result), error);
}

void cvd_region_reopen_async(CvdRegion *region, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer user_data)
{
    g_return_if_fail(CVD_IS_REGION(region) && region->name != NULL);
    g_autoptr(GTask) task = g_task_new(region, cancellable, callback, user_data);

    g_task_set_source_tag(task, &reopen_tag);
    begin_opening(task, region, FALSE);
}

gboolean cvd_region_reopen_finish(CvdRegion *region, GAsyncResult *result, GError **error)
{
    g_return_val_if_fail(g_task_is_valid(result, region), FALSE);
    g_return_val_if_fail(g_async_result_is_tagged(result, &reopen_tag), FALSE);
    g_autoptr(CvdRegion) opened = g_task_propagate_pointer(G_TASK(result), error);

    return opened != NULL;
}

const char *cvd_region_get_name(CvdRegion *region)
{
    return region->name;
}

guint cvd_region_get_version(CvdRegion *region)
{
    return region->link->mapping->descriptor.current_version;
}

guint cvd_region_get_min_compatible_version(CvdRegion *region)
{
    return region->link->mapping->descriptor.min_compatible_version;
}

guint cvd_region_get_begin(CvdRegion *region)
{
    return region->link->mapping->descriptor.region_begin_offset;
}

guint cvd_region_get_size(CvdRegion *region)
{
    return (guint)region->link->mapping->size;
}

guint cvd_region_get_data_offset(CvdRegion *region)
{
    return region->link->mapping->descriptor.offset_of_region_data;
}

gboolean cvd_region_is_read_only(CvdRegion *region)
{
    return region->link->mapping->is_read_only;
}

gboolean cvd_region_check_writable(CvdRegion *region, const CvdRegionLink *link, GError **error)
{
    if (!link->mapping->is_read_only)
        return TRUE;
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_READ_ONLY,
                "region '%s': this user may only read it (`access` in the instance's "
                "configuration)",
                region->name != NULL ? region->name : "");
    return FALSE;
}

gpointer cvd_region_get_data(CvdRegion *region, gsize *size)
{
    CvdMapping *mapping = region->link->mapping;

    if (size != NULL)
        *size = mapping->size - mapping->descriptor.offset_of_region_data;
    return mapping->base == NULL ? NULL : mapping->base + mapping->descriptor.offset_of_region_data;
}

gboolean cvd_region_link_is_closed(CvdRegionLink *link)
{
    struct pollfd fd = {.fd = link->connection, .events = POLLIN};

    /* The server has nothing more to say: whatever comes is the end. */
    if (!g_atomic_int_get(&link->is_closed) && poll(&fd, 1, 0) == 1)
        g_atomic_int_set(&link->is_closed, TRUE);
    return g_atomic_int_get(&link->is_closed);
}

gboolean cvd_region_is_closed(CvdRegion *region)
{
    return cvd_region_link_is_closed(region->link);
}

gboolean cvd_region_set_closed_error(CvdRegion *region, GError **error)
{
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED,
                "region '%s': the server has closed the connection: the VM has ended or begins "
                "anew; open the region again",
                region->name != NULL ? region->name : "");
    return FALSE;
}

static gboolean set_offset_error(CvdRegion *region, const CvdRegionLink *link, guint offset,
                                 GError **error)
{
    g_set_error(
        error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_OFFSET,
        "region '%s': %u is not the offset of a word: a multiple of 4 below %" G_GSIZE_FORMAT,
        region->name != NULL ? region->name : "", offset, link->mapping->size);
    return FALSE;
}

guint32 *cvd_region_find_word(CvdRegion *region, const CvdRegionLink *link, guint offset,
                              GError **error)
{
    CvdMapping *mapping = link->mapping;

    if (offset % 4 == 0 && mapping->size >= 4 && offset <= mapping->size - 4)
        return (guint32 *)(void *)(mapping->base + offset);
    set_offset_error(region, link, offset, error);
    return NULL;
}

gboolean cvd_region_load(CvdRegion *region, guint offset, guint *value, GError **error)
{
    g_rw_lock_reader_lock(&region->lock);
    guint32 *word = cvd_region_find_word(region, region->link, offset, error);
    if (word != NULL)
        *value = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    g_rw_lock_reader_unlock(&region->lock);
    return word != NULL;
}

gboolean cvd_region_store(CvdRegion *region, guint offset, guint value, GError **error)
{
    g_rw_lock_reader_lock(&region->lock);
    guint32 *word = cvd_region_check_writable(region, region->link, error)
                        ? cvd_region_find_word(region, region->link, offset, error)
                        : NULL;
    if (word != NULL)
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
    g_rw_lock_reader_unlock(&region->lock);
    return word != NULL;
}

static gboolean check_bytes(CvdRegion *region, const CvdRegionLink *link, guint offset, gsize size,
                            GError **error)
{
    CvdMapping *mapping = link->mapping;

    if (offset <= mapping->size && size <= mapping->size - offset && mapping->base != NULL)
        return TRUE;
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_OFFSET,
                "region '%s': %" G_GSIZE_FORMAT
                " bytes at %u are not in it: it has %" G_GSIZE_FORMAT " bytes",
                region->name != NULL ? region->name : "", size, offset, mapping->size);
    return FALSE;
}

gboolean cvd_region_allocate(CvdRegion *region, guint offset, gsize size, GError **error)
{
    g_autoptr(CvdRegionLink) link = cvd_region_ref_link(region);

    return cvd_region_check_writable(region, link, error) &&
           check_bytes(region, link, offset, size, error) &&
           allocate(link->mapping, link->window, region->name, offset, size, error);
}

/* By a system call, which takes what has no memory for zeros, and does not allocate any. */
GBytes *cvd_region_read(CvdRegion *region, guint offset, gsize size, GError **error)
{
    g_autoptr(CvdRegionLink) link = cvd_region_ref_link(region);
    if (!check_bytes(region, link, offset, size, error))
        return NULL;

    g_autofree guint8 *bytes = g_malloc(size);
    for (gsize done = 0; done < size;) {
        gssize n = TEMP_FAILURE_RETRY(
            pread(link->window, bytes + done, size - done,
                  (off_t)(link->mapping->descriptor.region_begin_offset + offset + done)));
        if (n <= 0) {
            g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED,
                        "region '%s': cannot read the window: %s", region->name,
                        n < 0 ? g_strerror(errno) : "it ends there");
            return NULL;
        }
        done += (gsize)n;
    }
    return g_bytes_new_take(g_steal_pointer(&bytes), size);
}

gboolean cvd_region_write(CvdRegion *region, guint offset, GBytes *bytes, GError **error)
{
    g_autoptr(CvdRegionLink) link = cvd_region_ref_link(region);
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);

    if (!cvd_region_check_writable(region, link, error) ||
        !check_bytes(region, link, offset, size, error) ||
        !allocate(link->mapping, link->window, region->name, offset, size, error))
        return FALSE;
    if (size > 0)
        memcpy(link->mapping->base + offset, data, size);
    return TRUE;
}

/* Whether the guest can be told anything at all. */
static gboolean check_reachable(CvdRegion *region, const CvdRegionLink *link, GError **error)
{
    if (g_atomic_int_get(&link->is_closed))
        return cvd_region_set_closed_error(region, error);
    return cvd_region_check_writable(region, link, error);
}

gboolean cvd_region_signal(CvdRegion *region, guint offset, GError **error)
{
    g_autoptr(CvdRegionLink) link = cvd_region_ref_link(region);
    struct vsoc_end end = cvd_mapping_get_end(link->mapping);

    if (!check_reachable(region, link, error))
        return FALSE;
    if (offset == 0)
        return set_offset_error(region, link, offset, error);
    if (cvd_region_find_word(region, link, offset, error) == NULL)
        return FALSE;
    switch (vsoc_signals_send(&end, offset)) {
    case VSOC_SEND_DONE:
        return TRUE;
    case VSOC_SEND_RING:
        return cvd_region_ring(link->host_to_guest, region->name, error);
    case VSOC_SEND_FULL:
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_TABLE_FULL,
                    "region '%s': all %u slots of its signal table are taken: the guest does not "
                    "receive, or the table is too small (host_to_guest_signal_table)",
                    region->name, 1U << end.region->host_to_guest_signal_table.num_nodes_lg2);
        return FALSE;
    }
    g_assert_not_reached();
}

gboolean cvd_region_interrupt(CvdRegion *region, GError **error)
{
    g_autoptr(CvdRegionLink) link = cvd_region_ref_link(region);

    return check_reachable(region, link, error) &&
           cvd_region_ring(link->host_to_guest, region->name, error);
}
