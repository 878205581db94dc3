/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/failure-record.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "launcher/config/layout-print.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define COPY_SIZE (64 * 1024)

/* ---- As JSON ---- */

static void add_string(JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name(builder, name);
    if (value == NULL) {
        json_builder_add_null_value(builder);
        return;
    }
    g_autofree char *valid = g_utf8_make_valid(value, -1);
    json_builder_add_string_value(builder, valid);
}

static void add_number(JsonBuilder *builder, const char *name, guint64 value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_int_value(builder, (gint64)value);
}

static void add_boolean(JsonBuilder *builder, const char *name, gboolean value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_boolean_value(builder, value);
}

static void add_strings(JsonBuilder *builder, const char *name, const char *const *values)
{
    json_builder_set_member_name(builder, name);
    json_builder_begin_array(builder);
    for (; values != NULL && *values != NULL; values++) {
        g_autofree char *valid = g_utf8_make_valid(*values, -1);
        json_builder_add_string_value(builder, valid);
    }
    json_builder_end_array(builder);
}

/* Texts that are JSON themselves. */
static void add_json_texts(JsonBuilder *builder, const char *name, char **texts)
{
    json_builder_set_member_name(builder, name);
    json_builder_begin_array(builder);
    for (; *texts != NULL; texts++)
        cvd_json_builder_add_text(builder, *texts);
    json_builder_end_array(builder);
}

static const char *name_event(CvdOnEvent event)
{
    switch (event) {
    case CVD_ON_EVENT_EXIT:
        return "exit";
    case CVD_ON_EVENT_CONTINUE:
        return "continue";
    case CVD_ON_EVENT_RESTART:
        return "restart";
    }
    g_assert_not_reached();
}

static const char *name_serial(CvdSerial serial)
{
    switch (serial) {
    case CVD_SERIAL_LOG:
        return "log";
    case CVD_SERIAL_STDIO:
        return "stdio";
    case CVD_SERIAL_NONE:
        return "none";
    }
    g_assert_not_reached();
}

static void begin(JsonBuilder *builder, const char *name)
{
    json_builder_set_member_name(builder, name);
    json_builder_begin_object(builder);
}

static void add_qemu(JsonBuilder *builder, const CvdQemuConfig *qemu)
{
    begin(builder, "qemu");
    add_string(builder, "binary", qemu->binary);
    add_string(builder, "machine", qemu->machine);
    add_strings(builder, "accel", (const char *const *)qemu->accel);
    add_string(builder, "cpu", qemu->cpu);
    add_string(builder, "smp", qemu->smp);
    add_number(builder, "memory", qemu->memory_bytes);
    add_string(builder, "kernel", qemu->kernel);
    add_string(builder, "initrd", qemu->initrd);
    add_string(builder, "append", qemu->append);
    add_string(builder, "firmware", qemu->firmware);
    add_json_texts(builder, "objects", qemu->objects);
    add_json_texts(builder, "blockdevs", qemu->blockdevs);
    add_json_texts(builder, "netdevs", qemu->netdevs);
    add_json_texts(builder, "devices", qemu->devices);
    add_string(builder, "serial", name_serial(qemu->serial));
    add_string(builder, "display", qemu->display);
    add_string(builder, "sandbox", qemu->sandbox);
    add_strings(builder, "extra_args", (const char *const *)qemu->extra_args);
    add_number(builder, "watchdog_s", qemu->watchdog_s);
    add_string(builder, "run_as", qemu->run_as != NULL ? qemu->run_as->user : NULL);
    json_builder_end_object(builder);
}

static void add_window(JsonBuilder *builder, const CvdWindowOptions *window)
{
    begin(builder, "window");
    add_string(builder, "backing", window->backing == CVD_WINDOW_MEMFD ? "memfd" : "posix-shm");
    add_string(builder, "path", window->path);
    add_number(builder, "hugepages", window->hugepage_size);
    add_boolean(builder, "prealloc", window->prealloc);
    json_builder_end_object(builder);
}

static void add_sockets(JsonBuilder *builder, const CvdConfig *config)
{
    g_autofree char *mode = g_strdup_printf("%04o", config->socket_mode);

    begin(builder, "sockets");
    add_string(builder, "vm", config->vm_socket);
    add_string(builder, "client", config->client_socket);
    add_string(builder, "legacy_client", config->legacy_socket);
    add_string(builder, "version_reply", config->version_reply);
    add_string(builder, "mode", mode);
    json_builder_end_object(builder);
}

static void add_lifecycle(JsonBuilder *builder, const CvdConfig *config)
{
    begin(builder, "lifecycle");
    add_string(builder, "stop", config->stop == CVD_STOP_QUIT ? "quit" : "powerdown");
    add_number(builder, "stop_timeout_s", config->stop_timeout_s);
    add_number(builder, "start_timeout_s", config->start_timeout_s);
    add_string(builder, "on_crash", name_event(config->on_crash));
    add_string(builder, "on_panic", name_event(config->on_panic));
    add_string(builder, "on_reboot", name_event(config->on_reboot));
    add_number(builder, "restart_limit", config->restart_limit);
    add_number(builder, "restart_delay_ms", config->restart_delay_ms);
    add_number(builder, "qmp_timeout_s", config->qmp_timeout_s);
    json_builder_end_object(builder);
}

static void add_access_rule(JsonBuilder *builder, const CvdAccessRule *rule)
{
    json_builder_begin_object(builder);
    if (rule->subject == CVD_SUBJECT_EVERYBODY)
        add_string(builder, "user", "*");
    else
        add_number(builder, rule->subject == CVD_SUBJECT_USER ? "user" : "group", rule->id);
    if (rule->regions == NULL)
        add_string(builder, "regions", "*");
    else
        add_strings(builder, "regions", (const char *const *)rule->regions);
    add_string(builder, "mode", rule->access == CVD_ACCESS_READ_ONLY ? "ro" : "rw");
    json_builder_end_object(builder);
}

static void add_access(JsonBuilder *builder, const CvdAccessRules *access)
{
    guint n_rules;

    if (access == NULL)
        return;
    const CvdAccessRule *rules = cvd_access_rules_get(access, &n_rules);

    json_builder_set_member_name(builder, "access");
    json_builder_begin_array(builder);
    for (guint i = 0; i < n_rules; i++)
        add_access_rule(builder, &rules[i]);
    json_builder_end_array(builder);
}

static void add_config(JsonBuilder *builder, const CvdConfig *config)
{
    g_autofree char *layout = cvd_layout_to_json(config->layout);
    g_autofree char *slot = g_strdup_printf("0x%x", config->ivshmem_slot);

    begin(builder, "config");
    add_string(builder, "name", config->name);
    json_builder_set_member_name(builder, "layout");
    cvd_json_builder_add_text(builder, layout);
    add_qemu(builder, &config->qemu);
    add_window(builder, &config->window);
    add_sockets(builder, config);
    add_access(builder, config->access);
    begin(builder, "limits");
    add_number(builder, "clients", config->max_clients);
    add_number(builder, "handshake_timeout_ms", config->handshake_timeout_ms);
    json_builder_end_object(builder);
    begin(builder, "ivshmem");
    add_string(builder, "address", slot);
    add_boolean(builder, "force_bus_master", config->ivshmem_force_bus_master);
    json_builder_end_object(builder);
    add_lifecycle(builder, config);
    json_builder_end_object(builder);
}

static void add_versions(JsonBuilder *builder)
{
    struct utsname system = {0};
    g_autofree char *glib =
        g_strdup_printf("%u.%u.%u", glib_major_version, glib_minor_version, glib_micro_version);

    uname(&system);
    begin(builder, "versions");
    add_string(builder, "cvd-launch", CVD_VERSION);
    add_string(builder, "kernel", system.release);
    add_string(builder, "glib", glib);
    json_builder_end_object(builder);
}

static char *to_json(const CvdRecord *record, const char *window)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format_iso8601(now);

    json_builder_begin_object(builder);
    add_string(builder, "time", time);
    add_versions(builder);
    add_string(builder, "state", record->state);
    add_string(builder, "reason", record->reason);
    add_number(builder, "restarts", record->restarts);
    add_string(builder, "window", window);
    add_strings(builder, "command", record->argv);
    add_strings(builder, "qmp", record->qmp_tail);
    add_config(builder, record->config);
    json_builder_end_object(builder);

    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    return cvd_json_to_string(root, TRUE);
}

char *cvd_record_to_json(const CvdRecord *record)
{
    return to_json(record, NULL);
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

/* Of huge pages the file system tells no holes: what nobody has written is zeros there. */
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

/* Holes stay holes, and are not read where the file system tells of them. A client can have made
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
    g_autofree char *text = to_json(record, window);

    if (!write_record(dir, text, &error))
        g_warning("the failure is not recorded: %s", error->message);
}
