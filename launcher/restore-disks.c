/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of a snapshot are never written to: QEMU gets an overlay over each. QEMU itself has written
 * what is in them, perhaps a compromised one, so nothing that follows from their content happens in
 * the launcher or in qemu-img: the latter is given the size, and opens none of them.
 */
#include "launcher/restore-disks.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/qcow2.h"
#include "base/source.h"
#include "launcher/config/place.h"
#include "launcher/config/types.h"
#include "launcher/qemu/save-check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define QEMU_IMG_LIMIT_S 60
#define MAX_OUTPUT       1024

/* ---- In the configuration ---- */

/* Returns: the disk's number in the snapshot; −1: it is none */
static int find_disk(const CvdRestore *restore, JsonNode *blockdev)
{
    const char *name = cvd_node_get_string(cvd_node_get_member(blockdev, "node-name"));

    for (guint i = 0; name != NULL && i < restore->info->disks->len; i++)
        if (strcmp(name, g_ptr_array_index(restore->info->disks, i)) == 0)
            return (int)i;
    return -1;
}

static JsonObject *new_file(const char *path)
{
    JsonObject *file = json_object_new();

    json_object_set_string_member(file, "driver", "file");
    json_object_set_string_member(file, "filename", path);
    return file;
}

/* Without what the disk's own file needed or did not need of the host's cache. */
static void set_file(JsonNode *blockdev, const char *path)
{
    JsonObject *object = json_node_get_object(blockdev);
    JsonNode *cache = cvd_node_get_member(blockdev, "cache");

    json_object_set_object_member(object, "file", new_file(path));
    if (cache != NULL && JSON_NODE_HOLDS_OBJECT(cache))
        json_object_remove_member(json_node_get_object(cache), "direct");
}

/* An entry of its own for a disk's file would open the file that the disk had. */
static void note_file(JsonNode *blockdev, GHashTable *unused)
{
    const char *name = cvd_node_get_string(cvd_node_get_member(blockdev, "file"));

    if (name != NULL)
        g_hash_table_add(unused, g_strdup(name));
}

static gboolean is_unused(JsonNode *blockdev, GHashTable *unused)
{
    const char *name = cvd_node_get_string(cvd_node_get_member(blockdev, "node-name"));

    return name != NULL && g_hash_table_contains(unused, name);
}

void cvd_restore_place_disks(const CvdRestore *restore, CvdConfig *config, const char *dir)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new_with_free_func((GDestroyNotify)json_node_unref);
    g_autoptr(GHashTable) unused = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GStrvBuilder) placed = g_strv_builder_new();

    for (char **text = config->qemu.blockdevs; *text != NULL; text++) {
        JsonNode *node = cvd_json_from_string(*text, NULL);
        int disk = find_disk(restore, node);
        g_ptr_array_add(nodes, node);
        if (disk < 0)
            continue;
        g_autofree char *name = cvd_snapshot_format_disk((guint)disk);
        g_autofree char *path = g_build_filename(dir, name, NULL);
        note_file(node, unused);
        set_file(node, path);
    }
    for (guint i = 0; i < nodes->len; i++) {
        g_autofree char *text = cvd_json_to_string(g_ptr_array_index(nodes, i), FALSE);
        if (!is_unused(g_ptr_array_index(nodes, i), unused))
            g_strv_builder_add(placed, text);
    }
    cvd_strings_take(&config->qemu.blockdevs, placed);
}

/* ---- Layers ---- */

/* A disk of a snapshot of a clone has more than one: those below follow in `disks`, by the same
 * name. Returns: the next one; −1: there is none */
static int find_below(const CvdRestore *restore, guint layer)
{
    const GPtrArray *disks = restore->info->disks;

    for (guint i = layer + 1; i < disks->len; i++)
        if (strcmp(g_ptr_array_index(disks, i), g_ptr_array_index(disks, layer)) == 0)
            return (int)i;
    return -1;
}

static gboolean is_top(const CvdRestore *restore, guint layer)
{
    for (guint i = 0; i < layer; i++)
        if (find_below(restore, i) == (int)layer)
            return FALSE;
    return TRUE;
}

/* Each layer is a descriptor; before that of a top one is its overlay's. */
static guint get_fdset(const CvdRestore *restore, guint layer)
{
    guint fdset = CVD_QEMU_FIRST_FDSET;

    for (guint i = 0; i < layer; i++)
        fdset += is_top(restore, i) ? 2 : 1;
    return fdset + is_top(restore, layer);
}

static JsonObject *new_fdset(guint number)
{
    g_autofree char *path = g_strdup_printf("/dev/fdset/%u", number);

    return new_file(path);
}

/* @below: (nullable): what the configuration says is under the lowest */
static JsonObject *new_layer(const CvdRestore *restore, guint layer, JsonNode *below)
{
    JsonObject *object = json_object_new();
    int next = find_below(restore, layer);

    json_object_set_string_member(object, "driver", "qcow2");
    json_object_set_object_member(object, "file", new_fdset(get_fdset(restore, layer)));
    if (next >= 0)
        json_object_set_object_member(object, "backing", new_layer(restore, (guint)next, below));
    else if (below != NULL)
        json_object_set_member(object, "backing", json_node_ref(below));
    return object;
}

static char *get_blockdev(const CvdRestore *restore, const char *text)
{
    g_autoptr(JsonNode) node = cvd_json_from_string(text, NULL);
    JsonObject *object = json_node_get_object(node);
    int disk = find_disk(restore, node);

    if (disk < 0)
        return g_strdup(text);
    JsonObject *layer = new_layer(restore, (guint)disk, json_object_get_member(object, "backing"));
    json_object_set_object_member(object, "file", new_fdset(get_fdset(restore, (guint)disk) - 1));
    json_object_set_object_member(object, "backing", layer);
    return cvd_json_to_string(node, FALSE);
}

char **cvd_restore_get_blockdevs(const CvdRestore *restore, const CvdConfig *config)
{
    g_autoptr(GStrvBuilder) blockdevs = g_strv_builder_new();

    for (char **text = config->qemu.blockdevs; *text != NULL; text++) {
        g_autofree char *blockdev = get_blockdev(restore, *text);
        g_strv_builder_add(blockdevs, blockdev);
    }
    return g_strv_builder_end(blockdevs);
}

/* Returns: (nullable): of the first @n */
static CvdSaveDisk *find_overlay(const GPtrArray *disks, guint n, const char *node)
{
    for (guint i = 0; i < n; i++) {
        CvdSaveDisk *disk = disks->pdata[i];
        if (strcmp(disk->node, node) == 0)
            return disk;
    }
    return NULL;
}

void cvd_restore_add_layers(const CvdRestore *restore, GPtrArray *disks)
{
    const guint n_overlays = disks->len;

    for (guint i = 0; i < restore->info->disks->len; i++) {
        const char *node = g_ptr_array_index(restore->info->disks, i);
        g_autofree char *file = cvd_snapshot_format_disk(i);
        CvdSaveDisk *overlay = find_overlay(disks, n_overlays, node);
        if (overlay == NULL)
            continue;
        overlay->is_launchers = TRUE;
        CvdSaveDisk *disk = g_new(CvdSaveDisk, 1);
        *disk = (CvdSaveDisk){
            .node = g_strdup(node),
            .path = g_build_filename(cvd_snapshot_get_dir(restore->snapshot), file, NULL),
            .is_launchers = TRUE,
        };
        g_ptr_array_add(disks, disk);
    }
}

/* ---- Overlays ---- */

struct CvdOverlays {
    const CvdRestore *restore;
    CvdInstanceDir *dir;
    CvdChildren *children;
    CvdOverlaysDone done;
    gpointer user_data;
    GArray *fds;
    guint n_layers;  /* that have theirs */
    CvdChild *child; /* NULL: none runs */
    int output_fd;   /* memory */
    GSource *timer;  /* its limit, or until it is told that there is no child */
    GError *error;
};

static gboolean spawn(CvdOverlays *overlays, const char *path, const char *overlay, guint64 size,
                      GError **error);

/* Of the next layer. @path: where that is; its descriptor is the last in @fds, from here on */
static gboolean make_overlay(CvdOverlays *overlays, const char *path, const char *file,
                             int layer_fd, GError **error)
{
    g_autofree char *overlay =
        g_build_filename(cvd_instance_dir_get_path(overlays->dir), file, NULL);
    CvdQcow2 header;

    if (!cvd_qcow2_read(layer_fd, &header))
        return cvd_fail(error, CVD_ERROR_INVALID, "%s: is no qcow2", path);
    cvd_autofd fd = cvd_instance_dir_create_file(overlays->dir, file, error);
    if (fd < 0 || !spawn(overlays, path, overlay, header.size, error))
        return FALSE;
    g_array_append_val(overlays->fds, fd);
    fd = -1;
    return TRUE;
}

/* Opens layers, up to the next one that is given an overlay. */
static gboolean go_on(CvdOverlays *overlays, GError **error)
{
    const CvdRestore *restore = overlays->restore;

    while (overlays->child == NULL && overlays->n_layers < restore->info->disks->len) {
        g_autofree char *file = cvd_snapshot_format_disk(overlays->n_layers);
        g_autofree char *path =
            g_build_filename(cvd_snapshot_get_dir(restore->snapshot), file, NULL);
        cvd_autofd fd = cvd_snapshot_open_file(restore->snapshot, file, error);
        if (fd < 0 ||
            (is_top(restore, overlays->n_layers) && !make_overlay(overlays, path, file, fd, error)))
            return FALSE;
        g_array_append_val(overlays->fds, fd);
        fd = -1;
        overlays->n_layers++;
    }
    return TRUE;
}

/* Returns: (transfer full): the first line that it has printed */
static char *read_output(int fd)
{
    char text[MAX_OUTPUT + 1] = "";
    gssize n = TEMP_FAILURE_RETRY(pread(fd, text, MAX_OUTPUT, 0));

    text[MAX(n, 0)] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return g_utf8_make_valid(text, -1);
}

static void finish(CvdOverlays *overlays, const GError *error)
{
    cvd_source_clear(&overlays->timer);
    overlays->done(error, overlays->user_data);
}

static void on_exited(CvdExit how, gpointer data)
{
    CvdOverlays *overlays = data;
    g_autofree char *said = read_output(overlays->output_fd);
    g_autofree char *end = cvd_exit_describe(how);
    g_autoptr(GError) error = NULL;

    cvd_source_clear(&overlays->timer);
    cvd_close_fd(&overlays->output_fd);
    g_clear_pointer(&overlays->child, cvd_child_free);
    if (how.is_signal || how.value != 0)
        cvd_fail(&error, CVD_ERROR_FAILED, "%s %s, which was to make a disk in %s%s%s",
                 overlays->restore->qemu_img, end, cvd_instance_dir_get_path(overlays->dir),
                 *said != '\0' ? ": " : "", said);
    else if (go_on(overlays, &error) && overlays->child != NULL)
        return;
    finish(overlays, error);
}

static gboolean on_late(gpointer data)
{
    CvdOverlays *overlays = data;

    cvd_source_clear(&overlays->timer);
    cvd_child_kill_group(overlays->child, SIGKILL);
    return G_SOURCE_REMOVE;
}

static gboolean spawn(CvdOverlays *overlays, const char *path, const char *overlay, guint64 size,
                      GError **error)
{
    static const CvdChildHandlers handlers = {.exited = on_exited};
    g_autofree char *bytes = g_strdup_printf("%ju", size);
    /* -u: what it is over is not opened. */
    char *argv[] = {overlays->restore->qemu_img,
                    (char *)"create",
                    (char *)"-q",
                    (char *)"-u",
                    (char *)"-f",
                    (char *)"qcow2",
                    (char *)"-F",
                    (char *)"qcow2",
                    (char *)"-b",
                    (char *)path,
                    (char *)"--",
                    (char *)overlay,
                    bytes,
                    NULL};

    overlays->output_fd = memfd_create("qemu-img", MFD_CLOEXEC);
    if (overlays->output_fd < 0)
        return cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "memfd_create");
    guint n_held_back = cvd_fd_hold_back(0); /* clients may have all the others */
    overlays->child = cvd_child_spawn(overlays->children,
                                      &(CvdSpawn){.argv = argv, .output = overlays->output_fd},
                                      &handlers, overlays, error);
    cvd_fd_hold_back(n_held_back);
    if (overlays->child == NULL)
        return FALSE;
    cvd_source_set_timer(&overlays->timer,
                         g_get_monotonic_time() + QEMU_IMG_LIMIT_S * G_TIME_SPAN_SECOND, on_late,
                         overlays);
    return TRUE;
}

static gboolean on_not_started(gpointer data)
{
    CvdOverlays *overlays = data;
    g_autoptr(GError) error = g_steal_pointer(&overlays->error);

    finish(overlays, error);
    return G_SOURCE_REMOVE;
}

CvdOverlays *cvd_overlays_make(const CvdRestore *restore, CvdInstanceDir *dir,
                               CvdChildren *children, CvdOverlaysDone done, gpointer user_data)
{
    CvdOverlays *overlays = g_new(CvdOverlays, 1);

    *overlays = (CvdOverlays){.restore = restore,
                              .dir = dir,
                              .children = children,
                              .done = done,
                              .user_data = user_data,
                              .fds = g_array_new(FALSE, FALSE, sizeof(int)),
                              .output_fd = -1};
    if (!go_on(overlays, &overlays->error))
        cvd_source_set_timer(&overlays->timer, g_get_monotonic_time(), on_not_started, overlays);
    return overlays;
}

void cvd_overlays_free(CvdOverlays *overlays)
{
    cvd_source_clear(&overlays->timer);
    g_clear_pointer(&overlays->child, cvd_child_free);
    cvd_close_fd(&overlays->output_fd);
    for (guint i = 0; i < overlays->fds->len; i++)
        cvd_close_fd(&g_array_index(overlays->fds, int, i));
    g_array_unref(overlays->fds);
    g_clear_error(&overlays->error);
    g_free(overlays);
}

const int *cvd_overlays_get_fds(const CvdOverlays *overlays, guint *n_fds)
{
    *n_fds = overlays->fds->len;
    return (const int *)(gpointer)overlays->fds->data;
}
