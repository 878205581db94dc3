/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logs are files in the runtime directory, which stay there after a failure. NAME.log becomes
 * NAME.log.1 when it is full; whoever follows reads the old one to its end and goes on with the new
 * one.
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
#define DEFAULT_LINES 200

#define MAX_LINE 65536 /* of JSON; a longer one is cut into pieces */

static gboolean follows, wants_qemu, wants_json;
static int max_lines = DEFAULT_LINES;

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
            g_set_error(error, CVD_ERROR, CVD_ERROR_BUSY,
                        "there are %u instances; choose with --name", dirs->len);
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
    g_autoptr(JsonBuilder) builder = json_builder_new();

    json_builder_begin_object(builder);
    cvd_tool_json_time(builder);
    cvd_tool_json_string(builder, "log", wants_qemu ? "qemu" : "console");
    cvd_tool_json_string(builder, "line", text);
    json_builder_end_object(builder);
    return cvd_tool_print_json(builder, error);
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
static gboolean put_rest(int fd, GError **error)
{
    char bytes[READ_SIZE];
    gssize n;

    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        if (!put(bytes, (gsize)n, FALSE, error))
            return FALSE;
    return TRUE;
}

static gsize find_tail(const GString *text)
{
    int n_lines = 0;

    if (max_lines == 0)
        return text->len;
    for (gsize at = text->len; at > 0; at--)
        if (text->str[at - 1] == '\n' && at < text->len && ++n_lines == max_lines)
            return at;
    return 0;
}

/* Puts out the last lines of both files; leaves @fd at its end. */
static gboolean put_tail(int dir_fd, const char *older, int fd, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char bytes[READ_SIZE];
    cvd_autofd older_fd = openat(dir_fd, older, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    const int fds[] = {older_fd, fd};
    gssize n;

    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        while (fds[i] >= 0 && (n = read(fds[i], bytes, sizeof bytes)) > 0)
            g_string_append_len(text, bytes, n);
    gsize at = find_tail(text);
    return put(text->str + at, text->len - at, !follows, error);
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

static gboolean wait_for_change(int inotify_fd, int launcher_fd, GCancellable *cancellable)
{
    GPollFD fds[3] = {{.fd = inotify_fd, .events = G_IO_IN},
                      {.fd = launcher_fd, .events = G_IO_IN}};
    guint n_fds = g_cancellable_make_pollfd(cancellable, &fds[2]) ? 3 : 2;
    char events[4096];

    g_poll(fds, n_fds, inotify_fd >= 0 ? -1 : LOOK_AGAIN_MS);
    if (n_fds == 3)
        g_cancellable_release_fd(cancellable);
    while (read(inotify_fd, events, sizeof events) > 0)
        ;
    return !g_cancellable_is_cancelled(cancellable);
}

static int open_log(int dir_fd, const char *dir, const char *name, GError **error)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        cvd_set_error_errno(error, CVD_ERROR_CLOSED, errno, "%s/%s", dir, name);
    return fd;
}

/* An instance whose process is out of sight can only be asked. */
static gboolean has_ended(const char *dir, int launcher_fd)
{
    GPollFD launcher = {.fd = launcher_fd, .events = G_IO_IN};

    return launcher_fd >= 0 ? g_poll(&launcher, 1, 0) > 0 : !cvd_instance_is_running(dir);
}

static int watch_dir(const char *dir)
{
    cvd_autofd fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (fd < 0 ||
        inotify_add_watch(fd, dir,
                          IN_MODIFY | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF) < 0)
        return -1;
    return g_steal_fd(&fd);
}

/* Until the instance has ended. Where nothing can be watched any more, it is looked again and
 * again.
 */
static gboolean follow(CvdTool *tool, const char *dir, int dir_fd, const char *name, int *fd,
                       GError **error)
{
    cvd_autofd inotify_fd = watch_dir(dir);
    cvd_autofd launcher_fd = open_launcher(dir);

    for (;;) {
        gboolean is_last = has_ended(dir, launcher_fd);
        gboolean is_rotated = !is_at(dir_fd, name, *fd);
        if (!put_rest(*fd, error))
            return FALSE;
        if (is_last)
            return put("", 0, TRUE, error);
        if (is_rotated) {
            int newer = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
            if (newer >= 0) {
                cvd_close_fd(fd);
                *fd = newer;
                continue;
            }
        }
        if (!wait_for_change(inotify_fd, launcher_fd, tool->cancellable))
            return TRUE;
    }
}

static gboolean logs(CvdTool *tool, char **arguments, GError **error)
{
    g_autofree char *name = NULL;

    if (max_lines < 0) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--lines '%d': expected a number from 0", max_lines);
        return FALSE;
    }
    wants_json = tool->json;
    g_autofree char *dir = cvd_ctl_find_dir(tool, &name, error);
    const char *file = wants_qemu ? "qemu.log" : "console.log";
    const char *older = wants_qemu ? "qemu.log.1" : "console.log.1";

    if (dir == NULL)
        return FALSE;
    cvd_autofd dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir_fd < 0) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_CLOSED,
                    "instance '%s' does not run, and has left no logs (looked in %s)", name, dir);
        return FALSE;
    }
    cvd_autofd fd = open_log(dir_fd, dir, file, error);
    return fd >= 0 && put_tail(dir_fd, older, fd, error) &&
           (!follows || follow(tool, dir, dir_fd, file, &fd, error));
}

static const GOptionEntry log_entries[] = {
    {"follow", 'f', 0, G_OPTION_ARG_NONE, &follows, "Go on until the instance ends", NULL},
    {"qemu", 0, 0, G_OPTION_ARG_NONE, &wants_qemu, "What QEMU printed, not the guest", NULL},
    {"lines", 0, 0, G_OPTION_ARG_INT, &max_lines, "How many to begin with (200)", "N"},
    G_OPTION_ENTRY_NULL,
};
const CvdToolVerb cvd_ctl_logs = {
    .name = "logs",
    .arguments = "",
    .summary = "Show the guest's console, or what QEMU printed",
    .description =
        "Also of an instance that failed. On a terminal, control characters are shown as "
        "\\xNN.",
    .entries = log_entries,
    .run = logs,
};
