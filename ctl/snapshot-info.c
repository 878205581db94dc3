/* SPDX-License-Identifier: Apache-2.0 */
/* info: what a snapshot says of itself. */
#include "ctl/ctl.h"
#include "ctl/snapshots.h"

#include "base/snapshot-format.h"

#include <errno.h>
#include <unistd.h>

/* ---- As JSON ---- */

static GVariant *describe_doorbells(const CvdSnapshotInfo *info, JsonNode *config)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));

    for (guint i = 0; i < info->doorbells->len; i++) {
        const CvdSnapshotDoorbell *doorbell =
            &g_array_index(info->doorbells, CvdSnapshotDoorbell, i);
        const char *name = cvd_ctl_get_region_name(config, doorbell->region);
        g_variant_builder_add_parsed(&builder, "{'region': <%u>, 'name': <%s>, 'to': <%s>}",
                                     doorbell->region, name != NULL ? name : "",
                                     doorbell->to_guest ? "guest" : "host");
    }
    return g_variant_builder_end(&builder);
}

static GVariant *describe_disks(const CvdSnapshotInfo *info)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));

    for (guint i = 0; i < info->disks->len; i++) {
        g_autofree char *file = cvd_snapshot_format_disk(i);
        g_variant_builder_add_parsed(&builder, "{'node': <%s>, 'file': <%s>}",
                                     g_ptr_array_index(info->disks, i), file);
    }
    return g_variant_builder_end(&builder);
}

static GVariant *describe_files(GPtrArray *files)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));

    for (guint i = 0; i < files->len; i++) {
        const CvdSnapshotFile *file = g_ptr_array_index(files, i);
        g_variant_builder_add_parsed(&builder, "{'name': <%s>, 'size_bytes': <%t>, 'digest': <%s>}",
                                     file->name, file->size, file->digest);
    }
    return g_variant_builder_end(&builder);
}

static GVariant *describe_needed(GPtrArray *needed)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_STRING_ARRAY);

    for (guint i = 0; i < needed->len; i++) {
        g_autofree char *path = g_filename_display_name(g_ptr_array_index(needed, i));
        g_variant_builder_add(&builder, "s", path);
    }
    return g_variant_builder_end(&builder);
}

static gboolean print_json(CvdTool *tool, const CvdSnapshot *snapshot, gboolean is_verified,
                           GError **error)
{
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
    g_autoptr(JsonNode) config = cvd_ctl_load_snapshot_config(snapshot);
    g_autoptr(GPtrArray) needed = cvd_ctl_find_needed_files(snapshot, config);
    g_autofree char *name = g_path_get_basename(cvd_snapshot_get_dir(snapshot));
    g_autofree char *shown_name = g_filename_display_name(name);
    g_autofree char *path = g_filename_display_name(cvd_snapshot_get_dir(snapshot));

    cvd_tool_add_json(&builder, "{'name': <%s>, 'directory': <%s>}", shown_name, path);
    cvd_ctl_add_snapshot(tool, &builder, snapshot);
    cvd_tool_add_json(&builder,
                      "{'layout_digest': <%s>, 'doorbells': <%@aa{sv}>, 'disks': <%@aa{sv}>,"
                      " 'files': <%@aa{sv}>, 'needs': <%@as>, 'verified': <%b>}",
                      info->layout_digest, describe_doorbells(info, config), describe_disks(info),
                      describe_files(cvd_snapshot_get_files(snapshot)), describe_needed(needed),
                      is_verified);
    if (info->config_directory != NULL)
        cvd_tool_add_json(&builder, "{'config_directory': <%s>}", info->config_directory);
    if (info->qemu_directory != NULL)
        cvd_tool_add_json(&builder, "{'qemu_directory': <%s>}", info->qemu_directory);
    return cvd_tool_print_json(error, "%@a{sv}", g_variant_builder_end(&builder));
}

/* ---- As words ---- */

static gboolean print_head(CvdTool *tool, const CvdSnapshot *snapshot, GError **error)
{
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    g_autofree char *name = g_path_get_basename(cvd_snapshot_get_dir(snapshot));
    g_autofree char *time = cvd_snapshot_format_time(info->time_s);
    g_autofree char *age = cvd_ctl_format_age(info->time_s);
    g_autofree char *memory = cvd_ctl_format_size(info->memory_bytes);
    g_autofree char *space = cvd_ctl_format_size(cvd_snapshot_get_space(snapshot));
    g_autofree char *users = cvd_ctl_format_users(cvd_ctl_count_users(tool, snapshot));

    return cvd_ctl_print(error,
                         "snapshot   %s\ndirectory  %s\nmade       %s, %s ago, as %s\n"
                         "instance   %s, cvd-launch %s\nmachine    %s, QEMU %s, %s\n"
                         "memory     %s, %s\nspace      %s\nused by    %s\n",
                         name, cvd_snapshot_get_dir(snapshot), time, age, info->name,
                         info->instance, info->product_version, info->machine, info->qemu_version,
                         info->accel, memory,
                         !info->has_ram        ? "in QEMU's state"
                         : info->is_compressed ? "packed"
                                               : "shared by those that run from it",
                         space, users);
}

static gboolean print_directories(const CvdSnapshotInfo *info, GError **error)
{
    static const char format[] = "%-10s relative paths in it are those in %s\n";

    return (info->config_directory == NULL ||
            cvd_ctl_print(error, format, "cvd.json", info->config_directory)) &&
           (info->qemu_directory == NULL ||
            cvd_ctl_print(error, format, "qemu.json", info->qemu_directory));
}

static gboolean print_doorbells(const CvdSnapshotInfo *info, JsonNode *config, GError **error)
{
    for (guint i = 0; i < info->doorbells->len; i++) {
        const CvdSnapshotDoorbell *doorbell =
            &g_array_index(info->doorbells, CvdSnapshotDoorbell, i);
        const char *name = cvd_ctl_get_region_name(config, doorbell->region);
        if (!cvd_ctl_print(error, "%-10s of region %u%s%s, to the %s\n", i == 0 ? "doorbells" : "",
                           doorbell->region, name != NULL ? ", " : "", name != NULL ? name : "",
                           doorbell->to_guest ? "guest" : "host"))
            return FALSE;
    }
    return TRUE;
}

static gboolean print_disks(const CvdSnapshotInfo *info, GError **error)
{
    for (guint i = 0; i < info->disks->len; i++) {
        g_autofree char *file = cvd_snapshot_format_disk(i);
        if (!cvd_ctl_print(error, "%-10s %s, in %s\n", i == 0 ? "disks" : "",
                           (const char *)g_ptr_array_index(info->disks, i), file))
            return FALSE;
    }
    return TRUE;
}

/* Files that are elsewhere. */
static gboolean print_needed(const CvdSnapshot *snapshot, JsonNode *config, GError **error)
{
    g_autoptr(GPtrArray) needed = cvd_ctl_find_needed_files(snapshot, config);

    for (guint i = 0; i < needed->len; i++) {
        const char *path = g_ptr_array_index(needed, i);
        gboolean is_missing = path[0] == '/' && access(path, F_OK) < 0 && errno == ENOENT;
        if (!cvd_ctl_print(error, "%-10s %s%s\n", i == 0 ? "needs" : "", path,
                           is_missing ? ", which is missing" : ""))
            return FALSE;
    }
    return TRUE;
}

static gboolean print_files(GPtrArray *files, gboolean is_verified, GError **error)
{
    if (is_verified && !cvd_ctl_print(error, "files      all as they were written\n"))
        return FALSE;
    for (guint i = 0; i < files->len; i++) {
        const CvdSnapshotFile *file = g_ptr_array_index(files, i);
        g_autofree char *size = g_strdup_printf("%ju", file->size);
        if (!cvd_ctl_print(error, "%-10s %-14s %14s bytes\n", i == 0 && !is_verified ? "files" : "",
                           file->name, size))
            return FALSE;
    }
    return TRUE;
}

static gboolean print_words(CvdTool *tool, const CvdSnapshot *snapshot, gboolean is_verified,
                            GError **error)
{
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    g_autoptr(JsonNode) config = cvd_ctl_load_snapshot_config(snapshot);

    return print_head(tool, snapshot, error) && print_directories(info, error) &&
           print_doorbells(info, config, error) && print_disks(info, error) &&
           print_needed(snapshot, config, error) &&
           print_files(cvd_snapshot_get_files(snapshot), is_verified, error);
}

/* ---- The verb ---- */

static void show_progress(gpointer data, guint64 done, guint64 total)
{
    guint *shown = data;
    guint percent = total > 0 ? (guint)((double)done * 100 / (double)total) : 100;

    if (percent == *shown)
        return;
    *shown = percent;
    g_printerr("\rread %u %%", percent);
}

/* While it is read, which may take long, it is not to be deleted. */
static gboolean verify(CvdTool *tool, const char *path, GError **error)
{
    gboolean is_seen = isatty(STDERR_FILENO);
    guint shown = G_MAXUINT;
    g_autoptr(CvdSnapshot) snapshot = cvd_snapshot_open(path, error);

    if (snapshot == NULL)
        return FALSE;
    gboolean is_right = cvd_snapshot_verify(snapshot, TRUE, is_seen ? show_progress : NULL, &shown,
                                            tool->cancellable, error);
    if (is_seen)
        g_printerr("\r\033[K");
    return is_right;
}

gboolean cvd_ctl_info(CvdTool *tool, char **arguments, GError **error)
{
    gboolean is_verified = cvd_ctl_options.verify;
    g_autofree char *path = cvd_ctl_get_snapshot_path(arguments[0], error);

    if (path == NULL || (is_verified && !verify(tool, path, error)))
        return FALSE;
    g_autoptr(CvdSnapshot) snapshot = cvd_snapshot_look(path, error);
    return snapshot != NULL &&
           (tool->json ? print_json : print_words)(tool, snapshot, is_verified, error);
}
