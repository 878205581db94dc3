/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl/ctl.h"
#include "ctl/snapshots.h"

#include "base/error.h"
#include "base/fd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* From here on whoever looks at the terminal wonders. */
#define FIRST_WORD_MS 2000
#define NEXT_WORD_MS  1000

typedef struct {
    guint timer;
    gint64 begin_us;
    gboolean is_shown; /* on a terminal */
    gboolean is_done;
    char *path;
    guint64 n_bytes;
    GError *error;
} Snapshot;

static gboolean on_timer(gpointer data)
{
    Snapshot *snapshot = data;
    gint64 s = (g_get_monotonic_time() - snapshot->begin_us) / G_USEC_PER_SEC;

    snapshot->is_shown = TRUE;
    fprintf(stderr, "\rtaking the snapshot: %jd s (ctrl-c cancels it) ", s);
    snapshot->timer = g_timeout_add(NEXT_WORD_MS, on_timer, snapshot);
    return G_SOURCE_REMOVE;
}

static void on_done(GObject *source, GAsyncResult *result, gpointer data)
{
    Snapshot *snapshot = data;

    cvd_dbus_instance1_call_snapshot_finish(CVD_DBUS_INSTANCE1(source), &snapshot->path,
                                            &snapshot->n_bytes, result, &snapshot->error);
    snapshot->is_done = TRUE;
}

static GVariant *make_options(void)
{
    GVariantBuilder options = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);

    if (cvd_ctl_options.keep_running)
        g_variant_builder_add_parsed(&options, "{'keep_running', <true>}");
    if (cvd_ctl_options.compress)
        g_variant_builder_add_parsed(&options, "{'compress', <true>}");
    return g_variant_builder_end(&options);
}

/* It takes as long as it takes. If this process ends before, the launcher gives it up. */
static void take(CvdTool *tool, CvdDBusInstance1 *instance, const char *name, Snapshot *snapshot)
{
    snapshot->begin_us = g_get_monotonic_time();
    if (isatty(STDERR_FILENO))
        snapshot->timer = g_timeout_add(FIRST_WORD_MS, on_timer, snapshot);
    g_dbus_proxy_set_default_timeout(G_DBUS_PROXY(instance), G_MAXINT);
    cvd_dbus_instance1_call_snapshot(instance, name, make_options(), tool->cancellable, on_done,
                                     snapshot);
    while (!snapshot->is_done)
        g_main_context_iteration(NULL, TRUE);
    if (snapshot->timer != 0)
        g_source_remove(snapshot->timer);
    if (snapshot->is_shown)
        fputs("\r\033[K", stderr);
}

static gboolean print(CvdTool *tool, const Snapshot *snapshot, GError **error)
{
    g_autofree char *size = cvd_ctl_format_size(snapshot->n_bytes);

    return tool->json ? cvd_tool_print_json(error, "{'path': <%s>, 'bytes': <%t>}", snapshot->path,
                                            snapshot->n_bytes)
                      : cvd_ctl_print(error, "%s  %s\n", snapshot->path, size);
}

/* The launcher has another working directory, and perhaps another environment. Only to root, with
 * an instance of another user, the launcher says where that user has snapshots. */
static char *get_path(CvdDBusInstance1 *instance, const char *name, GError **error)
{
    const char *place = g_getenv("CVD_SNAPSHOT_DIR");
    gboolean is_own = cvd_ctl_is_own(instance);

    if (!is_own && strchr(name, '/') == NULL && (place == NULL || place[0] == '\0'))
        return g_strdup(name);
    g_autofree char *path = cvd_ctl_get_snapshot_path(name, error);
    return path != NULL && (!is_own || cvd_snapshot_make_place(path, error))
               ? g_steal_pointer(&path)
               : NULL;
}

/* Of one in another pid namespace only the end of the connection is to be seen. */
static gboolean await_end(CvdTool *tool, CvdDBusInstance1 *instance, int launcher, GError **error)
{
    static const CvdCtlFollower follower = {0};
    g_autoptr(GError) local_error = NULL;

    if (launcher >= 0)
        return cvd_ctl_await_exit(tool, launcher, 0, error);
    return cvd_ctl_follow(tool, instance, &follower, NULL, 0, &local_error) ||
           g_error_matches(local_error, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
           cvd_pass_error(error, &local_error);
}

static gboolean fail(const char *name, GError *take_error, GError **error)
{
    g_autoptr(GError) reason = take_error;

    if (cvd_tool_is_cancelled(reason))
        return cvd_fail(error, CVD_ERROR_FAILED,
                        "interrupted; there is no snapshot %s, and the machine goes on", name);
    return cvd_pass_error(error, &reason);
}

gboolean cvd_ctl_snapshot(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(CvdDBusInstance1) instance = cvd_ctl_connect(tool, error);
    g_autofree char *name = instance != NULL ? get_path(instance, arguments[0], error) : NULL;
    if (name == NULL)
        return FALSE;

    cvd_autofd launcher = cvd_ctl_open_launcher(instance);
    Snapshot snapshot = {0};
    take(tool, instance, name, &snapshot);
    if (snapshot.error != NULL)
        return fail(arguments[0], snapshot.error, error);
    gboolean is_printed = print(tool, &snapshot, error);
    g_free(snapshot.path);
    return is_printed &&
           (cvd_ctl_options.keep_running || await_end(tool, instance, launcher, error));
}
