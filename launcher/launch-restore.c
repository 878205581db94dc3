/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM from a snapshot: what is made for it before its QEMU is started, and what that is told once
 * it has read the hand-over. Each VM of the launch begins there, whatever became of the one before.
 */
#include "launcher/launch-private.h"

#include "base/error.h"
#include "base/fd.h"
#include "launcher/qemu/ram.h"
#include "launcher/qemu/save.h"

#include <string.h>

/* How QEMU calls the descriptor of its state. */
#define STATE_FD_NAME "cvd-state"
/* How long disks and memory may take. */
#define PREPARE_S 600

/* Memory that is being filled. It outlives a VM that is cancelled meanwhile, and at the end of the
 * launch its thread may still read: it has all that it needs. */
typedef struct {
    CvdLaunch *launch;
    GCancellable *cancellable;
    char *path; /* of the snapshot */
    const char *file;
    int fd;
} Copy;

static void copy_free(gpointer data)
{
    Copy *copy = data;

    g_object_unref(copy->cancellable);
    cvd_close_fd(&copy->fd);
    g_free(copy->path);
    g_free(copy);
}

/* ---- Before QEMU ---- */

guint cvd_launch_get_prepare_s(const CvdRestore *restore)
{
    gboolean is_any = restore != NULL &&
                      (restore->ram == CVD_RESTORE_RAM_COPIED || restore->info->disks->len > 0);

    return is_any ? PREPARE_S : 0;
}

gboolean cvd_launch_open_restore(CvdLaunch *launch, GError **error)
{
    const CvdRestore *restore = launch->restore.from;

    if (restore == NULL)
        return TRUE;
    cvd_autofd window = cvd_snapshot_open_file(restore->snapshot, CVD_SNAPSHOT_WINDOW, error);
    launch->restore.blockdevs = cvd_restore_get_blockdevs(restore, launch->config);
    return window >= 0 && cvd_server_set_content(launch->host.server, window, error);
}

static gboolean is_prepared(const CvdLaunchRestore *restore)
{
    return restore->copy == NULL && !restore->is_making_disks;
}

static void go_on(CvdLaunch *launch, const GError *error)
{
    if (error == NULL && !is_prepared(&launch->restore))
        return;
    if (error != NULL)
        cvd_launch_cancel_restore(launch);
    cvd_launch_restore_prepared(launch, error);
}

static void on_disks(const GError *error, gpointer data)
{
    CvdLaunch *launch = data;

    launch->restore.is_making_disks = FALSE;
    go_on(launch, error);
}

/* In a thread of its own, with a snapshot of its own. */
static void fill(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Copy *copy = data;
    GError *error = NULL;
    g_autoptr(CvdSnapshot) snapshot = cvd_snapshot_look(copy->path, &error);

    if (snapshot != NULL &&
        cvd_snapshot_copy_out(snapshot, copy->file, copy->fd, cancellable, &error))
        g_task_return_boolean(task, TRUE);
    else
        g_task_return_error(task, error);
}

static void on_filled(GObject *source, GAsyncResult *result, gpointer data)
{
    Copy *copy = g_task_get_task_data(G_TASK(result));
    CvdLaunch *launch = copy->launch;
    g_autoptr(GError) error = NULL;
    gboolean is_filled = g_task_propagate_boolean(G_TASK(result), &error);

    if (launch->restore.copy != copy->cancellable)
        return; /* another VM's, or none's, by now */
    launch->restore.copy = NULL;
    if (is_filled)
        launch->restore.ram_fd = g_steal_fd(&copy->fd);
    go_on(launch, error);
}

static gboolean begin_copy(CvdLaunch *launch, GError **error)
{
    const CvdRestore *restore = launch->restore.from;
    int fd = cvd_ram_new(restore->info->memory_bytes, error);

    if (fd < 0)
        return FALSE;
    Copy *copy = g_new(Copy, 1);
    *copy = (Copy){.launch = launch,
                   .cancellable = g_cancellable_new(),
                   .path = g_strdup(cvd_snapshot_get_dir(restore->snapshot)),
                   .file = cvd_restore_get_ram_file(restore),
                   .fd = fd};
    g_autoptr(GTask) task = g_task_new(NULL, copy->cancellable, on_filled, NULL);
    g_task_set_task_data(task, copy, copy_free);
    g_task_run_in_thread(task, fill);
    launch->restore.copy = copy->cancellable;
    return TRUE;
}

gboolean cvd_launch_prepare_restore(CvdLaunch *launch, GError **error)
{
    CvdLaunchRestore *restore = &launch->restore;

    cvd_launch_cancel_restore(launch);
    if (restore->from == NULL)
        return TRUE;
    if (restore->from->ram == CVD_RESTORE_RAM_COPIED && !begin_copy(launch, error))
        return FALSE;
    if (restore->from->info->disks->len > 0) {
        restore->is_making_disks = TRUE;
        restore->overlays =
            cvd_overlays_make(restore->from, launch->host.dir, launch->children, on_disks, launch);
    }
    launch->is_preparing = !is_prepared(restore);
    return TRUE;
}

void cvd_launch_cancel_restore(CvdLaunch *launch)
{
    CvdLaunchRestore *restore = &launch->restore;

    if (restore->copy != NULL)
        g_cancellable_cancel(restore->copy);
    restore->copy = NULL;
    restore->is_making_disks = FALSE;
    g_clear_pointer(&restore->overlays, cvd_overlays_free);
    cvd_close_fd(&restore->ram_fd);
}

void cvd_launch_close_restore(CvdLaunch *launch)
{
    cvd_launch_cancel_restore(launch);
    g_clear_pointer(&launch->restore.blockdevs, g_strfreev);
}

/* ---- With QEMU ---- */

gboolean cvd_launch_give_restored(CvdLaunch *launch, CvdVmResources *resources, GError **error)
{
    const CvdRestore *restore = launch->restore.from;

    resources->origin = cvd_restore_get_origin(restore);
    if (restore->ram == CVD_RESTORE_RAM_IN_STATE)
        launch->ram_fd = cvd_ram_new(restore->info->memory_bytes, error);
    else if (restore->ram == CVD_RESTORE_RAM_COPIED)
        launch->ram_fd = g_steal_fd(&launch->restore.ram_fd);
    resources->ram_fd = restore->ram == CVD_RESTORE_RAM_PRIVATE ? restore->ram_fd : launch->ram_fd;
    if (launch->restore.overlays != NULL) {
        resources->origin.blockdevs = launch->restore.blockdevs;
        resources->disk_fds =
            cvd_overlays_get_fds(launch->restore.overlays, &resources->origin.n_fds);
    }
    launch->restore.must_ring = TRUE;
    return resources->ram_fd >= 0;
}

static void fail(CvdLaunch *launch, const char *why)
{
    g_free(launch->failure);
    launch->failure = g_strdup(why);
    cvd_launch_handle(launch, CVD_EVENT_RESTORE_FAILED);
}

/* Returns: whether QEMU did as it was told. If its connection has ended, that is told otherwise. */
static gboolean check_reply(CvdLaunch *launch, const char *command, const GError *error)
{
    if (error == NULL || g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED))
        return error == NULL;
    g_autofree char *why = g_strdup_printf("snapshot %s: QEMU refused %s: %s",
                                           launch->restore.from->name, command, error->message);
    fail(launch, why);
    return FALSE;
}

/* MIGRATION follows. */
static void on_begun(CvdJsonSpan result, const GError *error, gpointer data)
{
    check_reply(data, "migrate-incoming", error);
}

static void on_fd(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdLaunch *launch = data;

    if (check_reply(launch, "getfd", error))
        cvd_qmp_execute(launch->vm->qmp, "migrate-incoming", "{\"uri\":\"fd:" STATE_FD_NAME "\"}",
                        on_begun, launch);
}

static void on_capabilities(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdLaunch *launch = data;
    g_autoptr(GError) reason = NULL;

    if (!check_reply(launch, "migrate-set-capabilities", error))
        return;
    int fd = cvd_restore_open_state(launch->restore.from, &reason);
    if (fd < 0)
        fail(launch, reason->message);
    else
        cvd_qmp_pass_fd(launch->vm->qmp, STATE_FD_NAME, fd, on_fd, launch);
}

static void on_machine(CvdJsonSpan result, const GError *error, gpointer data)
{
    static const char capabilities[] =
        "{\"capabilities\":[{\"capability\":\"events\",\"state\":true},"
        "{\"capability\":\"x-ignore-shared\",\"state\":%s}]}";
    CvdLaunch *launch = data;
    const CvdRestore *restore = launch->restore.from;
    g_autoptr(GError) reason = NULL;

    if (!check_reply(launch, "qom-get", error))
        return;
    g_autoptr(JsonNode) type = cvd_json_parse_leniently(result);
    if (!cvd_restore_check_machine(restore, cvd_node_get_string(type), &reason)) {
        fail(launch, reason->message);
        return;
    }
    g_autofree char *arguments =
        g_strdup_printf(capabilities, restore->info->has_ram ? "true" : "false");
    cvd_qmp_execute(launch->vm->qmp, "migrate-set-capabilities", arguments, on_capabilities,
                    launch);
}

/* What does not fit is said before anything is loaded: QEMU's own words come late, if at all. */
void cvd_launch_restore(CvdLaunch *launch)
{
    g_autofree char *version = cvd_qmp_get_version(launch->vm->qmp);
    g_autoptr(GError) error = NULL;

    if (!cvd_restore_check_qemu(launch->restore.from, version, &error))
        fail(launch, error->message);
    else
        cvd_qmp_execute(launch->vm->qmp, "qom-get", "{\"path\":\"/machine\",\"property\":\"type\"}",
                        on_machine, launch);
}

/* What it had said before it was saved it does not say again; its word in the window is the
 * server's to find. */
static void restored(CvdLaunch *launch)
{
    if (launch->restore.from->info->has_ram)
        cvd_save_include_shared(launch->vm->qmp);
    cvd_launch_handle(launch, CVD_EVENT_RESTORED);
    if (launch->config->ready != CVD_MACHINE_READY_GUEST || launch->config->ready_pattern == NULL)
        return;
    launch->ready.by = "it was when its snapshot was taken";
    cvd_launch_handle(launch, CVD_EVENT_GUEST_READY);
}

void cvd_launch_handle_migration(CvdLaunch *launch, const char *status)
{
    if (!(launch->lifecycle.guest.holds & CVD_HOLD_RESTORE))
        return;
    if (strcmp(status, "completed") == 0) {
        restored(launch);
    } else if (strcmp(status, "failed") == 0) {
        g_autofree char *why =
            g_strdup_printf("QEMU could not load snapshot %s", launch->restore.from->name);
        fail(launch, why);
    }
}

/* ---- Doorbells ---- */

/* Those that had been rung and not been answered: rung once more. */
static void ring(CvdLaunch *launch, gboolean to_guest)
{
    const GArray *doorbells = launch->restore.from->info->doorbells;
    g_autoptr(GArray) regions = g_array_new(FALSE, FALSE, sizeof(guint));
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < doorbells->len; i++) {
        const CvdSnapshotDoorbell *doorbell = &g_array_index(doorbells, CvdSnapshotDoorbell, i);
        if (doorbell->to_guest == to_guest && doorbell->region < launch->config->layout->n_regions)
            g_array_append_val(regions, doorbell->region);
    }
    if (!cvd_server_ring(launch->host.server, (const guint *)(gpointer)regions->data, regions->len,
                         to_guest, &error) &&
        cvd_launch_may_log(launch))
        g_warning("%s", error->message);
}

void cvd_launch_ring_hosts(CvdLaunch *launch)
{
    if (launch->restore.from != NULL)
        ring(launch, FALSE);
}

void cvd_launch_ring_guest(CvdLaunch *launch)
{
    if (launch->restore.must_ring)
        ring(launch, TRUE);
    launch->restore.must_ring = FALSE;
}
