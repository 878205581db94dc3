/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logs are files in the runtime directory, those of host programs in a directory in there, and
 * stay after a failure. NAME.log becomes NAME.log.1 when it is full; whoever follows it reads the
 * old one to its end and goes on with the new one.
 */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"
#include "base/terminal-text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE     16384
#define LOOK_AGAIN_MS 200 /* where nothing can be watched */

#define MAX_LINE 65536 /* of JSON; a longer one is cut into pieces */

typedef struct {
    const char *instance; /* its directory */
    const char *program;  /* NULL: it is that of the guest's console, of QEMU or of the launcher */
    char *dir;            /* where the log is */
    int dir_fd;           /* −1: there is no such directory yet */
    char *file;
    char *older;
} Log;

static gboolean wants_json;
static guint n_tail = 200;
static const char *label; /* in JSON */

static void log_clear(Log *log)
{
    g_free(log->dir);
    cvd_close_fd(&log->dir_fd);
    g_free(log->file);
    g_free(log->older);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Log, log_clear)

char *cvd_ctl_find_dir(CvdTool *tool, char **name, GError **error)
{
    if (tool->name != NULL) {
        *name = g_strdup(tool->name);
        return cvd_instance_get_dir(tool->name, error);
    }
    for (CvdInstances which = CVD_INSTANCES_RUNNING; which <= CVD_INSTANCES_FAILED; which++) {
        g_autoptr(GPtrArray) dirs = cvd_instance_list(which, error);
        if (dirs == NULL)
            return NULL;
        if (dirs->len > 1) {
            cvd_fail(error, CVD_ERROR_BUSY, "there are %u instances; choose with --name",
                     dirs->len);
            return NULL;
        }
        if (dirs->len == 1) {
            *name = g_path_get_basename(g_ptr_array_index(dirs, 0));
            return g_strdup(g_ptr_array_index(dirs, 0));
        }
    }
    g_set_error_literal(error, CVD_ERROR, CVD_ERROR_CLOSED,
                        "no instance runs, and none has left logs behind");
    return NULL;
}

static gboolean put_json_line(const char *bytes, gsize size, GError **error)
{
    gboolean has_cr = size > 0 && bytes[size - 1] == '\r';
    g_autofree char *text = g_utf8_make_valid(bytes, (gssize)(has_cr ? size - 1 : size));
    g_autofree char *time = cvd_tool_get_time();

    return cvd_tool_print_json(error, "{'time': <%s>, 'log': <%s>, 'line': <%s>}", time, label,
                               text);
}

/* The time is that of reading, as the logs have none. */
static gboolean put_json(GString *pending, gboolean is_last, GError **error)
{
    const char *newline;

    while (pending->len > 0) {
        newline = memchr(pending->str, '\n', pending->len);
        gsize size = newline != NULL ? (gsize)(newline - pending->str) : pending->len;
        if (newline == NULL && !is_last && size < MAX_LINE)
            return TRUE;
        if (!put_json_line(pending->str, size, error))
            return FALSE;
        g_string_erase(pending, 0, (gssize)(newline != NULL ? size + 1 : size));
    }
    return TRUE;
}

/* A guest could write what a terminal takes for commands. */
static gboolean put(const char *bytes, gsize size, gboolean is_last, GError **error)
{
    static GString *pending; /* a character, or for JSON a line, that has not come in whole */

    if (!wants_json && !isatty(STDOUT_FILENO))
        return cvd_tool_put(bytes, size, error);
    if (pending == NULL)
        pending = g_string_new(NULL);
    g_string_append_len(pending, bytes, (gssize)size);
    if (wants_json)
        return put_json(pending, is_last, error);
    g_autoptr(GString) text = g_string_sized_new(size);
    gsize n_taken = cvd_terminal_text_append(text, pending->str, pending->len, is_last);
    g_string_erase(pending, 0, (gssize)n_taken);
    return cvd_tool_put(text->str, text->len, error);
}

/* Returns: whether all there is was put out */
static gboolean put_rest(CvdTool *tool, int fd, GError **error)
{
    char bytes[READ_SIZE];
    gssize n;

    while (!g_cancellable_is_cancelled(tool->cancellable) &&
           (n = read(fd, bytes, sizeof bytes)) > 0)
        if (!put(bytes, (gsize)n, FALSE, error))
            return FALSE;
    return TRUE;
}

static gsize find_tail(const GString *text)
{
    guint n_lines = 0;

    if (n_tail == 0)
        return text->len;
    for (gsize at = text->len; at > 0; at--)
        if (text->str[at - 1] == '\n' && at < text->len && ++n_lines == n_tail)
            return at;
    return 0;
}

/* Of what is longer than a log can be only the last is of interest. */
static void append_last(GString *text, int fd)
{
    char bytes[READ_SIZE];
    struct stat st;
    gssize n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    off_t left = MIN(st.st_size, CVD_CTL_MAX_LOG);
    lseek(fd, st.st_size - left, SEEK_SET);
    for (; left > 0 && (n = read(fd, bytes, MIN((gsize)left, sizeof bytes))) > 0; left -= n)
        g_string_append_len(text, bytes, n);
}

/* Puts out the last lines of both files; leaves @fd at its end. */
static gboolean put_tail(const Log *log, int fd, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    cvd_autofd older_fd = cvd_ctl_open_file(log->dir_fd, log->older, NULL);

    append_last(text, older_fd);
    append_last(text, fd);
    if (text->len == 0 && strcmp(label, "console") == 0 && log->program == NULL &&
        !cvd_ctl_options.follow && !wants_json)
        g_printerr("cvd-ctl: the guest has printed nothing; --qemu shows what QEMU has\n");
    gsize at = find_tail(text);
    return put(text->str + at, text->len - at, !cvd_ctl_options.follow, error);
}

static gboolean is_at(int dir_fd, const char *name, int fd)
{
    struct stat ours, there;

    return fstat(fd, &ours) == 0 && fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* A launcher that is killed changes nothing in its directory. Returns: −1 if it is gone already, or
 * out of sight */
static int open_launcher(const char *dir)
{
    pid_t pid = cvd_instance_get_pid(dir);

    return pid > 0 ? pidfd_open(pid, 0) : -1;
}

static gboolean wait_for_change(CvdTool *tool, int inotify_fd, int launcher_fd)
{
    GPollFD fds[] = {{.fd = inotify_fd, .events = G_IO_IN}, {.fd = launcher_fd, .events = G_IO_IN}};
    char events[4096];
    gboolean goes_on =
        cvd_tool_poll(tool, fds, G_N_ELEMENTS(fds), inotify_fd >= 0 ? -1 : LOOK_AGAIN_MS, 0, NULL);

    /* Once: what is left, or comes meanwhile, wakes us again. */
    G_GNUC_UNUSED gssize n = read(inotify_fd, events, sizeof events);
    return goes_on;
}

/* Returns: whether it says why it has no log, as it says why it has no console */
static gboolean explain_missing(CvdTool *tool, const char *dir, GError **error)
{
    if (!cvd_instance_is_running(dir))
        return FALSE;
    if (tool->socket == NULL)
        tool->socket = g_build_filename(dir, "control.sock", NULL);
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, NULL);
    return instance != NULL && !cvd_dbus_instance1_call_open_console_sync(
                                   instance, NULL, NULL, NULL, tool->cancellable, error);
}

/* ---- Following ---- */

/* An instance whose process is out of sight can only be asked. */
static gboolean has_ended(const char *dir, int launcher_fd)
{
    GPollFD launcher = {.fd = launcher_fd, .events = G_IO_IN};

    return launcher_fd >= 0 ? g_poll(&launcher, 1, 0) > 0 : !cvd_instance_is_running(dir);
}

/* Returns: whether it could; again and again if it is not there yet */
static gboolean watch_dir(int inotify_fd, const char *dir)
{
    return inotify_add_watch(inotify_fd, dir,
                             IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE |
                                 IN_DELETE_SELF | IN_DONT_FOLLOW) >= 0;
}

static int open_inotify(const char *dir)
{
    cvd_autofd fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    return fd >= 0 && watch_dir(fd, dir) ? g_steal_fd(&fd) : -1;
}

/* Until the instance has ended. Where nothing can be watched any more, it is looked again and
 * again.
 */
static gboolean follow(CvdTool *tool, const Log *log, int *fd, GError **error)
{
    cvd_autofd inotify_fd = open_inotify(log->dir);
    cvd_autofd launcher_fd = open_launcher(log->instance);

    while (!g_cancellable_is_cancelled(tool->cancellable)) {
        gboolean is_last = has_ended(log->instance, launcher_fd);
        gboolean is_rotated = !is_at(log->dir_fd, log->file, *fd);
        if (!put_rest(tool, *fd, error))
            return FALSE;
        if (is_last)
            return put("", 0, TRUE, error);
        if (is_rotated) {
            int newer = cvd_ctl_open_file(log->dir_fd, log->file, NULL);
            if (newer >= 0) {
                cvd_close_fd(fd);
                *fd = newer;
                continue;
            }
        }
        if (!wait_for_change(tool, inotify_fd, launcher_fd))
            return TRUE;
    }
    return TRUE;
}

/* ---- The verb ---- */

static int open_program_log(Log *log, int instance_fd, GError **error)
{
    if (log->dir_fd < 0)
        log->dir_fd = cvd_ctl_open_programs(instance_fd);
    if (log->dir_fd >= 0)
        return cvd_ctl_open_file(log->dir_fd, log->file, error);
    cvd_set_error_errno(error, CVD_ERROR_CLOSED, errno, "%s", log->dir);
    return -1;
}

static gboolean wait_for_program_log(CvdTool *tool, Log *log, int instance_fd, int *fd,
                                     GError **error)
{
    cvd_autofd inotify_fd = open_inotify(log->instance);
    cvd_autofd launcher_fd = open_launcher(log->instance);
    gboolean is_last;

    do {
        is_last = has_ended(log->instance, launcher_fd);
        watch_dir(inotify_fd, log->dir);
        *fd = open_program_log(log, instance_fd, NULL);
    } while (*fd < 0 && !is_last && wait_for_change(tool, inotify_fd, launcher_fd));
    return *fd >= 0 || !is_last ||
           cvd_fail(error, CVD_ERROR_CLOSED, "program %s has printed nothing", log->program);
}

/* @fd: (out): −1: interrupted. One that runs may print something yet. */
static gboolean find_program_log(CvdTool *tool, Log *log, int instance_fd, int *fd, GError **error)
{
    g_autoptr(GError) reason = NULL;
    gboolean is_name = cvd_instance_check_name(log->program, NULL);

    *fd = is_name ? open_program_log(log, instance_fd, &reason) : -1;
    if (*fd >= 0)
        return TRUE;
    if (g_error_matches(reason, CVD_ERROR, CVD_ERROR_FOREIGN))
        return cvd_pass_error(error, &reason);
    g_autofree char *text = cvd_ctl_describe_missing_log(log->dir_fd, log->program);
    if (!is_name || !cvd_ctl_options.follow || !cvd_instance_is_running(log->instance))
        return cvd_fail(error, CVD_ERROR_CLOSED, "%s", text);
    g_printerr("cvd-ctl: %s; waiting for it\n", text);
    return wait_for_program_log(tool, log, instance_fd, fd, error);
}

static gboolean find_log(CvdTool *tool, const Log *log, int *fd, GError **error)
{
    g_autoptr(GError) reason = NULL;

    *fd = cvd_ctl_open_file(log->dir_fd, log->file, &reason);
    if (*fd >= 0)
        return TRUE;
    if (cvd_ctl_options.launcher)
        return cvd_fail(error, CVD_ERROR_CLOSED,
                        "%s/%s is not there: cvd-launch writes to the terminal or journal that it "
                        "was started with, until it goes on in the background",
                        log->instance, log->file);
    if (explain_missing(tool, log->instance, error))
        return FALSE;
    g_prefix_error(&reason, "%s/", log->instance);
    return cvd_pass_error(error, &reason);
}

static void log_init(Log *log, const char *instance, const char *program)
{
    *log = (Log){.instance = instance, .program = program, .dir_fd = -1};
    label = program != NULL            ? program
            : cvd_ctl_options.qemu     ? "qemu"
            : cvd_ctl_options.launcher ? "launcher"
                                       : "console";
    log->dir = program != NULL ? g_build_filename(instance, CVD_INSTANCE_PROGRAMS, NULL)
                               : g_strdup(instance);
    log->file = g_strdup_printf("%s.log", label);
    log->older = g_strdup_printf("%s.log.1", label);
}

gboolean cvd_ctl_logs(CvdTool *tool, char **arguments, GError **error)
{
    g_autofree char *name = NULL;
    g_auto(Log) log = {.dir_fd = -1};

    if (!cvd_tool_parse_number(cvd_ctl_options.lines, "--lines", 0, G_MAXINT, &n_tail, error))
        return FALSE;
    if ((arguments[0] != NULL) + cvd_ctl_options.qemu + cvd_ctl_options.launcher > 1)
        return cvd_tool_fail_usage(error, "a program, --qemu and --launcher: one of them");
    wants_json = tool->json;
    g_autofree char *dir = cvd_ctl_find_dir(tool, &name, error);
    if (dir == NULL)
        return FALSE;
    log_init(&log, dir, arguments[0]);
    g_autoptr(GError) reason = NULL;
    cvd_autofd dir_fd = cvd_ctl_open_dir(dir, &reason);
    if (g_error_matches(reason, CVD_ERROR, CVD_ERROR_FOREIGN))
        return cvd_pass_error(error, &reason);
    if (dir_fd < 0)
        return cvd_fail(error, CVD_ERROR_CLOSED,
                        "instance '%s' does not run, and has left no logs (looked in %s)", name,
                        dir);
    if (log.program == NULL)
        log.dir_fd = g_steal_fd(&dir_fd);
    cvd_autofd fd = -1;
    gboolean is_found = log.program != NULL ? find_program_log(tool, &log, dir_fd, &fd, error)
                                            : find_log(tool, &log, &fd, error);
    if (!is_found || fd < 0)
        return is_found;
    return put_tail(&log, fd, error) && (!cvd_ctl_options.follow || follow(tool, &log, &fd, error));
}
