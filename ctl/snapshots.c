/* SPDX-License-Identifier: Apache-2.0 */
/* snapshots and delete. They look at directories, and need no instance. */
#include "ctl/snapshots.h"
#include "ctl/ctl.h"

#include "base/complete.h"
#include "base/error.h"
#include "base/snapshot-format.h"
#include "base/snapshot-store.h"

#include <string.h>

#define ROW "%-20s %10s %7s %7s  %-10s %-13s %s\n"

/* ---- For both ---- */

char *cvd_ctl_format_size(guint64 size)
{
    static const char units[] = "KMGT";
    double value = (double)size / 1024;
    guint i = 0;

    for (; value >= 1000 && i + 1 < strlen(units); i++)
        value /= 1024;
    return g_strdup_printf(value < 10 ? "%.1f%c" : "%.0f%c", value, units[i]);
}

char *cvd_ctl_format_age(gint64 time_s)
{
    gint64 now_us = g_get_real_time();

    return cvd_ctl_format_uptime((guint64)MAX(now_us - time_s * G_USEC_PER_SEC, G_USEC_PER_SEC));
}

char *cvd_ctl_format_users(int n)
{
    return n == CVD_SNAPSHOT_USERS_UNKNOWN ? g_strdup("yes") : g_strdup_printf("%d", n);
}

char *cvd_ctl_get_snapshot_path(const char *name, GError **error)
{
    g_autoptr(GError) reason = NULL;
    char *path = cvd_snapshot_get_path(name, &reason);

    if (path == NULL)
        cvd_tool_fail_usage(error, "%s", reason->message);
    return path;
}

/* ---- snapshots ---- */

static void add_users(CvdTool *tool, GVariantBuilder *builder, const CvdSnapshot *snapshot)
{
    int n = cvd_ctl_count_users(tool, snapshot);

    cvd_tool_add_json(builder, "{'in_use': <%b>}", n != 0);
    if (n != CVD_SNAPSHOT_USERS_UNKNOWN)
        cvd_tool_add_json(builder, "{'users': <%i>}", n);
}

void cvd_ctl_add_snapshot(CvdTool *tool, GVariantBuilder *builder, const CvdSnapshot *snapshot)
{
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    g_autofree char *time = cvd_snapshot_format_time(info->time_s);

    cvd_tool_add_json(builder,
                      "{'time': <%s>, 'made_as': <%s>, 'instance': <%s>, 'version': <%s>,"
                      " 'qemu_version': <%s>, 'machine': <%s>, 'accel': <%s>, 'memory_bytes': <%t>,"
                      " 'ram': <%s>, 'space_bytes': <%t>}",
                      time, info->name, info->instance, info->product_version, info->qemu_version,
                      info->machine, info->accel, info->memory_bytes,
                      !info->has_ram        ? CVD_SNAPSHOT_STATE
                      : info->is_compressed ? CVD_SNAPSHOT_RAM_COMPRESSED
                                            : CVD_SNAPSHOT_RAM,
                      cvd_snapshot_get_space(snapshot));
    add_users(tool, builder, snapshot);
}

static gboolean print_json_line(CvdTool *tool, const char *name, const char *path,
                                const CvdSnapshot *snapshot, const GError *reason, GError **error)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);

    cvd_tool_add_json(&builder, "{'name': <%s>, 'directory': <%s>}", name, path);
    if (snapshot != NULL)
        cvd_ctl_add_snapshot(tool, &builder, snapshot);
    else
        cvd_tool_add_json(&builder, "{'error': <%s>}", reason->message);
    return cvd_tool_print_json(error, "%@a{sv}", g_variant_builder_end(&builder));
}

static gboolean print_row(CvdTool *tool, const char *name, const char *path,
                          const CvdSnapshot *snapshot, const GError *reason, GError **error)
{
    gsize length = strlen(path);

    if (snapshot == NULL) {
        gboolean has_path = strncmp(reason->message, path, length) == 0;
        const char *message = has_path ? reason->message + length : reason->message;
        return cvd_ctl_print(error, "%-20s %s\n", name,
                             message + strspn(has_path ? message : "", ": /"));
    }
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    g_autofree char *age = cvd_ctl_format_age(info->time_s);
    g_autofree char *space = cvd_ctl_format_size(cvd_snapshot_get_space(snapshot));
    g_autofree char *memory = cvd_ctl_format_size(info->memory_bytes);
    g_autofree char *users = cvd_ctl_format_users(cvd_ctl_count_users(tool, snapshot));
    return cvd_ctl_print(error, ROW, name, age, space, memory, info->qemu_version, info->machine,
                         users);
}

/* One that goes meanwhile is none. */
static gboolean print_snapshot(CvdTool *tool, const char *place, const char *name, GError **error)
{
    g_autofree char *path = g_build_filename(place, name, NULL);
    g_autofree char *shown_name = g_filename_display_name(name);
    g_autofree char *shown_path = g_filename_display_name(path);
    g_autoptr(GError) reason = NULL;
    g_autoptr(CvdSnapshot) snapshot = cvd_snapshot_look(path, &reason);

    if (g_error_matches(reason, CVD_ERROR, CVD_ERROR_CLOSED))
        return TRUE;
    return (tool->json ? print_json_line : print_row)(tool, shown_name, shown_path, snapshot,
                                                      reason, error);
}

gboolean cvd_ctl_snapshots(CvdTool *tool, char **arguments, GError **error)
{
    g_autofree char *place = cvd_snapshot_get_place(error);
    if (place == NULL)
        return FALSE;
    cvd_snapshot_clean(place);
    g_autoptr(GPtrArray) names = cvd_snapshot_list(place, error);
    if (names == NULL)
        return FALSE;

    g_autofree char *shown_place = cvd_ctl_printable(place);
    if (names->len == 0 && !tool->json)
        g_printerr("no snapshots in %s; cvd-ctl snapshot makes one\n", shown_place);
    else if (!tool->json && !cvd_tool_print(error, ROW, "NAME", "AGE", "SIZE", "MEMORY", "QEMU",
                                            "MACHINE", "USED"))
        return FALSE;
    for (guint i = 0; i < names->len; i++)
        if (!print_snapshot(tool, place, g_ptr_array_index(names, i), error))
            return FALSE;
    return TRUE;
}

void cvd_ctl_complete_snapshots(GPtrArray *words)
{
    g_autofree char *place = cvd_snapshot_get_place(NULL);
    g_autoptr(GPtrArray) names = place != NULL ? cvd_snapshot_list(place, NULL) : NULL;

    for (guint i = 0; names != NULL && i < names->len; i++)
        cvd_complete_add(words, g_ptr_array_index(names, i), NULL);
}

/* ---- delete ---- */

/* Of so many machines the names are told. */
#define MAX_NAMED 8

static gboolean fail_used(const char *path, GPtrArray *names, GError **error)
{
    guint n = names->len;
    g_autofree char *others = n > MAX_NAMED ? g_strdup_printf(" and %u more", n - MAX_NAMED) : NULL;

    g_ptr_array_set_size(names, (int)MIN(n, MAX_NAMED));
    g_ptr_array_add(names, NULL);
    g_autofree char *text = g_strjoinv(", ", (char **)names->pdata);
    return cvd_fail(error, CVD_ERROR_BUSY, "%s: %s%s %s from it; stop %s first", path, text,
                    others != NULL ? others : "", n == 1 ? "runs" : "run", n == 1 ? "it" : "them");
}

static gboolean delete_one(CvdTool *tool, const char *name, GError **error)
{
    g_autofree char *path = cvd_ctl_get_snapshot_path(name, error);
    g_autoptr(GError) reason = NULL;

    if (path == NULL)
        return FALSE;
    if (cvd_snapshot_delete(path, &reason))
        return TRUE;
    if (g_error_matches(reason, CVD_ERROR, CVD_ERROR_BUSY)) {
        g_autoptr(GPtrArray) names = cvd_ctl_find_users(tool, path);
        if (names->len > 0)
            return fail_used(path, names, error);
    }
    return cvd_pass_error(error, &reason);
}

/* As rm does, of several it deletes what it can. */
gboolean cvd_ctl_delete(CvdTool *tool, char **arguments, GError **error)
{
    guint n = g_strv_length(arguments), n_failed = 0;

    if (n == 1)
        return delete_one(tool, arguments[0], error);
    for (; *arguments != NULL; arguments++) {
        g_autoptr(GError) reason = NULL;
        if (delete_one(tool, *arguments, &reason))
            continue;
        g_autofree char *text = cvd_ctl_printable(reason->message);
        g_printerr("cvd-ctl: %s\n", text);
        n_failed++;
    }
    return n_failed == 0 ||
           cvd_fail(error, CVD_ERROR_FAILED, "%u of %u snapshots were not deleted", n_failed, n);
}
