/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU writes its state, with a QEMU that the test plays. A script has a step a line:
 *
 *   > COMMAND           it is told this next
 *   < COMMAND ok        it succeeds, or fails with a description; `{…}` is what it returns
 *   ! STATUS            the event MIGRATION
 *   cancel, close, write
 *   gone                it has exited, and somebody else still has its end of the connection
 *   stays               it is asked for its run state until there is a result, and stays in it
 *   nothing             it is told nothing else
 *   = RESULT            what has come of it: `-` is nothing yet
 */
#include "launcher/qemu/save.h"

#include "base/error.h"
#include "base/fd.h"
#include "tests/support/rows.h"
#include "tests/unit/talk.h"

#include <gio/gio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT_MS 20

typedef struct {
    const char *title;
    const char *script;
    gboolean has_all_memory; /* in the stream */
    gboolean is_limited;
} Story;

#define WRITING                                                                                    \
    "> migrate-set-capabilities\n"                                                                 \
    "< migrate-set-capabilities ok\n"                                                              \
    "> getfd\n"                                                                                    \
    "< getfd ok\n"                                                                                 \
    "> migrate\n"                                                                                  \
    "! setup\n"                                                                                    \
    "< migrate ok\n"                                                                               \
    "! active\n"                                                                                   \
    "= -\n"
/* It is over, and the guest may go on. */
#define SETTLED "> query-status\n< query-status {\"status\": \"postmigrate\"}\n"
/* It is over, and the guest may not. */
#define FINISHING "> query-status\n< query-status {\"status\": \"finish-migrate\"}\n= -\n"
/* That only the launcher's own migration leaves shared memory out. */
#define RESTORED "> migrate-set-capabilities\n< migrate-set-capabilities ok\nnothing\n"

static const Story stories[] = {
    {"completed", WRITING "! completed\n" SETTLED "= ok\n" RESTORED, FALSE, FALSE},
    {"completed-with-all-memory",
     "> migrate-set-capabilities\n< migrate-set-capabilities ok\n> migrate-set-parameters\n"
     "< migrate-set-parameters ok\n> getfd\n< getfd ok\n> migrate\n< migrate ok\n! "
     "completed\n" SETTLED "= ok\nnothing\n",
     TRUE, FALSE},
    {"completed-before-the-answer",
     "> migrate-set-capabilities\n< migrate-set-capabilities ok\n> getfd\n< getfd ok\n> migrate\n"
     "! completed\n= -\n< migrate ok\n" SETTLED "= ok\n" RESTORED,
     FALSE, FALSE},
    {"completed-before-the-run-state",
     WRITING "! completed\n= -\n" FINISHING FINISHING SETTLED "= ok\n" RESTORED, FALSE, FALSE},
    {"completed-and-never-the-run-state",
     WRITING "! completed\nstays\n"
             "= 7 QEMU has written its state, and after 0.02 s (lifecycle.qmp_timeout_s) still "
             "does not let the guest go on\n",
     FALSE, TRUE},
    {"failed-before-the-run-state",
     WRITING "! failed\n= -\n" FINISHING SETTLED
             "> query-migrate\n< query-migrate {\"error-desc\": \"bad weather\"}\n"
             "= 0 QEMU could not write its state: bad weather\n",
     FALSE, FALSE},
    {"capability-is-unknown",
     "> migrate-set-capabilities\n< migrate-set-capabilities no such thing\n"
     "= 0 QEMU: no such thing\n" RESTORED,
     FALSE, FALSE},
    {"descriptor-is-refused",
     "> migrate-set-capabilities\n< migrate-set-capabilities ok\n> getfd\n< getfd no descriptor\n"
     "= 0 QEMU: no descriptor\n" RESTORED,
     FALSE, FALSE},
    {"device-cannot-be-saved",
     "> migrate-set-capabilities\n< migrate-set-capabilities ok\n> getfd\n< getfd ok\n> migrate\n"
     "< migrate State blocked by non-migratable device 'x'\n"
     "= 0 QEMU: State blocked by non-migratable device 'x'; take that device out of the "
     "configuration, and start the machine again\n"
     "> closefd\n< closefd ok\n" RESTORED,
     FALSE, FALSE},
    {"file-system-is-mounted",
     "> migrate-set-capabilities\n< migrate-set-capabilities ok\n> getfd\n< getfd ok\n> migrate\n"
     "< migrate Migration is disabled when VirtFS export path '/x' is mounted in the guest\n"
     "= 0 QEMU: Migration is disabled when VirtFS export path '/x' is mounted in the guest; "
     "unmount it in the guest\n",
     FALSE, FALSE},
    {"second-of-a-paused-guest",
     "> migrate-set-capabilities\n< migrate-set-capabilities ok\n> getfd\n< getfd ok\n> migrate\n"
     "< migrate Can't migrate the vm that was paused due to previous migration\n"
     "= 0 QEMU: Can't migrate the vm that was paused due to previous migration; the guest has "
     "stood still since a snapshot before: resume it first (cvd-ctl resume)\n",
     FALSE, FALSE},
    {"disk-full",
     WRITING "! failed\n= -\n" SETTLED "> query-migrate\n"
             "< query-migrate {\"error-desc\": \"Unable to write: No space left on device\"}\n"
             "= no space\n" RESTORED,
     FALSE, FALSE},
    {"failed",
     WRITING "! failed\n" SETTLED
             "> query-migrate\n< query-migrate {\"error-desc\": \"bad weather\"}\n"
             "= 0 QEMU could not write its state: bad weather\n",
     FALSE, FALSE},
    {"failed-without-a-reason",
     WRITING "! failed\n" SETTLED "> query-migrate\n< query-migrate {\"status\": \"failed\"}\n"
             "= 0 QEMU could not write its state: it does not say why\n",
     FALSE, FALSE},
    {"somebody-else-cancels",
     WRITING "! cancelling\n! cancelled\n" SETTLED "= 0 somebody else has cancelled it, over QMP\n",
     FALSE, FALSE},
    {"nonsense", WRITING "! \n! nonsense\n= -\nnothing\n", FALSE, FALSE},

    {"cancelled-at-once",
     "> migrate-set-capabilities\ncancel\ncancel\n= -\n< migrate-set-capabilities ok\n"
     "= cancelled\n" RESTORED,
     FALSE, FALSE},
    {"cancelled-with-the-descriptor",
     "> migrate-set-capabilities\n< migrate-set-capabilities ok\n> getfd\ncancel\n< getfd ok\n"
     "= cancelled\n> closefd\n< closefd ok\n" RESTORED,
     FALSE, FALSE},
    {"cancelled-before-the-answer",
     "> migrate-set-capabilities\n< migrate-set-capabilities ok\n> getfd\n< getfd ok\n> migrate\n"
     "cancel\nnothing\n< migrate ok\n> migrate_cancel\n! cancelling\n< migrate_cancel ok\n= -\n"
     "! cancelled\n" SETTLED "= cancelled\n",
     FALSE, FALSE},
    {"cancelled",
     WRITING
     "cancel\n> migrate_cancel\n! cancelling\n! cancelled\n= -\n< migrate_cancel ok\n" SETTLED
     "= cancelled\ncancel\n" RESTORED,
     FALSE, FALSE},
    {"cancelled-too-late",
     WRITING "cancel\n> migrate_cancel\n! completed\n< migrate_cancel ok\n" SETTLED "= cancelled\n",
     FALSE, FALSE},
    {"cancelled-before-the-run-state",
     WRITING "! completed\n" FINISHING "cancel\n= -\n" SETTLED "= cancelled\n" RESTORED, FALSE,
     FALSE},
    {"cancelled-when-it-has-failed",
     WRITING "! failed\n" SETTLED
             "> query-migrate\ncancel\n= -\n< query-migrate {}\n= cancelled\n" RESTORED,
     FALSE, FALSE},

    {"qemu-dies-before", "> migrate-set-capabilities\nclose\n= 6 QMP connection closed\n", FALSE,
     FALSE},
    {"qemu-dies-with-the-descriptor",
     "> migrate-set-capabilities\n< migrate-set-capabilities ok\n> getfd\nclose\n"
     "= 6 QMP connection closed\n",
     FALSE, FALSE},
    {"qemu-dies-while-it-writes", WRITING "close\n= 6 QMP connection closed\n", FALSE, FALSE},
    {"qemu-dies-before-the-run-state",
     WRITING "! completed\n" FINISHING "close\n= 6 QMP connection closed\n", FALSE, FALSE},
    {"qemu-dies-when-it-was-cancelled",
     WRITING "cancel\n> migrate_cancel\n< migrate_cancel ok\nclose\n= cancelled\n", FALSE, FALSE},
    {"qemu-dies-while-it-is-cancelled", WRITING "cancel\n> migrate_cancel\nclose\n= cancelled\n",
     FALSE, FALSE},
    {"qemu-dies-when-it-has-failed",
     WRITING "! failed\n" SETTLED "> query-migrate\nclose\n= 6 QMP connection closed\n", FALSE,
     FALSE},

    {"qemu-is-gone-and-its-connection-stays", WRITING "gone\n= 6 QMP connection closed\n", FALSE,
     FALSE},
    {"qemu-is-gone-with-a-command", "> migrate-set-capabilities\ngone\n= 6 QMP connection closed\n",
     FALSE, FALSE},
    {"qemu-is-gone-and-has-never-obeyed",
     WRITING "cancel\n> migrate_cancel\n< migrate_cancel ok\n= -\ngone\n= cancelled\n", FALSE,
     FALSE},

    /* `>` waits for as long as it takes */
    {"qemu-writes-nothing",
     WRITING "> migrate_cancel\n< migrate_cancel ok\n! cancelled\n" SETTLED
             "= 7 QEMU has written nothing of its state for 0.02 s (lifecycle.qmp_timeout_s)\n",
     FALSE, TRUE},
    {"qemu-writes-and-then-nothing",
     WRITING "write\n> migrate_cancel\n< migrate_cancel ok\n! failed\n" SETTLED
             "= 7 QEMU has written nothing of its state for 0.02 s (lifecycle.qmp_timeout_s)\n",
     FALSE, TRUE},
    {"qemu-writes-nothing-and-does-not-obey",
     WRITING "> migrate_cancel\n< migrate_cancel ok\n> migrate-set-capabilities\n"
             "= 7 QEMU has written nothing of its state for 0.02 s (lifecycle.qmp_timeout_s)\n",
     FALSE, TRUE},
};

typedef struct {
    CvdQmp *qmp;
    CvdSave *save;
    int qemu;
    int file;
    GHashTable *ids; /* of commands, by name */
    char *result;    /* NULL = nothing yet */
} Fixture;

static void on_ready(gpointer data)
{
    cvd_save_start(((Fixture *)data)->save);
}

static void on_event(const char *name, JsonObject *members, const char *text, gpointer data)
{
    Fixture *f = data;

    if (f->save != NULL)
        cvd_save_event(f->save, members);
}

static void on_closed(const GError *error, gpointer data)
{
    Fixture *f = data;

    if (f->save != NULL)
        cvd_save_closed(f->save);
}

static void on_done(const GError *error, gpointer data)
{
    Fixture *f = data;

    g_assert_null(f->result);
    if (error == NULL)
        f->result = g_strdup("ok");
    else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        f->result = g_strdup("cancelled");
    else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE))
        f->result = g_strdup(error->message);
    else
        f->result = g_strdup_printf("%d %s", error->code, error->message);
    g_clear_pointer(&f->save, cvd_save_free);
}

static void run_until_idle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void say(Fixture *f, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void say(Fixture *f, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_assert_cmpint(send(f->qemu, text, strlen(text), 0), ==, (gssize)strlen(text));
    run_until_idle();
}

/* Returns: whether there was one */
static gboolean hear_byte(Fixture *f, char *c)
{
    cvd_autofd passed = -1;
    gssize n = cvd_socket_receive(f->qemu, c, 1, &passed, 1);

    /* It is the very file. */
    if (passed >= 0)
        g_assert_cmpint(write(passed, "state", 5), ==, 5);
    return n == 1;
}

static void hear(Fixture *f, const char *command)
{
    g_autoptr(GString) line = g_string_new(NULL);
    char c = 0;

    while (c != '\n') {
        if (hear_byte(f, &c))
            g_string_append_c(line, c);
        else
            g_main_context_iteration(NULL, TRUE);
    }
    g_autofree char *expected = g_strdup_printf("{\"execute\":\"%s\",\"id\":", command);
    if (!g_str_has_prefix(line->str, expected))
        g_error("\"%s\" is no %s", line->str, command);
    g_hash_table_insert(f->ids, g_strdup(command), g_strdup(line->str + strlen(expected)));
}

/* @what: the command, and then what comes of it */
static void answer(Fixture *f, const char *what)
{
    g_auto(GStrv) parts = g_strsplit(what, " ", 2);
    const char *id = g_hash_table_lookup(f->ids, parts[0]);

    g_assert_nonnull(id);
    if (strcmp(parts[1], "ok") == 0)
        say(f, "{\"return\": {}, \"id\": %d}\n", atoi(id));
    else if (parts[1][0] == '{')
        say(f, "{\"return\": %s, \"id\": %d}\n", parts[1], atoi(id));
    else
        say(f, "{\"error\": {\"desc\": \"%s\"}, \"id\": %d}\n", parts[1], atoi(id));
}

static void stay(Fixture *f)
{
    while (f->result == NULL) {
        hear(f, "query-status");
        answer(f, "query-status {\"status\": \"finish-migrate\"}");
    }
}

static void be_gone(Fixture *f)
{
    g_clear_pointer(&f->qmp, cvd_qmp_free);
    if (f->save != NULL)
        cvd_save_closed(f->save);
}

static void play(Fixture *f, const char *line)
{
    char c;

    g_test_message("%s", line);
    if (line[0] == '>')
        hear(f, line + 2);
    else if (line[0] == '<')
        answer(f, line + 2);
    else if (line[0] == '!')
        say(f, "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"%s\"}}\n", line + 2);
    else if (line[0] == '=')
        g_assert_cmpstr(f->result != NULL ? f->result : "-", ==, line + 2);
    else if (strcmp(line, "cancel") == 0 && f->save != NULL)
        cvd_save_cancel(f->save);
    else if (strcmp(line, "close") == 0)
        cvd_close_fd(&f->qemu);
    else if (strcmp(line, "gone") == 0)
        be_gone(f);
    else if (strcmp(line, "write") == 0)
        g_assert_cmpint(write(f->file, "more", 4), ==, 4);
    else if (strcmp(line, "stays") == 0)
        stay(f);
    else if (strcmp(line, "nothing") == 0)
        g_assert_false(hear_byte(f, &c));
    run_until_idle();
}

static void set_up(Fixture *f, const Story *story)
{
    static const CvdQmpHandlers handlers = {
        .ready = on_ready, .event = on_event, .closed = on_closed};
    int pair[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    f->qemu = pair[1];
    f->file = memfd_create("state", MFD_CLOEXEC);
    f->ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    f->qmp = cvd_qmp_new(pair[0], &handlers, f);
    f->save = cvd_save_new(f->qmp, dup(f->file), !story->has_all_memory,
                           story->is_limited ? LIMIT_MS : 0, on_done, f);
    say(f, "{\"QMP\": {}}\n");
    hear(f, "qmp_capabilities");
    answer(f, "qmp_capabilities ok");
}

static void test_story(gconstpointer data)
{
    const Story *story = data;
    run_until_idle(); /* which opens one itself */
    guint n_fds = test_count_fds();
    g_auto(GStrv) lines = g_strsplit(story->script, "\n", -1);
    Fixture f = {0};

    set_up(&f, story);
    for (char **line = lines; *line != NULL; line++)
        play(&f, *line);
    if (f.save != NULL)
        cvd_save_cancel(f.save);
    g_clear_pointer(&f.qmp, cvd_qmp_free);
    g_clear_pointer(&f.save, cvd_save_free);
    cvd_close_fd(&f.qemu);
    cvd_close_fd(&f.file);
    g_hash_table_unref(f.ids);
    g_free(f.result);
    g_assert_cmpuint(test_count_fds(), ==, n_fds);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    test_add_rows(g_test_add_data_func, "/save/", stories, test_story);
    return g_test_run();
}
