/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What info says of a snapshot by its configuration and the heads of its disks. Where these are
 * damaged or of another kind less is said: only --verify looks for damage.
 */
#include "ctl/ctl.h"
#include "ctl/snapshots.h"

#include "base/fd.h"
#include "base/json.h"
#include "base/qcow2.h"

#include <string.h>
#include <unistd.h>

JsonNode *cvd_ctl_load_snapshot_config(const CvdSnapshot *snapshot)
{
    cvd_autofd fd = cvd_snapshot_open_file(snapshot, CVD_SNAPSHOT_CONFIG, NULL);
    gsize size;
    g_autofree char *text = fd >= 0 ? cvd_ctl_read(fd, CVD_JSON_MAX_SIZE, &size, NULL) : NULL;

    return text != NULL ? cvd_json_parse(text, size, NULL, NULL) : NULL;
}

static JsonNode *get_member(JsonNode *node, const char *name)
{
    return node != NULL && JSON_NODE_HOLDS_OBJECT(node)
               ? json_object_get_member(json_node_get_object(node), name)
               : NULL;
}

static const char *get_text(JsonNode *node, const char *name)
{
    return node != NULL && JSON_NODE_HOLDS_OBJECT(node)
               ? cvd_json_get_text(json_node_get_object(node), name)
               : NULL;
}

static guint get_length(JsonNode *array)
{
    return array != NULL && JSON_NODE_HOLDS_ARRAY(array)
               ? json_array_get_length(json_node_get_array(array))
               : 0;
}

static JsonNode *get_element(JsonNode *array, guint index)
{
    return index < get_length(array) ? json_array_get_element(json_node_get_array(array), index)
                                     : NULL;
}

const char *cvd_ctl_get_region_name(JsonNode *config, guint region)
{
    JsonNode *regions = get_member(get_member(config, "layout"), "vsoc_device_regions");

    return get_text(get_element(regions, region), "device_name");
}

/* ---- Files elsewhere ---- */

static void add_once(GPtrArray *files, const char *file)
{
    if (file != NULL && !g_ptr_array_find_with_equal_func(files, file, g_str_equal, NULL))
        g_ptr_array_add(files, g_strdup(file));
}

/* Those that an entry of blockdevs has, and the entries in it. */
static void add_filenames(GPtrArray *files, JsonNode *blockdev)
{
    JsonObjectIter iter;
    JsonNode *member;

    if (blockdev == NULL || !JSON_NODE_HOLDS_OBJECT(blockdev))
        return;
    add_once(files, get_text(blockdev, "filename"));
    json_object_iter_init(&iter, json_node_get_object(blockdev));
    while (json_object_iter_next(&iter, NULL, &member))
        add_filenames(files, member);
}

/* Returns: the number of the lowest layer of that disk; −1: it is none of the snapshot's */
static int find_disk(const CvdSnapshotInfo *info, const char *node)
{
    guint i = info->disks->len;

    while (node != NULL && i-- > 0)
        if (strcmp(g_ptr_array_index(info->disks, i), node) == 0)
            return (int)i;
    return -1;
}

static char *read_backing_file(const CvdSnapshot *snapshot, guint disk)
{
    g_autofree char *file = cvd_snapshot_format_disk(disk);
    cvd_autofd fd = cvd_snapshot_open_file(snapshot, file, NULL);

    return fd >= 0 ? cvd_qcow2_read_backing_file(fd) : NULL;
}

/* Of a disk that the snapshot has, what is under it. The entry may say so, also that it is nothing.
 */
static void add_backing(GPtrArray *files, const CvdSnapshot *snapshot, JsonNode *blockdev, int disk)
{
    JsonNode *backing = get_member(blockdev, "backing");
    g_autofree char *name = backing == NULL ? read_backing_file(snapshot, (guint)disk) : NULL;

    add_filenames(files, backing);
    add_once(files, name);
}

/* Whether the entry is the file of a disk that the snapshot has. */
static gboolean is_replaced(const CvdSnapshotInfo *info, JsonNode *blockdevs, const char *node)
{
    for (guint i = 0; node != NULL && i < get_length(blockdevs); i++) {
        JsonNode *blockdev = get_element(blockdevs, i);
        if (find_disk(info, get_text(blockdev, "node-name")) >= 0 &&
            g_strcmp0(get_text(blockdev, "file"), node) == 0)
            return TRUE;
    }
    return FALSE;
}

GPtrArray *cvd_ctl_find_needed_files(const CvdSnapshot *snapshot, JsonNode *config)
{
    static const char *const keys[] = {"kernel", "initrd", "firmware"};
    const CvdSnapshotInfo *info = cvd_snapshot_get_info(snapshot);
    GPtrArray *files = g_ptr_array_new_with_free_func(g_free);
    JsonNode *qemu = get_member(config, "qemu"), *blockdevs = get_member(qemu, "blockdevs");

    for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *path = get_text(qemu, keys[i]);
        if (path != NULL && path[0] == '/') /* else firmware of QEMU's own */
            add_once(files, path);
    }
    for (guint i = 0; i < get_length(blockdevs); i++) {
        JsonNode *blockdev = get_element(blockdevs, i);
        const char *node = get_text(blockdev, "node-name");
        int disk = find_disk(info, node);
        if (disk >= 0)
            add_backing(files, snapshot, blockdev, disk);
        else if (!is_replaced(info, blockdevs, node))
            add_filenames(files, blockdev);
    }
    return files;
}
