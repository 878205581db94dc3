/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands go one by one, each when the one before is answered, and the event MIGRATION says
 * how it ends. Whatever comes in between, finish() is reached when it is over for QEMU, which
 * refuses to let the guest go on before. The event alone does not say that: the thread that
 * migrates sends it, and ends the run state `finish-migrate` later, when it has QEMU's lock. There
 * is no event for that, so QEMU is asked.
 */
#include "launcher/qemu/save.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/source.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <string.h>
#include <sys/stat.h>

#define FD_NAME "cvd-snapshot"
/* Between two questions for the run state; each is twice the one before. */
#define FIRST_PAUSE_US G_TIME_SPAN_MILLISECOND
#define LAST_PAUSE_US  (128 * G_TIME_SPAN_MILLISECOND)

typedef enum {
    SAVE_PREPARING, /* what the migration is to be like, and its descriptor */
    SAVE_STARTING,  /* `migrate` was sent */
    SAVE_WRITING,
    SAVE_SETTLING, /* it is over, until QEMU lets the guest go on */
    SAVE_ASKING,   /* why it has failed */
    SAVE_ENDED,
} SaveState;

/* QEMU's word for a migration, as far as it matters. */
typedef enum {
    MIGRATION_RUNS,
    MIGRATION_COMPLETED,
    MIGRATION_FAILED,
    MIGRATION_CANCELLED,
} Migration;

struct CvdSave {
    SaveState state;
    CvdQmp *qmp;
    int passed_fd; /* until QEMU gets it */
    int fd;        /* another of the same file */
    gboolean ignore_shared;
    guint limit_ms;
    off_t size;      /* of the file, when it was looked at last */
    GSource *timer;  /* of the limit, or of the next question */
    gint64 pause_us; /* before that */
    gint64 over_us;  /* when the migration was over */
    Migration migration;
    gboolean is_cancelling; /* `migrate_cancel` was sent, and not answered */
    GError *reason;         /* why it was cancelled */
    CvdSaveDone done;
    gpointer user_data;
};

/* ---- The end ---- */

void cvd_save_include_shared(CvdQmp *qmp)
{
    cvd_qmp_execute(qmp, "migrate-set-capabilities",
                    "{\"capabilities\":[{\"capability\":\"x-ignore-shared\",\"state\":false}]}",
                    NULL, NULL);
}

static void finish(CvdSave *save, const GError *error)
{
    g_autoptr(GError) reason = g_steal_pointer(&save->reason);

    save->state = SAVE_ENDED;
    cvd_source_clear(&save->timer);
    if (save->ignore_shared && save->qmp != NULL)
        cvd_save_include_shared(save->qmp);
    save->done(reason != NULL ? reason : error, save->user_data);
}

/* QEMU may have the descriptor still. */
static void finish_in_vain(CvdSave *save, const GError *error)
{
    cvd_qmp_execute(save->qmp, "closefd", "{\"fdname\":\"" FD_NAME "\"}", NULL, NULL);
    finish(save, error);
}

static const char *find_advice(const char *text)
{
    static const struct {
        const char *text;
        const char *advice;
    } rows[] = {
        {"VirtFS", "; unmount it in the guest"},
        {"migratable", "; take that device out of the configuration, and start the machine again"},
        {"disabled", "; take that device out of the configuration, and start the machine again"},
        {"due to previous migration",
         "; the guest has stood still since a snapshot before: resume it first (cvd-ctl resume)"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strstr(text, rows[i].text) != NULL)
            return rows[i].advice;
    return "";
}

/* Returns: (transfer full) (nullable) */
static char *get_text(CvdJsonSpan answer, const char *member)
{
    g_autoptr(JsonNode) node = cvd_json_parse_leniently(answer);

    return JSON_NODE_HOLDS_OBJECT(node)
               ? g_strdup(cvd_json_get_text(json_node_get_object(node), member))
               : NULL;
}

static void on_failure(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdSave *save = data;
    g_autofree char *text = get_text(result, "error-desc");
    g_autoptr(GError) failure = NULL;

    if (error != NULL && g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED))
        failure = g_error_copy(error);
    else if (text != NULL && strstr(text, g_strerror(ENOSPC)) != NULL)
        g_set_error(&failure, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "no space");
    else
        cvd_fail(&failure, CVD_ERROR_FAILED, "QEMU could not write its state: %.*s",
                 CVD_QMP_MAX_DESCRIPTION, text != NULL ? text : "it does not say why");
    finish(save, failure);
}

/* ---- The migration ---- */

static void conclude(CvdSave *save)
{
    g_autoptr(GError) error = NULL;

    if (save->migration == MIGRATION_FAILED && save->reason == NULL) {
        save->state = SAVE_ASKING;
        cvd_qmp_execute(save->qmp, "query-migrate", NULL, on_failure, save);
        return;
    }
    if (save->migration == MIGRATION_CANCELLED)
        cvd_fail(&error, CVD_ERROR_FAILED, "somebody else has cancelled it, over QMP");
    finish(save, error);
}

static gboolean ask_status(gpointer data);

static void ask_again(CvdSave *save)
{
    gint64 now_us = g_get_monotonic_time();
    g_autoptr(GError) late = NULL;

    if (save->limit_ms > 0 && now_us - save->over_us > save->limit_ms * G_TIME_SPAN_MILLISECOND) {
        cvd_fail(&late, CVD_ERROR_TIMED_OUT,
                 "QEMU has written its state, and after %g s (lifecycle.qmp_timeout_s) still does "
                 "not let the guest go on",
                 save->limit_ms / 1000.0);
        finish(save, late);
        return;
    }
    cvd_source_set_timer(&save->timer, now_us + save->pause_us, ask_status, save);
    save->pause_us = MIN(2 * save->pause_us, LAST_PAUSE_US);
}

static void on_status(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdSave *save = data;
    g_autofree char *status = get_text(result, "status");

    if (error != NULL)
        finish(save, error);
    else if (g_strcmp0(status, "finish-migrate") != 0)
        conclude(save);
    else
        ask_again(save);
}

static gboolean ask_status(gpointer data)
{
    CvdSave *save = data;

    cvd_source_clear(&save->timer);
    cvd_qmp_execute(save->qmp, "query-status", NULL, on_status, save);
    return G_SOURCE_REMOVE;
}

/* Once no command is under way whose answer would find no save. */
static void look_at_migration(CvdSave *save)
{
    if (save->state != SAVE_WRITING || save->is_cancelling || save->migration == MIGRATION_RUNS)
        return;
    save->state = SAVE_SETTLING;
    save->pause_us = FIRST_PAUSE_US;
    save->over_us = g_get_monotonic_time();
    ask_status(save);
}

static void on_cancelled(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdSave *save = data;

    save->is_cancelling = FALSE;
    if (error != NULL && g_error_matches(error, CVD_ERROR, CVD_ERROR_CLOSED))
        finish(save, error);
    else
        look_at_migration(save);
}

static void cancel_migration(CvdSave *save)
{
    save->is_cancelling = TRUE;
    cvd_qmp_execute(save->qmp, "migrate_cancel", NULL, on_cancelled, save);
}

static void arm_timer(CvdSave *save);

static gboolean on_timer(gpointer data)
{
    CvdSave *save = data;
    struct stat st = {0};
    gboolean was_cancelled = save->reason != NULL;

    fstat(save->fd, &st);
    gboolean has_written = st.st_size != save->size;
    save->size = st.st_size;
    arm_timer(save);
    if (has_written || save->is_cancelling)
        return G_SOURCE_REMOVE;
    if (!was_cancelled)
        cvd_fail(&save->reason, CVD_ERROR_TIMED_OUT,
                 "QEMU has written nothing of its state for %g s (lifecycle.qmp_timeout_s)",
                 save->limit_ms / 1000.0);
    if (was_cancelled) /* and it does not even obey */
        finish(save, NULL);
    else
        cancel_migration(save);
    return G_SOURCE_REMOVE;
}

static void arm_timer(CvdSave *save)
{
    if (save->limit_ms > 0)
        cvd_source_set_timer(&save->timer,
                             g_get_monotonic_time() + save->limit_ms * G_TIME_SPAN_MILLISECOND,
                             on_timer, save);
}

void cvd_save_event(CvdSave *save, JsonObject *members)
{
    static const struct {
        const char *status;
        Migration migration;
    } rows[] = {
        {"completed", MIGRATION_COMPLETED},
        {"failed", MIGRATION_FAILED},
        {"cancelled", MIGRATION_CANCELLED},
    };
    const char *status = cvd_json_get_text(members, "status");

    if (save->state != SAVE_STARTING && save->state != SAVE_WRITING)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (g_strcmp0(status, rows[i].status) == 0)
            save->migration = rows[i].migration;
    look_at_migration(save);
}

/* ---- Beginning ---- */

static void on_migrate(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdSave *save = data;

    if (error != NULL) {
        g_autoptr(GError) failure = g_error_new(error->domain, error->code, "%s%s", error->message,
                                                find_advice(error->message));
        finish_in_vain(save, failure);
        return;
    }
    save->state = SAVE_WRITING;
    arm_timer(save);
    if (save->reason != NULL)
        cancel_migration(save);
    else
        look_at_migration(save);
}

static void on_passed(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdSave *save = data;

    if (error != NULL) {
        finish(save, error);
    } else if (save->reason != NULL) {
        finish_in_vain(save, NULL);
    } else {
        save->state = SAVE_STARTING;
        cvd_qmp_execute(save->qmp, "migrate", "{\"uri\":\"fd:" FD_NAME "\"}", on_migrate, save);
    }
}

static void on_set_up(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdSave *save = data;

    if (error != NULL || save->reason != NULL)
        finish(save, error);
    else
        cvd_qmp_pass_fd(save->qmp, FD_NAME, g_steal_fd(&save->passed_fd), on_passed, save);
}

/* The guest stands still meanwhile, so that there is nobody for whom QEMU should hold back. */
static void on_capable(CvdJsonSpan result, const GError *error, gpointer data)
{
    CvdSave *save = data;

    if (error != NULL || save->reason != NULL || save->ignore_shared)
        on_set_up(result, error, data);
    else
        cvd_qmp_execute(save->qmp, "migrate-set-parameters", "{\"max-bandwidth\":0}", on_set_up,
                        save);
}

CvdSave *cvd_save_new(CvdQmp *qmp, int take_fd, gboolean ignore_shared, guint limit_ms,
                      CvdSaveDone done, gpointer user_data)
{
    CvdSave *save = g_new0(CvdSave, 1);

    save->qmp = qmp;
    save->passed_fd = take_fd;
    save->fd = fcntl(take_fd, F_DUPFD_CLOEXEC, 0);
    save->ignore_shared = ignore_shared;
    save->limit_ms = limit_ms;
    save->done = done;
    save->user_data = user_data;
    return save;
}

void cvd_save_start(CvdSave *save)
{
    g_autofree char *capabilities =
        g_strdup_printf("{\"capabilities\":[{\"capability\":\"events\",\"state\":true},"
                        "{\"capability\":\"x-ignore-shared\",\"state\":%s}]}",
                        save->ignore_shared ? "true" : "false");

    cvd_qmp_execute(save->qmp, "migrate-set-capabilities", capabilities, on_capable, save);
}

void cvd_save_free(CvdSave *save)
{
    cvd_source_clear(&save->timer);
    cvd_close_fd(&save->passed_fd);
    cvd_close_fd(&save->fd);
    g_clear_error(&save->reason);
    g_free(save);
}

void cvd_save_closed(CvdSave *save)
{
    g_autoptr(GError) closed =
        g_error_new_literal(CVD_ERROR, CVD_ERROR_CLOSED, "QMP connection closed");

    save->qmp = NULL; /* it may be freed */
    finish(save, closed);
}

void cvd_save_cancel(CvdSave *save)
{
    if (save->reason != NULL || save->state == SAVE_ENDED)
        return;
    g_set_error(&save->reason, G_IO_ERROR, G_IO_ERROR_CANCELLED, "cancelled");
    if (save->state == SAVE_WRITING && !save->is_cancelling)
        cancel_migration(save);
}
