/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot of the running VM. QEMU is asked what has to be known, and the files are opened;
 * what fails up to here disturbs nobody. Then the lifecycle has the guest stopped, and says when it
 * stands still. QEMU writes its state, and a thread copies what it leaves out: window, RAM and
 * disks. From then on the guest may run, while digests are made.
 *
 * Whatever comes in between leads to cancel(), and whatever is under way then ends in end().
 */
#include "launcher/launch-private.h"

#include "base/error.h"
#include "base/snapshot-place.h"
#include "launcher/config/config.h"
#include "launcher/config/layout-print.h"
#include "launcher/qemu/save-check.h"
#include "launcher/qemu/save-facts.h"
#include "launcher/qemu/save.h"
#include "launcher/snapshot-job.h"

#include <fcntl.h>
#include <malloc.h>
#include <string.h>

typedef enum {
    SNAPSHOT_ASKING,    /* QEMU, about itself */
    SNAPSHOT_PREPARING, /* in a thread */
    SNAPSHOT_WAITING,   /* for the guest to stand still */
    SNAPSHOT_SAVING,    /* QEMU writes */
    SNAPSHOT_WORKING,   /* in a thread */
} SnapshotState;

struct CvdLaunchSnapshot {
    CvdLaunch *launch;
    CvdControlCall *call;
    SnapshotState state;
    gboolean keeps_running;
    gboolean has_other_shared_memory;
    CvdSnapshotJob *job;
    CvdSave *save;
    GCancellable *cancellable;
    gint64 begin_us;
    gint64 stopped_us;  /* when it was to be stopped */
    gint64 standing_us; /* how long it was; 0 = it still is, or was before */
};

/* ---- The end ---- */

static void snapshot_free(CvdLaunchSnapshot *snapshot)
{
    g_clear_pointer(&snapshot->save, cvd_save_free);
    cvd_snapshot_job_free(snapshot->job);
    g_object_unref(snapshot->cancellable);
    g_free(snapshot);
    malloc_trim(0);
}

static void log_success(const CvdLaunchSnapshot *snapshot)
{
    g_autofree char *size = g_format_size_full(snapshot->job->size_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *standing =
        snapshot->standing_us > 0
            ? g_strdup_printf("; the guest stood still for %.0f ms", snapshot->standing_us / 1000.0)
            : g_strdup("");

    g_message("snapshot %s is complete: %s in %.1f s%s", snapshot->job->info->name, size,
              (double)(g_get_monotonic_time() - snapshot->begin_us) / G_USEC_PER_SEC, standing);
}

/* What came in between counts more than that what was under way was cancelled. */
static GError *find_reason(const CvdLaunchSnapshot *snapshot, const GError *error)
{
    const CvdLaunch *launch = snapshot->launch;
    const char *obstacle = cvd_saving_describe_obstacle(&launch->lifecycle.saving);
    g_autofree char *state = cvd_describe_state(&launch->lifecycle, launch->fault);
    GError *reason = NULL;

    if (launch->lifecycle.saving.state == CVD_SAVING_CANCELLING)
        cvd_fail(&reason, CVD_ERROR_FAILED, "the snapshot was cancelled: %s",
                 obstacle[0] != '\0' ? obstacle : state);
    else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        cvd_fail(&reason, CVD_ERROR_FAILED, "its caller has gone");
    else
        reason = g_error_copy(error);
    return reason;
}

static void answer(CvdLaunchSnapshot *snapshot, const GError *error)
{
    const CvdSnapshotJob *job = snapshot->job;
    gboolean is_seen = snapshot->launch->lifecycle.saving.state != CVD_SAVING_NONE;

    if (error != NULL) {
        if (is_seen)
            g_warning("snapshot %s: %s", job->info->name, error->message);
        cvd_control_call_finish(snapshot->call, error);
    } else {
        log_success(snapshot);
        cvd_control_call_reply(snapshot->call, g_variant_new("(st)", job->path, job->size_bytes),
                               -1);
    }
}

/* @error: NULL = it is complete, even if it was cancelled at that moment */
static void end(CvdLaunchSnapshot *snapshot, const GError *error)
{
    CvdLaunch *launch = snapshot->launch;
    CvdSavingState state = launch->lifecycle.saving.state;
    g_autoptr(GError) reason = error != NULL ? find_reason(snapshot, error) : NULL;

    launch->snapshot = NULL;
    answer(snapshot, reason);
    snapshot_free(snapshot);
    if (state != CVD_SAVING_NONE)
        cvd_launch_handle(launch, reason != NULL || state == CVD_SAVING_CANCELLING
                                      ? CVD_EVENT_SNAPSHOT_FAILED
                                      : CVD_EVENT_SNAPSHOT_ENDED);
    if (launch->has_ended)
        g_main_loop_quit(launch->host.loop);
}

/* What is under way ends early; what waits for nothing but the guest ends here. */
static void cancel(CvdLaunchSnapshot *snapshot)
{
    g_autoptr(GError) error = NULL;

    g_cancellable_cancel(snapshot->cancellable);
    if (snapshot->state == SNAPSHOT_SAVING) {
        cvd_save_cancel(snapshot->save);
    } else if (snapshot->state == SNAPSHOT_WAITING) {
        g_cancellable_set_error_if_cancelled(snapshot->cancellable, &error);
        end(snapshot, error);
    }
}

void cvd_launch_cancel_snapshot(CvdLaunch *launch)
{
    if (launch->snapshot != NULL)
        cancel(launch->snapshot);
}

static void on_caller_gone(gpointer data)
{
    cancel(data);
}

/* Returns: whether to go on; if not, it has ended */
static gboolean may_go_on(CvdLaunchSnapshot *snapshot, const GError *error)
{
    g_autoptr(GError) cancelled = NULL;

    if (g_cancellable_set_error_if_cancelled(snapshot->cancellable, &cancelled))
        error = cancelled;
    if (error != NULL)
        end(snapshot, error);
    return error == NULL;
}

/* ---- While the guest stands still, and afterwards ---- */

static void on_finished(const GError *error, gpointer data)
{
    end(data, error);
}

static void on_copied(const GError *error, gpointer data)
{
    CvdLaunchSnapshot *snapshot = data;

    if (!may_go_on(snapshot, error))
        return;
    cvd_snapshot_job_run(snapshot->job, CVD_SNAPSHOT_FINISH, snapshot->cancellable, on_finished,
                         snapshot);
    if (!snapshot->keeps_running)
        return;
    if (snapshot->launch->lifecycle.guest.holds == CVD_HOLD_SNAPSHOT)
        snapshot->standing_us = g_get_monotonic_time() - snapshot->stopped_us;
    cvd_launch_handle(snapshot->launch, CVD_EVENT_SNAPSHOT_SAVED);
}

static gboolean dup_fds(CvdLaunchSnapshot *snapshot, GError **error)
{
    const CvdLaunch *launch = snapshot->launch;
    gboolean has_ram = launch->ram_fd >= 0 && !snapshot->has_other_shared_memory;
    CvdSnapshotJob *job = snapshot->job;

    job->window_fd = fcntl(cvd_server_get_window_fd(launch->host.server), F_DUPFD_CLOEXEC, 0);
    job->ram_fd = has_ram ? fcntl(launch->ram_fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (job->window_fd < 0 || (has_ram && job->ram_fd < 0))
        return cvd_fail(error, CVD_ERROR_RESOURCES,
                        "no descriptor is left: raise LimitNOFILE=, or "
                        "ulimit -n");
    return TRUE;
}

/* What was rung while the guest stood still, which QEMU does not know of. */
static void note_doorbells(const CvdLaunch *launch, GArray *doorbells)
{
    for (guint i = 0; i < launch->config->layout->n_regions; i++) {
        gboolean to_guest, to_host;
        cvd_server_get_pending(launch->host.server, i, &to_guest, &to_host);
        if (to_guest)
            g_array_append_val(doorbells, ((CvdSnapshotDoorbell){i, TRUE}));
        if (to_host)
            g_array_append_val(doorbells, ((CvdSnapshotDoorbell){i, FALSE}));
    }
}

static void on_saved(const GError *save_error, gpointer data)
{
    CvdLaunchSnapshot *snapshot = data;
    g_autoptr(GError) error = save_error != NULL ? g_error_copy(save_error) : NULL;

    snapshot->state = SNAPSHOT_WORKING;
    g_clear_pointer(&snapshot->save, cvd_save_free);
    gboolean is_full = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
    if (is_full)
        g_clear_error(&error);
    if (error == NULL && dup_fds(snapshot, &error) && is_full)
        cvd_snapshot_job_set_space_error(snapshot->job, &error);
    if (!may_go_on(snapshot, error))
        return;
    note_doorbells(snapshot->launch, snapshot->job->info->doorbells);
    cvd_snapshot_job_run(snapshot->job, CVD_SNAPSHOT_COPY, snapshot->cancellable, on_copied,
                         snapshot);
}

void cvd_launch_save(CvdLaunch *launch)
{
    CvdLaunchSnapshot *snapshot = launch->snapshot;
    gboolean ignore_shared = launch->ram_fd >= 0 && !snapshot->has_other_shared_memory;

    snapshot->state = SNAPSHOT_SAVING;
    snapshot->job->info->time_s = g_get_real_time() / G_USEC_PER_SEC;
    snapshot->save =
        cvd_save_new(launch->vm->qmp, g_steal_fd(&snapshot->job->state_fd), ignore_shared,
                     1000 * launch->config->qmp_timeout_s, on_saved, snapshot);
    cvd_save_start(snapshot->save);
}

void cvd_launch_note_qmp_closed(CvdLaunch *launch)
{
    if (launch->snapshot != NULL && launch->snapshot->save != NULL)
        cvd_save_closed(launch->snapshot->save);
}

void cvd_launch_note_migration(CvdLaunch *launch, JsonObject *event_data)
{
    if (launch->snapshot != NULL && launch->snapshot->save != NULL)
        cvd_save_event(launch->snapshot->save, event_data);
}

/* ---- Before ---- */

/* The state may be another one by now. */
static void on_prepared(const GError *error, gpointer data)
{
    CvdLaunchSnapshot *snapshot = data;
    CvdLaunch *launch = snapshot->launch;
    g_autoptr(GError) refusal = NULL;

    if (error == NULL)
        cvd_launch_check_verb(launch, cvd_verb_find("Snapshot"), &refusal);
    if (!may_go_on(snapshot, error != NULL ? error : refusal))
        return;
    snapshot->state = SNAPSHOT_WAITING;
    snapshot->stopped_us = g_get_monotonic_time();
    cvd_launch_handle(launch, CVD_EVENT_SNAPSHOT_REQUESTED);
}

static gboolean take_disks(const CvdLaunch *launch, CvdSnapshotJob *job, CvdSaveFacts *facts,
                           GError **error)
{
    job->disks = g_steal_pointer(&facts->disks);
    if (launch->restore.from != NULL)
        cvd_restore_add_layers(launch->restore.from, job->disks);
    for (guint i = 0; i < job->disks->len; i++)
        g_ptr_array_add(job->info->disks,
                        g_strdup(((const CvdSaveDisk *)job->disks->pdata[i])->node));
    if (job->disks->len > CVD_SNAPSHOT_MAX_DISKS)
        return cvd_fail(error, CVD_ERROR_FAILED,
                        "the disks that the guest can write to have %u files, with those of the "
                        "snapshots that it is from; a snapshot can have %d",
                        job->disks->len, CVD_SNAPSHOT_MAX_DISKS);
    return TRUE;
}

static void on_asked(CvdSaveFacts *facts, const GError *asking_error, gpointer data)
{
    CvdLaunchSnapshot *snapshot = data;
    CvdSnapshotInfo *info = snapshot->job->info;
    g_autoptr(GError) error = asking_error != NULL ? g_error_copy(asking_error) : NULL;

    if (error == NULL) {
        snapshot->has_other_shared_memory = facts->has_other_shared_memory;
        info->qemu_version = g_steal_pointer(&facts->qemu_version);
        info->machine = g_steal_pointer(&facts->machine);
        info->accel = g_steal_pointer(&facts->accel);
        take_disks(snapshot->launch, snapshot->job, facts, &error);
    }
    if (!may_go_on(snapshot, error))
        return;
    snapshot->state = SNAPSHOT_PREPARING;
    snapshot->job->qemu_fds = cvd_qemu_process_open_fds(snapshot->launch->vm->process);
    cvd_snapshot_job_run(snapshot->job, CVD_SNAPSHOT_PREPARE, snapshot->cancellable, on_prepared,
                         snapshot);
}

static void fill_info(CvdSnapshotInfo *info, const CvdConfig *config, const char *path)
{
    info->name = g_path_get_basename(path);
    info->product_version = g_strdup(CVD_VERSION);
    info->instance = g_strdup(config->name);
    info->memory_bytes = config->qemu.memory_bytes;
    info->layout_digest = cvd_layout_digest(config->layout);
    info->config_directory = g_strdup(config->directory);
    info->qemu_directory = g_strdup(config->qemu.directory);
}

static CvdLaunchSnapshot *snapshot_new(CvdLaunch *launch, const char *path)
{
    CvdLaunchSnapshot *snapshot = g_new0(CvdLaunchSnapshot, 1);

    snapshot->launch = launch;
    snapshot->begin_us = g_get_monotonic_time();
    snapshot->cancellable = g_cancellable_new();
    snapshot->job = cvd_snapshot_job_new(path);
    snapshot->job->run_as = launch->config->qemu.run_as;
    snapshot->job->config = cvd_config_format(launch->config);
    snapshot->job->info = cvd_snapshot_info_new();
    fill_info(snapshot->job->info, launch->config, path);
    return snapshot;
}

static gboolean take_options(CvdLaunchSnapshot *snapshot, GVariantIter *options, GError **error)
{
    const char *name;
    GVariant *value;

    while (g_variant_iter_next(options, "{&sv}", &name, &value)) {
        g_autoptr(GVariant) owned = value;
        gboolean is_boolean = g_variant_is_of_type(owned, G_VARIANT_TYPE_BOOLEAN);
        if (is_boolean && strcmp(name, "keep_running") == 0)
            snapshot->keeps_running = g_variant_get_boolean(value);
        else if (is_boolean && strcmp(name, "compress") == 0)
            snapshot->job->compresses = g_variant_get_boolean(value);
        else
            return cvd_fail(error, CVD_ERROR_INVALID, "snapshot: there is no option %s", name);
    }
    return TRUE;
}

/* Returns: (transfer full) (nullable): its path */
static char *check(const CvdLaunch *launch, const char *name, GError **error)
{
    if (launch->snapshot != NULL) {
        cvd_fail(error, CVD_ERROR_BUSY,
                 "another snapshot is being taken, %s; wait until it is "
                 "complete",
                 launch->snapshot->job->path);
        return NULL;
    }
    if (strchr(name, '/') != NULL && !g_path_is_absolute(name)) {
        cvd_fail(error, CVD_ERROR_INVALID, "%s: give a name, or an absolute path", name);
        return NULL;
    }
    return cvd_save_check_config(launch->config, error) ? cvd_snapshot_get_path(name, error) : NULL;
}

void cvd_launch_take_snapshot(CvdLaunch *launch, GVariant *arguments, CvdControlCall *take_call)
{
    g_autoptr(GVariantIter) options = NULL;
    g_autoptr(GError) error = NULL;
    const char *name;

    g_variant_get(arguments, "(&sa{sv})", &name, &options);
    g_autofree char *path = check(launch, name, &error);
    if (path == NULL) {
        cvd_control_call_finish(take_call, error);
        return;
    }
    CvdLaunchSnapshot *snapshot = snapshot_new(launch, path);
    if (!take_options(snapshot, options, &error)) {
        snapshot_free(snapshot);
        cvd_control_call_finish(take_call, error);
        return;
    }
    snapshot->call = take_call;
    launch->snapshot = snapshot;
    cvd_control_call_set_cancelled(take_call, on_caller_gone, snapshot);
    cvd_save_ask(launch->vm->qmp, launch->config, on_asked, snapshot);
}
