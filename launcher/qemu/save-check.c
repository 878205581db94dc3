/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that the guest can write to is copied as a file. So it must be one, of a format that can
 * have overlays, and nobody else's; and it must be in `blockdevs`, where a restore can put the copy
 * in its place.
 */
#include "launcher/qemu/save-check.h"

#include "base/error.h"
#include "base/json.h"
#include "launcher/config/place.h"
#include "launcher/config/references.h"

#include <string.h>

#define OR_READ_ONLY "or make it read-only (\"read-only\": true)"

void cvd_save_disk_free(CvdSaveDisk *disk)
{
    g_free(disk->node);
    g_free(disk->path);
    g_free(disk);
}

static const char *get_text(JsonNode *object, const char *member)
{
    return cvd_node_get_string(cvd_node_get_member(object, member));
}

static gboolean is_true(JsonNode *object, const char *member)
{
    JsonNode *node = cvd_node_get_member(object, member);

    return node != NULL && json_node_get_value_type(node) == G_TYPE_BOOLEAN &&
           json_node_get_boolean(node);
}

/* ---- Devices ---- */

/* What the programs behind them hold is in no file that could be copied. */
static const char *find_foreign_device(const char *text)
{
    static const char *const drivers[] = {"vhost-user-blk", "vhost-user-scsi", "vhost-user-fs",
                                          "vhost-scsi"};

    for (gsize i = 0; i < G_N_ELEMENTS(drivers); i++)
        if (strstr(text, drivers[i]) != NULL)
            return drivers[i];
    return NULL;
}

/* @is_json: whether only a member `driver` counts */
static gboolean check_devices(char **texts, gboolean is_json, const char *key, GError **error)
{
    for (guint i = 0; texts[i] != NULL; i++) {
        g_autoptr(JsonNode) node = is_json ? cvd_json_from_string(texts[i], NULL) : NULL;
        const char *text = is_json ? get_text(node, "driver") : texts[i];
        const char *driver = text != NULL ? find_foreign_device(text) : NULL;
        if (driver != NULL)
            return cvd_fail(error, CVD_ERROR_FAILED,
                            "qemu.%s[%u]: what the program behind %s holds cannot be saved; take "
                            "the device out, and start the machine again",
                            key, i, driver);
    }
    return TRUE;
}

gboolean cvd_save_check_config(const CvdConfig *config, GError **error)
{
    if (!config->ivshmem_migratable)
        return cvd_fail(error, CVD_ERROR_FAILED,
                        "QEMU cannot save this VM: set ivshmem.migratable to true in cvd.json, "
                        "then start it again");
    return check_devices(config->qemu.devices, TRUE, "devices", error) &&
           check_devices(config->qemu.extra_args, FALSE, "extra_args", error);
}

/* ---- Disks ---- */

/* Of `blockdevs`. */
typedef struct {
    guint index;
    const char *name;
    JsonNode *node;
} Blockdev;

/* Returns: (transfer full) (nullable): the entry that defines the node */
static JsonNode *find_blockdev(const CvdConfig *config, const char *name, guint *index)
{
    for (*index = 0; config->qemu.blockdevs[*index] != NULL; ++*index) {
        g_autoptr(JsonNode) node = cvd_json_from_string(config->qemu.blockdevs[*index], NULL);
        if (g_strcmp0(get_text(node, "node-name"), name) == 0)
            return g_steal_pointer(&node);
    }
    return NULL;
}

static gboolean refuse(const Blockdev *disk, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean refuse(const Blockdev *disk, GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return cvd_fail(error, CVD_ERROR_FAILED, "qemu.blockdevs[%u] \"%s\" %s", disk->index,
                    disk->name, text);
}

static char *make_absolute(const CvdConfig *config, const char *path)
{
    return g_path_is_absolute(path) ? g_strdup(path)
                                    : g_build_filename(config->qemu.directory, path, NULL);
}

/* Returns: (transfer full) (nullable): what is below the format: a member of it, or an entry of its
 * own */
static JsonNode *find_file(const CvdConfig *config, JsonNode *disk)
{
    JsonNode *member = cvd_node_get_member(disk, "file");
    const char *name = cvd_node_get_string(member);
    guint index;

    if (name != NULL)
        return find_blockdev(config, name, &index);
    return json_node_ref(member != NULL ? member : disk);
}

static gboolean check_format(const Blockdev *disk, const char *path, GError **error)
{
    const char *driver = get_text(disk->node, "driver");
    gboolean is_raw = g_strcmp0(driver, "raw") == 0 || g_strcmp0(driver, "file") == 0;

    if (g_strcmp0(driver, "qcow2") == 0)
        return TRUE;
    if (!is_raw)
        return refuse(disk, error, "is %s, and only a qcow2 can be saved: use one, " OR_READ_ONLY,
                      driver != NULL ? driver : "something else");
    g_autofree char *file = g_shell_quote(path);
    g_autofree char *base = g_strconcat(path, ".qcow2", NULL);
    g_autofree char *converted = g_shell_quote(base);
    return refuse(disk, error,
                  "is raw, and only a qcow2 can be saved: make it one (qemu-img convert -O qcow2 "
                  "%s %s), " OR_READ_ONLY,
                  file, converted);
}

/* Whether others may write to what @node has. */
static gboolean is_shared(JsonNode *node)
{
    return g_strcmp0(get_text(node, "locking"), "off") == 0 || is_true(node, "force-share");
}

static gboolean has_shared_device(const CvdConfig *config, const char *name)
{
    for (char **device = config->qemu.devices; *device != NULL; device++) {
        g_autoptr(JsonNode) node = cvd_json_from_string(*device, NULL);
        if (g_strcmp0(get_text(node, "drive"), name) == 0 &&
            (is_true(node, "share-rw") || g_strcmp0(get_text(node, "share-rw"), "on") == 0))
            return TRUE;
    }
    return FALSE;
}

static gboolean check_file(const CvdConfig *config, const Blockdev *disk, JsonNode *file,
                           GError **error)
{
    const char *driver = get_text(file, "driver");

    if (g_strcmp0(driver, "file") != 0)
        return refuse(disk, error, "is on %s, and only a file can be saved: use one, " OR_READ_ONLY,
                      driver != NULL ? driver : "something else");
    if (is_shared(disk->node) || is_shared(file) || has_shared_device(config, disk->name))
        return refuse(disk, error,
                      "may be written by others, too (\"locking\", \"force-share\", "
                      "\"share-rw\"), so that it cannot be saved");
    return TRUE;
}

/* The copy stands elsewhere than the file. */
static gboolean check_image(const Blockdev *disk, const char *path, JsonNode *image, GError **error)
{
    JsonNode *specific = cvd_node_get_member(image, "format-specific");
    JsonNode *data = cvd_node_get_member(specific, "data");
    const char *backing = get_text(image, "backing-filename");

    if (get_text(data, "data-file") != NULL)
        return refuse(disk, error, "has its data in another file, so that it cannot be saved");
    if (backing == NULL || g_path_is_absolute(backing) ||
        cvd_node_get_member(disk->node, "backing") != NULL)
        return TRUE;
    const char *format = get_text(image, "backing-filename-format");
    const char *full = get_text(image, "full-backing-filename");
    g_autofree char *absolute =
        full != NULL && g_path_is_absolute(full) ? g_shell_quote(full) : g_strdup("/PATH");
    g_autofree char *file = g_shell_quote(path);
    return refuse(disk, error,
                  "has the backing file \"%s\", which a copy in another directory would not find; "
                  "stop the machine and give it the whole path (qemu-img rebase -u -F %s -b %s %s)",
                  backing, format != NULL ? format : "FORMAT", absolute, file);
}

static guint64 get_size(JsonNode *image)
{
    JsonNode *size = cvd_node_get_member(image, "virtual-size");
    gboolean is_number = size != NULL && json_node_get_value_type(size) == G_TYPE_INT64;

    return is_number ? (guint64)MAX(json_node_get_int(size), 0) : 0;
}

/* The path is the configuration's: QEMU may be compromised, and must not choose what is read.
 * @inserted: a medium that can be written to */
static CvdSaveDisk *check_disk(const CvdConfig *config, JsonNode *inserted, guint *index,
                               GError **error)
{
    const char *name = get_text(inserted, "node-name");
    g_autoptr(JsonNode) node = name != NULL ? find_blockdev(config, name, index) : NULL;
    const Blockdev disk = {*index, name, node};

    if (node == NULL) {
        const char *file = get_text(inserted, "file");
        cvd_fail(error, CVD_ERROR_FAILED,
                 "the disk %s is not in qemu.blockdevs, so that it cannot be saved: define it "
                 "there as a qcow2, " OR_READ_ONLY,
                 file != NULL ? file : "without a file");
        return NULL;
    }
    g_autoptr(JsonNode) file = find_file(config, node);
    const char *name_of_file = get_text(file, "filename");
    g_autofree char *path = make_absolute(config, name_of_file != NULL ? name_of_file : "FILE");
    if (!check_format(&disk, path, error) || !check_file(config, &disk, file, error) ||
        !check_image(&disk, path, cvd_node_get_member(inserted, "image"), error))
        return NULL;
    CvdSaveDisk *found = g_new(CvdSaveDisk, 1);
    *found = (CvdSaveDisk){.node = g_strdup(name),
                           .path = g_steal_pointer(&path),
                           .size = get_size(cvd_node_get_member(inserted, "image"))};
    return found;
}

static JsonArray *get_array(JsonNode *node)
{
    return JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

/* QEMU has them in an order of its own. */
static GPtrArray *sort(const CvdConfig *config, GHashTable *by_index)
{
    GPtrArray *disks = g_ptr_array_new_with_free_func((GDestroyNotify)cvd_save_disk_free);

    for (guint i = 0; config->qemu.blockdevs[i] != NULL; i++) {
        gpointer index, disk;
        if (g_hash_table_steal_extended(by_index, GUINT_TO_POINTER(i), &index, &disk))
            g_ptr_array_add(disks, disk);
    }
    return disks;
}

GPtrArray *cvd_save_find_disks(const CvdConfig *config, JsonNode *blocks, GError **error)
{
    JsonArray *devices = get_array(blocks);
    g_autoptr(GHashTable) by_index =
        g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)cvd_save_disk_free);

    for (guint i = 0; devices != NULL && i < json_array_get_length(devices); i++) {
        JsonNode *inserted = cvd_node_get_member(json_array_get_element(devices, i), "inserted");
        guint index = 0;
        if (inserted == NULL || !JSON_NODE_HOLDS_OBJECT(inserted) || is_true(inserted, "ro"))
            continue;
        CvdSaveDisk *disk = check_disk(config, inserted, &index, error);
        if (disk == NULL)
            return NULL;
        g_hash_table_replace(by_index, GUINT_TO_POINTER(index), disk);
    }
    return sort(config, by_index);
}

/* ---- Memory ---- */

gboolean cvd_save_has_other_shared_memory(JsonNode *memdevs)
{
    JsonArray *devices = get_array(memdevs);

    for (guint i = 0; devices != NULL && i < json_array_get_length(devices); i++) {
        JsonNode *memdev = json_array_get_element(devices, i);
        if (is_true(memdev, "share") && g_strcmp0(get_text(memdev, "id"), CVD_RAM_ID) != 0)
            return TRUE;
    }
    return FALSE;
}
