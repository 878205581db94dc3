/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/json.h"
#include "base/snapshot-format.h"

#include <string.h>

#define MAX_DOORBELLS 4096 /* two a region */

/* Returns: (nullable): the member, which counts as known from now on */
static JsonNode *take_member(JsonObject *object, const char *name, GHashTable *known)
{
    g_hash_table_add(known, (gpointer)name);
    return json_object_get_member(object, name);
}

static gboolean is_text(const char *text)
{
    gsize size = strlen(text);

    if (size == 0 || size > CVD_SNAPSHOT_MAX_TEXT)
        return FALSE;
    for (; *text != '\0'; text = g_utf8_next_char(text))
        if (g_unichar_iscntrl(g_utf8_get_char(text)))
            return FALSE;
    return TRUE;
}

static gboolean is_digest(const char *text)
{
    return strlen(text) == CVD_SNAPSHOT_DIGEST_LENGTH &&
           strspn(text, "0123456789abcdef") == CVD_SNAPSHOT_DIGEST_LENGTH;
}

static gboolean parse_time(const char *text, gint64 *time_s)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, NULL);
    g_autofree char *again = NULL;

    if (time == NULL)
        return FALSE;
    *time_s = g_date_time_to_unix(time);
    again = cvd_snapshot_format_time(*time_s);
    return g_strcmp0(again, text) == 0;
}

static gboolean parse_number(JsonNode *node, gint64 min, gint64 max, gint64 *value)
{
    if (node == NULL || json_node_get_value_type(node) != G_TYPE_INT64)
        return FALSE;
    *value = json_node_get_int(node);
    return *value >= min && *value <= max;
}

static const char *get_text(JsonNode *node)
{
    const char *text = node != NULL && json_node_get_value_type(node) == G_TYPE_STRING
                           ? json_node_get_string(node)
                           : NULL;

    return text != NULL && text[0] != CVD_JSON_BIG_NUMBER[0] && is_text(text) ? text : NULL;
}

static gboolean parse_member(JsonNode *node, const CvdSnapshotMember *member, gpointer values)
{
    gpointer place = G_STRUCT_MEMBER_P(values, member->offset);
    const char *text = get_text(node);

    if (member->kind == CVD_SNAPSHOT_NUMBER)
        return parse_number(node, 0, G_MAXINT64, place);
    if (member->kind == CVD_SNAPSHOT_PATH && node == NULL)
        return TRUE;
    if (text == NULL)
        return FALSE;
    if (member->kind == CVD_SNAPSHOT_TIME)
        return parse_time(text, place);
    *(char **)place = g_strdup(text);
    return (member->kind != CVD_SNAPSHOT_PATH || g_path_is_absolute(text)) &&
           (member->kind != CVD_SNAPSHOT_DIGEST || is_digest(text));
}

static const char *describe(CvdSnapshotKind kind)
{
    static const char *const words[] = {
        [CVD_SNAPSHOT_TEXT] = "a text of at most 4096 bytes without control characters",
        [CVD_SNAPSHOT_PATH] = "an absolute path of at most 4096 bytes",
        [CVD_SNAPSHOT_DIGEST] = "64 hexadecimal digits",
        [CVD_SNAPSHOT_NUMBER] = "an integer from 0 on",
        [CVD_SNAPSHOT_TIME] = "a time like 2025-01-31T23:59:59Z",
    };

    return words[kind];
}

static gboolean fail_member(GError **error, const char *where, const char *name,
                            const char *expected)
{
    return cvd_fail(error, CVD_ERROR_INVALID, "%s%s: expected %s", where, name, expected);
}

static gboolean parse_members(JsonObject *object, const CvdSnapshotMember *members,
                              const char *where, gpointer values, GHashTable *known, GError **error)
{
    for (; members->name != NULL; members++) {
        JsonNode *node = take_member(object, members->name, known);
        if (!parse_member(node, members, values))
            return fail_member(error, where, members->name, describe(members->kind));
    }
    return TRUE;
}

static gboolean check_unknown(JsonObject *object, const char *where, GHashTable *known,
                              GError **error)
{
    g_autoptr(GList) names = json_object_get_members(object);

    for (GList *at = names; at != NULL; at = at->next)
        if (!g_hash_table_contains(known, at->data))
            return cvd_fail(error, CVD_ERROR_INVALID, "%s%s: no member of format %d", where,
                            (const char *)at->data, CVD_SNAPSHOT_FORMAT);
    return TRUE;
}

static JsonArray *get_array(JsonNode *node, guint max)
{
    JsonArray *array =
        node != NULL && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    return array != NULL && json_array_get_length(array) <= max ? array : NULL;
}

static JsonObject *get_object(JsonNode *node)
{
    return node != NULL && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static gboolean parse_doorbell(JsonNode *node, CvdSnapshotDoorbell *doorbell)
{
    JsonObject *object = get_object(node);
    const char *to = cvd_json_get_text(object, "to");
    gint64 region;

    if (to == NULL || json_object_get_size(object) != 2 ||
        (strcmp(to, "guest") != 0 && strcmp(to, "host") != 0) ||
        !parse_number(json_object_get_member(object, "region"), 0, MAX_DOORBELLS / 2 - 1, &region))
        return FALSE;
    *doorbell = (CvdSnapshotDoorbell){(guint)region, strcmp(to, "guest") == 0};
    return TRUE;
}

static gboolean parse_doorbells(JsonNode *node, GArray *doorbells, GError **error)
{
    JsonArray *array = get_array(node, MAX_DOORBELLS);

    if (array == NULL)
        return fail_member(error, "", "doorbells", "an array of at most 4096");
    for (guint i = 0; i < json_array_get_length(array); i++) {
        CvdSnapshotDoorbell doorbell;
        if (!parse_doorbell(json_array_get_element(array, i), &doorbell))
            return cvd_fail(error, CVD_ERROR_INVALID,
                            "doorbells[%u]: expected {\"region\": NUMBER, \"to\": \"guest\" or "
                            "\"host\"}",
                            i);
        g_array_append_val(doorbells, doorbell);
    }
    return TRUE;
}

static gboolean parse_disks(JsonNode *node, GPtrArray *disks, GError **error)
{
    JsonArray *array = get_array(node, CVD_SNAPSHOT_MAX_DISKS);

    if (array == NULL)
        return fail_member(error, "", "disks", "an array of at most 64");
    for (guint i = 0; i < json_array_get_length(array); i++) {
        const char *text = get_text(json_array_get_element(array, i));
        if (text == NULL)
            return cvd_fail(error, CVD_ERROR_INVALID, "disks[%u]: expected %s", i,
                            describe(CVD_SNAPSHOT_TEXT));
        g_ptr_array_add(disks, g_strdup(text));
    }
    return TRUE;
}

static gboolean parse_file(const char *name, JsonNode *node, GPtrArray *files, GError **error)
{
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *where = g_strdup_printf("files.%s.", name);
    JsonObject *object = get_object(node);

    if (!cvd_snapshot_is_file(name))
        return cvd_fail(error, CVD_ERROR_INVALID, "files.%s: no file of format %d", name,
                        CVD_SNAPSHOT_FORMAT);
    if (object == NULL)
        return fail_member(error, "files.", name, "an object");
    CvdSnapshotFile *file = g_new0(CvdSnapshotFile, 1);
    file->name = g_strdup(name);
    g_ptr_array_add(files, file);
    return parse_members(object, cvd_snapshot_file_members, where, file, known, error) &&
           check_unknown(object, where, known, error);
}

static gboolean parse_files(JsonNode *node, GPtrArray *files, GError **error)
{
    JsonObject *object = get_object(node);
    g_autoptr(GList) names = object != NULL ? json_object_get_members(object) : NULL;

    if (object == NULL)
        return fail_member(error, "", "files", "an object");
    for (GList *at = names; at != NULL; at = at->next)
        if (!parse_file(at->data, json_object_get_member(object, at->data), files, error))
            return FALSE;
    return TRUE;
}

/* What is said in two places agrees. */
static gboolean check_files(CvdSnapshotInfo *info, GPtrArray *files, GError **error)
{
    static const char *const needed[] = {CVD_SNAPSHOT_CONFIG, CVD_SNAPSHOT_STATE,
                                         CVD_SNAPSHOT_WINDOW};
    const CvdSnapshotFile *ram = cvd_snapshot_find_file(files, CVD_SNAPSHOT_RAM);
    guint n_others = G_N_ELEMENTS(needed);

    for (guint i = 0; i < G_N_ELEMENTS(needed); i++)
        if (cvd_snapshot_find_file(files, needed[i]) == NULL)
            return cvd_fail(error, CVD_ERROR_INVALID, "files: %s is missing", needed[i]);
    for (guint i = 0; i < info->disks->len; i++) {
        g_autofree char *disk = cvd_snapshot_format_disk(i);
        if (cvd_snapshot_find_file(files, disk) == NULL)
            return cvd_fail(error, CVD_ERROR_INVALID, "files: %s is missing", disk);
    }
    info->is_compressed = cvd_snapshot_find_file(files, CVD_SNAPSHOT_RAM_COMPRESSED) != NULL;
    info->has_ram = ram != NULL || info->is_compressed;
    n_others += info->disks->len + (ram != NULL) + info->is_compressed;
    if (files->len != n_others || (ram != NULL && info->is_compressed))
        return cvd_fail(error, CVD_ERROR_INVALID, "files: more than belong together");
    return ram == NULL || ram->size == info->memory_bytes ||
           cvd_fail(error, CVD_ERROR_INVALID, "files.ram.size: %ju, but memory_bytes is %ju",
                    ram->size, info->memory_bytes);
}

static gboolean check_digest(const char *text, gsize size, GError **error)
{
    gsize end_size = CVD_SNAPSHOT_DIGEST_LENGTH + strlen(CVD_SNAPSHOT_DIGEST_END);
    const char *digest = text + size - end_size;

    if (size < end_size || memcmp(digest + CVD_SNAPSHOT_DIGEST_LENGTH, CVD_SNAPSHOT_DIGEST_END,
                                  strlen(CVD_SNAPSHOT_DIGEST_END)) != 0)
        return cvd_fail(error, CVD_ERROR_INVALID, "does not end with a digest of itself");
    g_autofree char *found =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text, size - end_size);
    return memcmp(found, digest, CVD_SNAPSHOT_DIGEST_LENGTH) == 0 ||
           cvd_fail(error, CVD_ERROR_INVALID, "its SHA-256 is not the one recorded");
}

static gboolean check_format(JsonObject *object, GHashTable *known, GError **error)
{
    gint64 format;

    if (!parse_number(take_member(object, "format", known), 1, G_MAXINT64, &format))
        return fail_member(error, "", "format", "a number from 1 on");
    return format == CVD_SNAPSHOT_FORMAT ||
           cvd_fail(error, CVD_ERROR_FOREIGN,
                    "made by a newer cvd-launch (format %jd, this one knows %d)", format,
                    CVD_SNAPSHOT_FORMAT);
}

static gboolean parse_object(JsonObject *object, CvdSnapshotInfo *info, GPtrArray *files,
                             GError **error)
{
    g_autoptr(GHashTable) known = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_add(known, (gpointer) "sha256");
    return check_format(object, known, error) &&
           parse_members(object, cvd_snapshot_info_members, "", info, known, error) &&
           parse_doorbells(take_member(object, "doorbells", known), info->doorbells, error) &&
           parse_disks(take_member(object, "disks", known), info->disks, error) &&
           parse_files(take_member(object, "files", known), files, error) &&
           check_unknown(object, "", known, error) && check_files(info, files, error);
}

static JsonNode *parse_text(const char *text, gsize size, GError **error)
{
    g_autoptr(GPtrArray) duplicates = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(JsonNode) root = cvd_json_parse(text, size, duplicates, error);

    if (root == NULL)
        return NULL;
    if (duplicates->len > 0) {
        cvd_fail(error, CVD_ERROR_INVALID, "%s stands twice",
                 (char *)g_ptr_array_index(duplicates, 0));
        return NULL;
    }
    if (JSON_NODE_HOLDS_OBJECT(root))
        return g_steal_pointer(&root);
    cvd_fail(error, CVD_ERROR_INVALID, "is no JSON object");
    return NULL;
}

CvdSnapshotInfo *cvd_snapshot_parse(const char *text, gsize size, GPtrArray **files, GError **error)
{
    g_autoptr(CvdSnapshotInfo) info = cvd_snapshot_info_new();
    g_autoptr(GPtrArray) found =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_snapshot_file_free);
    g_autoptr(JsonNode) root =
        check_digest(text, size, error) ? parse_text(text, size, error) : NULL;

    if (root == NULL || !parse_object(json_node_get_object(root), info, found, error))
        return NULL;
    *files = g_steal_pointer(&found);
    return g_steal_pointer(&info);
}
