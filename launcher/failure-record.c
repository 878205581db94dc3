/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/failure-record.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "launcher/config/config.h"
#include "launcher/config/types.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define COPY_SIZE (64 * 1024)

/* ---- As JSON ---- */

static void set_string(JsonObject *object, const char *name, const char *value)
{
    json_object_set_member(object, name,
                           value != NULL ? cvd_string_node(value) : json_node_new(JSON_NODE_NULL));
}

static JsonObject *print_versions(void)
{
    JsonObject *versions = json_object_new();
    struct utsname system = {0};
    g_autofree char *glib =
        g_strdup_printf("%u.%u.%u", glib_major_version, glib_minor_version, glib_micro_version);

    uname(&system);
    json_object_set_string_member(versions, "cvd-launch", CVD_VERSION);
    json_object_set_string_member(versions, "kernel", system.release);
    json_object_set_string_member(versions, "glib", glib);
    return versions;
}

char *cvd_record_to_json(const CvdRecord *record)
{
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format_iso8601(now);
    JsonObject *object = json_object_new();

    json_node_take_object(root, object);
    json_object_set_string_member(object, "time", time);
    json_object_set_object_member(object, "versions", print_versions());
    json_object_set_string_member(object, "state", record->state);
    set_string(object, "reason", record->reason);
    set_string(object, "from", record->from);
    json_object_set_int_member(object, "restarts", record->restarts);
    set_string(object, "window", record->window);
    json_object_set_member(object, "command", cvd_strings_node(record->argv));
    json_object_set_member(object, "qmp", cvd_strings_node(record->qmp_tail));
    json_object_set_member(object, "config", cvd_config_to_json(record->config));
    return cvd_json_to_string(root, TRUE);
}

/* ---- In files ---- */

static gboolean write_all(int fd, const char *bytes, gsize size, off_t offset)
{
    while (size > 0) {
        gssize n = pwrite(fd, bytes, size, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return FALSE;
        bytes += n;
        size -= (gsize)n;
        offset += n;
    }
    return TRUE;
}

/* Of huge pages the file system knows no holes: what nobody has written is zeros there. */
static gboolean write_data(int fd, const char *bytes, gsize size, off_t offset)
{
    static const char zeros[4096];

    for (gsize i = 0; i < size; i += sizeof zeros) {
        gsize n = MIN(sizeof zeros, size - i);
        if (memcmp(bytes + i, zeros, n) != 0 && !write_all(fd, bytes + i, n, offset + (off_t)i))
            return FALSE;
    }
    return TRUE;
}

/* Holes stay holes, and are not read where the file system knows of them. A client can have made
 * the window larger than @size, which is its own. */
static gboolean copy_sparse(int from, int to, off_t size)
{
    g_autofree char *bytes = g_malloc(COPY_SIZE);

    if (ftruncate(to, size) < 0)
        return FALSE;
    for (off_t at = 0; at < size;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data >= size || (data < 0 && errno == ENXIO))
            break;
        at = MAX(at, data);
        gssize n = pread(from, bytes, (gsize)MIN(size - at, COPY_SIZE), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || !write_data(to, bytes, (gsize)n, at))
            return FALSE;
        at += n;
    }
    return TRUE;
}

/* Returns: (transfer full): why the window is to be left out; NULL if it is not */
static char *check_room(CvdInstanceDir *dir, const struct stat *window, guint64 size)
{
    struct statvfs fs;
    guint64 data = MIN(512 * (guint64)window->st_blocks, size);

    if (data > CVD_RECORD_MAX_WINDOW_DATA)
        return g_strdup_printf("left out: it has more than %d MiB of data",
                               CVD_RECORD_MAX_WINDOW_DATA / (1024 * 1024));
    if (statvfs(cvd_instance_dir_get_path(dir), &fs) == 0 &&
        data > (guint64)fs.f_bavail * fs.f_frsize / 4)
        return g_strdup("left out: it would take more than a quarter of the free space");
    return NULL;
}

/* Returns: (transfer full): what the record says of the window */
static char *write_window(CvdInstanceDir *dir, int window_fd, guint64 size)
{
    g_autoptr(GError) error = NULL;
    struct stat st;

    if (window_fd < 0 || fstat(window_fd, &st) < 0)
        return g_strdup("left out: there is none");
    char *why_not = check_room(dir, &st, size);
    if (why_not != NULL)
        return why_not;
    cvd_autofd fd = cvd_instance_dir_create_file(dir, CVD_RECORD_WINDOW_FILE, &error);
    if (fd < 0)
        return g_strdup_printf("left out: %s", error->message);
    if (!copy_sparse(window_fd, fd, (off_t)size))
        return g_strdup_printf("incomplete: %s", g_strerror(errno));
    return g_strdup(CVD_RECORD_WINDOW_FILE);
}

/* Half a record would be taken for a whole one. */
static gboolean write_record(CvdInstanceDir *dir, const char *text, GError **error)
{
    cvd_autofd fd = cvd_instance_dir_create_file(dir, CVD_RECORD_FILE, error);

    if (fd < 0 || write_all(fd, text, strlen(text), 0))
        return fd >= 0;
    cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s/%s: cannot write",
                        cvd_instance_dir_get_path(dir), CVD_RECORD_FILE);
    G_GNUC_UNUSED int result = ftruncate(fd, 0);
    return FALSE;
}

void cvd_record_write(CvdInstanceDir *dir, const CvdRecord *record, int window_fd)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *window = write_window(dir, window_fd, record->config->layout->window_size);
    CvdRecord whole = *record;

    whole.window = window;
    g_autofree char *text = cvd_record_to_json(&whole);
    if (!write_record(dir, text, &error))
        g_warning("the failure is not recorded: %s", error->message);
}
