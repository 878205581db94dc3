/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control interface, with a real D-Bus client in a thread of its own, and with peers that do
 * not speak D-Bus well, or at all. The test's own thread is the launcher's main loop.
 */
#include "launcher/control/control.h"
#include "launcher/control/peer.h"

#include "base/error.h"
#include "base/fd.h"
#include "launcher/control/control-interface.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char *dir;
    char *path;
    CvdLayout *layout;
    CvdControl *control;
    CvdControlStatus status;
    GString *asked;             /* verbs and commands, in order */
    CvdControlCall *unanswered; /* of Reset, until somebody answers */
    guint n_cancelled;
    gboolean has_no_console;
} Fixture;

typedef gpointer (*Client)(gpointer data);

static void get_status(CvdControlStatus *status, gpointer data)
{
    *status = ((Fixture *)data)->status;
}

static void count_cancelled(gpointer data)
{
    ((Fixture *)data)->n_cancelled++;
}

static void execute(const char *method, CvdControlCall *take_call, gpointer data)
{
    Fixture *f = data;
    g_autoptr(GError) error = NULL;

    g_string_append_printf(f->asked, "%s ", method);
    if (strcmp(method, "Reset") == 0) {
        f->unanswered = take_call;
        cvd_control_call_set_cancelled(take_call, count_cancelled, f);
        return;
    }
    if (strcmp(method, "Pause") == 0)
        error = g_error_new(CVD_ERROR, CVD_ERROR_BUSY, "not now: \xff");
    cvd_control_call_finish(take_call, error);
}

static void qmp(const char *command, CvdControlCall *take_call)
{
    g_autoptr(GError) error = NULL;

    if (strcmp(command, "bad") == 0)
        error = g_error_new(CVD_ERROR, CVD_ERROR_FAILED, "QEMU: no");
    if (strcmp(command, "no") == 0)
        error = g_error_new(CVD_ERROR, CVD_ERROR_INVALID, "no command");
    if (error != NULL)
        cvd_control_call_finish(take_call, error);
    else
        cvd_control_call_reply(take_call, g_variant_new("(h)", 0),
                               cvd_fd_new_sealed("reply", command, strlen(command)));
}

static void open_console(const Fixture *f, CvdControlCall *take_call)
{
    g_autoptr(GError) error = NULL;
    int pair[2];

    if (f->has_no_console) {
        error = g_error_new_literal(CVD_ERROR, CVD_ERROR_FAILED, "no console here");
        cvd_control_call_finish(take_call, error);
        return;
    }
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    g_assert_cmpint(write(pair[0], "hello", 5), ==, 5);
    close(pair[0]);
    cvd_control_call_reply(take_call, g_variant_new("(h)", 0), pair[1]);
}

static void report(CvdControlCall *take_call)
{
    int window = memfd_create("window", MFD_CLOEXEC);

    g_assert_cmpint(write(window, "memory", 6), ==, 6);
    cvd_control_call_reply(take_call, g_variant_new("(sh)", "{}", 0), window);
}

static void call(const char *method, GVariant *arguments, CvdControlCall *take_call, gpointer data)
{
    const char *command;

    if (strcmp(method, "Qmp") == 0) {
        g_variant_get(arguments, "(&s)", &command);
        qmp(command, take_call);
    } else if (strcmp(method, "OpenConsole") == 0)
        open_console(data, take_call);
    else if (strcmp(method, "Report") == 0)
        report(take_call);
    else if (strcmp(method, "ListClients") == 0)
        cvd_control_call_reply(take_call,
                               g_variant_new_parsed("([(%u, %u, 'sensors', %t, false, true)],)",
                                                    1234, 1000, (guint64)5000000),
                               -1);
    else
        execute(method, take_call, data);
}

static void set_up(Fixture *f, gconstpointer data)
{
    static const CvdControlHandlers handlers = {get_status, call};
    g_autoptr(GError) error = NULL;

    test_log_forget();
    f->dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "control.sock", NULL);
    f->layout = test_layout_new(2);
    f->status = (CvdControlStatus){"running", "", 42, 1000, 1, 7, FALSE, "/snapshots/one"};
    f->asked = g_string_new(NULL);
    f->control = cvd_control_new(f->path, "unit", f->layout, &handlers, f, &error);
    g_assert_no_error(error);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_clear_pointer(&f->control, cvd_control_free);
    g_assert_false(g_file_test(f->path, G_FILE_TEST_EXISTS));
    g_assert_no_errno(g_rmdir(f->dir));
    cvd_layout_unref(f->layout);
    g_string_free(f->asked, TRUE);
    g_free(f->path);
    g_free(f->dir);
}

/* ---- Clients ---- */

typedef struct {
    Fixture *fixture;
    Client client;
    int is_done; /* atomic */
} Thread;

static gpointer run_client(gpointer data)
{
    Thread *thread = data;
    g_autoptr(GMainContext) context = g_main_context_new();

    g_main_context_push_thread_default(context);
    thread->client(thread->fixture);
    /* What a proxy leaves is freed when its context comes round, or never. */
    while (g_main_context_iteration(context, FALSE))
        ;
    g_main_context_pop_thread_default(context);
    g_atomic_int_set(&thread->is_done, TRUE);
    g_main_context_wakeup(NULL);
    return NULL;
}

/* Runs the launcher's loop until the client has had its way. */
static void with_client(Fixture *f, Client client)
{
    Thread thread = {.fixture = f, .client = client};
    GThread *handle = g_thread_new("client", run_client, &thread);

    while (!g_atomic_int_get(&thread.is_done))
        g_main_context_iteration(NULL, TRUE);
    g_thread_join(handle);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

/* The launcher's owner is asked for nothing. */
static void with_useless_client(Fixture *f, Client client)
{
    with_client(f, client);
    g_assert_cmpstr(f->asked->str, ==, "");
}

static GDBusConnection *connect_to(const Fixture *f, GError **error)
{
    g_autofree char *address = g_strdup_printf("unix:path=%s", f->path);

    return g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, error);
}

static CvdDBusInstance1 *open_proxy(const Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDBusConnection) connection = connect_to(f, &error);
    g_assert_no_error(error);
    CvdDBusInstance1 *proxy = cvd_dbus_instance1_proxy_new_sync(
        connection, G_DBUS_PROXY_FLAGS_NONE, NULL, "/org/cvd/Instance1", NULL, &error);
    g_assert_no_error(error);
    return proxy;
}

static gpointer look(gpointer data)
{
    g_autoptr(CvdDBusInstance1) proxy = open_proxy(data);
    g_autofree char *regions = g_variant_print(cvd_dbus_instance1_get_regions(proxy), FALSE);

    g_assert_cmpstr(cvd_dbus_instance1_get_name(proxy), ==, "unit");
    g_assert_cmpstr(cvd_dbus_instance1_get_state(proxy), ==, "running");
    g_assert_cmpstr(cvd_dbus_instance1_get_reason(proxy), ==, "");
    g_assert_cmpuint(cvd_dbus_instance1_get_vm_pid(proxy), ==, 42);
    g_assert_cmpuint(cvd_dbus_instance1_get_uptime_us(proxy), ==, 1000);
    g_assert_cmpuint(cvd_dbus_instance1_get_restarts(proxy), ==, 1);
    g_assert_cmpuint(cvd_dbus_instance1_get_clients(proxy), ==, 7);
    g_assert_cmpstr(cvd_dbus_instance1_get_from(proxy), ==, "/snapshots/one");
    g_assert_cmpuint(cvd_dbus_instance1_get_launcher_pid(proxy), ==, (guint)getpid());
    g_assert_cmpstr(regions, ==, "[('region0', 4096, 8192), ('region1', 8192, 12288)]");
    return NULL;
}

static void test_properties(Fixture *f, gconstpointer data)
{
    with_client(f, look);
}

/* Byte for byte, and nobody can change it. */
static void assert_qmp_reply(CvdDBusInstance1 *proxy, const char *text)
{
    g_autoptr(GUnixFDList) fds = NULL;
    g_autoptr(GError) error = NULL;

    cvd_dbus_instance1_call_qmp_sync(proxy, text, NULL, NULL, &fds, NULL, &error);
    g_assert_no_error(error);
    cvd_autofd fd = g_unix_fd_list_get(fds, 0, &error);
    g_autoptr(GMappedFile) reply = g_mapped_file_new_from_fd(fd, FALSE, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(g_mapped_file_get_contents(reply), g_mapped_file_get_length(reply), text,
                    strlen(text));
    g_assert_cmpint(pwrite(fd, "x", 1, 0), ==, -1);
}

static gpointer steer(gpointer data)
{
    g_autoptr(CvdDBusInstance1) proxy = open_proxy(data);
    g_autoptr(GError) error = NULL;

    g_assert_true(cvd_dbus_instance1_call_stop_sync(proxy, NULL, &error));
    g_assert_true(cvd_dbus_instance1_call_restart_sync(proxy, NULL, &error));
    g_assert_true(cvd_dbus_instance1_call_resume_sync(proxy, NULL, &error));
    g_assert_true(cvd_dbus_instance1_call_power_button_sync(proxy, NULL, &error));
    assert_qmp_reply(proxy, "{\"a\":18446744073709551615}");
    g_assert_no_error(error);

    g_assert_false(cvd_dbus_instance1_call_pause_sync(proxy, NULL, &error));
    g_autofree char *name = g_dbus_error_get_remote_error(error);
    g_assert_cmpstr(name, ==, "org.cvd.Error.Failed");
    g_assert_nonnull(strstr(error->message, "not now"));
    g_clear_error(&error);
    g_assert_false(cvd_dbus_instance1_call_qmp_sync(proxy, "bad", NULL, NULL, NULL, NULL, &error));
    g_autofree char *of_qmp = g_dbus_error_get_remote_error(error);
    g_assert_cmpstr(of_qmp, ==, "org.cvd.Error.Qmp");
    g_clear_error(&error);
    g_assert_false(cvd_dbus_instance1_call_qmp_sync(proxy, "no", NULL, NULL, NULL, NULL, &error));
    g_autofree char *invalid = g_dbus_error_get_remote_error(error);
    g_assert_cmpstr(invalid, ==, "org.cvd.Error.Invalid");
    return NULL;
}

static void test_methods(Fixture *f, gconstpointer data)
{
    with_client(f, steer);
    g_assert_cmpstr(f->asked->str, ==, "Stop Restart Resume PowerButton Pause ");
}

static gpointer get_descriptors(gpointer data)
{
    g_autoptr(CvdDBusInstance1) proxy = open_proxy(data);
    g_autoptr(GVariant) console = NULL, window = NULL;
    g_autoptr(GUnixFDList) console_list = NULL, window_list = NULL;
    g_autofree char *record = NULL;
    char bytes[8] = "";

    g_assert_true(cvd_dbus_instance1_call_open_console_sync(proxy, NULL, &console, &console_list,
                                                            NULL, NULL));
    cvd_autofd fd = g_unix_fd_list_get(console_list, g_variant_get_handle(console), NULL);
    g_assert_cmpint(read(fd, bytes, sizeof bytes), ==, 5);
    g_assert_true(cvd_dbus_instance1_call_report_sync(proxy, NULL, &record, &window, &window_list,
                                                      NULL, NULL));
    cvd_autofd memory = g_unix_fd_list_get(window_list, g_variant_get_handle(window), NULL);
    g_assert_cmpint(pread(memory, bytes, sizeof bytes, 0), ==, 6);
    return NULL;
}

static void test_descriptors(Fixture *f, gconstpointer data)
{
    with_client(f, get_descriptors);
}

/* ---- Signals ---- */

typedef struct {
    GMainLoop *loop;
    GString *seen;
} Watch;

static void on_state(CvdDBusInstance1 *proxy, const char *state, const char *reason, gpointer data)
{
    Watch *watch = data;

    g_string_append_printf(watch->seen, "%s(%s) ", state, reason);
    if (strcmp(state, "stopped") == 0)
        g_main_loop_quit(watch->loop);
}

static void on_guest_event(CvdDBusInstance1 *proxy, const char *name, const char *details,
                           gpointer data)
{
    g_string_append_printf(((Watch *)data)->seen, "%s%s ", name, details);
}

static gboolean change_state(gpointer data)
{
    Fixture *f = data;

    f->status.state = "paused";
    f->status.reason = "why";
    cvd_control_status_changed(f->control);
    cvd_control_status_changed(f->control); /* nothing new: nothing is told */
    cvd_control_guest_event(f->control, "RESET", "{\"x\":1}");
    cvd_control_guest_event(f->control, "STOP", NULL);
    f->status.state = "stopped";
    cvd_control_status_changed(f->control);
    return G_SOURCE_REMOVE;
}

static gpointer listen_to(gpointer data)
{
    g_autoptr(CvdDBusInstance1) proxy = open_proxy(data);
    g_autoptr(GMainLoop) loop = g_main_loop_new(g_main_context_get_thread_default(), FALSE);
    Watch watch = {.loop = loop, .seen = g_string_new(NULL)};

    g_signal_connect(proxy, "state-changed", G_CALLBACK(on_state), &watch);
    g_signal_connect(proxy, "guest-event", G_CALLBACK(on_guest_event), &watch);
    g_main_context_invoke(NULL, change_state, data);
    g_main_loop_run(loop);
    g_assert_cmpstr(watch.seen->str, ==, "paused(why) RESET{\"x\":1} STOP{} stopped(why) ");
    g_assert_cmpstr(cvd_dbus_instance1_get_state(proxy), ==, "stopped");
    g_string_free(watch.seen, TRUE);
    return NULL;
}

static gpointer ask_for_clients(gpointer data)
{
    g_autoptr(CvdDBusInstance1) proxy = open_proxy(data);
    g_autoptr(GVariant) clients = NULL;

    g_assert_true(cvd_dbus_instance1_call_list_clients_sync(proxy, &clients, NULL, NULL));
    g_autofree char *text = g_variant_print(clients, FALSE);
    g_assert_cmpstr(text, ==, "[(1234, 1000, 'sensors', 5000000, false, true)]");
    return NULL;
}

static void assert_introspection(GDBusConnection *connection, const char *path, const char *text)
{
    const char *xml;
    g_autoptr(GVariant) result = g_dbus_connection_call_sync(
        connection, NULL, path, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, NULL,
        G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);

    g_assert_nonnull(result);
    g_variant_get(result, "(&s)", &xml);
    g_assert_nonnull(strstr(xml, text));
}

/* So that a tool finds its way to the object. */
static gpointer look_around(gpointer data)
{
    g_autoptr(GDBusConnection) connection = connect_to(data, NULL);

    assert_introspection(connection, "/", "<node name=\"org/cvd/Instance1\"/>");
    assert_introspection(connection, "/org/cvd/Instance1", "<method name=\"PowerButton\"");
    return NULL;
}

static void test_introspection(Fixture *f, gconstpointer data)
{
    with_client(f, look_around);
}

static gpointer open_no_console(gpointer data)
{
    g_autoptr(CvdDBusInstance1) proxy = open_proxy(data);
    g_autoptr(GError) error = NULL;

    g_assert_false(
        cvd_dbus_instance1_call_open_console_sync(proxy, NULL, NULL, NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "no console here"));
    return NULL;
}

static void test_no_console(Fixture *f, gconstpointer data)
{
    f->has_no_console = TRUE;
    with_client(f, open_no_console);
}

static void test_clients(Fixture *f, gconstpointer data)
{
    with_client(f, ask_for_clients);
}

/* Returns: (transfer full): a call's parameters, which are texts and arrays */
static GVariant *make_parameters(GDBusArgInfo **args)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_TUPLE);

    for (; args != NULL && *args != NULL; args++) {
        const GVariantType *type = G_VARIANT_TYPE((*args)->signature);
        GVariant *value = g_variant_type_is_array(type)
                              ? g_variant_new_array(g_variant_type_element(type), NULL, 0)
                              : g_variant_new_string("");
        g_variant_builder_add_value(&builder, value);
    }
    return g_variant_builder_end(&builder);
}

/* Each method that the description has is there, with these parameters. */
static gpointer call_all(gpointer data)
{
    g_autoptr(GDBusConnection) connection = connect_to(data, NULL);
    GDBusMethodInfo **methods = cvd_dbus_instance1_interface_info()->methods;

    for (; *methods != NULL; methods++) {
        g_autoptr(GError) error = NULL;
        if (strcmp((*methods)->name, "Reset") == 0) /* is not answered here */
            continue;
        g_autoptr(GVariant) result =
            g_dbus_connection_call_sync(connection, NULL, "/org/cvd/Instance1", "org.cvd.Instance1",
                                        (*methods)->name, make_parameters((*methods)->in_args),
                                        NULL, G_DBUS_CALL_FLAGS_NONE, 10000, NULL, &error);
        g_assert_true(result != NULL || error != NULL);
        g_assert_false(g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD));
        g_assert_false(g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS));
    }
    return NULL;
}

static void test_all_methods(Fixture *f, gconstpointer data)
{
    with_client(f, call_all);
}

static void test_signals(Fixture *f, gconstpointer data)
{
    cvd_control_status_changed(f->control);
    with_client(f, listen_to);
}

/* Each change is told by itself; what changes without a signal, and what does not, by none. */
static gboolean change_properties(gpointer data)
{
    Fixture *f = data;
    const CvdControlStatus steps[] = {
        {"running", "", 43, 1000, 1, 7, FALSE, NULL},
        {"running", "", 43, 1000, 2, 7, FALSE, NULL},
        {"running", "r", 43, 1000, 2, 7, FALSE, NULL},
        {"running", "r", 43, 2000, 2, 8, FALSE, NULL},
        {"running", "r", 43, 2000, 2, 8, TRUE, NULL},
        {"paused", "r", 43, 2000, 2, 8, TRUE, NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
        f->status = steps[i];
        cvd_control_status_changed(f->control);
        cvd_control_status_changed(f->control);
    }
    cvd_control_guest_event(f->control, "END", NULL);
    return G_SOURCE_REMOVE;
}

static void on_any_signal(GDBusConnection *connection, const char *sender, const char *path,
                          const char *interface, const char *name, GVariant *parameters,
                          gpointer data)
{
    Watch *watch = data;
    g_autofree char *text = g_variant_print(parameters, FALSE);

    g_string_append_printf(watch->seen, "%s%s\n", name, text);
    if (strcmp(name, "GuestEvent") == 0)
        g_main_loop_quit(watch->loop);
}

static gpointer listen_to_properties(gpointer data)
{
    g_autoptr(CvdDBusInstance1) proxy = open_proxy(data);
    GDBusConnection *connection = g_dbus_proxy_get_connection(G_DBUS_PROXY(proxy));
    g_autoptr(GMainLoop) loop = g_main_loop_new(g_main_context_get_thread_default(), FALSE);
    Watch watch = {.loop = loop, .seen = g_string_new(NULL)};
    guint id =
        g_dbus_connection_signal_subscribe(connection, NULL, NULL, NULL, NULL, NULL,
                                           G_DBUS_SIGNAL_FLAGS_NONE, on_any_signal, &watch, NULL);

    g_main_context_invoke(NULL, change_properties, data);
    g_main_loop_run(loop);
    g_dbus_connection_signal_unsubscribe(connection, id);
    g_assert_cmpstr(watch.seen->str, ==,
                    "PropertiesChanged('org.cvd.Instance1', {'VmPid': <uint32 43>}, [])\n"
                    "PropertiesChanged('org.cvd.Instance1', {'Restarts': <uint32 2>}, [])\n"
                    "PropertiesChanged('org.cvd.Instance1', {'Reason': <'r'>}, [])\n"
                    "StateChanged('running', 'r')\n"
                    "PropertiesChanged('org.cvd.Instance1', {'Ready': <true>}, [])\n"
                    "PropertiesChanged('org.cvd.Instance1', {'State': <'paused'>}, [])\n"
                    "StateChanged('paused', 'r')\n"
                    "GuestEvent('END', '{}')\n");
    g_string_free(watch.seen, TRUE);
    return NULL;
}

static void test_changes(Fixture *f, gconstpointer data)
{
    cvd_control_status_changed(f->control);
    with_client(f, listen_to_properties);
}

/* ---- Bad peers ---- */

static gpointer misuse(gpointer data)
{
    static const struct {
        const char *path, *interface, *method, *argument;
    } calls[] = {
        {"/", "org.cvd.Instance1", "Stop", NULL},
        {"/org/cvd/Instance1", "org.cvd.Instance2", "Stop", NULL},
        {"/org/cvd/Instance1", "org.cvd.Instance1", "Explode", NULL},
        {"/org/cvd/Instance1", "org.cvd.Instance1", "Stop", "x"},
        {"/org/cvd/Instance1", "org.cvd.Instance1", "Qmp", NULL},
        {"/org/cvd/Instance1", "org.freedesktop.DBus.Properties", "Set", NULL},
    };
    g_autoptr(GDBusConnection) connection = connect_to(data, NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(calls); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GVariant) result = g_dbus_connection_call_sync(
            connection, NULL, calls[i].path, calls[i].interface, calls[i].method,
            calls[i].argument != NULL ? g_variant_new("(s)", calls[i].argument) : NULL, NULL,
            G_DBUS_CALL_FLAGS_NONE, 10000, NULL, &error);
        g_assert_null(result);
        g_assert_true(g_dbus_error_is_remote_error(error));
    }
    return look(data);
}

static void test_misuse(Fixture *f, gconstpointer data)
{
    with_useless_client(f, misuse);
}

/* Returns: whether the launcher ends the connection, which it must */
static gboolean is_ended(int fd)
{
    char bytes[256];
    gssize n;

    do {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        g_assert_cmpint(poll(&wait, 1, 60000), ==, 1);
        n = recv(fd, bytes, sizeof bytes, 0);
    } while (n > 0);
    return n == 0 || errno == ECONNRESET;
}

static gpointer talk_nonsense(gpointer data)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n\r\n",
                                        "\0AUTH ANONYMOUS 00\r\nBEGIN\r\n",
                                        "\0AUTH EXTERNAL zz\r\n", "\0DATA\r\nDATA\r\nBEGIN\r\n"};
    const Fixture *f = data;

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        cvd_autofd fd = test_connect(f->path);
        gsize size = texts[i][0] != '\0' ? strlen(texts[i]) : 1 + strlen(texts[i] + 1);
        fcntl(fd, F_SETFL, 0);
        g_assert_cmpint(send(fd, texts[i], size, MSG_NOSIGNAL), ==, (gssize)size);
        shutdown(fd, SHUT_WR);
        g_assert_true(is_ended(fd));
    }
    return look(data);
}

static void test_nonsense(Fixture *f, gconstpointer data)
{
    with_useless_client(f, talk_nonsense);
}

static gpointer come_in_crowds(gpointer data)
{
    const Fixture *f = data;
    int fds[CVD_CONTROL_MAX_CONNECTIONS];

    for (guint i = 0; i < CVD_CONTROL_MAX_CONNECTIONS; i++) {
        fds[i] = test_connect(f->path);
        fcntl(fds[i], F_SETFL, 0);
    }
    cvd_autofd one_more = test_connect(f->path);
    fcntl(one_more, F_SETFL, 0);
    g_assert_true(is_ended(one_more));
    for (guint i = 0; i < CVD_CONTROL_MAX_CONNECTIONS; i++) {
        shutdown(fds[i], SHUT_WR);
        g_assert_true(is_ended(fds[i]));
        close(fds[i]);
    }
    return look(data);
}

static void test_crowds(Fixture *f, gconstpointer data)
{
    with_client(f, come_in_crowds);
    g_assert_cmpuint(test_log_count("too many connections"), ==, 1);
}

static void on_closing(CvdDBusInstance1 *instance, const char *reason, gpointer data)
{
    g_string_append(data, reason);
}

static void on_closed(GDBusConnection *connection, gboolean remote, GError *error, gpointer data)
{
    g_main_loop_quit(data);
}

/* With as many held as may be, there is room for short calls, and one that is held besides is told
 * why it cannot be. The others are left alone. */
static gpointer hold(gpointer data)
{
    CvdDBusInstance1 *held[CVD_CONTROL_MAX_HELD];
    g_autoptr(GMainLoop) loop = g_main_loop_new(g_main_context_get_thread_default(), FALSE);
    g_autoptr(GString) reason = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(held); i++)
        held[i] = open_proxy(data);
    look(data);
    g_autoptr(CvdDBusInstance1) one_more = open_proxy(data);
    GDBusConnection *connection = g_dbus_proxy_get_connection(G_DBUS_PROXY(one_more));
    g_signal_connect(one_more, "closing", G_CALLBACK(on_closing), reason);
    g_signal_connect(connection, "closed", G_CALLBACK(on_closed), loop);
    g_main_loop_run(loop);
    g_assert_cmpstr(reason->str, ==, "as many connections are held open already as may be");
    for (guint i = 0; i < G_N_ELEMENTS(held); i++) {
        g_assert_true(cvd_dbus_instance1_call_stop_sync(held[i], NULL, NULL));
        g_object_unref(held[i]);
    }
    return NULL;
}

static void test_held(Fixture *f, gconstpointer data)
{
    with_client(f, hold);
    g_assert_cmpuint(test_log_count("held open already"), ==, 1);
}

/* Returns: a connection that has authenticated, and of which nobody reads any more */
static int authenticate_by_hand(const Fixture *f)
{
    int fd = test_connect(f->path);
    g_autofree char *uid = g_strdup_printf("%u", geteuid());
    g_autoptr(GString) hex = g_string_new(NULL);
    char answer[128] = "";

    fcntl(fd, F_SETFL, 0);
    for (const char *c = uid; *c; c++)
        g_string_append_printf(hex, "%02x", *c);
    g_autofree char *auth = g_strdup_printf("AUTH EXTERNAL %s\r\n", hex->str);
    g_assert_cmpint(send(fd, "", 1, MSG_NOSIGNAL), ==, 1);
    g_assert_cmpint(send(fd, auth, strlen(auth), MSG_NOSIGNAL), ==, (gssize)strlen(auth));
    g_assert_cmpint(recv(fd, answer, sizeof answer - 1, 0), >, 3);
    g_assert_true(g_str_has_prefix(answer, "OK "));
    g_assert_cmpint(send(fd, "BEGIN\r\n", 7, MSG_NOSIGNAL), ==, 7);
    return fd;
}

/* Of one that does not read its answers no more calls are taken; others notice nothing. */
static gpointer call_without_reading(gpointer data)
{
    cvd_autofd fd = authenticate_by_hand(data);
    g_autoptr(GDBusMessage) call = g_dbus_message_new_method_call(
        NULL, "/org/cvd/Instance1", "org.freedesktop.DBus.Introspectable", "Introspect");
    struct timeval patience = {.tv_sec = 1};

    g_assert_no_errno(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience));
    for (guint serial = 1; serial < 1000000; serial++) {
        gsize size;
        g_dbus_message_set_serial(call, serial);
        g_autofree guchar *blob = g_dbus_message_to_blob(call, &size, 0, NULL);
        if (send(fd, blob, size, MSG_NOSIGNAL) < 0) {
            g_assert_cmpint(errno, ==, EAGAIN);
            return look(data);
        }
    }
    g_error("so many calls, and nobody minds");
}

/* ---- More events than anybody could read ---- */

typedef struct {
    GMainLoop *loop;
    guint n_seen, n_left_out;
} EventCount;

static void count_event(CvdDBusInstance1 *proxy, const char *name, const char *details,
                        gpointer data)
{
    EventCount *count = data;

    if (strcmp(name, "CVD_EVENTS_LEFT_OUT") == 0) {
        g_assert_cmpint(sscanf(details, "{\"count\": %u}", &count->n_left_out), ==, 1);
        g_main_loop_quit(count->loop);
    } else {
        count->n_seen++;
    }
}

/* All in one second, or in two. */
static gboolean send_many_events(gpointer data)
{
    for (guint i = 0; i < 4 * CVD_CONTROL_MAX_EVENTS; i++)
        cvd_control_guest_event(((Fixture *)data)->control, "A", NULL);
    return G_SOURCE_REMOVE;
}

static gboolean send_one_event(gpointer data)
{
    cvd_control_guest_event(((Fixture *)data)->control, "A", NULL);
    return G_SOURCE_CONTINUE;
}

static gpointer count_events(gpointer data)
{
    g_autoptr(CvdDBusInstance1) proxy = open_proxy(data);
    g_autoptr(GMainLoop) loop = g_main_loop_new(g_main_context_get_thread_default(), FALSE);
    g_autoptr(GSource) next = g_timeout_source_new(100);
    EventCount count = {.loop = loop};

    g_signal_connect(proxy, "guest-event", G_CALLBACK(count_event), &count);
    g_main_context_invoke(NULL, send_many_events, data);
    g_source_set_callback(next, send_one_event, data, NULL);
    g_source_attach(next, NULL);
    g_main_loop_run(loop);
    g_source_destroy(next);
    g_assert_cmpuint(count.n_seen, >=, CVD_CONTROL_MAX_EVENTS);
    g_assert_cmpuint(count.n_seen, <=, 2 * CVD_CONTROL_MAX_EVENTS);
    g_assert_cmpuint(count.n_left_out, >=, CVD_CONTROL_MAX_EVENTS);
    return NULL;
}

static void test_many_events(Fixture *f, gconstpointer data)
{
    with_client(f, count_events);
}

static gboolean flood_with_events(gpointer data)
{
    Fixture *f = data;
    g_autofree char *details = g_strnfill(10000, 'x');

    for (guint i = 0; i < 100; i++)
        cvd_control_guest_event(f->control, "FLOOD", details);
    return G_SOURCE_CONTINUE;
}

static gpointer authenticate_and_sleep(gpointer data)
{
    cvd_autofd fd = authenticate_by_hand(data);

    GSource *flood = g_idle_source_new();
    g_source_set_callback(flood, flood_with_events, data, NULL);
    g_source_attach(flood, NULL);
    /* The end is seen without reading: the launcher hangs up. */
    struct pollfd wait = {.fd = fd, .events = 0};
    g_assert_cmpint(poll(&wait, 1, 60000), ==, 1);
    g_assert_true((wait.revents & (POLLHUP | POLLERR)) != 0);
    g_source_destroy(flood);
    g_source_unref(flood);
    return NULL;
}

static void test_signals_are_not_read(Fixture *f, gconstpointer data)
{
    with_client(f, authenticate_and_sleep);
    g_assert_cmpuint(test_log_count("waits for its peer to read it"), ==, 1);
    with_client(f, look);
}

static void test_answers_are_not_read(Fixture *f, gconstpointer data)
{
    with_client(f, call_without_reading);
}

/* A call may be answered when its connection, or all of it, is gone, which its handler learns. */
static gpointer call_and_leave(gpointer data)
{
    Fixture *f = data;
    g_autoptr(CvdDBusInstance1) proxy = open_proxy(f);

    cvd_dbus_instance1_call_reset(proxy, NULL, NULL, NULL);
    g_dbus_connection_flush_sync(g_dbus_proxy_get_connection(G_DBUS_PROXY(proxy)), NULL, NULL);
    g_dbus_connection_close_sync(g_dbus_proxy_get_connection(G_DBUS_PROXY(proxy)), NULL, NULL);
    return NULL;
}

static void test_late_answer(Fixture *f, gconstpointer data)
{
    with_client(f, call_and_leave);
    test_iterate_until(NULL, f->n_cancelled == 1);
    cvd_control_call_finish(g_steal_pointer(&f->unanswered), NULL);
    with_client(f, call_and_leave);
    while (f->unanswered == NULL)
        g_main_context_iteration(NULL, TRUE);
    g_clear_pointer(&f->control, cvd_control_free);
    g_assert_cmpuint(f->n_cancelled, ==, 2);
    cvd_control_call_finish(g_steal_pointer(&f->unanswered), NULL);
}

/* Somebody who never says a word has a place until the time limit, and is no reason to wait. */
static void test_end_with_a_silent_peer(Fixture *f, gconstpointer data)
{
    cvd_autofd silent = test_connect(f->path);

    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_false(cvd_control_has_connections(f->control));
    g_clear_pointer(&f->control, cvd_control_free);
    char byte;
    struct pollfd wait = {.fd = silent, .events = POLLIN};
    g_assert_cmpint(poll(&wait, 1, 60000), ==, 1);
    g_assert_cmpint(recv(silent, &byte, 1, 0), <=, 0);
}

/* Returns: whether another user connects, is told nothing, and sees the end */
static gboolean is_turned_away(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char byte;

    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return setresuid(65534, 65534, 65534) == 0 &&
           connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
           recv(fd, &byte, 1, 0) <= 0;
}

/* The child's exit status is not asked: valgrind has one of its own for it. */
static gpointer be_somebody_else(gpointer data)
{
    const Fixture *f = data;
    gboolean result = FALSE;
    int ends[2];

    g_assert_no_errno(pipe2(ends, O_CLOEXEC));
    pid_t pid = fork();
    if (pid == 0) {
        result = is_turned_away(f->path);
        _exit(write(ends[1], &result, sizeof result) != sizeof result);
    }
    close(ends[1]);
    g_assert_cmpint(read(ends[0], &result, sizeof result), ==, sizeof result);
    g_assert_true(result);
    close(ends[0]);
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    return NULL;
}

static void test_other_user(Fixture *f, gconstpointer data)
{
    if (geteuid() != 0) {
        g_test_skip("only root can become another user");
        return;
    }
    g_assert_no_errno(g_chmod(f->dir, 0711));
    g_assert_no_errno(g_chmod(f->path, 0666)); /* as if somebody had let others in */
    with_client(f, be_somebody_else);
    g_assert_cmpuint(test_log_count("another user's"), ==, 1);
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    add("/control/properties", test_properties);
    add("/control/methods", test_methods);
    add("/control/descriptors", test_descriptors);
    add("/control/signals", test_signals);
    add("/control/each-change-of-a-property", test_changes);
    add("/control/misuse", test_misuse);
    add("/control/nonsense", test_nonsense);
    add("/control/32-connections-and-one-more", test_crowds);
    add("/control/16-held-and-one-more", test_held);
    add("/control/introspection", test_introspection);
    add("/control/no-console", test_no_console);
    add("/control/clients", test_clients);
    add("/control/methods-are-those-of-the-interface", test_all_methods);
    add("/control/more-events-than-are-told", test_many_events);
    add("/control/signals-are-not-read", test_signals_are_not_read);
    add("/control/answers-are-not-read", test_answers_are_not_read);
    add("/control/late-answer", test_late_answer);
    add("/control/end-with-a-silent-peer", test_end_with_a_silent_peer);
    add("/control/other-user", test_other_user);
    return g_test_run();
}
