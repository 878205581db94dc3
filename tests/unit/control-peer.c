/* SPDX-License-Identifier: Apache-2.0 */
/* The control interface and peers that write the bytes of D-Bus themselves, so that they need not
 * read, or stop in the middle. One thread plays them and the launcher's main loop. */
#include "launcher/control/control.h"
#include "launcher/control/peer.h"

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

typedef struct {
    char *dir;
    char *path;
    CvdLayout *layout;
    CvdControl *control;
    guint n_asked;
    GQueue unanswered; /* of CvdControlCall */
} Fixture;

static void get_status(CvdControlStatus *status, gpointer data)
{
    *status = (CvdControlStatus){.state = "running", .reason = ""};
}

static void handle_call(const char *method, GVariant *arguments, CvdControlCall *take_call,
                        gpointer data)
{
    Fixture *f = data;

    f->n_asked++;
    if (strcmp(method, "Reset") == 0)
        g_queue_push_tail(&f->unanswered, take_call);
    else
        cvd_control_call_finish(take_call, NULL);
}

static void set_up(Fixture *f, gconstpointer data)
{
    static const CvdControlHandlers handlers = {.get_status = get_status, .call = handle_call};
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
    g_clear_pointer(&f->control, cvd_control_free);
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
    g_assert_cmpuint(g_dbus_message_get_serial(message), >, 0);
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

/* A D-Bus library may send it all at once, say nothing of who it is, or be in another user
 * namespace, where it has another number. */
static void test_identities(Fixture *f, gconstpointer data)
{
    static const char *const lines[] = {
        "AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n",
        "AUTH\r\nAUTH EXTERNAL 3635353334\r\nBEGIN\r\n",
        "AUTH EXTERNAL\r\nCANCEL\r\nNONSENSE\r\nAUTH EXTERNAL 30\r\nBEGIN\r\n",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        cvd_autofd peer = test_connect(f->path);
        test_send(peer, "", 1, -1);
        say(peer, lines[i]);
        call(peer, OBJECT_PATH, "Stop", 0);
        test_iterate_until(NULL, f->n_asked == i + 1);
    }
}

static void test_bad_authentication(Fixture *f, gconstpointer data)
{
    static const char *const lines[] = {"BEGIN\r\n", "AUTH EXTERNAL\r\nBEGIN\r\n", NULL};
    g_autofree char *long_line = g_strnfill(2000, 'A');

    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        cvd_autofd peer = test_connect(f->path);
        test_send(peer, "", 1, -1);
        say(peer, lines[i] != NULL ? lines[i] : long_line);
        assert_end(peer);
    }
    g_assert_cmpuint(test_log_count("does not speak D-Bus"), ==, 1); /* BEGIN alone says nothing */
    cvd_autofd no_null = test_connect(f->path);
    say(no_null, "AUTH EXTERNAL 30\r\nBEGIN\r\n");
    assert_end(no_null);
    g_assert_cmpuint(test_log_count("does not speak D-Bus"), ==, 2);
}

/* Many more than there are places. */
static void test_end_after_authentication(Fixture *f, gconstpointer data)
{
    for (guint i = 0; i < 2 * CVD_CONTROL_MAX_CONNECTIONS; i++) {
        cvd_autofd peer = test_connect(f->path);
        test_send(peer, "", 1, -1);
        say(peer, "AUTH EXTERNAL 30\r\nBEGIN\r\n");
        cvd_close_fd(&peer);
        run_until_idle();
    }
    g_assert_false(cvd_control_has_connections(f->control));
    g_assert_cmpuint(test_log_count("too many connections"), ==, 0);
    cvd_autofd peer = join(f);
    assert_served(peer);
}

/* ---- Messages ---- */

/* Sends no more than a header, which is enough. */
static void test_bad_header(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *header;
        const char *log;
    } cases[] = {
        {"x\1\0\1\0\0\0\0\1\0\0\0\0\0\0\0", "does not speak D-Bus"},  /* byte order */
        {"l\1\0\2\0\0\0\0\1\0\0\0\0\0\0\0", "does not speak D-Bus"},  /* version */
        {"l\1\0\1\0\0\0\0\0\0\0\0\0\0\0\0", "does not speak D-Bus"},  /* serial */
        {"l\1\0\1\xf1\xff\x0f\0\1\0\0\0\0\0\0\0", "more than 1 MiB"}, /* 16 + 2^20 - 15 */
        {"l\1\0\1\xff\xff\xff\xff\1\0\0\0\0\0\0\0", "does not speak D-Bus"},
        {"B\1\0\1\7\0\0\0\0\0\0\1\0\0\0\0", "more than 1 MiB"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        cvd_autofd peer = join(f);
        test_log_forget();
        test_send(peer, cases[i].header, 16, -1);
        assert_end(peer);
        g_assert_cmpuint(test_log_count(cases[i].log), ==, 1);
    }
}

/* The longest message that is taken: a command for QEMU. */
static void test_longest_message(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);
    g_autoptr(GDBusMessage) message =
        g_dbus_message_new_method_call(NULL, OBJECT_PATH, INTERFACE, "Qmp");
    gsize size, n_sent = 0;

    g_dbus_message_set_serial(message, 1);
    g_dbus_message_set_body(message, g_variant_new("(s)", ""));
    g_free(g_dbus_message_to_blob(message, &size, 0, NULL));
    g_autofree char *text = g_strnfill(CVD_CONTROL_MAX_MESSAGE - size, 'x');
    g_dbus_message_set_body(message, g_variant_new("(s)", text));
    g_autofree guchar *blob = g_dbus_message_to_blob(message, &size, 0, NULL);
    g_assert_cmpuint(size, ==, CVD_CONTROL_MAX_MESSAGE);
    while (n_sent < size) {
        wait_for(peer, G_IO_OUT);
        gssize n = send(peer, blob + n_sent, size - n_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        g_assert_cmpint(n, >, 0);
        n_sent += (gsize)n;
    }
    assert_answer(peer, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
}

/* It would be the destination of the reply. */
static void test_sender_that_is_no_name(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);
    g_autoptr(GDBusMessage) message =
        g_dbus_message_new_method_call(NULL, OBJECT_PATH, INTERFACE, "Stop");
    gsize size;

    g_dbus_message_set_serial(message, 1);
    g_dbus_message_set_header(message, G_DBUS_MESSAGE_HEADER_FIELD_SENDER,
                              g_variant_new_string("no name"));
    g_autofree guchar *blob = g_dbus_message_to_blob(message, &size, 0, NULL);
    test_send(peer, blob, size, -1);
    assert_answer(peer, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
}

/* Whatever the bytes of a message are, GLib says so in an error, or it is answered. */
static void test_scrambled_messages(Fixture *f, gconstpointer data)
{
    g_autoptr(GDBusMessage) message =
        g_dbus_message_new_method_call(NULL, OBJECT_PATH, INTERFACE, "Qmp");
    gsize size;

    g_dbus_message_set_serial(message, 1);
    g_dbus_message_set_body(message, g_variant_new("(s)", "{}"));
    g_autofree guchar *blob = g_dbus_message_to_blob(message, &size, 0, NULL);
    for (guint i = 0; i < 2000; i++) {
        g_autofree guchar *bytes = g_memdup2(blob, size);
        cvd_autofd peer = join(f);
        bytes[g_test_rand_int_range(16, (gint32)size)] = (guchar)g_test_rand_int();
        bytes[g_test_rand_int_range(0, (gint32)size)] = (guchar)g_test_rand_int();
        test_send(peer, bytes, size, -1);
        shutdown(peer, SHUT_WR);
        assert_end(peer);
    }
    g_assert_cmpuint(test_log_count("a connection is closed"), <=, 10 * 60);
    cvd_autofd peer = join(f);
    assert_served(peer);
}

/* ---- What a peer does not read ---- */

static gsize get_size(const char *details)
{
    g_autoptr(GDBusMessage) message =
        g_dbus_message_new_signal(OBJECT_PATH, INTERFACE, "GuestEvent");
    gsize size;

    g_dbus_message_set_body(message, g_variant_new("(ss)", "NOISE", details));
    g_dbus_message_set_serial(message, 1);
    g_free(g_dbus_message_to_blob(message, &size, 0, NULL));
    return size;
}

/* Emits a signal that is a message of that size. */
static void emit(Fixture *f, gsize size)
{
    g_autofree char *text = g_strnfill(size - get_size(""), 'x');

    g_assert_cmpuint(get_size(text), ==, size);
    cvd_control_guest_event(f->control, "NOISE", text);
}

/* As many bytes as may wait, in two messages, and then one byte more. */
static void test_byte_limit(Fixture *f, gconstpointer data)
{
    const gsize half = CVD_CONTROL_MAX_UNREAD / 2;
    const gsize n_more = GPOINTER_TO_SIZE(data);
    cvd_autofd peer = join(f);

    for (guint round = 0; round < 2; round++) { /* what was read makes room */
        emit(f, half);
        emit(f, half + n_more);
        run_until_idle();
        g_assert_cmpint(cvd_control_has_connections(f->control), ==, n_more == 0);
        g_assert_cmpuint(test_log_count("waits for its peer to read"), ==, n_more);
        if (n_more > 0) {
            wait_for(peer, G_IO_HUP);
            return;
        }
        for (guint i = 0; i < 2; i++)
            assert_answer(peer, G_DBUS_MESSAGE_TYPE_SIGNAL);
    }
    assert_served(peer);
}

/* It is not served before it has read what there is for it, and then is. */
static void test_calls_wait(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);

    emit(f, CVD_CONTROL_MAX_UNREAD);
    run_until_idle();
    call(peer, OBJECT_PATH, "Stop", 0);
    run_until_idle();
    g_assert_cmpuint(f->n_asked, ==, 0);
    assert_answer(peer, G_DBUS_MESSAGE_TYPE_SIGNAL);
    assert_answer(peer, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
    g_assert_cmpuint(f->n_asked, ==, 1);
}

/* Of calls that take their time some are carried out at once; the others wait, without the peer
 * having to send anything more. */
static void test_calls_at_once(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);

    for (guint i = 0; i < CVD_CONTROL_MAX_CALLS + 2; i++)
        call(peer, OBJECT_PATH, "Reset", 0);
    run_until_idle();
    g_assert_cmpuint(f->unanswered.length, ==, CVD_CONTROL_MAX_CALLS);
    for (guint i = 0; i < CVD_CONTROL_MAX_CALLS + 2; i++) {
        cvd_control_call_finish(g_queue_pop_head(&f->unanswered), NULL);
        run_until_idle();
        assert_answer(peer, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
    }
    g_assert_cmpuint(f->unanswered.length, ==, 0);
}

/* Also where no answer leaves. */
static void test_calls_at_once_without_reply(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);

    for (guint i = 0; i < CVD_CONTROL_MAX_CALLS + 2; i++)
        call(peer, OBJECT_PATH, "Reset", G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
    run_until_idle();
    for (guint i = 0; i < CVD_CONTROL_MAX_CALLS + 2; i++) {
        cvd_control_call_finish(g_queue_pop_head(&f->unanswered), NULL);
        run_until_idle();
    }
    g_assert_cmpuint(f->n_asked, ==, CVD_CONTROL_MAX_CALLS + 2);
}

/* Sent at once, with more to answer than may wait. */
static void test_many_long_answers(Fixture *f, gconstpointer data)
{
    const guint n_calls = 60;
    cvd_autofd peer = join(f);
    g_autoptr(GByteArray) calls = g_byte_array_new();
    g_autoptr(GDBusMessage) message = g_dbus_message_new_method_call(
        NULL, OBJECT_PATH, "org.freedesktop.DBus.Introspectable", "Introspect");
    gsize size;

    g_dbus_message_set_serial(message, 1);
    g_autofree guchar *blob = g_dbus_message_to_blob(message, &size, 0, NULL);
    for (guint i = 0; i < n_calls; i++)
        g_byte_array_append(calls, blob, (guint)size);
    test_send(peer, calls->data, calls->len, -1);
    for (guint i = 0; i < n_calls; i++)
        assert_answer(peer, G_DBUS_MESSAGE_TYPE_METHOD_RETURN);
}

static void count_cancelled(gpointer data)
{
    ++*(guint *)data;
}

/* Who carries a call out learns of the end of all as well. */
static void test_end_during_a_call(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);
    guint n_cancelled = 0;

    call(peer, OBJECT_PATH, "Reset", 0);
    run_until_idle();
    cvd_control_call_set_cancelled(g_queue_peek_head(&f->unanswered), count_cancelled,
                                   &n_cancelled);
    g_clear_pointer(&f->control, cvd_control_free);
    g_assert_cmpuint(n_cancelled, ==, 1);
    cvd_control_call_finish(g_queue_pop_head(&f->unanswered), NULL);
}

/* Such calls are carried out; the only answer is that to the call behind them. */
static void test_calls_without_reply(Fixture *f, gconstpointer data)
{
    cvd_autofd peer = join(f);

    for (guint i = 0; i < 10; i++)
        call(peer, OBJECT_PATH, "Stop", G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
    call(peer, "/nothing", "Stop", G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
    call(peer, "/nothing", "Stop", 0);
    assert_answer(peer, G_DBUS_MESSAGE_TYPE_ERROR);
    g_assert_cmpuint(f->n_asked, ==, 10);
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

/* In a child: without a descriptor nobody is accepted for a while, and the loop has nothing to do;
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
    add("/control-peer/identities", test_identities);
    add("/control-peer/bad-authentication", test_bad_authentication);
    add("/control-peer/end-right-after-authentication", test_end_after_authentication);
    add("/control-peer/bad-header", test_bad_header);
    add("/control-peer/message-of-1-mib", test_longest_message);
    add("/control-peer/sender-that-is-no-name", test_sender_that_is_no_name);
    add("/control-peer/scrambled-messages", test_scrambled_messages);
    g_test_add("/control-peer/2-mib-unread", Fixture, NULL, set_up, test_byte_limit, tear_down);
    g_test_add("/control-peer/2-mib-unread-and-one-more", Fixture, GSIZE_TO_POINTER(1), set_up,
               test_byte_limit, tear_down);
    add("/control-peer/calls-wait-for-a-peer-that-does-not-read", test_calls_wait);
    add("/control-peer/16-calls-at-once-and-more", test_calls_at_once);
    add("/control-peer/16-calls-at-once-and-more-without-reply", test_calls_at_once_without_reply);
    add("/control-peer/many-long-answers", test_many_long_answers);
    add("/control-peer/end-during-a-call", test_end_during_a_call);
    add("/control-peer/calls-without-reply", test_calls_without_reply);
    add("/control-peer/unwanted-descriptors", test_unwanted_descriptors);
    return g_test_run();
}
