/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.json. Each member is a row of a table here, which both directions follow from; those of
 * nested objects have functions. The text ends with a digest of all that is before it, in all
 * formats that there will be, so that damage is told from a newer format.
 */
#include "base/snapshot-format.h"

#include "base/error.h"
#include "base/json.h"

#include <string.h>

/* clang-format off */
#define MEMBER(kind, type, name) {#name, kind, G_STRUCT_OFFSET(type, name)}
/* clang-format on */

const CvdSnapshotMember cvd_snapshot_info_members[] = {
    MEMBER(CVD_SNAPSHOT_TEXT, CvdSnapshotInfo, name),
    {"time", CVD_SNAPSHOT_TIME, G_STRUCT_OFFSET(CvdSnapshotInfo, time_s)},
    MEMBER(CVD_SNAPSHOT_TEXT, CvdSnapshotInfo, product_version),
    MEMBER(CVD_SNAPSHOT_TEXT, CvdSnapshotInfo, instance),
    MEMBER(CVD_SNAPSHOT_TEXT, CvdSnapshotInfo, qemu_version),
    MEMBER(CVD_SNAPSHOT_TEXT, CvdSnapshotInfo, machine),
    MEMBER(CVD_SNAPSHOT_TEXT, CvdSnapshotInfo, accel),
    MEMBER(CVD_SNAPSHOT_NUMBER, CvdSnapshotInfo, memory_bytes),
    MEMBER(CVD_SNAPSHOT_DIGEST, CvdSnapshotInfo, layout_digest),
    MEMBER(CVD_SNAPSHOT_PATH, CvdSnapshotInfo, config_directory),
    MEMBER(CVD_SNAPSHOT_PATH, CvdSnapshotInfo, qemu_directory),
    {0},
};

const CvdSnapshotMember cvd_snapshot_file_members[] = {
    MEMBER(CVD_SNAPSHOT_NUMBER, CvdSnapshotFile, size),
    MEMBER(CVD_SNAPSHOT_DIGEST, CvdSnapshotFile, digest),
    MEMBER(CVD_SNAPSHOT_TEXT, CvdSnapshotFile, stamp),
    {0},
};

/* ---- Values ---- */

CvdSnapshotInfo *cvd_snapshot_info_new(void)
{
    CvdSnapshotInfo *info = g_new0(CvdSnapshotInfo, 1);

    info->doorbells = g_array_new(FALSE, TRUE, sizeof(CvdSnapshotDoorbell));
    info->disks = g_ptr_array_new_with_free_func(g_free);
    return info;
}

static void free_texts(gpointer values, const CvdSnapshotMember *members)
{
    for (; members->name != NULL; members++)
        if (members->kind != CVD_SNAPSHOT_NUMBER && members->kind != CVD_SNAPSHOT_TIME)
            g_free(G_STRUCT_MEMBER(char *, values, members->offset));
}

void cvd_snapshot_info_free(CvdSnapshotInfo *info)
{
    free_texts(info, cvd_snapshot_info_members);
    g_array_unref(info->doorbells);
    g_ptr_array_unref(info->disks);
    g_free(info);
}

void cvd_snapshot_file_free(CvdSnapshotFile *file)
{
    g_free(file->name);
    free_texts(file, cvd_snapshot_file_members);
    g_free(file);
}

char *cvd_snapshot_format_disk(guint index)
{
    return g_strdup_printf("disk-%u.qcow2", index);
}

gboolean cvd_snapshot_is_file(const char *name)
{
    static const char *const names[] = {CVD_SNAPSHOT_CONFIG,         CVD_SNAPSHOT_STATE,
                                        CVD_SNAPSHOT_WINDOW,         CVD_SNAPSHOT_RAM,
                                        CVD_SNAPSHOT_RAM_COMPRESSED, NULL};
    guint64 index;

    if (g_strv_contains(names, name))
        return TRUE;
    if (!g_str_has_prefix(name, "disk-"))
        return FALSE;
    g_autofree char *digits = g_strndup(name + 5, strcspn(name + 5, "."));
    if (!g_ascii_string_to_unsigned(digits, 10, 0, CVD_SNAPSHOT_MAX_DISKS - 1, &index, NULL))
        return FALSE;
    g_autofree char *file = cvd_snapshot_format_disk((guint)index);
    return strcmp(file, name) == 0;
}

const CvdSnapshotFile *cvd_snapshot_find_file(GPtrArray *files, const char *name)
{
    for (guint i = 0; i < files->len; i++) {
        const CvdSnapshotFile *file = g_ptr_array_index(files, i);
        if (strcmp(file->name, name) == 0)
            return file;
    }
    return NULL;
}

/* ---- Writing ---- */

char *cvd_snapshot_format_time(gint64 time_s)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(time_s);

    return time != NULL ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
}

static void add_member(JsonBuilder *builder, const CvdSnapshotMember *member, gconstpointer values)
{
    const char *text = NULL;
    g_autofree char *time = NULL;

    if (member->kind == CVD_SNAPSHOT_NUMBER) {
        json_builder_set_member_name(builder, member->name);
        json_builder_add_int_value(builder,
                                   (gint64)G_STRUCT_MEMBER(guint64, values, member->offset));
        return;
    }
    if (member->kind == CVD_SNAPSHOT_TIME)
        text = time = cvd_snapshot_format_time(G_STRUCT_MEMBER(gint64, values, member->offset));
    else
        text = G_STRUCT_MEMBER(const char *, values, member->offset);
    g_assert(text != NULL || member->kind == CVD_SNAPSHOT_PATH);
    if (text == NULL)
        return;
    json_builder_set_member_name(builder, member->name);
    json_builder_add_string_value(builder, text);
}

static void add_members(JsonBuilder *builder, const CvdSnapshotMember *members,
                        gconstpointer values)
{
    for (; members->name != NULL; members++)
        add_member(builder, members, values);
}

static void add_doorbells(JsonBuilder *builder, const GArray *doorbells)
{
    json_builder_set_member_name(builder, "doorbells");
    json_builder_begin_array(builder);
    for (guint i = 0; i < doorbells->len; i++) {
        const CvdSnapshotDoorbell *doorbell = &g_array_index(doorbells, CvdSnapshotDoorbell, i);
        json_builder_begin_object(builder);
        json_builder_set_member_name(builder, "region");
        json_builder_add_int_value(builder, doorbell->region);
        json_builder_set_member_name(builder, "to");
        json_builder_add_string_value(builder, doorbell->to_guest ? "guest" : "host");
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
}

static void add_disks(JsonBuilder *builder, GPtrArray *disks)
{
    json_builder_set_member_name(builder, "disks");
    json_builder_begin_array(builder);
    for (guint i = 0; i < disks->len; i++)
        json_builder_add_string_value(builder, g_ptr_array_index(disks, i));
    json_builder_end_array(builder);
}

static void add_files(JsonBuilder *builder, GPtrArray *files)
{
    json_builder_set_member_name(builder, "files");
    json_builder_begin_object(builder);
    for (guint i = 0; i < files->len; i++) {
        const CvdSnapshotFile *file = g_ptr_array_index(files, i);
        json_builder_set_member_name(builder, file->name);
        json_builder_begin_object(builder);
        add_members(builder, cvd_snapshot_file_members, file);
        json_builder_end_object(builder);
    }
    json_builder_end_object(builder);
}

/* @object: pretty, so it ends with a line of its bracket alone */
static char *append_digest(const char *object)
{
    g_autofree char *begin = g_strndup(object, strlen(object) - strlen("\n}"));
    g_autofree char *text = g_strconcat(begin, ",\n" CVD_SNAPSHOT_DIGEST_BEGIN, NULL);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);

    return g_strconcat(text, digest, CVD_SNAPSHOT_DIGEST_END, NULL);
}

char *cvd_snapshot_format(const CvdSnapshotInfo *info, GPtrArray *files)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();

    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "format");
    json_builder_add_int_value(builder, CVD_SNAPSHOT_FORMAT);
    add_members(builder, cvd_snapshot_info_members, info);
    add_doorbells(builder, info->doorbells);
    add_disks(builder, info->disks);
    add_files(builder, files);
    json_builder_end_object(builder);
    g_autoptr(JsonNode) root = json_builder_get_root(builder);
    g_autofree char *object = cvd_json_to_string(root, TRUE);
    return append_digest(object);
}
