/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything about an instance in one compressed tar file: of one that runs the launcher gives the
 * record and the window, one that failed has left them in its directory.
 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_SIZE (64 * 1024)
/* Of the record of a failure, and of a window: docs/window.md. */
#define MAX_RECORD (16 * 1024 * 1024)
#define MAX_WINDOW ((off_t)1 << 31)

typedef struct {
    struct archive *archive;
    GCancellable *cancellable;
    const char *path;
    char *top; /* the directory that everything is in */
    GString *contents;
} Report;

static gboolean fail(Report *report, GError **error)
{
    return cvd_fail(error, CVD_ERROR_FAILED, "%s: %s", report->path,
                    archive_error_string(report->archive));
}

/* Where the file has data up to @size; one piece with all of it where the file system does not
 * say. */
static void add_data_map(struct archive_entry *entry, int fd, off_t size)
{
    off_t end = 0;
    guint n_pieces = 0;

    for (;;) {
        off_t begin = lseek(fd, end, SEEK_DATA);
        if (begin >= size || (begin < 0 && errno == ENXIO))
            break;
        end = begin < 0 ? -1 : lseek(fd, begin, SEEK_HOLE);
        if (end < 0) {
            archive_entry_sparse_clear(entry);
            return;
        }
        end = MIN(end, size);
        archive_entry_sparse_add_entry(entry, begin, end - begin);
        n_pieces++;
    }
    /* A hole at the end, or nothing but one, shows in a piece without length. */
    if (end < size || n_pieces == 0)
        archive_entry_sparse_add_entry(entry, size, 0);
}

/* @fd: of a file that is to be packed as the sparse one that it may be; −1: there is none */
static gboolean begin_entry(Report *report, const char *name, int fd, off_t size, time_t mtime,
                            GError **error)
{
    struct archive_entry *entry = archive_entry_new();
    g_autofree char *path = g_strdup_printf("%s/%s", report->top, name);

    archive_entry_set_pathname(entry, path);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0600);
    archive_entry_set_size(entry, size);
    archive_entry_set_mtime(entry, mtime, 0);
    if (fd >= 0)
        add_data_map(entry, fd, size);
    gboolean is_begun = archive_write_header(report->archive, entry) == ARCHIVE_OK;
    archive_entry_free(entry);
    g_string_append_printf(report->contents, "%s%s%s", report->contents->len > 0 ? ", " : "", name,
                           size == 0 ? " (empty)" : "");
    return is_begun || fail(report, error);
}

static gboolean add_text(Report *report, const char *name, const char *text, GError **error)
{
    gsize size = strlen(text);

    return begin_entry(report, name, -1, (off_t)size, time(NULL), error) &&
           (archive_write_data(report->archive, text, size) == (gssize)size || fail(report, error));
}

/* The archive takes of these bytes what its map says is data. */
static gboolean write_content(Report *report, int fd, off_t size, GError **error)
{
    g_autofree char *bytes = g_malloc(COPY_SIZE);

    for (off_t at = 0; at < size;) {
        if (g_cancellable_set_error_if_cancelled(report->cancellable, error))
            return FALSE;
        gssize n = pread(fd, bytes, (gsize)MIN(size - at, COPY_SIZE), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* it became shorter; the archive fills it up */
            return TRUE;
        if (archive_write_data(report->archive, bytes, (gsize)n) < 0)
            return fail(report, error);
        at += n;
    }
    return TRUE;
}

/* A client can make a window with a name larger than it is, and the owner of the directory any
 * file; no more than @max_size of it is packed. */
static gboolean add_fd(Report *report, const char *name, int fd, off_t max_size, GError **error)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return TRUE;
    off_t size = MIN(st.st_size, max_size);
    return begin_entry(report, name, fd, size, st.st_mtime, error) &&
           write_content(report, fd, size, error);
}

/* Of an instance that runs, the window is the last failure's. */
static gboolean add_files(Report *report, int dir_fd, gboolean is_running, GError **error)
{
    const struct {
        const char *name;
        const char *as;
        off_t max_size;
    } files[] = {
        {"failure.json", "failure.json", MAX_RECORD},
        {"window.img", is_running ? "failure-window.img" : "window.img",
         cvd_ctl_options.no_window ? 0 : MAX_WINDOW},
        {"qemu.log", "qemu.log", CVD_CTL_MAX_LOG},
        {"qemu.log.1", "qemu.log.1", CVD_CTL_MAX_LOG},
        {"console.log", "console.log", CVD_CTL_MAX_LOG},
        {"console.log.1", "console.log.1", CVD_CTL_MAX_LOG},
        {"launcher.log", "launcher.log", CVD_CTL_MAX_LOG},
        {"launcher.log.1", "launcher.log.1", CVD_CTL_MAX_LOG},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
        cvd_autofd fd = files[i].max_size > 0 ? cvd_ctl_open_file(dir_fd, files[i].name, NULL) : -1;
        if (fd >= 0 && !add_fd(report, files[i].as, fd, files[i].max_size, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean add_program_logs(Report *report, int dir_fd, GError **error)
{
    cvd_autofd programs_fd = cvd_ctl_open_programs(dir_fd);
    g_autoptr(GPtrArray) names = cvd_ctl_list_program_logs(programs_fd);

    for (guint i = 0; i < names->len; i++) {
        const char *name = g_ptr_array_index(names, i);
        g_autofree char *as = g_build_filename(CVD_INSTANCE_PROGRAMS, name, NULL);
        cvd_autofd fd = cvd_ctl_open_file(programs_fd, name, NULL);
        if (fd >= 0 && !add_fd(report, as, fd, CVD_CTL_MAX_LOG, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean add_live(Report *report, CvdTool *tool, GError **error)
{
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    g_autofree char *record = NULL;
    g_autoptr(GVariant) handle = NULL;
    g_autoptr(GUnixFDList) list = NULL;

    if (instance == NULL || !cvd_dbus_instance1_call_report_sync(instance, NULL, &record, &handle,
                                                                 &list, tool->cancellable, error))
        return FALSE;
    cvd_autofd window = cvd_ctl_get_fd(list, g_variant_get_handle(handle), error);
    return window >= 0 && add_text(report, "record.json", record, error) &&
           (cvd_ctl_options.no_window ||
            add_fd(report, "window.img", window, MIN(cvd_ctl_get_window_size(record), MAX_WINDOW),
                   error));
}

static gboolean add_all(Report *report, CvdTool *tool, const char *dir, GError **error)
{
    g_autoptr(GError) reason = NULL;
    cvd_autofd dir_fd = cvd_ctl_open_dir(dir, &reason);

    if (g_error_matches(reason, CVD_ERROR, CVD_ERROR_FOREIGN))
        return cvd_pass_error(error, &reason);
    if (dir_fd < 0)
        return cvd_fail(error, CVD_ERROR_CLOSED,
                        "%s: no instance runs there, and none has left anything", dir);
    gboolean is_running = cvd_instance_is_running(dir);
    tool->socket = g_build_filename(dir, "control.sock", NULL);
    return (!is_running || add_live(report, tool, error)) &&
           add_files(report, dir_fd, is_running, error) &&
           add_program_logs(report, dir_fd, error) &&
           (report->contents->len > 0 ||
            cvd_fail(error, CVD_ERROR_FAILED,
                     "%s: there is nothing for a report, or you may not read it", dir));
}

static gboolean open_archive(Report *report, int fd, GError **error)
{
    report->archive = archive_write_new();
    /* A pipe gets no padding either. */
    if (archive_write_set_format_pax_restricted(report->archive) == ARCHIVE_OK &&
        archive_write_set_bytes_in_last_block(report->archive, 1) == ARCHIVE_OK &&
        archive_write_add_filter_gzip(report->archive) == ARCHIVE_OK &&
        archive_write_open_fd(report->archive, fd) == ARCHIVE_OK)
        return TRUE;
    return fail(report, error);
}

int cvd_ctl_create_report(const char *path, GError **error)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: cannot create%s", path,
                            errno == EEXIST ? " (choose another --output)" : "");
    return fd;
}

char *cvd_ctl_get_report_path(const char *name)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%Y%m%d-%H%M%S");

    return cvd_ctl_options.output != NULL ? g_strdup(cvd_ctl_options.output)
                                          : g_strdup_printf("cvd-report-%s-%s.tar.gz", name, time);
}

static gboolean is_stdout(const char *path)
{
    return strcmp(path, "-") == 0;
}

static gboolean write_report(CvdTool *tool, const char *path, const char *name, const char *dir,
                             GString *contents, GError **error)
{
    Report report = {.cancellable = tool->cancellable, .path = path, .contents = contents};
    cvd_autofd fd = is_stdout(path) ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                                    : cvd_ctl_create_report(path, error);

    if (fd < 0)
        return FALSE;
    report.top = g_strdup_printf("cvd-report-%s", name);
    gboolean is_written =
        open_archive(&report, fd, error) && add_all(&report, tool, dir, error) &&
        (archive_write_close(report.archive) == ARCHIVE_OK || fail(&report, error));
    archive_write_free(report.archive);
    g_free(report.top);
    if (!is_written && !is_stdout(path))
        unlink(path);
    return is_written;
}

gboolean cvd_ctl_report(CvdTool *tool, char **arguments, GError **error)
{
    g_autofree char *name = NULL;
    g_autofree char *dir = cvd_ctl_find_dir(tool, &name, error);
    g_autoptr(GString) contents = g_string_new(NULL);

    if (dir == NULL)
        return FALSE;
    if (tool->name == NULL)
        tool->name = g_strdup(name);
    g_autofree char *path = cvd_ctl_get_report_path(name);
    if (is_stdout(path) && tool->json)
        return cvd_tool_fail_usage(error, "--json and --output=- both want stdout; give one");
    if (is_stdout(path) && isatty(STDOUT_FILENO))
        return cvd_tool_fail_usage(error, "--output=-: stdout is a terminal; redirect it");
    if (!write_report(tool, path, name, dir, contents, error))
        return FALSE;
    if (tool->json) {
        g_autofree char *written = cvd_tool_get_time();
        g_autofree char *file = g_filename_display_name(path);
        g_auto(GStrv) names = g_strsplit(contents->str, ", ", -1);
        return cvd_tool_print_json(error,
                                   "{'time': <%s>, 'name': <%s>, 'file': <%s>, 'contents': <%^as>}",
                                   written, name, file, names);
    }
    g_printerr("%s: %s; look through it before you pass it on, as it has what the guest said%s\n",
               is_stdout(path) ? "report" : path, contents->str,
               cvd_ctl_options.no_window ? "" : " and the window");
    return TRUE;
}
