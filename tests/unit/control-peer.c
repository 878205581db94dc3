/* SPDX-License-Identifier: Apache-2.0 */
/* The control interface and peers that write the bytes of D-Bus themselves, so that they need not
 * read, or stop in the middle. One thread plays them and the launcher's main loop. */
#include "launcher/control-peer.h"

#include "base/fd.h"
#include "base/source.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define OBJECT_PATH "/org/cvd/Instance1"
#define INTERFACE   "org.cvd.Instance1"
/* More than a socket takes, so that a signal of this size is never written whole. */
#define LARGE (1024 * 1024)

typedef struct {
    char *dir;
    char *path;
    CvdLayout *layout;
    CvdControl *control;
    guint n_asked;
} Fixture;

static void get_status(CvdControlStatus *status, gpointer data)
{
    *status = (CvdControlStatus){.state = "running", .reason = ""};
}

static void execute(CvdControlVerb verb, CvdControlCall *take_call, gpointer data)
{
    ((Fixture *)data)->n_asked++;
    cvd_control_call_finish(take_call, NULL, NULL);
}

static void qmp(const char *command, CvdControlCall *take_call, gpointer data)
{
    cvd_control_call_finish(take_call, "{}", NULL);
}

static void set_up(Fixture *f, gconstpointer data)
{
    static const CvdControlHandlers handlers = {
        .get_status = get_status, .execute = execute, .qmp = qmp};
    g_autoptr(GError) error = NULL;

    test_log_forget();
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "control.sock", NULL);
    f->layout = test_layout_new(1);
    f->control = cvd_control_new(f->path, "unit", f->layout, &handlers, f, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    cvd_control_free(f->control);
    g_assert_no_errno(g_rmdir(f->dir));
    cvd_layout_unref(f->layout);
    g_free(f->path);
    g_free(f->dir);
}

/* ---- Peers ---- */

static gboolean note_condition(int fd, GIOCondition condition, gpointer data)
{
    *(GIOCondition *)data = condition;
    return G_SOURCE_CONTINUE;
}

/* Runs the launcher's loop until that, or the end, has come at a peer. */
static GIOCondition wait_for(int peer, GIOCondition condition)
{
    GIOCondition seen = 0;
    GSource *source = cvd_source_watch_fd(peer, condition, note_condition, &seen);

    test_iterate_until(NULL, seen != 0);
    cvd_source_clear(&source);
    return seen;
}

/* Returns: FALSE at the end of the stream */
static gboolean hear(int peer, void *bytes, gsize size)
{
    for (gsize n = 0; n < size;) {
        wait_for(peer, G_IO_IN);
        gssize r = recv(peer, (char *)bytes + n, size - n, MSG_DONTWAIT);
        if (r <= 0)
            return FALSE;
        n += (gsize)r;
    }
    return TRUE;
}

static void assert_line(int peer, const char *prefix)
{
    g_autoptr(GString) line = g_string_new(NULL);
    char byte;

    while (!g_str_has_suffix(line->str, "\r\n")) {
        g_assert_true(hear(peer, &byte, 1));
        g_string_append_c(line, byte);
    }
    if (!g_str_has_prefix(line->str, prefix))
        g_error("'%s' instead of '%s'", line->str, prefix);
}

static void assert_end(int peer)
{
    char bytes[4096];

    while (hear(peer, bytes, 1))
        ;
}

static void say(int peer, const char *text)
{
    test_send(peer, text, strlen(text), -1);
}

static void say_who_we_are(int peer)
{
    g_autofree char *uid = g_strdup_printf("%u", geteuid());
    g_autoptr(GString) line = g_string_new("AUTH EXTERNAL ");

    for (const char *digit = uid; *digit != '\0'; digit++)
        g_string_append_printf(line, "%02x", *digit);
    g_string_append(line, "\r\n");
    test_send(peer, "", 1, -1);
    say(peer, line->str);
    assert_line(peer, "OK ");
}

static int join(const Fixture *f)
{
    int peer = test_connect(f->path);

    say_who_we_are(peer);
    say(peer, "NEGOTIATE_UNIX_FD\r\n");
    assert_line(peer, "AGREE_UNIX_FD");
    say(peer, "BEGIN\r\n");
    test_iterate_until(NULL, cvd_control_has_connections(f->control));
    return peer;
}

static void call(int peer, const char *path, const char *method, GDBusMessageFlags flags)
{
    g_autoptr(GDBusMessage) message = g_dbus_message_new_method_call(NULL, path, INTERFACE, method);
    gsize size;

    g_dbus_message_set_flags(message, flags);
    g_dbus_message_set_serial(message, 1);
    g_autofree guchar *blob = g_dbus_message_to_blob(message, &size, 0, NULL);
    test_send(peer, blob, size, -1);
}

/* One of the calls whose answers have a body. */
static void call_with(int peer, const char *method)
{
    gboolean is_qmp = strcmp(method, "Qmp") == 0;
    g_autoptr(GDBusMessage) message = g_dbus_message_new_method_call(
        NULL, OBJECT_PATH, is_qmp ? INTERFACE : "org.freedesktop.DBus.Properties", method);
    gsize size;

    if (strcmp(method, "Get") == 0)
        g_dbus_message_set_body(message, g_variant_new("(ss)", INTERFACE, "Regions"));
    else
        g_dbus_message_set_body(message, g_variant_new("(s)", is_qmp ? "{}" : INTERFACE));
    g_dbus_message_set_serial(message, 1);
    g_autofree guchar *blob = g_dbus_message_to_blob(message, &size, 0, NULL);
    test_send(peer, blob, size, -1);
}

static GDBusMessage *hear_message(int peer)
{
    guchar header[16];

    g_assert_true(hear(peer, header, sizeof header));
    gssize size = g_dbus_message_bytes_needed(header, sizeof header, NULL);
    g_assert_cmpint(size, >=, (gssize)sizeof header);
    g_autofree guchar *blob = g_malloc((gsize)size);
    memcpy(blob, header, sizeof header);
    g_assert_true(hear(peer, blob + sizeof header, (gsize)size - sizeof header));
    GDBusMessage *message = g_dbus_message_new_from_blob(blob, (gsize)size, 0, NULL);
    g_assert_nonnull(message);
    return message;
}

static void assert_answer(int peer, GDBusMessageType type)
{
    g_autoptr(GDBusMessage) message = hear_message(peer);

    g_assert_cmpint(g_dbus_message_get_message_type(message), ==, type);
}

static void assert_served(int peer)
{
    call(peer, OBJECT_PATH, "Stop", 0);
    assert_answer(peer, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
}

static void run_until_idle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

/* ---- Before anybody comes ---- */

/* In a process of its own: what the tests do themselves makes types, too. */
static void be_alone(void)
{
    Fixture f = {0};

    set_up(&f, NULL);
    run_until_idle();
    g_autoptr(GDir) threads = g_dir_open("/proc/self/task", 0, NULL);
    g_assert_nonnull(g_dir_read_name(threads));
    g_assert_null(g_dir_read_name(threads));
    g_assert_cmpuint(g_type_from_name("GDBusConnection"), ==, 0);
    g_assert_cmpuint(g_type_from_name("GSocket"), ==, 0);
    tear_down(&f, NULL);
}

static void test_idle(void)
{
    if (g_test_subprocess()) {
        be_alone();
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
}

/* ---- Authentication ---- */

static void test_mechanisms(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = test_connect(f->path);

    test_send(peer, "", 1, -1);
    say(peer, "AUTH ANONYMOUS 00\r\n");
    assert_line(peer, "REJECTED EXTERNAL\r\n");
    say(peer, "AUTH DBUS_COOKIE_SHA1 30\r\n");
    assert_line(peer, "REJECTED EXTERNAL\r\n");
    say(peer, "AUTH\r\n");
    assert_line(peer, "REJECTED EXTERNAL\r\n");
    g_assert_false(cvd_control_has_connections(f->control));
}

/* All places but one are taken by some who stop at one point or another; who keeps to the protocol
 * is served beside them. They have to go when their time is over. */
static void test_time_limit(Fixture *f, gconstpointer data)
{
    int silent[CVD_CONTROL_MAX_CONNECTIONS - 1];

    for (guint i = 0; i < G_N_ELEMENTS(silent); i++) {
        silent[i] = test_connect(f->path);
        if (i % 3 == 1)
            test_send(silent[i], "\0AUTH EXT", 9, -1);
        else if (i % 3 == 2)
            test_send(silent[i], "\0AUTH\r\n", 7, -1);
    }
    cvd_autofd peer = join(f);
    assert_served(peer);
    for (guint i = 0; i < G_N_ELEMENTS(silent); i++) {
        assert_end(silent[i]);
        cvd_close_fd(&silent[i]);
    }
    g_assert_cmpuint(test_log_count("has not authenticated"), >, 0);
    assert_served(peer);
}

/* ---- What a peer does not read ---- */

static void emit(Fixture *f, gsize size)
{
    g_autofree char *text = g_strnfill(size, 'x');

    cvd_control_guest_event(f->control, "NOISE", text);
}

/* The first signal is being written, for as long as nobody reads: so it does not wait any more. */
static void begin_to_write(Fixture *f, int peer)
{
    emit(f, LARGE);
    wait_for(peer, G_IO_IN);
}

static void test_limit(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);

    begin_to_write(f, peer);
    for (guint i = 0; i < CVD_CONTROL_MAX_UNREAD; i++)
        emit(f, 1);
    run_until_idle();
    g_assert_true(cvd_control_has_connections(f->control));
    emit(f, 1);
    run_until_idle();
    g_assert_false(cvd_control_has_connections(f->control));
    g_assert_cmpuint(test_log_count("wait for its peer to read"), ==, 1);
    g_assert_true((wait_for(peer, G_IO_HUP) & G_IO_HUP) != 0);
}

/* Returns: how long the details of a signal are whose body has that size */
static gsize details_for(gsize size)
{
    g_autofree char *text = g_strnfill(size, 'x');
    g_autoptr(GVariant) body = g_variant_ref_sink(g_variant_new("(ss)", "NOISE", text));

    return size - (g_variant_get_size(body) - size);
}

/* As many bytes as may wait, in two messages, and then one byte more. */
static void test_byte_limit(Fixture *f, gconstpointer data)
{
    const gsize half = CVD_CONTROL_MAX_UNREAD_BYTES / 2;
    const gsize n_more = GPOINTER_TO_SIZE(data);
    cvd_autofd peer = join(f);

    for (guint round = 0; round < 2; round++) { /* what was read makes room */
        begin_to_write(f, peer);
        emit(f, details_for(half));
        emit(f, details_for(half) + n_more);
        run_until_idle();
        g_assert_cmpint(cvd_control_has_connections(f->control), ==, n_more == 0);
        g_assert_cmpuint(test_log_count("wait for its peer to read"), ==, n_more);
        if (n_more > 0)
            return;
        for (guint i = 0; i < 3; i++)
            assert_answer(peer, G_DBUS_MESSAGE_TYPE_SIGNAL);
    }
    assert_served(peer);
}

/* The answers of QEMU are counted as well, and those about properties. */
static void test_byte_limit_of_answers(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);

    begin_to_write(f, peer);
    emit(f, details_for(CVD_CONTROL_MAX_UNREAD_BYTES));
    run_until_idle();
    g_assert_true(cvd_control_has_connections(f->control));
    call_with(peer, data);
    test_iterate_until(NULL, !cvd_control_has_connections(f->control));
    g_assert_cmpuint(test_log_count("wait for its peer to read"), ==, 1);
}

/* Who reads late, but before the limit, gets all of it. */
static void test_late_reader(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);

    begin_to_write(f, peer);
    for (guint i = 0; i < CVD_CONTROL_MAX_UNREAD; i++)
        emit(f, 1);
    for (guint i = 0; i < CVD_CONTROL_MAX_UNREAD + 1; i++)
        assert_answer(peer, G_DBUS_MESSAGE_TYPE_SIGNAL);
    assert_served(peer);
}

/* GDBus answers a call to an object that is not there even if no answer is expected. That must not
 * make room for more signals than others have. */
static void test_no_reply_expected(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);

    for (guint i = 0; i < 2 * CVD_CONTROL_MAX_UNREAD; i++) {
        call(peer, "/nothing", "Stop", G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
        assert_answer(peer, G_DBUS_MESSAGE_TYPE_ERROR);
    }
    begin_to_write(f, peer);
    for (guint i = 0; i <= CVD_CONTROL_MAX_UNREAD; i++)
        emit(f, 1);
    run_until_idle();
    g_assert_false(cvd_control_has_connections(f->control));
}

/* Such calls are carried out, and answered, like others: any number of them. */
static void test_calls_without_reply(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);

    for (guint i = 0; i < 2 * CVD_CONTROL_MAX_UNREAD; i++) {
        call(peer, OBJECT_PATH, "Stop", G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
        assert_answer(peer, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
        g_assert_cmpuint(f->n_asked, ==, i + 1);
    }
}

/* ---- Descriptors ---- */

/* Neither a call that takes none, nor half of one, keeps what comes with it, where the kernel lets
 * it come at all. */
static void test_unwanted_descriptors(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);
    int pair[2];
    char byte;

    g_assert_no_errno(pipe2(pair, O_CLOEXEC | O_NONBLOCK));
    cvd_autofd reader = pair[0], writer = pair[1];
    g_autoptr(GDBusMessage) message =
        g_dbus_message_new_method_call(NULL, OBJECT_PATH, INTERFACE, "Stop");
    g_dbus_message_set_serial(message, 1);
    gsize size;
    g_autofree guchar *blob = g_dbus_message_to_blob(message, &size, 0, NULL);
    gssize n = cvd_socket_send(peer, blob, size, &writer, 1);
    if (n < 0) {
        g_assert_cmpint(errno, ==, EPERM); /* SO_PASSRIGHTS */
        return;
    }
    g_assert_cmpint(n, ==, (gssize)size);
    assert_answer(peer, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
    test_send(peer, blob, size / 2, writer);
    cvd_close_fd(&writer);
    cvd_close_fd(&peer);
    wait_for(reader, G_IO_IN); /* its last other end is closed */
    g_assert_cmpint(read(reader, &byte, 1), ==, 0);
}

/* In a child: without a descriptor the door stays shut for a while, and the loop has nothing to do;
 * then those who waited are let in. */
static void accept_with_low_limit(void)
{
    Fixture f = {0};
    struct rlimit limit;

    set_up(&f, NULL);
    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &limit));
    const rlim_t enough = limit.rlim_cur;
    cvd_autofd peer = test_connect(f.path);
    limit.rlim_cur = 2;
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &limit));
    test_iterate_until(NULL, test_log_count("trying again shortly") > 0);
    g_assert_cmpuint(test_log_count("Too many open files"), ==, 1);
    g_assert_false(g_main_context_iteration(NULL, FALSE));
    limit.rlim_cur = enough;
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &limit));
    say_who_we_are(peer);
    cvd_close_fd(&peer);
    tear_down(&f, NULL);
    _exit(0);
}

static void test_no_descriptor_left(void)
{
    test_with_low_fd_limit(accept_with_low_limit);
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/control-peer/nothing-of-d-bus-while-idle", test_idle);
    g_test_add_func("/control-peer/no-descriptor-left", test_no_descriptor_left);
    add("/control-peer/only-external-authentication", test_mechanisms);
    add("/control-peer/time-limit-of-authentication", test_time_limit);
    add("/control-peer/256-unread-signals-and-one-more", test_limit);
    g_test_add("/control-peer/2-mib-unread", Fixture, NULL, set_up, test_byte_limit, tear_down);
    g_test_add("/control-peer/2-mib-unread-and-one-more", Fixture, GSIZE_TO_POINTER(1), set_up,
               test_byte_limit, tear_down);
    g_test_add("/control-peer/unread-answer-of-qemu", Fixture, "Qmp", set_up,
               test_byte_limit_of_answers, tear_down);
    g_test_add("/control-peer/unread-property", Fixture, "Get", set_up, test_byte_limit_of_answers,
               tear_down);
    g_test_add("/control-peer/unread-properties", Fixture, "GetAll", set_up,
               test_byte_limit_of_answers, tear_down);
    add("/control-peer/late-reader", test_late_reader);
    add("/control-peer/no-reply-expected", test_no_reply_expected);
    add("/control-peer/calls-without-reply", test_calls_without_reply);
    add("/control-peer/unwanted-descriptors", test_unwanted_descriptors);
    return g_test_run();
}
