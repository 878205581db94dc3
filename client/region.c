/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region is what a handshake gave: a mapping, two doorbells and the connection. Opening it anew
 * makes all of that first and then puts it in the place of the old under the lock, so that threads
 * that signal meanwhile use either the old or the new. Words are short work and done with the lock
 * held; what may take longer has a reference instead.
 */
#include "client/region.h"

#include "base/fd.h"
#include "client/region-private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PROP_SOCKET_PATH = 1,
    PROP_NAME,
    PROP_OBSERVER,
    PROP_WANTED_VERSION,
    PROP_VERSION,
    PROP_MIN_COMPATIBLE_VERSION,
    PROP_BEGIN,
    PROP_SIZE,
    PROP_DATA_OFFSET,
    PROP_READ_ONLY,
    PROP_CLOSED,
    N_PROPERTIES,
};

static GParamSpec *properties[N_PROPERTIES];

static void initable_init(GInitableIface *iface);
static void async_initable_init(GAsyncInitableIface *iface);
G_DEFINE_FINAL_TYPE_WITH_CODE(CvdRegion, cvd_region, G_TYPE_OBJECT,
                              G_IMPLEMENT_INTERFACE(G_TYPE_INITABLE, initable_init)
                                  G_IMPLEMENT_INTERFACE(G_TYPE_ASYNC_INITABLE, async_initable_init))

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

static void set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
    CvdRegion *region = CVD_REGION(object);

    if (id == PROP_SOCKET_PATH)
        region->socket_path = g_value_dup_string(value);
    else if (id == PROP_NAME)
        region->name = g_value_dup_string(value);
    else if (id == PROP_OBSERVER)
        region->is_observer = g_value_get_boolean(value);
    else
        region->version = g_value_get_uint(value);
}

static guint get_wanted_version(CvdRegion *region)
{
    return region->version;
}

static const struct {
    const char *name;
    guint (*get)(CvdRegion *region);
} numbers[] = {
    [PROP_WANTED_VERSION] = {"wanted-version", get_wanted_version},
    [PROP_VERSION] = {"version", cvd_region_get_version},
    [PROP_MIN_COMPATIBLE_VERSION] = {"min-compatible-version",
                                     cvd_region_get_min_compatible_version},
    [PROP_BEGIN] = {"begin", cvd_region_get_begin},
    [PROP_SIZE] = {"size", cvd_region_get_size},
    [PROP_DATA_OFFSET] = {"data-offset", cvd_region_get_data_offset},
};

static void get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    CvdRegion *region = CVD_REGION(object);

    if (G_VALUE_HOLDS_STRING(value))
        g_value_set_string(value, id == PROP_NAME ? region->name : region->socket_path);
    else if (id == PROP_OBSERVER)
        g_value_set_boolean(value, region->is_observer);
    else if (G_VALUE_HOLDS_BOOLEAN(value))
        g_value_set_boolean(value, id == PROP_READ_ONLY ? cvd_region_is_read_only(region)
                                                        : cvd_region_is_closed(region));
    else
        g_value_set_uint(value, numbers[id].get(region));
}

static void install_properties(GObjectClass *class)
{
    const GParamFlags construct =
        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;
    const GParamFlags read = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS;

    properties[PROP_SOCKET_PATH] = g_param_spec_string("socket-path", NULL, NULL, NULL, construct);
    properties[PROP_NAME] = g_param_spec_string("name", NULL, NULL, NULL, construct);
    properties[PROP_OBSERVER] = g_param_spec_boolean("observer", NULL, NULL, FALSE, construct);
    for (guint id = PROP_WANTED_VERSION; id <= PROP_DATA_OFFSET; id++)
        properties[id] = g_param_spec_uint(numbers[id].name, NULL, NULL, 0, G_MAXUINT, 0,
                                           id == PROP_WANTED_VERSION ? construct : read);
    properties[PROP_READ_ONLY] = g_param_spec_boolean("read-only", NULL, NULL, FALSE, read);
    properties[PROP_CLOSED] = g_param_spec_boolean("closed", NULL, NULL, TRUE, read);
    g_object_class_install_properties(class, N_PROPERTIES, properties);
}

static void cvd_region_class_init(CvdRegionClass *class)
{
    G_OBJECT_CLASS(class)->set_property = set_property;
    G_OBJECT_CLASS(class)->get_property = get_property;
    G_OBJECT_CLASS(class)->dispose = dispose;
    G_OBJECT_CLASS(class)->finalize = finalize;
    install_properties(G_OBJECT_CLASS(class));

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

gboolean cvd_region_adopt(CvdRegion *region, CvdHandshakeResult *result, GError **error)
{
    g_autoptr(CvdMapping) mapping =
        result->end > 0
            ? cvd_mapping_new(result->window, region->name, result->begin, result->end,
                              region->version, error)
            : cvd_mapping_new_by_name(result->window, region->name, region->version, error);
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
    for (guint id = PROP_VERSION; id < N_PROPERTIES; id++)
        g_object_notify_by_pspec(G_OBJECT(region), properties[id]);
    return TRUE;
}

static CvdHandshake *handshake_of(CvdRegion *region)
{
    CvdHandshake *handshake =
        cvd_handshake_new(region->socket_path, region->name, CVD_HANDSHAKE_LIMIT_MS);

    if (region->is_observer)
        cvd_handshake_observe(handshake);
    return handshake;
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
    gboolean is_open = cvd_region_adopt(region, cvd_handshake_get_result(handshake), error);
    /* A `closed` that was emitted is not emitted again: a handler that tries again would never end.
     */
    if (is_open || !g_atomic_int_get(&region->link->is_closed))
        cvd_region_resume(region);
    return is_open;
}

static gboolean open_blocking(CvdRegion *region, GCancellable *cancellable, GError **error)
{
    g_autoptr(CvdHandshake) handshake = handshake_of(region);

    return cvd_handshake_run(handshake, cancellable, error) && adopt_anew(region, handshake, error);
}

/* The source tags of results. */
static char open_tag, reopen_tag;

static void on_handshake(CvdHandshake *handshake, const GError *error, gpointer data)
{
    g_autoptr(GTask) task = g_object_ref(data);
    GError *problem = error != NULL ? g_error_copy(error) : NULL;

    if (problem == NULL && adopt_anew(g_task_get_source_object(task), handshake, &problem))
        g_task_return_boolean(task, TRUE);
    else
        g_task_return_error(task, problem);
}

static void open_async(CvdRegion *region, gpointer tag, GCancellable *cancellable,
                       GAsyncReadyCallback callback, gpointer user_data)
{
    g_autoptr(GTask) task = g_task_new(region, cancellable, callback, user_data);
    CvdHandshake *handshake = handshake_of(region);

    g_task_set_source_tag(task, tag);
    g_task_set_task_data(task, handshake, (GDestroyNotify)cvd_handshake_free);
    /* The handshake looks after that: what is cancelled later is open all the same. */
    g_task_set_check_cancellable(task, FALSE);

    g_autoptr(GSource) source = cvd_handshake_source_new(handshake, cancellable);
    g_source_set_callback(source, G_SOURCE_FUNC(on_handshake), g_object_ref(task), g_object_unref);
    g_source_attach(source, g_task_get_context(task));
}

static gboolean has_names(CvdRegion *region, GError **error)
{
    if (region->socket_path != NULL && region->name != NULL)
        return TRUE;
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_FAILED,
                "a region's socket-path and name must be set");
    return FALSE;
}

static gboolean init(GInitable *initable, GCancellable *cancellable, GError **error)
{
    CvdRegion *region = CVD_REGION(initable);

    return has_names(region, error) && open_blocking(region, cancellable, error);
}

static void initable_init(GInitableIface *iface)
{
    iface->init = init;
}

static void init_async(GAsyncInitable *initable, int priority, GCancellable *cancellable,
                       GAsyncReadyCallback callback, gpointer user_data)
{
    GError *error = NULL;

    if (has_names(CVD_REGION(initable), &error))
        open_async(CVD_REGION(initable), &open_tag, cancellable, callback, user_data);
    else
        g_task_report_error(initable, callback, user_data, &open_tag, error);
}

static gboolean init_finish(GAsyncInitable *initable, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

static void async_initable_init(GAsyncInitableIface *iface)
{
    iface->init_async = init_async;
    iface->init_finish = init_finish;
}

CvdRegion *cvd_region_open(const char *socket_path, const char *name, guint version,
                           GCancellable *cancellable, GError **error)
{
    g_return_val_if_fail(socket_path != NULL && name != NULL, NULL);
    return g_initable_new(CVD_TYPE_REGION, cancellable, error, "socket-path", socket_path, "name",
                          name, "wanted-version", version, NULL);
}

CvdRegion *cvd_region_observe(const char *socket_path, const char *name, guint version,
                              GCancellable *cancellable, GError **error)
{
    g_return_val_if_fail(socket_path != NULL && name != NULL, NULL);
    return g_initable_new(CVD_TYPE_REGION, cancellable, error, "socket-path", socket_path, "name",
                          name, "wanted-version", version, "observer", TRUE, NULL);
}

void cvd_region_open_async(const char *socket_path, const char *name, guint version,
                           GCancellable *cancellable, GAsyncReadyCallback callback,
                           gpointer user_data)
{
    g_return_if_fail(socket_path != NULL && name != NULL);
    g_async_initable_new_async(CVD_TYPE_REGION, G_PRIORITY_DEFAULT, cancellable, callback,
                               user_data, "socket-path", socket_path, "name", name,
                               "wanted-version", version, NULL);
}

CvdRegion *cvd_region_open_finish(GAsyncResult *result, GError **error)
{
    g_return_val_if_fail(g_async_result_is_tagged(result, &open_tag), NULL);
    g_autoptr(GObject) source = g_async_result_get_source_object(result);

    return (CvdRegion *)g_async_initable_new_finish(G_ASYNC_INITABLE(source), result, error);
}

/* Of an inherited region not everybody knows where to ask for it again. */
static gboolean has_socket(CvdRegion *region, GError **error)
{
    if (region->socket_path != NULL)
        return TRUE;
    g_set_error(
        error, CVD_REGION_ERROR, CVD_REGION_ERROR_NO_SERVER,
        "region '%s' was passed to this program, and CVD_CLIENT_SOCKET does not say where to "
        "open it again; end the program, which is then started with the next VM's regions",
        region->name);
    return FALSE;
}

gboolean cvd_region_reopen(CvdRegion *region, GCancellable *cancellable, GError **error)
{
    g_return_val_if_fail(CVD_IS_REGION(region) && region->name != NULL, FALSE);
    return has_socket(region, error) && open_blocking(region, cancellable, error);
}

void cvd_region_reopen_async(CvdRegion *region, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer user_data)
{
    g_return_if_fail(CVD_IS_REGION(region) && region->name != NULL);
    GError *error = NULL;

    if (has_socket(region, &error))
        open_async(region, &reopen_tag, cancellable, callback, user_data);
    else
        g_task_report_error(region, callback, user_data, &reopen_tag, error);
}

gboolean cvd_region_reopen_finish(CvdRegion *region, GAsyncResult *result, GError **error)
{
    g_return_val_if_fail(g_task_is_valid(result, region), FALSE);
    g_return_val_if_fail(g_async_result_is_tagged(result, &reopen_tag), FALSE);
    return g_task_propagate_boolean(G_TASK(result), error);
}

const char *cvd_region_get_name(CvdRegion *region)
{
    g_return_val_if_fail(CVD_IS_REGION(region), NULL);
    return region->name;
}

guint cvd_region_get_version(CvdRegion *region)
{
    g_return_val_if_fail(CVD_IS_REGION(region), 0);
    return region->link->mapping->descriptor.current_version;
}

guint cvd_region_get_min_compatible_version(CvdRegion *region)
{
    g_return_val_if_fail(CVD_IS_REGION(region), 0);
    return region->link->mapping->descriptor.min_compatible_version;
}

guint cvd_region_get_begin(CvdRegion *region)
{
    g_return_val_if_fail(CVD_IS_REGION(region), 0);
    return region->link->mapping->descriptor.region_begin_offset;
}

guint cvd_region_get_size(CvdRegion *region)
{
    g_return_val_if_fail(CVD_IS_REGION(region), 0);
    return (guint)region->link->mapping->size;
}

guint cvd_region_get_data_offset(CvdRegion *region)
{
    g_return_val_if_fail(CVD_IS_REGION(region), 0);
    return region->link->mapping->descriptor.offset_of_region_data;
}

gboolean cvd_region_is_read_only(CvdRegion *region)
{
    g_return_val_if_fail(CVD_IS_REGION(region), FALSE);
    return region->link->mapping->is_read_only;
}

gboolean cvd_region_check_writable(CvdRegion *region, const CvdRegionLink *link, GError **error)
{
    if (!link->mapping->is_read_only)
        return TRUE;
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_READ_ONLY, "region '%s': %s",
                region->name != NULL ? region->name : "",
                region->is_observer ? "it was opened only to look"
                                    : "this user may only read it (`access` in the instance's "
                                      "configuration)");
    return FALSE;
}

gpointer cvd_region_get_data(CvdRegion *region, gsize *size)
{
    g_return_val_if_fail(CVD_IS_REGION(region), NULL);
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
    g_return_val_if_fail(CVD_IS_REGION(region), TRUE);
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
    g_return_val_if_fail(CVD_IS_REGION(region), FALSE);
    g_rw_lock_reader_lock(&region->lock);
    guint32 *word = cvd_region_find_word(region, region->link, offset, error);
    if (word != NULL)
        *value = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    g_rw_lock_reader_unlock(&region->lock);
    return word != NULL;
}

gboolean cvd_region_store(CvdRegion *region, guint offset, guint value, GError **error)
{
    g_return_val_if_fail(CVD_IS_REGION(region), FALSE);
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
    g_return_val_if_fail(CVD_IS_REGION(region), FALSE);
    g_autoptr(CvdRegionLink) link = cvd_region_ref_link(region);

    return cvd_region_check_writable(region, link, error) &&
           check_bytes(region, link, offset, size, error) &&
           allocate(link->mapping, link->window, region->name, offset, size, error);
}

/* By a system call, which takes what has no memory for zeros, and does not allocate any. */
GBytes *cvd_region_read(CvdRegion *region, guint offset, gsize size, GError **error)
{
    g_return_val_if_fail(CVD_IS_REGION(region), NULL);
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
    g_return_val_if_fail(CVD_IS_REGION(region), FALSE);
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

/* Whether the guest can be signalled at all. */
static gboolean check_reachable(CvdRegion *region, const CvdRegionLink *link, GError **error)
{
    if (g_atomic_int_get(&link->is_closed))
        return cvd_region_set_closed_error(region, error);
    return cvd_region_check_writable(region, link, error);
}

gboolean cvd_region_signal(CvdRegion *region, guint offset, GError **error)
{
    g_return_val_if_fail(CVD_IS_REGION(region), FALSE);
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
    g_return_val_if_fail(CVD_IS_REGION(region), FALSE);
    g_autoptr(CvdRegionLink) link = cvd_region_ref_link(region);

    return check_reachable(region, link, error) &&
           cvd_region_ring(link->host_to_guest, region->name, error);
}
